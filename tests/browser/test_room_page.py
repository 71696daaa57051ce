# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages as hosts and callers have them before them, with stand-ins behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from html import escape
from itertools import product
from typing import Literal
from urllib.parse import quote, unquote

import pytest
from aiohttp import web

from dialin.registry import Mute
from dialin.web import serve
from dialin.web.room_view import RoomFacts
from tests.browser import (
    NARROWEST,
    PHONE,
    barriers,
    chromium,
    needs_chromium,
    opened,
    overflow,
)
from tests.web.site import CALL, GUEST, HOST, PIN, RAISED, WAITING, Calls, Rooms, World, link

pytestmark = needs_chromium

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\u202e\u2066" + "Z\u0301\u0302\u0303" * 9
)
CLIPBOARD = ["clipboard-read", "clipboard-write"]
SEEN_WITHIN_MS = 2000

ColorScheme = Literal["light", "dark"]


@asynccontextmanager
async def served(world: World) -> AsyncIterator[str]:
    """Where the pages are."""
    async with serve(world.app(), "127.0.0.1", 0) as ((host, port),):
        yield f"http://{host}:{port}"


async def test_a_host_uses_the_page() -> None:
    calls = Calls([WAITING])
    async with (
        served(World(calls=calls)) as root,
        chromium() as browser,
        opened(browser, f"{root}{HOST.path()}", permissions=CLIPBOARD) as page,
    ):
        assert await page.locator("html").get_attribute("lang") == "de"
        await page.get_by_text("Aktualisiert sich von selbst.").wait_for()
        await page.get_by_role("link", name="English").click()
        await page.get_by_text("Updates by itself.").wait_for()
        assert await page.locator("html").get_attribute("lang") == "en"

        await page.get_by_role("button", name="Copy PIN").click()
        await page.get_by_text("Copied.").wait_for(state="attached")
        assert await page.evaluate("navigator.clipboard.readText()") == PIN
        await page.get_by_role("button", name="Copy invitation").click()
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied.splitlines()[1] == f"PIN: {PIN}, then #"

        calls.become(WAITING, CALL)
        await page.locator("b", has_text="xxx-xxx-1234").wait_for(timeout=SEEN_WITHIN_MS)
        calls.obey = lambda _id, _order: calls.become(WAITING, replace(CALL, muted=True))
        mute = page.get_by_role("button", name="Mute xxx-xxx-1234", exact=True)
        await mute.focus()
        await mute.press("Enter")
        await page.get_by_role("button", name="Unmute xxx-xxx-1234").wait_for()
        assert calls.given == [("c0ffee", Mute())]
        assert "gone" not in page.url


PAGES = (HOST.path(), GUEST.path(), GUEST.path("sheet"), "/", "/rooms/x")


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(HOST.path(), "light"), ("/", "dark")], id="two"),
        pytest.param(list(product(PAGES, ("light", "dark"))), id="all", marks=pytest.mark.e2e),
    ],
)
async def test_everybody_can_use_the_pages(looks: list[tuple[str, ColorScheme]]) -> None:
    world = World(calls=Calls([WAITING, CALL, RAISED]))
    async with served(world) as root, chromium() as browser:
        for path, scheme in looks:
            async with opened(browser, f"{root}{path}", allowed="404", color_scheme=scheme) as page:
                assert await barriers(page) == [], f"{path} {scheme}"
        async with opened(browser, f"{root}{HOST.path()}", viewport=NARROWEST) as page:
            assert await overflow(page) <= 0
            assert await barriers(page) == []
        async with opened(browser, f"{root}{HOST.path()}", forced_colors="active") as page:
            assert await page.get_by_role("button", name="PIN kopieren").is_visible()


async def test_without_scripts_everything_is_there_but_what_needs_them() -> None:
    calls = Calls([WAITING, CALL])
    calls.obey = lambda _id, _order: calls.become(WAITING, replace(CALL, muted=True))
    async with (
        served(World(calls=calls)) as root,
        chromium() as browser,
        opened(browser, f"{root}{HOST.path()}", java_script_enabled=False) as page,
    ):
        assert (await page.locator("#pin").inner_text()).strip() == PIN
        assert not await page.get_by_role("button", name="PIN kopieren").is_visible()
        assert await page.get_by_role("link", name="Neu laden").is_visible()
        await page.get_by_role("button", name="Stummschalten").click()
        await page.get_by_text("stumm", exact=True).wait_for()
        assert page.url.endswith("#callers-title")


@pytest.mark.e2e
async def test_a_hostile_name_harms_nothing() -> None:
    name = f"{HOSTILE}{'W' * 5000}"
    rooms = Rooms({"demo": RoomFacts("demo", name, PIN, running=True)})
    async with served(World(rooms=rooms)) as root, chromium() as browser:
        for viewport in (NARROWEST, PHONE):
            for path in (HOST.path(), GUEST.path("sheet")):
                async with opened(browser, f"{root}{path}", viewport=viewport) as page:
                    heading = page.get_by_role("heading", level=1)
                    assert "<script>alert(1)</script>" in await heading.inner_text()
                    assert await overflow(page) <= 0


@pytest.mark.e2e
async def test_a_code_and_a_link_dial_the_same() -> None:
    async with (
        served(World()) as root,
        chromium() as browser,
        opened(browser, f"{root}{GUEST.path()}", viewport=PHONE) as page,
    ):
        tap = page.get_by_role("link", name="Mit einem Tippen anrufen")
        assert await tap.get_attribute("href") == f"tel:+493023125100,,{PIN}%23"
        code = page.locator("figure img")
        assert await code.evaluate("image => image.complete && image.naturalWidth > 0")
        assert "+49 30 23125100" in (await code.get_attribute("alt") or "")


@pytest.mark.e2e
async def test_a_link_that_expires_ends_the_live_part() -> None:
    world = World()
    async with (
        served(world) as root,
        chromium() as browser,
        opened(browser, f"{root}{link(expires=int(world.now) + 60).path()}") as page,
    ):
        await page.get_by_text("Aktualisiert sich von selbst.").wait_for()
        world.now += 60
        await page.get_by_text("Dieser Link ist abgelaufen.").wait_for()


@pytest.mark.e2e
async def test_a_site_that_the_operator_names_shows_the_page_in_its_own() -> None:
    calls = Calls([CALL])
    calls.obey = lambda _id, _order: calls.become(replace(CALL, muted=True))
    async with framing_site() as site, chromium() as browser:
        world = World(calls=calls).with_facts(embed_origins=(site,))
        async with (
            served(world) as root,
            await browser.new_context(locale="en-GB") as window,
        ):
            page = await window.new_page()
            await page.goto(f"{site}/?{quote(root + HOST.path(), safe='')}")
            frame = page.frame_locator("iframe")
            await frame.get_by_text("Updates by itself.").wait_for()
            await frame.get_by_role("button", name="Mute xxx-xxx-1234", exact=True).click()
            await frame.get_by_role("button", name="Unmute xxx-xxx-1234").wait_for()
        async with served(World()) as root, await browser.new_context() as window:
            page = await window.new_page()
            await page.goto(f"{site}/?{quote(root + HOST.path(), safe='')}")
            await page.wait_for_load_state("networkidle")
            assert await page.frame_locator("iframe").locator("#pin").count() == 0


@asynccontextmanager
async def framing_site() -> AsyncIterator[str]:
    """Another site, which frames the address in its query; gives its origin."""

    async def answer(request: web.Request) -> web.Response:
        address = escape(unquote(request.query_string), quote=True)
        return web.Response(text=f"<iframe src='{address}'></iframe>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    async with serve(app, "127.0.0.1", 0) as ((_host, port),):
        yield f"http://localhost:{port}"
