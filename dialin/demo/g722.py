# SPDX-License-Identifier: GPL-3.0-or-later
"""The lower sub-band of G.722 (ITU-T G.722, 64 kbit/s), as 8 kHz samples.

G.722 is two ADPCM coders for two halves of the spectrum, and the lower one alone is what a
telephone hears. That is enough to mix a wide-band caller with narrow-band ones, at half the work:
what comes is heard up to 4 kHz, what goes has an upper band of silence. Variable names are those
of the recommendation. Coder and decoder keep state, so each stream needs its own.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

SILENCE = 0xFD
"""The octet of the smallest step in both bands; repeated, it is silence to any decoder."""

_UPPER_BAND = 0xC0
_HIGHEST, _LOWEST = 32767, -32768

# Table 14, 15: decision levels and the codes of the intervals between them
_Q6 = (
    *(35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714),
    *(786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919),
)
_ILN = (63, 62, *range(31, 3, -1))
_ILP = tuple(range(61, 31, -1))
# Table 16-18: output of the inverse quantisers, four and six bits
_QM4 = (
    *(0, -20456, -12896, -8968, -6288, -4240, -2584, -1200),
    *(20456, 12896, 8968, 6288, 4240, 2584, 1200, 0),
)
_POSITIVE = (
    *(24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360),
    *(8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576),
    *(3168, 2776, 2400, 2032, 1688, 1360, 1040, 728),
)
_QM6 = (*(-136,) * 4, *(-value for value in _POSITIVE), *_POSITIVE, 432, 136, -432, -136)
# Table 19, 20: how the step adapts
_WL_OF_CODE = tuple(
    (-60, -30, 58, 172, 334, 538, 1198, 3042)[index]
    for index in (0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0)
)
_ILB = (
    *(2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543),
    *(2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025, 3091, 3158, 3228),
    *(3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008),
)


def _saturated(value: int) -> int:
    return _HIGHEST if value > _HIGHEST else _LOWEST if value < _LOWEST else value


class _LowerBand:
    """The predictor and the step size, which coder and decoder adapt in the same way."""

    def __init__(self) -> None:
        self.s = 0
        """The prediction of the next sample."""
        self.det = 32
        """The quantiser's step."""
        self._nb = 0
        self._sz = 0
        self._a = (0, 0)
        self._b = [0] * 6
        self._d = [0] * 6
        self._r = 0
        self._p = (0, 0)

    def adapt(self, code: int) -> None:
        """Learn from the four upper bits of a code."""
        dlow = (self.det * _QM4[code]) >> 15
        self._scale(code)
        p0 = _saturated(self._sz + dlow)
        self._adapt_poles(p0)
        self._adapt_zeros(dlow)
        self._predict(_saturated(self.s + dlow), dlow, p0)

    def _scale(self, code: int) -> None:
        """LOGSCL and SCALEL."""
        nb = ((self._nb * 127) >> 7) + _WL_OF_CODE[code]
        self._nb = nb = 0 if nb < 0 else min(nb, 18432)
        shift = 8 - (nb >> 11)
        base = _ILB[(nb >> 6) & 31]
        self.det = (base >> shift if shift >= 0 else base << -shift) << 2

    def _adapt_poles(self, p0: int) -> None:
        """UPPOL2 and UPPOL1."""
        a1, a2 = self._a
        p1, p2 = self._p
        is_as_before = (p0 < 0) == (p1 < 0)
        wd = _saturated(a1 << 2)
        wd = min(-wd if is_as_before else wd, _HIGHEST) >> 7
        wd += 128 if (p0 < 0) == (p2 < 0) else -128
        a2 = max(-12288, min(12288, wd + ((a2 * 32512) >> 15)))
        a1 = _saturated((192 if is_as_before else -192) + ((a1 * 32640) >> 15))
        limit = 15360 - a2
        self._a = (max(-limit, min(limit, a1)), a2)

    def _adapt_zeros(self, dlow: int) -> None:
        """UPZERO."""
        gain = 128 if dlow else 0
        is_negative = dlow < 0
        self._b = [
            _saturated((gain if (d < 0) == is_negative else -gain) + ((b * 32640) >> 15))
            for b, d in zip(self._b, self._d, strict=True)
        ]

    def _predict(self, r0: int, dlow: int, p0: int) -> None:
        """DELAYA, FILTEP, FILTEZ and PREDIC."""
        d = self._d = [dlow, *self._d[:5]]
        a1, a2 = self._a
        sp = ((a1 * _saturated(2 * r0)) >> 15) + ((a2 * _saturated(2 * self._r)) >> 15)
        sz = sum((b * _saturated(2 * value)) >> 15 for b, value in zip(self._b, d, strict=True))
        self._r, self._p = r0, (p0, self._p[0])
        self._sz = _saturated(sz)
        self.s = _saturated(_saturated(sp) + self._sz)


class Decoder:
    """Octets of one stream to 8 kHz samples."""

    def __init__(self) -> None:
        self._band = _LowerBand()

    def decode(self, octets: bytes) -> array[int]:
        """One sample for each octet."""
        band = self._band
        samples = array("h")
        for octet in octets:
            code = octet & 0x3F
            low = band.s + ((band.det * _QM6[code]) >> 15)
            samples.append(max(-16384, min(16383, low)) << 1)
            band.adapt(code >> 2)
        return samples


class Encoder:
    """8 kHz samples to the octets of one stream."""

    def __init__(self) -> None:
        self._band = _LowerBand()

    def encode(self, samples: Iterable[int]) -> bytes:
        """One octet for each sample, which must fit 16 bits."""
        band = self._band
        octets = bytearray()
        for sample in samples:
            code = _quantised((sample >> 1) - band.s, band.det)
            octets.append(_UPPER_BAND | code)
            band.adapt(code >> 2)
        return bytes(octets)


def _quantised(difference: int, step: int) -> int:
    """QUANTL: the code of the interval that a difference falls in, found by bisection."""
    magnitude = difference if difference >= 0 else -(difference + 1)
    low, high = 0, len(_Q6)
    while low < high:
        middle = (low + high) // 2
        if magnitude < (_Q6[middle] * step) >> 12:
            high = middle
        else:
            low = middle + 1
    return _ILN[low] if difference < 0 else _ILP[low]
