# SPDX-License-Identifier: GPL-3.0-or-later
"""Asterisk 22 over TLS: it has to prove itself, answers by our connection, and may lose it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dialin.events import Codec
from dialin.registry import CallState
from dialin.sip import Certificate, Listen, OutgoingLeg, SipEndpoint, TlsTarget
from dialin.wire import sdp
from dialin.wire.flow import Flow
from tests.e2e.asterisk import HOST, Asterisk, running_asterisk
from tests.e2e.test_asterisk import ROOM, members
from tests.fakes.authority import Authority
from tests.peers.baresip import baresip, needs_baresip
from tests.tls_world import serving_over_tls

pytestmark = pytest.mark.e2e

IN_ROOM = CallState.IN_ROOM
NUMBER = "+4915738620594"


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("asterisk", names=f"DNS:localhost,IP:{HOST}", usage="serverAuth")


@pytest.fixture
async def encrypted(asterisk: Asterisk, certificate: Certificate) -> AsyncIterator[Asterisk]:
    """An Asterisk with a certificate. The other fixture says whether one can be had at all."""
    async with running_asterisk(certificate) as running:
        yield running


@pytest.fixture
async def endpoint() -> AsyncIterator[SipEndpoint]:
    """One that listens nowhere for TLS: all it has is the connection that it opens."""
    async with await SipEndpoint.open(
        [Listen("UDP", HOST, 0)],
        allow_source=lambda _host: True,
        on_call=lambda leg: leg.reject(486),
    ) as opened:
        yield opened


async def call(endpoint: SipEndpoint, asterisk: Asterisk) -> OutgoingLeg:
    offer = sdp.offer(sdp.LocalMedia(HOST, 9, 1, 1), [Codec.PCMA])
    return await endpoint.invite(
        f"sip:{ROOM}@localhost:{asterisk.tls_port};transport=tls",
        Flow("TLS", HOST, asterisk.tls_port),
        from_display="xxx-xxx-0594",
        from_user="314159265358979",
        offer=bytes(offer),
    )


async def test_asterisk_ends_a_call_by_the_connection_that_we_opened(
    endpoint: SipEndpoint, encrypted: Asterisk, authority: Authority
) -> None:
    endpoint.trust(HOST, encrypted.tls_port, TlsTarget("localhost", authority.file))
    leg = await call(endpoint, encrypted)
    await leg.answered()
    [member] = await members(encrypted, ROOM, 1)
    assert (member.name, member.codec) == ("xxx-xxx-0594", "alaw")
    await encrypted.hang_up(ROOM)
    end = await leg.ended
    assert (end.by, end.cause) == ("peer", "bye")


async def test_asterisk_hears_a_bye_by_another_connection(
    endpoint: SipEndpoint, encrypted: Asterisk, authority: Authority
) -> None:
    endpoint.trust(HOST, encrypted.tls_port, TlsTarget("localhost", authority.file))
    leg = await call(endpoint, encrypted)
    await leg.answered()
    await members(encrypted, ROOM, 1)
    [connection] = endpoint._tcp._by_number.values()
    connection.close()
    await connection.gone
    assert not leg.ended.done()
    assert len(await encrypted.members(ROOM)) == 1
    leg.hang_up()
    await members(encrypted, ROOM, 0)


async def test_an_asterisk_that_is_somebody_else_hears_nothing(
    endpoint: SipEndpoint, encrypted: Asterisk, authority: Authority
) -> None:
    endpoint.trust(HOST, encrypted.tls_port, TlsTarget("sip.example.net", authority.file))
    leg = await call(endpoint, encrypted)
    assert (await leg.ended).cause == "transport-lost"
    fault = endpoint.fault(leg.flow)
    assert fault is not None
    assert fault.cause == "certificate-wrong-name"
    assert await encrypted.members(ROOM) == []


@needs_baresip
async def test_a_phone_over_tls_is_taken_to_a_conference_over_tls(
    tmp_path: Path, encrypted: Asterisk, authority: Authority, certificate: Certificate
) -> None:
    voice = Listen("TLS", HOST, encrypted.tls_port)
    async with (
        serving_over_tls(voice, authority, certificate) as served,
        baresip(tmp_path, NUMBER, hertz=450, transport="tls") as phone,
    ):
        await phone.dial(f"sip:dialin@{HOST}:{served.sip_port('tls')};transport=tls")
        await phone.press(f"{ROOM}#")
        [member] = await members(encrypted, ROOM, 1)
        assert member.name == "xxx-xxx-0594"
        calls = served.service.registry
        await served.until(lambda: [call.state for call in calls.snapshots()] == [IN_ROOM])
        assert NUMBER[1:] not in encrypted.log
        await phone.hang_up()
        await members(encrypted, ROOM, 0)
        await served.until(lambda: not served.service.registry.snapshots())
        assert await served.ends() == {"success/left-room": 1}
