# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the service runs: asked over HTTP, and believed only if it is the one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from dialin.check.running import (
    Running,
    base_address,
    look_for_service,
    offers_suit,
    service_is_ready,
)
from dialin.check.steps import Result
from tests.fakes.sip_peers import TcpServer


@asynccontextmanager
async def pages(health: Any, readiness: Any, metrics: str = "") -> AsyncIterator[int]:
    """A web server with the three pages; its port."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response(health)

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response(readiness, status=503)

    async def figures(_: web.Request) -> web.Response:
        return web.Response(text=metrics, status=200 if metrics else 404)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", figures)
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


REFUSED = """\
# TYPE dialin_calls_total counter
dialin_calls_total{trunk="lab",result="trunk",reason="no-common-encryption"} 2.0
dialin_calls_total{trunk="lab",result="trunk",reason="no-common-codec"} 1.0
dialin_calls_total{trunk="other",result="trunk",reason="no-common-codec"} 0.0
"""


async def test_what_calls_were_refused_for_is_told_for_each_trunk() -> None:
    async with pages({"status": "ok"}, {}, REFUSED) as port:
        running = await look_for_service("127.0.0.1", port)
    encryption, codec = offers_suit(running, "lab")
    assert encryption.result is codec.result is Result.WARN
    assert "2 calls have been refused with 488 because of how their audio" in encryption.cause
    assert "Let the provider send SRTP" in encryption.remedy
    assert "1 call has been refused" in codec.cause
    assert list(offers_suit(running, "other")) == []


@pytest.mark.parametrize("metrics", ["", "no{figures", REFUSED.replace("trunk=", "line=")])
async def test_figures_that_cannot_be_had_are_no_fault(metrics: str) -> None:
    async with pages({"status": "ok"}, {}, metrics) as port:
        running = await look_for_service("127.0.0.1", port)
    assert running.is_up
    assert list(offers_suit(running, "lab")) == []
