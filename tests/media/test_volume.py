# SPDX-License-Identifier: GPL-3.0-or-later
"""Louder and quieter: octets of G.711 stand for scaled samples."""

from __future__ import annotations

import pytest

from dialin.events import Codec
from dialin.media.volume import volume_table
from dialin.wire import g711

DECODE = {Codec.PCMU: g711.ulaw_decode, Codec.PCMA: g711.alaw_decode}


@pytest.mark.parametrize("codec", DECODE)
@pytest.mark.parametrize("gain_db", [-12, -6, 6, 12])
def test_every_octet_is_scaled_to_within_a_step_and_clips_at_the_top(
    codec: Codec, gain_db: int
) -> None:
    table = volume_table(codec, gain_db)
    assert table is not None
    every = bytes(range(256))
    loudest = max(DECODE[codec](every))
    for before, after in zip(
        DECODE[codec](every), DECODE[codec](every.translate(table)), strict=True
    ):
        wanted = max(-loudest, min(loudest, before * 10 ** (gain_db / 20)))
        assert abs(after - wanted) <= max(16, abs(wanted) / 16)


@pytest.mark.parametrize("codec", DECODE)
def test_silence_stays_silence(codec: Codec) -> None:
    table = volume_table(codec, 12)
    assert table is not None
    silence = {Codec.PCMU: g711.ULAW_SILENCE, Codec.PCMA: g711.ALAW_SILENCE}[codec]
    [loud] = DECODE[codec](bytes([table[silence]]))
    assert abs(loud) <= 40


def test_g722_has_no_volume() -> None:
    assert volume_table(Codec.G722, 6) is None
