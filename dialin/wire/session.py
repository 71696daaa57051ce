# SPDX-License-Identifier: GPL-3.0-or-later
"""One dialog of an INVITE: what may happen inside it, from either side, until its BYE is done.

Re-INVITE and UPDATE are admitted or put off (RFC 3261 §14.2, RFC 3311 §5.2), and a BYE is sent as
soon as it may be sent (§15). Repeating a 2xx is left to `accepted_invite`; how the first INVITE is
answered, and what the dialog's end means to the leg, to `invite_server` and `invite_client`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Protocol

from dialin.wire.accepted_invite import AcceptedInvite
from dialin.wire.agent_core import AgentCore, Received
from dialin.wire.agent_events import Acknowledged, KeyPressed, LocalAddress, Reanswered, Reoffer
from dialin.wire.content import UnsupportedContent, key_pressed, session_description
from dialin.wire.dialog import Dialog
from dialin.wire.flow import Flow
from dialin.wire.message import Request, Response
from dialin.wire.screening import ACCEPT, ALLOW
from dialin.wire.transaction_key import TransactionKey

SDP_TYPE = ("Content-Type", "application/sdp")
KEY_TYPES = ("Accept", "application/dtmf-relay, application/dtmf")


class SessionOwner(Protocol):
    """The leg that the dialog belongs to."""

    leg_id: str

    def left(self, now: float) -> None:
        """The peer sent a BYE; it is answered already."""

    def unheard(self) -> None:
        """Our 2xx was never acknowledged; the BYE is on its way already."""


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
        early_refusal: int,
    ) -> None:
        """`early_refusal` meets an offer that comes before the first INVITE has its final response:
        500 where that is owed by us (§14.2), 491 where it is owed by the peer."""
        self.leg_id = owner.leg_id
        self.local_tag = dialog.id.local_tag
        self.dialog = dialog
        """Identifiers, route set, remote target."""
        self._core = core
        self._owner = owner
        self._flow = flow
        self._local = local
        self._early_refusal = early_refusal
        self._is_confirmed = False
        self._is_acknowledged = False
        self._is_over = False
        self._accepted: AcceptedInvite | None = None
        self._reoffer: Received | None = None
        core.dialogs[dialog.id] = self

    # What the leg asks for

    def confirm(self, response: Response) -> None:
        """Our INVITE has its 2xx, whose Contact and routes have the last word."""
        self.dialog.confirm(response)
        self._is_confirmed = self._is_acknowledged = True

    def accept(
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
            self.accept(waiting, sdp, now)
        else:
            self._answer_with_sdp(waiting, sdp, now)

    def bye(self, now: float) -> None:
        """End the dialog, as soon as that is allowed."""
        if self._is_over:
            return
        self._is_over = True
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
        self._terminate_reoffer(now)
        self.drop()
        self._owner.left(now)

    def _take_options(self, options: Received, now: float) -> None:
        self._respond(options, 200, now, (ALLOW, ACCEPT))

    def _take_prack(self, prack: Received, now: float) -> None:
        # RFC 3262 §3: it acknowledges nothing, as we send no provisional response reliably.
        self._respond(prack, 481, now)

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
            self._respond(update, 200, now, self.about_us(self._local))
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
            return self._early_refusal
        if self._reoffer:
            return 500  # RFC 3261 §14.2, RFC 3311 §5.2: theirs is not answered yet
        if self._accepted and self._accepted.has_offer:
            return 491  # ours is not
        return None

    def cancelled(self, now: float) -> None:
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
        self._send_bye(now)
        if not self._is_over:
            self._is_over = True
            self._owner.unheard()

    def _send_bye(self, now: float) -> None:
        core = self._core
        request = self.dialog.request(
            "BYE", via=core.via(self._local), headers=(("User-Agent", core.user_agent),)
        )
        core.request(request, core.way_to(self.dialog.next_hop(), self._flow), self, now)

    def responded(self, key: TransactionKey, response: Response, flow: Flow, now: float) -> None:
        """Our BYE is answered; whatever the answer, the dialog is over (§15.1.1)."""
        if response.status >= 200:
            self.drop()

    def timed_out(self, key: TransactionKey, status: int, now: float) -> None:
        """Our BYE is not answered; the dialog is over all the same."""
        self.drop()

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
        return self._core.respond(
            received,
            200,
            now,
            to_tag=self.local_tag,
            headers=(*self.about_us(received.local), SDP_TYPE, *headers),
            body=sdp,
        )

    _TAKE: ClassVar[dict[str, Callable[[Session, Received, float], None]]] = {
        "BYE": _take_bye,
        "INFO": _take_info,
        "INVITE": _take_reoffer,
        "OPTIONS": _take_options,
        "PRACK": _take_prack,
        "UPDATE": _take_update,
    }
