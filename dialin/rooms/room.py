# SPDX-License-Identifier: GPL-3.0-or-later
"""What a room is, and how one is read out of what BBB's API and its webhooks tell.

Where rooms are found and waited for is left to the package; when servers are asked, to `watcher`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from dialin.wire.bbbhooks import HookEvent, HookKind
from dialin.wire.bbbxml import Meeting

_VOICE_BRIDGE = re.compile(r"[0-9]{5,11}")
"""What BBB's dialplan takes for a conference (dialplan/default/bbb_conference.xml)."""
_RESERVED = "99999"
"""BBB's own `testVoiceBridge`: the number of no meeting, though one could be created with it."""


@dataclass(frozen=True, slots=True)
class Room:
    """A meeting that a caller can be led to, as it was when its server was last asked."""

    server: str
    """The BBB server's name in the settings; empty for a room that no server has yet."""
    meeting_id: str
    """The front end's id of the room."""
    name: str
    """What people call it. HOST-CONTROLLED."""
    voice_bridge: str = field(repr=False)
    """The number of its voice conference, which is a PIN of it: digits, leading zeros count. Empty
    if no server has the room, or its server gave none that can be dialled."""
    running: bool
    """Whether the meeting has begun; a room that is known may still be empty."""
    internal_id: str = ""
    """BBB's id, another one each time the meeting is created."""
    is_breakout: bool = False
    """Whether it is a breakout room."""
    is_empty: bool = False
    """Whether nobody was in its voice conference, by phone or web."""
    parent_id: str = ""
    """BBB's id of a breakout room's parent, else empty."""
    sequence: int = 0
    """Number of a breakout room, from 1; 0 for any other room."""
    is_recorded: bool = False
    """Whether the meeting may be recorded; whether it is at this moment, BBB does not list."""
    audio_bridge: str = ""
    """`bbb-webrtc-sfu`, `livekit` or `freeswitch`; empty where no webhook has told."""
    voice_participants: int = 0
    """How many were heard in its voice conference."""
    create_time: int = 0
    """Milliseconds since 1970 by the server's clock; 0 if that did not say."""

    @property
    def key(self) -> tuple[str, str]:
        """What the room is known by, whether its meeting is running or not."""
        return self.server, self.meeting_id

    @property
    def hindrance(self) -> str:
        """Why a telephone cannot join though the meeting runs, kebab-case; empty if it can."""
        return "" if not self.running or is_voice_bridge(self.voice_bridge) else "no-voice-bridge"


def is_voice_bridge(text: str) -> bool:
    """Whether BBB could have given this number to a meeting."""
    return _VOICE_BRIDGE.fullmatch(text) is not None and text != _RESERVED


def listed(server: str, meeting: Meeting) -> Room:
    """A meeting as getMeetings lists it."""
    return Room(
        server=server,
        meeting_id=meeting.meeting_id,
        name=meeting.name,
        voice_bridge=meeting.voice_bridge if is_voice_bridge(meeting.voice_bridge) else "",
        running=meeting.running,
        internal_id=meeting.internal_id,
        is_breakout=meeting.is_breakout,
        is_empty=not any(
            one.has_joined_voice or one.is_listening_only for one in meeting.attendees
        ),
        parent_id=meeting.parent_id,
        sequence=meeting.sequence,
        is_recorded=meeting.is_recorded,
        voice_participants=meeting.voice_participants,
        create_time=meeting.create_time,
    )


def created(event: HookEvent) -> Room:
    """A meeting that was created a moment ago, as its event tells of it."""
    return Room(
        server=event.server,
        meeting_id=event.meeting_id,
        name=event.meeting_name,
        voice_bridge=event.voice_bridge,
        running=False,
        internal_id=event.internal_id,
        is_breakout=event.is_breakout,
        is_empty=True,
        parent_id=event.parent_id,
        is_recorded=event.is_recorded,
        create_time=event.timestamp_ms,
    )


def after(event: HookEvent, room: Room) -> Room:
    """A room after something happened in it; what is only counted here, a poll puts right."""
    match event.kind:
        case HookKind.USER_JOINED:
            return replace(room, running=True)
        case HookKind.VOICE_JOINED:
            heard = room.voice_participants + 1
            return replace(room, running=True, is_empty=False, voice_participants=heard)
        case HookKind.VOICE_LEFT:
            return replace(room, voice_participants=max(0, room.voice_participants - 1))
        case HookKind.RECORDING_STARTED:
            return replace(room, is_recorded=True)
        case _:
            return room
