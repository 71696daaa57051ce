# SPDX-License-Identifier: GPL-3.0-or-later
"""What subscribers stand on, and somebody on loopback who takes posts, well or badly."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web

from dialin.registry import CallSnapshot
from dialin.subscribers import Subscriber
from dialin.subscribers.happenings import Happening
from dialin.web.api import PostedEvent
from tests.web import CALL

SECRET = "s3cret-of-a-subscriber-Xq7Lw2Vb"
WITHIN_S = 20.0
SLOW_S = 0.5


class Fault(StrEnum):
    """How a post is answered badly."""

    ERROR = "500"
    REFUSAL = "403"
    REDIRECT = "307"
    HANG = "hang"
    RESET = "reset"
    SLOW = "slow"
    """Taken, after a while."""
    ENDLESS = "endless"
    """Taken, with an answer that never ends."""


@dataclass
class Taker:
    """Takes posts."""

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    """How the next posts are answered; well if there is nothing."""
    bodies: list[bytes] = field(default_factory=list)
    """What was taken."""
    signatures: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    asked: int = 0
    """How many posts came."""
    followed: int = 0
    """How many came to where redirects lead."""

    @property
    def told(self) -> list[dict[str, Any]]:
        """What was taken, read."""
        return [json.loads(body) for body in self.bodies]

    async def got(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many were taken; gives all."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.bodies) < count:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        return self.told

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer a post."""
        body = await request.read()
        self.asked += 1
        fault = self.faults.pop(0) if self.faults else None
        match fault:
            case Fault.ERROR | Fault.REFUSAL:
                return web.Response(status=int(fault), text="no " * 2000)
            case Fault.REDIRECT:
                return web.Response(status=307, headers={"Location": "/elsewhere"})
            case Fault.SLOW:
                await asyncio.sleep(SLOW_S)
            case Fault.HANG:
                await asyncio.sleep(WITHIN_S)
            case Fault.RESET if request.transport:
                request.transport.abort()
                return web.Response()
        self.bodies.append(body)
        self.signatures.append(request.headers["Dialin-Signature"])
        self.headers.append(dict(request.headers))
        if fault is Fault.ENDLESS:
            answer = web.StreamResponse()
            await answer.prepare(request)
            try:
                while True:
                    await answer.write(b"more " * 400)
                    await asyncio.sleep(0.01)
            except ConnectionError:
                return answer
        return web.Response(status=204)

    async def elsewhere(self, request: web.Request) -> web.Response:
        """Where redirects lead."""
        self.followed += 1
        return web.Response()


@asynccontextmanager
async def open_taker(port: int = 0) -> AsyncIterator[Taker]:
    """Somebody who takes posts while the block runs."""
    taker = Taker()
    app = web.Application()
    app.router.add_post("/posts", taker.take)
    app.router.add_post("/elsewhere", taker.elsewhere)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        taker.url = f"http://127.0.0.1:{runner.addresses[0][1]}/posts"
        yield taker
    finally:
        await runner.cleanup()


@dataclass
class Posts:
    """Counts posts."""

    results: Counter[str] = field(default_factory=Counter)

    def subscriber_posted(self, subscriber: str, result: str) -> None:
        """Count one."""
        self.results[result] += 1


def subscriber_at(url: str, tally: Posts | None = None, **details: Any) -> Subscriber:
    """A subscriber who wants everything."""
    values = {"events": frozenset(PostedEvent), "secret": SECRET, **details}
    return Subscriber("lms", url=url, tally=tally or Posts(), **values)


def joined(meeting_id: str = "demo", call: CallSnapshot = CALL) -> Happening:
    """A caller has joined."""
    return Happening(PostedEvent.JOINED, meeting_id, call)


def seconds_of(signature: str) -> int:
    """When a post was signed."""
    found = re.fullmatch(r"t=([0-9]+),v1=[0-9a-f]{64}", signature)
    assert found, signature
    return int(found[1])
