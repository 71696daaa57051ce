# SPDX-License-Identifier: GPL-3.0-or-later
"""The two client machines: INVITE (RFC 3261 §17.1.1, RFC 6026 §7.2) and all else (§17.1.2).

Each machine is two tables: `_waits_in`, its timers, and the `match` of `receive`, its arrows. An
arrow that is missing means that the event is ignored. A reader with the RFC's figure beside it
should find every arrow in one of the two.
"""

from __future__ import annotations

from abc import abstractmethod

from dialin.wire.flow import Flow
from dialin.wire.message import Headers, Request, Response
from dialin.wire.timers import Timers
from dialin.wire.transaction_key import TransactionKey
from dialin.wire.transaction_state import (
    Deliver,
    Output,
    ResponseClass,
    Send,
    State,
    TimedOut,
    Transaction,
    Waits,
)

MAX_FORWARDS = ("Max-Forwards", "70")
"""RFC 3261 §8.1.1.6."""


class ClientTransaction(Transaction):
    """A request that we sent."""

    __slots__ = ("_request",)

    failing_states = frozenset({State.CALLING, State.TRYING, State.PROCEEDING})

    def __init__(
        self, key: TransactionKey, request: Request, flow: Flow, timers: Timers, now: float
    ) -> None:
        super().__init__(key, flow, timers, now)
        self._request = request

    def start(self) -> list[Output]:
        """Send the request for the first time."""
        return self._repeat()

    @abstractmethod
    def receive(self, response: Response, flow: Flow, now: float) -> list[Output]:
        """The table of what responses do."""

    def transport_failed(self, now: float) -> list[Output]:
        """The way to the other side is gone: what is not answered has failed (§17.1.4)."""
        if self.state not in self.failing_states:
            return []
        self._set_state(State.TERMINATED, now)
        return [TimedOut(self.key, status=503)]

    def _repeat(self) -> list[Output]:
        return [Send(self._request, self.flow)]


class ClientInviteTransaction(ClientTransaction):
    """An INVITE that we sent (figure 5, with RFC 6026's Accepted)."""

    __slots__ = ()

    first_state = State.CALLING

    def receive(self, response: Response, flow: Flow, now: float) -> list[Output]:
        """The table of what responses do."""
        match self.state, ResponseClass.of(response.status):
            case State.CALLING, ResponseClass.PROVISIONAL:
                self._set_state(State.PROCEEDING, now)
                return [Deliver(response, flow, self.key)]
            case State.PROCEEDING, ResponseClass.PROVISIONAL:
                return [Deliver(response, flow, self.key)]
            case ((State.CALLING | State.PROCEEDING), ResponseClass.SUCCESS):
                self._set_state(State.ACCEPTED, now)
                return [Deliver(response, flow, self.key)]
            case ((State.CALLING | State.PROCEEDING), ResponseClass.FAILURE):
                self._set_state(State.COMPLETED, now)
                return [self._acknowledge(response), Deliver(response, flow, self.key)]
            case State.ACCEPTED, ResponseClass.SUCCESS:
                # A repeat, or another branch of a fork: the core acknowledges both (RFC 6026 §7.2).
                return [Deliver(response, flow, self.key)]
            case State.COMPLETED, ResponseClass.FAILURE:
                return [self._acknowledge(response)]
        return []

    def cancelled(self, now: float) -> None:
        """A CANCEL was sent: an answer comes within 64*T1, or none will (§9.1)."""
        if self.state is State.PROCEEDING:
            self._wait(Waits(end_s=self._timers.patience_s), now)

    def _waits_in(self, state: State) -> Waits:
        timers = self._timers
        match state:
            case State.CALLING:
                return Waits(
                    repeat_s=self._unless_reliable(timers.timer_a_s), end_s=timers.timer_b_s
                )
            case State.ACCEPTED:
                return Waits(end_s=timers.timer_m_s)
            case State.COMPLETED:
                return Waits(end_s=timers.timer_d_s(is_reliable=self.flow.is_reliable))
        return Waits()  # a phone may ring for as long as it likes

    def _acknowledge(self, response: Response) -> Send:
        """The ACK to a final response that is no 2xx (§17.1.1.3)."""
        invite = self._request
        copied = invite.headers
        ack = (
            ("Via", copied.values("Via")[0]),
            MAX_FORWARDS,
            *(("Route", route) for route in copied.all("Route")),
            ("From", copied.all("From")[0]),
            ("To", response.headers.all("To")[0]),
            ("Call-ID", invite.call_id),
            ("CSeq", f"{invite.cseq.number} ACK"),
        )
        return Send(Request("ACK", invite.uri, Headers(ack)), self.flow)


class ClientNonInviteTransaction(ClientTransaction):
    """Any other request that we sent (figure 6)."""

    __slots__ = ()

    first_state = State.TRYING

    def receive(self, response: Response, flow: Flow, now: float) -> list[Output]:
        """The table of what responses do."""
        match self.state, ResponseClass.of(response.status):
            case State.TRYING, ResponseClass.PROVISIONAL:
                self._set_state(State.PROCEEDING, now)
                self._pause_s = self._timers.t2_s  # E's length from its next firing on (§17.1.2.2)
                return [Deliver(response, flow, self.key)]
            case State.PROCEEDING, ResponseClass.PROVISIONAL:
                return [Deliver(response, flow, self.key)]
            case (
                (State.TRYING | State.PROCEEDING),
                (ResponseClass.SUCCESS | ResponseClass.FAILURE),
            ):
                self._set_state(State.COMPLETED, now)
                return [Deliver(response, flow, self.key)]
        return []

    def _waits_in(self, state: State) -> Waits | None:
        timers = self._timers
        match state:
            case State.TRYING:
                return Waits(
                    repeat_s=self._unless_reliable(timers.timer_e_s),
                    repeat_cap_s=timers.t2_s,
                    end_s=timers.timer_f_s,
                )
            case State.PROCEEDING:
                return None  # E and F run on (§17.1.2.2)
            case State.COMPLETED:
                return Waits(end_s=timers.timer_k_s(is_reliable=self.flow.is_reliable))
        return Waits()
