# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin privacy`: what operators have to say, and to do, about callers' data."""

from __future__ import annotations

from pathlib import Path

import click

from dialin.commands import privacy_store
from dialin.commands.usual import config_option, loaded_from

LANGUAGES = ("en", "de")
"""Those of the pages, which are not loaded for `--help`."""
PARAGRAPH_GAP = "\n\n"


@click.group()
def privacy() -> None:
    """Callers' data: what is said about it, what is stored, and how it goes."""


for command in privacy_store.COMMANDS:
    privacy.add_command(command)


@privacy.command()
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default=LANGUAGES[0],
    show_default=True,
    help="Language of the statement.",
)
@config_option
def statement(language: str, file: Path | None) -> None:
    """Print the privacy statement of the public page, made from the settings in force."""
    from dialin.app.site import make_facts
    from dialin.web.facts import statement as paragraphs
    from dialin.web.language import words_of

    facts = make_facts(loaded_from(file).settings)
    click.echo(PARAGRAPH_GAP.join(paragraphs(words_of(language), facts)))
