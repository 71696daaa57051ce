# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators do to a service full of calls: reload and drain. Nobody in a room may notice."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from dialin import app
from dialin.app.reload import read_anew
from dialin.demo.run import demo_settings
from dialin.registry import CallState
from dialin.settings import Settings, load
from dialin.sip import Refused
from tests.calls.test_sipp_calls import numbers_of
from tests.peers.process import needs_raw_sockets
from tests.peers.sipp import needs_sipp, place_calls
from tests.test_reload import dial
from tests.world import ANYWHERE, TOKEN, World, telephone, whole_service

pytestmark = [pytest.mark.e2e, needs_sipp, needs_raw_sockets, pytest.mark.timeout(240)]

log = logging.getLogger(__name__)

RATE = 10
SILENT_CALLERS = {"timeout_s": 300}
"""sipp sends no audio but its keys."""
BROKEN = [
    "[web",
    "\x00",
    "[web]\nport = 'x'",
    "[web]\nport = 70000",
    "[nonsense]",
    "[web]\nnonsense = 1",
    "trunks = 1",
    "[trunks.demo]\nmode = 'none'",
    "[trunks.demo]\nallowed_sources = ['0.0.0.0/0']",
    "[trunks.Demo]\nallowed_sources = ['127.0.0.0/8']",
    "[trunks.demo]\npreset = 'nobody'",
    "[trunks.demo]\nallowed_sources = ['127.0.0.0/8']\n[bbb_servers.demo]\nurl = 'x'\nsecret = 'y'",
    "[trunks.demo]\nallowed_sources = ['127.0.0.0/8']\n[bbb_servers.demo]\nsecret = 'y'",
    "[media]\nrtp_first_port = 10001",
    "[media]\ncodecs = []",
    "[label]\ntemplate = 'GLOBAL_AUDIO_{digits}'",
    "[service]\nlanguages = ['xx']",
    "[pin]\nmin_digits = 9\nmax_digits = 5",
    "[log]\nlevel = 'loud'",
    "[sip]\nlisten = []",
]


def given(wanted: Settings) -> Settings:
    """Settings as if they had been read."""
    return wanted


@asynccontextmanager
async def calls_up(world: World, count: int, stay_s: float, folder: Path) -> AsyncIterator[None]:
    """The block begins when so many calls are in their room, and ends when all have hung up."""

    def in_room() -> int:
        calls = world.service.registry.snapshots()
        return sum(call.state is CallState.IN_ROOM for call in calls)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            place_calls(
                "call-pin",
                ("127.0.0.1", world.sip_port("udp")),
                "UDP",
                numbers=numbers_of(count),
                rate=RATE,
                stay_s=stay_s,
                folder=folder,
                within_s=count / RATE + stay_s + 40,
            )
        )
        await world.until(lambda: in_room() == count, within_s=count / RATE + 20)
        yield


async def test_a_hundred_reloads_and_twenty_broken_files_lose_none_of_fifty_calls(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with whole_service(media=SILENT_CALLERS) as world:
        await world.service.rooms.look_again()
        usual = demo_settings(ANYWHERE, ANYWHERE, TOKEN, world.bbb, world.conference.addresses[0])
        other = usual.model_copy(
            update={
                "service": usual.service.model_copy(update={"max_calls": 100}),
                "ivr": usual.ivr.model_copy(update={"music": False}),
            }
        )
        async with calls_up(world, 50, 30.0, tmp_path):
            for turn in range(100):
                wanted = other if turn % 2 else usual
                assert await read_anew(partial(given, wanted), world.service.changeable)
            in_force = world.service.changeable.settings
            for index, text in enumerate(BROKEN):
                file = tmp_path / f"{index}.toml"
                file.write_text(text)
                caplog.clear()

                def reading(file: Path = file) -> Settings:
                    return load(file).settings

                assert not await read_anew(reading, world.service.changeable), text
                [line] = [one for one in caplog.records if one.levelname == "ERROR"]
                assert "\n" not in line.cause  # type: ignore[attr-defined]
                assert world.service.changeable.settings is in_force
        await world.until(lambda: not world.service.registry.snapshots())
        assert await world.ends() == {"success/left-room": 50}


async def test_sigterm_lets_a_hundred_calls_finish_and_refuses_new_ones_at_once(
    tmp_path: Path,
) -> None:
    async with whole_service(media=SILENT_CALLERS) as world, telephone() as phone:
        await world.service.rooms.look_again()
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(app.until_told_to_stop(world.service, lambda: 120.0))
            async with calls_up(world, 100, 40.0, tmp_path):
                os.kill(os.getpid(), signal.SIGTERM)
                await world.until(lambda: world.service.registry.is_draining)
                took_s = []
                for _ in range(20):
                    began = time.monotonic()
                    with pytest.raises(Refused) as refused:
                        await dial(phone, world)
                    took_s.append(time.monotonic() - began)
                    assert refused.value.status == 503
                assert not stopping.done()
            await asyncio.wait_for(stopping, 20)
        median = sorted(took_s)[10]
        log.info(
            "refused after %.1f ms, at most %.0f", *(1000 * each for each in (median, max(took_s)))
        )
        ends = await world.ends()
        assert ends["success/left-room"] == 100
        assert set(ends) == {"success/left-room", "service/draining"}
        assert median <= 0.1
