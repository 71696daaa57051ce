# SPDX-License-Identifier: GPL-3.0-or-later
"""The console as operators have it before them, with stand-ins behind."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from dialin.registry import CallState, HangUp
from dialin.web import serve
from tests.browser import (
    DESK,
    NARROWEST,
    PHONE,
    barriers,
    chromium,
    needs_chromium,
    opened,
    overflow,
)
from tests.web import CALL, TOKEN, app_with
from tests.web.test_console import WAITER, World

pytestmark = needs_chromium

SEEN_WITHIN_S = 2.0
BUSY = replace(
    CALL,
    muted=True,
    hand_raised=True,
    encrypted=True,
    recent_quality=tuple((float(index % 17), index % 3) for index in range(60)),
)
LANGUAGES = {"de-DE": "Anmelden", "en-GB": "Log in"}


@asynccontextmanager
async def served(world: World) -> AsyncIterator[str]:
    """Where the console is."""
    app = app_with(calls=world.calls, tokens=world.tokens, console=world.console())
    async with serve(app, "127.0.0.1", 0) as ((host, port),):
        yield f"http://{host}:{port}"


@asynccontextmanager
async def logged_in(
    browser: Browser, root: str, *, token: str = TOKEN, **context: Any
) -> AsyncIterator[Page]:
    """The console, opened by a token that is typed."""
    async with opened(browser, f"{root}/console", **context) as page:
        await page.keyboard.press("Tab")
        while await page.evaluate("document.activeElement.id") != "token":
            await page.keyboard.press("Tab")
        await page.keyboard.type(token)
        await page.keyboard.press("Enter")
        await page.locator("#trunks").wait_for()
        yield page


async def test_an_operator_works_by_keyboard_alone() -> None:
    world = World()
    world.calls.up = [BUSY]
    async with (
        served(world) as root,
        chromium() as browser,
        logged_in(browser, root, locale="en-GB") as page,
    ):
        await page.get_by_text("Updates by itself.").wait_for()
        row = page.get_by_role("row", name="xxx-xxx-1234")
        await row.get_by_text("muted, hand up").wait_for()
        end = row.get_by_role("button")
        await end.focus()
        await end.press("Enter")
        began = time.monotonic()
        world.calls.up = [WAITER]
        world.calls.change()
        await page.locator("#queue b", has_text="xxx-xxx-9999").wait_for()
        await row.wait_for(state="detached")
        assert time.monotonic() - began <= SEEN_WITHIN_S
        assert (BUSY.id, HangUp()) in world.calls.orders

        drain = page.get_by_role("button", name="Take no new calls")
        await drain.focus()
        await drain.press("Enter")
        await drain.wait_for(state="detached")
        assert world.drained == [True]

        leave = page.get_by_role("button", name="Log out")
        await leave.focus()
        await leave.press("Enter")
        await page.locator("#token").wait_for()
        assert await page.get_by_text("xxx-xxx").count() == 0
        await page.go_back()
        await page.locator("#token").wait_for()


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([("de-DE", "light"), ("en-GB", "dark")], id="two"),
        pytest.param(list(product(LANGUAGES, ("light", "dark"))), id="all", marks=pytest.mark.e2e),
    ],
)
async def test_everybody_can_use_the_console(looks: list[tuple[str, Any]]) -> None:
    world = World()
    world.calls.up = [WAITER, BUSY]
    async with served(world) as root, chromium() as browser:
        for locale, scheme in looks:
            seen = {"locale": locale, "color_scheme": scheme}
            async with opened(browser, f"{root}/console?wrong", **seen) as page:
                assert await page.get_by_role("button", name=LANGUAGES[locale]).is_visible()
                assert await barriers(page) == [], f"login {locale} {scheme}"
            for viewport in (DESK, PHONE):
                async with logged_in(browser, root, viewport=viewport, **seen) as page:
                    assert await overflow(page) <= 0
                    assert await barriers(page) == [], f"{locale} {scheme} {viewport}"
        async with logged_in(browser, root, viewport=NARROWEST) as page:
            assert await overflow(page) <= 0


@pytest.mark.e2e
async def test_without_scripts_the_console_is_loaded_anew() -> None:
    world = World()
    world.calls.up = [BUSY]
    async with (
        served(world) as root,
        chromium() as browser,
        logged_in(browser, root, java_script_enabled=False) as page,
    ):
        row = page.get_by_role("row", name="xxx-xxx-1234")
        world.calls.up = [replace(BUSY, state=CallState.WAITING)]
        await row.get_by_role("button").click()
        await page.locator("#queue b", has_text="xxx-xxx-1234").wait_for()
        assert await row.count() == 0
        assert world.calls.orders == [(BUSY.id, HangUp())]
