# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators' console: who gets in, what is shown, and what a form may do."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from aiohttp import ClientResponse, CookieJar
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from dialin.events import LEFT_ROOM
from dialin.registry import Admit, CallState, Ended, HangUp, WaitingFor
from dialin.web.api import Scope, StateDesk, Token, Tokens
from dialin.web.api.state import ServerShown, TrunkShown
from dialin.web.console import COOKIE, Console
from dialin.web.console_sessions import IDLE_S, SESSIONS_KEPT, Sessions
from dialin.web.facts import PageFacts
from dialin.web.pages import Pages
from dialin.web.sparkline import HEIGHT, WIDTH, points
from tests.web import CALL, EVERYTHING, TOKEN, Calls, app_with
from tests.web.conftest import Client

HTML = {"Accept": "text/html"}
WAITER = replace(
    CALL,
    id="waiter",
    label="xxx-xxx-9999",
    state=CallState.WAITING,
    waiting_for=WaitingFor.HOST,
    room="<script>alert(1)</script>\u202e",
)


@dataclass
class LiveCalls(Calls):
    """Calls that tell of changes."""

    version: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def changed(self, since: int) -> int:
        """Wait for a change."""
        while self.version <= since:
            await self.news.wait()
            self.news.clear()
        return self.version

    def change(self) -> None:
        """Tell of one."""
        self.version += 1
        self.news.set()


@dataclass
class World:
    """The console, and what stands behind it."""

    calls: LiveCalls = field(default_factory=LiveCalls)
    drained: list[bool] = field(default_factory=list)
    tokens: tuple[Token, ...] = (EVERYTHING,)
    sessions: Sessions = field(default_factory=Sessions)

    def desk(self) -> StateDesk:
        """How things are."""
        return StateDesk(
            name=lambda: "Dial-in",
            version="1.2.3",
            calls=self.calls,
            max_calls=lambda: 50,
            accepting=lambda: not self.drained,
            trunks=lambda: [
                TrunkShown(
                    name="lab",
                    mode="register",
                    registered=False,
                    seconds_left=0.0,
                    cause="wrong-password",
                    last_invite_at=datetime.now(UTC).isoformat(),
                    calls=1,
                    numbers=["+493012345678"],
                )
            ],
            servers=lambda: [
                ServerShown(
                    name="main",
                    ok=True,
                    cause="",
                    last_ok_at=None,
                    meetings=2,
                    webhooks=True,
                    mutes="bbb",
                    calls=1,
                )
            ],
            recent_ends=lambda: [Ended(datetime.now(UTC), "lab", LEFT_ROOM, 63.0)],
            selftest=lambda: (datetime.now(UTC), True),
            wrong_pins=lambda: 7,
            drain=lambda: self.drained.append(True),
        )

    def console(self) -> Console:
        """The console."""
        tokens = Tokens(self.tokens, per_minute=1000)
        return Console(Pages(PageFacts()), tokens, self.desk(), self.calls, self.sessions)


async def client_of(world: World) -> Client:
    """A browser that keeps cookies, for a served console."""
    app = app_with(calls=world.calls, tokens=world.tokens, console=world.console())
    client = TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True))
    await client.start_server()
    return client


@pytest.fixture
async def world() -> World:
    return World()


async def log_in(client: Client, token: str = TOKEN) -> ClientResponse:
    return await client.post(
        "/console/login", data={"token": token}, headers=HTML, allow_redirects=False
    )


async def form_token_of(client: Client) -> str:
    text = await (await client.get("/console", headers=HTML)).text()
    match = re.search(r'name="form_token" value="([^"]+)"', text)
    assert match
    return match[1]


async def test_without_a_session_only_the_login_is_shown(world: World) -> None:
    async with await client_of(world) as client:
        world.calls.up = [CALL]
        page = await client.get("/console", headers=HTML)
        text = await page.text()
        assert page.status == 200
        assert 'name="token"' in text
        assert "xxx-xxx-1234" not in text
        assert (await client.get("/console/events")).status == 403
        assert (await client.post("/console/drain")).status == 403
        assert (await client.post("/console/calls/c0ffee/end")).status == 403
        assert not world.drained


async def test_a_token_opens_the_console_and_its_cookie_is_of_no_use_to_others(
    world: World,
) -> None:
    async with await client_of(world) as client:
        answer = await log_in(client)
        assert answer.status == 303
        cookie = answer.headers["Set-Cookie"]
        for part in ("HttpOnly", "SameSite=Strict", "Path=/console"):
            assert part in cookie
        assert TOKEN not in cookie
        assert "Secure" not in cookie  # the test speaks HTTP
        page = await client.get("/console", headers=HTML)
        assert "Dial-in" in await page.text()
        assert page.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


async def test_everything_is_shown_and_nothing_a_host_wrote_is_obeyed(world: World) -> None:
    async with await client_of(world) as client:
        await log_in(client)
        quality = tuple((float(index), index % 3) for index in range(60))
        world.calls.up = [WAITER, replace(CALL, recent_quality=quality, hand_raised=True)]
        text = await (await client.get("/console", headers=HTML)).text()
    for part in (
        "wrong-password",
        "xxx-xxx-1234",
        "xxx-xxx-9999",
        "for a host",
        "<polyline",
        "success/left-room",
        "hand up",
        ">7<",
        "Take no new calls",
    ):
        assert part in text, part
    assert "<script>alert" not in text
    assert "\u202e" not in text


async def test_german_is_spoken_where_it_is_wanted(world: World) -> None:
    async with await client_of(world) as client:
        await log_in(client)
        page = await client.get("/console", headers={**HTML, "Accept-Language": "de"})
        assert "Keine neuen Anrufe annehmen" in await page.text()


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1]])
async def test_a_wrong_token_is_told_and_too_many_are_kept_away(world: World, token: str) -> None:
    async with await client_of(world) as client:
        answer = await log_in(client, token)
        assert answer.status == 303
        assert "Set-Cookie" not in answer.headers
        page = await client.get(URL(answer.headers["Location"]), headers=HTML)
        assert "no token with the scope admin" in await page.text()
        statuses = [(await log_in(client, token)).status for _ in range(10)]
        assert statuses[-1] == 429
        assert (await log_in(client)).status == 303


async def test_a_token_without_the_scope_admin_opens_nothing() -> None:
    world = World(tokens=(Token("one", TOKEN, frozenset({Scope.CALLS, Scope.ROOMS})),))
    async with await client_of(world) as client:
        await log_in(client)
        assert 'name="token"' in await (await client.get("/console", headers=HTML)).text()


async def test_who_may_not_act_on_calls_sees_no_buttons_and_is_refused() -> None:
    world = World(tokens=(Token("one", TOKEN, frozenset({Scope.ADMIN})),))
    async with await client_of(world) as client:
        await log_in(client)
        world.calls.up = [CALL]
        token = await form_token_of(client)
        text = await (await client.get("/console", headers=HTML)).text()
        assert "/console/calls/" not in text
        answer = await client.post("/console/calls/c0ffee/end", data={"form_token": token})
        assert answer.status == 403
        assert world.calls.orders == []


async def test_orders_and_draining_come_from_forms_of_the_page(world: World) -> None:
    async with await client_of(world) as client:
        await log_in(client)
        world.calls.up = [CALL, WAITER]
        form = {"form_token": await form_token_of(client)}
        for path in ("/console/calls/c0ffee/end", "/console/calls/waiter/admit"):
            answer = await client.post(path, data=form, allow_redirects=False)
            assert answer.status == 303
        assert world.calls.orders == [("c0ffee", HangUp()), ("waiter", Admit())]
        assert (await client.post("/console/calls/c0ffee/sing", data=form)).status == 404
        answer = await client.post("/console/drain", data=form, allow_redirects=False)
        assert (answer.status, world.drained) == (303, [True])
        assert "Take no new calls" not in await (await client.get("/console", headers=HTML)).text()


@pytest.mark.parametrize(
    ("form_token", "headers"),
    [
        ("", {}),
        ("wrong", {}),
        ("right", {"Sec-Fetch-Site": "cross-site"}),
        ("right", {"Sec-Fetch-Site": "same-site"}),
    ],
)
async def test_a_form_of_another_site_does_nothing(
    world: World, form_token: str, headers: dict[str, str]
) -> None:
    async with await client_of(world) as client:
        await log_in(client)
        world.calls.up = [CALL]
        right = await form_token_of(client)
        form = {"form_token": right if form_token == "right" else form_token}
        for path in ("/console/drain", "/console/calls/c0ffee/end", "/console/logout"):
            assert (await client.post(path, data=form, headers=headers)).status == 403
        assert (world.drained, world.calls.orders) == ([], [])
    async with await client_of(World()) as client:
        login = await client.post(
            "/console/login", data={"token": TOKEN}, headers={"Sec-Fetch-Site": "cross-site"}
        )
        assert login.status == 403


async def test_who_logs_out_is_out(world: World) -> None:
    async with await client_of(world) as client:
        await log_in(client)
        [stolen] = [cookie.value for cookie in client.session.cookie_jar if cookie.key == COOKIE]
        form = {"form_token": await form_token_of(client)}
        await client.post("/console/logout", data=form, allow_redirects=False)
        assert 'name="token"' in await (await client.get("/console", headers=HTML)).text()
        client.session.cookie_jar.update_cookies({COOKIE: stolen}, client.make_url("/console"))
        assert 'name="token"' in await (await client.get("/console", headers=HTML)).text()


async def test_a_session_ends_with_its_token() -> None:
    tokens = Tokens([EVERYTHING], per_minute=1000)
    world = World()
    console = Console(Pages(PageFacts()), tokens, world.desk(), world.calls, world.sessions)
    app = app_with(calls=world.calls, tokens=world.tokens, console=console)
    async with TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True)) as client:
        await log_in(client)
        form = {"form_token": await form_token_of(client)}
        async with client.get("/console/events") as stream:
            tokens.change([Token("web", "another-token-9Xq7Lw2Vb9Zr4")], per_minute=1000)
            text = await (await client.get("/console", headers=HTML)).text()
            assert 'name="token"' in text
            assert (await client.post("/console/drain", data=form)).status == 403
            world.calls.change()
            told = (await asyncio.wait_for(stream.read(), 10)).decode()
        assert told.rstrip().splitlines()[-2] == "event: end"
    assert not world.drained


async def test_changes_come_by_themselves_until_the_session_ends(world: World) -> None:
    async with await client_of(world) as client:
        await log_in(client)
        stream = await client.get("/console/events")
        assert stream.content_type == "text/event-stream"
        await asyncio.wait_for(stream.content.readuntil(b"event: ends"), 10)
        world.calls.up = [CALL]
        world.calls.change()
        await asyncio.wait_for(stream.content.readuntil(b"xxx-xxx-1234"), 10)
        form = {"form_token": await form_token_of(client)}
        await client.post("/console/logout", data=form, allow_redirects=False)
        await asyncio.wait_for(stream.content.readuntil(b"event: end\n"), 10)
        stream.close()


async def test_who_has_a_token_that_is_taken_back_is_out(world: World) -> None:
    console = world.console()
    app = app_with(calls=world.calls, tokens=world.tokens, console=console)
    async with TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True)) as client:
        await log_in(client)
        stream = await client.get("/console/events")
        console._tokens.change([Token("web", "another-token-9Xq7")], per_minute=1000)
        await asyncio.wait_for(stream.content.readuntil(b"event: end\n"), 10)
        assert 'name="token"' in await (await client.get("/console", headers=HTML)).text()
        console._tokens.change([], per_minute=1000)
        assert (await client.get("/console", headers=HTML)).status == 404


async def test_only_so_many_watch_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialin.web.console.MOST_LISTENERS", 1)
    async with await client_of(world) as client:
        await log_in(client)
        stream = await client.get("/console/events")
        refused = await client.get("/console/events")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "60")
        stream.close()


async def test_a_silent_stream_gives_signs_of_life(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialin.web.console.HEARTBEAT_S", 0.0)
    async with await client_of(world) as client:
        await log_in(client)
        stream = await client.get("/console/events")
        await asyncio.wait_for(stream.content.readuntil(b"\n:\n"), 10)
        stream.close()


class TestSessions:
    def test_an_open_page_does_not_keep_it_alive(self) -> None:
        now = 1000.0
        sessions = Sessions(lambda: now)
        session = sessions.find(sessions.begin(EVERYTHING))
        assert session is not None
        now += IDLE_S
        assert sessions.lives(session)
        now += 1
        assert not sessions.lives(session)

    def test_one_ends_when_nobody_uses_it(self) -> None:
        now = 1000.0
        sessions = Sessions(lambda: now)
        cookie = sessions.begin(EVERYTHING)
        now += IDLE_S
        assert sessions.find(cookie) is not None
        now += IDLE_S + 1
        assert sessions.find(cookie) is None
        assert len(sessions) == 0

    def test_there_are_only_so_many(self) -> None:
        sessions = Sessions()
        first, *_ = [sessions.begin(EVERYTHING) for _ in range(SESSIONS_KEPT + 1)]
        assert len(sessions) == SESSIONS_KEPT
        assert sessions.find(first) is None

    @pytest.mark.parametrize("cookie", ["", "x", "\udcff"])
    def test_any_other_cookie_is_nobodys(self, cookie: str) -> None:
        sessions = Sessions()
        sessions.begin(EVERYTHING)
        assert sessions.find(cookie) is None
        sessions.end(cookie)
        assert len(sessions) == 1


class TestSparkline:
    def test_it_goes_from_left_to_right_and_stays_inside(self) -> None:
        drawn = [tuple(map(float, each.split(","))) for each in points([0, 5, 50], 10).split()]
        assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)
        assert drawn[0][1] > drawn[1][1] > drawn[2][1]

    def test_small_figures_look_small(self) -> None:
        [(_, y), _] = [map(float, each.split(",")) for each in points([1, 1], 100).split()]
        assert y > HEIGHT * 0.8

    def test_one_figure_is_a_line_and_none_is_nothing(self) -> None:
        assert len(points([3], 10).split()) == 2
        assert points([], 10) == ""
