# SPDX-License-Identifier: GPL-3.0-or-later
"""What a voice conference tells BBB of its members, in the words that both stand-ins share."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, TypeAlias


class PhoneCaller(NamedTuple):
    """Someone in a voice conference whom BBB takes for a phone caller."""

    name: str
    """The caller-ID name, which BBB shows."""
    number: str
    """The caller-ID number."""
    muted: bool
    """Whether nobody hears the caller."""
    member: int
    """FreeSWITCH's member id."""


Member: TypeAlias = PhoneCaller | tuple[str, str, bool]
"""A caller, or name, number and mute state of one whose member id is the place in the list."""


class Change(StrEnum):
    """What happens to a member."""

    JOINED = "joined"
    LEFT = "left"
    MUTED = "muted"
    """Told each time it is asked for, as `mute-member` is, also of one who is muted already."""
    UNMUTED = "unmuted"


def user_id_of(caller: Member, place: int = 0) -> str:
    """A phone caller's user id, internal and external (ESLEventListener.java)."""
    return f"v_{caller.member if isinstance(caller, PhoneCaller) else place}"
