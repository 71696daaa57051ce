# SPDX-License-Identifier: GPL-3.0-or-later
"""No number leaves by any of the ways out: store, room page, console, API, streams, posts, export.

Each way is swept for itself, and has to find a number that is planted there. What goes to BBB is
swept in `test_privacy`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from dialin.commands.privacy_store import exported
from dialin.demo.rooms import DemoRoom
from dialin.links import LinkKey, Right
from dialin.registry import CallState
from dialin.store import FILE_NAME
from tests.calls.scene import PIN, Scene
from tests.calls.test_privacy import (
    CALLERS,
    CANARIES,
    LINK_SECRET,
    dialling,
    found_in,
    logs,
    needs_canary,
    plant,
)
from tests.calls.test_static_pin_stories import issue_pin, stage_with_store
from tests.calls.test_subscriber_stories import told_at
from tests.subscribers import open_taker
from tests.world import TOKEN

__all__ = ["logs"]

HOST = LinkKey(LINK_SECRET).link("demo", Right.HOST, expires=4_000_000_000)
PAGES = (HOST.path(), HOST.path("sheet"), HOST.path("invite.txt"), HOST.path("invite.ics"), "/")
STREAMS = {"room-stream": HOST.path("events"), "console-stream": "/console/events"}
LABEL = CANARIES[0].label


class Ways:
    """Where everything that comes out is kept, a folder for each way."""

    def __init__(self, folder: Path, stage: Scene) -> None:
        self._folder = folder
        self._stage = stage

    def keep(self, way: str, data: bytes, name: str = "kept") -> None:
        """Keep this of a way."""
        file = self._folder / way / name
        file.parent.mkdir(exist_ok=True)
        with file.open("ab") as kept:
            kept.write(data)

    async def keep_pages(self, session: aiohttp.ClientSession) -> None:
        """All that can be seen now."""
        page = self._stage.served.page
        for path in PAGES:
            self.keep("room-page", await page(path))
        async with session.get("/console") as answer:
            self.keep("console", await answer.read())
        known = json.loads(await page("/api/openapi.json"))["paths"]
        for path in (path for path, does in known.items() if "get" in does):
            self.keep("api", await page(path.replace("{meeting_id}", "demo")))
        for call in json.loads(await page("/api/v1/calls")):
            self.keep("api", await page(f"/api/v1/calls/{call['id']}"))
        self.keep("metrics", await page("/metrics"))

    async def follow(self, session: aiohttp.ClientSession, way: str, path: str) -> None:
        """Keep a stream until cancelled."""
        async with session.get(path) as answer:
            assert answer.status == 200
            async for data in answer.content.iter_any():
                self.keep(way, data)

    def keep_store(self, state: Path) -> None:
        """The file and what is beside it while it is open."""
        for file in state.glob(f"{FILE_NAME}*"):
            shutil.copy(file, self._folder)
            self.keep("store", (self._folder / file.name).read_bytes(), file.name)
            (self._folder / file.name).unlink()

    @property
    def folders(self) -> dict[str, Path]:
        """All ways."""
        return {each.name: each for each in sorted(self._folder.iterdir()) if each.is_dir()}


@asynccontextmanager
async def operator(stage: Scene) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser that is logged in to the console."""
    async with aiohttp.ClientSession(
        base_url=stage.served.http, cookie_jar=aiohttp.CookieJar(unsafe=True)
    ) as session:
        async with session.post("/console/login", data={"token": TOKEN}) as answer:
            assert answer.status == 200
        yield session


@needs_canary
@pytest.mark.usefixtures("logs")
async def test_no_number_leaves_by_any_way(tmp_path: Path) -> None:
    room = DemoRoom("demo", "Demo room", PIN, running=True, recording=True)
    async with (
        open_taker() as taker,
        stage_with_store(
            tmp_path,
            rooms=[room],
            web={"link_secret": LINK_SECRET},
            privacy={"require_consent": True},
            subscribers=told_at(taker.url),
        ) as stage,
        operator(stage) as session,
        AsyncExitStack() as calls,
    ):
        ways = Ways(tmp_path / "artefacts", stage)
        await issue_pin(stage)
        async with asyncio.TaskGroup() as tasks:
            streams = [
                tasks.create_task(ways.follow(session, way, path)) for way, path in STREAMS.items()
            ]
            phones = [await calls.enter_async_context(dialling(stage, each)) for each in CANARIES]
            for phone in phones:
                assert await phone.dial() == 200
                phone.rtp.press(f"{PIN}#")
            await stage.is_in(*[CallState.IN_ROOM] * CALLERS)
            registry = stage.served.service.registry
            for phone in phones:
                phone.rtp.press("1")
            await stage.served.until(lambda: not any(one.muted for one in registry.snapshots()))
            for phone in phones:
                phone.rtp.press("*9")
            await stage.served.until(lambda: all(one.hand_raised for one in registry.snapshots()))
            await ways.keep_pages(session)
            for phone in phones:
                await phone.hang_up()
            await stage.is_in()
            await taker.got(3 * CALLERS)
            await ways.keep_pages(session)
            await asyncio.sleep(1)  # for the streams, which tell no more than once in a while
            for stream in streams:
                stream.cancel()
        stored = await exported(stage.served.service.changeable.settings, None, None)
        assert len(stored["consents"]) == CALLERS
        ways.keep("export", json.dumps(stored).encode())
        ways.keep_store(tmp_path / "state")
        ways.keep("posts", b"\n".join([*taker.bodies, repr(taker.headers).encode()]))
    ways.keep_store(tmp_path / "state")
    logged = [one for one in (tmp_path / "artefacts").iterdir() if one.is_file()]
    assert len(logged) == 2
    for file in logged:
        ways.keep("logs", file.read_bytes(), file.name)
    are_clean(ways)


def are_clean(ways: Ways) -> None:
    """Every way has told of callers and of no number; a number that is planted there is found."""
    names = {file.name for file in ways.folders["store"].iterdir()}
    assert names == {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"}
    for way in ("room-page", "console", "api", "posts", *STREAMS):
        assert LABEL in (ways.folders[way] / "kept").read_text(), way
    for way, folder in ways.folders.items():
        assert found_in(folder) == [], way
        files = list(folder.iterdir())
        for file in files:
            plant(CANARIES[0].number, file)
        assert len(found_in(folder)) >= len(files), way
