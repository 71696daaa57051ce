# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes calls: sockets, media workers, the picture of rooms, PINs, trunks. No pages.

Everything is open while the block runs and closed in the reverse order; how each part is made
stands in `parts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import aiohttp

from dialin.app import parts
from dialin.app.door import FrontDoor
from dialin.app.pins import Pins, opened_pins
from dialin.app.webhooks import SeenApi, Webhooks
from dialin.bbb_voice import BbbVoice
from dialin.media.embedded import EmbeddedEngine
from dialin.providers import registration_makers
from dialin.registration import Registrations
from dialin.registry import Registry
from dialin.room_events import RoomEvents
from dialin.rooms import Rooms
from dialin.settings import Settings
from dialin.sip import SipEndpoint
from dialin.trunk import Trunks
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


USUAL = Pace()


@dataclass(frozen=True, slots=True)
class Core:
    """The running parts."""

    session: aiohttp.ClientSession
    """For the APIs of BBB servers."""
    tasks: asyncio.TaskGroup
    """Owns every task of the service."""
    metrics: Metrics
    registry: Registry
    engine: EmbeddedEngine
    events: RoomEvents
    rooms: Rooms
    webhooks: Webhooks
    sources: Trunks
    door: FrontDoor
    sip: SipEndpoint
    voice: BbbVoice
    pins: Pins
    registrations: Registrations
    """Begun by whoever has pages that tell how they stand."""


@asynccontextmanager
async def opened_core(settings: Settings, pace: Pace) -> AsyncIterator[Core]:
    """All of it while the block runs. Calls are asked to come back until the door is opened.

    Raises OperatorError where a setting or the machine does not allow it.
    """
    trunks = parts.make_trunks(settings)
    metrics = Metrics(version=version("dialin"), trunks=[trunk.name for trunk in trunks])
    registry, events = Registry(settings.service.max_calls, metrics), RoomEvents()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        engine = await stack.enter_async_context(
            parts.make_engine(settings, quarantine_s=pace.quarantine_s)
        )
        apis = [SeenApi(api, events) for api in parts.make_apis(settings, session, metrics)]
        rooms = Rooms(apis, poll_s=pace.poll_s)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for name, work in (("rooms", rooms.run()), ("loop lag", metrics.watch_loop())):
            stack.callback(tasks.create_task(work, name=name).cancel)
        sources = Trunks(trunks)
        door = FrontDoor(sources, registry, tasks)
        sip = await opened_sip(settings, door, pace, stack)
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
        registrations = Registrations(registration_makers(settings, sip, sources))
        metrics.watch_trunks(lambda: registrations.standings)
        yield Core(
            session=session,
            tasks=tasks,
            metrics=metrics,
            registry=registry,
            engine=engine,
            events=events,
            rooms=rooms,
            webhooks=Webhooks(settings, session, rooms, events, metrics),
            sources=sources,
            door=door,
            sip=sip,
            voice=voice,
            pins=pins,
            registrations=registrations,
        )


async def opened_sip(
    settings: Settings, door: FrontDoor, pace: Pace, stack: AsyncExitStack
) -> SipEndpoint:
    """The sockets that calls come by, until the stack is left."""
    sip = await SipEndpoint.open(
        parts.listen_addresses(settings),
        allow_source=door.hears,
        on_call=door.take,
        advertise=partial(parts.advertised_to, settings.sip.advertised_address, door),
        timers=pace.timers,
    )
    stack.push_async_callback(sip.close)
    parts.trust_trunks(settings, sip)
    return sip
