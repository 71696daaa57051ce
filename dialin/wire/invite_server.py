# SPDX-License-Identifier: GPL-3.0-or-later
"""A call to us, from its INVITE to its final response (RFC 3261 §13.3).

Whoever answers it may take his time; the caller may give up meanwhile, by CANCEL or by BYE. What
happens in the dialog, before and after the 200, is left to `session`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from dialin.wire.agent_core import TAG_BITS, AgentCore, Received
from dialin.wire.agent_events import By, IncomingCall, LegEnd
from dialin.wire.content import session_description
from dialin.wire.dialog import Dialog
from dialin.wire.reason import ByeReason
from dialin.wire.reliable import ReliableProvisionals, requires_reliable
from dialin.wire.session import SDP_TYPE, Session
from dialin.wire.session_expires import Timekeeping

PROVISIONAL_EVERY_S = 60.0
"""RFC 3261 §13.3.1.1: as often as that, or a proxy on the way may give the INVITE up."""
DECLINE = 603


class IncomingCallLeg:
    """One call to us."""

    def __init__(self, core: AgentCore, invite: Received) -> None:
        """Raises PeerError when the INVITE cannot make a dialog."""
        self.leg_id = core.token(TAG_BITS)
        self._core = core
        self._invite = invite
        self.local_tag = core.token(TAG_BITS)
        self._is_answered = False
        self._last_provisional: tuple[int, bytes | None]
        dialog = Dialog.as_uas(invite.request, self.local_tag)
        self._session = Session(core, self, dialog, invite.flow, invite.local, is_called=True)
        self._reliable: ReliableProvisionals | None = None
        if requires_reliable(invite.request):
            self._reliable = ReliableProvisionals(core, self, invite, self.local_tag)
        self._session.reliable = self._reliable
        self._accepts: Callable[[float], None] | None = None
        """What answers the call, as soon as that is allowed."""
        core.legs[self.leg_id] = self
        core.half_open.add(self.leg_id)
        core.cancellable[invite.key] = self
        self._offer = session_description(invite.request)
        core.tell(IncomingCall(self.leg_id, invite.request, invite.flow, invite.local, self._offer))

    # What the layer above asks for

    def provisional(self, status: int, sdp: bytes | None, now: float) -> None:
        """Send a provisional response, and again every minute until the final one.

        Reliably where the caller requires that (RFC 3262 §3). Who also wants our offer gets none
        but 100: the first reliable response would have to bear it (§5), and its PRACK the answer,
        before anybody has taken the call.
        """
        if self._is_answered or (self._reliable and self._offer is None):
            return
        self._last_provisional = (status, sdp)
        body_type = () if sdp is None else (SDP_TYPE,)
        headers = (*self._session.about_us(self._invite.local), *body_type)
        if self._reliable:
            self._reliable.send(status, headers, sdp or b"", now)
        else:
            self._respond(status, now, headers, sdp or b"")
        self._core.alarms.set(self, now + PROVISIONAL_EVERY_S)

    def alarm(self, now: float) -> None:
        """Nobody has answered for a minute."""
        self.provisional(*self._last_provisional, now)

    def accept(
        self,
        sdp: bytes,
        headers: Iterable[tuple[str, str]],
        timekeeping: Timekeeping,
        now: float,
    ) -> None:
        """Take the call. The SDP is our answer, or our offer where the INVITE had none."""
        if self._is_answered:
            return
        if self._reliable and self._reliable.withholds_answer:
            self._accepts = partial(self.accept, sdp, tuple(headers), timekeeping)
        else:
            self._answered()
            self._session.accept_call(
                self._invite, sdp, now, timekeeping=timekeeping, headers=headers
            )

    def reject(self, status: int, headers: Iterable[tuple[str, str]], now: float) -> None:
        """Refuse the call; does nothing once it is answered."""
        if not self._is_answered:
            self._refuse(status, now, headers)
            self._end("us", status, "rejected")

    def hang_up(self, reason: ByeReason, now: float) -> None:
        """End the call: refuse it, or send a BYE."""
        if self._is_answered:
            self._end("us", None, "bye")
            self._session.bye(reason, now)
        else:
            self.reject(DECLINE, (reason.header,), now)

    def answer_reoffer(self, sdp: bytes | None, now: float) -> None:
        """Answer a re-INVITE or UPDATE."""
        self._session.answer_reoffer(sdp, now)

    # What becomes of reliable provisional responses

    def all_acknowledged(self, now: float) -> None:
        """The answer may follow now."""
        if self._accepts:
            self._accepts(now)

    def not_acknowledged(self, now: float) -> None:
        """RFC 3262 §3: without a PRACK, the INVITE is to be refused."""
        self._refuse(504, now)
        self._end("lost", 504, "no-ack")

    # What the caller does

    def cancelled(self, reason: ByeReason | None, now: float) -> None:
        """The caller gave up (RFC 3261 §9.2)."""
        self._refuse(487, now)
        self._end("peer", 487, "cancel", reason)

    def left(self, reason: ByeReason | None, now: float) -> None:
        """The caller hung up, before the answer (§15) or after it."""
        if not self._is_answered:
            self._refuse(487, now)
        self._end("peer", None, "bye", reason)

    def lost(self, status: int | None, cause: str) -> None:
        """The caller does not acknowledge an answer of ours, or refresh the session."""
        self._end("lost", status, cause)

    def _refuse(self, status: int, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        self._answered()
        self._respond(status, now, headers)
        self._session.drop()

    def _answered(self) -> None:
        self._is_answered = True
        self._core.alarms.clear(self)
        if self._reliable:
            self._reliable.stop()

    def _respond(
        self, status: int, now: float, headers: Iterable[tuple[str, str]], body: bytes = b""
    ) -> None:
        self._core.respond(
            self._invite, status, now, to_tag=self.local_tag, headers=headers, body=body
        )

    def _end(self, by: By, status: int | None, cause: str, reason: ByeReason | None = None) -> None:
        self._core.end(self.leg_id, LegEnd(by, status, cause, reason))
