# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving to a server that we know the password: which challenges are answered, and how often.

A challenge is answered only if it came from the very flow that was asked, for the realm that the
password is for, by an algorithm that is allowed, and for a nonce whose answer was not refused
before. Whatever else asks for the password is told by a cause and gets nothing. How an answer is
computed is the business of `digest`; when a request is sent again, of its sender.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Final

from dialin.errors import PeerError
from dialin.wire.digest import (
    STRONGEST_FIRST,
    Algorithm,
    Challenge,
    MalformedChallenge,
    answer,
    choose,
    parse_challenges,
)
from dialin.wire.flow import Flow
from dialin.wire.message import Request, Response

CHALLENGES: Final = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}
"""Where the challenge of a status stands (RFC 3261 §22.2, §22.3)."""
ANSWERS: Final = {401: "Authorization", 407: "Proxy-Authorization"}
"""Where its answer goes."""

MAX_ANSWERS: Final = 2
"""Answers to one kind of challenge in one attempt: a first, and one more for a stale nonce."""
MAX_NONCES: Final = 64
"""Nonces that are remembered, the latest ones: no server can fill the memory."""
CNONCE_BITS: Final = 64


class Unanswerable(PeerError):
    """A challenge that gets no answer. The text is its cause, kebab-case."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
        """`challenge-from-elsewhere`, `malformed-challenge`, `wrong-realm`,
        `algorithm-not-allowed`, `credentials-refused` or `nonce-repeated`."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and password, and what may be done with them."""

    username: str = field(repr=False)
    """The account; often a phone number."""
    password: str = field(repr=False)
    """Its password."""
    realm: str | None = None
    """The only realm that it is for; None takes whichever the server that was asked names."""
    algorithms: Collection[Algorithm] = STRONGEST_FIRST
    """How it may be proved."""


@dataclass(slots=True)
class _Nonce:
    """What became of a nonce."""

    uses: int = 0
    """Requests that were sent with it: the nonce count of RFC 7616 §3.4."""
    is_refused: bool = False
    """Whether a request with it was challenged anew."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A challenge that the next requests answer."""

    challenge: Challenge
    """What the server wants."""
    flow: Flow
    """Who wants it: nobody else gets the answer."""


def proofs_in(request: Request) -> tuple[tuple[str, str], ...]:
    """The answers that a request bears: an INVITE's ACK bears the same (RFC 3261 §13.2.2.4)."""
    headers = request.headers
    return tuple((name, value) for name in ANSWERS.values() for value in headers.all(name))


class Prover:
    """One account's answers to the challenges of the servers that it is for."""

    def __init__(self, login: Login, token: Callable[[int], str]) -> None:
        """`token(n)` gives n random bits as hexadecimal text."""
        self._login = login
        self._token = token
        self._taken: dict[int, _Taken] = {}
        """By the challenge's status: a proxy and a registrar may each have one."""
        self._nonces: dict[str, _Nonce] = {}
        self._answers: dict[int, int] = {}

    def begin(self) -> None:
        """A new attempt: what was answered before does not count any more."""
        self._answers.clear()

    def take(self, response: Response, *, asked: Flow, came: Flow) -> None:
        """Make a 401 or 407 the challenge that the next request answers. Raises Unanswerable."""
        status = response.status
        if not asked.includes(came):
            raise Unanswerable("challenge-from-elsewhere")
        before = self._taken.pop(status, None)
        if before and before.flow.includes(asked):  # so the request that came back bore its answer
            self._nonce(before.challenge.nonce).is_refused = True
        challenge = self._choose(response)
        self._check(challenge, status)
        self._answers[status] = self._answers.get(status, 0) + 1
        self._taken[status] = _Taken(challenge, asked)

    def headers(
        self, method: str, uri: str, flow: Flow, body: bytes = b""
    ) -> tuple[tuple[str, str], ...]:
        """The answers that a request to this flow bears, for the challenges of this flow.

        Where a server that has taken an answer is asked again, this saves it a challenge (RFC 7616
        §3.4: the nonce count goes up).
        """
        return tuple(
            (ANSWERS[status], self._answer(taken.challenge, method, uri, body))
            for status, taken in self._taken.items()
            if taken.flow.includes(flow)
        )

    def knows(self, flow: Flow) -> bool:
        """Whether requests to this flow bear an answer, as its server has asked for one."""
        return any(taken.flow.includes(flow) for taken in self._taken.values())

    def signed(self, request: Request, flow: Flow) -> Request:
        """The request with the answers for this flow, and with no others."""
        headers = request.headers
        for name in ANSWERS.values():
            headers = headers.without(name)
        for name, value in self.headers(request.method, request.uri, flow, request.body):
            headers = headers.with_(name, value)
        return replace(request, headers=headers)

    def meets(self, response: Response, *, asked: Flow, came: Flow) -> bool:
        """Whether a response is a challenge that the next request answers."""
        if response.status not in CHALLENGES:
            return False
        try:
            self.take(response, asked=asked, came=came)
        except Unanswerable:
            return False
        return True

    def _choose(self, response: Response) -> Challenge:
        """The challenge for our realm that we may answer, by the strongest algorithm."""
        login, values = self._login, response.headers.all(CHALLENGES[response.status])
        try:
            challenges = parse_challenges(values)
        except MalformedChallenge:
            raise Unanswerable("malformed-challenge") from None
        if not values:
            raise Unanswerable("malformed-challenge")
        ours = [one for one in challenges if login.realm in (None, one.realm)]
        if challenges and not ours:
            raise Unanswerable("wrong-realm")
        challenge = choose(ours, allowed=login.algorithms)
        if challenge is None:
            raise Unanswerable("algorithm-not-allowed")
        return challenge

    def _check(self, challenge: Challenge, status: int) -> None:
        """RFC 3261 §22.1: the same credentials are not tried again, but for a stale nonce."""
        answers = self._answers.get(status, 0)
        if answers >= MAX_ANSWERS or (answers and not challenge.stale):
            raise Unanswerable("credentials-refused")
        nonce = self._nonces.get(challenge.nonce)
        if nonce and nonce.is_refused and not challenge.stale:
            raise Unanswerable("nonce-repeated")

    def _answer(self, challenge: Challenge, method: str, uri: str, body: bytes) -> str:
        nonce = self._nonce(challenge.nonce)
        nonce.uses += 1
        return answer(
            challenge,
            username=self._login.username,
            password=self._login.password,
            method=method,
            uri=uri,
            body=body,
            cnonce=self._token(CNONCE_BITS),
            nc=nonce.uses,
        )

    def _nonce(self, value: str) -> _Nonce:
        """What is remembered of a nonce, which is now the latest."""
        nonce = self._nonces.pop(value, None) or _Nonce()
        self._nonces[value] = nonce
        if len(self._nonces) > MAX_NONCES:
            del self._nonces[next(iter(self._nonces))]
        return nonce
