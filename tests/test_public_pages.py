# SPDX-License-Identifier: GPL-3.0-or-later
"""The public pages of the whole service, beside the operators' ones and apart from them."""

from __future__ import annotations

import socket
import time

import aiohttp
import pytest

from dialin.demo.rooms import DemoRoom
from dialin.errors import OperatorError
from dialin.links import LinkKey, Right
from tests.world import TOKEN, World, whole_service

SECRET = "link-canary-3Hq8Zt1Wn6Ys"
PIN = "123456789"
ROOMS = [DemoRoom("demo", "Weekly round", PIN, running=True)]
OPERATORS = ("/metrics", "/readyz", "/api/v1/calls")
HTML = {"Accept": "text/html", "Authorization": f"Bearer {TOKEN}"}


def link(meeting_id: str = "demo", right: Right = Right.GUEST) -> str:
    return LinkKey(SECRET).link(meeting_id, right, int(time.time()) + 3600).path()


async def asked(address: tuple[str, int], path: str) -> tuple[int, str]:
    """The status and the text of a page."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{address[0]}:{address[1]}{path}", headers=HTML) as response,
    ):
        return response.status, await response.text()


async def of(world: World) -> tuple[tuple[str, int], tuple[str, int]]:
    """Where operators' pages and public ones are."""
    await world.service.rooms.look_again()
    return world.service.web_addresses[0], world.service.public_addresses[0]


async def test_on_one_listener_everything_is_side_by_side() -> None:
    async with whole_service(rooms=ROOMS, web={"link_secret": SECRET}) as world:
        operators, public = await of(world)
        status, page = await asked(public, link())

        assert operators == public
        assert status == 200
        assert "Weekly round" in page
        assert PIN in page.replace("</span><span>", "")
        assert (await asked(public, "/"))[0] == 200
        for path in OPERATORS:
            assert (await asked(operators, path))[0] == 200


async def test_apart_each_listener_has_its_own_pages_only() -> None:
    web = {"link_secret": SECRET, "public_port": 0, "public_host": "127.0.0.1"}
    async with whole_service(rooms=ROOMS, web=web) as world:
        operators, public = await of(world)

        assert operators != public
        assert (await asked(public, link()))[0] == 200
        assert (await asked(public, "/"))[0] == 200
        for path in OPERATORS:
            assert (await asked(operators, path))[0] == 200
            assert (await asked(public, path))[0] == 404
        for path in ("/", link()):
            assert (await asked(operators, path))[0] == 404


async def test_without_a_secret_there_are_no_room_pages() -> None:
    async with whole_service(rooms=ROOMS) as world:
        _operators, public = await of(world)

        assert (await asked(public, link()))[0] == 404
        assert (await asked(public, "/"))[0] == 200


async def test_a_public_port_that_is_taken_is_told_by_its_own_name() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = pytest.RaisesExc(OperatorError, match=r"web\.public_port")
        with pytest.RaisesGroup(told, flatten_subgroups=True):
            async with whole_service(web={"public_port": taken.getsockname()[1]}):
                pass
