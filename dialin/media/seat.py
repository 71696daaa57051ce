# SPDX-License-Identifier: GPL-3.0-or-later
"""A share of the RTP ports, and the worker that has it now.

When the worker dies, its legs are lost and another takes the seat. The ports that the dead one had
in use rest there first, for far ends that still send to them. Which seat a leg gets is left to
`embedded`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import cast

from dialin.errors import OperatorError
from dialin.media.addresses import Network
from dialin.media.engine import WORKER_LOST, MediaRefused, NoMediaPort
from dialin.media.messages import (
    Begin,
    CloseLeg,
    DigitHeard,
    LegLost,
    Opened,
    OpenLeg,
    Ping,
    Report,
    SetAside,
)
from dialin.media.process import WorkerProcess
from dialin.media.proxy import EmbeddedLeg

logger = logging.getLogger(__name__)

BEGIN_WITHIN_S = 15.0
"""A new worker imports a few modules, on a machine that may be busy."""
YOUNG_S = 10.0
"""A worker that dies at this age would die again at once."""
RESPITE_S = 1.0
"""How long the seat of one that died young stays empty."""


class Seat:
    """Where one worker after the other works."""

    def __init__(self, settings: Begin, *, is_own: Callable[[str, int], bool]) -> None:
        self._settings = settings
        self._is_own = is_own
        self._loop = asyncio.get_running_loop()
        self._numbers = count(1)
        self._legs: dict[int, EmbeddedLeg] = {}
        self._used: deque[tuple[float, str, int]] = deque()
        self._worker: WorkerProcess | None = None
        self._seated_at = 0.0
        self._respite: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._legs)

    @property
    def worker_pid(self) -> int | None:
        """The process that works here now."""
        return self._worker.pid if self._worker else None

    async def begin(self) -> None:
        """Start a worker, and wait until it works. Raises OperatorError."""
        worker = self._sit_down()
        try:
            async with asyncio.timeout(BEGIN_WITHIN_S):
                await worker.send(Ping)[1]
        except (TimeoutError, MediaRefused):
            raise OperatorError(
                "The media worker does not start.", "See what it wrote to the log just before."
            ) from None

    async def open(
        self, host: str, allowed: Sequence[Network], timeout_s: float | None = None
    ) -> EmbeddedLeg:
        """A new leg here. Raises NoMediaPort."""
        worker, number = self._worker, next(self._numbers)
        if worker is None:
            raise NoMediaPort(WORKER_LOST)
        opened = worker.send(lambda request: OpenLeg(request, number, host, timeout_s))[1]
        try:
            port = cast(Opened, await opened).rtp_port
        except MediaRefused as refusal:
            raise NoMediaPort(refusal.cause) from None
        except asyncio.CancelledError:
            worker.tell(lambda request: CloseLeg(request, number))
            raise
        if worker is not self._worker:  # it has died since it answered
            raise NoMediaPort(WORKER_LOST)
        leg = EmbeddedLeg(
            worker,
            number,
            host=host,
            rtp_port=port,
            allowed=allowed,
            is_own=self._is_own,
            on_close=self._forget,
        )
        self._legs[number] = leg
        return leg

    def has(self, leg: EmbeddedLeg) -> bool:
        """Whether a leg is open here."""
        return self._legs.get(leg.number) is leg

    async def close(self) -> None:
        """End the worker, and all legs with it."""
        if self._respite:
            self._respite.cancel()
        worker, self._worker = self._worker, None
        if worker:
            await worker.close()
        self._lose_legs()

    def _sit_down(self) -> WorkerProcess:
        """Start a worker; it takes commands at once, and does them as soon as it can."""
        worker = WorkerProcess(on_report=self._hear, on_death=self._stand_up)
        worker.tell(lambda request: replace(self._settings, request=request))
        self._forget_rested()
        for _, host, port in self._used:
            worker.tell(partial(SetAside, host=host, port=port))
        self._worker, self._seated_at = worker, self._loop.time()
        return worker

    def _stand_up(self) -> None:
        """The worker has died."""
        self._worker = None
        age_s = self._loop.time() - self._seated_at
        logger.error("media worker lost with %d legs after %.0f s", len(self), age_s)
        self._lose_legs()
        if age_s < YOUNG_S:
            self._respite = self._loop.call_later(RESPITE_S, self._sit_down)
        else:
            self._sit_down()

    def _hear(self, report: Report) -> None:
        leg = self._legs.get(report.leg)
        if leg is None:
            return  # closed while this was on its way
        if isinstance(report, DigitHeard):
            leg.hear(report)
        else:
            leg.lose(report)

    def _lose_legs(self) -> None:
        for leg in list(self._legs.values()):
            self._forget(leg)
            leg.lose(LegLost(leg.number, WORKER_LOST, detail=""))

    def _forget(self, leg: EmbeddedLeg) -> None:
        """A leg is closed or lost; remember its ports until they have rested."""
        if self._legs.pop(leg.number, None):
            self._forget_rested()
            until = self._loop.time() + self._settings.quarantine_s
            self._used.append((until, leg.host, leg.rtp_port))

    def _forget_rested(self) -> None:
        while self._used and self._used[0][0] <= self._loop.time():
            self._used.popleft()
