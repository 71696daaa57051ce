# SPDX-License-Identifier: GPL-3.0-or-later
"""Invitations: lines of text, a calendar entry that programs read, a code that phones read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar
from lxml import etree

from dialin.web.invitation import Invitation, length_of, start_of
from dialin.web.language import reader
from dialin.web.meeting_name import shown_name
from dialin.web.numbers import DialNumber, nearest_first
from tests.web.site import BERLIN, LONDON, PIN

BERLIN_TIME = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 26, 12, 34, 56, tzinfo=UTC)
START = datetime(2026, 12, 1, 10, tzinfo=BERLIN_TIME)
HOUR = timedelta(hours=1)
URL = "https://dialin.example.org/rooms/demo?right=guest&expires=1&signature=00"


def invitation(
    name: str = "Weekly round",
    *,
    pin: str = PIN,
    numbers: tuple[DialNumber, ...] = (BERLIN, LONDON),
    language: str = "en",
    url: str = URL,
) -> Invitation:
    who = reader(language, "")
    return Invitation(who.words, name, "demo", nearest_first(numbers, who), pin, url)


def event(made: Invitation) -> Any:
    """What another program reads: the type of a value depends on its property."""
    (found,) = Calendar.from_ical(made.calendar(START, HOUR, NOW)).walk("VEVENT")
    return found


def test_the_text_is_three_lines_in_the_readers_language() -> None:
    assert invitation(numbers=(BERLIN,)).text().splitlines() == [
        "Join “Weekly round” by phone: +49 30 23125100",
        "PIN: 987654321, then #",
        "With one tap: tel:+493023125100,,987654321%23",
    ]
    assert invitation(language="de").text().splitlines()[1] == "PIN: 987654321, dann #"


def test_without_a_pin_the_text_says_when_there_will_be_one() -> None:
    lines = invitation(pin="").text().splitlines()

    assert len(lines) == 2
    assert lines[1] == "The PIN is given when the meeting begins."


def test_without_a_number_the_text_says_so() -> None:
    lines = invitation(numbers=()).text().splitlines()

    assert lines[0].endswith("No telephone number is set up yet.")
    assert len(lines) == 2
    assert invitation(numbers=()).tel() == ""


def test_the_calendar_entry_is_read_by_others() -> None:
    found = event(invitation())

    assert found["SUMMARY"] == "Weekly round"
    assert found["DTSTART"].dt == START
    assert found["DTEND"].dt == START + HOUR
    assert found["DTSTAMP"].dt == NOW
    assert found["LOCATION"] == "By phone: +49 30 23125100, PIN 987654321, then #"
    assert URL in str(found["DESCRIPTION"])
    assert found["URL"] == URL


def test_each_number_is_a_conference_uri_for_phones() -> None:
    raw = invitation().calendar(START, HOUR, NOW).replace(b"\r\n ", b"").decode()
    uris = event(invitation())["CONFERENCE"]

    assert [str(uri) for uri in uris] == [
        "tel:+493023125100,,987654321%23",
        "tel:+442079460958,,987654321%23",
    ]
    for uri in uris:
        assert uri.params["VALUE"] == "URI"
        assert uri.params["FEATURE"] == ["PHONE", "AUDIO"]
    assert uris[0].params["LABEL"] == "Germany, Berlin"
    assert "CONFERENCE;FEATURE=PHONE,AUDIO;" in raw


def test_the_same_meeting_at_the_same_time_is_the_same_entry() -> None:
    first, again = event(invitation()), event(invitation("Renamed", pin="12345"))
    later = Calendar.from_ical(invitation().calendar(START + HOUR, HOUR, NOW)).walk("VEVENT")[0]

    assert first["UID"] == again["UID"]
    assert first["UID"] != later["UID"]
    assert "demo" not in first["UID"]


def test_without_pin_url_or_number_the_entry_still_stands() -> None:
    bare = event(invitation(pin="", url=""))
    nothing = event(invitation(numbers=(), pin="", url=""))

    assert bare["LOCATION"] == "By phone: +49 30 23125100"
    assert "URL" not in bare
    assert "CONFERENCE" not in nothing


@given(st.text(max_size=300))
def test_no_name_breaks_out_of_its_property(name: str) -> None:
    shown = shown_name(name)
    found = event(invitation(shown))

    assert found["SUMMARY"] == shown
    assert sorted(found) == sorted(event(invitation("x")))


def test_the_code_is_one_svg_with_a_title() -> None:
    root = etree.fromstring(invitation().qr_code())
    title, description = root[0], root[1]

    assert etree.QName(root).localname == "svg"
    assert title.text == "QR code that dials +49 30 23125100 and the PIN of this meeting"
    assert description.text
    assert root.get("viewBox") == "0 0 37 37"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("2026-12-01T10:00", datetime(2026, 12, 1, 9, tzinfo=UTC)),
        ("2026-07-01T10:00", datetime(2026, 7, 1, 8, tzinfo=UTC)),
        ("2026-12-01T10:00:30+05:00", datetime(2026, 12, 1, 5, 0, 30, tzinfo=UTC)),
        ("2026-12-01T10:00Z", datetime(2026, 12, 1, 10, tzinfo=UTC)),
        ("", datetime(2026, 11, 26, 13, tzinfo=UTC)),
        ("tomorrow", None),
        ("9999-12-31T23:59", None),
        ("0001-01-01T00:00", None),
        ("2026-13-01T10:00", None),
        ("\x00", None),
    ],
)
def test_a_start_is_in_the_hosts_zone_unless_it_says_otherwise(
    text: str, start: datetime | None
) -> None:
    assert start_of(text, BERLIN_TIME, NOW) == start


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("", 60), ("1", 1), ("1440", 1440), ("0", None), ("1441", None), ("-5", None), ("٣", None)],
)
def test_a_meeting_lasts_a_minute_to_a_day(text: str, minutes: int | None) -> None:
    assert length_of(text) == (None if minutes is None else timedelta(minutes=minutes))


@given(st.text())
def test_no_time_is_too_odd(text: str) -> None:
    start = start_of(text, BERLIN_TIME, NOW)
    length = length_of(text)

    assert start is None or event_of(start)
    assert length is None or length > timedelta()


def event_of(start: datetime) -> bytes:
    return invitation().calendar(start, timedelta(days=1), NOW)


def test_no_repr_shows_pin_or_link() -> None:
    assert PIN not in repr(invitation())
    assert "signature" not in repr(invitation())
