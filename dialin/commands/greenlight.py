# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin greenlight`: Greenlight's rooms get PINs that stay, and Greenlight learns of them.

What is written into its database stands in `dialin.greenlight`; this reads and runs it by `psql`,
PostgreSQL's own client.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

import click

from dialin.commands.room_pins import with_rooms
from dialin.commands.usual import config_option, loaded_from
from dialin.errors import OperatorError
from dialin.greenlight import ROOMS_QUERY, GreenlightRoom, read_rooms, statements

if TYPE_CHECKING:
    from dialin.settings import Settings
    from dialin.static_rooms import StaticRooms

PSQL = ("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")
QUERY_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}
"""Parameters of a database's URL that are passed on, and how psql takes them."""


@click.command()
@click.option(
    "--rooms",
    "export",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="CSV or JSON with the meeting_id and name of each room; - for standard input.",
)
@click.option(
    "--database",
    envvar="DATABASE_URL",
    help="Greenlight's database, better as the variable DATABASE_URL; needs psql.",
)
@click.option("--apply", "applies", is_flag=True, help="Issue PINs, and write to the database.")
@config_option
def greenlight(
    export: Path | None, database: str | None, file: Path | None, *, applies: bool
) -> None:
    """Give Greenlight's rooms PINs that stay, and have BigBlueButton show them.

    Prints what would be done, as SQL for Greenlight's database, and does nothing without --apply.
    With --apply each room that has no PIN gets one. The SQL is run if the database is named, and
    else printed, for psql.
    """
    if export is None and database is None:
        raise click.UsageError("Name --rooms or --database.")
    settings = loaded_from(file).settings
    variables = None if export or database is None else connection(database)
    rooms = read_rooms(_text_of(export) if export else listed(variables or {}))
    sql = statements(pins_of(settings, rooms, issues=applies), dial_number(settings))
    if applies and variables is not None:
        psql(variables, (), sql)
        click.echo("Greenlight's database has them.", err=True)
    else:
        click.echo(sql, nl=False)


def pins_of(settings: Settings, rooms: Sequence[GreenlightRoom], *, issues: bool) -> dict[str, str]:
    """The PINs of those that have one, by meeting id; all of them, if PINs are to be issued."""

    async def work(static: StaticRooms) -> dict[str, str]:
        new = [room for room in rooms if static.get(room.meeting_id) is None]
        for room in new if issues else ():
            await static.create(room.meeting_id, name=room.name)
        fate = "issued" if issues else "that --apply would issue"
        click.echo(f"Rooms: {len(rooms)}. PINs {fate}: {len(new)}.", err=True)
        found = (static.get(room.meeting_id) for room in rooms)
        return {room.meeting_id: room.pin for room in found if room}

    return with_rooms(settings, work, asks=issues)


def dial_number(settings: Settings) -> str:
    """The number that BBB is to show; empty for none."""
    from dialin.app.site import make_numbers
    from dialin.web.numbers import create_parameters

    return create_parameters("", make_numbers(settings)).get("dialNumber", "")


def listed(variables: dict[str, str]) -> str:
    """All rooms of a database, as CSV."""
    return psql(variables, ("--csv", f"--command={ROOMS_QUERY}"))


def psql(variables: dict[str, str], arguments: Sequence[str], sql: str = "") -> str:
    """Run psql and give what it prints. Raises OperatorError."""
    if shutil.which(PSQL[0]) is None:
        raise OperatorError(
            "psql is not installed, so the database cannot be reached from here.",
            "Install postgresql-client, or export the rooms and use --rooms.",
        )
    # The address is passed by the environment: other users see arguments, and it has a password.
    done = subprocess.run(  # noqa: S603 - a fixed program; nothing of it is a shell's
        [*PSQL, *arguments],
        input=sql,
        env={**os.environ, "PGCLIENTENCODING": "UTF8", "PGCONNECT_TIMEOUT": "10", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        first = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
        raise OperatorError(f"psql failed: {first}", "Nothing was written to the database.")
    return done.stdout


def connection(url: str) -> dict[str, str]:
    """A database's URL as the variables that psql takes. Raises OperatorError."""
    wrong = OperatorError(
        "The address of the database cannot be used.",
        "Write it as Greenlight's .env has it: postgres://USER:PASSWORD@HOST:PORT/DATABASE",
    )
    try:
        parts = urlsplit(url)
        port, query = parts.port, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("postgres", "postgresql") or not set(query) <= set(QUERY_VARIABLES):
        raise wrong
    found = {
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGHOST": unquote(parts.hostname or ""),
        "PGPORT": str(port or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    found |= {QUERY_VARIABLES[name]: value for name, value in query.items()}
    return {name: value for name, value in found.items() if value}


def _text_of(export: Path) -> str:
    if str(export) == "-":
        return sys.stdin.read()
    try:
        return export.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise OperatorError(f"{export} cannot be read as text.", "Name another file.") from None
