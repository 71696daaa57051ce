# SPDX-License-Identifier: GPL-3.0-or-later
"""Rooms that keep their PIN while meetings come and go.

BBB gives a meeting another number each time it is created, unless its front end asks for one, and
load balancers change even that. A static PIN belongs to the front end's meeting id instead. It is
issued once, unlike every other number that could be keyed, and stays until somebody changes it.

Kept in memory, and written through to the store, which has the last word. What such a PIN leads to
at this moment is left to `pin`.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from dialin.rooms import Room, is_voice_bridge
from dialin.store import (
    PinTaken,
    RoomExists,
    StaticRoom,
    StaticRoomError,
    Store,
    StoreUnavailable,
    UnknownRoom,
    clash,
)
from dialin.store.values import now_utc

__all__ = [
    "BadRoom",
    "PinTaken",
    "RoomExists",
    "StaticRoom",
    "StaticRoomError",
    "StaticRooms",
    "StoreUnavailable",
    "Twin",
    "UnknownRoom",
    "printable",
    "twins",
]

PIN_DIGITS = 9
"""Enough for hundreds of rooms at a risk below 1 % a day (`budgets.risk_24h`)."""
SMALLEST_PIN: int = 10 ** (PIN_DIGITS - 1)
"""No leading zero: spreadsheets and people drop it."""
UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
TRIES = 1000
KEY_BYTES = 32
LONGEST_TEXT = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class BadRoom(StaticRoomError):
    """The meeting id, the name or the PIN that is wanted cannot be used."""


class StaticRooms:
    """All rooms with static PINs."""

    def __init__(
        self,
        store: Store,
        *,
        live: Callable[[], Iterable[Room]] = tuple,
        draw: Callable[[], int] = lambda: secrets.randbelow(9 * SMALLEST_PIN),
    ) -> None:
        """`live` gives the rooms that there are now: no PIN may be like the numbers of others.

        `draw` gives numbers in [0, 9 * 10^8).
        """
        self._store = store
        self._live = live
        self._draw = draw
        self._key = secrets.token_bytes(KEY_BYTES)
        self._rooms: dict[str, StaticRoom] = {}
        self._by_pin: dict[bytes, StaticRoom] = {}
        store.on_change = self._have

    async def load(self) -> None:
        """Read what the store has."""
        self._have(await self._store.rooms())

    def __len__(self) -> int:
        return len(self._rooms)

    def by_pin(self, pin: str) -> StaticRoom | None:
        """The room that a PIN was issued for. CALLER-CONTROLLED: looked up by a keyed digest."""
        return self._by_pin.get(self._digest(pin))

    def get(self, meeting_id: str) -> StaticRoom | None:
        """The room with this meeting id, if a PIN was issued for it."""
        return self._rooms.get(meeting_id)

    def all(self) -> tuple[StaticRoom, ...]:
        """All of them, oldest first."""
        return tuple(self._rooms.values())

    async def create(
        self, meeting_id: str, *, name: str = "", lobby: bool = False, pin: str | None = None
    ) -> StaticRoom:
        """Issue a PIN for a room, or keep the one that is wanted.

        Raises RoomExists, PinTaken, BadRoom, StoreUnavailable.
        """
        _refuse_bad(meeting_id, name, pin)
        if meeting_id in self._rooms:
            raise RoomExists(f"A PIN was issued for {meeting_id!r} before.")
        room = StaticRoom(meeting_id, "", name, lobby, now_utc())
        return await self._keep(room, pin, self._store.add_room)

    async def rotate(self, meeting_id: str, *, pin: str | None = None) -> StaticRoom:
        """Issue another PIN for the room; the old one is nobody's from now on.

        Raises UnknownRoom, PinTaken, BadRoom, StoreUnavailable.
        """
        _refuse_bad(meeting_id, "", pin)
        return await self._keep(self.existing(meeting_id), pin, self._store.change_room)

    async def change(
        self, meeting_id: str, *, name: str | None = None, lobby: bool | None = None
    ) -> StaticRoom:
        """Change what is given; the PIN stays. Raises UnknownRoom, BadRoom, StoreUnavailable."""
        room = self.existing(meeting_id)
        _refuse_bad(meeting_id, name or "", None)
        changed = replace(
            room,
            name=room.name if name is None else name,
            lobby=room.lobby if lobby is None else lobby,
        )
        await self._store.change_room(changed)
        self._have([*self._others(meeting_id), changed])
        return changed

    async def delete(self, meeting_id: str) -> None:
        """The room has no PIN any more. Raises UnknownRoom, StoreUnavailable."""
        self.existing(meeting_id)
        await self._store.delete_room(meeting_id)
        self._have(self._others(meeting_id))

    async def _keep(
        self, room: StaticRoom, pin: str | None, write: Callable[[StaticRoom], Awaitable[None]]
    ) -> StaticRoom:
        """Write the room with the PIN that is wanted, or else one that nothing else is like."""
        for _ in range(TRIES):
            candidate = pin or str(SMALLEST_PIN + self._draw())
            if self._is_free(candidate, room):
                kept = replace(room, pin=candidate)
                try:
                    await write(kept)
                except PinTaken:  # by another process, a moment ago
                    if pin:
                        raise
                    continue
                self._have([*self._others(room.meeting_id), kept])
                return kept
            if pin:
                raise PinTaken("A room or a running meeting has this PIN, or one that begins so.")
        raise PinTaken("There is no PIN left that nothing else is like.")

    def existing(self, meeting_id: str) -> StaticRoom:
        """The room. Raises UnknownRoom."""
        if meeting_id not in self._rooms:
            raise UnknownRoom(f"No PIN was issued for {meeting_id!r}.")
        return self._rooms[meeting_id]

    def _others(self, meeting_id: str) -> Iterator[StaticRoom]:
        return (one for one in self.all() if one.meeting_id != meeting_id)

    def _is_free(self, pin: str, room: StaticRoom) -> bool:
        """Whether nothing that can be keyed is like it: no other room's PIN, not even the one that
        the room has so far, and no other meeting's own number."""
        taken = [one.pin for one in self._rooms.values()]
        taken += _numbers_of_others(self._live(), room.meeting_id)
        return not any(clash(pin, other) for other in taken)

    def _have(self, rooms: Iterable[StaticRoom]) -> None:
        ordered = sorted(rooms, key=lambda room: room.created_at)
        self._rooms = {room.meeting_id: room for room in ordered}
        self._by_pin = {self._digest(room.pin): room for room in ordered}

    def _digest(self, pin: str) -> bytes:
        return hmac.digest(self._key, pin.encode(errors="surrogateescape"), "sha256")


@dataclass(frozen=True, slots=True)
class Twin:
    """A static PIN that is also the number BBB gave to another meeting."""

    static: StaticRoom
    """Whose PIN wins."""
    room: Room
    """The meeting that cannot be reached by its own number."""


def twins(static: Iterable[StaticRoom], rooms: Iterable[Room]) -> tuple[Twin, ...]:
    """All of them: callers who key such a number come to the static room, never to the other."""
    by_pin = {one.pin: one for one in static}
    return tuple(
        Twin(by_pin[room.voice_bridge], room)
        for room in rooms
        if room.voice_bridge in by_pin and by_pin[room.voice_bridge].meeting_id != room.meeting_id
    )


def _numbers_of_others(live: Iterable[Room], meeting_id: str) -> list[str]:
    """The voice bridges of all meetings but this one and its breakout rooms."""
    rooms = tuple(live)
    own = {room.internal_id for room in rooms if room.meeting_id == meeting_id} - {""}
    others = (room for room in rooms if room.meeting_id != meeting_id and room.parent_id not in own)
    return [room.voice_bridge for room in others if room.voice_bridge]


def _refuse_bad(meeting_id: str, name: str, pin: str | None) -> None:
    if not meeting_id or len(meeting_id) > LONGEST_TEXT or _CONTROL.search(meeting_id):
        raise BadRoom(f"A meeting id has 1 to {LONGEST_TEXT} characters, and no control character.")
    if len(name) > LONGEST_TEXT or _CONTROL.search(name):
        raise BadRoom(f"A name has at most {LONGEST_TEXT} characters, and no control character.")
    if pin is not None and not is_voice_bridge(pin):
        raise BadRoom("A PIN has 5 to 11 digits and is not 99999.")


def printable(text: str) -> str:
    """A name or id with nothing in it that a terminal would obey."""
    return "".join(letter if letter.isprintable() else UNPRINTABLE for letter in text)
