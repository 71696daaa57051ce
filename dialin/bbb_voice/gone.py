# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a seat in a conference is gone: the meeting is over, a host removed the caller, or the server
is lost.

FreeSWITCH ends a leg the same way for the first two, and often for the third; so its BYE is weighed
against what BBB's API says of the meeting. What follows for the caller is left to `call`.
"""

from __future__ import annotations

from enum import StrEnum

from dialin.sip import LegEnd


class Gone(StrEnum):
    """Why a seat is gone."""

    LEFT = "left"
    """We left it ourselves."""
    MEETING_ENDED = "meeting-ended"
    """The meeting is over for everybody."""
    REMOVED = "removed"
    """The meeting goes on, and the caller was taken out of it on purpose."""
    SERVER_LOST = "server-lost"
    """The conference failed; the meeting may go on, and a seat be had again."""


def why_gone(end: LegEnd | None, still_running: bool | None) -> Gone:
    """What became of a seat.

    `end` is how its leg ended, None where nothing was heard any more or our media failed;
    `still_running` what BBB says of the meeting a moment later, None where it does not answer.
    """
    if end is not None and end.by == "us":
        return Gone.LEFT
    if still_running is False:
        return Gone.MEETING_ENDED
    if end is None or end.by == "lost":
        return Gone.SERVER_LOST
    is_on_purpose = end.reason is None or end.reason.is_normal
    # A server that does not answer either is going down, and its FreeSWITCH said good-bye first.
    return Gone.REMOVED if is_on_purpose and still_running else Gone.SERVER_LOST
