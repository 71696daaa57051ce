# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin privacy export` and `erase`: what the store holds, and how it goes.

Nothing in the store has a caller's number, so nobody can be looked up by one.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dialin.commands.room_pins import facts
from dialin.commands.usual import config_option, loaded_from

if TYPE_CHECKING:
    from dialin.settings import Settings

meeting_option = click.option("--meeting", "meeting_id", help="Of this meeting id.")
call_option = click.option("--call", "call_id", help="Of this call, by the id in the log.")


@click.command()
@meeting_option
@call_option
@config_option
def export(meeting_id: str | None, call_id: str | None, file: Path | None) -> None:
    """Print all that is stored, or what is stored of a meeting or a call, as JSON. PINs too."""
    stored = asyncio.run(exported(loaded_from(file).settings, meeting_id, call_id))
    click.echo(json.dumps(stored, indent=2))


@click.command()
@meeting_option
@call_option
@click.option("--all", "everything", is_flag=True, help="Of all calls.")
@config_option
def erase(
    meeting_id: str | None, call_id: str | None, file: Path | None, *, everything: bool
) -> None:
    """Erase what callers said to being recorded, and copies of a damaged store.

    PINs stay: `dialin room delete` takes them back.
    """
    if everything == bool(meeting_id or call_id):
        raise click.UsageError("Say --meeting, --call, or --all.")
    count = asyncio.run(erased(loaded_from(file).settings, meeting_id, call_id))
    click.echo(f"{count} erased.")


async def exported(
    settings: Settings, meeting_id: str | None, call_id: str | None
) -> dict[str, list[dict[str, Any]]]:
    """What is stored. Raises OperatorError."""
    from dialin.app import beside

    async with beside.opened_beside(settings) as store:
        static = await beside.static_rooms(store)
        consents = await store.consents()
    return {
        "static_rooms": [
            facts(room)
            for room in static.all()
            if call_id is None and meeting_id in (None, room.meeting_id)
        ],
        "consents": [
            {
                "call_id": one.call_id,
                "meeting_id": one.meeting_id,
                "consented": one.consented,
                "at": one.at.isoformat(timespec="seconds"),
            }
            for one in consents
            if meeting_id in (None, one.meeting_id) and call_id in (None, one.call_id)
        ],
    }


async def erased(settings: Settings, meeting_id: str | None, call_id: str | None) -> int:
    """Erase, and say how many consents it were. Raises OperatorError."""
    from dialin.app import beside
    from dialin.app.pins import store_file
    from dialin.store.database import damaged_copy

    async with beside.opened_beside(settings) as store:
        count = await store.erase_consents(meeting_id=meeting_id, call_id=call_id)
    if file := store_file(settings):
        with suppress(FileNotFoundError):
            damaged_copy(file).unlink()
    return count


COMMANDS = (export, erase)
