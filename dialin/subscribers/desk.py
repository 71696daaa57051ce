# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at the live calls whenever they have changed, and tells all subscribers.

How a post is made and repeated is left to `delivery`, what counts as news to `happenings`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import aiohttp

from dialin.registry import CallSnapshot
from dialin.subscribers.delivery import ANSWER_WITHIN_S, Subscriber
from dialin.subscribers.happenings import happenings

LOOK_EVERY_S = 0.1
"""At most so often: a thousand calls that change all the time are then no burden. What begins and
ends in less is not told."""
FLUSH_WITHIN_S = 2.0
"""How long the end of the service waits for posts that are due."""


class Calls(Protocol):
    """The table of live calls."""

    async def changed(self, since: int) -> int:
        """Wait until the table's version is above this; gives it."""

    def snapshots(self) -> Sequence[CallSnapshot]:
        """All calls."""


class Desk:
    """All subscribers, and the task of each."""

    def __init__(self, session: aiohttp.ClientSession, tasks: asyncio.TaskGroup) -> None:
        """`tasks` owns what runs here."""
        self._session = session
        self._tasks = tasks
        self._calls: Calls | None = None
        self._seen: dict[str, CallSnapshot] | None = None
        self._posting: dict[str, tuple[Subscriber, asyncio.Task[None]]] = {}
        self._watching: asyncio.Task[None] | None = None

    def change(self, wanted: Iterable[Subscriber]) -> None:
        """Have these subscribers from now on; who keeps the name keeps what is due."""
        before, self._posting = self._posting, {}
        for subscriber in wanted:
            if subscriber.name in before:
                subscriber.inherit(before[subscriber.name][0])
            task = self._tasks.create_task(
                subscriber.run(self._session), name=f"subscriber {subscriber.name}"
            )
            self._posting[subscriber.name] = (subscriber, task)
        for _, task in before.values():
            task.cancel()
        if not before:
            self._seen = None
            self._look()

    def watch(self, calls: Calls) -> None:
        """Tell from now on what happens to these calls."""
        self._calls = calls
        self._look()
        self._watching = self._tasks.create_task(self._watch(calls), name="subscribers")

    async def close(self) -> None:
        """Tell what has happened until now, as far as it is taken soon; then nothing more."""
        running = [task for _, task in self._posting.values()]
        running += [self._watching] if self._watching else []
        for task in running:
            task.cancel()
        self._look()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_WITHIN_S):
                await asyncio.gather(
                    *(subscriber.flush(self._session) for subscriber, _ in self._posting.values())
                )

    async def _watch(self, calls: Calls) -> None:
        version = -1
        while True:
            version = await calls.changed(version)
            self._look()
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        """See what is new since the last look; the first one finds nothing new."""
        if self._calls is None or not self._posting:
            return
        now = {call.id: call for call in self._calls.snapshots()}
        before, self._seen = now if self._seen is None else self._seen, now
        for happening in happenings(before, now):
            for subscriber, _ in self._posting.values():
                subscriber.tell(happening)


@asynccontextmanager
async def opened_desk(user_agent: str) -> AsyncIterator[Desk]:
    """A desk while the block runs. What happened in the block is told at its end."""
    async with (
        aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": user_agent},
            auto_decompress=False,
        ) as session,
        asyncio.TaskGroup() as tasks,
    ):
        desk = Desk(session, tasks)
        try:
            yield desk
        finally:
            await desk.close()
