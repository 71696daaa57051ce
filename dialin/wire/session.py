# SPDX-License-Identifier: GPL-3.0-or-later
"""One dialog of an INVITE: what may happen inside it, from either side, until its BYE is done.

Re-INVITE and UPDATE are admitted or put off (RFC 3261 §14.2, RFC 3311 §5.2), and a BYE is sent as
soon as it may be sent (§15). Repeating a 2xx is left to `accepted_invite`, when the session is
refreshed to `session_timer`; how the first INVITE is answered, and what the dialog's end means to
the leg, to `invite_server` and `invite_client`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from dialin.wire.accepted_invite import AcceptedInvite
from dialin.wire.agent_core import AgentCore, Received, Requester
from dialin.wire.agent_events import (
    Acknowledged,
    KeyPressed,
    KeyTaken,
    LocalAddress,
    Reanswered,
    Reoffer,
)
from dialin.wire.content import (
    UnsupportedContent,
    key_pressed,
    key_report,
    session_description,
)
from dialin.wire.dialog import Dialog
from dialin.wire.flow import Flow
from dialin.wire.login import Prover, proofs_in
from dialin.wire.message import Request, Response
from dialin.wire.reason import NORMAL_CLEARING, TIMER_EXPIRED, ByeReason, reason_in
from dialin.wire.reliable import PrackSender, ReliableProvisionals, rack_for, rseq_of
from dialin.wire.screening import ACCEPT, ALLOW, SUPPORTED
from dialin.wire.session_expires import Timekeeping
from dialin.wire.session_timer import SessionTimer
from dialin.wire.transaction_key import TransactionKey

SDP_TYPE = ("Content-Type", "application/sdp")
KEY_TYPES = ("Accept", "application/dtmf-relay, application/dtmf")


class SessionOwner(Protocol):
    """The leg that the dialog belongs to."""

    leg_id: str

    def left(self, reason: ByeReason | None, now: float) -> None:
        """The peer sent a BYE, which is answered already, and may have said why."""

    def lost(self, status: int | None, cause: str) -> None:
        """Our 2xx was never acknowledged, or the session not refreshed; our BYE is under way."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request of ours in the dialog."""

    request: Request
    """What was sent."""
    way: Flow
    """Where to."""
    requester: Requester
    """Who waits for what becomes of it."""


class _KeySent:
    """A key of ours under way by INFO."""

    def __init__(self, core: AgentCore, leg_id: str) -> None:
        self._core = core
        self._leg_id = leg_id

    def responded(self, key: TransactionKey, response: Response, flow: Flow, now: float) -> None:
        """A refusal is one: whoever wants a password for a key is not told it."""
        if response.status >= 200:
            self._tell(response.status)

    def timed_out(self, key: TransactionKey, status: int, now: float) -> None:
        """Nobody has taken it; whether the dialog is over shows elsewhere."""
        self._tell(status)

    def _tell(self, status: int) -> None:
        if self._leg_id in self._core.legs:
            self._core.tell(KeyTaken(self._leg_id, status))


class Session:
    """One dialog."""

    def __init__(
        self,
        core: AgentCore,
        owner: SessionOwner,
        dialog: Dialog,
        flow: Flow,
        local: LocalAddress,
        *,
        is_called: bool,
        prover: Prover | None = None,
    ) -> None:
        """`is_called`: the first INVITE came from the peer. `prover` meets challenges to our
        requests in the dialog, where they go to the very server that has challenged the INVITE."""
        self.leg_id = owner.leg_id
        self.local_tag = dialog.id.local_tag
        self.dialog = dialog
        """Identifiers, route set, remote target."""
        self._core = core
        self._owner = owner
        self._flow = flow
        self._local = local
        self._prover = prover
        self._asked: _Asked | None = None
        """Our latest request: there is never more than one whose challenge would matter."""
        self.owns_call_id = not is_called
        self.reliable: ReliableProvisionals | None = None
        """Our reliable provisional responses to the first INVITE, where it came from the peer."""
        self._rseq = 0
        """The number of the peer's latest reliable provisional response; 0 before the first."""
        self._timekeeping = Timekeeping()
        self._timer = SessionTimer(core, self)
        self._local_sdp = b""
        self._is_confirmed = False
        self._is_acknowledged = False
        self._is_over = False
        self._why = NORMAL_CLEARING
        self._accepted: AcceptedInvite | None = None
        self._reoffer: Received | None = None
        core.dialogs[dialog.id] = self

    # What the leg asks for

    def acknowledge(self, response: Response, now: float) -> bool:
        """Whether a provisional response to our INVITE is news; a reliable one gets its PRACK.

        RFC 3262 §4: one that comes again is not, nor one whose predecessor is missing, which will
        come again as well.
        """
        rseq = rseq_of(response)
        if rseq is None:
            return True
        if self._rseq and rseq != self._rseq + 1:
            return False
        self._rseq = rseq
        prack = self._request("PRACK", (rack_for(rseq, response),))
        self._ask(prack, PrackSender(self), now)
        return True

    def confirm(self, response: Response, offer: bytes, now: float) -> None:
        """Our INVITE has its 2xx, whose Contact and routes have the last word."""
        self.dialog.confirm(response)
        self._is_confirmed = self._is_acknowledged = True
        self._local_sdp = offer
        self._timer.answered(response, now)

    def accept_call(
        self,
        invite: Received,
        sdp: bytes,
        now: float,
        *,
        timekeeping: Timekeeping,
        headers: Iterable[tuple[str, str]],
    ) -> None:
        """Answer the first INVITE with 200."""
        self._timekeeping = timekeeping
        self._accept(invite, sdp, now, headers)

    def _accept(
        self, invite: Received, sdp: bytes, now: float, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Answer an INVITE with 200, and again until its ACK comes, whatever the transport."""
        response = self._answer_with_sdp(invite, sdp, now, headers)
        self._is_confirmed = True
        self._accepted = AcceptedInvite(self._core, self, invite, response, now)

    def answer_reoffer(self, sdp: bytes | None, now: float) -> None:
        """Answer the re-INVITE or UPDATE that waits; without SDP the session stays as it was."""
        waiting, self._reoffer = self._reoffer, None
        if waiting is None:
            return
        if sdp is None:
            self._respond(waiting, 488, now)
            return
        self.dialog.refresh_target(waiting.request)
        if waiting.request.method == "INVITE":
            self._accept(waiting, sdp, now)
        else:
            self._answer_with_sdp(waiting, sdp, now)

    def send_key(self, key: str, now: float) -> None:
        """Report a key by INFO (RFC 2976, of which this use is older than RFC 6086)."""
        core, (kind, body) = self._core, key_report(key)
        request = self._request("INFO", body_type=(("Content-Type", kind),), body=body)
        way = core.way_to(self.dialog.next_hop(), self._flow)
        core.request(request, way, _KeySent(core, self.leg_id), now)

    def bye(self, reason: ByeReason, now: float) -> None:
        """End the dialog, as soon as that is allowed, and say why."""
        if self._is_over:
            return
        self._is_over, self._why = True, reason
        self._timer.stop(now)
        self._terminate_reoffer(now)
        # RFC 3261 §15: the callee must not send a BYE before the ACK; it follows when that comes.
        if self._accepted is None:
            self._send_bye(now)

    def drop(self) -> None:
        """Forget the dialog: it is over, or never came to be."""
        self._is_over = True
        if self._accepted:
            self._accepted.settle()
        self._core.dialogs.pop(self.dialog.id, None)

    # What the peer asks for

    def requested(self, received: Received, now: float) -> None:
        """Take a request in the dialog."""
        method = received.request.method
        if self._is_over and method != "BYE":
            self._respond(received, 481, now)
        elif status := self.dialog.accept_request(received.request):
            self._respond(received, status, now)
        else:
            self._flow, self._local = received.flow, received.local
            self._TAKE[method](self, received, now)

    def _take_bye(self, bye: Received, now: float) -> None:
        self._respond(bye, 200, now)
        if self._is_over:
            return  # it crossed our own, which ends the dialog when it is answered
        self._timer.stop(now)
        self._terminate_reoffer(now)
        self.drop()
        self._owner.left(reason_in(bye.request), now)

    def _take_options(self, options: Received, now: float) -> None:
        self._respond(options, 200, now, (ALLOW, ACCEPT, SUPPORTED))

    def _take_prack(self, prack: Received, now: float) -> None:
        reliable = self.reliable
        if reliable is None or not reliable.is_acknowledged_by(prack.request):
            self._respond(prack, 481, now)  # RFC 3262 §3
            return
        # An offer in a PRACK (§5) is refused: the session stands as the response had it.
        self._respond(prack, 488 if prack.request.body else 200, now)
        reliable.acknowledged(now)

    def _take_info(self, info: Received, now: float) -> None:
        key = key_pressed(info.request)
        if key is None and info.request.body:
            self._respond(info, 415, now, (KEY_TYPES,))
            return
        self._respond(info, 200, now)
        if key is not None:
            self._core.tell(KeyPressed(self.leg_id, key))

    def _take_update(self, update: Received, now: float) -> None:
        if session_description(update.request) is None:
            self.dialog.refresh_target(update.request)
            timed = self._timed(update.request, now) if self._is_confirmed else ()
            self._respond(update, 200, now, (*self.about_us(self._local), *timed))
        else:
            self._take_reoffer(update, now)

    def _take_reoffer(self, reoffer: Received, now: float) -> None:
        if status := self._reason_to_wait():
            retry_after = (self._core.retry_after(),) if status == 500 else ()
            self._respond(reoffer, status, now, retry_after)
            return
        if self._accepted:
            # RFC 5407 §3.1.4: the ACK is lost or late. That the peer knows our tag proves as well
            # that our 2xx has arrived.
            self._acknowledge(self._accepted, None, now)
        self._reoffer = reoffer
        self._core.cancellable[reoffer.key] = self
        self._core.tell(Reoffer(self.leg_id, session_description(reoffer.request)))

    def _reason_to_wait(self) -> int | None:
        """The status for an offer that comes while another is under way, None if none is."""
        if not self._is_confirmed:
            # §14.2: the final response to the first INVITE is owed by the peer, or by us.
            return 491 if self.owns_call_id else 500
        if self._reoffer:
            return 500  # RFC 3261 §14.2, RFC 3311 §5.2: theirs is not answered yet
        if self._timer.is_offering or (self._accepted and self._accepted.has_offer):
            return 491  # ours is not
        return None

    def cancelled(self, reason: ByeReason | None, now: float) -> None:
        """The peer takes its re-INVITE back; the session stays (RFC 3261 §9)."""
        self._terminate_reoffer(now)

    def _terminate_reoffer(self, now: float) -> None:
        waiting, self._reoffer = self._reoffer, None
        if waiting:
            self._respond(waiting, 487, now)

    # ACK and BYE

    def acked(self, ack: Request, now: float) -> None:
        """Take an ACK; one that comes again, or to another INVITE, changes nothing."""
        if self._accepted is None or ack.cseq.number != self._accepted.cseq:
            return
        try:
            answer = session_description(ack)
        except UnsupportedContent:
            answer = None  # an ACK cannot be refused
        self._acknowledge(self._accepted, answer, now)

    def _acknowledge(self, accepted: AcceptedInvite, answer: bytes | None, now: float) -> None:
        accepted.settle()
        self._accepted = None
        if self._is_over:
            self._send_bye(now)
        elif not self._is_acknowledged:
            self._is_acknowledged = True
            self._core.half_open.discard(self.leg_id)
            self._core.tell(Acknowledged(self.leg_id, answer))
        elif answer is not None:
            self._core.tell(Reanswered(self.leg_id, answer))

    def unacknowledged(self, now: float) -> None:
        """No ACK in all that time: the dialog is confirmed, and so is ended by BYE (§13.3.1.4)."""
        self._accepted = None
        if self._is_over:
            self._send_bye(now)
        else:
            self.bye(TIMER_EXPIRED, now)
            self._owner.lost(None, "no-ack")

    def _send_bye(self, now: float) -> None:
        self._ask(self._request("BYE", (self._why.header,)), self, now)

    def _request(
        self,
        method: str,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        body_type: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> Request:
        """The next request within the dialog."""
        core = self._core
        return self.dialog.request(
            method,
            via=core.via(self._local),
            headers=(*headers, ("User-Agent", core.user_agent), *body_type),
            body=body,
        )

    def _ask(self, request: Request, requester: Requester, now: float) -> TransactionKey:
        way = self._core.way_to(self.dialog.next_hop(), self._flow)
        if self._prover:
            self._prover.begin()
        return self._send(_Asked(request, way, requester), now)

    def _send(self, asked: _Asked, now: float) -> TransactionKey:
        if self._prover:
            asked = replace(asked, request=self._prover.signed(asked.request, asked.way))
        self._asked = asked
        return self._core.request(asked.request, asked.way, asked.requester, now)

    def ask_again(self, response: Response, flow: Flow, now: float) -> TransactionKey | None:
        """Send our latest request once more if a response wants the password for it (§22.2).

        None where it does not, or is not to be told.
        """
        asked, prover = self._asked, self._prover
        if asked is None or prover is None or not prover.knows(asked.way):
            return None
        if not prover.meets(response, asked=asked.way, came=flow):
            return None
        again = self.dialog.again(asked.request, via=self._core.via(self._local))
        return self._send(replace(asked, request=again), now)

    def responded(self, key: TransactionKey, response: Response, flow: Flow, now: float) -> None:
        """Our BYE is answered; whatever the answer, the dialog is over (§15.1.1), unless it can be
        said again with the password that is asked for."""
        if response.status >= 200 and not self.ask_again(response, flow, now):
            self.drop()

    def timed_out(self, key: TransactionKey, status: int, now: float) -> None:
        """Our BYE is not answered; the dialog is over all the same."""
        self.drop()

    # What the session timer asks for

    def may_invite(self) -> bool:
        """Whether no INVITE is under way from the peer (§14.1)."""
        return self._accepted is None and self._reoffer is None

    def send_refresh(
        self, method: str, headers: tuple[tuple[str, str], ...], now: float
    ) -> TransactionKey:
        """Send a re-INVITE with our last description, or an UPDATE without any."""
        body_type = (SDP_TYPE,) if method == "INVITE" else ()
        request = self._request(
            method,
            (*self.about_us(self._local), *headers),
            body_type=body_type,
            body=self._local_sdp if body_type else b"",
        )
        return self._ask(request, self._timer, now)

    def refreshed(self, response: Response, now: float) -> None:
        """Take the 2xx to a refresh; an INVITE's gets its ACK, as often as it comes (§13.2.2.4)."""
        core, dialog = self._core, self.dialog
        dialog.refresh_target(response)
        if response.cseq.method == "INVITE":
            way = core.way_to(dialog.next_hop(), self._flow)
            proofs = self._proofs_for(way)
            ack = dialog.ack(response.cseq.number, via=core.via(self._local), headers=proofs)
            core.send(ack, way)

    def _proofs_for(self, way: Flow) -> tuple[tuple[str, str], ...]:
        """What an ACK bears that takes this way: only who has been told already is told again."""
        asked = self._asked
        if asked is None or asked.way != way or asked.request.method != "INVITE":
            return ()
        return proofs_in(asked.request)

    def reanswered(self, answer: bytes) -> None:
        """The peer's description in the 2xx to our re-INVITE."""
        self._core.tell(Reanswered(self.leg_id, answer))

    def expired(self, status: int | None, now: float) -> None:
        """RFC 4028 §10: the session has not been refreshed, so it is ended."""
        self.bye(TIMER_EXPIRED, now)
        self._owner.lost(status, "session-expired")

    # How it is said

    def about_us(self, local: LocalAddress) -> tuple[tuple[str, str], ...]:
        """Where we are reached in this dialog, and what we understand."""
        return self._core.about_us(local, is_sips=self.dialog.wants_sips)

    def _respond(
        self,
        received: Received,
        status: int,
        now: float,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._core.respond(received, status, now, to_tag=None, headers=headers)

    def _answer_with_sdp(
        self, received: Received, sdp: bytes, now: float, headers: Iterable[tuple[str, str]] = ()
    ) -> Response:
        self._local_sdp = sdp
        timed = self._timed(received.request, now)
        return self._core.respond(
            received,
            200,
            now,
            to_tag=self.local_tag,
            headers=(*self.about_us(received.local), *timed, SDP_TYPE, *headers),
            body=sdp,
        )

    def _timed(self, request: Request, now: float) -> tuple[tuple[str, str], ...]:
        """What a 2xx says of the session timer, which it starts anew."""
        return self._timer.answer(request, self._timekeeping, now)

    _TAKE: ClassVar[dict[str, Callable[[Session, Received, float], None]]] = {
        "BYE": _take_bye,
        "INFO": _take_info,
        "INVITE": _take_reoffer,
        "OPTIONS": _take_options,
        "PRACK": _take_prack,
        "UPDATE": _take_update,
    }
