# SPDX-License-Identifier: GPL-3.0-or-later
"""What the test phone says: keys as tones in the voice, and a talk tone.

Samples are as pyVoIP takes them: 8000 a second, 8 bits, unsigned, 0x80 for silence. The frequencies
are written down here once more, and not taken from `wire.tones`: a phone that shared the bridge's
table would share its mistakes.
"""

from __future__ import annotations

import math

RATE_HZ = 8000
SILENCE = b"\x80"
TONE_MS = 100
"""How long a key sounds; ITU-T Q.24 asks receivers to take 40 ms."""
PAUSE_MS = 100
"""Silence behind each key."""
COMMA_MS = 2000
"""A comma waits as in the dial strings of mobile phones (`,,123#`)."""
PEAK = 40
"""Peak of one frequency, of 127: two together are at about -10 dBov."""

# ITU-T Q.23, table 1: the row's frequency and the column's, in hertz.
_ROWS = {697: "123A", 770: "456B", 852: "789C", 941: "*0#D"}
_COLUMNS = (1209, 1336, 1477, 1633)
_FREQUENCIES = {
    key: (row, column)
    for row, keys in _ROWS.items()
    for key, column in zip(keys, _COLUMNS, strict=True)
}


def tone(*frequencies_hz: float, duration_s: float) -> bytes:
    """Sines of equal strength, added."""
    steps = [2 * math.pi * frequency / RATE_HZ for frequency in frequencies_hz]
    return bytes(
        round(128 + sum(PEAK * math.sin(step * index) for step in steps))
        for index in range(round(duration_s * RATE_HZ))
    )


def silence(duration_s: float) -> bytes:
    return SILENCE * round(duration_s * RATE_HZ)


def keyed(keys: str) -> bytes:
    """The sound of keys pressed in turn. Raises ValueError, which never shows the keys."""
    if not set(keys) <= {*_FREQUENCIES, ","}:
        raise ValueError("keys are 0-9, A-D, * and #, and commas for a pause")
    pieces = []
    for key in keys:
        if key == ",":
            pieces.append(silence(COMMA_MS / 1000))
        else:
            pieces.append(tone(*_FREQUENCIES[key], duration_s=TONE_MS / 1000))
            pieces.append(silence(PAUSE_MS / 1000))
    return b"".join(pieces)
