# SPDX-License-Identifier: GPL-3.0-or-later
"""All trunks that log in: a task for each, how each stands, and leaving.

A task that fails by a fault of ours ends no call and no other trunk's: it begins anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
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
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Register, and stay registered until `close`."""
        self._tasks = tasks
        for name in self._make:
            self._start(name)

    async def change(
        self, make: Mapping[str, Callable[[], TrunkRegistration]], changed: Collection[str]
    ) -> None:
        """Other trunks from now on; those that stay and are not among the `changed` are not
        touched. What is gone or changed is taken back first, as far as the provider answers."""
        ending = {name for name in self._running if name not in make or name in changed}
        await self._leave([self._trunks.pop(name) for name in ending if name in self._trunks])
        for name in ending:
            self._running.pop(name).cancel()
        self._make = dict(make)
        for name in self._make.keys() - self._running.keys():
            self._start(name)

    async def renew(self, name: str) -> None:
        """Take one registration back and make it anew; a trunk that has none is passed over."""
        await self.change(self._make, [name] if name in self._make else [])

    def _start(self, name: str) -> None:
        if self._tasks is not None:
            keeping = self._keep(name, self._make[name])
            self._running[name] = self._tasks.create_task(keeping, name=f"registration {name}")

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
        await self._leave(self._trunks.values())
        for task in self._running.values():
            task.cancel()

    async def _leave(self, trunks: Iterable[TrunkRegistration]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN_S), asyncio.TaskGroup() as leaving:
                for trunk in trunks:
                    leaving.create_task(trunk.leave())
