# SPDX-License-Identifier: GPL-3.0-or-later
"""A page that is open sees changes as they happen, until its link expires."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientResponse, web

from dialin.registry import CallState, WaitingFor
from dialin.web.live import LONGEST_PAUSE_S, PACE_S, Listeners, LivePages, event
from dialin.web.room_page import PARTS, RoomPages
from dialin.web.room_view import Condition, RoomFacts
from tests.web.conftest import Client, Visit
from tests.web.site import CALL, EXPIRES, GUEST, HOST, HTML, PIN, Calls, Rooms, World

WAITING = replace(CALL, state=CallState.WAITING, waiting_for=WaitingFor.ROOM)
PATIENCE_S = 10.0


class Stream:
    """Reads events as browsers do."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response

    async def next(self) -> tuple[str, str]:
        """The next event: its name and its data."""
        name, data = "message", []
        async with asyncio.timeout(PATIENCE_S):
            while line := (await self._response.content.readline()).decode():
                kind, _, value = line.rstrip("\n").partition(": ")
                if kind == "event":
                    name = value
                elif kind == "data":
                    data.append(value)
                elif not line.strip() and (data or name != "message"):
                    return name, "\n".join(data)
        return "", ""

    async def named(self, name: str) -> str:
        """The data of the next event of this name."""
        while True:
            found, data = await self.next()
            assert found, f"the stream ended before {name}"
            if found == name:
                return data


@asynccontextmanager
async def streaming(client: Client, path: str) -> AsyncIterator[Stream]:
    async with client.get(path) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        yield Stream(response)


async def test_a_page_that_is_late_gets_every_part_once(visit: Visit) -> None:
    client = await visit(World(calls=Calls([CALL])).app())
    async with streaming(client, HOST.path("events")) as stream:
        parts = [(await stream.next())[0] for _ in PARTS]

    assert parts == list(PARTS)


async def test_a_page_that_is_up_to_date_gets_what_changes_only(visit: Visit) -> None:
    world = World(calls=Calls([WAITING]))
    client = await visit(world.app())
    html = await (await client.get(HOST.path(), headers=HTML)).text()
    address = unescape(re.findall(r'data-events="([^"]+)"', html)[0])
    async with streaming(client, address) as stream:
        world.calls.become(CALL)
        assert (await stream.next())[0] == "count"
        name, html = await stream.next()

    assert name == "callers"
    assert "can be heard" in html
    assert "seen" in parse_qs(urlsplit(address).query)


async def test_a_caller_is_seen_waiting_and_then_in_the_room(visit: Visit) -> None:
    world = World()
    client = await visit(world.app())
    async with streaming(client, HOST.path("events")) as stream:
        assert "Nobody has called" in await stream.named("callers")
        world.calls.become(WAITING)
        assert "waits for the meeting to begin" in await stream.named("callers")
        world.calls.become(CALL)
        assert "In the meeting" in await stream.named("callers")
        world.calls.become()
        assert "Nobody has called" in await stream.named("callers")


async def test_a_guest_is_told_counts_and_nobody(visit: Visit) -> None:
    world = World(calls=Calls([CALL]))
    client = await visit(world.app())
    async with streaming(client, GUEST.path("events")) as stream:
        assert (await stream.named("count")).strip() == "1 in the meeting, 0 waiting"
        assert "xxx-xxx-1234" not in await stream.named("callers")


async def test_a_pin_shows_as_soon_as_there_is_one(visit: Visit) -> None:
    rooms = Rooms({})
    client = await visit(World(rooms=rooms).app())
    async with streaming(client, GUEST.path("events")) as stream:
        assert "no PIN at the moment" in await stream.named("join")
        rooms.known = {"demo": RoomFacts("demo", "Round", PIN, running=True)}
        assert "The meeting is running." in await stream.named("service")
        assert "987" in await stream.named("join")
        assert PIN in await stream.named("invite")


async def test_a_disturbance_is_told(visit: Visit) -> None:
    world = World()
    client = await visit(world.app())
    async with streaming(client, GUEST.path("events", lang="de")) as stream:
        await stream.named("invite")
        world.condition = Condition(is_ill=True)
        assert "gestört" in await stream.named("service")


async def test_a_stream_ends_with_its_link(visit: Visit) -> None:
    world = World()
    client = await visit(world.app())
    async with streaming(client, GUEST.path("events")) as stream:
        await stream.named("invite")
        world.now = EXPIRES
        assert await stream.next() == ("end", "")
        assert await stream.next() == ("", "")
    assert len(world.listeners) == 0


async def test_only_so_many_listen_to_a_room_and_in_all(visit: Visit) -> None:
    world = World(listeners=Listeners(most=2, most_of_a_room=1))
    client = await visit(world.app())
    other = GUEST.path("events")
    async with streaming(client, other) as stream:
        await stream.next()
        full = await client.get(HOST.path("events"))
        assert full.status == 503
        assert full.headers["Retry-After"] == "60"


async def test_only_who_reads_gets_a_stream(visit: Visit) -> None:
    client = await visit(World().app())
    response = await client.head(GUEST.path("events"))

    assert (response.status, response.headers["Allow"]) == (405, "GET")


def test_places_are_counted_by_room_and_given_back() -> None:
    listeners = Listeners(most=2, most_of_a_room=1)
    with listeners.one_more("a"):
        with pytest.raises(web.HTTPServiceUnavailable), listeners.one_more("a"):
            pass
        with listeners.one_more("b"):
            assert len(listeners) == 2
            with pytest.raises(web.HTTPServiceUnavailable), listeners.one_more("c"):
                pass
    assert len(listeners) == 0
    with listeners.one_more("a"):
        pass


def test_all_streams_together_leave_most_of_the_time_to_calls() -> None:
    listeners = Listeners()
    with ExitStack() as stack:
        stack.enter_context(listeners.one_more("0"))
        assert listeners.pause_s(0.001) == PACE_S
        assert listeners.pause_s(0.03) == pytest.approx(0.3)
        for room in range(1, 50):
            stack.enter_context(listeners.one_more(str(room)))
        assert listeners.pause_s(0.01) == pytest.approx(5.0)
        assert listeners.pause_s(1.0) == LONGEST_PAUSE_S


async def test_a_reader_who_goes_leaves_a_place(visit: Visit) -> None:
    world = World()
    client = await visit(world.app())
    async with streaming(client, HOST.path("events")) as stream:
        await stream.next()
        assert len(world.listeners) == 1
    world.calls.become(CALL)
    async with asyncio.timeout(PATIENCE_S):
        while len(world.listeners):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_a_service_that_stops_ends_its_streams(visit: Visit) -> None:
    world = World()
    client = await visit(world.app())
    async with streaming(client, HOST.path("events")) as stream:
        await stream.named("invite")
        await world.listeners.close(client.app)
        assert await stream.next() == ("", "")
    assert (await client.get(HOST.path("events"))).status == 503


async def test_a_silent_stream_beats_so_that_no_proxy_closes_it(visit: Visit) -> None:
    world = World()
    app = world.app()
    made: list[RoomPages] = []

    async def events(request: web.Request) -> web.StreamResponse:
        return await LivePages(made[0], world.listeners, heartbeat_s=0.0).events(request)

    for route in app.router.routes():
        owner = getattr(route.handler, "__self__", None)
        if isinstance(owner, RoomPages):
            made.append(owner)
    app.router.add_get("/beats/{meeting_id}", events)
    client = await visit(app)
    async with client.get(GUEST.path().replace("/rooms/", "/beats/")) as response:
        lines = []
        async with asyncio.timeout(PATIENCE_S):
            while ":\n" not in lines:
                lines.append((await response.content.readline()).decode())


def test_an_event_bears_any_text() -> None:
    assert event("part", "<p>\nx</p>") == "event: part\ndata: <p>\ndata: x</p>\n\n"
    assert event("end", "") == "event: end\ndata: \n\n"
