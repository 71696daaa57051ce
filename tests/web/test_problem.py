# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors are problem documents, and no response goes out without its security headers."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from dialin.web.problem import CONTENT_TYPE, SECURITY_HEADERS
from tests.web import AUTHORISED, TOKEN, app_with
from tests.web.conftest import Visit


async def fail(request: web.Request) -> web.Response:
    raise RuntimeError("+4915738620594 called")


async def redirect(request: web.Request) -> web.Response:
    raise web.HTTPFound("/healthz")


async def late(request: web.Request) -> web.Response:
    raise web.HTTPServiceUnavailable(headers={"Retry-After": "5", "X-Inside": "secret"})


def app() -> web.Application:
    made = app_with()
    made.router.add_get("/fails", fail)
    made.router.add_get("/redirects", redirect)
    made.router.add_get("/late", late)
    return made


REQUESTS = [
    ("GET", "/healthz", {}, 200),
    ("HEAD", "/healthz", {}, 200),
    ("GET", "/metrics", {}, 200),
    ("GET", "/redirects", {}, 302),
    ("GET", "/api/v1/calls", AUTHORISED, 200),
    ("GET", "/api/v1/calls", {}, 401),
    ("GET", "/nowhere", {}, 404),
    ("POST", "/healthz", {}, 405),
    ("GET", "/fails", {}, 500),
    ("GET", "/late", {}, 503),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), REQUESTS)
async def test_every_status_carries_the_security_headers(
    visit: Visit, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    client = await visit(app())
    response = await client.request(method, path, headers=headers, allow_redirects=False)

    assert response.status == status
    assert {name: response.headers.get(name) for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"), [row for row in REQUESTS if row[3] >= 400]
)
async def test_every_error_is_a_problem_document(
    visit: Visit, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    client = await visit(app())
    response = await client.request(method, path, headers=headers)
    document = await response.json(content_type=None)

    assert response.content_type == CONTENT_TYPE
    assert document["status"] == status
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["detail"]


async def test_what_failed_inside_is_logged_and_not_told(
    visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    client = await visit(app())
    text = await (await client.get("/fails")).text()

    assert "RuntimeError" not in text
    assert "4915738620594" not in text
    assert "a web request failed" in caplog.text


async def test_an_error_keeps_what_the_client_must_know(visit: Visit) -> None:
    client = await visit(app())

    assert (await client.post("/healthz")).headers["Allow"] == "GET,HEAD"
    assert (await client.get("/api/v1/calls")).headers["WWW-Authenticate"] == "Bearer"
    late_answer = await client.get("/late")
    assert late_answer.headers["Retry-After"] == "5"
    assert "X-Inside" not in late_answer.headers


async def test_no_error_repeats_what_was_sent(visit: Visit) -> None:
    client = await visit(app())
    for path in (f"/{TOKEN}", f"/api/{TOKEN}", f"/nowhere?x={TOKEN}"):
        response = await client.get(path, headers={"Authorization": f"Basic {TOKEN}"})
        assert TOKEN not in await response.text()


async def test_a_body_that_is_too_large_is_refused(visit: Visit) -> None:
    made = app_with()

    async def read(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    made.router.add_post("/reads", read)
    client = await visit(made)

    assert (await client.post("/reads", data=b"x" * 1000)).status == 200
    assert (await client.post("/reads", data=b"x" * 70_000)).status == 413


async def test_a_client_that_goes_away_is_no_failure(
    visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    made, begun, gone = app_with(), asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return web.Response()

    made.router.add_get("/waits", wait)
    client = await visit(made)
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(client.get("/waits"))
        await begun.wait()
        request.cancel()
    await client.close()
    async with asyncio.timeout(5):
        await gone.wait()

    assert "failed" not in caplog.text
