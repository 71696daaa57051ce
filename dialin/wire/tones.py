# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys as audible tones in G.711, after ITU-T Q.23 (frequencies) and Q.24 (what to accept).

Blocks of 102 samples (12.75 ms) fit the eight frequencies best; a key is two blocks that agree,
a pause is two without it, so 40 ms on and 40 ms off always pass. Speech is kept out by asking
that two tones hold nearly all power, that the high one has no second harmonic, and that the two are
about equally loud. Telephone events are in `dtmf`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from operator import mul

from dialin.events import Codec
from dialin.wire import g711
from dialin.wire.tone import RATE_HZ

BLOCK = 102
"""Samples a block: near whole periods of every row and column, so that they leak little."""
HITS = 2
"""Blocks that must agree on a key."""
PAUSE = 2
"""Blocks without the key after which it may be pressed again."""
LONG_LOSS = 2
"""So many packets lost may have held as much of a key as one block beside them."""
HALF = BLOCK // 2
"""Beside a gap blocks overlap by a half, so that two fit into one packet of 20 ms."""

ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")

QUIETEST_PEAK = 500
"""Two tones of -36 dBm0 each peak at about 700; what stays below this is silence."""
LEAST_POWER = 125_000.0
"""Mean square of two tones of -36 dBm0 each."""
TONES_SHARE = 0.72
"""Of all power in a block: pure tones have 1.0, tones 1.5 % off about 0.85."""
TWIST = 10**0.9
"""Either tone may be 8 dB louder than the other, and 1 dB for what leaks between filters.
Q.24 (annex A) asks for 8 dB of the low tone and 4 dB of the high one."""
HELD_SHARE = 0.5
"""Enough for a key that is down to count as held, so that a gap of 10 ms does not end it (Q.24)."""
NEIGHBOUR = 10**-0.8
"""The next best of the four rows, or columns, is 8 dB below the best."""
HARMONIC = 0.1
"""A voice has a second harmonic; a key's high tone has it 10 dB or more below. That of the low tone
falls between the columns, where NEIGHBOUR finds it."""


class _Tone:
    """One frequency, and how to find its power in a block."""

    __slots__ = ("_cosines", "_sines")

    def __init__(self, frequency_hz: float) -> None:
        step = 2 * math.pi * frequency_hz / RATE_HZ
        self._cosines = [math.cos(step * index) for index in range(BLOCK)]
        self._sines = [math.sin(step * index) for index in range(BLOCK)]

    def power(self, block: Sequence[int]) -> float:
        """A sine of peak A has A²/2. Sums of products, because they run outside the interpreter."""
        real: float = sum(map(mul, block, self._cosines))
        imaginary: float = sum(map(mul, block, self._sines))
        return 2 * (real * real + imaginary * imaginary) / (BLOCK * BLOCK)


_ROWS = tuple(_Tone(frequency) for frequency in ROWS_HZ)
_COLUMNS = tuple(_Tone(frequency) for frequency in COLUMNS_HZ)
_COLUMN_HARMONICS = tuple(_Tone(2 * frequency) for frequency in COLUMNS_HZ)
_TONES_OF = {
    key: (row, column)
    for row, keys in zip(_ROWS, KEYS, strict=True)
    for column, key in zip(_COLUMNS, keys, strict=True)
}


def _loud_octets(decoded: Sequence[int]) -> bytes:
    """The octets of a law that `bytes.translate` is to keep out of quiet frames."""
    return bytes(octet for octet in range(256) if abs(decoded[octet]) >= QUIETEST_PEAK)


_DECODE = {Codec.PCMU: g711.ulaw_decode, Codec.PCMA: g711.alaw_decode}
_LOUD = {law: _loud_octets(decode(bytes(range(256)))) for law, decode in _DECODE.items()}


class ToneDigits:
    """G.711 payloads in, keys out. Raises nothing, whatever the octets are."""

    def __init__(self, law: Codec) -> None:
        self._decode = _DECODE[law]
        self._loud = _LOUD[law]
        self._samples = array("h")
        """Since the last gap: at least the newest block, if there is one."""
        self._unheard = 0
        """Where in them the next block begins."""
        self._candidate: str | None = None
        self._hits = 0
        self._down: str | None = None
        self._misses = 0
        self._lost = 0

    def feed(self, payload: bytes) -> list[str]:
        """Give the keys that this payload completes, mostly none."""
        if not self.hears_something and len(payload.translate(None, self._loud)) == len(payload):
            self._break()  # silence, and nothing that its length could matter to
            return []
        self._samples.extend(self._decode(payload))
        keys, step = [], HALF if self._lost else BLOCK
        while len(self._samples) - self._unheard >= BLOCK:
            keys += self._hear(self._samples[self._unheard : self._unheard + BLOCK])
            self._unheard += step
            step = BLOCK
        self._forget(len(self._samples) - BLOCK - HALF)
        return keys

    def lose(self, packets: int) -> list[str]:
        """So many packets are missing before the next one; give the keys that this completes.

        What sounds beside a loss is taken to sound in it, a pause as well as a key: of a tone of
        100 ms one packet is enough, where all its neighbours are lost.
        """
        keys = self._hear_end()
        if self._misses:
            self._down = None
        if packets >= LONG_LOSS:
            keys += self._press(self._candidate, self._hits + 1)
        self._break()
        self._lost = packets
        return keys

    def rest(self) -> list[str]:
        """The sender has been silent before the next payload (it sends nothing then)."""
        keys = self._hear_end()
        self._break()
        self._candidate = self._down = None
        return keys

    @property
    def hears_something(self) -> bool:
        """Whether the newest audio is a key's, or may turn out to be one's."""
        return self._down is not None or self._candidate is not None

    def _break(self) -> None:
        """What comes does not continue what came."""
        del self._samples[:]
        self._unheard = 0
        self._lost = 0

    def _forget(self, count: int) -> None:
        count = min(count, self._unheard)
        if count > 0:
            del self._samples[:count]
            self._unheard -= count

    def _hear_end(self) -> list[str]:
        """The keys that the last two blocks complete, which overlap."""
        length = len(self._samples)
        starts = [at for at in (length - BLOCK - HALF, length - BLOCK) if at >= 0]
        return [key for at in starts for key in self._hear(self._samples[at : at + BLOCK])]

    def _hear(self, block: Sequence[int]) -> list[str]:
        """The key that this block completes, if it does."""
        heard = _key_of(block)
        hits = 2 if self._lost >= LONG_LOSS else 1
        self._hits = self._hits + hits if heard == self._candidate else hits
        self._candidate = heard
        if self._down is not None:
            missed = PAUSE if self._lost else 1
            self._misses = 0 if _is_held(self._down, block) else self._misses + missed
            if self._misses >= PAUSE:
                self._down = None
        self._lost = 0
        return self._press(heard, self._hits)

    def _press(self, key: str | None, hits: int) -> list[str]:
        """The key goes down, if it was heard so often and is not down yet."""
        if key is None or hits < HITS or key == self._down:
            return []
        self._down, self._misses = key, 0
        return [key]


def _key_of(block: Sequence[int]) -> str | None:
    """The key that sounds through a whole block."""
    total = sum(map(mul, block, block)) / BLOCK
    if total < LEAST_POWER:
        return None
    row, low = _loudest(_ROWS, block)
    if low < total * TONES_SHARE / (1 + TWIST):  # speech mostly ends here
        return None
    column, high = _loudest(_COLUMNS, block)
    if (
        low + high < TONES_SHARE * total
        or low > high * TWIST
        or high > low * TWIST
        or _COLUMN_HARMONICS[column].power(block) > HARMONIC * high
    ):
        return None
    return KEYS[row][column]


def _is_held(key: str, block: Sequence[int]) -> bool:
    """Whether a key that is down may still be: its tones hold much of the power."""
    total: float = sum(map(mul, block, block)) / BLOCK
    return sum(tone.power(block) for tone in _TONES_OF[key]) > HELD_SHARE * total


def _loudest(tones: Sequence[_Tone], block: Sequence[int]) -> tuple[int, float]:
    """Which of four tones stands out, and its power; 0.0 when none does."""
    powers = [tone.power(block) for tone in tones]
    best = max(powers)
    index = powers.index(best)
    if sorted(powers)[-2] > best * NEIGHBOUR:
        return index, 0.0
    return index, best
