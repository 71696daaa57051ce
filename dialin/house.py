# SPDX-License-Identifier: GPL-3.0-or-later
"""What every call works with: built once by `app`, the same for all.

Values and protocols only. What a call does with them is left to `call` and its parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from dialin.bbb_voice import BbbVoice
from dialin.caller import RoomLabels
from dialin.events import Codec
from dialin.ivr import PinRules
from dialin.media.engine import LegStatistics, MediaEngine
from dialin.pin import PinDesk
from dialin.room_events import RoomEvents
from dialin.rooms import Rooms
from dialin.sounds import Prompts
from dialin.wire.encryption import ALL_SUITES
from dialin.wire.sdes import Suite


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How calls are treated, from the settings."""

    codecs: tuple[Codec, ...]
    """Codecs offered to callers, best first."""
    pin_rules: PinRules
    """How a PIN is keyed."""
    pin_tries: int
    """Wrong PINs a call may have."""
    wait_for_room_s: float
    """How long a caller may wait for a meeting that has not begun, or for its host."""
    wait_for_directory_s: float
    """How long a caller with a PIN is kept while BBB's API does not answer."""
    remind_every_s: float
    """From one spoken state to the next while waiting."""
    wait_for_conference_s: float = 300.0
    """How long a caller may wait for a voice server that does not answer."""
    conference_silence_s: float = 4.0
    """Without a packet for so long a conference is lost: FreeSWITCH sends all the time."""
    has_music: bool = True
    """Whether who waits hears music."""
    hide_digits: bool = False
    """Whether labels show no digits at all."""
    asks_to_hide: bool = False
    """Whether callers are told before the PIN that they can hide their digits."""
    requires_consent: bool = False
    """Whether a microphone in a recorded meeting stays shut until the caller agrees."""
    advertised_host: str | None = None
    """The address trunks reach us at, where it is not the one we bind (NAT)."""
    suites: tuple[Suite, ...] = ALL_SUITES
    """What the media plane can encrypt with, best first."""


class Tally(Protocol):
    """Who counts what happens in calls. Nothing about a person."""

    def pin_keyed(self, result: str) -> None:
        """A PIN was looked up; `result` is kebab-case."""

    def leg_ended(self, leg: str, figures: LegStatistics) -> None:
        """A leg, `trunk` or `bbb`, ended with these figures."""


class Consents(Protocol):
    """Who keeps what callers answered to a recording."""

    async def record_consent(
        self, call_id: str, meeting_id: str, consented: bool, at: datetime
    ) -> None:
        """Keep one answer. A disk that fails is the keeper's own affair and ends no call."""


class NoConsents:
    """Keeps nothing."""

    async def record_consent(
        self, call_id: str, meeting_id: str, consented: bool, at: datetime
    ) -> None:
        """Forget it."""


def no_lobby(meeting_id: str) -> bool:
    """Nobody waits for a host."""
    return False


@dataclass(frozen=True, slots=True)
class House:
    """What every call works with."""

    media: MediaEngine
    prompts: Prompts
    pins: PinDesk
    rooms: Rooms
    room_events: RoomEvents
    voice: BbbVoice
    labels: RoomLabels
    pseudonym_key: bytes
    """Keys the pseudonyms; lives in memory only."""
    policy: CallPolicy
    tally: Tally
    has_lobby: Callable[[str], bool] = no_lobby
    """Whether callers of a meeting, by its id, are let in by the host one by one."""
    consents: Consents = field(default_factory=NoConsents)
