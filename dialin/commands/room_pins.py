# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin room create` and its siblings: PINs that rooms keep.

They work on the service's own file, whether the service runs or not (`app.beside`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dialin.commands.usual import config_option, loaded_from
from dialin.errors import OperatorError

if TYPE_CHECKING:
    from dialin.settings import Settings
    from dialin.static_rooms import StaticRoom, StaticRooms

Done = TypeVar("Done")

meeting_id_argument = click.argument("meeting_id")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
pin_option = click.option("--pin", help="Wish for this PIN, 5 to 11 digits.  [default: issue one]")


@click.command()
@meeting_id_argument
@click.option("--name", default="", help="What people call the room.")
@click.option("--lobby", is_flag=True, help="Callers wait until a host lets them in.")
@pin_option
@json_option
@config_option
def create(
    meeting_id: str, name: str, pin: str | None, file: Path | None, *, lobby: bool, as_json: bool
) -> None:
    """Issue a PIN that a room keeps.

    MEETING_ID is the meetingID that the front end gives to BigBlueButton. The room need not exist
    yet. The PIN is like no other and like no number of a running meeting.
    """

    def work(static: StaticRooms) -> Awaitable[StaticRoom]:
        return static.create(meeting_id, name=name, lobby=lobby, pin=pin)

    settings = loaded_from(file).settings
    tell(settings, with_rooms(settings, work, asks=True), as_json=as_json)


@click.command()
@meeting_id_argument
@json_option
@config_option
def show(meeting_id: str, file: Path | None, *, as_json: bool) -> None:
    """Print a room, its PIN, and what BigBlueButton's create call takes to show them."""

    async def work(static: StaticRooms) -> StaticRoom:
        return static.existing(meeting_id)

    settings = loaded_from(file).settings
    tell(settings, with_rooms(settings, work), as_json=as_json)


@click.command()
@meeting_id_argument
@pin_option
@json_option
@config_option
def rotate(meeting_id: str, pin: str | None, file: Path | None, *, as_json: bool) -> None:
    """Issue another PIN for a room; the old one leads nowhere from now on."""

    def work(static: StaticRooms) -> Awaitable[StaticRoom]:
        return static.rotate(meeting_id, pin=pin)

    settings = loaded_from(file).settings
    tell(settings, with_rooms(settings, work, asks=True), as_json=as_json)


@click.command()
@meeting_id_argument
@click.option("--name", help="What people call the room.")
@click.option("--lobby/--no-lobby", default=None, help="Whether callers wait for a host.")
@json_option
@config_option
def change(
    meeting_id: str, name: str | None, file: Path | None, *, lobby: bool | None, as_json: bool
) -> None:
    """Change a room's name or lobby; its PIN stays."""

    def work(static: StaticRooms) -> Awaitable[StaticRoom]:
        return static.change(meeting_id, name=name, lobby=lobby)

    settings = loaded_from(file).settings
    tell(settings, with_rooms(settings, work), as_json=as_json)


@click.command()
@meeting_id_argument
@config_option
def delete(meeting_id: str, file: Path | None) -> None:
    """Take a room's PIN back. The room itself is BigBlueButton's and stays."""

    def work(static: StaticRooms) -> Awaitable[None]:
        return static.delete(meeting_id)

    with_rooms(loaded_from(file).settings, work)
    click.echo("It leads nowhere from now on.")


@click.command("list")
@json_option
@config_option
def list_rooms(file: Path | None, *, as_json: bool) -> None:
    """Print all rooms that keep their PIN, without the PINs."""
    from dialin.static_rooms import printable

    async def work(static: StaticRooms) -> tuple[StaticRoom, ...]:
        return static.all()

    rooms = with_rooms(loaded_from(file).settings, work)
    if as_json:
        click.echo(json.dumps([facts(room, with_pin=False) for room in rooms], indent=2))
    else:
        for room in rooms:
            click.echo("\t".join(map(printable, (room.meeting_id, room.name))))


COMMANDS = (create, show, rotate, change, delete, list_rooms)


def with_rooms(
    settings: Settings, work: Callable[[StaticRooms], Awaitable[Done]], *, asks: bool = False
) -> Done:
    """Do something with the rooms; `asks` all BBB servers first which numbers there are.

    Raises OperatorError.
    """
    from dialin.app import beside
    from dialin.static_rooms import StaticRoomError

    async def working() -> Done:
        live = await beside.ask_servers(settings) if asks else None
        for name in live.silent if live else ():
            click.echo(f"{name} does not answer: its numbers were not compared.", err=True)
        async with beside.opened_beside(settings) as store:
            return await work(await beside.static_rooms(store, live))

    try:
        return asyncio.run(working())
    except StaticRoomError as refusal:
        raise OperatorError(str(refusal), "") from refusal


def tell(settings: Settings, room: StaticRoom, *, as_json: bool) -> None:
    """Print a room with its PIN."""
    from dialin.app.site import make_numbers
    from dialin.web.numbers import create_parameters

    parameters = create_parameters(room.pin, make_numbers(settings))
    if as_json:
        click.echo(json.dumps({**facts(room), "create_parameters": parameters}, indent=2))
    else:
        for line in lines(room, parameters):
            click.echo(line)


def lines(room: StaticRoom, parameters: Mapping[str, str]) -> Iterator[str]:
    """A room with its PIN, and the parameters of BBB's create call, for people."""
    from dialin.static_rooms import printable

    yield f"room   {printable(room.meeting_id)}"
    if room.name:
        yield f"name   {printable(room.name)}"
    yield f"PIN    {room.pin}"
    yield f"lobby  {'yes' if room.lobby else 'no'}"
    yield f"since  {room.created_at:%Y-%m-%d}"
    for name, value in parameters.items():
        yield f"create {name}={value}"


def facts(room: StaticRoom, *, with_pin: bool = True) -> dict[str, Any]:
    """A room, for programs."""
    told = {
        "meeting_id": room.meeting_id,
        "name": room.name,
        "pin": room.pin,
        "lobby": room.lobby,
        "created_at": room.created_at.isoformat(timespec="seconds"),
    }
    return told if with_pin else {key: value for key, value in told.items() if key != "pin"}
