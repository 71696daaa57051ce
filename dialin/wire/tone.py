# SPDX-License-Identifier: GPL-3.0-or-later
"""Test tones: make one, and find how much of one is in some samples.

For the demo conference, the test phone and tests, which prove by tones who hears whom.
The detection of keys is in `tones`; coding is in `g711`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence

RATE_HZ = 8000
"""The sampling rate of narrow-band telephony."""


def sine(
    frequency_hz: float, duration_ms: float, *, rate: int = RATE_HZ, amplitude: int = 8000
) -> array[int]:
    """A sine that begins at zero; `amplitude` is its peak."""
    step = 2 * math.pi * frequency_hz / rate
    count = round(duration_ms * rate / 1000)
    return array("h", (round(amplitude * math.sin(step * index)) for index in range(count)))


def power(samples: Sequence[int], frequency_hz: float, *, rate: int = RATE_HZ) -> float:
    """The power of one frequency by Goertzel's algorithm: a sine of peak A has A²/2."""
    if not samples:
        return 0.0
    coefficient = 2 * math.cos(2 * math.pi * frequency_hz / rate)
    previous = before = 0.0
    for sample in samples:
        previous, before = sample + coefficient * previous - before, previous
    squared = previous * previous + before * before - coefficient * previous * before
    return 2 * squared / (len(samples) * len(samples))


def mean_square(samples: Iterable[int]) -> float:
    """The power of all that is in the samples, to set `power` against."""
    squares = [sample * sample for sample in samples]
    return sum(squares) / len(squares) if squares else 0.0
