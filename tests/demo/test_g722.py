# SPDX-License-Identifier: GPL-3.0-or-later
"""The lower band of G.722, with the shipped prompts, which another coder made, as a witness."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dialin
from dialin.demo import g722
from dialin.wire import g711, tone

SOUNDS = Path(dialin.__file__).parent / "sounds"


def signal_to_noise_db(clean: Sequence[int], coded: Sequence[int]) -> float:
    noise = [a - b for a, b in zip(clean, coded, strict=True)]
    return 10 * math.log10(tone.mean_square(clean) / tone.mean_square(noise))


def test_it_is_bit_exact() -> None:
    """FFmpeg codes the lower band to the same bits, and its decoder gives these samples once they
    have gone through the receive filter of the recommendation; compared when this was written."""
    rough = [
        max(
            -32768,
            min(
                32767,
                sample * (index // 800 % 4) // 2
                + (index * 7919 % 4001 - 2000) * (index // 400 % 3),
            ),
        )
        for index, sample in enumerate(tone.sine(440, 1000, amplitude=9000))
    ]
    octets = g722.Encoder().encode(rough)
    samples = b"".join(
        sample.to_bytes(2, "little", signed=True) for sample in g722.Decoder().decode(octets)
    )
    assert hashlib.sha256(octets).hexdigest().startswith("97d8952880ca8eb3")
    assert hashlib.sha256(samples).hexdigest().startswith("fa14acd94fbd350d")


@pytest.mark.parametrize("frequency_hz", [300, 440, 1000, 3000])
def test_a_tone_comes_back_as_it_went(frequency_hz: int) -> None:
    sine = tone.sine(frequency_hz, 500)
    back = g722.Decoder().decode(g722.Encoder().encode(sine))
    assert signal_to_noise_db(sine[800:], back[800:]) > 30


@pytest.mark.parametrize("amplitude", [100, 1000, 30000])
def test_it_adapts_to_loud_and_soft(amplitude: int) -> None:
    sine = tone.sine(440, 500, amplitude=amplitude)
    back = g722.Decoder().decode(g722.Encoder().encode(sine))
    assert tone.power(back[800:], 440) == pytest.approx(amplitude**2 / 2, rel=0.05)


def test_a_prompt_made_by_another_coder_says_the_same_as_its_g711_twin() -> None:
    clip = SOUNDS / "en" / "welcome.g722"
    wide = g722.Decoder().decode(clip.read_bytes())
    narrow = g711.ulaw_decode(clip.with_suffix(".pcmu").read_bytes())
    loudness = [
        [math.sqrt(tone.mean_square(samples[at : at + 400])) for at in range(0, 16000, 400)]
        for samples in (wide, narrow)
    ]
    assert correlation(*loudness) > 0.97


def correlation(a: Sequence[float], b: Sequence[float]) -> float:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    products = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return products / math.sqrt(
        sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)
    )


def test_silence_is_silence() -> None:
    octets = bytes([g722.SILENCE]) * 800
    assert set(g722.Decoder().decode(octets)) == {0}


def test_the_upper_band_is_silent() -> None:
    octets = g722.Encoder().encode(tone.sine(440, 100))
    assert {octet & 0xC0 for octet in octets} == {0xC0}


def test_after_frames_were_lost_the_tone_is_found_again() -> None:
    octets = g722.Encoder().encode(tone.sine(440, 1000))
    decoder = g722.Decoder()
    decoder.decode(octets[:3200])
    back = decoder.decode(octets[4000:])
    assert tone.power(back[1600:], 440) == pytest.approx(8000**2 / 2, rel=0.05)


@given(st.lists(st.integers(-32768, 32767), max_size=200), st.binary(max_size=200))
def test_any_samples_and_any_octets_are_taken(samples: list[int], octets: bytes) -> None:
    assert len(g722.Encoder().encode(samples)) == len(samples)
    assert len(g722.Decoder().decode(octets)) == len(octets)
