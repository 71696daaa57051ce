# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin check`: look at everything that must be right, and say what to do where it is not.

The only part of the check that sees the settings whole: here they become plain arguments. What a
step looks at stands in `local`, `pins` and `running` for this machine, in `servers` and `trunks`
for others; how steps are taken in `steps`. It works beside the running service: what that holds is
not bound, and its registrations stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import aiohttp

from dialin.app import parts
from dialin.app.beside import look_at_pins
from dialin.check.agreement import AgreementCheck, Callback
from dialin.check.local import (
    address_is_free,
    files_are_private,
    files_suffice,
    own_certificate_is_good,
    prompts_are_there,
    rtp_ports_are_free,
)
from dialin.check.pages import pages_are_of_use
from dialin.check.pins import guessing_is_hopeless, pins_are_distinct
from dialin.check.running import Running, look_for_service, offers_suit, service_is_ready
from dialin.check.servers import ServerCheck, Trial
from dialin.check.steps import Finding, Result, Sheet, Step, fail, ok, warn
from dialin.check.trunks import Line, TrunkCheck
from dialin.check.ways import Ways, opened_ways
from dialin.errors import OperatorError
from dialin.names import Names
from dialin.providers import contact_user, make_account, tls_target
from dialin.settings import Loaded, Settings, load, refuse_unbuilt
from dialin.settings.base import split_host_port
from dialin.settings.problems import SettingsError, locate
from dialin.settings.sources import is_for_us, secret_files
from dialin.web.hooks import callback_url

__all__ = ["Result", "Sheet", "Step", "check"]


async def check(sheet: Sheet, file: Path | None, *, trial_room: str | None = None) -> None:
    """Take all steps for the settings in a file, or in the environment alone.

    `trial_room` is the meeting id or PIN of a room that a trial call may take a seat in.
    """
    try:
        loaded = load(file)
    except SettingsError as error:
        sheet.tell("settings", _problems(error))
        return
    sheet.tell("settings", _settings_findings(loaded))
    settings = loaded.settings
    service, ivr = settings.service, settings.ivr
    sheet.look("files", lambda: files_are_private(_private_files(file, loaded)))
    sheet.look(
        "prompts",
        lambda: prompts_are_there(service.languages, ivr.prompt_folder, settings.media.codecs),
    )
    sheet.tell("pages", _pages_findings(settings))
    for certificate in filter(None, {at.certificate for at in parts.listen_addresses(settings)}):
        sheet.look("sip.tls_certificate", partial(own_certificate_is_good, certificate))
    sheet.look("open files", lambda: files_suffice(service.max_calls))
    running = await look_for_service(settings.web.host, settings.web.port)
    sheet.look("service", lambda: service_is_ready(running))
    _check_ports(sheet, settings, running)
    await _check_pins(sheet, settings)
    await _check_others(sheet, settings, running, trial_room)


def _settings_findings(loaded: Loaded) -> Iterator[Finding]:
    """That they can be used, or what this version cannot do, and what else is odd about them."""
    try:
        refuse_unbuilt(loaded.settings)
    except SettingsError as error:
        yield from _problems(error)
    else:
        yield ok("They can be used.")
    for warning in loaded.warnings:
        cause, _, remedy = warning.partition(". Say ")
        yield warn(f"{cause.removesuffix('.')}.", f"Say {remedy}" if remedy else "")


async def _check_pins(sheet: Sheet, settings: Settings) -> None:
    try:
        report = await look_at_pins(settings)
    except OperatorError as error:
        sheet.tell("static PINs", [fail(error.cause, error.remedy)])
        return
    max_risk, accepted = settings.pin.max_risk, settings.pin.accept_risk
    sheet.tell("static PINs", pins_are_distinct(report))
    sheet.tell("pin.max_risk", [guessing_is_hopeless(report, max_risk, accepted=accepted)])


def _pages_findings(settings: Settings) -> Iterator[Finding]:
    numbers = sum(len(trunk.numbers) for trunk in settings.trunks.values())
    signs_links = settings.web.link_secret is not None
    return pages_are_of_use(settings.web.root, signs_links=signs_links, numbers=numbers)


def _problems(error: SettingsError) -> Iterator[Finding]:
    for problem in error.problems:
        origin = f" ({problem.origin})" if problem.origin else ""
        yield fail(f"{problem.setting}{origin}: {problem.cause}", problem.remedy)


def _private_files(file: Path | None, loaded: Loaded) -> Iterator[Path]:
    """The files that hold secrets: the settings' own if there is one in it, secret files, keys."""
    origins = loaded.origins.items()
    if file and any(at == f"file {file}" and locate(path).is_secret for path, at in origins):
        yield file
    yield from (secret for secret in secret_files() if is_for_us(secret))
    sip, trunks = loaded.settings.sip, loaded.settings.trunks.values()
    keys = (sip.tls_key or sip.tls_certificate, *(trunk.tls_client_key for trunk in trunks))
    yield from filter(None, keys)


def _check_ports(sheet: Sheet, settings: Settings, running: Running) -> None:
    """Whether SIP and RTP can be had; what the running service has is left alone."""
    media, max_calls = settings.media, settings.service.max_calls
    if running.is_up:
        sheet.tell("ports", [ok("The service runs and holds what it needs; nothing was bound.")])
        return
    for at in parts.listen_addresses(settings):
        sheet.look(f"sip.listen {at}", partial(address_is_free, at))
    sheet.look(
        "media ports",
        lambda: rtp_ports_are_free(media.rtp_first_port, media.rtp_last_port, max_calls),
    )


async def _check_others(
    sheet: Sheet, settings: Settings, running: Running, trial_room: str | None
) -> None:
    """All trunks and servers, one after the other."""
    async with AsyncExitStack() as stack:
        try:
            ways = await stack.enter_async_context(opened_ways(parts.listen_addresses(settings)))
        except OperatorError as error:
            sheet.tell("sip", [fail(error.cause, error.remedy)])
            return
        names = Names()
        for line in _lines(settings):
            check = TrunkCheck(line, ways=ways, names=names, service_runs=running.is_up)
            await check.run(sheet)
            sheet.tell(f"trunks.{line.name} offers", offers_suit(running, line.name))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        trial = await _trial(stack, settings, trial_room) if trial_room else None
        for server_check in _server_checks(settings, session, ways, trial):
            await server_check.run(sheet)
        for agreement in _agreement_checks(settings, session, service_runs=running.is_up):
            await agreement.run(sheet)


async def _trial(stack: AsyncExitStack, settings: Settings, room: str) -> Trial:
    engine = await stack.enter_async_context(parts.make_engine(settings))
    return Trial(room, engine, settings.media.codecs[0], parts.MEDIA_SUITES)


def _lines(settings: Settings) -> Iterator[Line]:
    advertised = settings.sip.advertised_address
    for name, trunk in settings.trunks.items():
        at = trunk.outbound_proxy or trunk.registrar
        yield Line(
            name=name,
            server=split_host_port(at) if at else None,
            transport=trunk.transport.upper(),
            tls=tls_target(trunk),
            networks=trunk.allowed_sources,
            account=make_account(trunk, contact_user(name, settings))
            if trunk.mode == "register"
            else None,
            advertised=str(advertised) if advertised else None,
        )


def _server_checks(
    settings: Settings, session: aiohttp.ClientSession, ways: Ways, trial: Trial | None
) -> Iterator[ServerCheck]:
    voices = parts.make_voice_servers(settings)
    for name, server in settings.bbb_servers.items():
        yield ServerCheck(
            parts.make_api(name, server, session),
            str(server.url),
            voices[name],
            session=session,
            ways=ways,
            trial=trial,
        )


def _agreement_checks(
    settings: Settings, session: aiohttp.ClientSession, *, service_runs: bool
) -> Iterator[AgreementCheck]:
    voices, root = parts.make_voice_servers(settings), settings.web.root
    for name, server in settings.bbb_servers.items():
        yield AgreementCheck(
            parts.make_api(name, server, session),
            voices[name],
            Callback(server.webhooks, callback_url(root, name) if root else ""),
            session=session,
            service_runs=service_runs,
        )
