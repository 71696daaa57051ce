# SPDX-License-Identifier: GPL-3.0-or-later
"""An invitation to a room by phone: as text, as a calendar entry, as a QR code.

Made for guests: nothing in it lets anybody act on a room.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import segno
from icalendar import Calendar, Event, vUri

from dialin.web.language import Words
from dialin.web.numbers import DialNumber, ShownNumber

LONGEST_MEETING = timedelta(days=1)
USUAL_MEETING = timedelta(hours=1)
QR_ERROR_CORRECTION = "q"
"""A quarter of it may be lost in print."""
QR_QUIET_ZONE = 4
"""Modules of white around a code (ISO/IEC 18004 §9.1)."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What somebody needs to join by phone."""

    words: Words
    name: str
    """The meeting's, fit to be shown."""
    meeting_id: str
    numbers: Sequence[ShownNumber]
    """The nearest first."""
    pin: str = field(repr=False)
    """Empty if there is none at the moment."""
    url: str = field(default="", repr=False)
    """Where guests find the page; empty if nobody said what its address is from outside."""

    @property
    def number(self) -> DialNumber | None:
        """The one to call."""
        return self.numbers[0].number if self.numbers else None

    def tel(self, number: DialNumber | None = None) -> str:
        """A link that dials number and PIN; empty without a number."""
        number = number or self.number
        return number.tel(self.pin) if number else ""

    def text(self) -> str:
        """Three short lines, in the reader's language."""
        words, number = self.words, self.number
        shown = number.international if number else words("room.no_numbers")
        lines = [words("invite.text_1", name=self.name, number=shown)]
        if not self.pin:
            lines.append(words("invite.text_no_pin"))
        else:
            lines.append(words("invite.text_2", pin=self.pin))
            if number:
                lines.append(words("invite.text_3", tel=self.tel()))
        return "\n".join(lines)

    def calendar(self, start: datetime, length: timedelta, now: datetime) -> bytes:
        """An iCalendar file of one event (RFC 5545) with the number in CONFERENCE (RFC 7986)."""
        event = Event()
        event.add("uid", self._uid(start))
        event.add("dtstamp", now.astimezone(UTC))
        event.add("dtstart", start.astimezone(UTC))
        event.add("dtend", (start + length).astimezone(UTC))
        event.add("summary", self.name)
        event.add("location", self._location())
        event.add("description", self._description())
        if self.url:
            event.add("url", self.url)
        for shown in self.numbers:
            uri = vUri(self.tel(shown.number))
            uri.params["VALUE"] = "URI"
            uri.params["FEATURE"] = ["PHONE", "AUDIO"]
            uri.params["LABEL"] = shown.label or shown.number.international
            event.add("conference", uri)
        calendar = Calendar()
        calendar.add("version", "2.0")
        calendar.add("prodid", "-//dialin//room page//EN")
        calendar.add_component(event)
        return bytes(calendar.to_ical())

    def qr_code(self) -> bytes:
        """An SVG that dials number and PIN when a phone sees it. There has to be a number."""
        number = self.number.international if self.number else ""
        picture = io.BytesIO()
        segno.make(self.tel(), error=QR_ERROR_CORRECTION, micro=False).save(
            picture,
            kind="svg",
            border=QR_QUIET_ZONE,
            light="#fff",
            title=self.words("room.qr_alt", number=number),
            desc=self.words("room.qr_hint"),
            omitsize=True,
        )
        return picture.getvalue()

    def _location(self) -> str:
        if not self.number:
            return self.words("room.no_numbers")
        number = self.number.international
        if not self.pin:
            return self.words("invite.location_no_pin", number=number)
        return self.words("invite.location", number=number, pin=self.pin)

    def _description(self) -> str:
        more = [self.words("invite.more", url=self.url)] if self.url else []
        return "\n".join([self.text(), *more])

    def _uid(self, start: datetime) -> str:
        """The same for the same meeting at the same time, so that a second file replaces it."""
        about = f"{self.meeting_id}\n{start.astimezone(UTC).isoformat()}".encode()
        return f"{hashlib.sha256(about).hexdigest()[:32]}@dialin"


def start_of(text: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The time that a host chose, in their zone unless it names another; None if it is none.

    Peer-controlled. Without a choice, the next full hour.
    """
    if not text:
        return (now + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    try:
        start = datetime.fromisoformat(text[:40])
        aware = start if start.tzinfo else start.replace(tzinfo=zone)
        # Days near the ends of the calendar have no UTC, and no end within it.
        (aware + LONGEST_MEETING).astimezone(UTC)
        aware.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return aware


def length_of(text: str) -> timedelta | None:
    """Minutes that a host chose; None if they are none. Peer-controlled."""
    if not text:
        return USUAL_MEETING
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        return None
    length = timedelta(minutes=int(text))
    return length if timedelta() < length <= LONGEST_MEETING else None
