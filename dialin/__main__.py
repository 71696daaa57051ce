# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, nothing else: reads options and settings, and calls what does the work.

Exit status: 0 fine, 1 failed, 2 wrong usage. A command imports what it calls when it is called, so
that `dialin config` needs no media plane and `--help` is quick.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from dialin import log
from dialin.commands.greenlight import greenlight
from dialin.commands.privacy import privacy
from dialin.commands.prompts import prompts
from dialin.commands.room import room
from dialin.commands.status import drain, status
from dialin.commands.usual import config_option, loaded_from, usual
from dialin.errors import OperatorError
from dialin.settings import Settings, pages, refuse_unbuilt
from dialin.systemd import ServiceManager
from dialin.wire.uri import bracketed

if TYPE_CHECKING:
    from dialin.check import Step
    from dialin.phone import CallReport

logger = logging.getLogger(__name__)

FAILED = 1


def split_address(text: str) -> tuple[str, int]:
    """HOST:PORT in two parts, IPv6 addresses without their brackets. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port is None or parts.netloc != text or "@" in text:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:5060")
    return parts.hostname, parts.port


class Address(click.ParamType[str]):
    """HOST:PORT, checked and left as it is."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Called by click."""
        try:
            split_address(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        return str(value)


log_level_option = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="Least important kind of line on standard error.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dialin", prog_name="dialin")
def cli() -> None:
    """The telephone door to BigBlueButton meetings."""


cli.add_command(room)
cli.add_command(greenlight)
cli.add_command(status)
cli.add_command(drain)
cli.add_command(privacy)
cli.add_command(prompts)


@cli.command()
@config_option
def run(file: Path | None) -> None:
    """Run the service until SIGTERM (calls may finish) or SIGINT (now)."""
    from dialin import app

    loaded = loaded_from(file)
    log.set_up(level=loaded.settings.log.level, form=loaded.settings.log.format)
    for warning in loaded.warnings:
        logger.warning(warning)
    running = app.run(
        loaded.settings, load=lambda: loaded_from(file).settings, manager=ServiceManager()
    )
    sys.exit(asyncio.run(running))


@cli.command()
@click.option("--sip", type=Address(), default="127.0.0.1:5060", show_default=True)
@click.option("--http", type=Address(), default="127.0.0.1:8080", show_default=True)
@click.option("--token", help="Token of the API; without one the API is off.")
@click.option("--call", is_flag=True, help="Place a call, tell its story, and end.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep what the caller hears as a WAV file; with --call.",
)
@log_level_option
def demo(
    sip: str, http: str, token: str | None, *, call: bool, record: Path | None, log_level: str
) -> None:
    """Run the whole service on loopback, with rooms to call and nothing else installed."""
    from dialin.demo import run as demonstration

    if record and not call:
        raise click.UsageError("--record needs --call.")
    log.set_up(level=log_level, form="logfmt")
    sys.exit(demonstration.main(sip, http, token, call, record))


@cli.command()
@config_option
@click.option(
    "--to", "target", type=Address(), help="Where to call.  [default: the first of sip.listen]"
)
@click.option("--number", help="Number to dial.  [default: the first number of the first trunk]")
@click.option("--caller", default="anonymous", show_default=True, help="Number to call from.")
@click.option("--pin", default="", help="PIN to key, then #; `-` reads it from standard input.")
@click.option("--listen-s", type=click.FloatRange(0, 1000), default=10.0, show_default=True)
@click.option("--talk-hz", type=click.FloatRange(100, 3400), help="Say a tone of this pitch.")
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False), help="Keep a WAV file.")
@click.option(
    "--phone",
    "kind",
    type=click.Choice(["pyvoip", "own"]),
    default="pyvoip",
    show_default=True,
    help="pyvoip: a foreign SIP stack, UDP only. own: the service's.",
)
@click.option(
    "--trunk", metavar="NAME", help="Out by this trunk and back in, with --phone own; see above."
)
@log_level_option
def call(
    file: Path | None,
    target: str | None,
    number: str | None,
    *,
    caller: str,
    trunk: str | None,
    pin: str,
    listen_s: float,
    talk_hz: float | None,
    record: Path | None,
    kind: str,
    log_level: str,
) -> None:
    """Call the service on this machine as a caller would.

    The phone calls from 127.0.0.1: some trunk's allowed_sources must hold that address.

    With --trunk it calls as the trunk's account, with its password, TLS and SRTP: out to the
    provider and back in over one of our own numbers. No other number is called, whoever asks, so
    that nobody can run up a bill by it; the provider may charge for this one.
    """
    if trunk and (kind != "own" or target or caller != "anonymous"):
        raise click.UsageError("--trunk needs --phone own, and no --to or --caller.")
    if kind == "own" and (talk_hz or record):
        raise click.UsageError("--talk-hz and --record need --phone pyvoip.")
    log.set_up(level=log_level, form="logfmt")
    if trunk:
        keyed = sys.stdin.readline().strip() if pin == "-" else pin
        is_well = call_outside(loaded_from(file).settings, trunk, number, keyed, listen_s)
        sys.exit(0 if is_well else FAILED)
    if not (target and number):
        settings = loaded_from(file).settings
        target, number = target or listening_at(settings), number or first_number(settings)
    keys = sys.stdin.readline().strip() if pin == "-" else pin
    keys, (host, port) = f"{keys}#" if keys else "", split_address(target)
    if kind == "own":
        from dialin import own_call

        script = own_call.Script(number, caller, keys, listen_s)
        was_heard = asyncio.run(own_call.place(host, port, script, on_step=click.echo))
    else:
        from dialin import phone

        report = phone.place_call(
            host,
            port,
            number,
            caller=caller,
            keys=keys,
            listen_s=listen_s,
            talk_tone_hz=talk_hz,
            record=record,
            on_step=lambda step: click.echo(step.value),
        )
        for line in story_of(report):
            click.echo(line)
        was_heard = report.answered_after_s is not None and report.heard.first_sound_s is not None
    sys.exit(0 if was_heard else FAILED)


def call_outside(
    settings: Settings, trunk: str, number: str | None, pin: str, listen_s: float
) -> bool:
    """Call out by a trunk and back in; returns whether that went well."""
    from dialin import outside, providers, trunk_call
    from dialin.app import parts
    from dialin.check.running import base_address

    if trunk not in settings.trunks:
        raise click.UsageError(f"there is no trunk {trunk} in the settings.")
    try:
        way = providers.make_outside(settings, trunk, number, suites=parts.MEDIA_SUITES)
    except OperatorError as error:
        raise click.UsageError(str(error)) from None
    listen = outside.listens_beside(parts.listen_addresses(settings), way.by.transport)
    web = settings.web
    token = web.token.get_secret_value() if web.token else ""

    async def calling() -> bool:
        async with trunk_call.opened_calls(base_address(web.host, web.port), token) as calls:
            return await trunk_call.place(
                way,
                trunk_call.Wish(pin, listen_s),
                listen=listen,
                calls=calls,
                on_step=click.echo,
            )

    return asyncio.run(calling())


@cli.command("check")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print all steps as one JSON object.")
@click.option(
    "--trial-call",
    metavar="ROOM",
    help="Take a seat in this room for a moment, too: meeting id or PIN.",
)
def check_everything(file: Path | None, *, as_json: bool, trial_call: str | None) -> None:
    """Check settings, machine, trunks and servers; works while the service runs.

    Exit status 1 if a step failed; warnings are none.
    """
    from dialin import check as checking

    log.set_up(level="error", form="logfmt")
    told = (
        checking.Sheet()
        if as_json
        else checking.Sheet(
            begun=lambda name: click.echo(f"{name} ... ", nl=False),
            done=lambda step: click.echo("\n".join(line_of(step))),
        )
    )
    asyncio.run(checking.check(told, usual(file), trial_room=trial_call))
    if as_json:
        click.echo(json.dumps(told.as_json(), indent=2))
    sys.exit(FAILED if told.has_failed else 0)


@cli.group()
def config() -> None:
    """Describe, check and show the settings."""


@config.command()
def example() -> None:
    """Print a file with every setting in it, explained."""
    click.echo(pages.example(), nl=False)


@config.command()
def reference() -> None:
    """Print the reference page of the settings."""
    click.echo(pages.reference(), nl=False)


@config.command()
def trunks() -> None:
    """Print what is known of each provider."""
    from dialin.presets import page

    click.echo(page.trunks())


@config.command()
def schema() -> None:
    """Print the JSON schema of the file."""
    click.echo(pages.schema())


@config.command("import-ansible")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--region", default="DE", show_default=True, help="Country of national numbers.")
def import_ansible(files: tuple[Path, ...], region: str) -> None:
    """Print settings made from the bbb_dialin_* variables of BigBlueButton's Ansible role.

    FILES are YAML files of variables, such as group_vars/bbb.yml; later ones win. Secrets are
    neither read nor printed: the notes in the result say where they belong.
    """
    from dialin.settings import ansible

    click.echo(ansible.import_files(files, region), nl=False)


@config.command()
@config_option
@click.option("--origin", is_flag=True, help="Tell where each value comes from.")
def show(file: Path | None, *, origin: bool) -> None:
    """Print the settings in force. Secrets are not shown."""
    click.echo(pages.in_force(loaded_from(file), with_origin=origin))


@config.command()
@config_option
def check(file: Path | None) -> None:
    """Check the settings and tell everything that is wrong with them."""
    loaded = loaded_from(file)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}")
    refuse_unbuilt(loaded.settings)
    click.echo("The settings are fine.")


def line_of(step: Step) -> Iterator[str]:
    """What a step of the check found, after its name."""
    yield f"{step.result}: {step.cause}"
    if step.remedy:
        yield f"    {step.remedy}"


def listening_at(settings: Settings) -> str:
    """Where the service listens, as this machine can call it."""
    listen = next((at for at in settings.sip.listen if at.transport == "udp"), None)
    if listen is None:
        raise OperatorError(
            "The service does not listen for UDP, which is all that the phone speaks.",
            "Add a udp entry to sip.listen, or name another target with --to.",
        )
    host = "127.0.0.1" if listen.host.is_unspecified else str(listen.host)
    return f"{bracketed(host)}:{listen.port}"


def first_number(settings: Settings) -> str:
    """A number that the service answers."""
    numbers = (number.e164 for trunk in settings.trunks.values() for number in trunk.numbers)
    return next(numbers, "dialin")


def story_of(report: CallReport) -> Iterator[str]:
    """What a call was like, in a few lines."""
    if report.answered_after_s is None:
        status = f", refused with {report.refused_with}" if report.refused_with else ""
        yield f"The call was not answered{status}."
        return
    yield f"Answered after {report.answered_after_s:.1f} s."
    if report.heard.first_sound_s is None:
        yield "Nothing was heard."
    else:
        yield f"Heard sound for {report.heard.sounding_s():.1f} s."
    yield f"Hung up after {report.lasted_s:.1f} s by {report.hung_up_by.value}."


def operator_errors(group: BaseExceptionGroup[OperatorError]) -> Iterator[OperatorError]:
    """The errors of several tasks, one after another."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from operator_errors(error)
        else:
            yield error


def main() -> None:
    """The entry point: what an operator can mend is told in a sentence, not as a traceback."""
    failures: list[OperatorError] = []
    try:
        cli(prog_name="dialin")
    except* OperatorError as group:
        failures.extend(operator_errors(group))
    for failure in failures:
        for line in str(failure).splitlines():
            click.echo(f"dialin: {line}", err=True)
    sys.exit(FAILED)


if __name__ == "__main__":
    main()
