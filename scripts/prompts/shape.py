# SPDX-License-Identifier: GPL-3.0-or-later
"""From raw speech to the files that are played: level, silence, master, and one clip a codec.

Every file holds whole 20 ms frames: 320 samples of the 16 kHz master, 160 octets of each codec.
"""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path

import numpy as np
from engines import Samples

RATE = 16_000
FRAME = RATE // 50
LEVEL_DBOV = -22.0
MUSIC_DBOV = -26.0
LEAD = RATE * 50 // 1000
TRAIL = RATE * 150 // 1000
PEAK_LIMIT = 10 ** (-1 / 20)
FADE = RATE * 5 // 1000
# ITU-T P.56 counts as active what lies above the level less this margin.
MARGIN_DB = 15.9
# Speech begins and ends where a 5 ms slice is within this of the active level.
EDGE_DB = 38.0
# What sounds for less than CLICK behind, or before, a pause of GAP is no speech: Pico clicks.
CLICK = RATE * 50 // 1000
GAP = RATE * 300 // 1000

_MASTER = ["-t", "raw", "-e", "signed-integer", "-b", "16", "-c", "1", "-r", str(RATE), "-"]
_RAW_8_KHZ = ["-t", "raw", "-b", "8", "-r", "8000"]
ENCODERS = {
    ".pcmu": ["sox", "-D", *_MASTER, *_RAW_8_KHZ, "-e", "u-law", "-", "rate", "-v"],
    ".pcma": ["sox", "-D", *_MASTER, *_RAW_8_KHZ, "-e", "a-law", "-", "rate", "-v"],
    ".g722": ["ffmpeg", "-loglevel", "error", "-f", "s16le", "-ar", str(RATE), "-ac", "1",
              "-i", "-", "-c:a", "g722", "-f", "g722", "-"],
}  # fmt: skip
"""Commands that take the samples of a master and give the octets of a clip."""


def _power(samples: Samples, width: int) -> np.ndarray:
    whole = samples[: len(samples) // width * width].reshape(-1, width).astype(np.float64)
    return (whole**2).mean(axis=1)


def active_level(samples: Samples) -> float:
    """Level of the 20 ms frames that hold speech, in dB of a full-scale square wave (dBov)."""
    power = _power(samples, FRAME)
    active = power[power > 1e-6]
    while True:
        level = 10 * np.log10(active.mean())
        louder = active[active > 10 ** ((level - MARGIN_DB) / 10)]
        if len(louder) == len(active):
            return float(level)
        active = louder


def at_16_khz(samples: Samples, rate: int) -> Samples:
    """Resample with sox's very-high-quality filter and take out what lies below the voice."""
    raw = ["-t", "raw", "-e", "floating-point", "-b", "32", "-c", "1"]
    done = subprocess.run(
        [
            "sox",
            "-D",
            *raw,
            "-r",
            str(rate),
            "-",
            *raw,
            "-r",
            str(RATE),
            "-",
            "highpass",
            "80",
            "rate",
            "-v",
        ],
        input=samples.tobytes(),
        check=True,
        capture_output=True,
    )
    return np.frombuffer(done.stdout, np.float32)


def shaped(samples: Samples) -> Samples:
    """Trim to the speech, bring it to the level, add the silence before and behind it."""
    slice_width = FADE
    threshold = 10 ** ((active_level(samples) - EDGE_DB) / 10)
    loud = np.flatnonzero(_power(samples, slice_width) > threshold)
    islands = np.split(loud, np.flatnonzero(np.diff(loud) * slice_width >= GAP) + 1)
    while len(islands) > 1 and len(islands[-1]) * slice_width < CLICK:
        islands.pop()
    while len(islands) > 1 and len(islands[0]) * slice_width < CLICK:
        islands.pop(0)
    speech = samples[islands[0][0] * slice_width : (islands[-1][-1] + 1) * slice_width].copy()
    ramp = np.linspace(0, 1, FADE, dtype=np.float32)
    speech[:FADE] *= ramp
    speech[-FADE:] *= ramp[::-1]
    speech *= np.float32(10 ** ((LEVEL_DBOV - active_level(speech)) / 20))
    if np.abs(speech).max() > PEAK_LIMIT:
        raise SystemExit("the voice is too spiky for its level: compress it before it is shaped")
    length = LEAD + len(speech) + TRAIL
    return np.pad(speech, (LEAD, TRAIL + -length % FRAME))


def levelled(music: Samples) -> Samples:
    """Bring what goes round to its level, and leave its ends alone."""
    music = music * np.float32(10 ** ((MUSIC_DBOV - active_level(music)) / 20))
    return np.pad(music, (0, -len(music) % FRAME))


def write_master(samples: Samples, target: Path) -> None:
    """Write the 16 kHz mono PCM16 master."""
    with wave.open(str(target), "wb") as master:
        master.setnchannels(1)
        master.setsampwidth(2)
        master.setframerate(RATE)
        master.writeframes(np.round(samples * 32767).astype("<i2").tobytes())


def derive(master: Path, target: Path, *, goes_round: bool = False) -> None:
    """Write the clips of a master: raw octets as RTP carries them, 8000 a second each.

    A clip that `goes_round` is cut from the middle of three rounds, so that filters and the state
    of G.722 are at its first octet what they are after its last.
    """
    with wave.open(str(master), "rb") as recording:
        samples = recording.readframes(recording.getnframes())
    rounds = 3 if goes_round else 1
    octets = len(samples) // 4
    middle = slice(octets * (rounds // 2), octets * (rounds // 2 + 1))
    for suffix, command in ENCODERS.items():
        done = subprocess.run(command, input=samples * rounds, check=True, capture_output=True)
        target.with_suffix(suffix).write_bytes(done.stdout[middle])
