# SPDX-License-Identifier: GPL-3.0-or-later
"""livekit-sip beside a BBB server, as far as its and BBB's own words tell: a scripted peer.

It takes calls whose user part is the voice bridge of a meeting that it knows, shows people the
From's user part behind "Phone ", and lets one key toggle mute (bigbluebutton#24262, the changelog
of bbb-webrtc-sfu from 2.18 on). That it refuses others with 404, and which key toggles, is a guess:
neither was read. No real livekit-sip was run against this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dialin.demo.conference import room_called
from dialin.sip import IncomingLeg
from dialin.wire.uri import SipUri
from tests.peers.conference import ScriptedConference, Seat, taking_calls

HOST = "127.0.0.32"
"""An address of its own, as one of FreeSWITCH's is beside it."""
UNKNOWN = 404
TOGGLE_MUTE = "0"
PREFIX = "Phone "
"""Empty where bigbluebutton#23761 is in."""
FORBIDDEN = (
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
    "Diversion",
    "History-Info",
    "Privacy",
)
"""Headers that could tell who calls."""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in a LiveKit room, as the web clients show it."""

    name: str = field(repr=False)
    """What people see."""
    room: str
    """The voice bridge; LiveKit's room is named after the internal meeting id."""
    muted: bool
    """Whether a key has muted it, an odd number of times."""


class LiveKit(ScriptedConference):
    """All of its seats."""

    def __init__(self, calls: asyncio.TaskGroup, voice_bridges: Iterable[str]) -> None:
        super().__init__(calls, HOST)
        self.voice_bridges = set(voice_bridges)
        """The meetings that there is a trunk for."""
        self.refused: list[str] = []
        """The user parts that were called and are none of them."""

    def take(self, leg: IncomingLeg) -> None:
        """Take a call to a meeting that is known."""
        called = room_called(leg.request)
        if called in self.voice_bridges:
            super().take(leg)
        else:
            self.refused.append(called)
            leg.reject(UNKNOWN)

    def participants(self) -> list[Participant]:
        """Who is in a room, in the order of joining."""
        return [self._participant(seat) for seat in self.seats if not seat.leg.ended.done()]

    def _participant(self, seat: Seat) -> Participant:
        pressed = seat.keys_by_events + seat.keys_by_info
        return Participant(
            name=PREFIX + from_user(seat),
            room=room_called(seat.invite),
            muted=pressed.count(TOGGLE_MUTE) % 2 == 1,
        )


def from_user(seat: Seat) -> str:
    """The From's user part, which is all that LiveKit takes of it."""
    uri = seat.invite.from_.uri
    return uri.user or "" if isinstance(uri, SipUri) else ""


def told_too_much(seat: Seat) -> list[str]:
    """What in the INVITE could tell who calls, besides the name that is shown."""
    return [name for name in FORBIDDEN if seat.invite.headers.values(name)]


@asynccontextmanager
async def livekit(voice_bridges: Iterable[str]) -> AsyncIterator[LiveKit]:
    """A LiveKit that takes calls to these while the block runs."""
    async with (
        asyncio.TaskGroup() as calls,
        taking_calls(LiveKit(calls, voice_bridges)) as peer,
    ):
        yield peer
