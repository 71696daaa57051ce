# SPDX-License-Identifier: GPL-3.0-or-later
"""A call from us, from its INVITE to the final response (RFC 3261 §13.2, §9.1).

The called side may ring for as long as the caller of `invite` allows, may answer from several
places at once, and may answer while we give up. A challenge is met where a login comes with the
call; else a 401 or 407 refuses it like any other. What happens in the dialog is left to `session`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dialin.wire.agent_core import BRANCH_BITS, TAG_BITS, AgentCore
from dialin.wire.agent_events import Answered, KeyTaken, LegEnd, LocalAddress, Progress
from dialin.wire.bindings import seconds
from dialin.wire.content import UnsupportedContent, session_description
from dialin.wire.dialog import FIRST_CSEQ, MAX_FORWARDS, Dialog, is_sips
from dialin.wire.flow import Flow
from dialin.wire.header import Address, Params
from dialin.wire.login import Login, Prover, proofs_in
from dialin.wire.message import Headers, Request, Response
from dialin.wire.reason import (
    ELSEWHERE,
    INCOMPATIBLE,
    NO_ANSWER,
    NORMAL_CLEARING,
    ByeReason,
    reason_in,
)
from dialin.wire.session import SDP_TYPE, Session
from dialin.wire.transaction_key import TransactionKey
from dialin.wire.uri import bracketed

MAX_FORKS = 8
"""Places that one call may be answered from; answers beyond are not believed."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """Whom to call, and as whom."""

    uri: str
    """The Request-URI, and the To."""
    from_display: str
    """The name that the called side sees."""
    from_user: str
    """The number that the called side sees."""
    offer: bytes
    """Our SDP."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further headers of the INVITE."""
    answer_within_s: float = 60.0
    """How long it may ring."""
    login: Login | None = None
    """How a challenge of the server that is called is met; None for not at all."""
    from_domain: str | None = None
    """The domain of `from_user`, IPv6 without brackets; None for our own address."""


class OutgoingCallLeg:
    """One call from us."""

    def __init__(
        self,
        core: AgentCore,
        invitation: Invitation,
        flow: Flow,
        local: LocalAddress,
        now: float,
    ) -> None:
        self.leg_id = core.token(TAG_BITS)
        self._core = core
        self._sent_to = self._flow = flow
        self._local = local
        self._prover = Prover(invitation.login, core.token) if invitation.login else None
        self._invite = _invite(core, invitation, local)
        self._sessions: dict[str, Session] = {}
        """The dialogs by the called side's tag: several where the call was forked."""
        self._acks: dict[str, tuple[Request, Flow]] = {}
        """The ACK to each 2xx, to be sent again whenever its 2xx comes again."""
        self._session: Session | None = None
        """The dialog that the call goes on in."""
        self._early: dict[str, bytes] = {}
        """The latest description in provisional responses, by the called side's tag."""
        self._is_heard = False
        self._is_cancelled = False
        self._is_over = False
        self._why = NORMAL_CLEARING
        """Why we gave it up."""
        core.legs[self.leg_id] = self
        core.calling.add(self._invite.call_id)
        core.request(self._invite, flow, self, now)
        core.alarms.set(self, now + invitation.answer_within_s)

    # What the layer above asks for

    def hang_up(self, reason: ByeReason, now: float) -> None:
        """End the call: CANCEL it, or send a BYE."""
        self._why = reason
        if self._session:
            self._end(LegEnd("us", None, "bye"))
            self._session.bye(reason, now)
        else:
            self._end(LegEnd("us", None, "cancel"))
            self._give_up(now)

    def answer_reoffer(self, sdp: bytes | None, now: float) -> None:
        """Answer a re-INVITE or UPDATE."""
        if self._session:
            self._session.answer_reoffer(sdp, now)

    def send_key(self, key: str, now: float) -> None:
        """Report a key by INFO, in a call that is answered."""
        if self._session:
            self._session.send_key(key, now)
        else:
            self._core.tell(KeyTaken(self.leg_id, 481))

    def alarm(self, now: float) -> None:
        """Nobody has answered in time."""
        self._why = NO_ANSWER
        self._end(LegEnd("us", None, "no-answer"))
        self._give_up(now)

    # What the called side does

    def responded(self, key: TransactionKey, response: Response, flow: Flow, now: float) -> None:
        """A response to the INVITE."""
        self._flow = flow
        if response.status < 200:
            self._progressed(response, now)
        elif response.status < 300:
            self._accepted(response, now)
        elif self._is_challenged(response, flow):
            self._invite_again(now)
        else:
            wanted_s = seconds(response.headers.get("Retry-After"), 0) or None
            how = LegEnd("peer", response.status, "rejected", reason_in(response), wanted_s)
            self._failed(how)

    def timed_out(self, key: TransactionKey, status: int, now: float) -> None:
        """Nobody is there: nothing came in 64*T1, or the connection broke (§8.1.3.1)."""
        cause = "transaction-timeout" if status == 408 else "transport-lost"
        self._failed(LegEnd("lost", status, cause))

    def left(self, reason: ByeReason | None, now: float) -> None:
        """The called side sent a BYE."""
        if self._is_over:
            return  # one of a fork that we had no use for
        self._end(LegEnd("peer", None, "bye", reason))
        if self._session is None:
            self._give_up(now)

    def lost(self, status: int | None, cause: str) -> None:
        """The called side does not acknowledge a re-INVITE's answer, or refresh the session."""
        self._end(LegEnd("lost", status, cause))

    def _progressed(self, response: Response, now: float) -> None:
        self._is_heard = True
        if self._is_over:
            self._give_up(now)
        elif response.status > 100:
            session = self._begin_session(response)
            if session is None or not session.acknowledge(response, now):
                return
            if sdp := _sdp(response):
                self._early[response.to.tag or ""] = sdp
            self._core.tell(Progress(self.leg_id, response.status, sdp))

    def _is_challenged(self, response: Response, flow: Flow) -> bool:
        return (
            self._prover is not None
            and not self._is_over
            and self._prover.meets(response, asked=self._sent_to, came=flow)
        )

    def _invite_again(self, now: float) -> None:
        """RFC 3261 §22.2: the same request with an answer, a new branch and the next number."""
        core, before = self._core, self._invite
        self._drop_early_sessions()
        self._is_heard = False
        cseq = f"{before.cseq.number + 1} INVITE"
        headers = before.headers.set("Via", str(core.via(self._local))).set("CSeq", cseq)
        self._invite = self._signed(replace(before, headers=headers), self._sent_to)
        core.request(self._invite, self._sent_to, self, now)

    def _signed(self, request: Request, flow: Flow) -> Request:
        return self._prover.signed(request, flow) if self._prover else request

    def _accepted(self, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        if tag in self._acks:
            self._core.send(*self._acks[tag])  # §13.2.2.4: the ACK was lost
            return
        session = self._begin_session(response)
        if session is None:
            return
        self._acknowledge(tag, session, response, now)
        self._drop_early_sessions()
        if self._is_over or self._session:
            # It crossed our CANCEL, or another place was faster (§13.2.2.4).
            session.bye(ELSEWHERE if self._session else self._why, now)
        elif answer := _sdp(response) or self._early_answer(tag):
            self._session = session
            self._core.alarms.clear(self)
            self._core.tell(Answered(self.leg_id, answer))
        else:
            self._end(LegEnd("us", response.status, "session-refused"))
            session.bye(INCOMPATIBLE, now)

    def _early_answer(self, tag: str) -> bytes | None:
        """The description for a 2xx that has none: its own dialog's (RFC 3261 §13.2.1).

        Behind some gateways the tag changes on the way; then the latest there was.
        """
        return self._early.get(tag) or next(reversed(self._early.values()), None)

    def _begin_session(self, response: Response) -> Session | None:
        """The dialog of a response with this tag; None when there are too many already."""
        tag = response.to.tag or ""
        if tag not in self._sessions and len(self._sessions) < MAX_FORKS:
            dialog = Dialog.as_uac(self._invite, response)
            self._sessions[tag] = Session(
                self._core,
                self,
                dialog,
                self._flow,
                self._local,
                is_called=False,
                prover=self._prover,
            )
        return self._sessions.get(tag)

    def _acknowledge(self, tag: str, session: Session, response: Response, now: float) -> None:
        """Send the ACK to the Contact of the 2xx, by the route set of the 2xx (§13.2.2.4)."""
        core, dialog = self._core, session.dialog
        session.confirm(response, self._invite.body, now)
        way = core.way_to(dialog.next_hop(), self._flow)
        proofs = proofs_in(self._invite) if way.includes(self._sent_to) else ()
        ack = dialog.ack(self._invite.cseq.number, via=core.via(self._local), headers=proofs)
        self._acks[tag] = ack, way
        core.send(*self._acks[tag])

    def _failed(self, end: LegEnd) -> None:
        self._drop_early_sessions()
        if not self._is_over:
            self._end(end)

    def _drop_early_sessions(self) -> None:
        for tag in self._sessions.keys() - self._acks.keys():
            self._sessions.pop(tag).drop()

    def _give_up(self, now: float) -> None:
        """Send a CANCEL, as soon as anything has been heard and only once (§9.1)."""
        if not self._is_heard or self._is_cancelled:
            return
        self._is_cancelled = True
        invite = self._invite.headers
        copied = ("Via", "Max-Forwards", "Route", "From", "To", "Call-ID")
        lines = (
            *((name, value) for name in copied for value in invite.all(name)),
            ("CSeq", f"{self._invite.cseq.number} CANCEL"),
            self._why.header,
            ("User-Agent", self._core.user_agent),
        )
        cancel = Request("CANCEL", self._invite.uri, Headers(lines))
        self._core.request(cancel, self._sent_to, None, now)

    def _end(self, end: LegEnd) -> None:
        self._is_over = True
        self._core.alarms.clear(self)
        self._core.calling.discard(self._invite.call_id)
        self._core.end(self.leg_id, end)


def _invite(core: AgentCore, invitation: Invitation, local: LocalAddress) -> Request:
    """The INVITE (§8.1.1), made of nothing but the invitation and our own address."""
    host = bracketed(invitation.from_domain or local.told)
    caller = Address(
        invitation.from_display,
        f"sip:{invitation.from_user}@{host}",
        Params((("tag", core.token(TAG_BITS)),)),
    )
    lines = (
        ("Via", str(core.via(local))),
        ("Max-Forwards", MAX_FORWARDS),
        ("From", str(caller)),
        ("To", f"<{invitation.uri}>"),
        ("Call-ID", core.token(BRANCH_BITS)),
        ("CSeq", f"{FIRST_CSEQ} INVITE"),
        *core.about_us(local, is_sips=is_sips(invitation.uri)),
        ("User-Agent", core.user_agent),
        *invitation.headers,
        SDP_TYPE,
    )
    return Request("INVITE", invitation.uri, Headers(lines), invitation.offer)


def _sdp(response: Response) -> bytes | None:
    """The SDP of a response; what is no SDP is no answer either, and a response has no refusal."""
    try:
        return session_description(response)
    except UnsupportedContent:
        return None
