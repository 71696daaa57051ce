# SPDX-License-Identifier: GPL-3.0-or-later
"""What BigBlueButton's webhooks post: form fields in, events out, and the checksum that goes along.

A callback is a form of `domain`, `event` and `timestamp`; `event` is a JSON list of one event or
more (bbb-webhooks: src/out/webhooks/callback-emitter.js, src/process/event.js). Events that mean
nothing to a telephone call are passed over. Names and ids in it are written by hosts, front ends
and attendees, and are as hostile as anything else on the wire.

Who may post is left to `web.hooks`, what an event means to `rooms` and `room_events`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl

from dialin.errors import PeerError
from dialin.wire.bbbxml import CHECKSUM_BY_LENGTH, Checksum

MAX_HOOK_BYTES = 1024 * 1024
"""An event takes 1 kB; a meeting's metadata, or several events in one post, may take more."""
MAX_FIELDS = 16
"""Form fields; there are three."""
MAX_EVENTS = 64
"""Events in one post; bbb-webhooks sends one, and ten where it is told to gather them."""
MAX_TEXT = 256
"""Ids of front ends are UUIDs and hashes; BBB itself allows 256 characters for a name."""
NO_PARENT = "bbb-none"
"""What stands where a breakout room has its parent (bigbluebutton-web)."""


class HookKind(StrEnum):
    """What happened, in bbb-webhooks' own words."""

    MEETING_CREATED = "meeting-created"
    MEETING_ENDED = "meeting-ended"
    RECORDING_STARTED = "meeting-recording-started"
    RECORDING_STOPPED = "meeting-recording-stopped"
    USER_JOINED = "user-joined"
    USER_LEFT = "user-left"
    VOICE_JOINED = "user-audio-voice-enabled"
    VOICE_LEFT = "user-audio-voice-disabled"
    USER_MUTED = "user-audio-muted"
    USER_UNMUTED = "user-audio-unmuted"
    HAND_RAISED = "user-raise-hand-changed"
    HAND_LOWERED = "user-raise-hand-changed (false)"
    """The same event with another value; never on the wire."""


EVENT_IDS = tuple(str(kind) for kind in HookKind if kind is not HookKind.HAND_LOWERED)
"""What to subscribe to: nothing that people write or show, such as chat, is among it."""


class MalformedHook(PeerError):
    """What was posted is not a callback of bbb-webhooks."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
        """Kebab-case: too-large, too-many-events, no-event, not-json, not-an-event."""


@dataclass(frozen=True, slots=True)
class HookEvent:
    """One thing that happened on a BBB server."""

    server: str
    """The server's name in the settings."""
    meeting_id: str
    """The front end's id of the meeting; empty where bbb-webhooks has forgotten it."""
    internal_id: str
    """BBB's id of the meeting."""
    kind: HookKind
    """What happened."""
    user_id: str = field(default="", repr=False)
    """BBB's id of the user: `w_…` for the web, `v_…` for a phone; empty for a whole meeting."""
    user_name: str = field(default="", repr=False)
    """The user's name, where a user joins; a phone's only on newer servers. ATTENDEE-CONTROLLED."""
    meeting_name: str = field(default="", repr=False)
    """The meeting's name, where it is created. HOST-CONTROLLED."""
    voice_bridge: str = field(default="", repr=False)
    """The number of the voice conference, where a meeting is created."""
    audio_bridge: str = ""
    """`bbb-webrtc-sfu`, `livekit` or `freeswitch` where a meeting is created, else empty."""
    is_breakout: bool = False
    """Whether the meeting that is created is a breakout room."""
    parent_id: str = ""
    """Internal id of a breakout room's parent, where it is created."""
    is_recorded: bool = False
    """Whether the meeting that is created may be recorded."""
    timestamp_ms: int = 0
    """When it happened by the server's clock, milliseconds since 1970; 0 if it does not say."""


def hook_checksum(callback_url: str, body: bytes, secret: str, algorithm: Checksum) -> str:
    """The checksum of a callback: over the URL as registered, the body as sent, and the secret."""
    text = callback_url.encode() + body + secret.encode()
    return hashlib.new(algorithm, text, usedforsecurity=False).hexdigest()


def is_genuine(checksum: str, callback_url: str, body: bytes, secret: str) -> bool:
    """Whether a callback bears the checksum that only BBB and we can make; takes the same time.

    `hookChecksumAlgorithm` of bbb-webhooks is sha1 by default.
    """
    algorithm = CHECKSUM_BY_LENGTH.get(len(checksum))
    if algorithm is None or not checksum.isascii():
        return False
    right = hook_checksum(callback_url, body, secret, algorithm)
    return hmac.compare_digest(checksum.lower(), right)


def parse_hook(server: str, body: bytes, content_type: str) -> tuple[HookEvent, ...]:
    """The events of one post that matter to calls, in order. Raises only MalformedHook.

    `content_type` without parameters; anything but JSON is read as a form.
    """
    if len(body) > MAX_HOOK_BYTES:
        raise MalformedHook("too-large")
    posted = _json(body if content_type == "application/json" else _event_field(body))
    listed = posted if isinstance(posted, list) else [posted]
    if len(listed) > MAX_EVENTS:
        raise MalformedHook("too-many-events")
    return tuple(event for one in listed for event in _events(server, one))


def _event_field(body: bytes) -> str:
    try:
        fields = dict(parse_qsl(body.decode(), strict_parsing=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        fields = {}
    if "event" not in fields:
        raise MalformedHook("no-event")
    return fields["event"]


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    # Raised out here, so that no error carries the text as its context.
    raise MalformedHook("not-json")


def _events(server: str, posted: Any) -> Iterator[HookEvent]:
    data = _part(posted, "data")
    attributes = _part(data, "attributes")
    if not data:
        raise MalformedHook("not-an-event")
    user = _part(attributes, "user")
    kind = _kind(_text(data, "id"), user)
    if kind is None:
        return
    meeting = _part(attributes, "meeting")
    parent = _text(meeting, "parent-id")
    yield HookEvent(
        server=server,
        meeting_id=_text(meeting, "external-meeting-id"),
        internal_id=_text(meeting, "internal-meeting-id"),
        kind=kind,
        user_id=_text(user, "internal-user-id"),
        user_name=_text(user, "name"),
        meeting_name=_text(meeting, "name"),
        voice_bridge=_text(meeting, "voice-conf"),
        audio_bridge=_text(meeting, "audioBridge"),
        is_breakout=_flag(meeting, "is-breakout"),
        parent_id="" if parent == NO_PARENT else parent,
        is_recorded=_flag(meeting, "record"),
        timestamp_ms=_milliseconds(_part(data, "event")),
    )


def _kind(event_id: str, user: Mapping[str, Any]) -> HookKind | None:
    """What an event id stands for; None for what is nothing to us."""
    if event_id == HookKind.HAND_RAISED:
        # bbb-webhooks spells it so where it makes the event up for BBB before 2.7.
        is_raised = _flag(user, "raise-hand") or _flag(user, "raiseHand")
        return HookKind.HAND_RAISED if is_raised else HookKind.HAND_LOWERED
    return HookKind(event_id) if event_id in EVENT_IDS else None


def _part(whole: Any, name: str) -> Mapping[str, Any]:
    part = whole.get(name) if isinstance(whole, dict) else None
    return part if isinstance(part, dict) else {}


def _text(part: Mapping[str, Any], name: str) -> str:
    """A text in UTF-8; JSON can spell halves of characters that are none (RFC 8259 §8.2)."""
    value = part.get(name)
    return value[:MAX_TEXT].encode(errors="replace").decode() if isinstance(value, str) else ""


def _flag(part: Mapping[str, Any], name: str) -> bool:
    return part.get(name) in (True, "true")


def _milliseconds(part: Mapping[str, Any]) -> int:
    value = part.get("ts")
    return value if type(value) is int and 0 <= value < 1 << 53 else 0
