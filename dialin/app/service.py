# SPDX-License-Identifier: GPL-3.0-or-later
"""The service as a block: every object is built, every task owned, every ending in order.

Which parts there are and how each is made stands in `parts`, how calls are taken in `door`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import aiohttp

from dialin import selftest
from dialin.app import parts
from dialin.app.api import Told, make_console, make_operations, make_state_desk, make_tokens
from dialin.app.door import FrontDoor
from dialin.app.pins import opened_pins
from dialin.app.site import (
    KnownRooms,
    SelfTestTally,
    condition_of,
    make_site,
    served_apart,
)
from dialin.app.webhooks import SeenApi, Webhooks
from dialin.bbb_voice import BbbVoice
from dialin.providers import make_registrations, readiness_of, tls_target
from dialin.registry import Registry
from dialin.room_events import RoomEvents
from dialin.rooms import Rooms
from dialin.settings import Settings, refuse_unbuilt
from dialin.sip import SipEndpoint
from dialin.static_rooms import StaticRooms
from dialin.trunk import Trunks
from dialin.web.app import build_app, serve
from dialin.web.health import Readiness
from dialin.web.metrics import Metrics
from dialin.wire.timers import Timers


@dataclass(frozen=True, slots=True)
class Pace:
    """Times that no setting changes; tests hurry some."""

    poll_s: float = 5.0
    """How often each BBB server is asked for its meetings; an unknown PIN asks at once."""
    quarantine_s: float = parts.QUARANTINE_S
    """How long a port pair rests after a call."""
    timers: Timers | None = None
    """The timers of SIP, if not the RFC's."""
    conference_answers_within_s: float = 20.0
    """How long a voice server may take to answer."""


@dataclass(frozen=True, slots=True)
class Service:
    """The running service, as far as others may touch it."""

    sip: SipEndpoint
    registry: Registry
    rooms: Rooms
    static: StaticRooms
    web_addresses: tuple[tuple[str, int], ...]
    """Where operators' pages are, ports as bound."""
    public_addresses: tuple[tuple[str, int], ...]
    """Where the public pages are; the same unless they have a listener of their own."""


@asynccontextmanager
async def running(settings: Settings, pace: Pace = Pace()) -> AsyncIterator[Service]:
    """Run the service while the block runs; on leaving, calls still up are ended.

    Raises OperatorError where a setting or the machine does not allow it.
    """
    refuse_unbuilt(settings)
    trunks = parts.make_trunks(settings)
    metrics = Metrics(version=version("dialin"), trunks=[trunk.name for trunk in trunks])
    registry = Registry(settings.service.max_calls, metrics)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        engine = await stack.enter_async_context(
            parts.make_engine(settings, quarantine_s=pace.quarantine_s)
        )
        room_events = RoomEvents()
        apis = [SeenApi(api, room_events) for api in parts.make_apis(settings, session, metrics)]
        rooms = Rooms(apis, poll_s=pace.poll_s)
        webhooks = Webhooks(settings, session, rooms, room_events, metrics)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for name, work in (("rooms", rooms.run()), ("loop lag", metrics.watch_loop())):
            stack.callback(tasks.create_task(work, name=name).cancel)
        sources = Trunks(trunks)
        door = FrontDoor(sources, registry, tasks)
        sip = await SipEndpoint.open(
            parts.listen_addresses(settings),
            allow_source=door.hears,
            on_call=door.take,
            advertise=partial(parts.advertised_to, settings.sip.advertised_address, door),
            timers=pace.timers,
        )
        stack.push_async_callback(sip.close)
        parts.trust_trunks(settings, sip)
        metrics.watch_sip(sip.counters)
        metrics.watch_certificates(sip.certificates.expiries)
        following = parts.follow_certificates(sip.certificates)
        stack.callback(tasks.create_task(following, name="certificates").cancel)
        voice = BbbVoice(
            sip,
            engine,
            parts.make_voice_servers(settings),
            suites=parts.MEDIA_SUITES,
            answer_within_s=pace.conference_answers_within_s,
        )
        await voice.look_up()
        pins = await stack.enter_async_context(opened_pins(settings, rooms, metrics, tasks))
        door.open(parts.make_house(settings, engine, rooms, pins, room_events, voice, metrics))
        registrations = make_registrations(settings, sip, sources, tls_target)
        metrics.watch_trunks(lambda: registrations.standings)

        def ready() -> Readiness:
            return Readiness(
                accepting=not registry.is_draining,
                trunks=readiness_of(settings, registrations.standings),
            )

        tested = SelfTestTally(metrics, settings.selftest.every_s)
        known = KnownRooms(rooms, pins.static)
        told = Told(
            registry=registry,
            rooms=rooms,
            known=known,
            static=pins.static,
            events=room_events,
            metrics=metrics,
            standings=lambda: registrations.standings,
            tested=tested,
        )
        site = make_site(
            settings,
            registry,
            known,
            condition=lambda: condition_of(ready(), rooms, tested.last),
        )
        is_one_listener = settings.web.public_port is None
        tokens, state = make_tokens(settings), make_state_desk(settings, told)
        web = build_app(
            registry=registry,
            rooms=rooms,
            ready=ready,
            tokens=tokens,
            operations=make_operations(settings, told, state),
            console=make_console(settings, told, state, tokens) if tokens.exist else None,
            metrics=metrics,
            site=site if is_one_listener else None,
            hooks=webhooks.receiver if is_one_listener else None,
        )
        web_addresses = await stack.enter_async_context(
            serve(web, settings.web.host, settings.web.port)
        )
        public_addresses = await stack.enter_async_context(
            served_apart(settings, site, webhooks.receiver)
        )
        await stack.enter_async_context(webhooks.registered(tasks))
        registrations.start(tasks)
        stack.push_async_callback(registrations.close)
        if plan := parts.selftest_plan(settings, sip):
            # An engine of its own: ours takes no audio from its own ports.
            ear = await stack.enter_async_context(parts.make_engine(settings, for_phone=True))
            calling = selftest.opened_selftest(
                plan,
                ear,
                calls=registry.snapshots,
                tally=tested,
                service=parts.listen_addresses(settings),
            )
            test = await stack.enter_async_context(calling)
            stack.callback(tasks.create_task(test.run(), name="self-test").cancel)
        public_addresses = public_addresses or web_addresses
        yield Service(sip, registry, rooms, pins.static, web_addresses, public_addresses)
