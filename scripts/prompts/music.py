# SPDX-License-Identifier: GPL-3.0-or-later
"""The music that callers wait with: written here as notes, played by addition of sines.

Made for a telephone: everything sounds between 300 and 3400 Hz, nothing lasts long enough to be
taken for noise, and no two pure tones stand alone long enough to be taken for a key. It is computed
on a circle, so that the last sample leads to the first. The piece is our own and free of rights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
BEAT_S = 0.8
BARS = 20
BEATS_PER_BAR = 4
SEED = 5

CHORDS = (
    "D4 F#4 A4 E5",
    "B3 D4 F#4 C#5",
    "G4 B4 D5 F#5",
    "A4 C#5 E5 B5",
    "D4 A4 C#5 F#5",
    "F#4 A4 C#5 E5",
    "G4 D5 F#5 A5",
    "E4 G4 B4 D5",
    "E4 B4 D5 F#5",
    "A4 D5 E5 C#5",
)
"""One a bar, low to high; the round is played twice, the second time with the other figure."""
FIGURES = ((0, 2, 1, 3, 2, 1, 2, 0), (0, 1, 2, 3, 1, 2, 3, 1))
"""Which note of the chord each quaver plucks."""
MELODY = (
    "A5 - - F#5", "E5 - - -", "D5 - F#5 -", "E5 - C#5 -", "D5 - - -",
    "C#5 - E5 -", "F#5 - A5 -", "G5 - E5 -", "F#5 - - D5", "E5 - - -",
)  # fmt: skip
"""One note a beat, `-` for none."""

NAMES = {"C": 0, "C#": 1, "D": 2, "D#": 3, "E": 4, "F": 5, "F#": 6, "G": 7, "G#": 8, "A": 9,
         "A#": 10, "B": 11}  # fmt: skip
PLUCK = ((1, 1.0, 0.9), (2, 0.55, 0.55), (3, 0.3, 0.35), (4, 0.12, 0.25), (5, 0.08, 0.2))
"""Partials of a plucked note: multiple, strength, seconds to 1/e."""
BELL = ((1, 1.0, 1.3), (2, 0.3, 0.7), (3.01, 0.22, 0.35))

Samples = NDArray[np.float64]


def hertz(name: str) -> float:
    """The frequency of a note such as `F#4`, by equal temperament from A4 = 440 Hz."""
    return 440.0 * 2 ** ((NAMES[name[:-1]] - 9) / 12 + int(name[-1]) - 4)


def note(name: str, partials: tuple[tuple[float, float, float], ...], strength: float) -> Samples:
    """One note that rises in 8 ms and fades out."""
    t = np.arange(4 * RATE) / RATE
    sound = np.zeros_like(t)
    for multiple, share, fade_s in partials:
        pitch = multiple * hertz(name)
        if 300 <= pitch <= 3300:
            sound += share * np.sin(2 * np.pi * pitch * t) * np.exp(-t / fade_s)
    rise = np.minimum(1, t / 0.008)
    fall = np.minimum(1, (t[-1] - t) / 0.3)
    return strength * sound * rise * fall


def room(dry: Samples) -> Samples:
    """A little reverberation, on the circle."""
    rng = np.random.default_rng(SEED)
    t = np.arange(int(0.9 * RATE)) / RATE
    answer = np.zeros_like(dry)
    answer[: len(t)] = rng.standard_normal(len(t)) * np.exp(-t / 0.18) * 0.012
    answer[0] = 1.0
    spectrum = np.fft.rfft(dry) * np.fft.rfft(answer)
    pitch = np.fft.rfftfreq(len(dry), 1 / RATE)
    spectrum *= np.clip((pitch - 200) / 100, 0, 1) * np.clip((3600 - pitch) / 300, 0, 1)
    return np.fft.irfft(spectrum, len(dry))


def calm() -> NDArray[np.float32]:
    """Sixty-four seconds that go round."""
    rng = np.random.default_rng(SEED)
    ring = np.zeros(round(BARS * BEATS_PER_BAR * BEAT_S * RATE))

    def strike(beat: float, sound: Samples) -> None:
        start = round((beat * BEAT_S + rng.uniform(0, 0.012)) * RATE)
        ring[(start + np.arange(len(sound))) % len(ring)] += sound

    for bar in range(BARS):
        chord = CHORDS[bar % len(CHORDS)].split()
        for quaver, index in enumerate(FIGURES[bar // len(CHORDS)]):
            strength = (0.9 if quaver in (0, 4) else 0.6) * rng.uniform(0.85, 1.0)
            strike(bar * BEATS_PER_BAR + quaver / 2, note(chord[index], PLUCK, strength))
        if bar % len(CHORDS) not in (3, 7) or bar >= len(CHORDS):
            for beat, name in enumerate(MELODY[bar % len(MELODY)].split()):
                if name != "-":
                    strike(bar * BEATS_PER_BAR + beat, note(name, BELL, 0.8))
    sound = room(ring)
    return (sound / np.abs(sound).max() / 2).astype(np.float32)
