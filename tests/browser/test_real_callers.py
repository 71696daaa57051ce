# SPDX-License-Identifier: GPL-3.0-or-later
"""A host and an operator at the screen while somebody really calls; and the sheet as printed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from dialin.demo.rooms import DemoRoom
from dialin.links import LinkKey, Right
from dialin.registry import CallState
from tests.browser import chromium, needs_chromium, opened
from tests.browser.test_console import logged_in
from tests.peers.process import needs, needs_raw_sockets
from tests.peers.sipp import needs_sipp, place_calls
from tests.world import TOKEN, Served, whole_service

pytestmark = [pytest.mark.e2e, needs_chromium]

SECRET = "link-canary-3Hq8Zt1Wn6Ys"
SEEN_WITHIN_S = 2.0
PIN = "123456789"
"""What sipp keys."""
WEB = {"link_secret": SECRET, "base_url": "https://dialin.example.org"}


def path(right: Right) -> str:
    """The way to the page, for an hour."""
    return LinkKey(SECRET).link("weekly", right, int(time.time()) + 3600).path()


async def somebody_calls(world: Served, folder: Path, *, stay_s: float) -> None:
    """One caller, who keys the PIN and stays so long."""
    await place_calls(
        "call-pin",
        ("127.0.0.1", world.sip_port("UDP")),
        "UDP",
        numbers=["+496990009123"],
        rate=1,
        stay_s=stay_s,
        folder=folder,
        within_s=90,
    )


@needs_sipp
@needs_raw_sockets
@pytest.mark.timeout(120)
async def test_a_caller_is_seen_waiting_and_then_in_the_room(tmp_path: Path) -> None:
    rooms = [DemoRoom("weekly", "Weekly <b>round</b>", PIN)]
    async with (
        whole_service(rooms=rooms, web=WEB) as world,
        chromium() as browser,
        opened(browser, f"{world.http}{path(Right.HOST)}", locale="en-GB") as page,
        asyncio.TaskGroup() as tasks,
    ):
        await world.service.rooms.look_again()
        await page.get_by_text("Updates by itself.").wait_for()
        assert "Weekly <b>round</b>" in await page.get_by_role("heading", level=1).inner_text()
        callers = page.locator("#callers")
        calling = tasks.create_task(somebody_calls(world, tmp_path, stay_s=20.0))

        async def stands(state: CallState) -> None:
            await world.until(
                lambda: [call.state for call in world.service.registry.snapshots()] == [state],
                within_s=30,
            )

        await stands(CallState.WAITING)
        began = time.monotonic()
        await callers.get_by_text("waits for the meeting to begin").wait_for()
        seen = {"waiting": time.monotonic() - began}
        world.bbb.open_room("weekly")
        await stands(CallState.IN_ROOM)
        began = time.monotonic()
        await callers.get_by_text("can be heard").wait_for()
        seen["in the room"] = time.monotonic() - began
        assert await callers.locator("b").inner_text() == "xxx-xxx-9123"
        assert max(seen.values()) <= SEEN_WITHIN_S, seen
        print(seen)  # noqa: T201 - the figure is asked for

        await page.get_by_role("button", name="Mute xxx-xxx-9123", exact=True).click()
        await callers.get_by_text("muted", exact=True).wait_for()
        await page.get_by_role("button", name="Remove xxx-xxx-9123").click()
        await page.get_by_text("Nobody has called yet.").wait_for()
        calling.cancel()


@needs_sipp
@needs_raw_sockets
@pytest.mark.timeout(120)
async def test_an_operator_sees_a_caller_come_and_go(tmp_path: Path) -> None:
    async with (
        whole_service() as world,
        chromium() as browser,
        logged_in(browser, world.http, token=TOKEN, locale="en-GB") as page,
        asyncio.TaskGroup() as tasks,
    ):
        await world.service.rooms.look_again()
        await page.get_by_text("Updates by itself.").wait_for()
        registry, calls = world.service.registry, page.locator("#calls")
        calling = tasks.create_task(somebody_calls(world, tmp_path, stay_s=5.0))
        await world.until(
            lambda: [call.state for call in registry.snapshots()] == [CallState.IN_ROOM],
            within_s=30,
        )
        began = time.monotonic()
        row = calls.get_by_role("row", name="xxx-xxx-9123")
        await row.get_by_text("in the room").wait_for()
        seen = {"in the room": time.monotonic() - began}
        await world.until(lambda: not registry.snapshots(), within_s=30)
        began = time.monotonic()
        await row.wait_for(state="detached")
        await page.locator("#ends").get_by_text("left-room").wait_for()
        seen["gone"] = time.monotonic() - began
        assert max(seen.values()) <= SEEN_WITHIN_S, seen
        print(seen)  # noqa: T201 - the figure is asked for
        await calling


@needs("pdftotext", "poppler-utils")
async def test_the_sheet_is_one_page_of_large_type(tmp_path: Path) -> None:
    rooms = [DemoRoom("weekly", "Wöchentliche Runde", PIN, running=True)]
    sheet = path(Right.GUEST).replace("?", "/sheet?")
    file = tmp_path / "sheet.pdf"
    async with (
        whole_service(rooms=rooms, web=WEB) as world,
        chromium() as browser,
    ):
        await world.service.rooms.look_again()
        async with opened(browser, f"{world.http}{sheet}") as page:
            await page.pdf(path=file, prefer_css_page_size=True)
    process = await asyncio.create_subprocess_exec(
        *("pdftotext", "-layout", str(file), "-"), stdout=asyncio.subprocess.PIPE
    )
    text = (await process.communicate())[0].decode()

    assert text.count("\f") == 1
    assert "+49 30 23125100" in text
    assert "Wöchentliche Runde" in text
    assert all(group in text for group in ("123", "456", "789", "#"))
    assert "Drucken" not in text
