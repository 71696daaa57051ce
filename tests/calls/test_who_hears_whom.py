# SPDX-License-Identifier: GPL-3.0-or-later
"""Tones prove who hears whom: two callers in one room hear each other, and not the third.

The conference is the one that mixes; each caller says a tone of its own without end.
"""

from __future__ import annotations

import math
from contextlib import AsyncExitStack

from dialin.demo.conference import Member
from dialin.events import Codec
from dialin.registry import CallState
from dialin.wire import g711, tone
from tests.peers.cell import in_force
from tests.peers.phone import Phone
from tests.peers.rtp import RtpPeer, tone_frames
from tests.world import World, whole_service

EVERY_CELL = True
ROOM, OTHER_ROOM = "123456789", "1234567891"
ANNA, BEN, CARO = 450, 650, 900
"""Tones in Hz: no harmonic of one is another."""
TONES = (ANNA, BEN, CARO)
LOUD = 2000.0
"""Peak amplitude; the tones are said with 8000."""
FAINT = 100.0
LISTEN_FRAMES = 50
CALLERS = {
    ANNA: ("+4915738620594", ROOM),
    BEN: ("+493012345678", ROOM),
    CARO: ("+4915738621111", OTHER_ROOM),
}


async def test_two_in_one_room_hear_each_other_and_not_the_third() -> None:
    cell = in_force()
    async with (
        whole_service(sip=cell.sip, trunks=cell.trunks({})) as world,
        AsyncExitStack() as calls,
    ):
        phones = {}
        for hertz, (number, room) in CALLERS.items():
            phone = Phone(world.sip_port(cell.transport), number=number)
            phones[hertz] = await calls.enter_async_context(phone)
            await enter(world, phone, room)
            phone.rtp.say(tone_frames(Codec.PCMA, hertz))
            calls.push_async_callback(phone.hang_up)
        await all_in_room(world, len(CALLERS))
        # Whoever comes in is first told who is there, in place of the room's sound.
        for hertz, others in ((ANNA, {BEN}), (BEN, {ANNA}), (CARO, set())):
            await it_is_so(phones[hertz].rtp, others)
        assert heard_by(phones[ANNA].rtp) == {BEN}
        assert heard_by(phones[BEN].rtp) == {ANNA}
        assert heard_by(phones[CARO].rtp) == set()
        first, second = world.conference.members(ROOM)
        [third] = world.conference.members(OTHER_ROOM)
        assert await said_and_heard(world, first) == ({ANNA}, {BEN})
        assert await said_and_heard(world, second) == ({BEN}, {ANNA})
        assert await said_and_heard(world, third) == ({CARO}, set())


async def enter(world: World, phone: Phone, room: str) -> None:
    """Call, and key the room's PIN."""
    assert await phone.dial() == 200
    await phone.key(f"{room}#")


async def all_in_room(world: World, callers: int) -> None:
    """Wait until everybody hears the room."""
    await world.until(
        lambda: (
            [call.state for call in world.service.registry.snapshots()]
            == [CallState.IN_ROOM] * callers
        )
    )


async def it_is_so(listener: RtpPeer, expected: set[int]) -> None:
    """Wait until these tones, clearly, and no other are what is heard for a second."""

    def is_so() -> bool:
        levels = levels_at(listener)
        return all(
            level > LOUD if hertz in expected else level < FAINT for hertz, level in levels.items()
        )

    await listener.until(is_so, within_s=20)


def levels_at(listener: RtpPeer) -> dict[int, float]:
    """How loud each tone is in the last second."""
    samples = g711.alaw_decode(b"".join(listener.audio[-LISTEN_FRAMES:]))
    return {hertz: math.sqrt(2 * tone.power(samples, hertz)) for hertz in TONES}


def heard_by(listener: RtpPeer) -> set[int]:
    """The tones that a caller hears now."""
    return loud(levels_at(listener))


async def said_and_heard(world: World, member: Member) -> tuple[set[int], set[int]]:
    """What the conference gets from a member, and what it sends there."""
    sounds = await world.conference.listen(member, TONES)
    return loud(sounds.said.tones), loud(sounds.heard.tones)


def loud(amplitudes: dict[int, float] | dict[float, float]) -> set[int]:
    """The tones that are there; each of them is there clearly, or not at all."""
    assert all(level > LOUD or level < FAINT for level in amplitudes.values()), amplitudes
    return {int(hertz) for hertz, level in amplitudes.items() if level > LOUD}
