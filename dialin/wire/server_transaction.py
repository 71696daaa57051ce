# SPDX-License-Identifier: GPL-3.0-or-later
"""The two server machines: INVITE (RFC 3261 §17.2.1, RFC 6026 §7.1) and all else (§17.2.2).

Laid out as `client_transaction`: `_waits_in` is the table of timers, each `match` one of arrows.
The core answers every request that it is given: until it does, a transaction waits for ever.
"""

from __future__ import annotations

from abc import abstractmethod

from dialin.wire.flow import Flow
from dialin.wire.message import Request, Response, response_to
from dialin.wire.timers import Timers
from dialin.wire.transaction_key import TransactionKey
from dialin.wire.transaction_state import (
    Deliver,
    Output,
    ResponseClass,
    Send,
    State,
    Transaction,
    Waits,
)


class ServerTransaction(Transaction):
    """A request that we received."""

    __slots__ = ("_response",)

    def __init__(self, key: TransactionKey, flow: Flow, timers: Timers, now: float) -> None:
        self._response: Response | None = None
        """The latest response, for repeats."""
        super().__init__(key, flow, timers, now)

    @abstractmethod
    def respond(self, response: Response, now: float) -> list[Output]:
        """The table of what the core's responses do."""

    @abstractmethod
    def repeated(self) -> list[Output]:
        """The table of what a repeat of the request does."""

    def _answer(self, response: Response, state: State, now: float) -> list[Output]:
        self._response = response
        self._set_state(state, now)
        return [Send(response, self.flow)]

    def _repeat(self) -> list[Output]:
        return [] if self._response is None else [Send(self._response, self.flow)]


class ServerInviteTransaction(ServerTransaction):
    """An INVITE that we received (figure 7, with RFC 6026's Accepted)."""

    __slots__ = ()

    first_state = State.PROCEEDING
    failing_states = frozenset({State.COMPLETED})

    def __init__(
        self, key: TransactionKey, invite: Request, flow: Flow, timers: Timers, now: float
    ) -> None:
        super().__init__(key, flow, timers, now)
        # What is said while the core thinks. The INVITE itself is kept by whoever works on it.
        self._response = response_to(invite, 100, to_tag=None)

    def respond(self, response: Response, now: float) -> list[Output]:
        """The table of what the core's responses do."""
        match self.state, ResponseClass.of(response.status):
            case State.PROCEEDING, ResponseClass.PROVISIONAL:
                return self._answer(response, State.PROCEEDING, now)
            case State.PROCEEDING, ResponseClass.SUCCESS:
                return self._answer(response, State.ACCEPTED, now)
            case State.PROCEEDING, ResponseClass.FAILURE:
                return self._answer(response, State.COMPLETED, now)
            case State.ACCEPTED, ResponseClass.SUCCESS:
                return [Send(response, self.flow)]  # the core's own repeat (RFC 6026 §7.1)
        return []

    def repeated(self) -> list[Output]:
        """The table of what a repeat of the INVITE does."""
        match self.state:
            case State.PROCEEDING | State.COMPLETED:
                return self._repeat()
        return []  # in Accepted the core repeats its 2xx by itself (§13.3.1.4)

    def acknowledge(self, ack: Request, flow: Flow, now: float) -> list[Output]:
        """The table of what an ACK with this INVITE's branch does."""
        match self.state:
            case State.COMPLETED if ack.to.tag == self._response_tag:
                self._set_state(State.CONFIRMED, now)
            case State.ACCEPTED:
                return [
                    Deliver(ack, flow, None)
                ]  # from peers that reuse the branch (RFC 6026 §7.1)
        return []

    def _waits_in(self, state: State) -> Waits:
        timers = self._timers
        match state:
            case State.PROCEEDING if self._response is None:
                return Waits(repeat_s=timers.trying_s)  # the caller shall not repeat (§17.2.1)
            case State.ACCEPTED:
                return Waits(end_s=timers.timer_l_s)
            case State.COMPLETED:
                return Waits(
                    repeat_s=self._unless_reliable(timers.timer_g_s),
                    repeat_cap_s=timers.t2_s,
                    end_s=timers.timer_h_s,
                )
            case State.CONFIRMED:
                return Waits(end_s=timers.timer_i_s(is_reliable=self.flow.is_reliable))
        return Waits()

    def _repeat(self) -> list[Output]:
        if self.state is State.PROCEEDING:
            self._repeat_at = None  # a provisional response goes out once, and for each repeat
        return super()._repeat()

    @property
    def _response_tag(self) -> str | None:
        return None if self._response is None else self._response.to.tag


class ServerNonInviteTransaction(ServerTransaction):
    """Any other request that we received, less ACK (figure 8)."""

    __slots__ = ()

    first_state = State.TRYING
    failing_states = frozenset()

    def respond(self, response: Response, now: float) -> list[Output]:
        """The table of what the core's responses do."""
        match self.state, ResponseClass.of(response.status):
            case ((State.TRYING | State.PROCEEDING), ResponseClass.PROVISIONAL):
                return self._answer(response, State.PROCEEDING, now)
            case (
                (State.TRYING | State.PROCEEDING),
                (ResponseClass.SUCCESS | ResponseClass.FAILURE),
            ):
                return self._answer(response, State.COMPLETED, now)
        return []

    def repeated(self) -> list[Output]:
        """In Trying nothing is there to be sent; later, the latest response goes out again."""
        return self._repeat()

    def _waits_in(self, state: State) -> Waits:
        match state:
            case State.COMPLETED:
                return Waits(end_s=self._timers.timer_j_s(is_reliable=self.flow.is_reliable))
        return Waits()
