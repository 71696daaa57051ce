# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with a conference's leg, as the end of a call's story."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dialin.errors import OperatorError, PeerError
from dialin.events import CONFERENCE_REFUSED, CONFERENCE_UNREACHABLE, CallError, EndReason
from dialin.sip import LegGone, Refused

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a voice server said no, for an operator."""

    cause: str
    """A sentence."""
    remedy: str
    """What to do about it."""


_NO_AUDIO = Refusal(
    "The voice server refuses how we would send audio (488).",
    "Let voice_encryption be `require` where it takes SRTP only and `off` where it takes none, and "
    "see that one of media.codecs is among its codecs.",
)
_REFUSALS = {
    404: Refusal(
        "The voice server knows no such conference (404).",
        "See that the dialplan of config/freeswitch is in place and takes the room's number.",
    ),
    488: _NO_AUDIO,
    606: _NO_AUDIO,
}


@contextmanager
def call_errors() -> Iterator[None]:
    """What goes wrong with a conference's leg, as the end of the call's story: CallError."""
    try:
        yield
    except OperatorError as error:
        log.error(  # noqa: TRY400 - the operator's doing: cause and remedy, no traceback
            "the voice server cannot be called",
            extra={"cause": error.cause, "remedy": error.remedy},
        )
        raise CallError(CONFERENCE_UNREACHABLE) from error
    except LegGone as gone:
        raise CallError(CONFERENCE_UNREACHABLE) from gone
    except Refused as refused:
        refusal = refusal_for(refused.status)
        log.warning(
            "the voice server refuses a call",
            extra={"status": refused.status, "cause": refusal.cause, "remedy": refusal.remedy},
        )
        raise CallError(reason_for(refused.status)) from refused
    except PeerError as unusable:
        raise CallError(CONFERENCE_REFUSED) from unusable


def reason_for(status: int) -> EndReason:
    """Whether a final response means that the server is not there or does not want us.

    BBB's FreeSWITCH answers 480 to an unauthorised caller and 404 to what is no conference.
    """
    is_absent = status == 408 or (status >= 500 and status != 603)
    return CONFERENCE_UNREACHABLE if is_absent else CONFERENCE_REFUSED


def refusal_for(status: int) -> Refusal:
    """What a final response says to whoever runs this bridge."""
    return _REFUSALS.get(status) or Refusal(
        f"The voice server does not take the call ({status}).",
        "Allow this machine's address in FreeSWITCH's dial-in profile, as config/freeswitch says.",
    )
