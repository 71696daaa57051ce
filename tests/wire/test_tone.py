# SPDX-License-Identifier: GPL-3.0-or-later
"""Test tones: made, measured, and told apart."""

from __future__ import annotations

import pytest

from dialin.wire import tone


def test_a_sine_lasts_as_long_as_asked_and_peaks_at_its_amplitude() -> None:
    samples = tone.sine(500, 20, amplitude=1000)
    assert len(samples) == 160
    assert (samples[0], max(samples), min(samples)) == (0, 1000, -1000)


def test_the_rate_sets_how_many_samples_a_millisecond_has() -> None:
    assert len(tone.sine(440, 20, rate=16000)) == 320


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_power_of_a_sine_is_half_its_amplitude_squared(rate: int) -> None:
    samples = tone.sine(440, 500, rate=rate, amplitude=6000)
    assert tone.power(samples, 440, rate=rate) == pytest.approx(6000**2 / 2, rel=0.01)
    assert tone.mean_square(samples) == pytest.approx(6000**2 / 2, rel=0.01)


def test_other_frequencies_have_next_to_none_of_it() -> None:
    samples = tone.sine(440, 500, amplitude=6000)
    assert tone.power(samples, 660) < 0.001 * tone.power(samples, 440)


def test_two_tones_are_both_found() -> None:
    mixed = [a + b for a, b in zip(tone.sine(440, 500), tone.sine(660, 500), strict=True)]
    assert tone.power(mixed, 440) == pytest.approx(tone.power(mixed, 660), rel=0.01)


def test_silence_and_nothing_have_no_power() -> None:
    assert tone.power([0] * 160, 440) == 0
    assert tone.power([], 440) == 0
    assert tone.mean_square([]) == 0
