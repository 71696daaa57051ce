# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand early callers of one room, on virtual time: none is lost, and none delays another.

The rooms are the real ones; legs, media and conference are stand-ins.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack
from typing import Any, cast

import pytest

from dialin import events
from dialin.call import Call
from dialin.caller import Caller, RoomLabels
from dialin.house import House
from dialin.pin import Found
from dialin.registry import CallState, Registry
from dialin.room_events import RoomEvents
from dialin.rooms import Rooms
from dialin.sounds import Prompts
from dialin.trunk import Dialled
from dialin.wire.bbbxml import Meeting
from dialin.wire.encryption import Encryption
from tests.fakes.call_parts import (
    FakeConsents,
    FakeDesk,
    FakeEngine,
    FakeLeg,
    FakeMedia,
    FakePrompts,
    FakeTally,
    FakeVoice,
)
from tests.fakes.call_scene import POLICY

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(120)]

CALLERS = 1000
POLL_S = 1.0


class Api:
    """A BBB server with one meeting."""

    name = "bbb1"

    def __init__(self) -> None:
        self.runs = False

    async def get_meetings(self) -> tuple[Meeting, ...]:
        return (
            Meeting(
                meeting_id="demo", internal_id="demo-1", name="Demo", voice_bridge="123456789",
                dial_number="", running=self.runs, is_ended=False, is_breakout=False, parent_id="",
                create_time=1, attendees=(),
            ),
        )  # fmt: skip


async def test_a_thousand_early_callers_are_in_two_seconds_after_the_room_opens() -> None:
    api = Api()
    rooms = Rooms([api], poll_s=POLL_S, jitter=lambda: 0.5)
    registry = Registry(CALLERS, FakeTally())
    watching = asyncio.create_task(rooms.run())
    await rooms.look_again()
    voice = FakeVoice()
    try:
        with ExitStack() as admitted:
            calls = [start(number, registry, rooms, voice, admitted) for number in range(CALLERS)]
            await until_all(registry, CallState.WAITING)
            opened_at = asyncio.get_running_loop().time()
            api.runs = True
            await until_all(registry, CallState.IN_ROOM)
            assert asyncio.get_running_loop().time() - opened_at <= 2
            assert len({joined["label"] for joined in voice.joined}) == CALLERS
            for leg, _ in calls:
                leg.caller_hangs_up()
            await asyncio.gather(*(running for _, running in calls))
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    assert Counter(end.reason for end in registry.recent_ends) == {events.LEFT_ROOM: 100}


def start(
    number: int, registry: Registry, rooms: Rooms, voice: FakeVoice, admitted: ExitStack
) -> tuple[FakeLeg, asyncio.Task[None]]:
    """One caller, who has keyed the PIN already."""
    room = rooms.by_meeting_id("demo")
    assert room is not None
    leg, media = FakeLeg(), FakeMedia()
    media.keys("123456789#")
    house = House(
        media=cast(Any, FakeEngine(media)),
        prompts=cast(Prompts, FakePrompts("en")),
        pins=cast(Any, FakeDesk(lambda pin, attempts: Found(room))),
        rooms=rooms,
        room_events=RoomEvents(),
        voice=cast(Any, voice),
        labels=LABELS,
        pseudonym_key=b"k" * 32,
        policy=POLICY,
        tally=FakeTally(),
        consents=FakeConsents(),
    )
    record = admitted.enter_context(registry.admit(str(number), trunk="t", number_called="+49301"))
    story = Call(
        cast(Any, leg),
        Dialled(Caller.parse(f"+4915738{number:06}", region=None), "+49301", ()),
        record,
        house,
        media_networks=["192.0.2.0/24"],
        encryption=Encryption.OFF,
    )
    return leg, asyncio.create_task(story.run())


LABELS = RoomLabels()
"""One for all, as in the service: so that each name occurs once."""


async def until_all(registry: Registry, state: CallState) -> None:
    """Wait until all calls are in one state."""
    async with asyncio.timeout(60):
        while any(call.state is not state for call in registry.snapshots()):  # noqa: ASYNC110 - the loop's time costs nothing
            await asyncio.sleep(0.2)
