# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a seat is gone, by its BYE and by what BBB says of the meeting."""

from __future__ import annotations

import pytest

from dialin.bbb_voice import Gone, why_gone
from dialin.sip import LegEnd
from dialin.wire.reason import ByeReason

NORMAL = ByeReason("Q.850", 16, "NORMAL_CLEARING")
SHUTDOWN = ByeReason("SIP", 501, "SYSTEM_SHUTDOWN")
FAILURE = ByeReason("Q.850", 41, "NORMAL_TEMPORARY_FAILURE")
TIMEOUT = ByeReason("Q.850", 102, "RECOVERY_ON_TIMER_EXPIRE")


def bye(reason: ByeReason | None) -> LegEnd:
    return LegEnd("peer", None, "bye", reason)


@pytest.mark.parametrize(
    ("end", "still_running", "gone"),
    [
        (bye(NORMAL), True, Gone.REMOVED),
        (bye(NORMAL), False, Gone.MEETING_ENDED),
        (bye(NORMAL), None, Gone.SERVER_LOST),
        (bye(None), True, Gone.REMOVED),
        (bye(None), False, Gone.MEETING_ENDED),
        (bye(None), None, Gone.SERVER_LOST),
        (bye(SHUTDOWN), True, Gone.SERVER_LOST),
        (bye(SHUTDOWN), False, Gone.MEETING_ENDED),
        (bye(SHUTDOWN), None, Gone.SERVER_LOST),
        (bye(FAILURE), True, Gone.SERVER_LOST),
        (bye(FAILURE), None, Gone.SERVER_LOST),
        (bye(TIMEOUT), True, Gone.SERVER_LOST),
        (LegEnd("lost", None, "session-expired"), True, Gone.SERVER_LOST),
        (LegEnd("lost", 503, "transport-lost"), None, Gone.SERVER_LOST),
        (LegEnd("lost", None, "session-expired"), False, Gone.MEETING_ENDED),
        (None, True, Gone.SERVER_LOST),
        (None, None, Gone.SERVER_LOST),
        (None, False, Gone.MEETING_ENDED),
        (LegEnd("us", None, "bye"), True, Gone.LEFT),
        (LegEnd("us", None, "bye"), False, Gone.LEFT),
    ],
    ids=str,
)
def test_why_a_seat_is_gone(end: LegEnd | None, still_running: bool | None, gone: Gone) -> None:
    assert why_gone(end, still_running) is gone
