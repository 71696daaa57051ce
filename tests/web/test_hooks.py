# SPDX-License-Identifier: GPL-3.0-or-later
"""What BBB servers post: believed from the right place with the right checksum, and only once."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request

from dialin.web import hooks
from dialin.web.app import LARGEST_BODY_BYTES
from dialin.web.hooks import HookReceiver, HookServer, addresses_of, callback_url
from dialin.web.problem import errors_as_problems
from dialin.web.source import Address
from dialin.wire.bbbhooks import MAX_HOOK_BYTES, HookEvent, HookKind, hook_checksum
from tests.web.conftest import Visit

SECRET = "hush" + "-canary-4711"
URL = callback_url("https://dialin.example.org/", "main")
HERE: frozenset[Address] = frozenset({ip_address("127.0.0.1")})


class Tally(Counter[tuple[str, str]]):
    """Counts posts."""

    def hook_came(self, server: str, result: str) -> None:
        self[server, result] += 1


class World:
    """A receiver and what it has told."""

    def __init__(self, *, sources: tuple[str, ...] = (), proxies: tuple[str, ...] = ()) -> None:
        self.learnt: list[HookEvent] = []
        self.tally = Tally()
        self.addresses = [HERE]
        self.resolved: list[str] = []
        networks = tuple(map(ip_network, sources))
        self.receiver = HookReceiver(
            {"main": HookServer("bbb.example.org", URL, SECRET, networks)},
            learn=self.learnt.append,
            tally=self.tally,
            proxies=tuple(map(ip_network, proxies)),
            resolve=self.resolve,
        )

    async def resolve(self, host: str) -> frozenset[Address]:
        self.resolved.append(host)
        await asyncio.sleep(0)
        return self.addresses.pop(0) if self.addresses else frozenset()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[errors_as_problems], client_max_size=LARGEST_BODY_BYTES)
        self.receiver.add_to(app)
        return app


def body(kind: str = "meeting-ended", at: int = 1) -> bytes:
    event = {"data": {"id": kind, "attributes": {}, "event": {"ts": at}}}
    return urlencode({"domain": "x", "event": json.dumps([event]), "timestamp": at}).encode()


FORM = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}


def at(posted: bytes, *, secret: str = SECRET, server: str = "main") -> str:
    return f"/hooks/bbb/{server}?checksum={hook_checksum(URL, posted, secret, 'sha1')}"


async def post(client: TestClient[web.Request, web.Application], posted: bytes, **how: str) -> int:
    async with client.post(at(posted), data=posted, headers=FORM | how) as answer:
        return answer.status


async def test_what_a_server_tells_is_learnt(visit: Visit) -> None:
    world = World()
    client = await visit(world.app())
    async with client.post(at(body()), data=body(), headers=FORM) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    (event,) = world.learnt
    assert (event.server, event.kind) == ("main", HookKind.MEETING_ENDED)
    assert world.tally == {("main", "taken"): 1}


async def test_the_same_post_again_changes_nothing(visit: Visit) -> None:
    world = World()
    client = await visit(world.app())
    assert [await post(client, body()) for _ in range(3)] == [204] * 3
    assert await post(client, body(at=2)) == 204
    assert len(world.learnt) == 2
    assert world.tally == {("main", "taken"): 2, ("main", "repeated"): 2}


async def test_only_so_many_posts_are_remembered(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "REPEATS_KNOWN", 3)
    world = World()
    client = await visit(world.app())
    for time in (1, 2, 3, 4, 2):
        await post(client, body(at=time))
    assert len(world.learnt) == 4
    assert len(world.receiver._seen) == 3


@pytest.mark.parametrize("authorization", ["Bearer " + SECRET, "bearer  " + SECRET])
async def test_a_server_that_sends_its_secret_is_believed(visit: Visit, authorization: str) -> None:
    world = World()
    client = await visit(world.app())
    async with client.post(
        "/hooks/bbb/main", data=body(), headers=FORM | {"Authorization": authorization}
    ) as answer:
        assert answer.status == 204
    assert world.learnt


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (at(body(), secret="wrong"), {}),
        (at(body("user-left")), {}),
        ("/hooks/bbb/main", {}),
        ("/hooks/bbb/main?checksum=", {}),
        ("/hooks/bbb/main", {"Authorization": "Bearer wrong"}),
        (at(body()), {"Authorization": "Bearer wrong"}),
    ],
)
async def test_without_checksum_or_secret_nothing_is_learnt(
    visit: Visit, path: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    client = await visit(world.app())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            async with client.post(path, data=body(), headers=FORM | headers) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"]
    assert not world.learnt
    assert world.tally == {("main", "checksum"): 3}
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("BBB server main: a webhook does not bear the server's checksum. ")
    assert SECRET not in said


async def test_a_server_that_is_not_ours_is_not_found(visit: Visit) -> None:
    world = World()
    client = await visit(world.app())
    async with client.post(at(body(), server="other"), data=body()) as answer:
        assert answer.status == 404
    async with client.get("/hooks/bbb/main") as answer:
        assert answer.status == 405
    assert not world.tally


class TestSource:
    async def test_another_address_is_refused_unread(
        self, visit: Visit, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World(sources=("192.0.2.0/24",))
        client = await visit(world.app())
        with caplog.at_level(logging.WARNING):
            assert await post(client, body()) == 403
        assert "hook_sources" in caplog.text
        assert not world.learnt + world.resolved
        assert world.tally == {("main", "source"): 1}

    async def test_networks_may_be_named(self, visit: Visit) -> None:
        world = World(sources=("192.0.2.0/24", "127.0.0.0/8"))
        assert await post(await visit(world.app()), body()) == 204

    async def test_a_proxy_of_ours_tells_who_posts(self, visit: Visit) -> None:
        world = World(sources=("192.0.2.0/24",), proxies=("127.0.0.1/32",))
        client = await visit(world.app())
        told = {"X-Forwarded-For": "198.51.100.1, 192.0.2.7"}
        assert await post(client, body(), **told) == 204
        told = {"X-Forwarded-For": "192.0.2.7, 198.51.100.1"}
        assert await post(client, body(at=2), **told) == 403

    async def test_nobody_else_tells_who_posts(self, visit: Visit) -> None:
        world = World(sources=("192.0.2.0/24",))
        client = await visit(world.app())
        assert await post(client, body(), **{"X-Forwarded-For": "192.0.2.7"}) == 403

    async def test_the_name_of_the_server_is_looked_up_once_for_many(self, visit: Visit) -> None:
        world = World()
        client = await visit(world.app())
        posts = (post(client, body(at=time)) for time in range(5))
        assert await asyncio.gather(*posts) == [204] * 5
        assert world.resolved == ["bbb.example.org"]

    async def test_a_name_that_fails_later_keeps_its_addresses(
        self, visit: Visit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hooks, "RESOLVED_FOR_S", 0.0)
        world = World()
        client = await visit(world.app())
        assert [await post(client, body(at=time)) for time in (1, 2)] == [204, 204]
        assert len(world.resolved) == 2

    async def test_a_name_that_never_resolved_is_nobody(self, visit: Visit) -> None:
        world = World()
        world.addresses = []
        assert await post(await visit(world.app()), body()) == 403

    async def test_who_has_no_address_is_nobody(self) -> None:
        request = make_mocked_request("POST", "/hooks/bbb/main").clone(remote="unix:")
        assert not await World().receiver._is_from(request, HookServer("h", URL, SECRET))


class TestBodies:
    async def test_a_post_may_be_larger_than_other_requests(self, visit: Visit) -> None:
        world = World()
        client = await visit(world.app())
        large = body() + b"&more=" + b"x" * 2 * LARGEST_BODY_BYTES
        assert await post(client, large) == 204
        assert world.learnt

    async def test_one_that_is_too_large_is_never_to_come_again(self, visit: Visit) -> None:
        world = World()
        client = await visit(world.app())
        large = io.BytesIO(b"x" * (MAX_HOOK_BYTES + 1))
        async with client.post("/hooks/bbb/main", data=large, headers=FORM) as answer:
            assert answer.status == 401
        assert world.tally == {("main", "too-large"): 1}

    async def test_nor_is_one_that_cannot_be_read(self, visit: Visit) -> None:
        world = World()
        client = await visit(world.app())
        assert await post(client, b"event=nonsense") == 401
        assert world.tally == {("main", "malformed"): 1}

    async def test_one_that_never_ends_is_given_up(
        self, visit: Visit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hooks, "BODY_WITHIN_S", 0.05)
        world = World()
        client = await visit(world.app())
        hanging = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"event="
            await hanging.wait()

        async with client.post("/hooks/bbb/main?checksum=x", data=endless()) as answer:
            assert answer.status == 408
        hanging.set()


class TestAddresses:
    async def test_a_literal_is_itself(self) -> None:
        assert await addresses_of("127.0.0.1") == HERE
        assert await addresses_of("::ffff:127.0.0.1") == HERE

    async def test_a_name_has_all_of_its_addresses(self) -> None:
        assert all(address.is_loopback for address in await addresses_of("localhost"))
        assert await addresses_of("localhost")

    async def test_a_name_that_does_not_resolve_has_none(self) -> None:
        assert not await addresses_of("bbb.invalid")


async def test_nothing_that_is_posted_reaches_a_log(
    visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    client = await visit(world.app())
    user = {"internal-user-id": "w_canary", "name": "Canary", "ip-address": "192.0.2.99"}
    event = {"data": {"id": "user-joined", "attributes": {"user": user}, "event": {"ts": 1}}}
    posted = urlencode({"event": json.dumps([event])}).encode()
    with caplog.at_level(logging.DEBUG):
        assert await post(client, posted) == 204
        assert await post(client, posted[:-4]) == 401
        assert await post(client, posted + b"x", Authorization="Bearer canary") == 401
    (heard,) = world.learnt
    assert "canary" not in f"{caplog.text}{heard}{world.receiver._servers}".lower()
    assert "192.0.2.99" not in caplog.text
