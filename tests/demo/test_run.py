# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: the story of one call, told as it was seen, and the demo that waits for callers."""

from __future__ import annotations

import asyncio
import os
import signal
import wave
from pathlib import Path

import pytest

from dialin.demo import run, story
from dialin.demo.bbb import DemoBbb
from dialin.registry import CallState, Registry
from tests.fakes.call_parts import FakeTally
from tests.world import ANYWHERE

STEPS = 9


async def test_the_story_of_a_call_is_true(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wav = tmp_path / "heard.wav"
    status = await run.demonstrate(ANYWHERE, ANYWHERE, None, call=True, record=wav)
    told = capsys.readouterr().out
    assert status == 0, told
    assert told.count("  ok  ") == STEPS
    assert "xxx-xxx-0042" in told
    assert story.CALLER not in told
    with wave.open(str(wav)) as heard:
        assert heard.getnframes() / heard.getframerate() > 5


async def test_a_story_that_is_not_true_is_not_told_as_if_it_were(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "PIN", "999999999")  # a room that there is not
    monkeypatch.setattr(story, "JOINED_WITHIN_S", 1.0)
    status = await run.demonstrate(ANYWHERE, ANYWHERE, None, call=True, record=None)
    told = capsys.readouterr().out
    assert status == 1
    assert "FAIL  the PIN, keyed as tones, was accepted" in told
    assert "did not go right" in told


async def test_the_demo_tells_what_to_do_next_and_ends_with_ctrl_c(
    capsys: pytest.CaptureFixture[str],
) -> None:
    running = asyncio.create_task(
        run.demonstrate(ANYWHERE, ANYWHERE, "secret-of-mine", call=False, record=None)
    )
    told = ""
    async with asyncio.timeout(20):
        while "Ctrl-C" not in told:
            await asyncio.sleep(0.05)
            told += capsys.readouterr().out
    os.kill(os.getpid(), signal.SIGINT)
    assert await running == 0
    for needed in ("123456789#", "555666777#", "sip:dialin@", "/api/v1/calls", "secret-of-mine"):
        assert needed in told


@pytest.mark.looptime
async def test_a_room_that_opens_later_does_so_when_somebody_has_waited() -> None:
    bbb = DemoBbb()
    registry = Registry(9, FakeTally())

    async def is_running_after(seconds: float) -> bool:
        await asyncio.sleep(seconds)
        return bbb._rooms["later"].running

    with registry.admit("a", trunk="t", number_called="n") as record:
        ushering = asyncio.create_task(run.open_rooms_for_waiters(registry, bbb))
        assert not await is_running_after(30)
        record.enters(room="later", server="demo", label=None)
        record.is_now(CallState.WAITING)
        assert not await is_running_after(19)
        assert await is_running_after(2)
        ushering.cancel()
        await asyncio.wait([ushering])
