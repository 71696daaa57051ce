# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin prompts`: what callers hear, whether it is sound, and how it is made or replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dialin.commands.usual import config_option, loaded_from, usual
from dialin.errors import OperatorError

if TYPE_CHECKING:
    from dialin.sounds import Prompts
    from dialin.sounds.examine import Fault, Spoken

FAILED = 1
folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Recordings of your own.  [default: ivr.prompt_folder]",
)
languages_argument = click.argument("languages", nargs=-1, metavar="[LANGUAGE]...")


@click.group()
def prompts() -> None:
    """What callers hear: list it, check it, put your own recordings in its place."""


@prompts.command("list")
@languages_argument
@folder_option
@config_option
def list_prompts(languages: tuple[str, ...], folder: Path | None, file: Path | None) -> None:
    """Print every prompt with its length, where it comes from, and its words.

    In the languages of the settings, or in those that are named: `de`, `en`, `es`, `fr`, `it`. Of
    your own recordings the words are those that they are meant to say.
    """
    from dialin.sounds.examine import spoken

    found = chosen(languages, folder, file)
    for one in spoken(found, found.languages):
        place = "tone" if one.place == "tone" else one.language
        click.echo(f"{place}/{one.prompt}  {one.duration_s:.1f} s  {source(one)}  {one.text}")


@prompts.command()
@languages_argument
@folder_option
@click.option("--hear", is_flag=True, help="Let the recogniser listen, in a source tree; slow.")
@config_option
def check(
    languages: tuple[str, ...], folder: Path | None, file: Path | None, *, hear: bool
) -> None:
    """Check that all is there, whole, at level and not too long.

    With --hear the built-in prompts are listened to by a recogniser after a telephone line, and the
    share of words that it gets wrong is written into the manifests. Exit status 1 if callers would
    not hear what they should.
    """
    from dialin.sounds import LANGUAGE_CHOICES
    from dialin.sounds.examine import faults, spoken

    found = chosen(languages, folder, file)
    if hear:
        in_source_tree("--hear", *found.languages)
    everything = list(spoken(found, found.languages))
    most_offered = min(len(found.languages), len(LANGUAGE_CHOICES))
    wrong = [fault for one in everything for fault in faults(one, most_offered)]
    for language in found.languages:
        click.echo(summary(language, [one for one in everything if one.language == language]))
    for fault in wrong:
        click.echo("\n".join(lines_of(fault)))
    if any(fault.is_grave for fault in wrong):
        sys.exit(FAILED)


@prompts.command()
@languages_argument
@click.option("--all", "everything", is_flag=True, help="Also what has not changed.")
def rebuild(languages: tuple[str, ...], *, everything: bool) -> None:
    """Render the built-in prompts whose text has changed; for developers, in a source tree.

    The voices are fetched and checked by scripts/render-prompts, which says what it needs.
    """
    in_source_tree(*(("--all",) if everything else ()), *languages)


@prompts.command("import")
@click.argument("recordings", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--language", help="Language of files that lie in no folder of their own.")
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the prompts go.  [default: ivr.prompt_folder]",
)
@config_option
def import_recordings(
    recordings: Path, language: str | None, to: Path | None, file: Path | None
) -> None:
    """Make prompts of your own recordings, in any format that ffmpeg reads.

    RECORDINGS holds a folder a language and in it a file a prompt, such as `de/welcome.wav`; tones
    and music go into `tone/`. Each is cut to its sound, brought to level and encoded for all
    codecs. What you leave out stays as it is.
    """
    from dialin.sounds.recording import find, take

    target = to or folder_in_settings(file)
    if target is None:
        raise OperatorError(
            "No folder is named where the prompts should go.",
            "Set ivr.prompt_folder, or name one with --to.",
        )
    found = find(recordings, language)
    for recording in found:
        duration_s = take(recording, target)
        click.echo(f"{recording.place}/{recording.prompt}  {duration_s:.1f} s  {recording.file}")
    click.echo(f"{len(found)} in {target}. Say `dialin prompts check`, and start the service anew.")


def chosen(languages: Sequence[str], folder: Path | None, file: Path | None) -> Prompts:
    """What callers hear by settings and options; with neither, what dialin brings along."""
    from dialin.sounds import Prompts, built_in_languages

    path = usual(file)
    if path is None:
        return Prompts(languages or built_in_languages(), [folder] if folder else [])
    settings = loaded_from(path).settings
    own = folder or settings.ivr.prompt_folder
    return Prompts(languages or settings.service.languages, [own] if own else [])


def folder_in_settings(file: Path | None) -> Path | None:
    """The operator's folder, if settings name one."""
    path = usual(file)
    return loaded_from(path).settings.ivr.prompt_folder if path else None


def in_source_tree(*arguments: str) -> None:
    """Run scripts/render-prompts. Raises OperatorError."""
    from dialin.sounds import PACKAGE

    script = PACKAGE.parents[1] / "scripts" / "render-prompts"
    if not script.is_file():
        raise OperatorError(
            "Voices and recogniser are no part of an installation.",
            "Do this in a source tree of dialin; your own recordings need neither.",
        )
    status = subprocess.run([script, *arguments], check=False, env=os.environ).returncode  # noqa: S603
    if status:
        raise OperatorError(
            f"scripts/render-prompts failed with status {status}.", "It says above what it lacks."
        )


def source(one: Spoken) -> str:
    """Where a prompt comes from, in a word or two."""
    if one.is_stand_in:
        return f"stand-in {one.place}/{one.stem.name}"
    return "built-in" if one.is_ours else "own"


def summary(language: str, spoken: Sequence[Spoken]) -> str:
    """A language in a line."""
    from dialin.sounds import PACKAGE, manifest

    seconds = round(sum(one.duration_s for one in spoken))
    own = sum(not one.is_ours for one in spoken)
    missing = sum(one.is_stand_in for one in spoken)
    built_in = manifest.read(PACKAGE / language)
    heard = (
        "not measured"
        if built_in.wer_percent is None
        else f"{built_in.wer_percent} % of the words wrong"
    )
    return "; ".join(
        (
            f"{language}: {len(spoken)} prompts, {seconds // 60}:{seconds % 60:02} min",
            f"{own} your own, {missing} missing",
            f"built-in voice: {built_in.voice or 'none'}",
            f"recogniser: {heard}",
            f"heard by {built_in.listened_by}",
        )
    )


def lines_of(fault: Fault) -> Iterator[str]:
    """What is wrong with a prompt."""
    yield f"{'fail' if fault.is_grave else 'warn'}: {fault.where}: {fault.cause}"
    yield f"    {fault.remedy}"
