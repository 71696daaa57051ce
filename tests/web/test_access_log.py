# SPDX-License-Identifier: GPL-3.0-or-later
"""The access log tells what operators need and nothing about who asked."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import ClientSession, web

from dialin.log import extras
from dialin.web import serve
from dialin.web.access_log import shortened
from tests.web import AUTHORISED, TOKEN, app_with

LOGGED_WITHIN_S = 10.0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("::1", "::"),
        ("fe80::1%eth0", "fe80::"),
        (None, "-"),
        ("", "-"),
        ("a socket's path", "-"),
    ],
)
def test_an_address_is_shortened(address: str | None, network: str) -> None:
    assert shortened(address) == network


async def requested(
    caplog: pytest.LogCaptureFixture, method: str, path: str, **headers: str
) -> dict[str, object]:
    """What one request left in the access log of a served application."""
    caplog.set_level(logging.INFO, "dialin.web.access")
    app = app_with()
    app.router.add_get("/rooms/{meeting_id}", answer)
    async with serve(app, "127.0.0.1", 0) as ((host, port),), ClientSession() as session:
        response = await session.request(method, f"http://{host}:{port}{path}", headers=headers)
        await response.read()
        # The line is written after the last octet, which the client may read before.
        async with asyncio.timeout(LOGGED_WITHIN_S):
            while not lines(caplog):  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.01)
    (record,) = lines(caplog)
    assert record.getMessage() == "request"
    return dict(extras(record))


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "dialin.web.access"]


async def answer(request: web.Request) -> web.Response:
    return web.Response()


async def test_a_request_is_one_line_with_route_status_and_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = await requested(caplog, "GET", "/api/v1/calls?secret=1", **AUTHORISED)
    seconds = line.pop("seconds")

    assert line == {
        "source": "127.0.0.0",
        "method": "GET",
        "route": "/api/v1/calls",
        "status": 200,
    }
    assert isinstance(seconds, float)


async def test_an_id_in_the_path_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    line = await requested(caplog, "GET", "/rooms/canary")

    assert line["route"] == "/rooms/{meeting_id}"


async def test_nothing_that_a_client_wrote_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    line = await requested(
        caplog, "CANARY", "/canary?canary", Authorization=f"Bearer {TOKEN}", Referer="canary"
    )

    assert line["route"] == "-"
    assert line["method"] == "-"
    assert "canary" not in str(line).lower()
    assert TOKEN not in caplog.text


async def test_nothing_is_made_for_a_log_that_nobody_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "dialin.web.access")
    async with (
        serve(app_with(), "127.0.0.1", 0) as ((host, port),),
        ClientSession() as session,
        session.get(f"http://{host}:{port}/healthz") as response,
    ):
        assert response.status == 200

    assert not caplog.records


async def test_what_is_no_http_is_refused_and_its_text_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(app_with(), "127.0.0.1", 0) as ((host, port),):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.1\r\nX-Canary: +4915738620594\x00\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert "4915738620594" not in caplog.text
