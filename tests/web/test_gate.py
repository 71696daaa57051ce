# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is let in: whoever has a link, and others not, and not often."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import aiohttp
import pytest
from aiohttp.test_utils import TestServer, make_mocked_request

from dialin.links import LinkKey, Right
from dialin.web.gate import FAILURES_A_MINUTE, source_of
from tests.web.conftest import Visit
from tests.web.site import EXPIRES, GUEST, HOST, HTML, KEY, NOW, PIN, World, link

ALTERED = replace(GUEST, signature="0" * 64)
BELOW = ("", "invite.txt", "invite.ics", "qr.svg", "sheet", "events")
WRONG = {
    "expired": link(expires=int(NOW)).path(),
    "altered": ALTERED.path(),
    "of another secret": LinkKey("another").link("demo", Right.GUEST, EXPIRES).path(),
    "of another room": GUEST.path().replace("/demo?", "/known?"),
    "raised to a host's": GUEST.path().replace("right=guest", "right=host"),
    "without anything": "/rooms/demo",
    "of no room at all": "/rooms/nowhere",
    "a path below nothing": replace(ALTERED, meeting_id="nowhere").path("sheet"),
}


@pytest.mark.parametrize("page", BELOW)
async def test_a_link_opens_its_room(visit: Visit, page: str) -> None:
    client = await visit(World().app())
    response = await client.get(GUEST.path(page))

    assert response.status == 200
    if page not in ("events", "qr.svg", "invite.ics"):
        assert PIN in (await response.text()).replace("</span><span>", "")


@pytest.mark.parametrize("path", WRONG.values(), ids=WRONG)
async def test_whatever_is_wrong_the_answer_is_one_and_the_same(visit: Visit, path: str) -> None:
    client = await visit(World().app())
    expected = await client.get("/rooms/x", headers=HTML)
    response = await client.get(path, headers=HTML)

    assert response.status == expected.status == 404
    assert await response.text() == await expected.text()
    ours, theirs = dict(response.headers), dict(expected.headers)
    assert {**ours, "Date": ""} == {**theirs, "Date": ""}


@pytest.mark.parametrize("page", BELOW)
async def test_no_page_below_is_open_without_a_link(visit: Visit, page: str) -> None:
    client = await visit(World().app())
    response = await client.get(ALTERED.path(page))

    assert response.status == 404
    assert PIN not in await response.text()


def test_who_comes_by_a_socket_without_addresses_is_nobody_in_particular() -> None:
    assert source_of(make_mocked_request("GET", "/"), ()) == ""


async def test_a_link_ends_when_it_expires(visit: Visit) -> None:
    world = World(now=EXPIRES - 1)
    client = await visit(world.app())

    assert (await client.get(GUEST.path())).status == 200
    world.now = EXPIRES
    assert (await client.get(GUEST.path())).status == 404


async def test_after_ten_failures_an_address_has_to_wait_and_right_links_go_on(
    visit: Visit,
) -> None:
    client = await visit(World().app())
    statuses = [(await client.get(ALTERED.path())).status for _ in range(FAILURES_A_MINUTE + 1)]
    refused = await client.get(ALTERED.path(), headers=HTML)

    assert statuses == [404] * FAILURES_A_MINUTE + [429]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert "Too many attempts" in await refused.text()
    assert (await client.get(HOST.path())).status == 200


async def test_addresses_do_not_share_their_failures() -> None:
    async with TestServer(World().app()) as server:
        for source in ("127.0.9.1", "127.0.9.2"):
            async with from_address(source) as session:
                for _ in range(FAILURES_A_MINUTE):
                    async with session.get(server.make_url(ALTERED.path())) as response:
                        assert response.status == 404


async def test_behind_our_proxy_the_address_is_whom_it_speaks_for(visit: Visit) -> None:
    client = await visit(World(proxies=("127.0.0.0/8",)).app())

    async def status(forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        return (await client.get(ALTERED.path(), headers=headers)).status

    for place in range(FAILURES_A_MINUTE):
        # What the client wrote itself stands first, and changes nothing.
        assert await status(f"10.0.0.{place}, 192.0.2.1") == 404
    assert await status("192.0.2.1") == 429
    assert await status("192.0.2.2") == 404
    for place in range(FAILURES_A_MINUTE):
        assert await status(f"2001:db8:1:1::{place}") == 404
    assert await status("2001:db8:1:1:ffff::") == 429
    assert await status("2001:db8:1:2::") == 404
    assert await status("not an address") == 404


async def test_a_stranger_is_not_believed(visit: Visit) -> None:
    client = await visit(World(proxies=("192.0.2.0/24",)).app())
    statuses = [
        (await client.get(ALTERED.path(), headers={"X-Forwarded-For": f"192.0.2.{place}"})).status
        for place in range(FAILURES_A_MINUTE + 1)
    ]

    assert statuses[-1] == 429


def from_address(host: str) -> aiohttp.ClientSession:
    """A client with an address of its own."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(host, 0)))


async def timed(path: str, times: int, block: int) -> list[float]:
    """Seconds that refusals take, ten from each address."""
    world, took = World(), []
    async with TestServer(world.app()) as server:
        url = server.make_url(path)
        for place in range(times // FAILURES_A_MINUTE):
            source = f"127.{block}.{place // 250}.{place % 250 + 1}"
            async with from_address(source) as session:
                for _ in range(FAILURES_A_MINUTE):
                    began = time.perf_counter()
                    async with session.get(url, headers=HTML) as response:
                        await response.read()
                    took.append(time.perf_counter() - began)
                    assert response.status == 404
    return took


@pytest.mark.e2e
async def test_how_long_a_refusal_takes_tells_nothing() -> None:
    world_of_paths = list(WRONG.values())
    medians = {}
    for place, path in enumerate(world_of_paths):
        medians[path] = median(await timed(path, 1000, 20 + place))

    print({name: round(seconds * 1000, 3) for name, seconds in medians.items()})  # noqa: T201
    assert max(medians.values()) - min(medians.values()) <= 0.005


def test_the_key_of_the_tests_is_not_in_any_repr() -> None:
    assert "canary" not in repr(World(key=KEY))
