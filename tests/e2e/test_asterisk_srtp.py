# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted audio all the way: two foreign phones in, a foreign conference that takes SRTP only.

Each phone says a tone of its own and hears the other's: what it heard has crossed the bridge and
the conference in both directions, under keys of four different legs. Neither peer has any of the
suites that we like best: we offer all, and agree on what they have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dialin.registry import CallState
from dialin.sip import Certificate, Listen
from dialin.wire.tone import RATE_HZ, power
from tests.e2e.asterisk import HOST, Asterisk, running_asterisk
from tests.e2e.test_asterisk import ROOM, members
from tests.fakes.authority import Authority
from tests.peers.baresip import Baresip, baresip, needs_baresip
from tests.tls_world import serving_over_tls
from tests.world import Served

pytestmark = [pytest.mark.e2e, needs_baresip]

LOW, HIGH, NOBODY = 450, 1050, 750
"""What they say, in Hz, and what nobody says."""
TALK_S = 10.0
"""Longer than it takes to tell who comes in how many are there, in place of the room's sound."""
MEASURED = RATE_HZ
"""Samples at the end of the call: a second, when both were there."""
LOUD, FAINT = 100_000.0, 10_000.0


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("asterisk", names=f"DNS:localhost,IP:{HOST}", usage="serverAuth")


@pytest.fixture
async def secret(asterisk: Asterisk, certificate: Certificate) -> AsyncIterator[Asterisk]:
    """An Asterisk that wants SRTP. The other fixture says whether one can be had at all."""
    async with running_asterisk(certificate, media_encryption="sdes") as running:
        yield running


async def enter(phone: Baresip, served: Served) -> None:
    await phone.dial(f"sip:dialin@{HOST}:{served.sip_port('tls')};transport=tls")
    await phone.press(f"{ROOM}#")


def heard(phone: Baresip) -> dict[int, float]:
    """How loud each tone was at the end."""
    end = phone.heard()[-MEASURED:]
    return {hertz: power(end, hertz) for hertz in (LOW, HIGH, NOBODY)}


async def test_phones_hear_each_other_in_a_conference_that_takes_srtp_only(
    tmp_path: Path, secret: Asterisk, authority: Authority, certificate: Certificate
) -> None:
    voice = Listen("TLS", HOST, secret.tls_port)
    async with (
        serving_over_tls(
            voice, authority, certificate, trunk_encryption="require", voice_encryption="require"
        ) as served,
        baresip(
            tmp_path / "low",
            "+4915738620594",
            hertz=LOW,
            transport="tls",
            encryption="srtp-mand",
        ) as low,
        baresip(
            tmp_path / "high",
            "+493023125101",
            hertz=HIGH,
            transport="tls",
            encryption="srtp-mand",
        ) as high,
    ):
        for phone in (low, high):
            await enter(phone, served)
        await members(secret, ROOM, 2)
        calls = served.service.registry
        await served.until(
            lambda: [call.state for call in calls.snapshots()] == [CallState.IN_ROOM] * 2
        )
        assert all(call.encrypted for call in calls.snapshots())
        await asyncio.sleep(TALK_S)  # they talk
        for phone in (low, high):
            await phone.hang_up()
            await phone.tells("CALL_CLOSED")
        await served.until(lambda: not calls.snapshots())
        assert await served.ends() == {"success/left-room": 2}
    assert heard(low)[HIGH] > LOUD
    assert heard(high)[LOW] > LOUD
    assert max(heard(low)[NOBODY], heard(high)[NOBODY]) < FAINT


async def test_without_srtp_that_conference_cannot_be_entered(
    tmp_path: Path, secret: Asterisk, authority: Authority, certificate: Certificate
) -> None:
    voice = Listen("TLS", HOST, secret.tls_port)
    async with (
        serving_over_tls(voice, authority, certificate, voice_encryption="off") as served,
        baresip(tmp_path, "+4915738620594", hertz=LOW, transport="tls") as phone,
    ):
        await enter(phone, served)
        await phone.tells("CALL_CLOSED")
        await served.until(lambda: not served.service.registry.snapshots())
        assert await served.ends() == {"bbb/conference-refused": 1}
