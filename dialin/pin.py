# SPDX-License-Identifier: GPL-3.0-or-later
"""From a PIN to a room, and how many wrong guesses a call may make.

A PIN is the number of a room's voice conference. Every answer is a value that the dialogue has a
prompt for. What is not the caller's fault uses up no try: a PIN that two rooms share, and a server
that does not say whether it knows the PIN.

Where rooms come from is `rooms`' affair, asking and telling the caller that of `ivr` and `call`.
PINs are the callers' secrets: none is logged, and no outcome but the room itself holds one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dialin.rooms import Room, is_voice_bridge


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
    """A server that may know the PIN does not answer. The same PIN can be tried again.

    As this uses up no try, a call must not be let try many different PINs after it.
    """


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

    @property
    def left(self) -> int:
        """Wrong PINs that may still come."""
        return self.limit - self.used


class RoomDirectory(Protocol):
    """What is needed of the rooms."""

    def with_voice_bridge(self, pin: str) -> tuple[Room, ...]:
        """All rooms that the PIN may mean."""

    async def look_again(self) -> bool:
        """Ask every server; True if all have answered. Bounded in time."""


class PinDesk:
    """Where PINs are looked up."""

    def __init__(self, rooms: RoomDirectory) -> None:
        self._rooms = rooms

    async def find(self, pin: str, attempts: Attempts) -> Outcome:
        """What a keyed PIN means. CALLER-CONTROLLED.

        A PIN that is not known is asked for once more at once: a host reads it out before the next
        poll. The wrong PIN that uses up the last try gives TooManyGuesses, as does every PIN after.
        """
        if attempts.left <= 0:
            return TooManyGuesses()
        is_complete = True
        if is_voice_bridge(pin) and not self._rooms.with_voice_bridge(pin):
            is_complete = await self._rooms.look_again()
        match self._rooms.with_voice_bridge(pin):
            case (room,):
                return Found(room)
            case (_, _, *_):
                return Ambiguous()
        if not is_complete:
            return DirectoryDown()
        attempts.used += 1
        return UnknownPin() if attempts.left > 0 else TooManyGuesses()
