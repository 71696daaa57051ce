# SPDX-License-Identifier: GPL-3.0-or-later
"""What the test phone hears: RTP payloads laid out in time, and the questions a test asks of them.

Levels are in dBov, against a full-scale square wave (ITU-T G.100.1). How the packets come is left
to `stack`.
"""

from __future__ import annotations

import math
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dialin.wire import g711
from dialin.wire.tone import RATE_HZ, mean_square, power

FRAME = RATE_HZ // 50
BLOCK = RATE_HZ // 10
"""Tones are sought in blocks of 100 ms: a lost packet spoils one block and not the window."""
SOUND_DBOV = -45.0
"""What lies above is a sound: prompts are at -22, line noise is below -60."""
FLOOR_DBOV = -100.0
"""The level of nothing at all."""
TONE_SHARE = 0.2
"""The part of the power that a tone holds where it can be told from speech; 3 talkers leave 0.3."""
RESYNC = RATE_HZ // 2
"""A timestamp this far from the clock belongs to a new stream (RFC 3550 A.1 has it likewise)."""


def dbov(mean_power: float) -> float:
    """Mean square of 16-bit samples as a level."""
    return max(FLOOR_DBOV, 10 * math.log10(mean_power / 32768**2)) if mean_power else FLOOR_DBOV


@dataclass(frozen=True, slots=True)
class Recording:
    """What a caller heard, from the answer to the end. Times are in seconds after the answer."""

    samples: array[int] = field(repr=False)
    """8000 a second; silence where nothing came."""
    received_s: float
    """How much audio came, loud or not."""
    first_sound_s: float | None
    """When the first sound came; None: never."""

    def window(self, start_s: float = 0.0, end_s: float | None = None) -> array[int]:
        """The samples between two times."""
        end = len(self.samples) if end_s is None else round(end_s * RATE_HZ)
        return self.samples[round(start_s * RATE_HZ) : end]

    def level_dbov(self, start_s: float = 0.0, end_s: float | None = None) -> float:
        """The level of all that is in a window."""
        return dbov(mean_square(self.window(start_s, end_s)))

    def tone_dbov(
        self, frequency_hz: float, start_s: float = 0.0, end_s: float | None = None
    ) -> float:
        """The level of one frequency in a window."""
        return dbov(_tone_power(self.window(start_s, end_s), frequency_hz))

    def has_tone(
        self, frequency_hz: float, start_s: float = 0.0, end_s: float | None = None
    ) -> bool:
        """Whether a tone, rather than speech that passes over its frequency, is in a window."""
        window = self.window(start_s, end_s)
        found = _tone_power(window, frequency_hz)
        return dbov(found) > SOUND_DBOV and found >= TONE_SHARE * mean_square(window)

    def sounding_s(self, start_s: float = 0.0, end_s: float | None = None) -> float:
        """How long there was a sound in a window."""
        window = self.window(start_s, end_s)
        frames = (window[first : first + FRAME] for first in range(0, len(window), FRAME))
        return sum(dbov(mean_square(frame)) > SOUND_DBOV for frame in frames) * FRAME / RATE_HZ

    def write(self, path: Path) -> None:
        """Keep it as a WAV file: 8 kHz, mono, 16 bits."""
        with path.open("wb") as file, wave.open(file, "wb") as audio:
            audio.setnchannels(1)
            audio.setsampwidth(2)
            audio.setframerate(RATE_HZ)
            audio.writeframes(self.samples.tobytes())


def _tone_power(window: Sequence[int], frequency_hz: float) -> float:
    blocks = [window[first : first + BLOCK] for first in range(0, len(window), BLOCK)]
    return sum(power(block, frequency_hz) * len(block) for block in blocks) / (len(window) or 1)


class TimeLine:
    """Lays µ-law payloads where their timestamps say. One thread writes to it."""

    def __init__(self) -> None:
        self.first_sound_s: float | None = None
        """When the first sound came, in seconds after the answer."""
        self._octets = bytearray()
        self._received = 0
        self._ssrc: int | None = None
        self._timestamp = 0
        self._position = 0

    def add(self, ssrc: int, timestamp: int, payload: bytes, at_s: float) -> None:
        """Take in a packet that came `at_s` after the answer."""
        position = self._place(ssrc, timestamp, round(at_s * RATE_HZ))
        if position > len(self._octets):
            self._octets += bytes([g711.ULAW_SILENCE]) * (position - len(self._octets))
        self._octets[position : position + len(payload)] = payload
        self._received += len(payload)
        if self.first_sound_s is None:
            level = dbov(mean_square(g711.ulaw_decode(payload)))
            self.first_sound_s = position / RATE_HZ if level > SOUND_DBOV else None

    def recording(self) -> Recording:
        """All that came so far."""
        samples = g711.ulaw_decode(self._octets)
        return Recording(samples, self._received / RATE_HZ, self.first_sound_s)

    def _place(self, ssrc: int, timestamp: int, arrival: int) -> int:
        """A packet belongs where its timestamp says; the first one of a stream where it came."""
        # Timestamps wrap at 2**32 (RFC 3550 §5.1): the difference is taken as a signed number.
        step = (timestamp - self._timestamp + 2**31) % 2**32 - 2**31
        position = self._position + step
        if ssrc != self._ssrc or abs(position - arrival) > RESYNC:
            self._ssrc, self._timestamp, self._position = ssrc, timestamp, arrival
            return arrival
        return max(position, 0)
