# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept, and what may go wrong with it, for all who never see the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from dialin.errors import DialinError


class StoreUnavailable(DialinError):
    """The file cannot be read or written now. Calls go on without it."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"The store cannot be used: {cause}.")
        self.cause = cause
        """Kebab-case: disk-full, locked, read-only, cannot-open, damaged, newer-version, slow,
        io-error."""


class StaticRoomError(DialinError):
    """A static PIN cannot be issued, changed or deleted."""


class UnknownRoom(StaticRoomError):
    """No PIN was issued for this meeting id."""


class RoomExists(StaticRoomError):
    """A PIN was issued for this meeting id before."""


class PinTaken(StaticRoomError):
    """The PIN equals another PIN or a voice bridge, or one is the beginning of the other."""


@dataclass(frozen=True, slots=True)
class StaticRoom:
    """A room that has a PIN for good, whether its meeting exists or not."""

    meeting_id: str
    """The front end's id of the room."""
    pin: str = field(repr=False)
    """5 to 11 digits; a secret of the room's people."""
    name: str
    """What people call it. HOST-CONTROLLED."""
    lobby: bool
    """Whether callers wait until a host lets them in."""
    created_at: datetime
    """When its first PIN was issued, UTC."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What a caller said to being recorded. Nothing tells who it was."""

    call_id: str
    """The random id of the call."""
    meeting_id: str
    """The front end's id of the room."""
    consented: bool
    """Whether they agreed."""
    at: datetime
    """When, UTC."""


def clash(pin: str, other: str) -> bool:
    """Whether two numbers cannot both be keyed: one is the beginning of the other, or they are
    equal. A pause after the shorter one would decide which was meant."""
    return pin.startswith(other) or other.startswith(pin)


def now_utc() -> datetime:
    """The time as it is written down."""
    return datetime.now(UTC)
