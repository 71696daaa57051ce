# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin room`: what operators do with rooms."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dialin.commands import room_pins
from dialin.commands.usual import config_option, loaded_from
from dialin.errors import OperatorError
from dialin.links import LinkKey, Right


@click.group()
def room() -> None:
    """Rooms: PINs that they keep, and links to their pages."""


for command in room_pins.COMMANDS:
    room.add_command(command)


@room.command()
@click.argument("meeting_id")
@click.option(
    "--right",
    type=click.Choice([right.value for right in Right]),
    default=Right.GUEST.value,
    show_default=True,
    help="guest: see numbers and PIN. host: see who calls, too, and act on them.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    help="How long the link works.  [default: web.link_days]",
)
@config_option
def link(meeting_id: str, right: str, days: int | None, file: Path | None) -> None:
    """Print a signed link to the page of a room.

    MEETING_ID is the meetingID that the front end gives to BigBlueButton. The room need not exist
    yet. Whoever has the link can use it until it expires.
    """
    web = loaded_from(file).settings.web
    if web.link_secret is None:
        raise OperatorError(
            "Links cannot be signed: web.link_secret is not set.",
            "Set it to what `openssl rand -base64 32` prints, and start the service anew.",
        )
    key = LinkKey(web.link_secret.get_secret_value())
    try:
        path = key.lasting(meeting_id, Right(right), days or web.link_days, time.time()).path()
    except ValueError:
        raise click.BadParameter("no meeting can have this id.", param_hint="MEETING_ID") from None
    if not web.root:
        click.echo("web.base_url is not set, so the link has no host.", err=True)
    click.echo(f"{web.root}{path}")
