# SPDX-License-Identifier: GPL-3.0-or-later
"""A request outside any dialog, and what becomes of it: REGISTER and OPTIONS.

Sent once in a transaction of its own; a challenge is met where a login comes with it (RFC 3261
§22), else it is an answer like any other. When to ask, and what an answer means, is left to the
layer above, INVITE to `invite_client`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dialin.wire.agent_core import BRANCH_BITS, TAG_BITS, AgentCore
from dialin.wire.agent_events import LocalAddress, Replied, Unanswered
from dialin.wire.dialog import FIRST_CSEQ, MAX_FORWARDS
from dialin.wire.flow import Flow
from dialin.wire.login import CHALLENGES, Login, Prover, Unanswerable
from dialin.wire.message import Headers, Request, Response
from dialin.wire.timers import Timers
from dialin.wire.transaction_key import TransactionKey


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the requests of one kind to one server have in common (RFC 3261 §10.2.4)."""

    call_id: str
    """The Call-ID."""
    from_tag: str
    """Our tag."""


@dataclass(frozen=True, slots=True)
class Enquiry:
    """What is asked of a server."""

    method: str
    """The method: any but INVITE, ACK and CANCEL."""
    uri: str
    """The Request-URI."""
    from_uri: str = field(repr=False)
    """Who asks; it may hold a phone number."""
    to_uri: str = field(repr=False)
    """Whom it is about; likewise."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Further headers; an answer to a challenge may be among them."""
    login: Login | None = None
    """How a challenge is met; None hands it to who asks."""
    conversation: Conversation | None = None
    """None for one of its own."""
    cseq: int = FIRST_CSEQ
    """The number in the conversation."""
    within_s: float = 32.0
    """How long an answer may take."""
    timers: Timers | None = None
    """How it is repeated, if not like everything else."""


class Asking:
    """One request that waits for its final response."""

    def __init__(
        self, core: AgentCore, enquiry: Enquiry, flow: Flow, local: LocalAddress, now: float
    ) -> None:
        self.id = core.token(TAG_BITS)
        self._core = core
        self._enquiry = enquiry
        self._flow = flow
        self._local = local
        self._conversation = enquiry.conversation or Conversation(
            core.token(BRANCH_BITS), core.token(TAG_BITS)
        )
        self._cseq = enquiry.cseq
        self._prover = Prover(enquiry.login, core.token) if enquiry.login else None
        core.alarms.set(self, now + enquiry.within_s)
        self._key = self._send(now)

    def responded(self, key: TransactionKey, response: Response, flow: Flow, now: float) -> None:
        """A response came; a provisional one only says that another will."""
        if response.status < 200:
            return
        if self._prover is None or response.status not in CHALLENGES:
            self._end(Replied(self.id, response, flow))
            return
        try:
            self._prover.take(response, asked=self._flow, came=flow)
        except Unanswerable as unanswerable:
            self._end(Unanswered(self.id, unanswerable.cause))
        else:
            self._cseq += 1  # RFC 3261 §22.2: a new request of the same conversation
            self._key = self._send(now)

    def timed_out(self, key: TransactionKey, status: int, now: float) -> None:
        """Nobody is there, or the way is gone (§8.1.3.1)."""
        self._end(Unanswered(self.id, "no-answer" if status == 408 else "connection-failed"))

    def alarm(self, now: float) -> None:
        """It has taken too long."""
        self._core.abandon(self._key, now)
        self._end(Unanswered(self.id, "no-answer"))

    def _send(self, now: float) -> TransactionKey:
        enquiry, conversation = self._enquiry, self._conversation
        lines = (
            ("Via", str(self._core.via(self._local))),
            ("Max-Forwards", MAX_FORWARDS),
            ("From", f"<{enquiry.from_uri}>;tag={conversation.from_tag}"),
            ("To", f"<{enquiry.to_uri}>"),
            ("Call-ID", conversation.call_id),
            ("CSeq", f"{self._cseq} {enquiry.method}"),
            *enquiry.headers,
            ("User-Agent", self._core.user_agent),
        )
        request = Request(enquiry.method, enquiry.uri, Headers(lines))
        if self._prover:
            request = self._prover.signed(request, self._flow)
        return self._core.request(request, self._flow, self, now, timers=enquiry.timers)

    def _end(self, event: Replied | Unanswered) -> None:
        self._core.alarms.clear(self)
        self._core.tell(event)
