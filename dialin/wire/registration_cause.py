# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a trunk is not registered, in one word for machines and one sentence for operators.

When which cause applies is for `registration`, `login` and the shell around them to say.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Cause(StrEnum):
    """What stands between us and a registration."""

    NAME_NOT_FOUND = "name-not-found"
    NO_ROUTE = "no-route"
    AT_ODDS = "at-odds"
    CONNECTION_FAILED = "connection-failed"
    CONNECTION_LOST = "connection-lost"
    NO_ANSWER = "no-answer"
    SERVER_ERROR = "server-error"
    OVERLOADED = "overloaded"
    CREDENTIALS_REFUSED = "credentials-refused"
    FORBIDDEN = "forbidden"
    UNKNOWN_ACCOUNT = "unknown-account"
    REFUSED = "refused"
    EXPIRES_REFUSED = "expires-refused"
    NOT_KEPT = "not-kept"
    WRONG_REALM = "wrong-realm"
    ALGORITHM_NOT_ALLOWED = "algorithm-not-allowed"
    MALFORMED_CHALLENGE = "malformed-challenge"
    NONCE_REPEATED = "nonce-repeated"
    CHALLENGE_FROM_ELSEWHERE = "challenge-from-elsewhere"

    @property
    def remedy(self) -> str:
        """What the operator can do about it."""
        return _REMEDIES[self]

    @property
    def is_absence(self) -> bool:
        """Whether nobody is there: then a sign of life is worth waiting for."""
        return self in _ABSENT

    @property
    def is_of_server(self) -> bool:
        """Whether another server of the provider may do better (RFC 3263 §4.3)."""
        return self in _ABSENT or self in _FAILING

    @property
    def is_lasting(self) -> bool:
        """Whether trying again soon is of no use, and may lock the account."""
        return self in _LASTING


_ABSENT: Final = frozenset(
    {
        Cause.NAME_NOT_FOUND,
        Cause.NO_ROUTE,
        Cause.CONNECTION_FAILED,
        Cause.CONNECTION_LOST,
        Cause.NO_ANSWER,
    }
)
_FAILING: Final = frozenset({Cause.SERVER_ERROR, Cause.OVERLOADED})
_LASTING: Final = frozenset({Cause.CREDENTIALS_REFUSED, Cause.FORBIDDEN, Cause.UNKNOWN_ACCOUNT})

_REMEDIES: Final = {
    Cause.NAME_NOT_FOUND: "Correct registrar or outbound_proxy, or mend the name server.",
    Cause.NO_ROUTE: "Add an address with this transport and family to sip.listen, and check the "
    "network.",
    Cause.AT_ODDS: "Give trunks and servers at one address the same name, authorities and client "
    "certificate.",
    Cause.CONNECTION_FAILED: "Check registrar, its port and transport, and whether the firewall "
    "lets us out.",
    Cause.CONNECTION_LOST: "Nothing to do: it is opened again. If it happens often, lower "
    "keepalive_s.",
    Cause.NO_ANSWER: "Check registrar, its port and transport, and whether the firewall lets us "
    "out and the answers in.",
    Cause.SERVER_ERROR: "Nothing to do: it is tried again. If it lasts, ask the provider.",
    Cause.OVERLOADED: "Nothing to do: it is tried again when the provider wants it.",
    Cause.CREDENTIALS_REFUSED: "Correct username, auth_username or password.",
    Cause.FORBIDDEN: "Correct username and password, and ask the provider whether the account is "
    "open and may register from this address.",
    Cause.UNKNOWN_ACCOUNT: "Correct username and domain.",
    Cause.REFUSED: "Ask the provider; the status is in the log.",
    Cause.EXPIRES_REFUSED: "Set expires_s to a time that the provider takes.",
    Cause.NOT_KEPT: "Ask the provider whether the account may be registered from here.",
    Cause.WRONG_REALM: "Correct realm, if the provider says that another one is its own; else "
    "somebody is after the password.",
    Cause.ALGORITHM_NOT_ALLOWED: "Add the provider's algorithm to digest_algorithms, if you "
    "trust it.",
    Cause.MALFORMED_CHALLENGE: "Ask the provider: its challenge cannot be read.",
    Cause.NONCE_REPEATED: "Ask the provider: it asks again for what it has refused already.",
    Cause.CHALLENGE_FROM_ELSEWHERE: "Find out who answers in the provider's place; the password "
    "was not sent.",
}
