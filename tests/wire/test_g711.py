# SPDX-License-Identifier: GPL-3.0-or-later
"""G.711 against the tables of the recommendation."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire import g711

SAMPLES = st.integers(-32768, 32767)
ALL_OCTETS = bytes(range(256))


class TestULaw:
    def test_output_values_of_table_2a(self) -> None:
        # Decoder output values of the recommendation (14 bits), at the ends of each segment.
        octets = bytes([0x80, 0x8F, 0x9F, 0xAF, 0xBF, 0xCF, 0xDF, 0xEF, 0xFE, 0xFF])
        values = [8031, 4191, 2079, 1023, 495, 231, 99, 33, 2, 0]
        assert g711.ulaw_decode(octets) == array("h", [4 * value for value in values])

    def test_negative_values_mirror_positive_ones(self) -> None:
        positive = g711.ulaw_decode(bytes(range(0x80, 0x100)))
        negative = g711.ulaw_decode(bytes(range(0x00, 0x80)))
        assert [-value for value in positive] == list(negative)

    def test_decision_values_of_table_2a(self) -> None:
        # 8159 is the virtual decision value, above which everything is clipped.
        samples = [32767, 4 * 8159, 4 * 7903, 4 * 7903 - 1, 4 * 4063, 4 * 4063 - 1, 4, 3, 0]
        octets = [0x80, 0x80, 0x80, 0x81, 0x8F, 0x90, 0xFE, 0xFF, 0xFF]
        assert g711.ulaw_encode(samples) == bytes(octets)

    def test_negative_samples_are_coded_as_their_ones_complement(self) -> None:
        assert g711.ulaw_encode([-1, -4, -5, -32768]) == bytes([0x7F, 0x7F, 0x7E, 0x00])

    def test_each_octet_survives_decoding_and_encoding(self) -> None:
        there_and_back = g711.ulaw_encode(g711.ulaw_decode(ALL_OCTETS))
        assert there_and_back == ALL_OCTETS.replace(b"\x7f", b"\xff")  # minus zero becomes zero

    @given(SAMPLES)
    def test_the_error_stays_within_half_a_step(self, sample: int) -> None:
        (decoded,) = g711.ulaw_decode(g711.ulaw_encode([sample]))
        clipped = max(-32635, min(32635, sample))
        assert abs(decoded - clipped) <= max(4, (abs(clipped) + 132) / 32)

    def test_silence_is_zero(self) -> None:
        assert g711.ulaw_encode([0]) == bytes([g711.ULAW_SILENCE])


class TestALaw:
    def test_output_values_of_table_1a(self) -> None:
        # Decoder output values of the recommendation (13 bits), before even bits are inverted.
        codes = [0x80, 0x8F, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0, 0xFF]
        values = [1, 31, 33, 66, 132, 264, 528, 1056, 2112, 4032]
        octets = bytes(code ^ 0x55 for code in codes)
        assert g711.alaw_decode(octets) == array("h", [8 * value for value in values])

    def test_negative_values_mirror_positive_ones(self) -> None:
        positive = g711.alaw_decode(bytes(code | 0x80 for code in range(0x80)))
        negative = g711.alaw_decode(bytes(range(0x80)))
        assert [-value for value in positive] == list(negative)

    def test_decision_values_of_table_1a(self) -> None:
        samples = [32767, 8 * 3968, 8 * 3968 - 1, 8 * 2048, 8 * 2048 - 1, 16, 15, 0]
        codes = [0xFF, 0xFF, 0xFE, 0xF0, 0xEF, 0x81, 0x80, 0x80]
        assert g711.alaw_encode(samples) == bytes(code ^ 0x55 for code in codes)

    def test_negative_samples_are_coded_as_their_ones_complement(self) -> None:
        codes = [0x00, 0x00, 0x01, 0x7F]
        assert g711.alaw_encode([-1, -16, -17, -32768]) == bytes(code ^ 0x55 for code in codes)

    def test_each_octet_survives_decoding_and_encoding(self) -> None:
        assert g711.alaw_encode(g711.alaw_decode(ALL_OCTETS)) == ALL_OCTETS

    @given(SAMPLES)
    def test_the_error_stays_within_half_a_step(self, sample: int) -> None:
        (decoded,) = g711.alaw_decode(g711.alaw_encode([sample]))
        assert abs(decoded - sample) <= max(8, (abs(sample) + 1) / 32)

    def test_silence_is_zero(self) -> None:
        assert g711.alaw_encode([0]) == bytes([g711.ALAW_SILENCE])


@pytest.mark.parametrize("decode", [g711.ulaw_decode, g711.alaw_decode])
def test_any_buffer_is_decoded(decode: Callable[[bytes | bytearray | memoryview], object]) -> None:
    assert decode(memoryview(ALL_OCTETS)) == decode(bytearray(ALL_OCTETS)) == decode(ALL_OCTETS)
