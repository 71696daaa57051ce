# SPDX-License-Identifier: GPL-3.0-or-later
"""All trunks that log in: a task for each, how each stands, and leaving.

A task that fails by a fault of ours ends no call and no other trunk's: it begins anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from dialin.registration.trunk import Standing, TrunkRegistration

log = logging.getLogger(__name__)

LEAVE_WITHIN_S: Final = 3.0
"""How long providers may take over our leave when the service stops."""
AGAIN_AFTER_S: Final = 60.0
"""After a fault of ours."""


class Registrations:
    """The trunks that log in."""

    def __init__(self, make: Mapping[str, Callable[[], TrunkRegistration]]) -> None:
        """What makes each of them, by the trunks' names."""
        self._make = dict(make)
        self._trunks: dict[str, TrunkRegistration] = {}
        self._running: list[asyncio.Task[None]] = []

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Register, and stay registered until `close`."""
        for name, make in self._make.items():
            running = tasks.create_task(self._keep(name, make), name=f"registration {name}")
            self._running.append(running)

    async def _keep(self, name: str, make: Callable[[], TrunkRegistration]) -> None:
        while True:
            self._trunks[name] = make()
            try:
                await self._trunks[name].run()
            except Exception:  # no fault of ours is worth the calls that are up
                log.exception("a registration failed", extra={"trunk": name})
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                return

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How each trunk stands, by its name."""
        return {name: self._standing(name) for name in self._make}

    def _standing(self, name: str) -> Standing:
        trunk = self._trunks.get(name)
        return trunk.standing if trunk else Standing()

    async def close(self) -> None:
        """Take all registrations back, as far as the providers answer in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN_S), asyncio.TaskGroup() as leaving:
                for trunk in self._trunks.values():
                    leaving.create_task(trunk.leave())
        for task in self._running:
            task.cancel()
