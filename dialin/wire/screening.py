# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests are refused before anybody looks at what they are about (RFC 3261 §8.2.1-8.2.3).

The method, the scheme of the Request-URI, required extensions, the body, the session's interval.
Whether a request belongs to a dialog, and whether it came twice, needs memory and is left to
`dialin.wire.agent`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dialin.wire.content import SDP, UnsupportedContent, session_description
from dialin.wire.message import Request
from dialin.wire.session_expires import EXTENSION, MIN_SE_S, is_too_short

METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "PRACK", "INFO")
"""The methods we understand."""
ALLOW = ("Allow", ", ".join(METHODS))
ACCEPT = ("Accept", SDP)
KNOWN_BUT_NOT_ALLOWED = frozenset(
    {"REGISTER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER"}
)
SCHEMES = frozenset({"sip", "sips", "tel"})
RELIABLE = "100rel"
UNDERSTOOD = frozenset({RELIABLE, EXTENSION})
"""Extensions that a request may require."""
SUPPORTED = ("Supported", f"{RELIABLE}, {EXTENSION}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final response that needs no further thought."""

    status: int
    """The response code."""
    headers: tuple[tuple[str, str], ...] = ()
    """What tells the peer how to do better."""


def refusal(request: Request) -> Refusal | None:
    """Why a request is refused out of hand, or None when it may be looked at."""
    return (
        _of_method(request.method)
        or _of_scheme(request.uri)
        or _of_extensions(request)
        or _of_body(request)
        or _of_interval(request)
    )


def _of_method(method: str) -> Refusal | None:
    if method in METHODS:
        return None
    # RFC 3261 §21.5.2: 501 for what we do not even recognise, 405 for what we know and do not do.
    return Refusal(405 if method in KNOWN_BUT_NOT_ALLOWED else 501, (ALLOW,))


def _of_scheme(uri: str) -> Refusal | None:
    return None if uri.partition(":")[0].lower() in SCHEMES else Refusal(416)


def _of_extensions(request: Request) -> Refusal | None:
    if request.method == "CANCEL":
        return None  # RFC 3261 §8.2.2.3: Require means nothing in a CANCEL
    strange = [
        tag for tag in request.headers.values("Require") if tag and tag.lower() not in UNDERSTOOD
    ]
    return Refusal(420, (("Unsupported", ", ".join(strange)),)) if strange else None


def _of_body(request: Request) -> Refusal | None:
    if request.method not in {"INVITE", "UPDATE"}:
        return None
    try:
        session_description(request)
    except UnsupportedContent as unsupported:
        return Refusal(415, (unsupported.header,))
    return None if _takes_sdp(request) else Refusal(406, (ACCEPT,))


def _of_interval(request: Request) -> Refusal | None:
    """RFC 4028 §9: whoever knows session timers is told what would do."""
    if request.method in {"INVITE", "UPDATE"} and is_too_short(request):
        return Refusal(422, (("Min-SE", str(MIN_SE_S)),))
    return None


def _takes_sdp(request: Request) -> bool:
    """Whether the answer may be SDP; a request that does not say takes it (RFC 3261 §20.1)."""
    ranges = [
        value.partition(";")[0].strip().lower()
        for value in request.headers.values("Accept")
        if value
    ]
    return not ranges or any(kind in {SDP, "application/*", "*/*"} for kind in ranges)
