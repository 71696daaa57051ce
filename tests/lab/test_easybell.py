# SPDX-License-Identifier: GPL-3.0-or-later
"""easybell, more thoroughly: encrypted throughout, and what is not is turned away with a reason."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from dialin.events import Codec
from dialin.wire.digest import parse_credentials
from tests.fakes.authority import Authority
from tests.fakes.registrar import PASSWORD
from tests.lab.bench import customer, lab
from tests.lab.exchange import Offer
from tests.lab.providers import CONTACT, EASYBELL, Form

IN_TO, IN_URI, WITHHELD, NATIONAL = EASYBELL.forms
PLAIN = Offer("RTP/AVP", "8 0 9 101")


async def test_it_registers_over_tls_where_its_realm_has_another_name(
    tmp_path: Path, authority: Authority
) -> None:
    async with lab(EASYBELL, tmp_path, authority) as bench:
        await bench.world.until_true(bench.is_registered)
        [(_, first), _] = bench.exchange.registers
        assert first.uri.startswith("sip:secure.sip.easybell.de")
        [contact] = bench.exchange.contacts
        assert contact.endswith(";transport=tls")


async def test_nonces_that_live_for_one_answer_and_short_registrations_are_kept_up_with(
    tmp_path: Path, authority: Authority
) -> None:
    hasty = replace(EASYBELL, granted_s=2)
    async with lab(hasty, tmp_path, authority, faults=["stale"]) as bench:
        known = len(bench.exchange.answers)
        await bench.exchange.until(lambda: len(bench.exchange.answers) >= known + 3)
        await bench.world.until_true(bench.is_registered)
        nonces = [parse_credentials(answer).nonce for answer in bench.exchange.answers]
        assert len(set(nonces)) > 1
        assert bench.exchange.connections == 1


async def test_a_call_comes_over_the_registered_connection_with_both_directions_encrypted(
    tmp_path: Path, authority: Authority
) -> None:
    async with lab(EASYBELL, tmp_path, authority) as bench, bench.call(IN_TO) as call:
        assert (await call.dial()).status == 200
        member = await bench.in_room(call)
        await bench.room_hears(call, member)
        await bench.call_hears(call)
        assert call.codec is Codec.PCMA
        assert (await bench.shown())["encrypted"] is True
        assert bench.exchange.connections == 1
        await call.hang_up()
        await bench.is_over()


async def test_we_hang_up_over_the_same_connection_when_the_meeting_ends(
    tmp_path: Path, authority: Authority
) -> None:
    async with lab(EASYBELL, tmp_path, authority) as bench, bench.call(IN_URI) as call:
        assert (await call.dial()).status == 200
        await bench.in_room(call)
        bench.world.bbb.end_room("demo")
        await call.is_hung_up_on()
        await bench.is_over()
        assert bench.exchange.connections == 1
        assert await bench.world.ends() == {"success/meeting-ended": 1}


async def test_whoever_shows_another_certificate_is_not_told_who_we_are(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with customer(EASYBELL, tmp_path, authority, name="sip.easybell.de") as (exchange, world):
        await world.until(lambda: "certificate-wrong-name" in causes(caplog))
        assert exchange.registers == []
        assert exchange.answers == []


async def test_a_plain_offer_is_refused_and_the_log_says_what_to_offer(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with lab(EASYBELL, tmp_path, authority) as bench:
        async with bench.call(IN_TO, PLAIN) as call:
            refusal = await call.dial()
        assert refusal.status == 488
        assert "audio must be encrypted: offer SRTP" in (refusal.headers.get("Warning") or "")
        await bench.is_over()
        assert await bench.world.ends() == {"trunk/no-common-encryption": 1}
    assert "offer refused with 488: audio must be encrypted: offer SRTP" in caplog.text


async def test_a_key_beside_the_plain_profile_is_taken_and_audio_is_encrypted(
    tmp_path: Path, authority: Authority
) -> None:
    offer = replace(PLAIN, has_key=True)
    async with lab(EASYBELL, tmp_path, authority) as bench, bench.call(IN_TO, offer) as call:
        assert (await call.dial()).status == 200
        await bench.room_hears(call, await bench.in_room(call))
        assert (await bench.shown())["encrypted"] is True


async def test_a_call_for_a_number_of_somebody_else_is_not_ours(
    tmp_path: Path, authority: Authority
) -> None:
    form = Form("stranger", CONTACT, "00493099999999", IN_TO.caller)
    async with lab(EASYBELL, tmp_path, authority) as bench, bench.call(form) as call:
        assert (await call.dial()).status == 404


@pytest.mark.parametrize("form", EASYBELL.forms, ids=lambda form: form.name)
async def test_without_a_list_of_numbers_the_called_one_is_read(
    form: Form, tmp_path: Path, authority: Authority
) -> None:
    open_to_all = replace(EASYBELL, redirected={"numbers": []})
    async with lab(open_to_all, tmp_path, authority) as bench, bench.call(form) as call:
        assert (await call.dial()).status == 200
        assert (await bench.shown())["number_called"] == EASYBELL.number


async def test_neither_password_nor_numbers_nor_keys_reach_the_log(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with lab(EASYBELL, tmp_path, authority) as bench, bench.call(WITHHELD) as call:
        assert (await call.dial()).status == 200
        await bench.in_room(call)
        await call.hang_up()
        await bench.is_over()
        [answer] = bench.exchange.answers
    written = "\n".join(str(vars(record)) for record in caplog.records)
    secrets = (PASSWORD, parse_credentials(answer).response, "15738620594", "inline:", "123456789#")
    assert "first call" in written
    assert not [secret for secret in secrets if secret in written]


def causes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What log lines say was wrong."""
    return [vars(record).get("cause", "") for record in caplog.records]
