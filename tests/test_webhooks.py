# SPDX-License-Identifier: GPL-3.0-or-later
"""Webhooks from end to end: a BBB server posts, and rooms and callers follow without a poll."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from dialin import hook_registrar
from dialin.app import parts
from dialin.app.webhooks import SeenApi, Webhooks
from dialin.demo.bbb import DemoBbb
from dialin.demo.hook_events import meeting_ended, recording_changed
from dialin.demo.voice import Change, PhoneCaller
from dialin.demo.webhooks import HookFault
from dialin.hook_registrar import OFF, HookStanding
from dialin.room_events import RoomEvents
from dialin.rooms import Rooms
from dialin.web import Metrics
from dialin.web.app import serve
from dialin.wire.bbbhooks import HookKind
from tests.peers.process import free_port
from tests.settings import settings

SELDOM_S = 600.0
"""Polls do not help."""
WITHIN_S = 5.0
NO_CHANGES: dict[str, object] = {}


def hook_ids(bbb: DemoBbb) -> list[str]:
    """What the server has."""
    return [hook.id for hook in bbb.webhooks.hooks]


@dataclass(frozen=True, slots=True)
class World:
    """A BBB server, and what learns of it."""

    bbb: DemoBbb
    rooms: Rooms
    events: RoomEvents
    webhooks: Webhooks
    values: dict[str, object]
    """What the settings have of it."""

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something that nobody tells."""
        async with asyncio.timeout(WITHIN_S):
            while not is_so():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)


@asynccontextmanager
async def world(
    bbb: DemoBbb, changes: dict[str, object] = NO_CHANGES, *, registered: bool = True
) -> AsyncIterator[World]:
    """All that is needed of the service; its rooms have been asked for once."""
    port = free_port()
    own: dict[str, object] = {
        "bbb_servers.main.url": bbb.url,
        "bbb_servers.main.secret": bbb.secret,
        "web.base_url": f"http://127.0.0.1:{port}/",
    }
    values = settings(own | changes)
    events = RoomEvents()
    metrics = Metrics(version="0", trunks=[])
    async with aiohttp.ClientSession() as session:
        apis = [SeenApi(api, events) for api in parts.make_apis(values, session, metrics)]
        rooms = Rooms(apis, poll_s=SELDOM_S)
        webhooks = Webhooks(values, session, rooms, events, metrics)
        app = web.Application()
        webhooks.receiver.add_to(app)
        async with asyncio.TaskGroup() as tasks, serve(app, "127.0.0.1", port):
            polling = tasks.create_task(rooms.run())
            made = World(bbb, rooms, events, webhooks, own)
            async with webhooks.registered(tasks):
                await rooms.look_again()
                if registered:
                    await made.until(lambda: webhooks.standings[0].is_registered)
                yield made
            polling.cancel()


async def test_a_server_posts_while_we_run_and_no_longer() -> None:
    async with DemoBbb() as bbb:
        async with world(bbb) as at:
            (hook,) = bbb.webhooks.hooks
            assert hook.callback_url.endswith("/hooks/bbb/main")
            assert at.webhooks.standings == (HookStanding("main", True, False, ""),)
        assert not bbb.webhooks.hooks


async def test_a_meeting_that_opens_is_known_at_once() -> None:
    async with DemoBbb() as bbb, world(bbb) as at:
        room = at.rooms.by_meeting_id("later")
        assert room is not None
        assert not room.running
        opening = asyncio.create_task(at.rooms.opened(room))
        await asyncio.sleep(0.05)
        bbb.open_room("later")
        assert (await asyncio.wait_for(opening, WITHIN_S)).running
        assert at.events.is_heard("main")


async def test_what_concerns_the_room_reaches_its_callers_however_it_is_posted() -> None:
    async with DemoBbb() as bbb, world(bbb) as at:
        room = bbb.room("demo")
        with at.events.of_caller("main", "demo", "xxx-xxx-0594") as queue:
            for fault in (None, HookFault.DOUBLED, HookFault.WRONG_CHECKSUM):
                bbb.webhooks.fault = fault
                bbb.webhooks.emit(recording_changed(room, is_on=fault is None))
                await bbb.webhooks.settled()
            kinds = [queue.get_nowait().kind for _ in range(queue.qsize())]
        assert kinds == [HookKind.RECORDING_STARTED, HookKind.RECORDING_STOPPED]
        assert len(bbb.webhooks.hooks) == 1


async def test_a_caller_whom_bbb_does_not_name_learns_of_a_hosts_mute() -> None:
    caller = PhoneCaller("xxx-xxx-0594", "314159265358979", False, 7)
    present: list[PhoneCaller] = []
    async with DemoBbb(members=lambda bridge: present) as bbb, world(bbb) as at:
        bridge = bbb.room("demo").voice_bridge
        with at.events.of_caller("main", "demo", caller.name) as queue:
            present.append(caller)
            for change in (Change.JOINED, Change.MUTED):
                bbb.voice_changed(bridge, caller._replace(name=""), change)
            async with asyncio.timeout(WITHIN_S):
                kinds = {(await queue.get()).kind for _ in range(2)}
        assert HookKind.USER_MUTED in kinds


async def test_a_meeting_that_ends_is_gone_at_once() -> None:
    async with DemoBbb() as bbb, world(bbb) as at:
        bbb.webhooks.emit(meeting_ended(bbb.room("demo")))
        await at.until(lambda: at.rooms.by_meeting_id("demo") is None)


async def test_a_hook_that_was_lost_is_there_again_when_something_was_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hook_registrar, "MISSED_GAP_S", 0.01)
    async with DemoBbb() as bbb, world(bbb) as at:
        bbb.webhooks.forget()
        bbb.restart_room("demo")
        for _ in range(2):
            await at.rooms.look_again()
        await at.until(lambda: bool(bbb.webhooks.hooks))


async def test_a_server_without_webhooks_is_polled_and_told_of() -> None:
    async with DemoBbb(has_webhooks=False) as bbb, world(bbb, registered=False) as at:
        await at.until(lambda: at.webhooks.standings[0].cause == "no-webhooks")
        assert at.rooms.by_meeting_id("demo")


async def test_settings_that_are_read_anew_end_and_begin_what_they_name() -> None:
    async with DemoBbb() as bbb, world(bbb) as at:
        before = hook_ids(bbb)
        await at.webhooks.change(settings(at.values))
        assert hook_ids(bbb) == before
        await at.webhooks.change(settings(at.values | {"bbb_servers.main.webhooks": False}))
        assert not hook_ids(bbb)
        assert at.webhooks.standings == (HookStanding("main", False, False, OFF),)
        await at.webhooks.change(settings(at.values))
        await at.until(lambda: len(hook_ids(bbb)) == 1)
        assert hook_ids(bbb) != before
        bbb.webhooks.emit(meeting_ended(bbb.room("demo")))
        await at.until(lambda: at.rooms.by_meeting_id("demo") is None)


@pytest.mark.parametrize(
    "changes",
    [{"web.base_url": None}, {"bbb_servers.main.webhooks": False}],
    ids=["no address", "not wanted"],
)
async def test_where_nobody_wants_webhooks_none_are_asked_for(changes: dict[str, object]) -> None:
    async with DemoBbb() as bbb, world(bbb, changes, registered=False) as at:
        assert at.webhooks.standings == (HookStanding("main", False, False, OFF),)
        assert not bbb.webhooks.hooks
