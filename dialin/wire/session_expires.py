# SPDX-License-Identifier: GPL-3.0-or-later
"""What two ends agree on about a session that has to be refreshed: Session-Expires and Min-SE.

The headers of RFC 4028 and the rules that make an agreement out of them. When a refresh is sent,
and what happens without one, is left to `session_timer`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dialin.wire.message import Headers, Request, Response

MIN_SE_S = 90
"""RFC 4028 §4: no session has to be refreshed more often than by an interval of this."""
EXTENSION = "timer"

_SECONDS = re.compile(r"([0-9]{1,10})\s*(?:;|$)", re.ASCII)
_REFRESHER = re.compile(r";\s*refresher\s*=\s*(uac|uas)\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Timekeeping:
    """What is wanted of the sessions that a peer begins."""

    is_obeyed: bool = True
    """Whether a session is timed because the peer would like it; one who requires it gets it."""
    asks_s: int | None = None
    """The interval that we ask for where the peer asks for none."""

    @classmethod
    def of(cls, setting: bool | int) -> Timekeeping:
        """As operators say it: as the peer likes, not at all, or every so many seconds."""
        if isinstance(setting, bool):
            return cls(is_obeyed=setting)
        return cls(asks_s=setting)


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """A Session-Expires (§4). PEER-CONTROLLED."""

    interval_s: int
    """Without a refresh the session is over after so long."""
    refresher: str | None
    """Who has to refresh, `uac` or `uas` of the transaction at hand; None where it is left open."""

    @classmethod
    def of(cls, headers: Headers) -> SessionExpires | None:
        """The one in a message; one that cannot be read counts as none."""
        written = headers.get("Session-Expires") or ""
        seconds = _SECONDS.match(written)
        refresher = _REFRESHER.search(written)
        if seconds is None:
            return None
        return cls(int(seconds[1]), refresher[1].lower() if refresher else None)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a session is kept."""

    interval_s: int
    """Without a refresh the session is over after so long."""
    is_ours: bool
    """Whether the refresh is our business."""
    is_understood: bool
    """Whether the peer knows session timers; one who does not can be asked all the same."""

    def in_answer(self) -> tuple[tuple[str, str], ...]:
        """The headers of a 2xx of ours (§9)."""
        refresher = "uas" if self.is_ours else "uac"
        required = (("Require", EXTENSION),) if self.is_understood else ()
        return (("Session-Expires", f"{self.interval_s};refresher={refresher}"), *required)

    def in_refresh(self, at_least_s: int) -> tuple[tuple[str, str], ...]:
        """The headers of a refresh of ours: whoever sends it goes on sending it (§7.4).

        `at_least_s` is the longest Min-SE that has been asked of us.
        """
        expires = ("Session-Expires", f"{self.interval_s};refresher=uac")
        return (expires, ("Min-SE", str(at_least_s))) if at_least_s > MIN_SE_S else (expires,)


def is_too_short(request: Request) -> bool:
    """Whether 422 is due; who does not know the answer would not know what to do (§9)."""
    asked = SessionExpires.of(request.headers)
    return asked is not None and asked.interval_s < MIN_SE_S and understands(request)


def understands(message: Request | Response) -> bool:
    """Whether the sender says that it knows session timers."""
    return _names(message.headers, "Supported") or _names(message.headers, "Require")


def agreed_with_caller(
    request: Request, former: Agreement | None, ours: Timekeeping
) -> Agreement | None:
    """What our 2xx says, as table 2 of §9 has it; None where the session is not timed.

    A request that asks for nothing leaves what was agreed on before.
    """
    asked = SessionExpires.of(request.headers)
    knows = understands(request)
    at_least = min_se(request.headers)
    if asked and (ours.is_obeyed or _names(request.headers, "Require")):
        left_open = former is None or former.is_ours
        is_ours = asked.refresher == "uas" if asked.refresher else left_open
        return Agreement(max(asked.interval_s, at_least), is_ours or not knows, knows)
    if former:
        return Agreement(max(former.interval_s, at_least), former.is_ours or not knows, knows)
    if ours.asks_s:
        return Agreement(max(ours.asks_s, at_least), is_ours=True, is_understood=knows)
    return None


def agreed_with_called(response: Response, former: Agreement | None) -> Agreement | None:
    """What a 2xx to our request says; one that says nothing leaves what was agreed on (§7.2)."""
    said = SessionExpires.of(response.headers)
    if said is None:
        return former
    return Agreement(max(said.interval_s, MIN_SE_S), said.refresher != "uas", is_understood=True)


def min_se(headers: Headers) -> int:
    """The shortest interval that a message allows (§5)."""
    found = _SECONDS.match(headers.get("Min-SE") or "")
    return max(MIN_SE_S, int(found[1])) if found else MIN_SE_S


def _names(headers: Headers, name: str) -> bool:
    return any(tag.lower() == EXTENSION for tag in headers.values(name))
