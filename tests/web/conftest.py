# SPDX-License-Identifier: GPL-3.0-or-later
"""A client for pages that are served on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

Client = TestClient[web.Request, web.Application]
Visit = Callable[[web.Application], Awaitable[Client]]


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    """Serve an application and give a client for it."""
    async with AsyncExitStack() as stack:

        async def start(app: web.Application) -> Client:
            return await stack.enter_async_context(TestClient(TestServer(app)))

        yield start
