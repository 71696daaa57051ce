# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether PINs lead where they should, and how likely it is that somebody guesses one.

What there is to say is found out by `app.beside`; no digit of a PIN is told. Meeting ids are what
hosts and front ends wrote: HOSTILE, and shown in printable letters only.
"""

from __future__ import annotations

from collections.abc import Iterator

from dialin.app.beside import PinReport
from dialin.app.pins import SAFER_PINS
from dialin.check.steps import Finding, fail, ok, warn
from dialin.static_rooms import Twin, printable

LONGEST_ID = 80


def pins_are_distinct(report: PinReport) -> Iterator[Finding]:
    """Nobody who keys a meeting's own number comes to another room."""
    yield from map(_twin, report.twins)
    if report.silent:
        yield warn(
            f"The numbers at {', '.join(report.silent)} were not compared: no answer.",
            "See the step of that server.",
        )
    elif not report.twins:
        yield ok("No static PIN is another running meeting's own number.")


def guessing_is_hopeless(report: PinReport, max_risk: float, *, accepted: bool) -> Finding:
    """The service would start with the rooms that there are now."""
    chance = (
        f"Somebody who guesses for 24 hours gets into a room with a chance of {report.risk:.4%}"
    )
    if report.risk <= max_risk:
        return ok(f"{chance}; {max_risk:.4%} is allowed.")
    if accepted:
        return warn(f"{chance}, and pin.accept_risk = true lets the service start.", SAFER_PINS)
    return fail(
        f"{chance}, and only {max_risk:.4%} is allowed: the service does not start.", SAFER_PINS
    )


def _twin(twin: Twin) -> Finding:
    static, other = _shown(twin.static.meeting_id), _shown(twin.room.meeting_id)
    return warn(
        f"The static PIN of {static} is also the number that {twin.room.server} gave to {other}. "
        f"Whoever keys it comes to {static}.",
        f"Say `dialin room rotate` for {static}, or begin {other} anew, with another number.",
    )


def _shown(meeting_id: str) -> str:
    """A meeting id as a terminal may show it."""
    letters = printable(meeting_id)
    return repr(letters if len(letters) <= LONGEST_ID else f"{letters[:LONGEST_ID]}…")
