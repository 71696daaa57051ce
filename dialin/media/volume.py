# SPDX-License-Identifier: GPL-3.0-or-later
"""Louder and quieter, octet by octet: what G.711 allows without a decoder's memory.

G.722 codes differences, so that no octet has a loudness of its own. Whom it is for is left to
`leg`.
"""

from __future__ import annotations

from functools import lru_cache

from dialin.events import Codec
from dialin.wire import g711

PEAK = 32767

_G711 = {
    Codec.PCMU: (g711.ulaw_decode, g711.ulaw_encode),
    Codec.PCMA: (g711.alaw_decode, g711.alaw_encode),
}


@lru_cache
def volume_table(codec: Codec, gain_db: int) -> bytes | None:
    """For `bytes.translate`; None for a codec that cannot be scaled so."""
    if codec not in _G711:
        return None
    decode, encode = _G711[codec]
    factor = 10 ** (gain_db / 20)
    return encode(
        max(-PEAK, min(PEAK, round(sample * factor))) for sample in decode(bytes(range(256)))
    )
