# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin greenlight`: nothing happens without --apply, and no password shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dialin.__main__ import cli
from dialin.commands.greenlight import connection
from dialin.errors import OperatorError
from tests.commands.test_room_pins import created, dialin, settings_in

CSV = "meeting_id,name\nabc,Physics\ndef,Maths\n"
DATABASE = "postgres://gl:p%40ss-canary@127.0.0.1:1/greenlight"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return settings_in(tmp_path)


@pytest.fixture
def psql_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts lines of shell in the place of psql."""

    def put(lines: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        psql = folder / "psql"
        psql.write_text(f"#!/bin/sh\n{lines}")
        psql.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return put


def piped(*arguments: str, file: Path, text: str = CSV) -> Result:
    """The command with an export on standard input."""
    command = ["greenlight", "--rooms", "-", *arguments, "--config", str(file)]
    return CliRunner().invoke(cli, command, input=text, env={"DATABASE_URL": DATABASE})


def rooms_of(file: Path) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = json.loads(dialin("room", "list", "--json", file=file).stdout)
    return listed


def test_without_apply_it_is_told_what_would_be_done_and_nothing_is(file: Path) -> None:
    pin = created(file, "abc")["pin"]
    result = piped(file=file)
    assert result.exit_code == 0, result.exception
    assert result.stderr == "Rooms: 2. PINs that --apply would issue: 1.\n"
    assert f"('abc', '{pin}')" in result.stdout
    assert "'def'" not in result.stdout
    assert "('dialNumber', '+49 30 23125100', now(), now())" in result.stdout
    assert [room["meeting_id"] for room in rooms_of(file)] == ["abc"]


def test_with_apply_each_room_has_a_pin_and_keeps_it(file: Path) -> None:
    result = piped("--apply", file=file)
    assert "Rooms: 2. PINs issued: 2." in result.stderr
    assert [(room["meeting_id"], room["name"]) for room in rooms_of(file)] == [
        ("abc", "Physics"),
        ("def", "Maths"),
    ]
    for room in ("abc", "def"):
        pin = json.loads(dialin("room", "show", room, "--json", file=file).stdout)["pin"]
        assert f"('{room}', '{pin}')" in result.stdout
    again = piped("--apply", file=file)
    assert again.stdout == result.stdout
    assert "PINs issued: 0." in again.stderr


def test_a_file_is_read_too(file: Path, tmp_path: Path) -> None:
    export = tmp_path / "rooms.json"
    export.write_text('[{"meeting_id": "abc"}]')
    result = dialin("greenlight", "--rooms", str(export), file=file)
    assert "Rooms: 1." in result.stderr
    gone = dialin("greenlight", "--rooms", str(tmp_path / "gone"), file=file)
    assert isinstance(gone.exception, OperatorError)


def test_one_of_the_two_has_to_be_named(file: Path) -> None:
    assert dialin("greenlight", file=file).exit_code == 2


def test_without_psql_it_is_said_what_to_do(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    result = dialin("greenlight", "--database", DATABASE, file=file)
    assert isinstance(result.exception, OperatorError)
    assert "postgresql-client" in str(result.exception)


def test_a_database_that_is_not_there_changes_nothing_and_shows_no_password(
    file: Path, psql_is: Callable[[str], None]
) -> None:
    psql_is('echo "psql: error: connection refused" >&2\nexit 2\n')
    result = dialin("greenlight", "--database", DATABASE, "--apply", file=file)
    assert isinstance(result.exception, OperatorError)
    assert "connection refused" in str(result.exception)
    assert "canary" not in str(result.exception) + result.output
    assert rooms_of(file) == []


def test_an_address_is_taken_apart_for_psql() -> None:
    assert connection(DATABASE) == {
        "PGUSER": "gl",
        "PGPASSWORD": "p@ss-canary",
        "PGHOST": "127.0.0.1",
        "PGPORT": "1",
        "PGDATABASE": "greenlight",
    }
    assert connection("postgresql:///gl?host=/run/postgresql&sslmode=disable") == {
        "PGDATABASE": "gl",
        "PGHOST": "/run/postgresql",
        "PGSSLMODE": "disable",
    }


@pytest.mark.parametrize(
    "url",
    [
        "mysql://gl@127.0.0.1/greenlight",
        "postgres://gl@127.0.0.1:port/greenlight",
        "postgres://gl@127.0.0.1/greenlight?options=-c",
        "postgres://gl@127.0.0.1/greenlight?sslmode",
        "greenlight",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(OperatorError, match="address of the database"):
        connection(url)


def test_the_database_is_asked_and_given_what_would_have_been_printed(
    file: Path, tmp_path: Path, psql_is: Callable[[str], None]
) -> None:
    psql_is(
        f'case "$*" in *--csv*) printf "{CSV}" ;; *) cat > {tmp_path}/sql ;; esac\n'
        f'echo "$PGPASSWORD $PGDATABASE $*" >> {tmp_path}/asked\n'
    )
    result = dialin("greenlight", "--database", DATABASE, "--apply", file=file)
    assert result.exit_code == 0, result.exception
    assert result.stdout == ""
    assert result.stderr.endswith("Greenlight's database has them.\n")
    assert (tmp_path / "sql").read_text() == piped(file=file).stdout
    for asked in (tmp_path / "asked").read_text().splitlines():
        assert asked.startswith("p@ss-canary greenlight ")
        assert "canary" not in asked.partition(" ")[2]  # where others could see it
