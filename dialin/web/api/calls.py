# SPDX-License-Identifier: GPL-3.0-or-later
"""`/api/v1/calls`: what operators may see of live calls, and ask of them.

What becomes of an order is the call's affair: it is handed over here, not waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Literal, Protocol

from dialin.registry import (
    Admit,
    CallSnapshot,
    CallState,
    HangUp,
    LowerHand,
    MoveTo,
    Mute,
    Order,
    Refuse,
    Unmute,
    WaitingFor,
)
from dialin.web.api.operation import Asked, MeetingId, Operation, Refusal, Shape
from dialin.web.api.tokens import Scope

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
            started_at=_written(call.started_at),
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


_ORDERS: dict[str, Order] = {
    "admit": Admit(),
    "refuse": Refuse(),
    "mute": Mute(),
    "unmute": Unmute(),
    "lower-hand": LowerHand(),
}


def call_operations(calls: LiveCalls) -> tuple[Operation, ...]:
    """Everything below `/api/v1/calls`."""

    def one(call_id: str) -> CallSnapshot:
        found = next((call for call in calls.snapshots() if call.id == call_id), None)
        if found is None:
            raise Refusal(HTTPStatus.NOT_FOUND, NO_SUCH_CALL)
        return found

    def give(call_id: str, order: Order) -> None:
        one(call_id)
        if not calls.give(call_id, order):
            raise Refusal(HTTPStatus.CONFLICT, "The call has not obeyed earlier orders yet. Wait.")

    async def list_calls(asked: Asked) -> list[CallShown]:
        return [CallShown.of(call) for call in calls.snapshots()]

    async def show_call(asked: Asked) -> CallShown:
        return CallShown.of(one(asked.path["id"]))

    async def hang_up(asked: Asked) -> None:
        give(asked.path["id"], HangUp())

    async def ask(asked: Asked) -> None:
        give(asked.path["id"], _ORDERS[asked.body.order])

    async def move(asked: Asked) -> None:
        give(asked.path["id"], MoveTo(asked.body.meeting_id))

    each = "/api/v1/calls/{id}"
    return (
        Operation(
            "GET",
            "/api/v1/calls",
            "listCalls",
            "All live calls, the oldest first.",
            Scope.CALLS,
            list_calls,
            gives=list[CallShown],
        ),
        Operation(
            "GET",
            each,
            "showCall",
            "One live call.",
            Scope.CALLS,
            show_call,
            gives=CallShown,
            refuses=(HTTPStatus.NOT_FOUND,),
        ),
        Operation(
            "DELETE",
            each,
            "hangUpCall",
            "End a call; the caller hears a farewell.",
            Scope.CALLS,
            hang_up,
            status=HTTPStatus.ACCEPTED,
            refuses=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
        ),
        Operation(
            "POST",
            f"{each}/orders",
            "orderCall",
            "Mute or unmute a caller, lower the hand, let in or refuse who waits. An order that "
            "makes no sense where the call stands is not obeyed.",
            Scope.CALLS,
            ask,
            takes=OrderTaken,
            status=HTTPStatus.ACCEPTED,
            refuses=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
        ),
        Operation(
            "POST",
            f"{each}/move",
            "moveCall",
            "Lead a caller into another meeting, without the PIN.",
            Scope.CALLS,
            move,
            takes=MoveTaken,
            status=HTTPStatus.ACCEPTED,
            refuses=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
        ),
    )


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
