# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who takes the posts of bbb-webhooks, keeps them, and may refuse them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from aiohttp import web

WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Post:
    """What was posted."""

    checksum: str
    """Of the query."""
    body: bytes
    """As it came."""
    fields: dict[str, str]
    """The form."""

    @property
    def event(self) -> dict[str, Any]:
        """The one event in it."""
        (event,) = json.loads(self.fields["event"])
        found: dict[str, Any] = event
        return found

    @property
    def id(self) -> str:
        """The name of the event."""
        return str(self.event["data"]["id"])


class HookCatcher:
    """A small HTTP server, as an asynchronous context manager."""

    def __init__(self) -> None:
        self.url = ""
        """Where it wants the posts."""
        self.posts: list[Post] = []
        """What it took."""
        self.answers: list[int] = []
        """What the next posts are answered with; 200 if there is nothing."""
        app = web.Application()
        app.router.add_post("/hooks", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/hooks?of=bbb"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        status = self.answers.pop(0) if self.answers else 200
        if status < 300:
            fields = dict(parse_qsl(body.decode(), strict_parsing=True))
            self.posts.append(Post(request.query["checksum"], body, fields))
        self._changed.set()
        return web.Response(status=status)

    async def got(self, count: int) -> list[Post]:
        """Wait until so many came; gives all."""
        async with asyncio.timeout(WAIT_S):
            while len(self.posts) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.posts
