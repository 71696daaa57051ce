# SPDX-License-Identifier: GPL-3.0-or-later
"""Registrations made from scratch where a trunk has been silent for long, and only then."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dialin.app.fresh import keep_fresh
from tests.settings import settings
from tests.settings.test_peer_checks import REGISTER

pytestmark = pytest.mark.looptime

WANTS = {**REGISTER, "trunks.lab.fresh_registration_s": 240}


@dataclass
class World:
    """What is looked at, and what was done."""

    changes: dict[str, Any]
    busy: list[str] = field(default_factory=list)
    invited_at: datetime | None = None
    renewed: list[tuple[str, float]] = field(default_factory=list)

    async def renew(self, name: str) -> None:
        self.renewed.append((name, asyncio.get_running_loop().time() - self.began))

    async def after(self, seconds: float) -> list[float]:
        """When the trunk was registered anew, so long after the start."""
        if not hasattr(self, "began"):
            self.began = asyncio.get_running_loop().time()
            core = SimpleNamespace(
                registry=SimpleNamespace(
                    snapshots=lambda: [SimpleNamespace(trunk=name) for name in self.busy]
                ),
                metrics=SimpleNamespace(last_invite_at=lambda _: self.invited_at),
                registrations=SimpleNamespace(renew=self.renew),
            )
            changeable = SimpleNamespace(settings=settings(self.changes))
            self.task = asyncio.create_task(keep_fresh(cast(Any, changeable), cast(Any, core)))
        await asyncio.sleep(seconds - (asyncio.get_running_loop().time() - self.began))
        return [at for _, at in self.renewed]

    async def end(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def test_a_silent_trunk_is_registered_anew_again_and_again() -> None:
    world = World(WANTS)
    assert await world.after(209) == []
    assert await world.after(800) == pytest.approx([240, 480, 720], abs=31)
    assert {name for name, _ in world.renewed} == {"lab"}
    await world.end()


async def test_calls_keep_a_registration_fresh() -> None:
    world = World(WANTS)
    await world.after(200)
    world.invited_at = datetime.now(UTC)
    assert await world.after(400) == []
    world.invited_at += timedelta(seconds=1)
    assert await world.after(600) == []
    assert len(await world.after(700)) == 1
    await world.end()


async def test_no_registration_is_taken_back_while_a_call_is_up() -> None:
    world = World(WANTS, busy=["lab"])
    assert await world.after(3000) == []
    world.busy.clear()
    assert len(await world.after(3300)) == 1
    await world.end()


async def test_trunks_that_do_not_ask_for_it_are_left_alone() -> None:
    world = World(REGISTER)
    assert await world.after(100_000) == []
    await world.end()
