# SPDX-License-Identifier: GPL-3.0-or-later
"""`/api/v1/calls`: what operators may see of live calls, and ask of them.

What becomes of an order is the call's affair: it is handed over here, not waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal, Protocol

from dialin.registry import CallSnapshot, CallState, HangUp, MoveTo, Order, WaitingFor
from dialin.web.api.operation import Asked, MeetingId, Operation, Refusal, Shape, written
from dialin.web.api.tokens import Scope
from dialin.web.room_view import ORDERS

NO_SUCH_CALL = "There is no such call; it may have ended."


class LiveCalls(Protocol):
    """The table of live calls."""

    def snapshots(self) -> Sequence[CallSnapshot]:
        """All of them, oldest first."""

    def give(self, call_id: str, order: Order) -> bool:
        """Ask something of a call; False if there is none of that id, or it is too busy."""


class CallShown(Shape):
    """A call as the API has it; written out, so that a new field is shown on purpose only."""

    id: str
    trunk: str
    number_called: str
    label: str | None
    state: CallState
    waiting_for: WaitingFor
    room: str | None
    server: str | None
    codec: str | None
    encrypted: bool
    muted: bool
    hand_raised: bool
    language: str | None
    started_at: str
    duration_s: float
    packets_lost: int
    jitter_ms: float

    @classmethod
    def of(cls, call: CallSnapshot) -> CallShown:
        """What is shown of a call."""
        return cls(
            id=call.id,
            trunk=call.trunk,
            number_called=call.number_called,
            label=call.label,
            state=call.state,
            waiting_for=call.waiting_for,
            room=call.room,
            server=call.server,
            codec=call.codec,
            encrypted=call.encrypted,
            muted=call.muted,
            hand_raised=call.hand_raised,
            language=call.language,
            started_at=written(call.started_at),
            duration_s=call.duration_s,
            packets_lost=call.packets_lost,
            jitter_ms=call.jitter_ms,
        )


class OrderTaken(Shape):
    """What is asked of a call."""

    order: Literal["admit", "refuse", "mute", "unmute", "lower-hand"]


class MoveTaken(Shape):
    """Where a caller is to be led."""

    meeting_id: MeetingId


class CallsDesk:
    """Where requests about calls are answered."""

    def __init__(self, calls: LiveCalls) -> None:
        self._calls = calls

    async def list_calls(self, asked: Asked) -> list[CallShown]:
        """All of them."""
        return [CallShown.of(call) for call in self._calls.snapshots()]

    async def show_call(self, asked: Asked) -> CallShown:
        """One. Raises Refusal."""
        return CallShown.of(self._one(asked))

    async def hang_up(self, asked: Asked) -> None:
        """End it. Raises Refusal."""
        self._give(asked, HangUp())

    async def order(self, asked: Asked) -> None:
        """Give an order that needs no more than its name. Raises Refusal."""
        self._give(asked, ORDERS[asked.body.order])

    async def move(self, asked: Asked) -> None:
        """Lead the caller elsewhere. Raises Refusal."""
        self._give(asked, MoveTo(asked.body.meeting_id))

    def _one(self, asked: Asked) -> CallSnapshot:
        call_id = asked.path["id"]
        found = next((call for call in self._calls.snapshots() if call.id == call_id), None)
        if found is None:
            raise Refusal(HTTPStatus.NOT_FOUND, NO_SUCH_CALL)
        return found

    def _give(self, asked: Asked, order: Order) -> None:
        if not self._calls.give(self._one(asked).id, order):
            raise Refusal(HTTPStatus.CONFLICT, "The call has not obeyed earlier orders yet. Wait.")


def call_operations(calls: LiveCalls) -> tuple[Operation, ...]:
    """Everything below `/api/v1/calls`."""
    desk, absent, clash = CallsDesk(calls), HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
    each = "/api/v1/calls/{id}"
    return (
        Operation(
            "GET",
            "/api/v1/calls",
            "listCalls",
            "All live calls, the oldest first.",
            Scope.CALLS,
            desk.list_calls,
            gives=list[CallShown],
        ),
        Operation(
            "GET",
            each,
            "showCall",
            "One live call.",
            Scope.CALLS,
            desk.show_call,
            gives=CallShown,
            refuses=(absent,),
        ),
        Operation(
            "DELETE",
            each,
            "hangUpCall",
            "End a call; the caller hears a farewell.",
            Scope.CALLS,
            desk.hang_up,
            status=HTTPStatus.ACCEPTED,
            refuses=(absent, clash),
        ),
        Operation(
            "POST",
            f"{each}/orders",
            "orderCall",
            "Mute or unmute a caller, lower the hand, let in or refuse who waits. An order that "
            "makes no sense where the call stands is not obeyed.",
            Scope.CALLS,
            desk.order,
            takes=OrderTaken,
            status=HTTPStatus.ACCEPTED,
            refuses=(absent, clash),
        ),
        Operation(
            "POST",
            f"{each}/move",
            "moveCall",
            "Lead a caller into another meeting, without the PIN.",
            Scope.CALLS,
            desk.move,
            takes=MoveTaken,
            status=HTTPStatus.ACCEPTED,
            refuses=(absent, clash),
        ),
    )
