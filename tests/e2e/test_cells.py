# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign software on both sides in every cell: UDP, TCP or TLS with RTP or SRTP.

baresip calls, Asterisk is the conference, and each leg is as the cell says. Stories told by our own
scripted peers in the same cells are in `tests/calls`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dialin.registry import CallState
from dialin.sip import Certificate, Listen
from tests.calls.conftest import CELLS
from tests.e2e.asterisk import HOST, Asterisk, running_asterisk
from tests.e2e.test_asterisk import ROOM, members
from tests.fakes.authority import NAME, Authority
from tests.peers.baresip import baresip, needs_baresip
from tests.peers.cell import Cell
from tests.world import serving

pytestmark = [pytest.mark.e2e, needs_baresip, pytest.mark.timeout(120)]

NUMBER = "+4915738620594"
OVER_WITHIN_S = 30.0
"""A caller is told in words why it is over."""


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("both", names=f"DNS:{NAME},IP:{HOST}", usage="serverAuth,clientAuth")


@pytest.mark.parametrize("hangs_up", ["caller", "conference"])
@pytest.mark.parametrize(("transport", "audio"), CELLS)
async def test_baresip_calls_into_asterisk(
    tmp_path: Path,
    asterisk: Asterisk,
    authority: Authority,
    certificate: Certificate,
    transport: str,
    audio: str,
    hangs_up: str,
) -> None:
    cell = Cell.of(transport, audio, authority, certificate)
    async with (
        running_asterisk(
            certificate, media_encryption="sdes" if cell.encrypted else "no"
        ) as conference,
        serving(
            Listen(
                transport.upper(),
                HOST,
                conference.tls_port if transport == "tls" else conference.port,
                cell.certificate,
            ),
            voice_settings=cell.voice,
            sip=cell.sip,
            trunks=cell.trunks({}),
        ) as served,
        baresip(
            tmp_path / "phone",
            NUMBER,
            hertz=450,
            transport=transport,
            encryption="srtp-mand" if cell.encrypted else "",
        ) as phone,
    ):
        await phone.dial(f"sip:dialin@{HOST}:{served.sip_port(transport)};transport={transport}")
        await phone.press(f"{ROOM}#")
        [member] = await members(conference, ROOM, 1)
        assert member.name == "xxx-xxx-0594"
        calls = served.service.registry
        await served.until(
            lambda: [call.state for call in calls.snapshots()] == [CallState.IN_ROOM]
        )
        assert [call.encrypted for call in calls.snapshots()] == [cell.encrypted]
        if hangs_up == "caller":
            await phone.hang_up()
            await members(conference, ROOM, 0)
        else:
            await conference.hang_up(ROOM)
        await served.until(lambda: not calls.snapshots(), within_s=OVER_WITHIN_S)
        await phone.tells("CALL_CLOSED")
        [end] = await served.ends()
        # Asterisk knows nothing of BBB's meeting, which goes on: its host has removed the caller.
        assert end == ("success/left-room" if hangs_up == "caller" else "success/removed-by-host")
