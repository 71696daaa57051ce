# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes over the wire to and from BigBlueButton's HTTP API: checksums out, XML in.

The XML is read as narrowly as BBB writes it (bigbluebutton-web, WEB-INF/freemarker/*.ftlx): UTF-8,
no DOCTYPE, no entities, no network, a few levels deep. Names in it are written by hosts and
attendees and are as hostile as anything else on the wire.

Fetching is left to `bbb_api`, what a meeting means to a caller to `rooms`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from lxml import etree

from dialin.errors import PeerError

Checksum: TypeAlias = Literal["sha1", "sha256", "sha384", "sha512"]
CHECKSUMS: tuple[Checksum, ...] = ("sha1", "sha256", "sha384", "sha512")
CHECKSUM_BY_LENGTH: Mapping[int, Checksum] = {
    2 * hashlib.new(name, usedforsecurity=False).digest_size: name for name in CHECKSUMS
}
"""Nothing says which hash was taken but the number of its hexadecimal digits."""
"""What BBB can verify; old servers know the first two, operators may have switched off sha1."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""A meeting takes 1 to 3 kB, so this is a getMeetings answer of well over a thousand meetings."""

_CONTROLS_TO_SPACES = bytes(
    0x20 if octet < 0x20 and octet not in b"\t\n\r" else octet for octet in range(256)
)
"""XML 1.0 forbids C0 controls (§2.2), but a host may have one in a meeting's name. One odd name
must not close the telephone door of the whole server."""

_PHONE_MARKS = frozenset({"dial-in-user", "dial-in", "voice-user"})
"""How the BBB releases write the role or client type of a phone caller, in lower case."""


class MalformedAnswer(PeerError):
    """What came back is not an answer of BBB's API."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
        """Kebab-case: too-large, empty-answer, html-page, not-xml, doctype, not-bbb."""


@dataclass(frozen=True, slots=True)
class Attendee:
    """One person in a meeting, by web or by phone."""

    user_id: str = field(repr=False)
    """External user id; `v_<member>` for a phone caller. ATTENDEE-CONTROLLED through front ends."""
    full_name: str = field(repr=False)
    """The name shown to others. ATTENDEE-CONTROLLED."""
    role: str
    """MODERATOR, VIEWER or DIAL-IN-USER, as written."""
    client_type: str
    """HTML5, DIAL-IN and the like, as written."""
    has_joined_voice: bool
    """Whether a microphone or phone line is in the voice conference."""
    is_listening_only: bool
    """Whether this person hears the voice conference without a microphone."""

    @property
    def is_phone(self) -> bool:
        """Whether this is a phone caller, in the words of any BBB release."""
        return not _PHONE_MARKS.isdisjoint({self.role.lower(), self.client_type.lower()})


@dataclass(frozen=True, slots=True)
class Meeting:
    """One meeting as getMeetings, getMeetingInfo and create describe it."""

    meeting_id: str
    """External id, chosen by the front end; never empty."""
    internal_id: str
    """BBB's own id: another one each time the meeting is created."""
    name: str
    """Shown to people. HOST-CONTROLLED."""
    voice_bridge: str = field(repr=False)
    """The number of the voice conference, its PIN: leading zeros count; empty if BBB gave none."""
    dial_number: str
    """The telephone number BBB shows to participants. OPERATOR- or HOST-CONTROLLED."""
    running: bool
    """Whether somebody has joined. A meeting that is not running is known, but has not begun."""
    is_ended: bool
    """Whether it is over; BBB lists an ended meeting for a while longer."""
    is_breakout: bool
    """Whether this is a breakout room."""
    parent_id: str
    """Internal id of a breakout room's parent, else empty."""
    create_time: int
    """Milliseconds since 1970 by the server's clock; 0 if BBB gave none."""
    attendees: tuple[Attendee, ...]
    """Who is in it."""
    sequence: int = 0
    """Number of a breakout room among its siblings, from 1; 0 for any other meeting."""
    is_recorded: bool = False
    """Whether it was created to be recorded; recording may begin later, or never."""
    voice_participants: int = 0
    """How many have a microphone or a phone line in the voice conference."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook as hooks/list describes it (bbb-webhooks, src/out/webhooks/api/api.js)."""

    hook_id: str
    """What it is destroyed by."""
    callback_url: str
    """Where events are posted. Whoever has the secret can register any."""
    meeting_id: str
    """The one meeting that it is for; empty for all."""
    event_ids: frozenset[str]
    """The events that are posted; empty for all."""
    is_raw: bool
    """Whether BBB's own messages are posted, in place of events."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the API."""

    is_success: bool
    """Whether the return code is SUCCESS."""
    message_key: str
    """BBB's word for what went wrong or is special (`checksumError`, `noMeetings`), or empty."""
    is_running: bool
    """What isMeetingRunning was asked for."""
    meetings: tuple[Meeting, ...]
    """All of getMeetings, or the one of getMeetingInfo and create. An entry without an id is left
    out: nothing can be done with it, and it must not hide the others."""
    hook_id: str = ""
    """The one of hooks/create."""
    hooks: tuple[Hook, ...] = ()
    """All of hooks/list."""


def sign(call: str, query: str, secret: str, algorithm: Checksum) -> str:
    """The checksum of a call: over its name, its query exactly as sent, and the shared secret."""
    text = f"{call}{query}{secret}"
    return hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest()


def parse_answer(data: bytes) -> Answer:
    """Read an answer. Raises only MalformedAnswer."""
    response = _root(data)
    success = _text(response, "returncode")
    if response.tag != "response" or success not in ("SUCCESS", "FAILED"):
        raise MalformedAnswer("not-bbb")
    listed = response.find("meetings")
    elements = [response] if listed is None else listed.findall("meeting")
    return Answer(
        is_success=success == "SUCCESS",
        message_key=_text(response, "messageKey") or _text(response, "errors/error/key"),
        is_running=_flag(response, "running"),
        meetings=tuple(_meeting(element) for element in elements if _text(element, "meetingID")),
        hook_id=_text(response, "hookID"),
        hooks=tuple(_hook(element) for element in response.findall("hooks/hook")),
    )


def _root(data: bytes) -> etree._Element:
    if len(data) > MAX_ANSWER_BYTES:
        raise MalformedAnswer("too-large")
    text = data.strip()
    if not text:
        raise MalformedAnswer("empty-answer")
    try:
        root = etree.fromstring(text.translate(_CONTROLS_TO_SPACES), _strict_parser())
    except etree.XMLSyntaxError:
        root = None
    # Raised out here, so that no error carries lxml's copy of the text as its context.
    if root is None:
        raise MalformedAnswer(_what_it_is_instead(text))
    tree: Any = root.getroottree()  # lxml's stubs do not know docinfo.doctype
    # After the parser and not by a search in the bytes: a meeting may be called "<!DOCTYPE".
    if tree.docinfo.doctype:
        raise MalformedAnswer("html-page" if _is_html(text) else "doctype")
    return root


def _strict_parser() -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _what_it_is_instead(text: bytes) -> str:
    if _is_html(text):
        return "html-page"
    return "doctype" if b"<!DOCTYPE" in text else "not-xml"


def _is_html(text: bytes) -> bool:
    start = text[:256].lower()
    return b"<html" in start or b"<!doctype html" in start


def _meeting(element: etree._Element) -> Meeting:
    return Meeting(
        meeting_id=_text(element, "meetingID"),
        internal_id=_text(element, "internalMeetingID"),
        name=_text(element, "meetingName"),
        voice_bridge=_text(element, "voiceBridge"),
        dial_number=_text(element, "dialNumber"),
        running=_flag(element, "running"),
        is_ended=_flag(element, "hasBeenForciblyEnded")
        or _text(element, "endTime") not in ("", "0"),
        is_breakout=_flag(element, "isBreakout"),
        parent_id=_text(element, "parentMeetingID"),
        create_time=_count(element, "createTime"),
        attendees=tuple(_attendee(one) for one in element.findall("attendees/attendee")),
        sequence=_count(element, "sequence"),
        is_recorded=_flag(element, "recording"),
        voice_participants=_count(element, "voiceParticipantCount"),
    )


def _hook(element: etree._Element) -> Hook:
    listed = _text(element, "eventID").split(",")
    return Hook(
        hook_id=_text(element, "hookID"),
        callback_url=_text(element, "callbackURL"),
        meeting_id=_text(element, "meetingID"),
        event_ids=frozenset(event for event in listed if event),
        is_raw=_flag(element, "rawData"),
    )


def _attendee(element: etree._Element) -> Attendee:
    return Attendee(
        user_id=_text(element, "userID"),
        full_name=_text(element, "fullName"),
        role=_text(element, "role"),
        client_type=_text(element, "clientType"),
        has_joined_voice=_flag(element, "hasJoinedVoice"),
        is_listening_only=_flag(element, "isListeningOnly"),
    )


def _text(element: etree._Element, path: str) -> str:
    found = element.findtext(path)
    return "" if found is None else found.strip()


def _flag(element: etree._Element, path: str) -> bool:
    return _text(element, path).lower() == "true"


def _count(element: etree._Element, path: str) -> int:
    """A number of at most 18 ASCII digits; anything else is 0."""
    text = _text(element, path)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
