# SPDX-License-Identifier: GPL-3.0-or-later
"""How loud a recording is while somebody speaks, and how it is brought to level and length.

Pure: samples in, samples out. All prompts are to sound alike loud, whoever made them, and none may
begin or end with a click or a long silence. Reading and writing files is left to `recording`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from operator import mul

FRAMES_PER_S = 50
MASTER_HZ = 16_000
"""The rate at which recordings are shaped."""
SPEECH_DBOV = -22.0
"""Active speech level of every prompt."""
MUSIC_DBOV = -26.0
"""Music stays below the voice that interrupts it."""
LEAD_S, TRAIL_S = 0.05, 0.15
"""Silence before and behind a prompt."""
MARGIN_DB = 15.9
"""What lies further below the level is no speech (ITU-T P.56)."""
EDGE_DB = 38.0
"""Speech begins and ends where it is within this of its level."""
SLICE_S = 0.005
"""How finely beginning and end are looked for, and how long the voice fades in and out."""
LOUDEST = 0.9 * 32767
CLICK_S, GAP_S = 0.05, 0.3
"""What sounds so shortly behind, or before, so long a pause is the button of the recorder."""
SILENCE_DBOV = -60.0
"""What stays below this everywhere is silence."""


def decibels(power: float) -> float:
    """A mean square against that of a full-scale square wave (dBov, ITU-T G.100.1)."""
    return 10 * math.log10(max(power, 1e-3) / 32768**2)


def powers(samples: Sequence[int], width: int) -> list[float]:
    """The mean squares of slices `width` samples long; the last may be shorter."""
    slices = (samples[start : start + width] for start in range(0, len(samples), width))
    return [sum(map(mul, part, part)) / len(part) for part in slices]


def active_level(samples: Sequence[int], rate_hz: int) -> float | None:
    """The level while somebody speaks, in dBov; None for a recording without sound."""
    active = [
        power
        for power in powers(samples, rate_hz // FRAMES_PER_S)
        if decibels(power) > SILENCE_DBOV
    ]
    while active:
        level = decibels(sum(active) / len(active))
        louder = [power for power in active if decibels(power) > level - MARGIN_DB]
        if len(louder) == len(active):
            return level
        active = louder
    return None


def edges(samples: Sequence[int], rate_hz: int) -> tuple[int, int] | None:
    """The first sample of the sound and the one behind its last; None without sound."""
    level = active_level(samples, rate_hz)
    if level is None:
        return None
    width = round(rate_hz * SLICE_S)
    loud = [
        index
        for index, power in enumerate(powers(samples, width))
        if decibels(power) > level - EDGE_DB
    ]
    islands = _islands(loud, round(GAP_S / SLICE_S))
    while len(islands) > 1 and len(islands[-1]) * SLICE_S < CLICK_S:
        islands.pop()
    while len(islands) > 1 and len(islands[0]) * SLICE_S < CLICK_S:
        islands.pop(0)
    return islands[0][0] * width, min(len(samples), (islands[-1][-1] + 1) * width)


def _islands(indices: Sequence[int], gap: int) -> list[list[int]]:
    """Rising indices in groups, a new one wherever they leap by `gap` or more."""
    groups = [[indices[0]]]
    for one, other in pairwise(indices):
        if other - one >= gap:
            groups.append([])
        groups[-1].append(other)
    return groups


def at_level(samples: Sequence[int], rate_hz: int, dbov: float) -> array[int] | None:
    """The samples as loud as wanted, or as loud as they can be; None without sound."""
    level = active_level(samples, rate_hz)
    if level is None:
        return None
    gain = min(10 ** ((dbov - level) / 20), LOUDEST / max(map(abs, samples)))
    return array("h", (round(sample * gain) for sample in samples))


def shaped(samples: Sequence[int]) -> array[int] | None:
    """A recording at 16 kHz cut to its sound, at level, with silence around it, in whole frames.

    None for a recording without sound.
    """
    found = edges(samples, MASTER_HZ)
    speech = at_level(samples[slice(*found)], MASTER_HZ, SPEECH_DBOV) if found else None
    if speech is None:
        return None
    fade = min(round(MASTER_HZ * SLICE_S), len(speech) // 2)
    for index in range(fade):
        speech[index] = speech[index] * index // fade
        speech[-1 - index] = speech[-1 - index] * index // fade
    lead, trail = round(MASTER_HZ * LEAD_S), round(MASTER_HZ * TRAIL_S)
    return whole_frames(array("h", bytes(2 * lead)) + speech + array("h", bytes(2 * trail)))


def whole_frames(samples: array[int]) -> array[int]:
    """Samples at 16 kHz, with silence behind them up to a whole frame of 20 ms."""
    return samples + array("h", bytes(2 * (-len(samples) % (MASTER_HZ // FRAMES_PER_S))))
