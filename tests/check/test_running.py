# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the service runs: asked over HTTP, and believed only if it is the one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from dialin.check.running import Running, base_address, look_for_service, service_is_ready
from dialin.check.steps import Result
from tests.fakes.sip_peers import TcpServer


@asynccontextmanager
async def pages(health: Any, readiness: Any) -> AsyncIterator[int]:
    """A web server with the two pages; its port."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response(health)

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response(readiness, status=503)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("fd00::7", "http://[fd00::7]:8080"),
        ("console.internal", "http://console.internal:8080"),
    ],
)
def test_the_service_is_asked_where_this_machine_reaches_it(host: str, address: str) -> None:
    assert base_address(host, 8080) == address


async def test_nobody_answers() -> None:
    async with TcpServer() as server:
        port = server.port
    running = await look_for_service("127.0.0.1", port)
    assert running == Running(is_up=False, readiness={})
    finding = service_is_ready(running)
    assert (finding.result, "does not run" in finding.cause) == (Result.OK, True)


@pytest.mark.parametrize("health", ["hello", {"status": "down"}, []])
async def test_another_web_server_on_the_port_is_not_taken_for_the_service(health: Any) -> None:
    async with pages(health, {}) as port:
        assert not (await look_for_service("127.0.0.1", port)).is_up


def told(*, ready: bool, accepting: bool = True, **parts: str | None) -> dict[str, Any]:
    """What /readyz says."""
    dependencies = [
        {"name": name, "ok": not cause, "cause": cause} for name, cause in parts.items()
    ]
    return {"ready": ready, "accepting": accepting, "dependencies": dependencies}


@pytest.mark.parametrize(
    ("readiness", "result", "words"),
    [
        (told(ready=True, bbb=None), Result.OK, "runs and takes calls"),
        (told(ready=True, bbb="timeout"), Result.WARN, "bbb (timeout)"),
        (told(ready=False, bbb="timeout"), Result.FAIL, "bbb (timeout)"),
        (told(ready=False, accepting=False), Result.WARN, "takes no new calls"),
        ({}, Result.WARN, "takes no new calls"),
        ({"accepting": True, "ready": True, "dependencies": [7]}, Result.OK, "takes calls"),
    ],
)
async def test_the_service_is_taken_by_its_word(
    readiness: dict[str, Any], result: Result, words: str
) -> None:
    async with pages({"status": "ok"}, readiness) as port:
        finding = service_is_ready(await look_for_service("127.0.0.1", port))
    assert finding.result is result
    assert words in finding.cause
