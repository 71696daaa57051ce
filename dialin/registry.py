# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of live calls: who may come in, and what the web and the drain may see of each.

Holds labels and counts, never a number (see `caller`). How a call is run is `call`'s affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from time import monotonic
from typing import Protocol

from dialin.events import BUSY, DRAINING, INTERNAL_ERROR, CallError, EndReason


class CallState(StrEnum):
    """Where a call stands, in the words of the API."""

    GREETING = "greeting"
    PIN = "pin"
    WAITING = "waiting"
    JOINING = "joining"
    IN_ROOM = "in_room"
    ENDING = "ending"


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

    def __init__(self, snapshot: CallSnapshot, tally: Tally) -> None:
        self._snapshot = snapshot
        self._tally = tally
        self._began_s = self._stage_began_s = monotonic()
        self.reason: EndReason = INTERNAL_ERROR
        """How the call ended. Stays internal-error unless the story says otherwise."""

    @property
    def id(self) -> str:
        """The call's id."""
        return self._snapshot.id

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        return self._snapshot.state

    @property
    def duration_s(self) -> float:
        """Seconds since the call came in."""
        return monotonic() - self._began_s

    def is_now(self, state: CallState) -> None:
        """The call has moved on."""
        now = monotonic()
        self._tally.stage_ended(self._snapshot.state, now - self._stage_began_s)
        self._stage_began_s = now
        self._snapshot = replace(self._snapshot, state=state)

    def speaks(self, codec: str, *, encrypted: bool) -> None:
        """The trunk leg's codec is agreed, and whether its media is SRTP."""
        self._snapshot = replace(self._snapshot, codec=codec, encrypted=encrypted)

    def enters(self, *, room: str, server: str, label: str | None) -> None:
        """The caller is on the way into a room, under this label."""
        self._snapshot = replace(self._snapshot, room=room, server=server, label=label)

    def measured(self, *, packets_lost: int, jitter_ms: float) -> None:
        """New figures from the media plane."""
        self._snapshot = replace(self._snapshot, packets_lost=packets_lost, jitter_ms=jitter_ms)

    def snapshot(self) -> CallSnapshot:
        """The entry as it stands now."""
        return replace(self._snapshot, duration_s=round(self.duration_s, 1))


class Registry:
    """Live calls and the gate in front of them."""

    def __init__(self, max_calls: int, tally: Tally) -> None:
        self._max_calls = max_calls
        self._tally = tally
        self._calls: dict[str, CallRecord] = {}
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def is_draining(self) -> bool:
        """Whether new calls are refused because the service is about to stop."""
        return self._draining

    @contextmanager
    def admit(self, call_id: str, *, trunk: str, number_called: str) -> Iterator[CallRecord]:
        """Let one more call in and keep its entry while the block runs.

        Raises CallError with BUSY or DRAINING, before any work was done for the call.
        """
        if self._draining or len(self._calls) >= self._max_calls:
            refusal = DRAINING if self._draining else BUSY
            self.turn_away(trunk, refusal)
            raise CallError(refusal)
        self._tally.call_came(trunk)
        record = CallRecord(
            CallSnapshot(call_id, trunk, number_called, started_at=datetime.now(UTC)), self._tally
        )
        self._calls[call_id] = record
        self._empty.clear()
        try:
            yield record
        finally:
            del self._calls[call_id]
            if not self._calls:
                self._empty.set()
            self._tally.call_ended(trunk, record.reason)

    def turn_away(self, trunk: str, reason: EndReason) -> None:
        """Count a call that did not come in."""
        self._tally.call_came(trunk)
        self._tally.call_ended(trunk, reason)

    def snapshots(self) -> tuple[CallSnapshot, ...]:
        """All live calls, oldest first."""
        return tuple(record.snapshot() for record in self._calls.values())

    def drain(self) -> None:
        """Refuse new calls from now on."""
        self._draining = True

    async def emptied(self) -> None:
        """Wait until no call is left. The caller of this sets the deadline."""
        await self._empty.wait()
