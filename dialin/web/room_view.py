# SPDX-License-Identifier: GPL-3.0-or-later
"""What a room page is made of: the room, who calls, and whether it all works, as values.

Nothing here is HTML, and nothing here is a number of a caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from dialin.registry import (
    Admit,
    CallSnapshot,
    CallState,
    HangUp,
    LowerHand,
    Mute,
    Order,
    Refuse,
    Unmute,
    WaitingFor,
)
from dialin.web.meeting_name import shown_name

ORDERS: Mapping[str, Order] = {
    "admit": Admit(),
    "refuse": Refuse(),
    "mute": Mute(),
    "unmute": Unmute(),
    "lower-hand": LowerHand(),
    "end": HangUp(),
}
"""What a host may ask for, by the last part of the form's address."""


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """A room as far as its page needs it."""

    meeting_id: str
    """The front end's id."""
    name: str
    """As the host wrote it."""
    pin: str = field(default="", repr=False)
    """What callers key; empty if there is none at the moment."""
    pin_stays: bool = False
    """Whether the PIN is the room's own, and not that of one session."""
    running: bool = False
    """Whether the meeting has begun."""
    lobby: bool = False
    """Whether a host lets callers in."""


class RoomFinder(Protocol):
    """Where rooms are known: their own PINs, and the meetings that run."""

    def find(self, meeting_id: str) -> RoomFacts | None:
        """The room, or None if neither a PIN nor a meeting of it is known."""


class LiveCalls(Protocol):
    """The table of live calls, and what may be asked of them."""

    @property
    def version(self) -> int:
        """Goes up at each change."""

    def snapshots(self) -> Sequence[CallSnapshot]:
        """All of them, oldest first."""

    async def changed(self, since: int) -> int:
        """Wait until the version is above `since`."""

    def give(self, call_id: str, order: Order) -> bool:
        """Ask something of a call; False if there is none of that id."""


@dataclass(frozen=True, slots=True)
class LastTest:
    """The last time that the service called itself."""

    at: datetime
    """When, UTC."""
    ok: bool
    """Whether it got through."""
    stale_after_s: float
    """When it says nothing more."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How the service does."""

    tested: LastTest | None = None
    """The last self-test; None if there was none."""
    is_ill: bool = False
    """Whether callers cannot come in, or reach no meeting."""
    is_draining: bool = False
    """Whether it takes no more calls because it is about to stop."""

    def sentence(self, now: datetime) -> tuple[str, float]:
        """The key of what is said of it, and how long ago that was found out."""
        if self.is_draining:
            return "service.draining", 0.0
        if self.is_ill:
            return "service.ill", 0.0
        if self.tested is None:
            return "service.works_untested", 0.0
        age_s = (now - self.tested.at).total_seconds()
        if age_s > self.tested.stale_after_s:
            return "service.works_untested", 0.0
        return ("service.works" if self.tested.ok else "service.failed"), age_s


Conditions = Callable[[], Condition]


@dataclass(frozen=True, slots=True)
class CallerView:
    """One caller as a host sees them."""

    call_id: str
    label: str
    """The masked name; empty before one is given."""
    state: str
    """Key of what is said of it, below `callers`."""
    hand_raised: bool = False
    actions: tuple[str, ...] = ()
    """What can be asked of the caller, in the order of the buttons."""


@dataclass(frozen=True, slots=True)
class Callers:
    """All callers of one room."""

    waiting: tuple[CallerView, ...] = ()
    in_room: tuple[CallerView, ...] = ()


def title_of(room: RoomFacts, untitled: str) -> str:
    """What the page is headed by."""
    return shown_name(room.name) or untitled


def callers_of(calls: Iterable[CallSnapshot], meeting_id: str) -> Callers:
    """Who waits for a room and who is in it, oldest first."""
    waiting, in_room = [], []
    for call in calls:
        if call.room != meeting_id:
            continue
        if call.state is CallState.IN_ROOM:
            in_room.append(_in_room(call))
        elif call.state in (CallState.WAITING, CallState.JOINING):
            waiting.append(_waiting(call))
    return Callers(tuple(waiting), tuple(in_room))


def _in_room(call: CallSnapshot) -> CallerView:
    actions = ["unmute" if call.muted else "mute"]
    if call.hand_raised:
        actions.append("lower-hand")
    return CallerView(
        call.id,
        call.label or "",
        "muted" if call.muted else "unmuted",
        hand_raised=call.hand_raised,
        actions=(*actions, "end"),
    )


def _waiting(call: CallSnapshot) -> CallerView:
    if call.state is CallState.JOINING:
        return CallerView(call.id, call.label or "", "is_joining", actions=("end",))
    if call.waiting_for is WaitingFor.HOST:
        return CallerView(call.id, call.label or "", "is_waiting_host", actions=("admit", "refuse"))
    is_for_audio = call.waiting_for is WaitingFor.CONFERENCE
    state = "is_waiting_conference" if is_for_audio else "is_waiting_room"
    return CallerView(call.id, call.label or "", state, actions=("end",))
