# SPDX-License-Identifier: GPL-3.0-or-later
"""One deadline for each of many owners, and which comes first.

Keeps no clock: the caller says what time it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from typing import Protocol


class Alarmed(Protocol):
    """Something that waits for a moment."""

    def alarm(self, now: float) -> None:
        """The moment has come."""


class Alarms:
    """The earliest of all deadlines, in logarithmic time."""

    def __init__(self) -> None:
        self._due: dict[Alarmed, float] = {}
        self._heap: list[tuple[float, int, Alarmed]] = []
        self._order = count()

    def set(self, owner: Alarmed, at: float) -> None:
        """Wake the owner at this moment instead of any earlier arrangement."""
        self._due[owner] = at
        heappush(self._heap, (at, next(self._order), owner))

    def clear(self, owner: Alarmed) -> None:
        """Let the owner sleep."""
        self._due.pop(owner, None)

    def next(self) -> float | None:
        """The earliest moment that anybody waits for."""
        while self._heap:
            at, _, owner = self._heap[0]
            if self._due.get(owner) == at:
                return at
            heappop(self._heap)  # cleared or set anew since
        return None

    def due(self, now: float) -> Iterator[Alarmed]:
        """Each owner whose moment has come, once; its alarm is off before it is yielded."""
        while (at := self.next()) is not None and at <= now:
            owner = heappop(self._heap)[2]
            del self._due[owner]
            yield owner

    def __len__(self) -> int:
        return len(self._due)
