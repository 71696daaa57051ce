# SPDX-License-Identifier: GPL-3.0-or-later
"""Greenlight v3: what makes its rooms carry number and PIN, as SQL. Text in, text out.

Greenlight passes each meeting option of a room on to BBB's `create`, unless its name begins with
`gl` (app/services/room_settings_getter.rb, db/schema.rb at 15db765b). Two options are added,
`voiceBridge` and `dialNumber`, with a row for each room. Rooms that are made later begin with the
options' default values: no PIN of their own, and the number.

Issuing PINs is left to `static_rooms`, running the statements to `commands.greenlight`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dialin.errors import OperatorError

ROOMS_QUERY = "SELECT meeting_id, name FROM rooms ORDER BY created_at, id"
"""What lists all rooms."""
ROWS_AT_ONCE = 500
LONGEST_NAME = 256
"""Characters of a room's name that are kept."""

SQL = """\
BEGIN;
SET LOCAL standard_conforming_strings = on;
SET LOCAL TIME ZONE 'UTC';  -- Rails keeps times without a zone
CREATE TEMPORARY TABLE dialin_pins (meeting_id text PRIMARY KEY, pin text NOT NULL)
  ON COMMIT DROP;
{pins}\
INSERT INTO meeting_options (name, default_value, created_at, updated_at) VALUES
{defaults}
  ON CONFLICT (name) DO UPDATE
  SET default_value = excluded.default_value, updated_at = now()
  WHERE meeting_options.default_value IS DISTINCT FROM excluded.default_value;
INSERT INTO rooms_configurations (meeting_option_id, provider, value, created_at, updated_at)
  SELECT meeting_options.id, providers.provider, 'optional', now(), now()
  FROM meeting_options CROSS JOIN (
    SELECT 'greenlight' AS provider UNION SELECT provider FROM rooms_configurations
  ) AS providers
  WHERE meeting_options.name IN ({names})
  ON CONFLICT (meeting_option_id, provider) DO UPDATE SET value = 'optional', updated_at = now()
  WHERE rooms_configurations.value <> 'optional';
CREATE TEMPORARY TABLE dialin_values ON COMMIT DROP AS
  SELECT rooms.id AS room_id, meeting_options.id AS option_id,
    CASE meeting_options.name WHEN 'voiceBridge' THEN pin ELSE default_value END AS value
  FROM dialin_pins JOIN rooms USING (meeting_id) CROSS JOIN meeting_options
  WHERE meeting_options.name IN ({names});
UPDATE room_meeting_options AS kept SET value = wanted.value, updated_at = now()
  FROM dialin_values AS wanted
  WHERE kept.room_id = wanted.room_id AND kept.meeting_option_id = wanted.option_id
  AND kept.value IS DISTINCT FROM wanted.value;
INSERT INTO room_meeting_options (room_id, meeting_option_id, value, created_at, updated_at)
  SELECT room_id, option_id, value, now(), now() FROM dialin_values AS wanted
  WHERE NOT EXISTS (
    SELECT FROM room_meeting_options AS kept
    WHERE kept.room_id = wanted.room_id AND kept.meeting_option_id = wanted.option_id
  );
COMMIT;
"""
"""No index keeps a room from having an option twice, so what is there is changed, and what is not
is added."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class GreenlightRoom:
    """A room of Greenlight's."""

    meeting_id: str
    """What Greenlight gives to BBB as meetingID."""
    name: str = ""
    """What its owner calls it, without control characters."""


def read_rooms(text: str) -> list[GreenlightRoom]:
    """The rooms in an export: CSV with a first line of names, or JSON, a list of objects.

    Each has a `meeting_id` and may have a `name`. Raises OperatorError.
    """
    text = text.lstrip("\ufeff \t\r\n")
    rows = _json_rows(text) if text.startswith("[") else list(csv.DictReader(io.StringIO(text)))
    rooms = {room.meeting_id: room for room in map(_room, rows) if room}
    if len(rooms) < len(rows) or not rooms:
        raise OperatorError(
            "The list of rooms has none in it, or some without a meeting_id or twice the same.",
            f"Export them with: {ROOMS_QUERY}",
        )
    return list(rooms.values())


def _json_rows(text: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text)
    except ValueError:
        rows = []
    return [row if isinstance(row, dict) else {} for row in rows]


def _room(row: Mapping[str, Any]) -> GreenlightRoom | None:
    meeting_id, name = row.get("meeting_id"), row.get("name") or ""
    if not isinstance(meeting_id, str) or not meeting_id or _UNPRINTABLE.search(meeting_id):
        return None
    return GreenlightRoom(meeting_id, _UNPRINTABLE.sub(" ", str(name))[:LONGEST_NAME])


def statements(pins: Mapping[str, str], dial_number: str) -> str:
    """SQL that gives rooms their PINs, by meeting id, and the number, unless that is empty.

    One transaction, and nothing is changed by running it twice.
    """
    defaults = {"voiceBridge": "", **({"dialNumber": dial_number} if dial_number else {})}
    return SQL.format(
        pins="".join(_pin_rows(pins)),
        defaults=",\n".join(
            f"  ({literal(name)}, {literal(value)}, now(), now())"
            for name, value in defaults.items()
        ),
        names=", ".join(map(literal, defaults)),
    )


def _pin_rows(pins: Mapping[str, str]) -> Iterator[str]:
    left = iter(pins.items())
    while some := list(islice(left, ROWS_AT_ONCE)):
        rows = ",\n".join(f"  ({literal(one)}, {literal(pin)})" for one, pin in some)
        yield f"INSERT INTO dialin_pins (meeting_id, pin) VALUES\n{rows};\n"


def literal(text: str) -> str:
    """A text as a string literal of SQL, where `standard_conforming_strings` is on.

    Raises ValueError for what no PostgreSQL text can hold.
    """
    if "\x00" in text:
        raise ValueError("no text of PostgreSQL holds a zero")
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
