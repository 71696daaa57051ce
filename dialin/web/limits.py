# SPDX-License-Identifier: GPL-3.0-or-later
"""How often somebody may do something: one bucket a key, refilled in time (token bucket).

The table is bounded: when it is full, the keys that have been quiet for longest make room, whose
buckets have refilled most. Who is a key, and what a refusal looks like, is left to those who ask.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

KEYS_KEPT = 10_000


class Limit:
    """So many times within a period, each key for itself."""

    def __init__(
        self,
        times: int,
        per_s: float,
        *,
        keys: int = KEYS_KEPT,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._times = times
        self._rate = times / per_s
        self._keys = keys
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str) -> int:
        """0 if the key has one more try, else after how many whole seconds it will have one."""
        left = self._left(key)
        return 0 if left >= 1 else math.ceil((1 - left) / self._rate)

    def use(self, key: str) -> None:
        """The key has used up a try."""
        left = self._left(key)
        self._buckets[key] = (left - 1, self._clock())
        self._buckets.move_to_end(key)
        while len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)

    def _left(self, key: str) -> float:
        left, at = self._buckets.get(key, (float(self._times), self._clock()))
        return min(self._times, left + (self._clock() - at) * self._rate)
