# SPDX-License-Identifier: GPL-3.0-or-later
"""The media engine that needs nothing else installed: worker processes of our own.

Deals legs out to workers, and says which local addresses and ports are ours. What happens when a
worker dies is in `seat`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

from dialin.errors import OperatorError
from dialin.media.addresses import networks
from dialin.media.engine import MediaLeg, MediaRefused, NoMediaPort
from dialin.media.messages import Begin, Join, Part
from dialin.media.proxy import EmbeddedLeg
from dialin.media.seat import Seat

Latch = Literal["sdp", "same-ip"]


class EmbeddedEngine:
    """Implements `engine.MediaEngine`. Used as `async with EmbeddedEngine(...) as engine`."""

    def __init__(
        self,
        *,
        workers: int,
        port_range: tuple[int, int],
        quarantine_s: float,
        media_timeout_s: float,
        latch: Latch = "sdp",
    ) -> None:
        self._first_port, self._last_port = port_range
        self._shares = _shares(*port_range, workers)
        self._quarantine_s = quarantine_s
        self._media_timeout_s = media_timeout_s
        self._latch = latch
        self._hosts: set[str] = set()
        self._seats: list[Seat] = []

    async def start(self) -> None:
        """Start the workers. Raises OperatorError."""
        for first, last in self._shares:
            begin = Begin(
                request=0,
                first_port=first,
                last_port=last,
                quarantine_s=self._quarantine_s,
                media_timeout_s=self._media_timeout_s,
                latch=self._latch,
            )
            self._seats.append(Seat(begin, is_own=self._is_own))
        try:
            async with asyncio.TaskGroup() as group:
                for seat in self._seats:
                    group.create_task(seat.begin())
        except* OperatorError as failures:
            await self.close()
            raise failures.exceptions[0] from None

    async def open(
        self,
        *,
        host: str,
        allowed: Sequence[str],
        beside: MediaLeg | None = None,
        timeout_s: float | None = None,
    ) -> EmbeddedLeg:
        """A leg with the worker that has the fewest, or with that of another leg."""
        permitted = networks(allowed)
        self._hosts.add(host)
        refusal = NoMediaPort("no media worker")
        for seat in self._candidates(beside):
            try:
                return await seat.open(host, permitted, timeout_s)
            except NoMediaPort as reason:
                refusal = reason
        raise refusal

    async def bridge(self, a: MediaLeg, b: MediaLeg) -> None:
        """Let both hear each other. Raises MediaRefused."""
        one, other = self._pair(a, b)
        await one.ask(lambda request: Join(request, one.number, other.number))

    async def unbridge(self, a: MediaLeg, b: MediaLeg) -> None:
        """Part them, if they are bridged with each other; not possible is done already."""
        try:
            one, other = self._pair(a, b)
            await one.ask(lambda request: Part(request, one.number, other.number))
        except MediaRefused:
            pass  # with either leg the bridge has gone

    async def close(self) -> None:
        """End all legs and all workers."""
        async with asyncio.TaskGroup() as group:
            for seat in self._seats:
                group.create_task(seat.close())
        self._seats.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The processes that work now."""
        return tuple(seat.worker_pid for seat in self._seats if seat.worker_pid is not None)

    def _candidates(self, beside: MediaLeg | None) -> list[Seat]:
        if beside is not None:
            return [s for s in self._seats if isinstance(beside, EmbeddedLeg) and s.has(beside)]
        return sorted(self._seats, key=len)

    def _pair(self, a: MediaLeg, b: MediaLeg) -> tuple[EmbeddedLeg, EmbeddedLeg]:
        if not isinstance(a, EmbeddedLeg) or not isinstance(b, EmbeddedLeg):
            raise MediaRefused("legs of another engine")
        if a.worker is not b.worker:
            raise MediaRefused("opened with different workers")
        return a, b

    def _is_own(self, host: str, port: int) -> bool:
        """Whether a remote address is one of our own ports, which would send media in a circle."""
        return host in self._hosts and self._first_port <= port <= self._last_port


def _shares(first: int, last: int, workers: int) -> list[tuple[int, int]]:
    """The port range cut into one share of whole pairs a worker."""
    first += first % 2
    pairs = (last + 1 - first) // 2
    if workers < 1 or pairs < workers:
        raise OperatorError(
            f"The RTP ports {first} to {last} do not make a pair for each of {workers} workers.",
            "Set a wider range, or fewer workers but at least one.",
        )
    cuts = [first + 2 * (pairs * index // workers) for index in range(workers + 1)]
    return [(cut, following - 1) for cut, following in itertools.pairwise(cuts)]
