# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls whose signalling is TLS all the way: a foreign phone in, the conference out.

Audio is SRTP as far as the phone has it; the conference has none.

Debian 12's baresip does not verify whom it calls, whatever it is told; the other way round is
proved here, and both ways in `tests/test_sip_tls.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dialin.demo.conference import Conference, Member, open_conference
from dialin.registry import CallState
from dialin.sip import Certificate, Listen
from tests.fakes.authority import NAME, Authority
from tests.peers.baresip import baresip, needs_baresip
from tests.peers.clips import Clips
from tests.tls_world import serving_over_tls
from tests.world import World

HOST = "127.0.0.1"
ROOM = "123456789"
NUMBER = "+4915738620594"
TONE, OTHER = 450, 1050
LOUD, FAINT = 2000.0, 200.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("both", names=f"DNS:{NAME},IP:{HOST}", usage="serverAuth,clientAuth")


@asynccontextmanager
async def encrypted_service(
    authority: Authority,
    certificate: Certificate,
    trunk_encryption: str = "prefer",
    *,
    shown: Certificate | None = None,
    **sections: dict[str, Any],
) -> AsyncIterator[World]:
    """The whole service with TLS on both sides; `shown` is what the conference proves itself by."""
    async with (
        open_conference([Listen("TLS", HOST, 0, shown or certificate)]) as conference,
        serving_over_tls(
            conference.addresses[0],
            authority,
            certificate,
            members=conference.phone_callers,
            trunk_encryption=trunk_encryption,
            voice_encryption="prefer",
            **sections,
        ) as served,
    ):
        yield World(served.bbb, served.service, conference)


@needs_baresip
async def test_baresip_calls_over_tls_and_is_heard_in_a_conference_over_tls(
    tmp_path: Path, authority: Authority, certificate: Certificate
) -> None:
    clips = Clips(tmp_path / "clips")
    async with (
        encrypted_service(authority, certificate, **clips.settings) as world,
        baresip(tmp_path / "phone", NUMBER, hertz=TONE, transport="tls") as phone,
    ):
        await phone.dial(f"sip:dialin@{HOST}:{world.sip_port('tls')};transport=tls")
        await phone.press(f"{ROOM}#")
        await world.until(lambda: is_in_room(world))
        [member] = world.conference.members(ROOM)
        assert member.reading.name == "xxx-xxx-0594"
        await world.until_true(lambda: tone_is_heard(world.conference, member))
        await phone.hang_up()
        await world.until(lambda: not world.conference.members())
        await world.until(lambda: not world.service.registry.snapshots())
        assert await world.ends() == {"success/left-room": 1}


@needs_baresip
async def test_baresip_calls_with_srtp_and_is_heard_in_a_conference_that_has_none(
    tmp_path: Path, authority: Authority, certificate: Certificate
) -> None:
    clips = Clips(tmp_path / "clips")
    async with (
        encrypted_service(authority, certificate, "require", **clips.settings) as world,
        baresip(
            tmp_path / "phone", NUMBER, hertz=TONE, transport="tls", encryption="srtp-mand"
        ) as phone,
    ):
        await phone.dial(f"sip:dialin@{HOST}:{world.sip_port('tls')};transport=tls")
        await phone.press(f"{ROOM}#")
        await world.until(lambda: is_in_room(world))
        assert [call.encrypted for call in world.service.registry.snapshots()] == [True]
        [member] = world.conference.members(ROOM)
        await world.until_true(lambda: tone_is_heard(world.conference, member))
        await phone.hang_up()
        await world.until(lambda: not world.service.registry.snapshots())
        assert await world.ends() == {"success/left-room": 1}


@needs_baresip
async def test_a_phone_without_srtp_is_refused_where_it_is_required(
    tmp_path: Path, authority: Authority, certificate: Certificate
) -> None:
    async with (
        encrypted_service(authority, certificate, "require") as world,
        baresip(tmp_path / "phone", NUMBER, hertz=TONE, transport="tls") as phone,
    ):
        target = f"sip:dialin@{HOST}:{world.sip_port('tls')};transport=tls"
        dialling = asyncio.create_task(phone.dial(target))
        closed = await phone.tells("CALL_CLOSED")
        dialling.cancel()
        assert closed["param"].startswith("488 ")


@needs_baresip
async def test_a_conference_that_cannot_prove_its_name_is_not_entered(
    tmp_path: Path, authority: Authority, certificate: Certificate
) -> None:
    clips = Clips(tmp_path / "clips")
    wrong = authority.issue("wrong", names="DNS:elsewhere.example.org")
    sections = clips.settings
    sections["ivr"]["wait_for_conference_s"] = 0
    async with (
        encrypted_service(authority, certificate, shown=wrong, **sections) as world,
        baresip(tmp_path / "phone", NUMBER, hertz=TONE, transport="tls") as phone,
    ):
        await phone.dial(f"sip:dialin@{HOST}:{world.sip_port('tls')};transport=tls")
        await phone.press(f"{ROOM}#")
        await phone.tells("CALL_CLOSED")
        await world.until(lambda: not world.service.registry.snapshots())
        assert await world.ends() == {"bbb/conference-unreachable": 1}


async def test_the_end_of_our_certificates_is_on_the_metrics_page(
    authority: Authority, certificate: Certificate
) -> None:
    async with encrypted_service(authority, certificate) as world:
        page = (await world.page("/metrics")).decode()
    [family] = [
        family
        for family in text_string_to_metric_families(page)
        if family.name == "dialin_tls_certificate_expiry_timestamp_seconds"
    ]
    [sample] = family.samples
    assert sample.labels == {"file": str(certificate.file)}
    assert sample.value == certificate.expires_at()


def is_in_room(world: World) -> bool:
    calls = world.service.registry.snapshots()
    return [call.state for call in calls] == [CallState.IN_ROOM]


async def tone_is_heard(conference: Conference, member: Member) -> bool:
    """Whether the room gets the caller's tone, clearly and alone."""
    said = (await conference.listen(member, (TONE, OTHER))).said
    return said.tones[TONE] > LOUD and said.tones[OTHER] < FAINT
