# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may ask what of the API: bearer tokens (RFC 6750), each with scopes, and how often.

A token is compared with every one there is, so that an answer takes as long for any wrong one.
Wrong ones are limited by the address they come from, right ones each by themselves.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from dialin.web.limits import Limit

PREFIX = "/api/"
OPEN = frozenset({"/api/openapi.json"})
"""What anybody may read: it says what there is, and nothing of what happens."""
WRONG_TOKENS = 10
"""From one address in a minute."""
MINUTE_S = 60.0
NOBODY = "-"


class Scope(StrEnum):
    """What a token opens."""

    ROOMS = "rooms"
    """Rooms: their PINs, numbers and links."""
    CALLS = "calls"
    """Live calls: see, hang up, mute, let in, move."""
    ADMIN = "admin"
    """Trunks, servers, the service itself."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token."""

    name: str
    """What the operator calls whoever has it."""
    secret: str = field(repr=False)
    scopes: frozenset[Scope] = frozenset(Scope)


HOLDER = web.RequestKey("holder", Token)
"""Whose token a request came with."""


class Tokens:
    """All tokens, and how often they may be used; without any there is no API, nor a console."""

    def __init__(
        self, tokens: Iterable[Token], *, per_minute: int, wrong_per_minute: int = WRONG_TOKENS
    ) -> None:
        """`per_minute`: requests that each token may make. Wrong ones: those of one address."""
        self.change(tokens, per_minute=per_minute)
        self._wrong = Limit(wrong_per_minute, MINUTE_S)

    def change(self, tokens: Iterable[Token], *, per_minute: int) -> None:
        """Other tokens from the next request on."""
        self._tokens = tuple(tokens)
        self._used = Limit(per_minute, MINUTE_S)

    @property
    def exist(self) -> bool:
        """Whether there is an API at all."""
        return bool(self._tokens)

    def count(self, token: Token) -> bool:
        """Whether a token that was shown once still opens what it opened then."""
        return token in self._tokens

    def holder(self, header: str) -> Token | None:
        """Whose token an Authorization header holds. Client-controlled."""
        scheme, _, credentials = header.partition(" ")
        given = credentials.strip().encode("utf-8", "surrogateescape")
        found = None
        for token in self._tokens:
            if hmac.compare_digest(given, token.secret.encode()):
                found = token
        return found if scheme.lower() == "bearer" else None

    def admit(self, request: web.Request) -> Token:
        """Let a request in. Raises HTTPUnauthorized or HTTPTooManyRequests."""
        token = self.holder(request.headers.get(hdrs.AUTHORIZATION, ""))
        if token is None:
            raise self.refusal(request)
        if wait_s := self._used.wait_s(token.name):
            raise web.HTTPTooManyRequests(headers={hdrs.RETRY_AFTER: str(wait_s)})
        self._used.use(token.name)
        return token

    def refusal(self, request: web.Request) -> web.HTTPException:
        """What a wrong token gets; counts it. A right one is never held up by others' mistakes."""
        address = request.remote or NOBODY
        if wait_s := self._wrong.wait_s(address):
            return web.HTTPTooManyRequests(headers={hdrs.RETRY_AFTER: str(wait_s)})
        self._wrong.use(address)
        return web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: "Bearer"})


def guard(tokens: Tokens) -> Middleware:
    """Middleware that lets nobody below `/api/` without a token: known paths and unknown ones."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(PREFIX):
            if not tokens.exist:
                raise web.HTTPNotFound
            if request.path not in OPEN:
                request[HOLDER] = tokens.admit(request)
        return await handler(request)

    return check
