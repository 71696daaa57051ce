# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings to what PINs need: the store, the PINs issued for good, the desk, the risk.

What runs when is left to `service`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dialin import selftest
from dialin.budgets import Budgets, Limits, risk_24h
from dialin.errors import OperatorError
from dialin.pin import PinDesk
from dialin.rooms import Room, Rooms
from dialin.settings import Settings
from dialin.static_rooms import StaticRoom, StaticRooms
from dialin.store import FILE_NAME, Store, opened_store
from dialin.web.metrics import Metrics

log = logging.getLogger(__name__)

RISK_EVERY_S = 3600.0
SAFER_PINS = (
    "Let BBB give longer numbers (defaultNumDigitsForTelVoice=9), issue static PINs of 9 "
    "digits, or lower pin.slow_mode_release_per_hour."
)
"""What lowers the chance of a guess."""


@dataclass(frozen=True, slots=True)
class Pins:
    """What the service has for PINs."""

    store: Store
    static: StaticRooms
    desk: PinDesk
    risk: RiskWatch

    def has_lobby(self, meeting_id: str) -> bool:
        """Whether the callers of a meeting are let in by the host one by one."""
        room = self.static.get(meeting_id)
        return room is not None and room.lobby


class RiskWatch:
    """Knows how likely it is that somebody gets into a room by guessing."""

    def __init__(
        self, limits: Limits, rooms: Rooms, static: StaticRooms, *, max_risk: float, accept: bool
    ) -> None:
        self._limits = limits
        self._rooms = rooms
        self._static = static
        self._max_risk = max_risk
        self._accept = accept

    def risk(self) -> float:
        """The chance in 24 hours of guessing without a pause, with the rooms known now."""
        return risk_24h(lengths(self._rooms.known, self._static.all()), self._limits)

    async def judge(self) -> None:
        """Print it, with the rooms of all servers that answer. Raises OperatorError if it is above
        what the settings allow."""
        await self._rooms.look_again()
        risk = self.risk()
        log.info("risk of guessed PINs", extra={"in_24_h": f"{risk:.4%}"})
        if risk > self._max_risk and not self._accept:
            raise OperatorError(*self._sentence(risk))

    async def run(self) -> None:
        """Look again every hour, until cancelled. A service that runs goes on."""
        was_high = False
        while True:
            risk = self.risk()
            is_high = risk > self._max_risk
            if is_high and not was_high:
                log.warning("%s", " ".join(self._sentence(risk)))
            was_high = is_high
            await asyncio.sleep(RISK_EVERY_S)

    def _sentence(self, risk: float) -> tuple[str, str]:
        return (
            f"Somebody who guesses PINs for 24 hours gets into a room with a chance of {risk:.1%}; "
            f"pin.max_risk is {self._max_risk:.1%}.",
            f"{SAFER_PINS} With pin.accept_risk = true the service starts nevertheless.",
        )


@asynccontextmanager
async def opened_pins(
    settings: Settings, rooms: Rooms, metrics: Metrics, tasks: asyncio.TaskGroup
) -> AsyncIterator[Pins]:
    """All of it while the block runs; `rooms` is watching already."""
    pin, limits = settings.pin, make_limits(settings)
    async with opened_store(
        store_file(settings),
        consent_days=settings.store.consent_days,
        failed=metrics.store_failed,
    ) as store:
        static = StaticRooms(store, live=lambda: rooms.known)
        await static.load()
        desk = PinDesk(
            rooms,
            static=static,
            budgets=Budgets(limits),
            count=metrics.pin_keyed,
            own_trunk=selftest.TRUNK,
        )
        risk = RiskWatch(limits, rooms, static, max_risk=pin.max_risk, accept=pin.accept_risk)
        metrics.watch_risk(risk.risk)
        await risk.judge()
        work = [tasks.create_task(store.run(), name="store")]
        work += [tasks.create_task(risk.run(), name="risk of guessed PINs")]
        try:
            yield Pins(store, static, desk, risk)
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)


def lengths(rooms: Iterable[Room], static: Iterable[StaticRoom]) -> Counter[int]:
    """How many PINs of each length lead somewhere."""
    pins = {room.voice_bridge for room in rooms if room.voice_bridge}
    pins |= {room.pin for room in static}
    return Counter(map(len, pins))


def make_limits(settings: Settings) -> Limits:
    """How often a wrong PIN may be keyed."""
    pin = settings.pin
    return Limits(
        wrong_per_caller=pin.wrong_per_caller_per_hour,
        wrong_withheld=pin.wrong_withheld_per_hour,
        slow_above=pin.slow_mode_above_per_hour,
        slow_release=pin.slow_mode_release_per_hour,
    )


def store_file(settings: Settings) -> Path | None:
    """Where the store is kept; None for memory."""
    return settings.service.state_directory / FILE_NAME if settings.store.keep else None
