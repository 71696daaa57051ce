# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages in a real browser: Debian's Chromium, headless, driven by Playwright.

A page that asks anything of another host, breaks its own policy or logs an error fails the test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from tests.peers.process import needs

needs_chromium = needs("chromium", "chromium")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
NARROWEST = {"width": 320, "height": 568}
"""What WCAG 2.2 asks pages to fit (1.4.10): 1280 pixels at 400 %."""
ARGUMENTS = (
    "--no-sandbox",  # the tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser while the block runs."""
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=ARGUMENTS
        ) as browser,
    ):
        yield browser


@asynccontextmanager
async def opened(
    browser: Browser, url: str, *, allowed: str = "", **context: Any
) -> AsyncIterator[Page]:
    """A page in a window of its own, German unless told; on leaving, nothing has gone wrong there.

    `allowed` is a message of the console that is no fault.
    """
    own = "/".join(url.split("/")[:3])
    faults: list[str] = []
    settings = {"viewport": DESK, "locale": "de-DE", **context}
    async with await browser.new_context(**settings) as window:
        page = await window.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith(f"{own}/") else faults.append(request.url)
            ),
        )
        await page.goto(url)
        yield page
    assert [fault for fault in faults if not allowed or allowed not in fault] == []


async def barriers(page: Page) -> list[str]:
    """What axe-core finds that keeps people from using the page."""
    source = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    await page.evaluate(source)
    found = await page.evaluate(
        "tags => axe.run({runOnly: tags}).then(found => found.violations)", STANDARDS
    )
    return [
        f"{one['id']}: {one['help']} at {[node['target'] for node in one['nodes']]}"
        for one in found
    ]


async def overflow(page: Page) -> int:
    """By how many pixels a page is wider than its window."""
    return int(
        await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
    )
