# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that layers share: how a call ended, what a caller keyed, what a codec is called.

Values only. Who raises, sends or counts them is left to the modules above.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dialin.errors import DialinError


class Result(StrEnum):
    """Whose doing the end of a call was."""

    SUCCESS = "success"
    CALLER = "caller"
    TRUNK = "trunk"
    BBB = "bbb"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class EndReason:
    """How one call ended: one vocabulary for logs, metrics and records."""

    result: Result
    reason: str
    """Kebab-case, one of the constants below; never anything a caller wrote."""

    def __str__(self) -> str:
        return f"{self.result}/{self.reason}"

    @classmethod
    def parse(cls, text: str) -> EndReason:
        """Read what `str` wrote. Raises ValueError for anything outside the vocabulary."""
        for reason in VOCABULARY:
            if str(reason) == text:
                return reason
        raise ValueError(f"not an end reason: {text!r}")


LEFT_ROOM = EndReason(Result.SUCCESS, "left-room")
MEETING_ENDED = EndReason(Result.SUCCESS, "meeting-ended")
REMOVED = EndReason(Result.SUCCESS, "removed-by-host")

CANCELLED = EndReason(Result.CALLER, "cancelled")
HUNG_UP_EARLY = EndReason(Result.CALLER, "hung-up-early")
NO_PIN = EndReason(Result.CALLER, "no-pin")
WRONG_PIN = EndReason(Result.CALLER, "wrong-pin")
WAITED_TOO_LONG = EndReason(Result.CALLER, "waited-too-long")
NO_CONSENT = EndReason(Result.CALLER, "no-consent")

BAD_OFFER = EndReason(Result.TRUNK, "bad-offer")
NO_COMMON_CODEC = EndReason(Result.TRUNK, "no-common-codec")
NO_COMMON_ENCRYPTION = EndReason(Result.TRUNK, "no-common-encryption")
NO_ACK = EndReason(Result.TRUNK, "no-ack")
MEDIA_LOST = EndReason(Result.TRUNK, "media-lost")
TRUNK_LOST = EndReason(Result.TRUNK, "trunk-lost")
SESSION_EXPIRED = EndReason(Result.TRUNK, "session-expired")
UNKNOWN_NUMBER = EndReason(Result.TRUNK, "unknown-number")

AMBIGUOUS_PIN = EndReason(Result.BBB, "ambiguous-pin")
DIRECTORY_DOWN = EndReason(Result.BBB, "directory-down")
CONFERENCE_UNREACHABLE = EndReason(Result.BBB, "conference-unreachable")
CONFERENCE_REFUSED = EndReason(Result.BBB, "conference-refused")
CONFERENCE_LOST = EndReason(Result.BBB, "conference-lost")
CONFERENCE_MEDIA_LOST = EndReason(Result.BBB, "conference-media-lost")
REFUSED_BY_HOST = EndReason(Result.BBB, "refused-by-host")

BUSY = EndReason(Result.SERVICE, "busy")
DRAINING = EndReason(Result.SERVICE, "draining")
STOPPED = EndReason(Result.SERVICE, "stopped")
ENDED_BY_OPERATOR = EndReason(Result.SERVICE, "ended-by-operator")
MEDIA_WORKER_LOST = EndReason(Result.SERVICE, "media-worker-lost")
INTERNAL_ERROR = EndReason(Result.SERVICE, "internal-error")

VOCABULARY: tuple[EndReason, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, EndReason)
)


class CallError(DialinError):
    """A call cannot go on. Whoever finds out raises it with the reason; the call's story ends."""

    def __init__(self, reason: EndReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Codec(StrEnum):
    """The codecs that prompts are stored in and legs can share, by RFC 3551 encoding name."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"

    @property
    def payload_type(self) -> int:
        """The static RTP payload type (RFC 3551 §6, tables 4 and 5)."""
        return {Codec.PCMU: 0, Codec.PCMA: 8, Codec.G722: 9}[self]


class DigitSource(StrEnum):
    """How a digit reached us."""

    RFC4733 = "rfc4733"
    IN_BAND = "in-band"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Digit:
    """One key press. Caller-controlled; digits are never logged."""

    key: str
    """One of 0-9, *, #, A-D."""
    source: DigitSource

    def __repr__(self) -> str:
        return f"Digit(key=…, source={self.source})"
