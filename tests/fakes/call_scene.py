# SPDX-License-Identifier: GPL-3.0-or-later
"""One call under way among stand-ins, for the tests of its story."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from dialin.call import Call
from dialin.caller import Caller, RoomLabels
from dialin.events import Codec, EndReason
from dialin.house import CallPolicy, House
from dialin.ivr import PinRules
from dialin.pin import Attempts, Found, Outcome, TooManyGuesses, UnknownPin
from dialin.registry import CallRecord, CallState, Order, Registry
from dialin.room_events import RoomEvents
from dialin.rooms import Room
from dialin.trunk import Dialled
from dialin.wire.bbbhooks import HookEvent, HookKind
from dialin.wire.encryption import Encryption
from tests.fakes.call_parts import (
    FakeConsents,
    FakeDesk,
    FakeEngine,
    FakeLeg,
    FakeMedia,
    FakePrompts,
    FakeRooms,
    FakeTally,
    FakeVoice,
)

ROOM = Room("bbb1", "demo", "Demo", "123456789", running=True)
CALLER = Caller.parse("+4915738620594", region=None)
POLICY = CallPolicy(
    codecs=(Codec.G722, Codec.PCMA, Codec.PCMU),
    pin_rules=PinRules(),
    pin_tries=3,
    wait_for_room_s=600,
    wait_for_directory_s=30,
    remind_every_s=45,
)
Answers = Callable[[str, Attempts], Awaitable[Outcome] | Outcome]


def by_table(table: Mapping[str, Outcome]) -> Answers:
    """PINs that are known; any other uses up a try."""

    def answer(pin: str, attempts: Attempts) -> Outcome:
        if pin in table:
            return table[pin]
        attempts.used += 1
        return UnknownPin() if attempts.left else TooManyGuesses()

    return answer


@dataclass
class Scene:
    """One call under way, and everything around it."""

    leg: FakeLeg
    media: FakeMedia
    engine: FakeEngine
    voice: FakeVoice
    desk: FakeDesk
    rooms: FakeRooms
    room_events: RoomEvents
    consents: FakeConsents
    tally: FakeTally
    registry: Registry
    record: CallRecord
    running: asyncio.Task[None]

    def order(self, order: Order) -> None:
        """A host or operator asks something of the call."""
        assert self.registry.give("call-1", order)

    def bbb_tells(self, kind: HookKind, *, room: Room = ROOM, user: str = "v_7") -> None:
        """A webhook comes."""
        self.room_events.publish(
            HookEvent(room.server, room.meeting_id, room.internal_id, kind, user_id=user)
        )

    def bbb_lists(self, label: str, room: Room = ROOM) -> None:
        """BBB tells which of its users the caller is."""
        self.room_events.publish(
            HookEvent(
                room.server, room.meeting_id, room.internal_id, HookKind.USER_JOINED,
                user_id="v_7", user_name=label,
            )
        )  # fmt: skip

    async def keys_pin_and_is_in(self, pin: str = "123456789") -> None:
        self.media.keys(f"{pin}#")
        await self.in_room()

    async def hears(self, *prompts: str) -> None:
        """Wait until these are the last that were heard to the end."""
        await self.until(lambda: tuple(self.media.heard[-len(prompts) :]) == prompts)

    async def ended(self) -> EndReason:
        await self.running
        return self.record.reason

    async def until(self, is_so: Callable[[], bool], within_s: float = 120.0) -> None:
        async with asyncio.timeout(within_s):
            while not is_so():  # noqa: ASYNC110 - the loop's time costs nothing
                await asyncio.sleep(0.05)

    async def in_room(self) -> None:
        await self.until(lambda: self.record.state is CallState.IN_ROOM)


@asynccontextmanager
async def call(
    answers: Answers | None = None,
    *,
    leg: FakeLeg | None = None,
    voice: FakeVoice | None = None,
    policy: CallPolicy = POLICY,
    others: Sequence[Room] = (),
    has_lobby: bool = False,
    is_full: bool = False,
    caller: Caller = CALLER,
    languages: tuple[str, ...] = (),
    encryption: Encryption = Encryption.OFF,
) -> AsyncIterator[Scene]:
    leg = leg or FakeLeg()
    media = FakeMedia()
    engine = FakeEngine(media, is_full=is_full)
    voice = voice or FakeVoice()
    desk = FakeDesk(answers or by_table({"123456789": Found(ROOM)}))
    rooms = FakeRooms(*others, ROOM)
    room_events = RoomEvents()
    tally = FakeTally()
    consents = FakeConsents()
    house = House(
        media=cast(Any, engine),
        prompts=cast(Any, FakePrompts("en", "de")),
        pins=cast(Any, desk),
        rooms=cast(Any, rooms),
        room_events=room_events,
        voice=cast(Any, voice),
        labels=RoomLabels(),
        pseudonym_key=b"k" * 32,
        policy=policy,
        tally=tally,
        has_lobby=lambda meeting_id: has_lobby,
        consents=consents,
    )
    registry = Registry(9, tally)
    dialled = Dialled(caller, "+493023125100", languages)
    with registry.admit("call-1", trunk="t", number_called="+493023125100") as record:
        story = Call(
            cast(Any, leg),
            dialled,
            record,
            house,
            media_networks=["192.0.2.0/24"],
            encryption=encryption,
        )
        running = asyncio.create_task(story.run())
        try:
            yield Scene(
                leg, media, engine, voice, desk, rooms, room_events, consents, tally, registry,
                record, running,
            )  # fmt: skip
        finally:
            running.cancel()
            await asyncio.wait([running])
