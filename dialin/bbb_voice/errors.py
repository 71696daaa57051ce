# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with a conference's leg, as the end of a call's story."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dialin.errors import PeerError
from dialin.events import CONFERENCE_REFUSED, CONFERENCE_UNREACHABLE, CallError, EndReason
from dialin.sip import LegGone, Refused


@contextmanager
def call_errors() -> Iterator[None]:
    """What goes wrong with a conference's leg, as the end of the call's story: CallError."""
    try:
        yield
    except LegGone as gone:
        raise CallError(CONFERENCE_UNREACHABLE) from gone
    except Refused as refused:
        raise CallError(reason_for(refused.status)) from refused
    except PeerError as unusable:
        raise CallError(CONFERENCE_REFUSED) from unusable


def reason_for(status: int) -> EndReason:
    """Whether a final response means that the server is not there or does not want us.

    BBB's FreeSWITCH answers 480 to an unauthorised caller and 404 to what is no conference.
    """
    is_absent = status == 408 or (status >= 500 and status != 603)
    return CONFERENCE_UNREACHABLE if is_absent else CONFERENCE_REFUSED
