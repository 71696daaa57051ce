# SPDX-License-Identifier: GPL-3.0-or-later
"""The user agent: messages, wishes and the time go in; what to send and what happened come out.

It holds the transaction layer, the dialogs and the INVITE sessions of both roles, and decides who
takes which message. It reads no clock, opens no socket and makes no random numbers: `now` comes
with each call, randomness from `token`. Its owner must send each `Send`, act on each event, and
call `fire` at `next_deadline`.

Which requests are refused unseen is left to `screening`, repeats to the transaction layer, the
life of a call to `invite_server`, `invite_client` and `session`, and SDP to the layer above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dialin.errors import PeerError
from dialin.wire.agent_core import TAG_BITS, AgentCore, InDialog, Output, Received
from dialin.wire.agent_events import LocalAddress
from dialin.wire.asking import Asking, Enquiry
from dialin.wire.dialog import DialogId
from dialin.wire.flow import Flow
from dialin.wire.invite_client import Invitation, OutgoingCallLeg
from dialin.wire.invite_server import IncomingCallLeg
from dialin.wire.message import (
    MalformedMessage,
    Message,
    Request,
    Response,
    respond_to_malformed,
)
from dialin.wire.reason import NORMAL_CLEARING, ByeReason, reason_in
from dialin.wire.screening import ACCEPT, ALLOW, SUPPORTED, refusal
from dialin.wire.session_expires import Timekeeping
from dialin.wire.timers import Timers
from dialin.wire.transaction_state import Deliver

MAX_HALF_OPEN = 256
"""Calls to us that may wait for their answer or its ACK: forged INVITEs must not pile up."""
RETRY_LATER = ("Retry-After", "5")
AS_ASKED = Timekeeping()


class UserAgent:
    """One SIP user agent, client and server."""

    def __init__(
        self,
        *,
        token: Callable[[int], str],
        user_agent: str = "dialin",
        timers: Timers | None = None,
        may_send_to: Callable[[str], bool] = lambda _host: False,
        max_half_open: int = MAX_HALF_OPEN,
    ) -> None:
        """`token(n)` gives n random bits as hexadecimal text. `may_send_to` says which addresses,
        other than the one a dialog lives with, its Contact or Record-Route may lead to."""
        self.takes_calls = True
        """Whether an OPTIONS outside a dialog is told that calls are welcome (§11.2)."""
        self._max_half_open = max_half_open
        self._core = AgentCore(
            token=token,
            user_agent=user_agent,
            timers=timers or Timers(),
            may_send_to=may_send_to,
        )

    # What comes from the wire

    def receive(
        self, message: Message, flow: Flow, local: LocalAddress, now: float
    ) -> list[Output]:
        """Take a message that came by `flow` to our address `local`."""
        core = self._core
        for output in core.transactions.receive(message, flow, now):
            if isinstance(output, Deliver):
                self._deliver(output, local, now)
            else:
                core.perform((output,), now)
        return core.take_outputs()

    def receive_malformed(self, error: MalformedMessage, flow: Flow) -> list[Output]:
        """Answer what could not be understood, where it deserves an answer.

        The answer goes to where the message came from: its Via is not to be believed.
        """
        response = respond_to_malformed(error)
        if response:
            self._core.send(response, flow)
        return self._core.take_outputs()

    def transport_failed(self, flow: Flow, now: float) -> list[Output]:
        """Nothing can be sent to `flow`, or nothing comes from it any more."""
        core = self._core
        core.perform(core.transactions.transport_failed(flow, now), now)
        return core.take_outputs()

    def next_deadline(self) -> float | None:
        """When `fire` is due."""
        deadlines = (self._core.transactions.next_deadline(), self._core.alarms.next())
        return min((at for at in deadlines if at is not None), default=None)

    def fire(self, now: float) -> list[Output]:
        """Do what is due."""
        core = self._core
        core.perform(core.transactions.fire(now), now)
        for owner in core.alarms.due(now):
            owner.alarm(now)
        return core.take_outputs()

    # What the layer above wants; a leg that is gone takes no harm

    def invite(
        self, invitation: Invitation, flow: Flow, local: LocalAddress, now: float
    ) -> tuple[str, list[Output]]:
        """Call somebody; returns the new leg's id."""
        leg = OutgoingCallLeg(self._core, invitation, flow, local, now)
        return leg.leg_id, self._core.take_outputs()

    def ask(
        self, enquiry: Enquiry, flow: Flow, local: LocalAddress, now: float
    ) -> tuple[str, list[Output]]:
        """Send a request outside any dialog; returns the id that its Reply will bear."""
        asking = Asking(self._core, enquiry, flow, local, now)
        return asking.id, self._core.take_outputs()

    def provisional(self, leg: str, status: int, sdp: bytes | None, now: float) -> list[Output]:
        """Send 180 or 183 to a caller."""
        if call := self._incoming(leg):
            call.provisional(status, sdp, now)
        return self._core.take_outputs()

    def accept(
        self,
        leg: str,
        sdp: bytes,
        now: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
        timekeeping: Timekeeping = AS_ASKED,
    ) -> list[Output]:
        """Answer a caller with 200; Acknowledged or Ended follows."""
        if call := self._incoming(leg):
            call.accept(sdp, headers, timekeeping, now)
        return self._core.take_outputs()

    def reject(
        self, leg: str, status: int, now: float, *, headers: Iterable[tuple[str, str]] = ()
    ) -> list[Output]:
        """Refuse a caller."""
        if call := self._incoming(leg):
            call.reject(status, headers, now)
        return self._core.take_outputs()

    def hang_up(self, leg: str, now: float, reason: ByeReason = NORMAL_CLEARING) -> list[Output]:
        """End a leg by CANCEL, refusal or BYE, as its state wants it."""
        if call := self._core.legs.get(leg):
            call.hang_up(reason, now)
        return self._core.take_outputs()

    def answer_reoffer(self, leg: str, sdp: bytes | None, now: float) -> list[Output]:
        """Answer a Reoffer with our SDP, or refuse it with 488."""
        if call := self._core.legs.get(leg):
            call.answer_reoffer(sdp, now)
        return self._core.take_outputs()

    def send_key(self, leg: str, key: str, now: float) -> list[Output]:
        """Report a key by INFO in a call of ours that is answered; KeyTaken follows, or Ended."""
        call = self._core.legs.get(leg)
        if isinstance(call, OutgoingCallLeg):
            call.send_key(key, now)
        return self._core.take_outputs()

    # For metrics, and for tests that look for leaks

    @property
    def legs(self) -> int:
        """Legs that have not ended, or whose dialog is not closed yet."""
        open_dialogs = {session.leg_id for session in self._core.dialogs.values()}
        return len(open_dialogs | self._core.legs.keys())

    @property
    def transactions(self) -> int:
        """Transactions, those included that only wait for repeats."""
        return len(self._core.transactions)

    @property
    def strays(self) -> int:
        """Responses that nobody waited for."""
        return self._core.transactions.strays

    # Who takes what

    def _incoming(self, leg: str) -> IncomingCallLeg | None:
        call = self._core.legs.get(leg)
        return call if isinstance(call, IncomingCallLeg) else None

    def _deliver(self, delivered: Deliver, local: LocalAddress, now: float) -> None:
        message, flow, key = delivered.message, delivered.flow, delivered.key
        if isinstance(message, Response):
            requester = self._core.requesters.get(key) if key else None
            if key and requester:
                requester.responded(key, message, flow, now)
        elif key is None:
            if dialog := self._dialog_of(message):
                dialog.acked(message, now)
        else:
            self._requested(Received(key, message, flow, local), now)

    def _dialog_of(self, request: Request) -> InDialog | None:
        return self._core.dialogs.get(DialogId.of_request(request))

    def _requested(self, received: Received, now: float) -> None:
        request = received.request
        if refused := refusal(request):
            self._answer(received, refused.status, now, refused.headers)
        elif request.method == "CANCEL":
            self._cancel(received, now)
        elif request.to.tag is not None:
            if dialog := self._dialog_of(request):
                dialog.requested(received, now)
            else:
                self._answer(received, 481, now)
        elif self._core.transactions.is_merged(request) or request.call_id in self._core.calling:
            # §8.2.2.2, or a call of our own that was sent back to us: it would go round for ever.
            self._answer(received, 482, now)
        else:
            self._begin(received, now)

    def _begin(self, received: Received, now: float) -> None:
        """Take a request outside any dialog: a call, or a question whether we are there."""
        core = self._core
        match received.request.method:
            case "INVITE" if len(core.half_open) < self._max_half_open:
                try:
                    IncomingCallLeg(core, received)
                except PeerError:
                    self._answer(received, 400, now)
            case "INVITE":
                self._answer(received, 503, now, (RETRY_LATER,))
            case "OPTIONS" if self.takes_calls:
                self._answer(received, 200, now, (ALLOW, ACCEPT, SUPPORTED))
            case "OPTIONS":
                self._answer(received, 503, now)
            case _:
                self._answer(received, 481, now)

    def _cancel(self, received: Received, now: float) -> None:
        """RFC 3261 §9.2: 200 for a CANCEL that finds its INVITE, in time or not."""
        invite = self._core.transactions.cancelled(received.request)
        if invite is None:
            self._answer(received, 481, now)
        elif owner := self._core.cancellable.get(invite):
            self._core.respond(received, 200, now, to_tag=owner.local_tag)
            owner.cancelled(reason_in(received.request), now)
        else:
            self._answer(received, 200, now)

    def _answer(
        self,
        received: Received,
        status: int,
        now: float,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._core.respond(
            received, status, now, to_tag=self._core.token(TAG_BITS), headers=headers
        )
