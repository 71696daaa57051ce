# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of live calls: who may come in, what others may see of each, and what they may ask.

Holds labels and counts, never a number (see `caller`). How a call is run, and what it makes of an
order, is `call`'s affair.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from time import monotonic
from typing import Any, Protocol, TypeAlias

from dialin.events import BUSY, DRAINING, INTERNAL_ERROR, CallError, EndReason

ORDERS_KEPT = 16
"""Orders that a call has not read yet; one more is dropped."""
ENDS_KEPT = 100
QUALITIES_KEPT = 60
"""Measurements of the line: five minutes of them."""


class CallState(StrEnum):
    """Where a call stands, in the words of the API."""

    GREETING = "greeting"
    PIN = "pin"
    WAITING = "waiting"
    JOINING = "joining"
    IN_ROOM = "in_room"
    ENDING = "ending"


class WaitingFor(StrEnum):
    """What keeps a caller out of their room."""

    NOTHING = ""
    ROOM = "room"
    """The meeting has not begun."""
    HOST = "host"
    """The host has not let them in."""
    CONFERENCE = "conference"
    """The voice server does not answer."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""

    service_stops: bool = False
    """Whether it is for that, which the caller is told; else an operator wants it."""


@dataclass(frozen=True, slots=True)
class Admit:
    """Let a caller in who waits for the host."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not let a caller in who waits for the host."""


@dataclass(frozen=True, slots=True)
class Mute:
    """Let the room no longer hear the caller."""


@dataclass(frozen=True, slots=True)
class Unmute:
    """Let the room hear the caller again."""


@dataclass(frozen=True, slots=True)
class LowerHand:
    """The caller's turn has come, or will not come."""


@dataclass(frozen=True, slots=True)
class MoveTo:
    """Lead the caller into another meeting."""

    meeting_id: str
    """The front end's id of it."""


Order: TypeAlias = HangUp | Admit | Refuse | Mute | Unmute | LowerHand | MoveTo
"""What hosts and operators ask of a live call. One that makes no sense there is not obeyed."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that is over, or was not let in. Nothing about a person."""

    at: datetime
    """When, UTC."""
    trunk: str
    """The trunk's name in the settings."""
    reason: EndReason
    """How it ended."""
    duration_s: float
    """How long it was up."""


@dataclass(frozen=True, slots=True)
class CallSnapshot:
    """One live call as the API shows it. Never a phone number."""

    id: str
    """Random, fit for logs."""
    trunk: str
    """The trunk's name in the settings."""
    number_called: str
    """Our own number that was dialled, E.164."""
    started_at: datetime
    """When the call came in, UTC."""
    label: str | None = None
    """The masked name shown in the room; None until a room is known."""
    state: CallState = CallState.GREETING
    """Where the call stands."""
    room: str | None = None
    """Meeting id, or None."""
    server: str | None = None
    """The BBB server's name in the settings, or None."""
    codec: str | None = None
    """RTP encoding name of the trunk leg."""
    encrypted: bool = False
    """Whether the trunk leg's media is SRTP."""
    muted: bool = False
    """Whether the room does not hear the caller."""
    duration_s: float = 0.0
    """Seconds since the call came in."""
    packets_lost: int = 0
    """RTP packets of the caller that did not arrive."""
    jitter_ms: float = 0.0
    """Interarrival jitter of the caller's RTP (RFC 3550 §6.4.1)."""
    hand_raised: bool = False
    """Whether the caller asks for the floor."""
    waiting_for: WaitingFor = WaitingFor.NOTHING
    """What the caller waits for, while `state` is waiting."""
    language: str | None = None
    """What the caller hears; None before the answer."""
    digits_hidden: bool = False
    """Whether the caller asked for a label without digits."""
    recent_quality: tuple[tuple[float, int], ...] = ()
    """Jitter in ms and packets lost since the one before, a pair each time the line is measured;
    the newest last, five minutes at most."""


class Tally(Protocol):
    """Who counts calls. Labels are names from the settings and words of the program only."""

    def call_came(self, trunk: str) -> None:
        """A trunk sent an INVITE that begins a call."""

    def call_ended(self, trunk: str, reason: EndReason) -> None:
        """A call ended, or was refused."""

    def stage_ended(self, stage: CallState, seconds: float) -> None:
        """A call left a stage."""


class CallRecord:
    """The writable side of one table entry; belongs to the call that was admitted."""

    def __init__(self, snapshot: CallSnapshot, tally: Tally, on_change: Callable[[], None]) -> None:
        self._snapshot = snapshot
        self._tally = tally
        self._on_change = on_change
        self._orders: asyncio.Queue[Order] = asyncio.Queue(ORDERS_KEPT)
        self._began_s = self._stage_began_s = monotonic()
        self.reason: EndReason = INTERNAL_ERROR
        """How the call ended. Stays internal-error unless the story says otherwise."""
        self.has_been_in_room = False
        """Whether the caller was in any room."""

    @property
    def id(self) -> str:
        """The call's id."""
        return self._snapshot.id

    @property
    def trunk(self) -> str:
        """The trunk's name in the settings."""
        return self._snapshot.trunk

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        return self._snapshot.state

    @property
    def duration_s(self) -> float:
        """Seconds since the call came in."""
        return monotonic() - self._began_s

    async def next_order(self) -> Order:
        """Wait for what a host or operator asks of this call."""
        return await self._orders.get()

    def give(self, order: Order) -> bool:
        """Leave an order for the call; False if too many wait already."""
        try:
            self._orders.put_nowait(order)
        except asyncio.QueueFull:
            return False
        return True

    def is_now(self, state: CallState) -> None:
        """The call has moved on; whoever waits says for what with `waits`."""
        now = monotonic()
        self._tally.stage_ended(self._snapshot.state, now - self._stage_began_s)
        self._stage_began_s = now
        self.has_been_in_room = self.has_been_in_room or state is CallState.IN_ROOM
        self._change(state=state, waiting_for=WaitingFor.NOTHING)

    def waits(self, waiting_for: WaitingFor) -> None:
        """The caller is kept waiting, and for what."""
        self.is_now(CallState.WAITING)
        self._change(waiting_for=waiting_for)

    def speaks(self, codec: str, *, encrypted: bool) -> None:
        """The trunk leg's codec is agreed, and whether its media is SRTP."""
        self._change(codec=codec, encrypted=encrypted)

    def hears(self, language: str) -> None:
        """The caller is spoken to in this language."""
        self._change(language=language)

    def enters(self, *, room: str, server: str | None, label: str | None) -> None:
        """The caller is on the way into a room, under this label."""
        self._change(room=room, server=server, label=label)

    def leaves(self) -> None:
        """The caller is in no room, nor on the way into one."""
        self._change(room=None, server=None, label=None, hand_raised=False)

    def is_muted(self, muted: bool) -> None:
        """Whether the room hears the caller has changed."""
        self._change(muted=muted)

    def raises_hand(self, raised: bool) -> None:
        """The caller's hand has gone up or down."""
        self._change(hand_raised=raised)

    def hides_digits(self) -> None:
        """The caller has asked for a label without digits."""
        self._change(digits_hidden=True)

    def measured(self, *, packets_lost: int, jitter_ms: float) -> None:
        """New figures from the media plane."""
        before = self._snapshot
        newest = (jitter_ms, max(0, packets_lost - before.packets_lost))
        kept = (*before.recent_quality, newest)[-QUALITIES_KEPT:]
        self._change(packets_lost=packets_lost, jitter_ms=jitter_ms, recent_quality=kept)

    def snapshot(self) -> CallSnapshot:
        """The entry as it stands now."""
        return replace(self._snapshot, duration_s=round(self.duration_s, 1))

    def _change(self, **fields: Any) -> None:
        changed = replace(self._snapshot, **fields)
        if changed != self._snapshot:
            self._snapshot = changed
            self._on_change()


class Registry:
    """Live calls and the gate in front of them."""

    def __init__(self, max_calls: int, tally: Tally) -> None:
        self.max_calls = max_calls
        """How many calls may be up at once; those that are up stay."""
        self._tally = tally
        self._calls: dict[str, CallRecord] = {}
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._ends: deque[Ended] = deque(maxlen=ENDS_KEPT)
        self._version = 0
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def is_draining(self) -> bool:
        """Whether new calls are refused because the service is about to stop."""
        return self._draining

    @property
    def version(self) -> int:
        """Goes up whenever something that others can see has changed."""
        return self._version

    @property
    def recent_ends(self) -> tuple[Ended, ...]:
        """The last calls that ended or were not let in, the newest first."""
        return tuple(self._ends)

    async def changed(self, since: int) -> int:
        """Wait until `version` is above `since`; returns it. The caller of this paces itself."""
        while self._version <= since:
            await self._news.wait()
        return self._version

    def give(self, call_id: str, order: Order) -> bool:
        """Ask something of a live call. False: there is none of that id, or it is too busy."""
        record = self._calls.get(call_id)
        return record is not None and record.give(order)

    @contextmanager
    def admit(self, call_id: str, *, trunk: str, number_called: str) -> Iterator[CallRecord]:
        """Let one more call in and keep its entry while the block runs.

        Raises CallError with BUSY or DRAINING, before any work was done for the call.
        """
        if self._draining or len(self._calls) >= self.max_calls:
            refusal = DRAINING if self._draining else BUSY
            self.turn_away(trunk, refusal)
            raise CallError(refusal)
        self._tally.call_came(trunk)
        snapshot = CallSnapshot(call_id, trunk, number_called, started_at=datetime.now(UTC))
        record = CallRecord(snapshot, self._tally, self._has_changed)
        self._calls[call_id] = record
        self._empty.clear()
        self._has_changed()
        try:
            yield record
        finally:
            del self._calls[call_id]
            if not self._calls:
                self._empty.set()
            self._has_ended(trunk, record.reason, record.duration_s)

    def turn_away(self, trunk: str, reason: EndReason) -> None:
        """Count a call that did not come in."""
        self._tally.call_came(trunk)
        self._has_ended(trunk, reason, 0.0)

    def snapshots(self) -> tuple[CallSnapshot, ...]:
        """All live calls, oldest first."""
        return tuple(record.snapshot() for record in self._calls.values())

    def drain(self) -> None:
        """Refuse new calls from now on."""
        self._draining = True
        self._has_changed()

    async def emptied(self) -> None:
        """Wait until no call is left. The caller of this sets the deadline."""
        await self._empty.wait()

    def _has_ended(self, trunk: str, reason: EndReason, duration_s: float) -> None:
        self._tally.call_ended(trunk, reason)
        self._ends.appendleft(Ended(datetime.now(UTC), trunk, reason, round(duration_s, 1)))
        self._has_changed()

    def _has_changed(self) -> None:
        self._version += 1
        self._news.set()  # wakes those who wait now
        self._news.clear()
