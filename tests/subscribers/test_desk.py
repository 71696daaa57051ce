# SPDX-License-Identifier: GPL-3.0-or-later
"""Live calls are watched, subscribers come and go, and none can hold up another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from dialin.registry import CallSnapshot, CallState
from dialin.subscribers import desk as desks
from dialin.subscribers import opened_desk
from tests.subscribers import Fault, Posts, open_taker, subscriber_at
from tests.web import CALL


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls are looked at more often, and the end waits less."""
    monkeypatch.setattr(desks, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(desks, "FLUSH_WITHIN_S", 0.5)


@dataclass
class Table:
    """Live calls that the test moves."""

    calls: dict[str, CallSnapshot] = field(default_factory=dict)
    version: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, call_id: str, room: str | None) -> None:
        state = CallState.IN_ROOM if room else CallState.PIN
        self.calls[call_id] = replace(CALL, id=call_id, room=room, state=state)
        self._changed()

    def end(self, call_id: str) -> None:
        del self.calls[call_id]
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        self.news.set()
        self.news.clear()

    async def changed(self, since: int) -> int:
        while self.version <= since:
            await self.news.wait()
        return self.version

    def snapshots(self) -> list[CallSnapshot]:
        return list(self.calls.values())


async def test_who_comes_and_goes_is_told() -> None:
    table = Table()
    async with open_taker() as taker, opened_desk("dialin/1.2.3") as desk:
        desk.change([subscriber_at(taker.url)])
        desk.watch(table)
        table.put("c0ffee", "demo")
        (came,) = await taker.got(1)
        table.put("c0ffee", None)
        _, left = await taker.got(2)
    assert (came["event"], left["event"]) == ("joined", "left")
    assert left["call"]["room"] == "demo"
    assert taker.headers[0]["User-Agent"] == "dialin/1.2.3"


async def test_what_is_over_when_the_block_ends_is_told_still() -> None:
    table = Table()
    async with open_taker() as taker:
        async with opened_desk("dialin") as desk:
            desk.change([subscriber_at(taker.url)])
            desk.watch(table)
            table.put("c0ffee", "demo")
            await taker.got(1)
            table.end("c0ffee")
        assert [one["event"] for one in taker.told] == ["joined", "left"]


async def test_one_that_hangs_holds_up_neither_the_others_nor_the_end() -> None:
    table = Table()
    async with open_taker() as dead, open_taker() as taker:
        dead.faults = [Fault.HANG] * 100
        async with opened_desk("dialin") as desk:
            slow = replace(subscriber_at(dead.url), name="slow")
            desk.change([slow, subscriber_at(taker.url)])
            desk.watch(table)
            for number in range(50):
                table.put(str(number), "demo")
            async with asyncio.timeout(4):
                await taker.got(50)
            began_s = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began_s < 4
    assert dead.bodies == []


async def test_who_is_new_hears_nothing_old_and_who_stays_keeps_what_is_due() -> None:
    table, posts = Table(), Posts()
    table.put("before", "demo")
    async with open_taker() as taker, opened_desk("dialin") as desk:
        desk.watch(table)
        await asyncio.sleep(0.05)
        desk.change([subscriber_at("http://127.0.0.1:9/", posts)])
        await asyncio.sleep(0.05)
        table.put("c0ffee", "demo")
        while not posts.results["unreachable"]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        desk.change([subscriber_at(taker.url)])
        (told,) = await taker.got(1)
        assert told["call"]["id"] == "c0ffee"
        desk.change([])
        table.end("c0ffee")
        await asyncio.sleep(0.1)
        assert len(taker.bodies) == 1


async def test_without_subscribers_nothing_is_looked_at() -> None:
    class Untouched(Table):
        def snapshots(self) -> list[CallSnapshot]:
            pytest.fail("somebody looks")

    table = Untouched()
    async with opened_desk("dialin") as desk:
        desk.watch(table)
        table.put("c0ffee", "demo")
        await asyncio.sleep(0.05)
