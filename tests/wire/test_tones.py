# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys by tones in G.711: the limits of Q.23 and Q.24, and what is speech or music and no key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dialin
from dialin.events import Codec
from dialin.wire import g711, tones
from dialin.wire.dtmf import KEYS
from dialin.wire.tones import ToneDigits

SOUNDS = Path(dialin.__file__).parent / "sounds"
LAWS = (Codec.PCMU, Codec.PCMA)
FRAME = 160
FULL_SCALE_PEAK = 32124
"""Of a sine of +3.17 dBm0 (G.711 §8)."""

# ITU-T Q.23
LOW_HZ = {
    key: low for low, keys in zip((697, 770, 852, 941), tones.KEYS, strict=True) for key in keys
}
HIGH_HZ = {
    key: high
    for keys in tones.KEYS
    for key, high in zip(keys, (1209, 1336, 1477, 1633), strict=True)
}


def amplitude(dbm0: float) -> float:
    return FULL_SCALE_PEAK * 10 ** ((dbm0 - 3.17) / 20)


def sines(parts: Sequence[tuple[float, float]], ms: float, phase: float = 0.0) -> list[float]:
    """A sum of sines, given as frequency and peak."""
    steps = [(2 * math.pi * hz / 8000, peak) for hz, peak in parts]
    return [
        sum(peak * math.sin(step * index + phase) for step, peak in steps)
        for index in range(round(ms * 8))
    ]


def key_tones(
    key: str,
    *,
    on_ms: float = 50,
    off_ms: float = 50,
    low_dbm0: float = -10,
    high_dbm0: float = -10,
    off_hz: float = 0.0,
) -> list[float]:
    """One key as a phone sounds it; `off_hz` is a relative error of its frequencies."""
    low = (LOW_HZ[key] * (1 + off_hz), amplitude(low_dbm0))
    high = (HIGH_HZ[key] * (1 + off_hz), amplitude(high_dbm0))
    return sines([low, high], on_ms) + [0.0] * round(off_ms * 8)


def keyed(keys: str, **how: float) -> list[float]:
    return [sample for key in keys for sample in key_tones(key, **how)]


def noise(count: int, dbm0: float, draw: Random) -> list[float]:
    return [draw.gauss(0, amplitude(dbm0) / math.sqrt(2)) for _ in range(count)]


def added(*parts: Sequence[float]) -> list[float]:
    return [sum(samples) for samples in zip(*parts, strict=True)]


def heard(samples: Sequence[float], law: Codec = Codec.PCMU, *, frame: int = FRAME) -> str:
    """The keys that come out when the samples go through a law, in packets of one size."""
    encode = g711.ulaw_encode if law is Codec.PCMU else g711.alaw_encode
    clipped = (max(-32768, min(32767, round(sample))) for sample in samples)
    payload = encode(clipped)
    detector = ToneDigits(law)
    keys: list[str] = []
    for start in range(0, len(payload), frame):
        keys += detector.feed(payload[start : start + frame])
    return "".join(keys)


@pytest.fixture
def draw() -> Random:
    """The same noise each time."""
    return Random(24)  # noqa: S311 - noise, not a secret


class TestKeys:
    @pytest.mark.parametrize("law", LAWS)
    def test_all_sixteen_keys_at_50_ms_on_and_50_ms_off(self, law: Codec) -> None:
        assert heard(keyed(KEYS), law) == KEYS

    @pytest.mark.parametrize("law", LAWS)
    @pytest.mark.parametrize("shift", range(0, 160, 13))
    def test_at_any_place_within_packets_and_blocks(self, law: Codec, shift: int) -> None:
        assert heard([0.0] * shift + keyed(KEYS), law) == KEYS

    @pytest.mark.parametrize("shift", range(0, 160, 31))
    def test_at_40_ms_on_and_40_ms_off(self, shift: int) -> None:
        assert heard([0.0] * shift + keyed(KEYS, on_ms=40, off_ms=40)) == KEYS

    @pytest.mark.parametrize("law", LAWS)
    @pytest.mark.parametrize("dbm0", [-32, -25, -15, -5, -2])
    def test_at_any_level_a_phone_may_have(self, law: Codec, dbm0: float) -> None:
        assert heard(keyed(KEYS, low_dbm0=dbm0, high_dbm0=dbm0), law) == KEYS

    @pytest.mark.parametrize("law", LAWS)
    @pytest.mark.parametrize("twist_db", [-8, -4, 4, 8])
    def test_with_one_tone_louder_than_the_other(self, law: Codec, twist_db: float) -> None:
        assert heard(keyed(KEYS, low_dbm0=-12 + twist_db, high_dbm0=-12), law) == KEYS

    @pytest.mark.parametrize("law", LAWS)
    @pytest.mark.parametrize("off_hz", [-0.015, 0.015])
    def test_with_frequencies_one_and_a_half_per_cent_off(self, law: Codec, off_hz: float) -> None:
        assert heard(keyed(KEYS, off_hz=off_hz), law) == KEYS

    @pytest.mark.parametrize("law", LAWS)
    def test_in_noise_15_db_below(self, law: Codec, draw: Random) -> None:
        samples = keyed(KEYS)
        assert heard(added(samples, noise(len(samples), -22, draw)), law) == KEYS

    def test_everything_bad_at_once(self, draw: Random) -> None:
        samples = keyed(KEYS, low_dbm0=-14, high_dbm0=-18, off_hz=0.01)
        hum = sines([(50, amplitude(-30)), (425, amplitude(-40))], len(samples) / 8)
        assert heard(added(samples, hum, noise(len(samples), -38, draw))) == KEYS

    @pytest.mark.parametrize("law", LAWS)
    @pytest.mark.parametrize("dbm0", [-20, -8])
    def test_through_eight_bit_linear_audio(self, law: Codec, dbm0: float) -> None:
        samples = keyed(KEYS, on_ms=50, low_dbm0=dbm0, high_dbm0=dbm0)
        assert heard([sample // 256 * 256 for sample in samples], law) == KEYS

    @pytest.mark.parametrize("frame", [80, 160, 240, 480, 33])
    def test_in_packets_of_any_length(self, frame: int) -> None:
        assert heard(keyed(KEYS), frame=frame) == KEYS

    def test_the_same_key_again_and_again(self) -> None:
        assert heard(keyed("1111100000")) == "1111100000"

    def test_keys_without_a_pause_between(self) -> None:
        assert heard(keyed("159", on_ms=60, off_ms=0)) == "159"

    def test_a_long_press_is_one_key(self) -> None:
        assert heard(keyed("5", on_ms=3000)) == "5"

    @pytest.mark.parametrize("at", range(500, 1000, 37))
    def test_a_gap_of_10_ms_does_not_make_two_of_one(self, at: int) -> None:
        samples = key_tones("5", on_ms=200)
        samples[at : at + 80] = [0.0] * 80
        assert heard(samples) == "5"

    def test_a_key_in_the_middle_of_background_talk(self, draw: Random) -> None:
        pause = noise(4000, -20, draw)
        assert heard([*pause, *key_tones("5", on_ms=80), *pause, *key_tones("5"), *pause]) == "55"


class TestNoKeys:
    def test_a_tone_of_20_ms_is_none(self) -> None:
        assert heard(keyed(KEYS, on_ms=20)) == ""

    def test_a_tone_below_minus_40_dbm0_is_none(self) -> None:
        assert heard(keyed(KEYS, low_dbm0=-40, high_dbm0=-40)) == ""

    @pytest.mark.parametrize("off_hz", [-0.035, 0.035])
    def test_frequencies_three_and_a_half_per_cent_off_are_none(self, off_hz: float) -> None:
        assert heard(keyed(KEYS, off_hz=off_hz)) == ""

    @pytest.mark.parametrize("twist_db", [-12, -10.2, 10.2, 12])
    def test_a_pair_too_unequal_is_none(self, twist_db: float) -> None:
        assert heard(keyed(KEYS, low_dbm0=-16 + twist_db, high_dbm0=-16)) == ""

    def test_a_second_harmonic_of_the_high_tone_is_a_voice(self) -> None:
        parts = [(770.0, 6000.0), (1336.0, 6000.0)]
        assert heard(sines(parts, 100)) == "5"
        assert heard(sines([*parts, (2672.0, 3000.0)], 100)) == ""

    @pytest.mark.parametrize("beside", [(770.0, 3000.0), (1336.0, 3000.0)])
    def test_a_third_tone_beside_one_of_the_two_is_a_voice(
        self, beside: tuple[float, float]
    ) -> None:
        assert heard(sines([(697, 6000), (1209, 6000)], 100)) == "1"
        assert heard(sines([(697, 6000), (1209, 6000), beside], 100)) == ""

    @pytest.mark.parametrize("hz", [*range(300, 3400, 50), 697, 941, 1209, 1633])
    def test_one_sine_is_none(self, hz: int) -> None:
        assert heard(sines([(hz, 9000)], 120)) == ""

    def test_two_rows_or_two_columns_are_none(self) -> None:
        assert heard(sines([(697, 6000), (941, 6000)], 120)) == ""
        assert heard(sines([(1209, 6000), (1633, 6000)], 120)) == ""
        assert heard(sines([(697, 6000), (941, 6000), (1336, 6000)], 120)) == ""

    def test_chords_are_none(self) -> None:
        """Triads of organ-like tones over two octaves."""
        for semitone in range(0, 24, 2):
            for third in (3, 4):
                roots = (220 * 2 ** ((semitone + step) / 12) for step in (0, third, 7))
                parts = [(root * n, 5000 / n**1.5) for root in roots for n in (1, 2, 3)]
                assert heard(sines(parts, 120)) == ""

    @pytest.mark.parametrize("first_hz", [90, 130, 190, 260])
    def test_gliding_vowels_are_none(self, first_hz: float) -> None:
        """A glottal series through formants that move, as in `aeiou`."""
        assert heard(vowels(first_hz, seconds=2)) == ""

    def test_speech_shaped_noise_is_none(self, draw: Random) -> None:
        """Noise that falls by 6 dB an octave, in syllables of a fifth of a second."""
        level, samples = 0.0, []
        for index in range(8 * 8000):
            level = 0.85 * level + draw.gauss(0, 3000)
            samples.append(level * abs(math.sin(math.pi * index / 1600)))
        assert heard(samples) == ""

    def test_white_noise_is_none(self, draw: Random) -> None:
        assert heard(noise(4 * 8000, -12, draw)) == ""

    def test_a_sweep_is_none(self) -> None:
        phase, samples = 0.0, []
        for index in range(4 * 8000):
            phase += 2 * math.pi * (300 + 3100 * index / 32000) / 8000
            samples.append(9000 * math.sin(phase))
        assert heard(samples) == ""

    @pytest.mark.parametrize("law", LAWS)
    def test_our_own_prompts_that_come_back_as_an_echo_are_none(self, law: Codec) -> None:
        clips = list(SOUNDS.glob(f"*/*.{law.lower()}"))
        assert clips
        for clip in clips:
            detector, payload = ToneDigits(law), clip.read_bytes()
            for start in range(0, len(payload), FRAME):
                assert detector.feed(payload[start : start + FRAME]) == [], clip.name

    def test_silence_is_none(self) -> None:
        assert heard([0.0] * 8000) == ""

    @pytest.mark.parametrize("law", LAWS)
    @given(payloads=st.lists(st.binary(max_size=400), max_size=8))
    def test_any_octets_are_taken(self, law: Codec, payloads: list[bytes]) -> None:
        detector = ToneDigits(law)
        for payload in payloads:
            assert all(key in KEYS for key in detector.feed(payload))


def vowels(first_hz: float, seconds: int) -> list[float]:
    formants = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410))
    count = seconds * 8000
    samples = [0.0] * count
    for harmonic in range(1, int(3400 / first_hz)):
        phase = 0.0
        for index in range(count):
            pitch = first_hz * (1 + 0.15 * math.sin(2 * math.pi * 1.3 * index / 8000))
            phase += 2 * math.pi * pitch * harmonic / 8000
            vowel = formants[index // 2000 % 4]
            gain = sum(1 / (1 + ((pitch * harmonic - hz) / 90) ** 2) for hz in vowel)
            samples[index] += 6000 * gain * math.sin(phase)
    return samples


class TestSilenceIsCheap:
    def test_quiet_packets_are_not_even_decoded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        detector = ToneDigits(Codec.PCMU)
        monkeypatch.setattr(detector, "_decode", None)
        assert detector.feed(bytes([g711.ULAW_SILENCE]) * FRAME) == []

    @pytest.mark.parametrize(("on_ms", "off_ms"), [(60, 60), (82.5, 57.5)])
    def test_a_pause_is_counted_until_the_key_is_up(self, on_ms: float, off_ms: float) -> None:
        assert heard(keyed("55", on_ms=on_ms, off_ms=off_ms)) == "55"

    def test_two_blips_with_silence_between_are_no_key(self) -> None:
        blip = tones.BLOCK / 8
        assert heard(keyed("55", on_ms=blip, off_ms=40 - blip)) == ""
