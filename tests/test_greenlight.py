# SPDX-License-Identifier: GPL-3.0-or-later
"""Rooms read from exports, and texts as SQL. What a database makes of it is tried in e2e."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.errors import OperatorError
from dialin.greenlight import LONGEST_NAME, GreenlightRoom, literal, read_rooms, statements

ROOMS = [GreenlightRoom("abc", "Physics, 1"), GreenlightRoom("def")]


@pytest.mark.parametrize(
    "text",
    [
        'meeting_id,name\nabc,"Physics, 1"\ndef,\n',
        '\ufeffname,id,meeting_id\r\n"Physics, 1",7,abc\r\n,8,def\r\n',
        '[{"meeting_id": "abc", "name": "Physics, 1"}, {"meeting_id": "def", "name": null}]',
        'meeting_id,name\nabc,"Physics,\n1"\ndef,\n',
    ],
)
def test_an_export_is_read(text: str) -> None:
    assert read_rooms(text) == ROOMS


def test_a_name_that_is_too_long_is_cut() -> None:
    (room,) = read_rooms(f"meeting_id,name\nabc,{'x' * 1000}\n")
    assert room.name == "x" * LONGEST_NAME


@pytest.mark.parametrize(
    "text",
    [
        "",
        "meeting_id,name\n",
        "name\nPhysics\n",
        "meeting_id\nabc\nabc\n",
        "meeting_id\nabc\n\x00\n",
        "[",
        "[1]",
        '[{"meeting_id": 7}]',
        '[{"meeting_id": "abc"}, {"meeting_id": ""}]',
    ],
)
def test_what_is_no_list_of_rooms_is_refused_with_a_way_to_get_one(text: str) -> None:
    with pytest.raises(OperatorError, match="SELECT meeting_id, name FROM rooms"):
        read_rooms(text)


@given(st.text(st.characters(exclude_characters="\x00", codec="utf-8")))
def test_no_text_ends_its_literal(text: str) -> None:
    written = literal(text)
    assert re.fullmatch(r"'(?:[^']|'')*'", written, flags=re.DOTALL)
    assert written[1:-1].replace("''", "'") == text


def test_a_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="zero"):
        literal("a\x00b")


def test_braces_and_quotes_in_an_id_stay_what_they_are() -> None:
    sql = statements({"{pins}'); DROP TABLE rooms; --": "123456789"}, "+49 30 12345678")
    assert "('{pins}''); DROP TABLE rooms; --', '123456789');" in sql


def test_without_a_number_none_is_sent_and_without_rooms_only_options_are_made() -> None:
    sql = statements({}, "")
    assert "dialNumber" not in sql
    assert "INSERT INTO dialin_pins" not in sql
    assert "('voiceBridge', '', now(), now())" in sql


def test_many_rooms_are_written_in_several_statements() -> None:
    sql = statements({str(number): "123456789" for number in range(1201)}, "")
    assert sql.count("INSERT INTO dialin_pins") == 3
    assert sql.count("'123456789'") == 1201
