# SPDX-License-Identifier: GPL-3.0-or-later
"""G.711 µ-law and A-law to and from 16-bit linear samples, by table.

The tables follow ITU-T G.711 and give the octets of the ITU's reference code (G.191 STL):
a negative sample is coded as its one's complement, so the two halves mirror each other.
Whose audio it is, and what is done with the samples, is left to others.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

ULAW_SILENCE = 0xFF
"""The octet that µ-law sends for zero."""
ALAW_SILENCE = 0xD5
"""The octet that A-law sends for zero."""


def ulaw_decode(payload: bytes | bytearray | memoryview) -> array[int]:
    """µ-law octets to 16-bit samples."""
    return array("h", map(_ULAW_TO_LINEAR.__getitem__, payload))


def alaw_decode(payload: bytes | bytearray | memoryview) -> array[int]:
    """A-law octets to 16-bit samples."""
    return array("h", map(_ALAW_TO_LINEAR.__getitem__, payload))


def ulaw_encode(samples: Iterable[int]) -> bytes:
    """16-bit samples to µ-law octets."""
    return bytes(map(_LINEAR_TO_ULAW.__getitem__, samples))


def alaw_encode(samples: Iterable[int]) -> bytes:
    """16-bit samples to A-law octets."""
    return bytes(map(_LINEAR_TO_ALAW.__getitem__, samples))


# A code of seven bits is a segment (three bits) and a step in it (four bits).


def _ulaw_magnitude(code: int) -> int:
    """The output value of G.711 table 2a, scaled from 14 to 16 bits."""
    segment, step = code >> 4, code & 0x0F
    return (((step << 3) + 132) << segment) - 132


def _alaw_magnitude(code: int) -> int:
    """The output value of G.711 table 1a, scaled from 13 to 16 bits."""
    segment, step = code >> 4, code & 0x0F
    return (step << 4) + 8 if segment == 0 else ((step << 4) + 264) << (segment - 1)


def _ulaw_intervals() -> Iterator[int]:
    """How many samples each code stands for; the bias of 33/8192 shortens the first interval."""
    yield 4
    for code in range(1, 127):
        yield 8 << (code >> 4)
    yield (8 << 7) + 132  # the last interval takes what lies above the clipping level


def _alaw_intervals() -> Iterator[int]:
    for code in range(128):
        yield 16 << max((code >> 4) - 1, 0)


def _encoding_table(intervals: Iterable[int], positive: int, negative: int) -> bytes:
    """The table is indexed by the signed sample: Python counts negative indices from its end."""
    codes = [code for code, width in enumerate(intervals) for _ in range(width)]
    return bytes(positive ^ code for code in codes) + bytes(
        negative ^ code for code in reversed(codes)
    )


_ULAW_TO_LINEAR = array(
    "h",
    [-_ulaw_magnitude(0x7F ^ octet) for octet in range(128)]
    + [_ulaw_magnitude(0xFF ^ octet) for octet in range(128, 256)],
)
_ALAW_TO_LINEAR = array(
    "h",
    [-_alaw_magnitude(octet ^ 0x55) for octet in range(128)]
    + [_alaw_magnitude(octet ^ 0xD5) for octet in range(128, 256)],
)
_LINEAR_TO_ULAW = _encoding_table(_ulaw_intervals(), 0xFF, 0x7F)
_LINEAR_TO_ALAW = _encoding_table(_alaw_intervals(), 0xD5, 0x55)
