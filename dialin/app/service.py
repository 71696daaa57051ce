# SPDX-License-Identifier: GPL-3.0-or-later
"""The service as a block: what takes calls, what can be changed of it, and the pages before it.

What takes calls stands in `core`, what a reload changes in `reload`, pages in `site` and `api`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

from aiohttp import web

from dialin import selftest
from dialin.app import parts
from dialin.app.api import (
    Told,
    console_facts,
    make_console,
    make_operations,
    make_state_desk,
)
from dialin.app.core import USUAL, Core, Pace, opened_core
from dialin.app.fresh import keep_fresh
from dialin.app.reload import Changeable
from dialin.app.site import (
    KnownRooms,
    SelfTestTally,
    condition_of,
    make_facts,
    make_site,
    served_apart,
)
from dialin.app.subscribers import make_subscribers
from dialin.providers import readiness_of
from dialin.registry import Registry
from dialin.rooms import Rooms
from dialin.settings import Settings, refuse_unbuilt
from dialin.sip import SipEndpoint
from dialin.static_rooms import StaticRooms
from dialin.subscribers import opened_desk
from dialin.web.app import build_app, serve
from dialin.web.health import Readiness
from dialin.web.site import Site


@dataclass(frozen=True, slots=True)
class Service:
    """The running service, as far as others may touch it."""

    sip: SipEndpoint
    registry: Registry
    rooms: Rooms
    static: StaticRooms
    """Rooms with PINs of their own."""
    web_addresses: tuple[tuple[str, int], ...]
    """Where operators' pages are, ports as bound."""
    public_addresses: tuple[tuple[str, int], ...]
    """Where the public pages are; the same unless they have a listener of their own."""
    changeable: Changeable
    """What settings that are read anew can change."""


@asynccontextmanager
async def running(settings: Settings, pace: Pace = USUAL) -> AsyncIterator[Service]:
    """Run the service while the block runs; on leaving, calls still up are ended.

    Raises OperatorError where a setting or the machine does not allow it.
    """
    refuse_unbuilt(settings)
    async with AsyncExitStack() as stack:
        # Closed after what takes calls, so that the end of every call is told.
        desk = await stack.enter_async_context(opened_desk(f"dialin/{version('dialin')}"))
        core = await stack.enter_async_context(opened_core(settings, pace))
        changeable = Changeable(settings, core, parts.make_house(settings, core))
        core.door.open(changeable.house)
        desk.change(make_subscribers(settings, core.metrics))
        desk.watch(core.registry)
        changeable.followers.append(lambda new: desk.change(make_subscribers(new, core.metrics)))
        tested = SelfTestTally(core.metrics, settings.selftest.every_s)
        site, app = make_pages(changeable, core, tested)
        web_addresses = await stack.enter_async_context(
            serve(app, settings.web.host, settings.web.port)
        )
        apart = await stack.enter_async_context(
            served_apart(settings, site, core.webhooks.receiver)
        )
        await stack.enter_async_context(core.webhooks.registered(core.tasks))
        core.registrations.start(core.tasks)
        fresh = core.tasks.create_task(keep_fresh(changeable, core), name="fresh registrations")
        stack.callback(fresh.cancel)
        stack.push_async_callback(core.registrations.close)
        await begin_selftest(settings, core, tested, stack)
        yield Service(
            core.sip,
            core.registry,
            core.rooms,
            core.pins.static,
            web_addresses,
            apart or web_addresses,
            changeable,
        )


def make_pages(
    changeable: Changeable, core: Core, tested: SelfTestTally
) -> tuple[Site, web.Application]:
    """What the world may open, and what operators may, who see the settings in force."""
    settings = changeable.settings
    known = KnownRooms(core.rooms, core.pins.static)
    told = Told(lambda: changeable.settings, core, known, tested)

    def ready() -> Readiness:
        return Readiness(
            accepting=not core.registry.is_draining,
            trunks=readiness_of(changeable.settings, core.registrations.standings),
        )

    site = make_site(
        settings,
        core.registry,
        known,
        condition=lambda: condition_of(ready(), core.rooms, tested.last),
    )
    state, tokens = make_state_desk(told), changeable.tokens
    console = make_console(told, state, tokens)
    changeable.followers += [
        lambda new: site.show(make_facts(new)),
        lambda new: console.show(console_facts(new)),
    ]
    is_one_listener = settings.web.public_port is None
    app = build_app(
        registry=core.registry,
        rooms=core.rooms,
        ready=ready,
        tokens=tokens,
        operations=make_operations(told, state),
        console=console,
        metrics=core.metrics,
        site=site if is_one_listener else None,
        hooks=core.webhooks.receiver if is_one_listener else None,
    )
    return site, app


async def begin_selftest(
    settings: Settings, core: Core, tested: SelfTestTally, stack: AsyncExitStack
) -> None:
    """Call ourselves now and then until the stack is left, if the settings say so."""
    plan = parts.selftest_plan(settings, core.sip)
    if plan is None:
        return
    # An engine of its own: the service's takes no audio from its own ports.
    ear = await stack.enter_async_context(parts.make_engine(settings, for_phone=True))
    calling = selftest.opened_selftest(
        plan,
        ear,
        calls=core.registry.snapshots,
        tally=tested,
        service=parts.listen_addresses(settings),
    )
    test = await stack.enter_async_context(calling)
    stack.callback(core.tasks.create_task(test.run(), name="self-test").cancel)
