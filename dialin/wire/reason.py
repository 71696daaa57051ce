# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a call was ended, as BYE, CANCEL and refusals say it (Reason: RFC 3326, RFC 6432).

Values only. Telephone networks tell it as a Q.850 cause. FreeSWITCH does so too for causes below
128, as `Q.850;cause=16;text="NORMAL_CLEARING"`; those of its own it writes as `SIP;cause=501`, in
older versions behind its user name in place of `SIP` (mod_sofia.c, switch_types.h). Its numbers
for the same cause have changed between versions, its words have not. What follows from a reason is
left to the layer above.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dialin import events
from dialin.errors import PeerError
from dialin.events import EndReason, Result
from dialin.wire.message import Message
from dialin.wire.params import TOKENCHAR, Params

MAX_TEXT: Final = 64
"""Characters of a peer's words that are kept."""

_VALUE = re.compile(rf"[ \t]*({TOKENCHAR}+)[ \t]*(;.*)?", re.DOTALL)
_CAUSE = re.compile(r"[0-9]{1,3}")
"""Q.850 ends at 127, SIP at 699, FreeSWITCH's own below 1000."""
_UNSEEN = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class ByeReason:
    """Why a call was ended. PEER-CONTROLLED where it was received."""

    protocol: str
    """`Q.850`, `SIP`, or another, in upper case: whose list of causes this one is from."""
    cause: int | None
    """The number in that list, 0 to 999; None where none is told."""
    text: str = ""
    """What people may read: printable ASCII, at most 64 characters, and no fact to go by."""

    @property
    def q850(self) -> int | None:
        """The cause of the telephone network, if this is one."""
        return self.cause if self.protocol == Q850 else None

    @property
    def is_normal(self) -> bool:
        """Whether somebody ended the call on purpose, and nothing has failed."""
        return (self.protocol, self.cause) in _NORMAL

    @property
    def is_shutdown(self) -> bool:
        """Whether FreeSWITCH says that it stops, or that its operator ends all its calls."""
        return self.protocol != Q850 and self.text in _SHUTDOWN

    @property
    def header(self) -> tuple[str, str]:
        """The header line."""
        cause = "" if self.cause is None else f";cause={self.cause}"
        text = f';text="{self.text}"' if self.text else ""
        return ("Reason", f"{self.protocol}{cause}{text}")


Q850: Final = "Q.850"
NORMAL_CLEARING: Final = ByeReason(Q850, 16, "Normal call clearing")
NO_ANSWER: Final = ByeReason(Q850, 19, "No answer from user")
INCOMPATIBLE: Final = ByeReason(Q850, 88, "Incompatible destination")
TIMER_EXPIRED: Final = ByeReason(Q850, 102, "Recovery on timer expiry")
ELSEWHERE: Final = ByeReason("SIP", 200, "Call completed elsewhere")

_NORMAL: Final = frozenset({(Q850, 16), (Q850, 31), ("SIP", 200)})
"""Normal call clearing; normal, unspecified; and a call that was answered elsewhere."""
_SHUTDOWN: Final = frozenset({"SYSTEM_SHUTDOWN", "MANAGER_REQUEST"})

_CAUSES: Final[Mapping[EndReason, int]] = {
    events.UNKNOWN_NUMBER: 1,  # unallocated number
    events.CONFERENCE_MEDIA_LOST: 38,  # network out of order
    events.CONFERENCE_LOST: 38,
    events.BUSY: 42,  # switching equipment congestion
    events.DRAINING: 42,
    events.NO_COMMON_CODEC: 88,  # incompatible destination
    events.NO_COMMON_ENCRYPTION: 88,
    events.BAD_OFFER: 88,
    events.NO_ACK: 102,  # recovery on timer expiry
    events.MEDIA_LOST: 102,
    events.TRUNK_LOST: 102,
    events.SESSION_EXPIRED: 102,
}
_CAUSES_OF_RESULTS: Final = {
    Result.SUCCESS: 16,  # normal call clearing
    Result.CALLER: 16,
    Result.TRUNK: 31,  # normal, unspecified
    Result.BBB: 41,  # temporary failure
    Result.SERVICE: 41,
}


def bye_reason(end: EndReason) -> ByeReason:
    """How the end of a call's story is told to the far end: by our vocabulary, nobody's words."""
    cause = _CAUSES.get(end, _CAUSES_OF_RESULTS[end.result])
    return ByeReason(Q850, cause, end.reason)


def reason_in(message: Message) -> ByeReason | None:
    """Why the peer ended the call: the Q.850 reason of several, else the first that can be read.

    None where nothing that can be read is said: it is a remark, and no reason to refuse anything.
    """
    found = [reason for value in message.headers.values("Reason") if (reason := _read(value))]
    return next((reason for reason in found if reason.q850 is not None), next(iter(found), None))


def _read(value: str) -> ByeReason | None:
    match = _VALUE.fullmatch(value)
    if match is None:
        return None
    try:
        params = Params.parse(match[2] or "")
    except PeerError:
        return None
    cause = params.get("cause") or ""
    text = _UNSEEN.sub("", params.get("text") or "").replace('"', "").replace("\\", "")
    return ByeReason(
        match[1].upper(),
        int(cause) if _CAUSE.fullmatch(cause) else None,
        text[:MAX_TEXT],
    )
