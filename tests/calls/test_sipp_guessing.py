# SPDX-License-Identifier: GPL-3.0-or-later
"""Thirty of Debian's sipp guess PINs at once, for minutes: what they try is what the budgets allow.

An hour of it, on a clock that costs no time, is in `tests.test_pin_guessing`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dialin.registry import CallState
from tests.calls.scene import PIN, Scene, scene
from tests.calls.test_pin_stories import asked_for_pin
from tests.peers.process import free_port, needs_raw_sockets, started
from tests.peers.sipp import HOSTS, SCENARIOS, needs_sipp

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), needs_sipp, needs_raw_sockets]

NUMBERED = [f"+4969900090{place:02}" for place in range(25)]
WITHHELD = ["anonymous"] * 5
BOTS = [*NUMBERED, *WITHHELD]
LISTENS_S = 2.5
TRIES = 3
A_CALLER, ALL_WITHHELD = 10, 30
"""Wrong PINs in an hour, by the settings' defaults."""
SLOW_ABOVE, RELEASE_EVERY_S = 120, 6.0
"""Likewise, of all together."""


async def attempts(stage: Scene) -> dict[str, int]:
    """PINs keyed, by what came of them."""
    page = (await stage.served.page("/metrics")).decode()
    return {
        sample.labels["result"]: int(sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "dialin_pin_attempts_total"
    }


async def evaluated(stage: Scene) -> int:
    """Wrong PINs that were looked up: those of locked callers are not."""
    keyed = await attempts(stage)
    answered = keyed.get("unknown", 0) + keyed.get("too-many-guesses", 0)
    return answered - keyed.get("locked", 0)


@asynccontextmanager
async def bots(stage: Scene, folder: Path, calls: int) -> AsyncIterator[asyncio.Task[int]]:
    """All of them call, again and again, until there were so many calls or the block ends."""
    host = HOSTS["UDP"]
    (folder / "callers.csv").write_text("SEQUENTIAL\n" + "".join(f"{bot};\n" for bot in BOTS))
    command = [
        *("sipp", f"127.0.0.1:{stage.served.sip_port('udp')}", "-t", "u1"),
        *("-sf", str(SCENARIOS / "guesses.xml"), "-inf", "callers.csv"),
        *("-i", host, "-mi", host, "-p", str(free_port(host)), "-nostdin"),
        *("-m", str(calls), "-l", str(len(BOTS)), "-r", "5", "-d", f"{1000 * LISTENS_S:.0f}"),
        *("-deadcall_wait", "100"),
    ]
    async with started(*command, log=folder / "screen.log") as process:
        waiting = asyncio.create_task(process.wait())
        yield waiting
        waiting.cancel()


async def test_three_a_call_ten_a_caller_and_a_pool_for_those_without_a_number(
    tmp_path: Path,
) -> None:
    calls = 5 * len(BOTS)
    never_slow: dict[str, Any] = {"slow_mode_above_per_hour": 100_000}
    async with scene(tmp_path, pin=never_slow) as stage:
        async with bots(stage, tmp_path, calls) as guessing:
            assert await asyncio.wait_for(guessing, 300) == 0
        await stage.served.until(lambda: not len(stage.served.service.registry))
        keyed = await attempts(stage)
        print(keyed)  # noqa: T201 - the figures are asked for
        assert await stage.served.ends() == {"caller/wrong-pin": calls}
        assert keyed["too-many-guesses"] == calls
        assert keyed["unknown"] == (TRIES - 1) * calls
        assert await evaluated(stage) == A_CALLER * len(NUMBERED) + ALL_WITHHELD


async def test_no_more_than_ten_a_minute_once_there_are_too_many_of_all(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        async with stage.phone() as known:
            await asked_for_pin(stage, known)
            await known.key(f"{PIN}#")
            await stage.is_in(CallState.IN_ROOM)
            await known.hang_up()
        began = time.monotonic()
        async with bots(stage, tmp_path, 100_000):
            seen, took_s = 0, 0.0
            while time.monotonic() < began + 180:
                await asyncio.sleep(10)
                seen, took_s = await evaluated(stage), time.monotonic() - began
                assert seen <= SLOW_ABOVE + 2 + took_s / RELEASE_EVERY_S
            print(f"{seen} evaluated in {took_s:.0f} s: {await attempts(stage)}")  # noqa: T201
            assert seen > SLOW_ABOVE, "nobody was slowed down"
            # Who was in a room today is not kept waiting by all of them.
            async with stage.phone() as known:
                await asked_for_pin(stage, known)
                await known.key(f"{PIN}#")
                registry = stage.served.service.registry
                await stage.served.until(
                    lambda: any(call.state is CallState.IN_ROOM for call in registry.snapshots()), 3
                )
                await known.hang_up()
