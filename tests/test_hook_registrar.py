# SPDX-License-Identifier: GPL-3.0-or-later
"""Staying registered for webhooks: at the start, after a loss, and not after the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import pytest

from dialin.bbb_api import BbbUnavailable
from dialin.hook_registrar import (
    LEAVE_WITHIN_S,
    MISSED_GAP_S,
    PENDING,
    RENEW_S,
    RETRY_S,
    HookRegistrar,
    HookStanding,
)
from dialin.room_events import RoomEvents
from dialin.wire.bbbhooks import EVENT_IDS, HookEvent, HookKind
from dialin.wire.bbbxml import Hook

pytestmark = pytest.mark.looptime

URL = "https://dialin.example.org/hooks/bbb/main"
FIT = frozenset(EVENT_IDS)


class Server:
    """A server's hooks, with the time of each call."""

    name = "main"

    def __init__(self, *hooks: Hook) -> None:
        self.kept = {hook.hook_id: hook for hook in hooks}
        self.fails = ""
        self.takes_s = 0.1
        self.keeps = False
        self.calls: list[tuple[str, float]] = []
        self._made = 0

    async def _called(self, call: str) -> None:
        self.calls.append((call, asyncio.get_running_loop().time()))
        await asyncio.sleep(self.takes_s)
        if self.fails:
            raise BbbUnavailable("main", self.fails)

    async def create_hook(self, callback_url: str, event_ids: Iterable[str]) -> str:
        await self._called("create")
        for hook in self.kept.values():
            if hook.callback_url == callback_url:
                return hook.hook_id
        self._made += 1
        made = Hook(f"made-{self._made}", callback_url, "", frozenset(event_ids), False)
        self.kept[made.hook_id] = made
        return made.hook_id

    async def hooks(self) -> tuple[Hook, ...]:
        await self._called("list")
        return tuple(self.kept.values())

    async def destroy_hook(self, hook_id: str) -> None:
        await self._called("destroy")
        if self.keeps:
            raise BbbUnavailable("main", "refused", "destroyMissingHook")
        del self.kept[hook_id]

    def times(self, call: str) -> list[float]:
        return [at for name, at in self.calls if name == call]


@asynccontextmanager
async def registered(server: Server, events: RoomEvents) -> AsyncIterator[HookRegistrar]:
    """The registrar while it runs; a moment has passed."""
    registrar = HookRegistrar(server, URL, events)
    running = asyncio.create_task(registrar.run())
    try:
        await asyncio.sleep(1)
        yield registrar
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_the_server_is_asked_to_tell_what_matters_to_calls() -> None:
    server, events = Server(), RoomEvents()
    assert HookRegistrar(server, URL, events).standing == HookStanding(
        "main", False, False, PENDING
    )
    async with registered(server, events) as registrar:
        (hook,) = server.kept.values()
        assert (hook.callback_url, hook.event_ids) == (URL, FIT)
        assert "chat-group-message-sent" not in hook.event_ids
        assert registrar.standing == HookStanding("main", True, False, "")
        events.publish(HookEvent("main", "m", "i", HookKind.MEETING_CREATED))
        assert registrar.standing == HookStanding("main", True, True, "")
        await registrar.close()
    assert not server.kept
    assert not events.is_registered("main")


async def test_a_hook_that_the_server_has_lost_is_there_again() -> None:
    server = Server()
    async with registered(server, RoomEvents()):
        server.kept.clear()
        await asyncio.sleep(RENEW_S)
        assert list(server.kept) == ["made-2"]
        await asyncio.sleep(RENEW_S)
        assert list(server.kept) == ["made-2"]
    assert len(server.times("create")) == 3
    assert len(server.times("list")) == 1


async def test_what_no_webhook_told_of_makes_it_look_at_once_but_not_all_the_time() -> None:
    server = Server()
    events = RoomEvents()
    async with registered(server, events):
        for lost in range(3):
            server.kept.clear()
            for _ in range(8):
                events._ear("main").missed.set()
                await asyncio.sleep(MISSED_GAP_S / 8)
            assert list(server.kept) == [f"made-{lost + 2}"]
    assert len(server.times("create")) == 4


@pytest.mark.parametrize("cause", ["no-webhooks", "timeout", "checksum-error"])
async def test_a_server_that_takes_none_is_asked_again_and_said_once(
    cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, events = Server(), RoomEvents()
    server.fails = cause
    with caplog.at_level(logging.INFO, "dialin.hook_registrar"):
        async with registered(server, events) as registrar:
            await asyncio.sleep(3 * RETRY_S)
            assert registrar.standing == HookStanding("main", False, False, cause)
            assert not events.is_registered("main")
            server.fails = ""
            await asyncio.sleep(RETRY_S)
            assert events.is_registered("main")
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in said] == ["WARNING", "INFO"]
    assert said[0][1].startswith("BBB server main: ")
    assert said[0][1].endswith("Until then it tells nothing by webhooks.")
    assert said[1][1] == "BBB server main tells by webhooks what happens"


@pytest.mark.parametrize(
    "old",
    [
        Hook("old", URL, "", frozenset({"chat-group-message-sent"}), False),
        Hook("old", URL, "", frozenset(), False),
        Hook("old", URL, "physics", FIT, False),
        Hook("old", URL, "", FIT, True),
    ],
    ids=["other events", "all events", "one meeting", "raw"],
)
async def test_a_hook_of_ours_that_tells_other_things_is_replaced(old: Hook) -> None:
    server = Server(old)
    async with registered(server, RoomEvents()):
        assert list(server.kept) == ["made-1"]


async def test_hooks_of_others_and_a_fit_one_of_ours_stay() -> None:
    server = Server(
        Hook("theirs", "https://other.example.org/", "", frozenset(), False),
        Hook("ours", URL, "", FIT, False),
    )
    async with registered(server, RoomEvents()) as registrar:
        assert list(server.kept) == ["theirs", "ours"]
        assert registrar.standing.is_registered
    assert not server.times("destroy")


async def test_a_permanent_hook_serves_as_well() -> None:
    server = Server(Hook("permanent", URL, "", frozenset(), False))
    server.keeps = True
    async with registered(server, RoomEvents()) as registrar:
        assert registrar.standing.is_registered
        await registrar.close()
    assert list(server.kept) == ["permanent"]


async def test_the_end_does_not_wait_long_for_a_server() -> None:
    server = Server()
    async with registered(server, RoomEvents()) as registrar:
        server.takes_s = 60
        began = asyncio.get_running_loop().time()
        await registrar.close()
        assert asyncio.get_running_loop().time() - began == pytest.approx(LEAVE_WITHIN_S)


async def test_who_was_never_registered_takes_nothing_back() -> None:
    server = Server()
    await HookRegistrar(server, URL, RoomEvents()).close()
    assert not server.calls
