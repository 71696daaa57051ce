# SPDX-License-Identifier: GPL-3.0-or-later
"""One account's registration with its provider (RFC 3261 §10): what to ask when, and what it means.

A machine without clock, socket and randomness. Its owner sends the REGISTER that `register` makes
as soon as `due_at` has come, tells what came of it by `answered` or `failed`, and sees where the
registration stands. A REGISTER is never repeated, answered or followed by another within a second.
Which server is asked, and keeping the way to it open, is left to `dialin.registration`; which
challenges are answered, to `login`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from dialin.wire.agent_core import BRANCH_BITS, TAG_BITS
from dialin.wire.agent_events import LocalAddress
from dialin.wire.asking import Conversation, Enquiry
from dialin.wire.bindings import Bindings, seconds
from dialin.wire.dialog import FIRST_CSEQ
from dialin.wire.flow import Flow
from dialin.wire.login import CHALLENGES, Login, Prover, Unanswerable
from dialin.wire.message import Response
from dialin.wire.registration_cause import Cause
from dialin.wire.timers import Timers
from dialin.wire.uri import bracketed

NEVER: Final = float("inf")
REST_S: Final = 1.0
"""Between one REGISTER, or what came of it, and the next."""
TIMERS: Final = Timers(t1_s=REST_S, t2_s=2.0)
"""RFC 3261 §17.1.1.1 allows a longer T1. Repeats of a lost REGISTER keep to the second as well,
and come often enough for a registrar that is back."""
ANSWER_WITHIN_S: Final = 10.0
"""How long one server may take before the next is tried."""
LONGEST_PAUSE_S: Final = 300.0
FIRST_LASTING_PAUSE_S: Final = 16.0
"""After a refusal that will not change by itself: servers lock accounts that guess."""
LONGEST_RETRY_AFTER_S: Final = 3600.0
"""A server cannot send us away for longer."""
REFRESH_AT: Final = (0.5, 0.8)
"""The part of the granted time after which it is renewed."""
LONGEST_EXPIRES_S: Final = 86400 * 7
"""A registrar cannot make us ask for longer."""
LASTING_S: Final = 30.0
"""A way that was open for so long was worth having."""
MAX_DOUBLINGS: Final = 16
FIRST_HOP_LACKS_OUTBOUND: Final = 439
RETRY_AFTER_SPREAD: Final = 10
"""A Retry-After is exceeded by up to this part of it."""

USER_CHARACTERS: Final = "-_.!~*'()&=+$,;?/"
"""What a user part may hold as it is, beside letters and digits (RFC 3261 §25.1)."""

CAUSES_OF_REFUSALS: Final = {
    403: Cause.FORBIDDEN,
    404: Cause.UNKNOWN_ACCOUNT,
    408: Cause.SERVER_ERROR,
    423: Cause.EXPIRES_REFUSED,
    500: Cause.SERVER_ERROR,
    502: Cause.SERVER_ERROR,
    503: Cause.OVERLOADED,
    504: Cause.SERVER_ERROR,
}
"""What a final response stands for; any other is a refusal."""


@dataclass(frozen=True, slots=True)
class _Out:
    """A REGISTER that is on its way."""

    flow: Flow
    """To whom."""
    is_last: bool
    """Whether it takes the registration back."""


@dataclass(frozen=True, slots=True)
class Account:
    """What the provider gave us."""

    domain: str
    """The domain of our address, IPv6 without brackets."""
    username: str = field(repr=False)
    """The user part of our address; often a phone number."""
    login: Login
    """How we prove who we are."""
    contact_user: str
    """The user part of our Contact: tells our bindings from others', and is no number."""
    expires_s: int = 300
    """What we ask for."""
    is_ours_alone: bool = False
    """Whether other bindings of the account are removed."""
    pause_after_refusal_s: int = 0
    """At least so long after a refusal that will not change by itself."""
    instance: str = ""
    """A URN that is this bridge's alone, for registrars that know RFC 5626; empty to say none."""
    routes: tuple[str, ...] = ()
    """Route values: the proxies before the registrar."""

    @property
    def domain_uri(self) -> str:
        """What REGISTER is sent to (§10.2): the domain, without a user."""
        return f"sip:{bracketed(self.domain)}"

    @property
    def route_headers(self) -> tuple[tuple[str, str], ...]:
        """The Route lines of requests that are to reach the provider."""
        return tuple(("Route", value) for value in self.routes)

    @property
    def address_of_record(self) -> str:
        """Our address at the provider. It may be a number: not for logs."""
        user = quote(self.username, safe=USER_CHARACTERS)
        return f"sip:{user}@{self.domain_uri.removeprefix('sip:')}"


class Registration:
    """Where one registration stands, and what is next."""

    def __init__(
        self,
        account: Account,
        *,
        token: Callable[[int], str],
        jitter: Callable[[], float],
        now: float,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        """`token(n)` gives n random bits as hexadecimal text, `jitter` a number from 0 to 1."""
        self.account = account
        """Whose it is."""
        self.due_at = now
        """When the next REGISTER shall be sent; NEVER while one is out, or none is wanted."""
        self.registered_until: float | None = None
        """When the provider forgets us unless we renew; None while it does not know us."""
        self.cause: Cause | None = None
        """Why the last attempt failed; None before the first, and after one that did not."""
        self.status: int | None = None
        """The response that this is about, where there was one."""
        self._jitter = jitter
        self._longest_pause_s = longest_pause_s
        self._prover = Prover(account.login, token)
        self._conversation = Conversation(token(BRANCH_BITS), token(TAG_BITS))
        self._cseq = FIRST_CSEQ - 1
        self._bindings = Bindings(account.contact_user, account.instance)
        self.flow_timer_s: int | None = None
        """The longest pause between two signs of life that the provider bears (RFC 5626 §4.4.1)."""
        self._expires_s = account.expires_s
        self._out: _Out | None = None
        self._last_flow: Flow | None = None
        self._rests_until = now
        self._failures = 0
        self._registered_at = now
        self._losses = 0
        """Ways in a row that did not last."""
        self._is_sign = False
        """Whether the latest REGISTER was sent because of a sign of life."""
        self._heeds_signs = True
        self._is_leaving = False

    # Where it stands

    def is_registered(self, now: float) -> bool:
        """Whether the provider knows us."""
        return self.registered_until is not None and now < self.registered_until

    @property
    def remedy(self) -> str:
        """What the operator can do about the cause."""
        return self.cause.remedy if self.cause else ""

    @property
    def strangers(self) -> int:
        """Bindings of the account that are not ours, as of the last answer."""
        return self._bindings.strangers

    @property
    def is_over(self) -> bool:
        """Whether we are leaving, and nothing is to be sent or awaited any more."""
        return self._is_leaving and self.due_at == NEVER and self._out is None

    # What is sent

    def register(self, flow: Flow, local: LocalAddress, now: float) -> Enquiry:
        """The REGISTER that is due, to this server, from this address of ours."""
        account = self.account
        if self._last_flow and not self._last_flow.includes(flow):
            self._prover.begin()  # another server: it has not refused anything yet
        self._last_flow = flow
        self._out, self.due_at = _Out(flow, is_last=self._is_leaving), NEVER
        self._cseq += 1
        self._rest(now)
        expires_s = 0 if self._is_leaving else self._expires_s
        return Enquiry(
            method="REGISTER",
            uri=account.domain_uri,
            from_uri=account.address_of_record,
            to_uri=account.address_of_record,
            headers=(
                *account.route_headers,
                ("Supported", "path, outbound" if self._bindings.instance else "path"),
                *(("Contact", value) for value in self._bindings.contacts(local, expires_s)),
                # For registrars that do not read the Contact's own (§10.2.1.1).
                ("Expires", str(expires_s)),
                *self._prover.headers("REGISTER", account.domain_uri, flow),
            ),
            conversation=self._conversation,
            cseq=self._cseq,
            within_s=ANSWER_WITHIN_S,
            timers=TIMERS,
        )

    # What comes of it

    def answered(self, response: Response, came: Flow, now: float, *, others: bool = False) -> bool:
        """The final response; returns whether another server should be asked next.

        `others`: whether there is one left that was not tried yet.
        """
        out, self._out = self._out, None
        if out is None:
            raise ValueError("no REGISTER is out")
        self._rest(now)
        self._heeds_signs = True
        if 200 <= response.status < 300:
            self._accepted(response, now, was_last=out.is_last)
        elif response.status in CHALLENGES:
            self._challenged(response, out.flow, came, now)
        elif response.status == 423 and self._takes_longer(response):
            self.due_at = self._rests_until
        elif response.status == FIRST_HOP_LACKS_OUTBOUND and self._bindings.instance:
            self._bindings.instance = ""  # RFC 5626 §11.6: as ever, then
            self.due_at = self._rests_until
        else:
            self._refused(response, now, others=others)
            return self.cause is not None and self.cause.is_of_server
        return False

    def failed(self, cause: Cause, now: float, *, others: bool = False) -> None:
        """No response came, or there is no server to ask: another should be asked next."""
        self._out = None
        self._rest(now)
        self._heeds_signs = self._heeds_signs and not self._is_sign
        self._give_up(cause, None, now, others=others)

    def seen(self, now: float) -> None:
        """A server that did not answer gives a sign of life: no use in waiting on.

        One that does so and still leaves the next REGISTER without an answer is not believed again.
        """
        if self.cause and self.cause.is_absence and self._heeds_signs and not self._is_leaving:
            self._is_sign = True
            self._due_soon(now)

    def moved(self, now: float) -> None:
        """Another server is to be asked, or another address told, though we are known still."""
        if not self._is_leaving:
            self._due_soon(now)

    def lost(self, cause: Cause, now: float) -> None:
        """The way that calls would come by is gone.

        A way that goes as soon as it has come is opened again later and later.
        """
        if self._is_leaving:
            return
        has_lasted = now - self._registered_at >= LASTING_S
        self._losses = 0 if has_lasted else min(self._losses + 1, MAX_DOUBLINGS)
        self.registered_until = None
        self.cause, self.status = cause, None
        pause_s = REST_S * 2.0 ** (self._losses - 1) if self._losses > 1 else 0.0
        self._due_soon(now + min(pause_s, self._longest_pause_s))

    def leave(self, now: float) -> None:
        """Take the registration back (§10.2.2), once: nothing waits for a second attempt."""
        self._is_leaving = True
        if self._out is None:
            self.due_at = self._rests_until if self.is_registered(now) else NEVER

    def _accepted(self, response: Response, now: float, *, was_last: bool) -> None:
        self._prover.begin()
        self._failures = 0
        self.cause = self.status = None
        if was_last:
            self.registered_until = None
            return
        self.flow_timer_s = seconds(response.headers.get("Flow-Timer"), 0) or None
        granted_s = self._bindings.granted_s(response, self._expires_s)
        if granted_s <= 0:
            self._give_up(Cause.NOT_KEPT, response.status, now)
            return
        if not self.is_registered(now):
            self._registered_at = now
        self.registered_until = now + granted_s
        if self._is_leaving or self._bindings.drop(also_others=self.account.is_ours_alone):
            self.due_at = self._rests_until
        else:
            earliest, latest = REFRESH_AT
            share = earliest + (latest - earliest) * self._jitter()
            self.due_at = max(self._rests_until, now + share * granted_s)

    def _challenged(self, response: Response, asked: Flow, came: Flow, now: float) -> None:
        try:
            self._prover.take(response, asked=asked, came=came)
        except Unanswerable as unanswerable:
            self._give_up(Cause(unanswerable.cause), response.status, now)
        else:
            self.due_at = self._rests_until

    def _takes_longer(self, response: Response) -> bool:
        """Ask for as long as the registrar wants it at least (§10.2.8); whether that is news."""
        wanted_s = seconds(response.headers.get("Min-Expires"), 0)
        if not self._expires_s < wanted_s <= LONGEST_EXPIRES_S:
            return False
        self._expires_s = wanted_s
        return True

    def _refused(self, response: Response, now: float, *, others: bool) -> None:
        cause = CAUSES_OF_REFUSALS.get(response.status, Cause.REFUSED)
        wanted_s = seconds(response.headers.get("Retry-After"), 0)
        self._give_up(
            cause,
            response.status,
            now,
            at_least_s=min(wanted_s, LONGEST_RETRY_AFTER_S),
            others=others,
        )

    def _give_up(
        self,
        cause: Cause,
        status: int | None,
        now: float,
        *,
        at_least_s: float = 0.0,
        others: bool = False,
    ) -> None:
        """The attempt is over. Try the next server, or wait."""
        self._prover.begin()
        self.cause, self.status, self._is_sign = cause, status, False
        if self._is_leaving:
            self.due_at = NEVER
        elif others and cause.is_of_server:
            self.due_at = self._rests_until
        else:
            self.due_at = now + self._pause_s(cause, at_least_s)

    def _pause_s(self, cause: Cause, at_least_s: float) -> float:
        """Twice as long after each failure, and never the same for all who were refused at once."""
        first_s = REST_S
        if cause.is_lasting:
            first_s = FIRST_LASTING_PAUSE_S
            at_least_s = max(at_least_s, self.account.pause_after_refusal_s)
        longest_s = min(first_s * 2.0 ** min(self._failures, MAX_DOUBLINGS), self._longest_pause_s)
        self._failures += 1
        jitter = self._jitter()
        pause_s = longest_s * (1 + jitter) / 2
        return max(REST_S, pause_s, at_least_s * (1 + jitter / RETRY_AFTER_SPREAD))

    def _rest(self, now: float) -> None:
        self._rests_until = now + REST_S

    def _due_soon(self, at: float) -> None:
        """As soon as the rest is over; a REGISTER that is out will bring what is wanted."""
        if self._out is None:
            self.due_at = max(at, self._rests_until)
