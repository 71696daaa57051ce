# SPDX-License-Identifier: GPL-3.0-or-later
"""The session timer of one dialog (RFC 4028): our refreshes, and the end of a session without any.

At half the interval whoever has to refresh does so; one third of the interval or 32 s before its
end, whichever is less, the session is given up (§10). A refresh is an UPDATE without an offer
where the peer takes that, and else a re-INVITE that repeats our last description. What the
headers mean is left to `session_expires`, and how a session ends to `session`.
"""

from __future__ import annotations

from typing import Protocol

from dialin.wire.agent_core import AgentCore
from dialin.wire.bindings import seconds
from dialin.wire.content import UnsupportedContent, session_description
from dialin.wire.flow import Flow
from dialin.wire.message import Message, Request, Response
from dialin.wire.session_expires import (
    MIN_SE_S,
    Agreement,
    Timekeeping,
    agreed_with_called,
    agreed_with_caller,
    min_se,
)
from dialin.wire.transaction_key import TransactionKey

GIVE_UP_BEFORE_S = 32.0
"""§10: the BYE comes before the peer, and every proxy on the way, has given the session up."""
TRY_AGAIN_NEVER_BELOW_S = 1.0
UNHEARD_OF = frozenset({405, 501})
GONE = frozenset({408, 481})
"""RFC 3261 §12.2.1.2: the peer has no such dialog, or is not there."""


class TimedSession(Protocol):
    """What the timer needs of its session."""

    owns_call_id: bool
    """Whether the Call-ID is ours."""

    def may_invite(self) -> bool:
        """Whether a re-INVITE may be sent now (RFC 3261 §14.1)."""

    def send_refresh(
        self, method: str, headers: tuple[tuple[str, str], ...], now: float
    ) -> TransactionKey:
        """Send it, with our last description where it is an INVITE."""

    def refreshed(self, response: Response, now: float) -> None:
        """A 2xx to a refresh of ours: it may move the target, and an INVITE wants its ACK."""

    def reanswered(self, answer: bytes) -> None:
        """The description in the 2xx to a re-INVITE of ours."""

    def ask_again(self, response: Response, flow: Flow, now: float) -> TransactionKey | None:
        """Send a refresh once more if that is what a response wants and shall have."""

    def expired(self, status: int | None, now: float) -> None:
        """Nobody has refreshed the session."""


class SessionTimer:
    """The timer of one dialog; idle until an answer says how the session is kept."""

    def __init__(self, core: AgentCore, session: TimedSession) -> None:
        self._core = core
        self._session = session
        self._agreement: Agreement | None = None
        self._gives_up_at = 0.0
        self._takes_update = False
        self._at_least_s = MIN_SE_S
        self._pending: TransactionKey | None = None
        """Our refresh that has no final response yet."""
        self._is_over = False

    @property
    def is_offering(self) -> bool:
        """Whether a re-INVITE of ours is under way."""
        return self._pending is not None and self._pending.method == "INVITE"

    # What is agreed on

    def answer(
        self, request: Request, ours: Timekeeping, now: float
    ) -> tuple[tuple[str, str], ...]:
        """Start anew by a request of the peer's; returns what our 2xx has to say of it."""
        self._look_at(request)
        self._agreement = agreed_with_caller(request, self._agreement, ours)
        self._restart(now)
        return self._agreement.in_answer() if self._agreement else ()

    def answered(self, response: Response, now: float) -> None:
        """Start anew by a 2xx to a request of ours."""
        self._look_at(response)
        self._agreement = agreed_with_called(response, self._agreement)
        self._restart(now)

    def stop(self, now: float) -> None:
        """The session ends; a re-INVITE that is under way is waited for, but not for ever."""
        self._is_over = True
        self._core.alarms.clear(self)
        if self._pending:
            self._core.alarms.set(self, now + self._core.timers.patience_s)

    def _look_at(self, message: Message) -> None:
        if allowed := message.headers.values("Allow"):
            self._takes_update = "UPDATE" in allowed
        self._at_least_s = max(self._at_least_s, min_se(message.headers))

    def _restart(self, now: float) -> None:
        agreement = self._agreement
        if agreement is None or self._is_over:
            return
        interval_s = agreement.interval_s
        self._gives_up_at = now + interval_s - min(GIVE_UP_BEFORE_S, interval_s / 3)
        self._wake_at(now + interval_s / 2 if agreement.is_ours else self._gives_up_at)

    def _wake_at(self, at: float) -> None:
        self._core.alarms.set(self, min(at, self._gives_up_at))

    # What is done for it

    def alarm(self, now: float) -> None:
        """A refresh of ours is due, or it is too late for any."""
        if self._is_over and self._pending:
            self._core.abandon(self._pending, now)
        elif now >= self._gives_up_at:
            self._session.expired(None, now)
        else:
            self._refresh(now)

    def _refresh(self, now: float) -> None:
        method = "UPDATE" if self._takes_update else "INVITE"
        may_send = self._takes_update or self._session.may_invite()
        if self._agreement is None or self._pending or not may_send:
            self._try_again(now)
            return
        self._wake_at(self._gives_up_at)
        headers = self._agreement.in_refresh(self._at_least_s)
        self._pending = self._session.send_refresh(method, headers, now)

    def _try_again(self, now: float, at_least_s: float = 0.0) -> None:
        """Later, in half of the time that is left, and not before the peer wants to be asked again;
        there is nothing to do in the last second."""
        rest_s = self._gives_up_at - now
        self._wake_at(now + max(rest_s / 2, TRY_AGAIN_NEVER_BELOW_S, at_least_s))

    def responded(self, key: TransactionKey, response: Response, flow: Flow, now: float) -> None:
        """A response to our refresh; a 2xx to an INVITE comes again until its ACK arrives."""
        if response.status < 200:
            return
        is_first = key == self._pending
        if is_first:
            self._settle()
        if response.status < 300:
            self._session.refreshed(response, now)
            if is_first and not self._is_over:
                self._succeeded(key, response, now)
        elif not self._is_over:
            self._pending = self._session.ask_again(response, flow, now)
            if self._pending is None:
                self._failed(response, now)

    def timed_out(self, key: TransactionKey, status: int, now: float) -> None:
        """No response will come: the peer is gone, or the way to it is for now."""
        self._settle()
        if self._is_over:
            return
        if status in GONE:
            self._session.expired(status, now)
        else:
            self._try_again(now)

    def _settle(self) -> None:
        self._pending = None
        if self._is_over:
            self._core.alarms.clear(self)

    def _succeeded(self, key: TransactionKey, response: Response, now: float) -> None:
        self.answered(response, now)
        try:
            answer = session_description(response)
        except UnsupportedContent:
            answer = None  # a response cannot be refused
        if answer is not None and key.method == "INVITE":
            self._session.reanswered(answer)

    def _failed(self, response: Response, now: float) -> None:
        """The session stands as it was; whether to try again depends on what was said."""
        status = response.status
        if status in GONE:
            self._session.expired(status, now)
        elif status == 422 and self._agreement and min_se(response.headers) > self._at_least_s:
            self._look_at(response)
            interval_s = max(self._agreement.interval_s, self._at_least_s)
            self._agreement = Agreement(interval_s, is_ours=True, is_understood=True)
            self._refresh(now)
        elif status in UNHEARD_OF and self._takes_update:
            self._takes_update = False
            self._refresh(now)
        elif status == 491:
            self._wake_at(now + self._after_glare_s())
        else:
            self._try_again(now, seconds(response.headers.get("Retry-After"), 0))

    def _after_glare_s(self) -> float:
        """RFC 3261 §14.1: the two sides choose from times that do not meet, in steps of 10 ms."""
        chance = int(self._core.token(32), 16)
        return 2.1 + chance % 191 / 100 if self._session.owns_call_id else chance % 201 / 100
