# SPDX-License-Identifier: GPL-3.0-or-later
"""Posts to one subscriber, over real connections to somebody who takes them well or badly."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from dialin.subscribers import delivery
from dialin.subscribers.delivery import CAUSES, KEPT, RESULTS, Subscriber
from dialin.web.api.calls import CallShown
from dialin.web.api.posts import signature
from tests.subscribers import (
    SECRET,
    Fault,
    Posts,
    joined,
    open_taker,
    seconds_of,
    subscriber_at,
)
from tests.web import CALL

PATIENCE_S = 0.3
TAKEN_SO = (Fault.ENDLESS, Fault.SLOW)
"""Faults that do not keep an event from being taken."""


@pytest.fixture(autouse=True)
def hurried(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Posts are repeated soon."""
    if "looptime" not in request.keywords:
        monkeypatch.setattr(delivery, "FIRST_AGAIN_AFTER_S", 0.01)
        monkeypatch.setattr(delivery, "LAST_AGAIN_AFTER_S", 0.05)


@asynccontextmanager
async def posting(subscriber: Subscriber, within_s: float = 5.0) -> AsyncIterator[None]:
    """Post while the block runs."""
    timeout = aiohttp.ClientTimeout(total=within_s)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        task = asyncio.create_task(subscriber.run(session))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_a_post_says_what_has_happened_and_is_signed() -> None:
    async with open_taker() as taker:
        subscriber = subscriber_at(taker.url)
        async with posting(subscriber):
            subscriber.tell(joined("Müller &/1"))
            (told,) = await taker.got(1)
    (body,), (signed,) = taker.bodies, taker.signatures
    assert told["event"] == "joined"
    assert told["meeting_id"] == "Müller &/1"
    assert told["call"] == json.loads(CallShown.of(CALL).model_dump_json())
    assert told["at"].endswith("+00:00")
    assert len(told["id"]) >= 20
    at = seconds_of(signed)
    expected = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert signed == f"t={at},v1={expected}"
    assert taker.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in TAKEN_SO])
async def test_what_is_not_taken_is_posted_again_in_order(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dialin.subscribers")
    posts = Posts()
    async with open_taker() as taker:
        taker.faults = [fault, fault]
        subscriber = subscriber_at(taker.url, posts)
        async with posting(subscriber, PATIENCE_S):
            for meeting_id in ("a", "b", "c"):
                subscriber.tell(joined(meeting_id))
            told = await taker.got(3)
    assert [one["meeting_id"] for one in told] == ["a", "b", "c"]
    assert taker.followed == 0
    assert taker.asked >= 5
    results = dict(posts.results)
    assert results.pop("taken") == 3
    ((cause, count),) = results.items()
    assert count == 2
    assert cause in CAUSES
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert taker.url not in caplog.text


async def test_an_event_keeps_its_id_and_gets_a_signature_of_its_own_each_time() -> None:
    times = iter(range(1_800_000_000, 1_900_000_000, 100))
    async with open_taker() as taker:
        subscriber = subscriber_at(taker.url, now=lambda: next(times))
        taker.faults = [Fault.ENDLESS]
        async with posting(subscriber):
            subscriber.tell(joined("a"))
            subscriber.tell(joined("b"))
            await taker.got(2)
    assert [seconds_of(one) for one in taker.signatures] == [1_800_000_000, 1_800_000_100]
    first, second = (one["id"] for one in taker.told)
    assert first != second


async def test_an_answer_without_end_delays_nothing() -> None:
    async with open_taker() as taker:
        taker.faults = [Fault.ENDLESS] * 3
        posts = Posts()
        subscriber = subscriber_at(taker.url, posts)
        async with posting(subscriber):
            for _ in range(4):
                subscriber.tell(joined())
            async with asyncio.timeout(4):  # the answer itself would take until the deadline
                await taker.got(4)
    assert posts.results["taken"] >= 3
    assert set(posts.results) == {"taken"}


async def test_somebody_who_is_not_there_is_told_when_there() -> None:
    async with open_taker() as taker:
        port = int(taker.url.rpartition(":")[2].partition("/")[0])
    posts = Posts()
    subscriber = subscriber_at(taker.url, posts)
    async with posting(subscriber):
        subscriber.tell(joined())
        while not posts.results["unreachable"]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        async with open_taker(port) as there:
            await there.got(1)
            while subscriber.waiting:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)


async def test_only_what_is_wanted_is_told() -> None:
    subscriber = subscriber_at("http://127.0.0.1:9/", meetings=frozenset({"demo"}))
    subscriber.tell(joined("other"))
    assert subscriber.waiting == 0
    subscriber.tell(joined("demo"))
    assert subscriber.waiting == 1
    deaf = subscriber_at("http://127.0.0.1:9/", events=frozenset())
    deaf.tell(joined("demo"))
    assert deaf.waiting == 0


async def test_of_too_many_the_oldest_are_dropped_and_counted() -> None:
    posts = Posts()
    async with open_taker() as taker:
        subscriber = subscriber_at(taker.url, posts)
        for number in range(KEPT + 3):
            subscriber.tell(joined(str(number)))
        assert (subscriber.waiting, posts.results["dropped"]) == (KEPT, 3)
        async with posting(subscriber):
            told = await taker.got(2)
    assert [one["meeting_id"] for one in told[:2]] == ["3", "4"]


async def test_what_is_dropped_under_way_takes_nobody_with_it() -> None:
    posts = Posts()
    async with open_taker() as taker:
        taker.faults = [Fault.HANG]
        subscriber = subscriber_at(taker.url, posts)
        async with posting(subscriber, PATIENCE_S):
            subscriber.tell(joined("first"))
            while not taker.asked:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            for number in range(KEPT):
                subscriber.tell(joined(str(number)))
            told = await taker.got(1)
    assert told[0]["meeting_id"] == "0"
    assert posts.results["dropped"] == 1


async def test_what_is_taken_after_it_was_dropped_takes_nobody_with_it_either() -> None:
    posts = Posts()
    async with open_taker() as taker:
        taker.faults = [Fault.SLOW]
        subscriber = subscriber_at(taker.url, posts)
        async with posting(subscriber):
            subscriber.tell(joined("first"))
            while not taker.asked:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            for number in range(KEPT):
                subscriber.tell(joined(str(number)))
            told = await taker.got(2)
    assert [one["meeting_id"] for one in told[:2]] == ["first", "0"]
    assert posts.results["dropped"] == 1


class Refusing:
    """A session whose connections all fail; the loop's clock says when they were tried."""

    def __init__(self) -> None:
        self.tried_at: list[float] = []

    def post(self, *_: object, **__: object) -> Any:
        self.tried_at.append(asyncio.get_running_loop().time())
        raise aiohttp.ClientConnectionError


@pytest.mark.looptime
async def test_who_does_not_answer_is_asked_less_and_less_often_for_a_day() -> None:
    posts, session = Posts(), Refusing()
    subscriber = subscriber_at("http://127.0.0.1:9/", posts)
    task = asyncio.create_task(subscriber.run(session))  # type: ignore[arg-type]  # all it asks of it
    began_s = asyncio.get_running_loop().time()
    subscriber.tell(joined())
    await asyncio.sleep(25 * 3600)
    task.cancel()
    tried = [at - began_s for at in session.tried_at]
    gaps = [round(after - before) for before, after in pairwise(tried)]
    assert gaps[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert set(gaps[9:]) == {300}
    assert 24 * 3600 - 300 <= tried[-1] <= 24 * 3600
    assert posts.results["dropped"] == 1
    assert subscriber.waiting == 0


def test_nothing_secret_shows_and_every_cause_has_its_words() -> None:
    shown = repr(subscriber_at("https://example.org/?token=hidden"))
    assert SECRET not in shown
    assert "example.org" not in shown
    assert set(CAUSES) < set(RESULTS)


def test_the_signature_is_the_documented_one() -> None:
    assert signature("key", b"{}", 1) == "t=1,v1=" + hmac.new(b"key", b"1.{}", "sha256").hexdigest()
