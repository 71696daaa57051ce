# SPDX-License-Identifier: GPL-3.0-or-later
"""The events that bbb-webhooks makes of what happens in a meeting, as JSON has them.

Names, nesting and what is missing follow bbb-webhooks' src/process/event.js at a001f1d: a key whose
value BBB does not send is not there at all. Who gets them is left to `webhooks`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from dialin.demo.rooms import DemoRoom, now_ms

HookEvent: TypeAlias = dict[str, Any]
"""One event: `data` with `type`, `id`, `attributes` and `event`."""


def event_id(event: HookEvent) -> str:
    """Its name, such as `user-joined`."""
    return str(event["data"]["id"])


def meeting_created(room: DemoRoom) -> HookEvent:
    """A meeting is created: all that is known of it."""
    meeting = {
        **_ids(room),
        "name": room.name,
        "is-breakout": room.parent is not None,
        "parent-id": room.parent_id,
        "duration": 0,
        "create-time": room.create_time,
        "create-date": room.create_date,
        "moderator-pass": "mp",
        "viewer-pass": "ap",
        "record": room.recording,
        "voice-conf": room.voice_bridge,
        "dial-number": room.dial_number,
        "max-users": 0,
        "metadata": dict(room.metadata),
        "audioBridge": room.audio_bridge,
        "cameraBridge": "bbb-webrtc-sfu",
        "screenShareBridge": "bbb-webrtc-sfu",
    }
    return _event("meeting-created", {"meeting": meeting})


def meeting_ended(room: DemoRoom) -> HookEvent:
    """A meeting is over."""
    return _event("meeting-ended", {"meeting": _ids(room)})


def recording_changed(room: DemoRoom, *, is_on: bool, is_old: bool = False) -> HookEvent:
    """Somebody has begun or stopped the recording.

    `is_old`: as bbb-webhooks 2 said it, in one event whose name says nothing.
    """
    if is_old:
        return _event("meeting-recording-changed", {"meeting": _ids(room)})
    word = "started" if is_on else "stopped"
    return _event(f"meeting-recording-{word}", {"meeting": _ids(room)})


def user_joined(
    room: DemoRoom, user_id: str, name: str, *, role: str = "VIEWER", guest: bool = False
) -> HookEvent:
    """Somebody comes, by web; of phones only some releases tell it."""
    user = {"name": name, "role": role, "presenter": False, "userdata": {}, "guest": guest}
    return _of_user("user-joined", room, user_id, user_id, user)


def user_left(room: DemoRoom, user_id: str) -> HookEvent:
    """Somebody goes."""
    return _of_user("user-left", room, user_id, user_id, {"guest": False})


def voice_enabled(room: DemoRoom, user_id: str, *, muted: bool, external_id: str = "") -> HookEvent:
    """Somebody is heard and hears; without an external id if no user-joined has told it."""
    user = {"listening-only": False, "sharing-mic": True, "muted": muted}
    return _of_user("user-audio-voice-enabled", room, user_id, external_id, user)


def voice_disabled(room: DemoRoom, user_id: str, *, external_id: str = "") -> HookEvent:
    """Somebody is in the voice conference no more."""
    user = {"listening-only": False, "sharing-mic": False, "muted": True}
    return _of_user("user-audio-voice-disabled", room, user_id, external_id, user)


def mute_changed(room: DemoRoom, user_id: str, *, muted: bool, external_id: str = "") -> HookEvent:
    """Somebody is muted or unmuted, by whomever."""
    word = "muted" if muted else "unmuted"
    return _of_user(f"user-audio-{word}", room, user_id, external_id, {"muted": muted})


def hand_changed(room: DemoRoom, user_id: str, *, raised: bool, external_id: str = "") -> HookEvent:
    """Somebody raises or lowers a hand."""
    return _of_user("user-raise-hand-changed", room, user_id, external_id, {"raise-hand": raised})


def _ids(room: DemoRoom) -> dict[str, Any]:
    return {"internal-meeting-id": room.internal_id, "external-meeting-id": room.meeting_id}


def _of_user(
    name: str, room: DemoRoom, user_id: str, external_id: str, user: dict[str, Any]
) -> HookEvent:
    ids = {"internal-user-id": user_id, "external-user-id": external_id}
    return _event(name, {"meeting": _ids(room), "user": {**ids, **user}})


def _event(name: str, attributes: dict[str, Any]) -> HookEvent:
    return {
        "data": {
            "type": "event",
            "id": name,
            "attributes": attributes,
            "event": {"ts": now_ms()},
        }
    }
