# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition root: reads the settings, builds every object, owns every task.

`run` is the service from start to exit status; `running` is the service as a block, for those who
bring their own end (the demo, tests). Nothing here knows how a call goes: see `call`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import aiohttp

from dialin import selftest
from dialin.bbb_api import BbbApi, BbbUnavailable
from dialin.bbb_voice import BbbVoice, VoiceServer
from dialin.call import Call, CallPolicy, House, send_elsewhere
from dialin.caller import RoomLabels
from dialin.errors import OperatorError
from dialin.events import INTERNAL_ERROR, UNKNOWN_NUMBER, CallError
from dialin.ivr import PinRules
from dialin.log import call_context
from dialin.media.embedded import EmbeddedEngine
from dialin.media.srtp import usable_suites
from dialin.pin import PinDesk
from dialin.providers import (
    contact_user,
    make_outside,
    make_registrations,
    media_networks,
    readiness_of,
    tls_target,
)
from dialin.registry import Registry
from dialin.rooms import Rooms
from dialin.settings import Settings, refuse_unbuilt
from dialin.settings.base import MAX_PORT
from dialin.settings.peers import BbbServerSettings, TrunkSettings
from dialin.sip import Certificate, IncomingLeg, Listen, OwnCertificates, SipEndpoint, TlsTarget
from dialin.sounds import Prompts
from dialin.trunk import Trunk, TrunkNumber, Trunks, called_user
from dialin.web.app import build_app, serve
from dialin.web.health import Readiness
from dialin.web.metrics import Metrics
from dialin.wire.bbbxml import Meeting
from dialin.wire.encryption import Encryption
from dialin.wire.flow import Flow
from dialin.wire.sdes import Suite

log = logging.getLogger(__name__)

PSEUDONYM_KEY_BYTES = 32
POLL_S = 5.0
"""How often each BBB server is asked for its meetings; an unknown PIN asks at once."""
CERTIFICATES_EVERY_S = 60.0
"""How often renewed certificates are looked for."""
MEDIA_SUITES: tuple[Suite, ...] = usable_suites()
"""What the media plane can encrypt audio with, best first."""
PHONE_PORTS = 40
"""For the calls of our own phone."""
QUARANTINE_S = 10.0
"""How long a port pair rests after a call, so that nobody hears the last one's audio."""


class FrontDoor:
    """Takes each call in: whose it is, whether it may come in, and a task of its own for it."""

    def __init__(self, trunks: Trunks, registry: Registry, tasks: asyncio.TaskGroup) -> None:
        self._trunks = trunks
        self._registry = registry
        self._tasks = tasks
        self._house: House | None = None

    def open(self, house: House) -> None:
        """From now on calls are taken; before, they are asked to come back."""
        self._house = house

    def hears(self, host: str) -> bool:
        """Whether anything from this address is read at all: trunks and voice servers."""
        is_voice_server = self._house is not None and self._house.voice.knows(host)
        return is_voice_server or self._trunks.allows(host)

    def is_trunk(self, host: str) -> bool:
        """Whether this is a provider, and no voice server."""
        is_voice_server = self._house is not None and self._house.voice.knows(host)
        return self._trunks.allows(host) and not is_voice_server

    def take(self, leg: IncomingLeg) -> None:
        """A call has come in."""
        trunk = self._trunks.trunk_for(leg.flow.host, called_user(leg.request))
        if trunk is None:
            leg.reject(403)  # from a voice server: we call them, they do not call us
        elif self._house is None:
            send_elsewhere(leg)
        else:
            serving = self._serve(leg, trunk, self._house)
            self._tasks.create_task(serving, name=f"call {leg.id}")

    async def _serve(self, leg: IncomingLeg, trunk: Trunk, house: House) -> None:
        with call_context(leg.id):
            leg.session_timers = trunk.session_timers
            try:
                dialled = trunk.identify(leg.request)
                with self._registry.admit(
                    leg.id, trunk=trunk.name, number_called=dialled.number_called
                ) as record:
                    await Call(
                        leg,
                        dialled,
                        record,
                        house,
                        media_networks=trunk.media_networks,
                        encryption=trunk.encryption,
                    ).run()
                log.info(
                    "call ended",
                    extra={
                        "reason": str(record.reason),
                        "trunk": trunk.name,
                        "duration_s": round(record.duration_s, 1),
                    },
                )
            except CallError as refusal:
                if refusal.reason is UNKNOWN_NUMBER:
                    self._registry.turn_away(trunk.name, UNKNOWN_NUMBER)
                    leg.reject(404)
                else:
                    send_elsewhere(leg)
                log.info("call refused", extra={"reason": str(refusal.reason), "trunk": trunk.name})
            except Exception:  # one poisoned call must not end the service
                log.exception("a call failed")
                self._registry.turn_away(trunk.name, INTERNAL_ERROR)
                send_elsewhere(leg)


def make_trunk(name: str, trunk: TrunkSettings, contact: str = "") -> Trunk:
    """One provider's trunk. `contact` is the user part that it calls us by."""
    return Trunk(
        name,
        networks=[str(network) for network in trunk.allowed_sources],
        numbers=[TrunkNumber(number.e164, number.language) for number in trunk.numbers],
        number_from=[source.removeprefix("header:") for source in trunk.number_from],
        caller_from=trunk.caller_from,
        region=trunk.region,
        media_networks=media_networks(trunk),
        encryption=Encryption(trunk.media_encryption),
        contact_user=contact,
        session_timers=trunk.session_timers,
    )


def make_trunks(settings: Settings) -> list[Trunk]:
    """All trunks, and where the self-test calls from if there is one."""
    trunks = [
        make_trunk(name, trunk, contact_user(name, settings))
        for name, trunk in settings.trunks.items()
    ]
    if settings.selftest.pin and not settings.selftest.trunk:
        here = [selftest.own_address(listen_addresses(settings)).host]
        trunks.append(Trunk(selftest.TRUNK, networks=here, media_networks=here))
    return trunks


def selftest_plan(settings: Settings, sip: SipEndpoint) -> selftest.Plan | None:
    """What the self-test does; None if there is none."""
    wanted = settings.selftest
    if wanted.pin is None:
        return None
    pin = wanted.pin.get_secret_value()
    if wanted.trunk:
        way = make_outside(settings, wanted.trunk, wanted.number, suites=MEDIA_SUITES)
        return selftest.Plan(way, way.number, pin, wanted.every_s)
    door = selftest.own_address(sip.addresses)
    return selftest.Plan(
        door=Flow(door.transport, door.host, door.port),
        number=wanted.number or "dialin",
        pin=pin,
        every_s=wanted.every_s,
    )


def voice_encryption(server: BbbServerSettings) -> Encryption:
    """What is wanted of FreeSWITCH; `prefer` is for keys that the way there keeps secret."""
    is_secret = server.voice_transport == "tls" or server.voice_allow_insecure_sdes
    is_idle_wish = server.voice_encryption == "prefer" and not is_secret
    return Encryption.OFF if is_idle_wish else Encryption(server.voice_encryption)


class CountedApi:
    """A BBB server's API whose answers are counted."""

    def __init__(self, api: BbbApi, metrics: Metrics) -> None:
        self.name = api.name
        """The server's name in the settings."""
        self._api = api
        self._metrics = metrics

    async def get_meetings(self) -> tuple[Meeting, ...]:
        """All meetings of the server. Raises BbbUnavailable."""
        try:
            meetings = await self._api.get_meetings()
        except BbbUnavailable as failure:
            self._metrics.bbb_asked(self.name, failure.cause)
            raise
        self._metrics.bbb_asked(self.name, "ok")
        return meetings


def make_apis(
    settings: Settings, session: aiohttp.ClientSession, metrics: Metrics
) -> list[CountedApi]:
    """The API clients of all BBB servers."""
    return [
        CountedApi(
            BbbApi(
                session,
                name=name,
                url=str(server.url),
                secret=server.secret.get_secret_value(),
                checksum=server.checksum,
            ),
            metrics,
        )
        for name, server in settings.bbb_servers.items()
    ]


def make_voice_servers(settings: Settings) -> dict[str, VoiceServer]:
    """The FreeSWITCHes of all BBB servers, by the servers' names."""
    return {
        name: VoiceServer(
            server.voice_address,
            server.voice_port,
            server.voice_transport.upper(),
            tuple(map(str, server.voice_networks)),
            voice_encryption(server),
            TlsTarget(server.voice_address, server.voice_tls_ca_file)
            if server.voice_transport == "tls"
            else None,
        )
        for name, server in settings.bbb_servers.items()
    }


def listen_addresses(settings: Settings) -> list[Listen]:
    """Where SIP is taken, and what we prove ourselves with there."""
    sip = settings.sip
    certificate = Certificate(sip.tls_certificate, sip.tls_key) if sip.tls_certificate else None
    return [
        Listen(
            at.transport.upper(),
            str(at.host),
            at.port,
            certificate if at.transport == "tls" else None,
        )
        for at in sip.listen
    ]


def trust_trunks(settings: Settings, sip: SipEndpoint) -> None:
    """Say by which name each trunk's networks prove themselves, should we connect to them."""
    for trunk in settings.trunks.values():
        if trunk.transport == "tls" and trunk.server_name:
            for network in trunk.allowed_sources:
                sip.trust(str(network), 0, tls_target(trunk))


def advertised_to(
    address: IPv4Address | IPv6Address | None, door: FrontDoor, host: str
) -> str | None:
    """The address of ours that a far end is told, if not the one that it is reached from.

    A NAT lies between us and providers; not between us and our voice servers, nor on this machine.
    """
    far = ip_address(host)
    if address is None or address.version != far.version or far.is_loopback:
        return None
    return str(address) if door.is_trunk(host) else None


async def follow_certificates(certificates: OwnCertificates) -> None:
    """Take certificates that are renewed on disk, until cancelled."""
    while True:
        await asyncio.sleep(CERTIFICATES_EVERY_S)
        try:
            for renewed in certificates.refresh():
                log.info("certificate renewed", extra={"file": str(renewed.file)})
        except OperatorError as error:
            log.warning(
                "certificate not renewed", extra={"cause": error.cause, "remedy": error.remedy}
            )


def make_engine(settings: Settings, *, for_phone: bool = False) -> EmbeddedEngine:
    """The media plane; or a small one for our own phone, on ports beside those of callers."""
    media = settings.media
    spare_cores = max(1, (os.cpu_count() or 1) - 1)
    workers = spare_cores if media.workers == "auto" else media.workers
    first, last = media.rtp_first_port, media.rtp_last_port
    return EmbeddedEngine(
        workers=1 if for_phone else workers,
        port_range=ports_beside(first, last) if for_phone else (first, last),
        quarantine_s=QUARANTINE_S,
        media_timeout_s=media.timeout_s,
        latch=media.latch,
    )


def ports_beside(first: int, last: int) -> tuple[int, int]:
    """A few ports that are not in the range: above it, or else below."""
    above = last + PHONE_PORTS <= MAX_PORT
    return (last + 1, last + PHONE_PORTS) if above else (first - PHONE_PORTS, first - 1)


def make_house(
    settings: Settings, engine: EmbeddedEngine, rooms: Rooms, voice: BbbVoice, metrics: Metrics
) -> House:
    """What every call works with."""
    folder = settings.ivr.prompt_folder
    return House(
        media=engine,
        prompts=Prompts(settings.service.languages, [folder] if folder else []),
        pins=PinDesk(rooms),
        rooms=rooms,
        voice=voice,
        labels=RoomLabels(number=settings.label.template, withheld=settings.label.hidden),
        pseudonym_key=secrets.token_bytes(PSEUDONYM_KEY_BYTES),
        policy=make_policy(settings),
        tally=metrics,
    )


def make_policy(settings: Settings) -> CallPolicy:
    """How calls are treated."""
    pin, ivr, advertised = settings.pin, settings.ivr, settings.sip.advertised_address
    return CallPolicy(
        codecs=settings.media.codecs,
        pin_rules=PinRules(pin.min_digits, pin.max_digits, pin.pause_s, pin.think_s),
        pin_tries=pin.tries,
        wait_for_room_s=ivr.wait_for_room_s,
        wait_for_directory_s=ivr.wait_for_directory_s,
        remind_every_s=ivr.remind_every_s,
        hide_digits=settings.privacy.hide_digits,
        advertised_host=str(advertised) if advertised else None,
        suites=MEDIA_SUITES,
    )


@dataclass(frozen=True, slots=True)
class Service:
    """The running service, as far as others may touch it."""

    sip: SipEndpoint
    registry: Registry
    rooms: Rooms
    web_addresses: tuple[tuple[str, int], ...]
    """Where the web listens, ports as bound."""


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    """Run the service while the block runs; on leaving, calls still up are ended.

    Raises OperatorError where a setting or the machine does not allow it.
    """
    refuse_unbuilt(settings)
    trunks = make_trunks(settings)
    metrics = Metrics(version=version("dialin"), trunks=[trunk.name for trunk in trunks])
    registry = Registry(settings.service.max_calls, metrics)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        engine = await stack.enter_async_context(make_engine(settings))
        rooms = Rooms(make_apis(settings, session, metrics), poll_s=POLL_S)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for name, work in (("rooms", rooms.run()), ("loop lag", metrics.watch_loop())):
            stack.callback(tasks.create_task(work, name=name).cancel)
        sources = Trunks(trunks)
        door = FrontDoor(sources, registry, tasks)
        sip = await SipEndpoint.open(
            listen_addresses(settings),
            allow_source=door.hears,
            on_call=door.take,
            advertise=partial(advertised_to, settings.sip.advertised_address, door),
        )
        stack.push_async_callback(sip.close)
        trust_trunks(settings, sip)
        metrics.watch_sip(sip.counters)
        metrics.watch_certificates(sip.certificates.expiries)
        following = follow_certificates(sip.certificates)
        stack.callback(tasks.create_task(following, name="certificates").cancel)
        voice = BbbVoice(sip, engine, make_voice_servers(settings), suites=MEDIA_SUITES)
        await voice.look_up()
        door.open(make_house(settings, engine, rooms, voice, metrics))
        registrations = make_registrations(settings, sip, sources, tls_target)
        metrics.watch_trunks(lambda: registrations.standings)
        web = build_app(
            registry=registry,
            rooms=rooms,
            ready=lambda: Readiness(
                accepting=not registry.is_draining,
                trunks=readiness_of(settings, registrations.standings),
            ),
            token=settings.web.token.get_secret_value() if settings.web.token else None,
            metrics=metrics,
        )
        web_addresses = await stack.enter_async_context(
            serve(web, settings.web.host, settings.web.port)
        )
        registrations.start(tasks)
        stack.push_async_callback(registrations.close)
        if plan := selftest_plan(settings, sip):
            # An engine of its own: ours takes no audio from its own ports.
            ear = await stack.enter_async_context(make_engine(settings, for_phone=True))
            calling = selftest.opened_selftest(
                plan,
                ear,
                calls=registry.snapshots,
                tally=metrics,
                service=listen_addresses(settings),
            )
            test = await stack.enter_async_context(calling)
            stack.callback(tasks.create_task(test.run(), name="self-test").cancel)
        yield Service(sip, registry, rooms, web_addresses)


async def run(settings: Settings, *, ready: Callable[[], None] | None = None) -> int:
    """Run the service until a signal ends it; returns the exit status.

    SIGTERM drains: new calls are refused, those that are up may finish. SIGINT, or a second
    SIGTERM, stops now.
    """
    # A core file would hold what no log may hold.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    async with running(settings) as service:
        log.info("ready", extra={"sip": " ".join(map(str, service.sip.addresses))})
        await until_told_to_stop(service, settings.service.drain_timeout_s, ready=ready)
    return 0


async def until_told_to_stop(
    service: Service, drain_within_s: float, *, ready: Callable[[], None] | None = None
) -> None:
    """Wait for a signal, and after SIGTERM for the calls that are up.

    `ready` is called once signals are heeded.
    """
    stop, drain = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGTERM, lambda: stop.set() if drain.is_set() else drain.set())
    try:
        if ready is not None:
            ready()
        await first(stop.wait(), drain.wait())
        if not stop.is_set():
            service.registry.drain()
            log.info("draining", extra={"calls": len(service.registry)})
            with suppress(TimeoutError):
                async with asyncio.timeout(drain_within_s):
                    await first(service.registry.emptied(), stop.wait())
        log.info("stopping", extra={"calls": len(service.registry)})
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)


async def first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of the waits is over."""
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(wait) for wait in waits]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for wait in waiting:
            wait.cancel()
