# SPDX-License-Identifier: GPL-3.0-or-later
"""From a PIN to a room, and how guessing is kept hopeless.

A PIN is the number of a room's voice conference, or one that was issued for the room for good
(`static_rooms`). Every answer is a value that the dialogue has a prompt for. What is not the
caller's fault uses up no try: a PIN that two rooms share, and a server that does not say whether it
knows the PIN.

A room that runs is found at once. Every other answer comes by one path and at one moment, so that
nobody hears by the clock whether a PIN is unknown, its room not running, or the guess was not
looked at because the caller has guessed too often. How often is `budgets`' affair, where rooms come
from that of `rooms`, asking and telling the caller that of `ivr` and `call`. PINs are the callers'
secrets: none is logged, and no outcome but the room itself holds one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dialin.budgets import Budgets, Guess, Guesser
from dialin.caller import Caller
from dialin.rooms import Room, is_voice_bridge

__all__ = [
    "ANSWER_STEP_S",
    "SLOW_EXTRA_S",
    "Ambiguous",
    "Attempts",
    "DirectoryDown",
    "Found",
    "Guesser",
    "Outcome",
    "PinDesk",
    "TooManyGuesses",
    "UnknownPin",
]

log = logging.getLogger(__name__)

ANSWER_STEP_S = 0.65
"""An answer that is not a running room comes so long after the question, or twice so long and so
on where a server is slow. Long enough for a server that was asked a moment ago (LOOK_GAP_S)."""
SLOW_EXTRA_S = 5.0
"""How much later it comes while guesses are slowed down."""
KEY_BYTES = 32
KEY_LIVES_S = 86400.0
LONGEST_SUFFIX = 2
"""BBB numbers up to 16 breakout rooms by digits behind the main room's number."""


@dataclass(frozen=True, slots=True)
class Found:
    """The PIN names this room."""

    room: Room
    """The room, whether its meeting has begun or not."""


@dataclass(frozen=True, slots=True)
class UnknownPin:
    """No room has this PIN, by the word of every server. A try is used up, and others are left."""


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Two rooms have this PIN, and nobody may guess which one is meant."""


@dataclass(frozen=True, slots=True)
class DirectoryDown:
    """A server that may know the PIN does not answer. The same PIN can be tried again."""


@dataclass(frozen=True, slots=True)
class TooManyGuesses:
    """The last try is used up."""


Outcome: TypeAlias = Found | UnknownPin | Ambiguous | DirectoryDown | TooManyGuesses


class Attempts:
    """The wrong guesses of one call."""

    def __init__(self, limit: int = 3) -> None:
        self.limit = limit
        """How many wrong PINs end the guessing."""
        self.used = 0
        """Wrong PINs so far."""
        self.unanswered = ""
        """The PIN that a silent server may know: trying it again is no other guess."""

    @property
    def left(self) -> int:
        """Wrong PINs that may still come."""
        return self.limit - self.used


class RoomDirectory(Protocol):
    """What is needed of the rooms."""

    def with_voice_bridge(self, pin: str) -> tuple[Room, ...]:
        """All rooms that the PIN may mean."""

    def by_meeting_id(self, meeting_id: str) -> Room | None:
        """The room wherever it is now."""

    def breakouts_of(self, room: Room) -> tuple[Room, ...]:
        """A room's breakout rooms."""

    async def look_again(self) -> bool:
        """Ask every server; True if all have answered. Bounded in time."""


class StaticRoom(Protocol):
    """What is needed of a room that has a PIN for good."""

    @property
    def meeting_id(self) -> str:
        """The front end's id of the room."""

    @property
    def name(self) -> str:
        """What people call it."""


class StaticDirectory(Protocol):
    """What is needed of the PINs that were issued."""

    def by_pin(self, pin: str) -> StaticRoom | None:
        """The room that a PIN was issued for."""


class NoStaticRooms:
    """A directory where no PIN was issued."""

    def by_pin(self, pin: str) -> None:
        """Nobody has it."""


class GuessKeys:
    """The keys that callers are told apart by: today's and yesterday's, in memory only."""

    def __init__(self) -> None:
        self._today, self._yesterday = secrets.token_bytes(KEY_BYTES), b""
        self._since: float | None = None

    def guesser(self, trunk: str, caller: Caller, now: float) -> Guesser:
        """Who guesses, so that it says nothing to whoever does not have the keys."""
        if self._since is None:
            self._since = now
        elif now >= self._since + KEY_LIVES_S:
            is_recent = now < self._since + 2 * KEY_LIVES_S
            self._yesterday = self._today if is_recent else b""
            self._today, self._since = secrets.token_bytes(KEY_BYTES), now
        former = caller.guess_identity(self._yesterday) if self._yesterday else None
        return Guesser(trunk, caller.guess_identity(self._today), former)


class PinDesk:
    """Where PINs are looked up."""

    def __init__(
        self,
        rooms: RoomDirectory,
        *,
        static: StaticDirectory | None = None,
        budgets: Budgets | None = None,
        count: Callable[[str], None] = lambda result: None,
        own_trunk: str = "",
    ) -> None:
        """`count` is told of each guess that was `locked`, so not looked at, or `slow`.

        What comes by `own_trunk` is the service calling itself, without a number: one caller.
        """
        self._rooms = rooms
        self._static = NoStaticRooms() if static is None else static
        self._budgets = budgets or Budgets()
        self._count = count
        self._own_trunk = own_trunk
        self._keys = GuessKeys()
        self._queue = asyncio.Lock()
        self._told_of: set[str] = set()

    def guesser(self, trunk: str, caller: Caller) -> Guesser:
        """Who guesses, without the number."""
        if trunk == self._own_trunk:
            return Guesser(trunk, trunk)
        return self._keys.guesser(trunk, caller, _now())

    def got_in(self, guesser: Guesser) -> None:
        """This caller is in a room, and so no guesser for a day."""
        self._budgets.got_in(guesser, _now())

    def keeps_waiting(self, guesser: Guesser) -> bool:
        """Whether this one waits for a turn, for minutes perhaps, before a PIN is looked at."""
        return self._budgets.is_slow_for(guesser, _now())

    async def find(self, pin: str, attempts: Attempts, guesser: Guesser) -> Outcome:
        """What a keyed PIN means. CALLER-CONTROLLED.

        A PIN that is not known is asked for once more at once: a host reads it out before the next
        poll. The wrong PIN that uses up the last try gives TooManyGuesses, as does every PIN after.
        While guesses are slowed down this may take minutes, and one wrong PIN is the last.
        """
        if attempts.left <= 0:
            return TooManyGuesses()
        is_slow = self._budgets.is_slow_for(guesser, _now())
        guess = await self._turn(guesser)
        begun_at = _now()
        try:
            outcome = await self._look_up(pin, attempts, guess)
        finally:
            # Whoever hangs up when no running room was found at once has guessed wrong, too.
            if guess is not None:
                guess.wrong(_now())
        if isinstance(outcome, UnknownPin) and (is_slow or attempts.left <= 0):
            outcome = TooManyGuesses()
        if not (isinstance(outcome, Found) and outcome.room.running):
            await self._until_all_answers_come(begun_at, SLOW_EXTRA_S if is_slow else 0.0)
        return outcome

    async def _turn(self, guesser: Guesser) -> Guess | None:
        """Leave to evaluate a guess, or None; while guesses are slowed down, one at a time."""
        budgets = self._budgets
        if budgets.is_slow_for(guesser, _now()):
            self._count("slow")
            async with self._queue:
                while budgets.is_slow_for(guesser, _now()) and _now() < budgets.release_at:  # noqa: ASYNC110 - it is a clock that is waited for
                    await asyncio.sleep(budgets.release_at - _now())
                guess = budgets.begin(guesser, _now())
        else:
            guess = budgets.begin(guesser, _now())
        if guess is None:
            self._count("locked")
        return guess

    async def _look_up(self, pin: str, attempts: Attempts, guess: Guess | None) -> Outcome:
        """One path for all; without leave, nothing is found."""
        rooms = self._meant_by(pin) if guess else ()
        is_complete = True
        if is_voice_bridge(pin) and not (len(rooms) == 1 and rooms[0].running):
            is_complete = await self._rooms.look_again()
            rooms = self._meant_by(pin) if guess else ()
        if rooms:
            if guess:
                guess.void()
            return Found(rooms[0]) if len(rooms) == 1 else Ambiguous()
        if not is_complete:
            if guess:
                guess.void() if pin == attempts.unanswered else guess.unanswered(_now())
            attempts.unanswered = pin
            return DirectoryDown()
        attempts.used += 1
        return UnknownPin()

    def _meant_by(self, pin: str) -> tuple[Room, ...]:
        """The rooms that a PIN may mean: the longest match wins, and before any number that BBB
        gave to some meeting by itself, a PIN that was issued."""
        if static := self._static.by_pin(pin):
            room = self._static_room(static)
            self._tell_of_twins(static, pin)
            return (room,)
        return self._rooms.with_voice_bridge(pin) or self._static_breakout(pin)

    def _static_room(self, static: StaticRoom) -> Room:
        """The room wherever it is now; one that no server has yet can be waited for."""
        live = self._rooms.by_meeting_id(static.meeting_id)
        return live or Room("", static.meeting_id, static.name, "", running=False)

    def _static_breakout(self, pin: str) -> tuple[Room, ...]:
        """The breakout room that is named by its number behind the main room's PIN."""
        for length in range(1, LONGEST_SUFFIX + 1):
            parent, suffix = self._static.by_pin(pin[:-length]), pin[-length:]
            if parent and not suffix.startswith("0"):
                breakouts = self._rooms.breakouts_of(self._static_room(parent))
                return tuple(one for one in breakouts if one.sequence == int(suffix))
        return ()

    def _tell_of_twins(self, static: StaticRoom, pin: str) -> None:
        """Tell operators, once, that another meeting cannot be reached by its own number."""
        if static.meeting_id in self._told_of:
            return
        for twin in self._rooms.with_voice_bridge(pin):
            if twin.meeting_id != static.meeting_id:
                self._told_of.add(static.meeting_id)
                log.warning(
                    "a static PIN equals the number that another meeting has; the static PIN wins",
                    extra={"server": twin.server, "room": static.meeting_id},
                )

    async def _until_all_answers_come(self, begun_at: float, extra_s: float) -> None:
        steps = max(1, math.ceil((_now() - begun_at) / ANSWER_STEP_S))
        await asyncio.sleep(begun_at + steps * ANSWER_STEP_S + extra_s - _now())


def _now() -> float:
    return asyncio.get_running_loop().time()
