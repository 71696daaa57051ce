# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's baresip calls, keys the PIN, and its audio arrives in the conference."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialin.demo.conference import Conference, Member
from dialin.registry import CallState
from tests.peers.baresip import baresip, needs_baresip
from tests.peers.clips import Clips
from tests.world import World, whole_service

pytestmark = needs_baresip

ROOM = "123456789"
NUMBER = "+4915738620594"
TONE, OTHER = 450, 1050
"""In Hz; the second is said by nobody."""
LOUD = 2000.0
FAINT = 200.0


@pytest.mark.parametrize(
    ("codec", "transport"), [("PCMA", "udp"), ("PCMU", "tcp"), ("G722", "udp")]
)
async def test_baresip_keys_the_pin_and_is_heard_in_the_room(
    tmp_path: Path, codec: str, transport: str
) -> None:
    clips = Clips(tmp_path / "clips")
    media = {"codecs": ["G722", "PCMA", "PCMU"]}
    async with (
        whole_service(media=media, **clips.settings) as world,
        baresip(tmp_path / "phone", NUMBER, hertz=TONE, codec=codec, transport=transport) as phone,
    ):
        port = world.sip_port(transport)
        await phone.dial(f"sip:dialin@127.0.0.1:{port}")
        await phone.press(f"{ROOM}#")
        await world.until(lambda: is_in_room(world, codec))
        [member] = world.conference.members(ROOM)
        assert member.reading.name == "xxx-xxx-0594"
        await world.until_true(lambda: tone_is_heard(world.conference, member))
        await phone.hang_up()
        await world.until(lambda: not world.conference.members())
        await world.until(lambda: not world.service.registry.snapshots())
        assert await world.ends() == {"success/left-room": 1}


def is_in_room(world: World, codec: str) -> bool:
    """Whether the one call that is up is in a room, in this codec."""
    calls = world.service.registry.snapshots()
    return [(call.state, call.codec) for call in calls] == [(CallState.IN_ROOM, codec)]


async def tone_is_heard(conference: Conference, member: Member) -> bool:
    """Whether the room gets the caller's tone, clearly and alone."""
    said = (await conference.listen(member, (TONE, OTHER))).said
    return said.tones[TONE] > LOUD and said.tones[OTHER] < FAINT
