# SPDX-License-Identifier: GPL-3.0-or-later
"""What BBB's API says about a meeting, in the XML of its own templates.

The elements and their order are those of bigbluebutton-web, WEB-INF/freemarker/*.ftlx. Which call
gets which answer is left to `demo.bbb`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias
from xml.sax.saxutils import escape

from dialin.demo.rooms import HOST, DemoRoom, now_ms
from dialin.demo.voice import Member, user_id_of

Element: TypeAlias = tuple[str, "str | list[Element]"]
"""A name with text, or with the elements in it."""

SUCCESS: Element = ("returncode", "SUCCESS")

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document can hold (XML 1.0 §2.2), not even escaped."""


def answer(*elements: Element) -> bytes:
    """A response of these elements."""
    return written(("response", list(elements))).encode()


def failed(key: str, message: str) -> bytes:
    """A refusal, with the key that clients go by."""
    return answer(("returncode", "FAILED"), ("messageKey", key), ("message", message))


def listed(meetings: Sequence[Element]) -> bytes:
    """The answer to getMeetings (get-meetings.ftlx)."""
    if meetings:
        return answer(SUCCESS, ("meetings", list(meetings)))
    message = "no meetings were found on this server"
    return answer(SUCCESS, ("meetings", []), ("messageKey", "noMeetings"), ("message", message))


def created(room: DemoRoom, *, is_repeat: bool) -> bytes:
    """The answer to create (create-meeting.ftlx)."""
    return answer(
        SUCCESS,
        ("meetingID", room.meeting_id),
        ("internalMeetingID", room.internal_id),
        ("parentMeetingID", room.parent_id),
        ("attendeePW", "ap"),
        ("moderatorPW", "mp"),
        ("createTime", str(room.create_time)),
        ("voiceBridge", room.voice_bridge),
        ("dialNumber", room.dial_number),
        ("createDate", room.create_date),
        ("hasUserJoined", word(room.start_time > 0)),
        ("duration", "0"),
        ("hasBeenForciblyEnded", "false"),
        ("messageKey", "duplicateWarning" if is_repeat else ""),
        ("message", "This conference was already in existence." if is_repeat else ""),
    )


def meeting(room: DemoRoom, callers: Sequence[Member]) -> list[Element]:
    """A meeting in getMeetings and getMeetingInfo, with its web user and its phone callers."""
    attendees = [_attendee(HOST, "Demo host", "MODERATOR", "HTML5")] if room.running else []
    attendees += [
        _attendee(user_id, name, "VIEWER", "HTML5") for user_id, name in room.guests.items()
    ]
    attendees += [
        _attendee(user_id_of(caller, place), caller[0], "DIAL-IN-USER", "DIAL-IN")
        for place, caller in enumerate(callers, 1)
    ]
    elements: list[Element] = [
        ("meetingName", room.name),
        ("meetingID", room.meeting_id),
        ("internalMeetingID", room.internal_id),
        ("createTime", str(room.create_time)),
        ("createDate", room.create_date),
        ("voiceBridge", room.voice_bridge),
        ("dialNumber", room.dial_number),
        ("attendeePW", "ap"),
        ("moderatorPW", "mp"),
        ("running", word(room.running)),
        ("duration", "0"),
        ("hasUserJoined", word(room.start_time > 0)),
        ("recording", word(room.recording)),
        ("hasBeenForciblyEnded", word(room.is_ended)),
        ("startTime", str(room.start_time)),
        ("endTime", str(now_ms()) if room.is_ended else "0"),
        ("participantCount", str(len(attendees))),
        ("listenerCount", "0"),
        ("voiceParticipantCount", str(len(callers))),
        ("videoCount", "0"),
        ("maxUsers", "0"),
        ("moderatorCount", str(int(room.running))),
        ("attendees", attendees),
        ("metadata", [(name, value) for name, value in room.metadata.items()]),
        ("isBreakout", word(room.parent is not None)),
    ]
    if room.parent is not None:
        elements += [
            ("parentMeetingID", room.parent.internal_id),
            ("sequence", room.number),
            ("freeJoin", "false"),
        ]
    return elements


def running(is_running: bool) -> bytes:
    """The answer to isMeetingRunning (is-meeting-running.ftlx)."""
    return answer(SUCCESS, ("running", word(is_running)))


def written(element: Element) -> str:
    """An element as XML, whatever is in its text."""
    name, content = element
    inside = (
        escape(_NOT_XML.sub("?", content))
        if isinstance(content, str)
        else "".join(map(written, content))
    )
    return f"<{name}>{inside}</{name}>"


def _attendee(user_id: str, name: str, role: str, client_type: str) -> Element:
    is_phone = client_type == "DIAL-IN"
    return (
        "attendee",
        [
            ("userID", user_id),
            ("fullName", name),
            ("role", role),
            ("isPresenter", word(not is_phone)),
            ("isListeningOnly", "false"),
            ("hasJoinedVoice", word(is_phone)),
            ("hasVideo", "false"),
            ("clientType", client_type),
        ],
    )


def word(truth: bool) -> str:
    """A truth as BBB writes it."""
    return "true" if truth else "false"
