# SPDX-License-Identifier: GPL-3.0-or-later
"""A caller who comes by IPv6, in a room of a server that has IPv4, and the other way round."""

from __future__ import annotations

import asyncio

import pytest

from dialin import own_call
from dialin.demo.conference import open_conference
from dialin.registry import CallState
from dialin.sip import Listen
from tests.sipbench import needs_ipv6
from tests.world import Served, serving

pytestmark = needs_ipv6

PIN = "123456789"
V4, V6 = "127.0.0.1", "::1"


@pytest.mark.parametrize(("trunk", "conference"), [(V6, V4), (V4, V6), (V6, V6)])
async def test_a_caller_is_led_into_the_room_and_hears_it(trunk: str, conference: str) -> None:
    async with (
        open_conference([Listen("UDP", conference, 0)]) as room,
        serving(
            room.addresses[0],
            sip={"listen": [{"transport": "udp", "host": host, "port": 0} for host in (V4, V6)]},
            trunks={"demo": {"allowed_sources": [trunk]}},
        ) as served,
    ):
        await served.service.rooms.look_again()
        steps: list[str] = []
        script = own_call.Script("dialin", "+4915738620594", f"{PIN}#", listen_s=5.0)
        [port] = [at.port for at in served.service.sip.addresses if at.host == trunk]
        calling = asyncio.create_task(own_call.place(trunk, port, script, on_step=steps.append))
        await served.until(lambda: in_room(served), within_s=20)
        [member] = room.members()
        assert member.reading.name == "xxx-xxx-0594"
        assert await asyncio.wait_for(calling, 20)
        await served.until(lambda: not served.service.registry.snapshots())
        assert await served.ends() == {"success/left-room": 1}


def in_room(served: Served) -> bool:
    """Whether the call has come to its room."""
    return [call.state for call in served.service.registry.snapshots()] == [CallState.IN_ROOM]
