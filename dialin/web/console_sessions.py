# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is logged in to the console: sessions in memory, known by a digest of their cookie.

A session ends when nobody uses it for hours, when the service ends, and by logging out; `console`
asks besides whether the token still counts. Its cookie is of no use to other sites
(SameSite=Strict), nor to scripts (HttpOnly); forms bring a token of the session besides.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from dialin.web.api.tokens import Scope, Token

IDLE_S = 8 * 3600.0
SESSIONS_KEPT = 50
SECRET_BYTES = 32


@dataclass(slots=True)
class Session:
    """One browser that has shown a token."""

    token: Token
    """What it has shown."""
    form_token: str = field(repr=False)
    """What its forms bring."""
    used_at: float

    def may(self, scope: Scope) -> bool:
        """Whether the token opens this."""
        return scope in self.token.scopes

    def is_form_token(self, text: str) -> bool:
        """Whether a form came from a page of this session. Client-controlled."""
        given = text.encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self.form_token.encode())


class Sessions:
    """All sessions. When there are too many, the one that was idle for longest ends."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, token: Token) -> str:
        """A new session; returns what its cookie holds."""
        cookie = secrets.token_urlsafe(SECRET_BYTES)
        self._sessions[_digest(cookie)] = Session(
            token, secrets.token_urlsafe(SECRET_BYTES), self._clock()
        )
        while len(self._sessions) > SESSIONS_KEPT:
            self._sessions.popitem(last=False)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """Whose cookie it is, if it still counts. Client-controlled."""
        key = _digest(cookie)
        session = self._sessions.get(key)
        if session is None:
            return None
        now = self._clock()
        if now - session.used_at > IDLE_S:
            del self._sessions[key]
            return None
        session.used_at = now
        self._sessions.move_to_end(key)
        return session

    def lives(self, session: Session) -> bool:
        """Whether a session counts; asking is no use of it."""
        is_idle = self._clock() - session.used_at > IDLE_S
        return not is_idle and any(one is session for one in self._sessions.values())

    def end(self, cookie: str) -> None:
        """Log out; whatever the cookie says."""
        self._sessions.pop(_digest(cookie), None)


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).digest()
