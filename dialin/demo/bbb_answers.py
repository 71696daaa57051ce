# SPDX-License-Identifier: GPL-3.0-or-later
"""What BBB's API says about a meeting, in the XML of its own templates.

The elements and their order are those of bigbluebutton-web, WEB-INF/freemarker/*.ftlx. Which call
gets which answer is left to `demo.bbb`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias
from xml.sax.saxutils import escape

Element: TypeAlias = tuple[str, "str | list[Element]"]
"""A name with text, or with the elements in it."""


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

SUCCESS: Element = ("returncode", "SUCCESS")

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document can hold (XML 1.0 §2.2), not even escaped."""


@dataclass(slots=True)
class DemoRoom:
    """One meeting of the stand-in."""

    meeting_id: str
    """The front end's id."""
    name: str
    """What people call it."""
    voice_bridge: str
    """Its PIN."""
    running: bool = False
    """Whether somebody has joined."""
    is_ended: bool = False
    """Whether it is over; BBB lists it for a while longer."""
    parent: DemoRoom | None = None
    """For a breakout room, the room it belongs to."""
    dial_number: str = "+49 30 12345678"
    """What BBB would show as the number to call; nobody's."""
    create_time: int = 0
    """Milliseconds since 1970."""
    start_time: int = 0
    """Milliseconds since 1970; 0 before it begins."""

    @property
    def internal_id(self) -> str:
        """BBB's own id: another one each time the meeting is created."""
        digest = hashlib.sha1(self.meeting_id.encode(), usedforsecurity=False).hexdigest()
        return f"{digest}-{self.create_time}"


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
        ("parentMeetingID", "bbb-none"),
        ("attendeePW", "ap"),
        ("moderatorPW", "mp"),
        ("createTime", str(room.create_time)),
        ("voiceBridge", room.voice_bridge),
        ("dialNumber", room.dial_number),
        ("createDate", _date(room.create_time)),
        ("hasUserJoined", _word(room.start_time > 0)),
        ("duration", "0"),
        ("hasBeenForciblyEnded", "false"),
        ("messageKey", "duplicateWarning" if is_repeat else ""),
        ("message", "This conference was already in existence." if is_repeat else ""),
    )


def meeting(room: DemoRoom, callers: Sequence[Member]) -> list[Element]:
    """A meeting in getMeetings and getMeetingInfo, with its web user and its phone callers."""
    attendees = [_attendee("w_demohost", "Demo host", "MODERATOR", "HTML5")] if room.running else []
    attendees += [
        _attendee(user_id_of(caller, place), caller[0], "DIAL-IN-USER", "DIAL-IN")
        for place, caller in enumerate(callers, 1)
    ]
    elements: list[Element] = [
        ("meetingName", room.name),
        ("meetingID", room.meeting_id),
        ("internalMeetingID", room.internal_id),
        ("createTime", str(room.create_time)),
        ("createDate", _date(room.create_time)),
        ("voiceBridge", room.voice_bridge),
        ("dialNumber", room.dial_number),
        ("attendeePW", "ap"),
        ("moderatorPW", "mp"),
        ("running", _word(room.running)),
        ("duration", "0"),
        ("hasUserJoined", _word(room.start_time > 0)),
        ("recording", "false"),
        ("hasBeenForciblyEnded", _word(room.is_ended)),
        ("startTime", str(room.start_time)),
        ("endTime", str(now_ms()) if room.is_ended else "0"),
        ("participantCount", str(len(attendees))),
        ("listenerCount", "0"),
        ("voiceParticipantCount", str(len(callers))),
        ("videoCount", "0"),
        ("maxUsers", "0"),
        ("moderatorCount", str(int(room.running))),
        ("attendees", attendees),
        ("metadata", []),
        ("isBreakout", _word(room.parent is not None)),
    ]
    if room.parent is not None:
        elements += [
            ("parentMeetingID", room.parent.internal_id),
            ("sequence", room.voice_bridge.removeprefix(room.parent.voice_bridge)),
            ("freeJoin", "false"),
        ]
    return elements


def running(is_running: bool) -> bytes:
    """The answer to isMeetingRunning (is-meeting-running.ftlx)."""
    return answer(SUCCESS, ("running", _word(is_running)))


def written(element: Element) -> str:
    """An element as XML, whatever is in its text."""
    name, content = element
    inside = (
        escape(_NOT_XML.sub("?", content))
        if isinstance(content, str)
        else "".join(map(written, content))
    )
    return f"<{name}>{inside}</{name}>"


def now_ms() -> int:
    """The time as BBB writes it."""
    return int(datetime.now(UTC).timestamp() * 1000)


def user_id_of(caller: Member, place: int) -> str:
    """A phone caller's user id, internal and external (ESLEventListener.java)."""
    return f"v_{caller.member if isinstance(caller, PhoneCaller) else place}"


def _attendee(user_id: str, name: str, role: str, client_type: str) -> Element:
    is_phone = client_type == "DIAL-IN"
    return (
        "attendee",
        [
            ("userID", user_id),
            ("fullName", name),
            ("role", role),
            ("isPresenter", _word(not is_phone)),
            ("isListeningOnly", "false"),
            ("hasJoinedVoice", _word(is_phone)),
            ("hasVideo", "false"),
            ("clientType", client_type),
        ],
    )


def _date(time_ms: int) -> str:
    """As BBB's `createDate`, for people only."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")


def _word(truth: bool) -> str:
    return "true" if truth else "false"
