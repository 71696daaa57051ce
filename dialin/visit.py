# SPDX-License-Identifier: GPL-3.0-or-later
"""One caller's visit to one room: wait until it can be entered, go in, stay, and where to next.

`Visit.run` is that story. Keys, orders of operators and what is said go on beside it from the first
moment to the last, so that nobody who waits is deaf or dumb. A visit ends by leading elsewhere, or
by the CallError that ends the call. Whatever ends it, the seat is given back and the name is free.

What a caller does in the room is left to `presence`, the call around all visits to `call`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import Any, NoReturn, TypeAlias, TypeVar

from dialin.announcer import Announcer
from dialin.bbb_voice import ConferenceLeg, Gone, why_gone
from dialin.caller_leg import reason_for_silence
from dialin.events import (
    CONFERENCE_LOST,
    CONFERENCE_MEDIA_LOST,
    CONFERENCE_REFUSED,
    CONFERENCE_UNREACHABLE,
    MEETING_ENDED,
    REFUSED_BY_HOST,
    REMOVED,
    WAITED_TOO_LONG,
    CallError,
    EndReason,
)
from dialin.house import House
from dialin.ivr import Command, RoomKeys
from dialin.media.engine import MEDIA_TIMEOUT
from dialin.presence import Presence
from dialin.race import any_done, race
from dialin.registry import (
    Admit,
    CallState,
    LowerHand,
    MoveTo,
    Mute,
    Order,
    Refuse,
    Unmute,
    WaitingFor,
)
from dialin.room_events import RoomEvent
from dialin.rooms import Room
from dialin.sounds import PromptId
from dialin.visitor import Visitor
from dialin.wire.bbbhooks import HookKind

log = logging.getLogger(__name__)

Found = TypeVar("Found")

AWAY = frozenset({CONFERENCE_UNREACHABLE, CONFERENCE_REFUSED})
"""What a voice server that is being restarted gives to those who come back."""
TRY_AGAIN_AFTER_S = (1.0, 2.0, 3.0, 4.0, 5.0)
"""Pauses between tries to come back; the last again and again."""
ANSWERS_WITHIN_S = 4.0
"""How long one such try may take: a server that is up answers at once."""
NOTICES_AFTER_S = 1.0
"""How long BBB takes to notice that a meeting has ended, after its conference has said so."""


@dataclass(frozen=True, slots=True)
class GoTo:
    """The caller is to be led into this room."""

    room: Room
    saying: tuple[PromptId, ...] = (PromptId.JOINING,)
    """What they hear on the way."""


@dataclass(frozen=True, slots=True)
class AskForAnother:
    """The caller wants to key the PIN of another room, and may come back to this one."""

    room: Room


Elsewhere: TypeAlias = GoTo | AskForAnother
"""Where a caller goes who leaves a room and stays in the call."""


class MeetingOver(Exception):
    """The meeting has ended while the caller was in it, or on the way back into it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A place in a conference."""

    leg: ConferenceLeg
    news: asyncio.Queue[RoomEvent]
    """What BBB tells of the caller and the meeting."""


class Visit:
    """One visit of one caller."""

    def __init__(self, aim: GoTo, visitor: Visitor, house: House) -> None:
        self._room = aim.room
        self._visitor = visitor
        self._record = visitor.record
        self._house = house
        self._policy = house.policy
        self._saying = aim.saying
        self._label = ""
        self._orders: asyncio.Queue[Order] = asyncio.Queue()
        self._admission: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._lost_by: EndReason | None = None
        """Why the last seat was lost; None before there was one."""
        self._announcer = Announcer(visitor.line, has_music=house.policy.has_music)
        self._presence = Presence(aim.room, visitor, self._announcer, house)

    def give(self, order: Order) -> None:
        """A host or operator asks something of the caller."""
        self._orders.put_nowait(order)

    async def run(self) -> Elsewhere:
        """From the door of the room to wherever the caller goes next."""
        try:
            return await race(
                self._attend(),
                self._listen(),
                self._obey(),
                self._presence.keep_asking(),
                self._announcer.run(),
            )
        finally:
            self._record.leaves()

    # The story

    async def _attend(self) -> Elsewhere:
        """Wait, go in, stay; and again whenever the conference was lost."""
        await self._until_begun()
        await self._until_admitted()
        try:
            while True:
                async with self._seat() as seat:
                    await self._stay(seat)
                await self._weigh_what_happened(seat)
        except MeetingOver:
            return self._main_room()

    async def _until_begun(self) -> None:
        """Until the meeting runs; whoever is early is kept, and goes in the moment it begins."""
        rooms = self._house.rooms
        self._shows(label=None)
        if not self._room.running:
            self._room = await self._wait(
                rooms.opened(self._room),
                WaitingFor.ROOM,
                self._policy.wait_for_room_s,
                WAITED_TOO_LONG,
            )
        if self._room.hindrance:
            log.warning("a meeting cannot be joined", extra={"cause": self._room.hindrance})
            raise CallError(CONFERENCE_REFUSED)

    async def _until_admitted(self) -> None:
        """Where there is a lobby, until the host has decided."""
        meeting_id = self._room.meeting_id
        if meeting_id in self._visitor.admitted_to or not self._house.has_lobby(meeting_id):
            return
        if not self._admission.done():
            await self._wait(
                any_done(self._admission),
                WaitingFor.HOST,
                self._policy.wait_for_room_s,
                WAITED_TOO_LONG,
            )
        if not self._admission.result():
            raise CallError(REFUSED_BY_HOST)
        self._visitor.admitted_to.add(meeting_id)
        now = self._house.rooms.by_meeting_id(meeting_id)
        self._room = now or replace(self._room, running=False)  # it may have ended meanwhile
        await self._until_begun()

    @asynccontextmanager
    async def _seat(self) -> AsyncIterator[Seat]:
        """A seat in the conference, as soon as it can be had, while the block runs."""
        async with AsyncExitStack() as undo:
            if self._lost_by is None:
                self._record.is_now(CallState.JOINING)
                self._announcer.announce(*self._saying)
                try:
                    seat = await self._take_seat(undo)
                except CallError as error:
                    if error.reason is not CONFERENCE_UNREACHABLE:
                        raise
                    seat = await self._come_back(undo, CONFERENCE_UNREACHABLE)
            else:
                seat = await self._come_back(undo, self._lost_by)
            yield seat

    async def _come_back(self, undo: AsyncExitStack, reason: EndReason) -> Seat:
        """Try for a seat again and again, while the caller is told and waits."""
        seat = await self._wait(
            self._tries_for_seat(undo),
            WaitingFor.CONFERENCE,
            self._policy.wait_for_conference_s,
            reason,
        )
        self._announcer.announce(
            PromptId.JOINING if reason is CONFERENCE_UNREACHABLE else PromptId.RECONNECTED
        )
        return seat

    async def _tries_for_seat(self, undo: AsyncExitStack) -> Seat:
        pauses_s = chain(TRY_AGAIN_AFTER_S, repeat(TRY_AGAIN_AFTER_S[-1]))
        while True:
            await asyncio.sleep(next(pauses_s))
            await self._look_whether_it_goes_on()
            try:
                async with asyncio.timeout(ANSWERS_WITHIN_S):
                    return await self._take_seat(undo)
            except TimeoutError:
                pass  # as good as no answer
            except CallError as error:
                if error.reason not in AWAY:
                    raise

    async def _take_seat(self, undo: AsyncExitStack) -> Seat:
        """A seat under the masked name. Raises CallError; then nothing is left of the try."""
        visitor, house, room = self._visitor, self._house, self._room
        async with AsyncExitStack() as attempt:
            label = house.labels.claim(room.key, visitor.caller, hide_digits=visitor.hides_digits)
            attempt.callback(house.labels.release, room.key, label)
            self._shows(label=label)
            news = attempt.enter_context(
                house.room_events.of_caller(room.server, room.meeting_id, label)
            )
            leg = await house.voice.join(
                room,
                label=label,
                pseudonym=visitor.caller.pseudonym(house.pseudonym_key, room.meeting_id),
                codec=visitor.leg.codec,
                beside=visitor.leg.media,
                silence_s=self._policy.conference_silence_s,
            )
            attempt.push_async_callback(self._give_back, leg)
            undo.push_async_exit(attempt.pop_all())
        return Seat(leg, news)

    async def _give_back(self, leg: ConferenceLeg) -> None:
        try:
            self._house.tally.leg_ended("bbb", await leg.media.statistics())
        finally:  # whoever hangs up at this very moment must not leave a ghost in BBB
            await leg.leave()

    async def _stay(self, seat: Seat) -> None:
        """Join the two legs' audio until the conference is over, or lost."""
        caller = self._visitor.leg
        self._greet()
        if not self._visitor.line.keys_are_tones:
            await caller.audio.ignore_tones()
        await self._presence.sit_down(seat.leg, self._room)
        try:
            await self._house.media.bridge(caller.media, seat.leg.media)
            self._record.is_now(CallState.IN_ROOM)
            self._house.pins.got_in(self._visitor.guesser)
            await race(self._until_gone(seat.leg), self._until_ended(seat.news), self._settle())
        finally:
            self._presence.get_up()

    async def _until_gone(self, leg: ConferenceLeg) -> None:
        await race(leg.follow(), any_done(leg.ended, leg.media.lost))
        await any_done(leg.ended, leg.media.lost)

    async def _until_ended(self, news: asyncio.Queue[RoomEvent]) -> None:
        """Follow what BBB tells until it is that the meeting is over."""
        while (event := await news.get()).kind is not HookKind.MEETING_ENDED:
            await self._presence.heed(event)
        raise MeetingOver

    async def _settle(self) -> None:
        await self._presence.settle()
        await asyncio.Event().wait()

    def _greet(self) -> None:
        """What there is to know of a room one has come into."""
        if self._lost_by is None and self._room.is_empty:
            self._announcer.add(PromptId.ALONE)
        if self._lost_by is None and self._room.is_recorded:
            self._announcer.add(PromptId.RECORDED)

    async def _weigh_what_happened(self, seat: Seat) -> None:
        """Return if a seat may be had again. Raises MeetingOver, or CallError for all other ends.

        BBB takes a moment to notice that a meeting is over, so it is asked twice before anybody is
        told that a host has removed them.
        """
        lost, ended = seat.leg.media.lost, seat.leg.ended
        if lost.done() and (not ended.done() or ended.result().by == "us"):
            cause = lost.result()
            if cause != MEDIA_TIMEOUT:
                raise CallError(reason_for_silence(cause, CONFERENCE_MEDIA_LOST))
            self._lost_by = CONFERENCE_MEDIA_LOST
            return
        end = ended.result()
        gone = why_gone(end, await self._house.rooms.is_still_running(self._room))
        if gone is Gone.REMOVED:
            await asyncio.sleep(NOTICES_AFTER_S)
            gone = why_gone(end, await self._house.rooms.is_still_running(self._room))
        match gone:
            case Gone.MEETING_ENDED:
                raise MeetingOver
            case Gone.REMOVED:
                raise CallError(REMOVED)
            case _:
                self._lost_by = CONFERENCE_LOST

    async def _look_whether_it_goes_on(self) -> None:
        """The room as it is now, perhaps on another server. Raises MeetingOver."""
        if await self._house.rooms.is_still_running(self._room) is not False:
            return
        moved = self._house.rooms.by_meeting_id(self._room.meeting_id)
        if moved is None or not moved.running:
            raise MeetingOver
        self._room = moved

    def _main_room(self) -> GoTo:
        """Where the caller goes when the meeting is over. Raises CallError if that is nowhere."""
        parent = self._house.rooms.parent_of(self._room)
        if parent is None or not parent.running:
            raise CallError(MEETING_ENDED)
        return GoTo(parent, (PromptId.BREAKOUT_ENDED,))

    # Beside it

    async def _listen(self) -> Elsewhere:
        """The caller's keys, until one of them leads elsewhere."""
        keys, line = RoomKeys(), self._visitor.line
        while True:
            key = await line.next_key()
            match keys.pressed(key, line.now()):
                case Command.OTHER_ROOM:
                    return AskForAnother(self._room)
                case Command.HIDE_DIGITS:
                    if self._hide_digits():
                        return GoTo(self._room, (PromptId.DIGITS_HIDDEN,))
                case Command() as command:
                    await self._presence.obey(command)
                case None if self._presence.awaits_consent:
                    await self._presence.answer(key)

    def _hide_digits(self) -> bool:
        """From now on; whether the name that others see has to be changed for it."""
        visitor = self._visitor
        is_shown = bool(self._label) and not visitor.hides_digits
        visitor.hides_digits = True
        self._record.hides_digits()
        if not self._label:
            self._shows(label=None)
        if is_shown and visitor.caller.digits_shown:
            return True
        self._announcer.announce(PromptId.DIGITS_HIDDEN)
        return False

    async def _obey(self) -> Elsewhere:
        """Orders of hosts and operators, until one of them leads elsewhere."""
        while True:
            match await self._orders.get():
                case Admit() | Refuse() as order if not self._admission.done():
                    self._admission.set_result(isinstance(order, Admit))
                case Mute() | Unmute() as order:
                    await self._presence.host_mutes(muted=isinstance(order, Mute))
                case LowerHand():
                    self._presence.lower_hand()
                case MoveTo(meeting_id):
                    if room := self._house.rooms.by_meeting_id(meeting_id):
                        return GoTo(room, (PromptId.MOVED,))
                case _:
                    pass

    async def _wait(
        self,
        ready: Coroutine[Any, Any, Found],
        waiting_for: WaitingFor,
        limit_s: float,
        limit_reason: EndReason,
    ) -> Found:
        """Keep the caller company until something is ready. Raises CallError when it takes long."""
        self._record.waits(waiting_for)
        try:
            with self._announcer.keeping_waiting():
                async with asyncio.timeout(limit_s):
                    return await race(ready, self._remind(waiting_for))
        except TimeoutError as late:
            raise CallError(limit_reason) from late

    async def _remind(self, waiting_for: WaitingFor) -> NoReturn:
        """Say what the caller waits for, and again from time to time."""
        match waiting_for:
            case WaitingFor.ROOM:
                at_first, later = PromptId.NOT_BEGUN, PromptId.STILL_WAITING
            case WaitingFor.HOST:
                at_first = later = PromptId.WAITING_FOR_HOST
            case _:
                was_in = self._lost_by is not None
                at_first = later = PromptId.CONNECTION_LOST if was_in else PromptId.CONNECTING
        self._announcer.announce(at_first)
        while True:
            await asyncio.sleep(self._policy.remind_every_s)
            self._announcer.announce(later)

    def _shows(self, *, label: str | None) -> None:
        """What others see of where the caller is; a host knows who waits before they are in."""
        self._label = label or ""
        visitor, room = self._visitor, self._room
        seen = label or self._house.labels.preview(visitor.caller, hide_digits=visitor.hides_digits)
        self._record.enters(room=room.meeting_id, server=room.server or None, label=seen)
