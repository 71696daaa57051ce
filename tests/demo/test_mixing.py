# SPDX-License-Identifier: GPL-3.0-or-later
"""Mixing: everybody hears all others, nobody hears himself, and silence costs nothing."""

from __future__ import annotations

import pytest

from dialin.demo.mixing import (
    CHIME_HZ,
    FRAME,
    MOST_OCTETS,
    START_OCTETS,
    Chime,
    Intake,
    Law,
    law_of,
    mix,
)
from dialin.events import Codec
from dialin.wire import tone

ULAW, ALAW = law_of(Codec.PCMU), law_of(Codec.PCMA)


def tone_frame(law: Law, frequency_hz: float, *, amplitude: int = 8000) -> bytes:
    return law.encode(tone.sine(frequency_hz, 20, amplitude=amplitude))


def has_tone(law: Law, frame: bytes, frequency_hz: float) -> bool:
    """Frequencies in these tests are multiples of 50 Hz, which 20 ms tell apart."""
    return tone.power(law.decode(frame), frequency_hz) > 1000**2


class TestMix:
    def test_two_hear_each_other_and_not_themselves(self) -> None:
        heard = mix({"a": (ULAW, tone_frame(ULAW, 450)), "b": (ALAW, tone_frame(ALAW, 700))})
        assert has_tone(ULAW, heard["a"], 700)
        assert not has_tone(ULAW, heard["a"], 450)
        assert has_tone(ALAW, heard["b"], 450)
        assert not has_tone(ALAW, heard["b"], 700)

    def test_three_talkers_hear_the_other_two(self) -> None:
        tones = {"a": 450, "b": 700, "c": 1000}
        heard = mix({key: (ULAW, tone_frame(ULAW, hertz)) for key, hertz in tones.items()})
        for key, own in tones.items():
            found = [hertz for hertz in tones.values() if has_tone(ULAW, heard[key], hertz)]
            assert found == [hertz for hertz in tones.values() if hertz != own]

    def test_one_talker_is_heard_octet_for_octet(self) -> None:
        frame = tone_frame(ULAW, 450)
        assert mix({"a": (ULAW, frame), "b": (ULAW, ULAW.silence)})["b"] == frame

    def test_a_lone_talker_hears_silence(self) -> None:
        assert mix({"a": (ULAW, tone_frame(ULAW, 450))}) == {"a": ULAW.silence}

    def test_all_who_are_silent_share_one_frame(self) -> None:
        frames = dict.fromkeys("bcd", (ULAW, ULAW.silence))
        heard = mix({"a": (ULAW, tone_frame(ULAW, 450)), **frames})
        assert heard["b"] is heard["c"] is heard["d"]

    def test_when_nobody_talks_nothing_is_decoded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        law = Law(Codec.PCMU, NotImplemented, NotImplemented, ULAW.silence, ULAW.has_sound)
        assert mix({"a": (law, law.silence), "b": (law, law.silence)}) == dict.fromkeys(
            "ab", law.silence
        )

    def test_the_faint_noise_of_a_line_is_silence(self) -> None:
        faint = tone_frame(ALAW, 450, amplitude=90)
        assert mix({"a": (ALAW, faint), "b": (ALAW, ALAW.silence)})["b"] == ALAW.silence

    def test_a_sum_that_is_too_loud_is_clipped(self) -> None:
        frame = tone_frame(ULAW, 450, amplitude=32000)
        loud = dict.fromkeys("abc", (ULAW, frame))
        heard = mix({**loud, "d": (ULAW, ULAW.silence)})
        peaks = ULAW.decode(heard["d"])
        assert (max(peaks), min(peaks)) == (32124, -32124)
        assert has_tone(ULAW, heard["d"], 450)

    def test_what_plays_besides_is_heard_by_all(self) -> None:
        music = tone.sine(1000, 20)
        frames = {"a": (ULAW, tone_frame(ULAW, 450)), "b": (ULAW, ULAW.silence)}
        heard = mix(frames, [music])
        assert has_tone(ULAW, heard["a"], 1000)
        assert not has_tone(ULAW, heard["a"], 450)
        assert has_tone(ULAW, heard["b"], 1000)
        assert has_tone(ULAW, heard["b"], 450)

    def test_wide_band_and_narrow_band_members_hear_each_other(self) -> None:
        near, far = law_of(Codec.G722), law_of(Codec.G722)
        wide, narrow = b"", b""
        sine = tone.sine(700, 200)
        for at in range(0, len(sine), FRAME):
            frame = far.encode(sine[at : at + FRAME])
            heard = mix({"w": (near, frame), "n": (ULAW, tone_frame(ULAW, 450))})
            wide, narrow = wide + heard["w"], narrow + heard["n"]
        assert has_tone(ULAW, narrow, 700)
        assert has_tone(far, wide, 450)
        assert not has_tone(law_of(Codec.G722), wide, 700)

    def test_each_wide_band_stream_has_its_own_state(self) -> None:
        laws = {name: law_of(Codec.G722) for name in "ab"}
        heard = mix(
            {
                **{name: (law, law.silence) for name, law in laws.items()},
                "c": (ULAW, tone_frame(ULAW, 450)),
            }
        )
        assert (
            heard["a"]
            == heard["b"]
            == law_of(Codec.G722).encode(ULAW.decode(tone_frame(ULAW, 450)))
        )

    def test_wide_band_silence_is_not_decoded(self) -> None:
        law = law_of(Codec.G722)
        heard = mix({"a": (law, law.silence), "b": (ULAW, ULAW.silence)})
        assert heard == {"a": law.silence, "b": ULAW.silence}

    def test_an_empty_room(self) -> None:
        assert mix({}, [tone.sine(450, 20)]) == {}


class TestIntake:
    def test_a_member_is_heard_once_two_frames_are_there(self) -> None:
        intake = Intake()
        intake.put(b"a" * FRAME)
        assert intake.take() is None
        intake.put(b"b" * FRAME)
        assert intake.take() == b"a" * FRAME
        assert intake.take() == b"b" * FRAME

    def test_after_a_gap_it_waits_again(self) -> None:
        intake = Intake()
        intake.put(bytes(START_OCTETS))
        assert [intake.take() is None for _ in range(3)] == [False, False, True]
        intake.put(bytes(FRAME))
        assert intake.take() is None

    @pytest.mark.parametrize("length", [80, 240, 480, 33])
    def test_packets_of_any_length_become_frames(self, length: int) -> None:
        intake = Intake()
        octets = bytes(range(256)) * 4
        for start in range(0, len(octets), length):
            intake.put(octets[start : start + length])
        frames = [frame for _ in range(6) if (frame := intake.take())]
        assert b"".join(frames) == octets[: 6 * FRAME]

    def test_a_member_who_sends_too_fast_is_cut_back_to_the_newest(self) -> None:
        intake = Intake()
        intake.put(bytes(MOST_OCTETS))
        intake.put(b"n" * START_OCTETS)
        assert intake.take() == b"n" * FRAME
        assert intake.take() == b"n" * FRAME
        assert intake.take() is None


class TestChime:
    def test_it_sounds_softly_fades_and_comes_again(self) -> None:
        chime = Chime()
        period = [chime.next_frame() for _ in range(120)]
        sounding = [frame for frame in period if frame is not None]
        assert len(sounding) == 30
        assert None not in period[:30]
        assert tone.power(sounding[0], CHIME_HZ) > 100 * tone.power(sounding[-1], CHIME_HZ)
        assert max(sounding[0]) < 2000
        assert chime.next_frame() == period[0]
