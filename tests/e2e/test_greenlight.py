# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin greenlight` on a real PostgreSQL with Greenlight v3's tables, and what BBB gets then.

The tables are those of db/schema.rb at 15db765b, what Greenlight reads of them that of
app/services/room_settings_getter.rb, and what a new room begins with that of app/models/room.rb.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dialin.__main__ import cli
from dialin.demo.bbb import DemoBbb
from dialin.wire.bbbxml import parse_answer
from tests.commands.test_room_pins import dialin, settings_in
from tests.peers.postgres import Postgres, postgres_server, programs

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(programs() is None, reason="needs postgresql"),
]

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "greenlight.md"
NUMBER = "+49 30 23125100"

TABLES = """
CREATE EXTENSION pgcrypto;
CREATE TABLE meeting_options (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar, default_value varchar,
  created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL
);
CREATE UNIQUE INDEX index_meeting_options_on_name ON meeting_options (name);
CREATE TABLE rooms (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, name varchar NOT NULL,
  friendly_id varchar NOT NULL, meeting_id varchar NOT NULL UNIQUE, last_session timestamp(6),
  created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL,
  recordings_processing integer DEFAULT 0, online boolean DEFAULT false
);
CREATE TABLE room_meeting_options (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), room_id uuid REFERENCES rooms,
  meeting_option_id uuid REFERENCES meeting_options, value varchar,
  created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL
);
CREATE TABLE rooms_configurations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  meeting_option_id uuid REFERENCES meeting_options, provider varchar NOT NULL,
  value varchar NOT NULL, created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL
);
CREATE UNIQUE INDEX index_rooms_configurations_on_meeting_option_id_and_provider
  ON rooms_configurations (meeting_option_id, provider);
INSERT INTO meeting_options (name, default_value, created_at, updated_at) VALUES
  ('record', 'false', now(), now()), ('glViewerAccessCode', '', now(), now());
INSERT INTO rooms_configurations (meeting_option_id, provider, value, created_at, updated_at)
  SELECT id, provider, 'default_enabled', now(), now() FROM meeting_options
  CROSS JOIN (VALUES ('greenlight'), ('tenant')) AS providers (provider);
"""
NEW_ROOM = """
INSERT INTO rooms (name, friendly_id, meeting_id, created_at, updated_at)
  VALUES ('{name}', '{id}', '{id}', now(), now());
INSERT INTO room_meeting_options (room_id, meeting_option_id, value, created_at, updated_at)
  SELECT rooms.id, options.id, default_value, now(), now()
  FROM rooms CROSS JOIN meeting_options AS options WHERE meeting_id = '{id}';
"""
SENT = """
SELECT options.name, coalesce(forced.value, kept.value)
  FROM rooms JOIN room_meeting_options AS kept ON kept.room_id = rooms.id
  JOIN meeting_options AS options ON options.id = kept.meeting_option_id
  LEFT JOIN rooms_configurations AS forced ON forced.meeting_option_id = options.id
    AND forced.provider = 'greenlight' AND forced.value NOT IN ('optional', 'default_enabled')
  WHERE rooms.meeting_id = '{id}' AND options.name NOT ILIKE 'gl%';
"""
ALL_ROWS = """
SELECT 'o', name, default_value, updated_at FROM meeting_options UNION ALL
SELECT 'c', provider, value, updated_at FROM rooms_configurations UNION ALL
SELECT 'r', room_id::text, value, updated_at FROM room_meeting_options ORDER BY 1, 2, 3;
"""


@pytest.fixture
def database() -> Iterator[Postgres]:
    with postgres_server() as server:
        server.ask(TABLES)
        server.ask(NEW_ROOM.format(id="abc", name="Müller''s & co"))
        server.ask(NEW_ROOM.format(id="def", name="Maths"))
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return settings_in(tmp_path)


def greenlight(database: Postgres, file: Path, *arguments: str) -> Result:
    command = ["greenlight", *arguments, "--config", str(file)]
    result = CliRunner().invoke(cli, command, env={"DATABASE_URL": database.url})
    assert result.exit_code == 0, result.exception
    return result


def sent(database: Postgres, room: str) -> dict[str, str]:
    """What Greenlight gives to `create` for a room."""
    rows = database.ask(SENT.format(id=room))
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1] for row in rows}


def pin_of(file: Path, room: str) -> str:
    return str(json.loads(dialin("room", "show", room, "--json", file=file).stdout)["pin"])


def test_a_dry_run_changes_nothing_and_prints_what_can_be_piped(
    database: Postgres, file: Path
) -> None:
    before = database.ask(ALL_ROWS)
    result = greenlight(database, file)
    assert result.stderr == "Rooms: 2. PINs that --apply would issue: 2.\n"
    assert database.ask(ALL_ROWS) == before
    assert dialin("room", "list", "--json", file=file).stdout.strip() == "[]"
    database.ask(result.stdout)
    assert sent(database, "abc") == {"record": "false"}  # no PIN yet, so nothing of it


def test_rooms_are_sent_with_pin_and_number_and_again_nothing_changes(
    database: Postgres, file: Path
) -> None:
    assert greenlight(database, file, "--apply").stdout == ""
    for room in ("abc", "def"):
        assert sent(database, room) == {
            "record": "false",
            "voiceBridge": pin_of(file, room),
            "dialNumber": NUMBER,
        }
    shown = json.loads(dialin("room", "show", "abc", "--json", file=file).stdout)
    assert shown["name"] == "Müller's & co"
    before = database.ask(ALL_ROWS)
    greenlight(database, file, "--apply")
    assert database.ask(ALL_ROWS) == before


def test_a_room_that_comes_later_has_the_number_at_once_and_a_pin_after_the_next_run(
    database: Postgres, file: Path
) -> None:
    greenlight(database, file, "--apply")
    database.ask(NEW_ROOM.format(id="new", name="New"))
    assert sent(database, "new") == {"record": "false", "voiceBridge": "", "dialNumber": NUMBER}
    greenlight(database, file, "--apply")
    assert sent(database, "new")["voiceBridge"] == pin_of(file, "new")
    assert database.ask("SELECT count(*) FROM room_meeting_options;") == [["12"]]


def test_another_pin_and_what_an_administrator_has_forced_are_put_right(
    database: Postgres, file: Path
) -> None:
    greenlight(database, file, "--apply")
    database.ask("UPDATE rooms_configurations SET value = 'false';")
    assert sent(database, "abc")["voiceBridge"] == "false"
    dialin("room", "rotate", "abc", file=file)
    greenlight(database, file, "--apply")
    assert sent(database, "abc")["voiceBridge"] == pin_of(file, "abc")
    left = database.ask("SELECT count(*) FROM rooms_configurations WHERE value = 'false';")
    assert left == [["4"]]  # options that are not ours


def test_what_the_documentation_says_takes_everything_back(database: Postgres, file: Path) -> None:
    before = database.ask(ALL_ROWS)
    greenlight(database, file, "--apply")
    (removal,) = re.findall(r"```sql\n(.*?DELETE.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    database.ask(removal)
    assert database.ask(ALL_ROWS) == before


async def test_bigbluebutton_takes_what_is_sent(database: Postgres, file: Path) -> None:
    await asyncio.to_thread(greenlight, database, file, "--apply")
    bbb = DemoBbb(rooms=[])
    made = parse_answer(
        bbb.perform("create", {"meetingID": "abc", "name": "Physics", **sent(database, "abc")})
    )
    shown = await asyncio.to_thread(pin_of, file, "abc")
    assert made.meetings[0].voice_bridge == shown
    assert bbb.room("abc").dial_number == NUMBER
    database.ask(NEW_ROOM.format(id="new", name="New"))
    drawn = parse_answer(bbb.perform("create", {"meetingID": "new", **sent(database, "new")}))
    assert re.fullmatch("[0-9]{5}", drawn.meetings[0].voice_bridge)
