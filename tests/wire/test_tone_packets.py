# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys by tones in packets that are lost, doubled and overtaken: each press is one key."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.events import Codec
from dialin.wire import g711
from dialin.wire.dtmf import KEYS
from dialin.wire.rtp import RtpHeader
from dialin.wire.tone_packets import LATEST, RESTART, TonePackets
from tests.wire.test_tones import key_tones

FRAME = 160
SILENCE = bytes([g711.ULAW_SILENCE]) * FRAME
ON = 5
"""Packets of a tone of 100 ms, when it begins with a packet."""


def packets_of(keys: str, *, off: int = 5) -> list[bytes]:
    """Packets of 20 ms: each key is 100 ms, with so many packets of silence after it."""
    frames = []
    for key in keys:
        samples = key_tones(key, on_ms=20 * ON, off_ms=0, low_dbm0=-10, high_dbm0=-8)
        octets = g711.ulaw_encode(round(sample) for sample in samples)
        frames += [octets[at : at + FRAME] for at in range(0, len(octets), FRAME)]
        frames += [SILENCE] * off
    return frames


class Line:
    """A sender, and what is heard of it."""

    def __init__(self, *, first: int = 0) -> None:
        self.packets = TonePackets(Codec.PCMU)
        self.first = first
        self.heard = ""

    def hear(self, number: int, payload: bytes, *, ssrc: int = 1, late: int = 0) -> None:
        """The packet with this place in the stream; `late`: by so many samples more."""
        header = RtpHeader(
            0, False, (self.first + number) & 0xFFFF, FRAME * number + late, ssrc, 12, len(payload)
        )
        self.heard += "".join(self.packets.feed(header, payload))

    def hear_all(self, frames: list[bytes], order: Iterable[int]) -> str:
        """Packets in an order; then silence, until what waits has been given up."""
        for number in order:
            self.hear(number, frames[number])
        for number in range(len(frames), len(frames) + LATEST):
            self.hear(number, SILENCE)
        return self.heard


def heard(frames: list[bytes], order: Iterable[int], *, first: int = 65530) -> str:
    return Line(first=first).hear_all(frames, order)


def without(count: int, *lost: int) -> list[int]:
    return [number for number in range(count) if number not in lost]


class TestLoss:
    @pytest.mark.parametrize("arrives", range(ON))
    def test_one_packet_of_a_tone_is_enough(self, arrives: int) -> None:
        frames = [*[SILENCE] * 2, *packets_of("5")]
        lost = [2 + number for number in range(ON) if number != arrives]
        assert heard(frames, without(len(frames), *lost)) == "5"

    @pytest.mark.parametrize("arrives", range(ON))
    def test_one_packet_of_a_pause_is_enough(self, arrives: int) -> None:
        frames = packets_of("55")
        lost = [ON + number for number in range(ON) if number != arrives]
        assert heard(frames, without(len(frames), *lost)) == "55"

    @pytest.mark.parametrize("first", range(1, ON))
    @pytest.mark.parametrize("last", range(1, ON))
    def test_what_is_lost_within_a_tone_does_not_split_it(self, first: int, last: int) -> None:
        frames = packets_of("5")
        lost = [number for number in (first, last) if number < ON - 1]
        assert heard(frames, without(len(frames), *lost)) == "5"

    def test_another_key_needs_no_pause_to_be_another_one(self) -> None:
        frames = packets_of("56")
        assert heard(frames, without(len(frames), *range(ON, 2 * ON))) == "56"

    def test_half_a_packet_beside_a_long_loss_is_enough(self) -> None:
        shifted = b"".join([SILENCE[:50], *packets_of("5")])
        frames = [shifted[at : at + FRAME] for at in range(0, len(shifted) - FRAME, FRAME)]
        assert heard(frames, without(len(frames), *range(1, ON + 1))) == "5"
        shifted = b"".join([SILENCE[:110], *packets_of("5")])
        frames = [shifted[at : at + FRAME] for at in range(0, len(shifted) - FRAME, FRAME)]
        assert heard([SILENCE, *frames], without(len(frames), *range(1, ON + 1))) == "5"

    def test_a_tone_of_which_nothing_arrives_is_none(self) -> None:
        frames = packets_of("5")
        assert heard(frames, without(len(frames), *range(ON))) == ""


class TestOrder:
    def test_packets_that_come_twice_count_once(self) -> None:
        frames = packets_of("5566")
        order = [number for each in range(len(frames)) for number in (each, each, max(0, each - 3))]
        assert heard(frames, order) == "5566"

    @pytest.mark.parametrize("seed", range(8))
    def test_packets_that_overtake_others_are_put_in_order(self, seed: int) -> None:
        draw = Random(seed)  # noqa: S311 - a network, not a secret
        frames = packets_of("5512", off=3)
        order = sorted(range(len(frames)), key=lambda number: number + draw.uniform(0, LATEST - 1))
        assert heard(frames, order) == "5512"

    def test_a_packet_that_is_too_late_is_passed_over(self) -> None:
        frames = packets_of("55")
        order = without(len(frames), 2)
        order.insert(2 + LATEST + 3, 2)  # into the pause
        assert heard(frames, order) == "55"


class TestTime:
    def test_who_sends_nothing_in_a_pause_has_made_a_pause(self) -> None:
        line = Line()
        tones = packets_of("55", off=0)
        for number in range(ON):
            line.hear(number, tones[number])
        for number in range(ON, 2 * ON):
            line.hear(number, tones[number], late=800)
        assert line.heard == "55"

    def test_a_clock_that_is_a_packet_off_makes_no_pauses(self) -> None:
        line = Line()
        for number, frame in enumerate(packets_of("5", off=0)):
            line.hear(number, frame, late=FRAME * number)
        assert line.heard == "5"

    def test_what_is_no_audio_has_a_place_but_no_sound(self) -> None:
        line = Line()
        tone = packets_of("5", off=0)
        for number, frame in enumerate((tone[0], b"", tone[2], b"")):
            line.hear(number, frame)
        assert line.heard == "5"


class TestOtherStreams:
    @pytest.mark.parametrize("away", [RESTART, -RESTART - 1, 30000])
    def test_a_stream_that_jumps_is_followed(self, away: int) -> None:
        line = Line()
        line.hear_all(packets_of("5"), range(2 * ON))
        line.first = away
        assert line.hear_all(packets_of("6"), range(2 * ON)) == "56"

    def test_another_sender_begins_anew(self) -> None:
        line = Line()
        line.hear_all(packets_of("5"), range(2 * ON))
        for number, frame in enumerate(packets_of("6")):
            line.hear(number, frame, ssrc=2)
        assert line.heard == "56"

    @given(
        st.lists(
            st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.binary(max_size=320)),
            max_size=20,
        )
    )
    def test_any_packets_are_taken(self, packets: list[tuple[int, int, bytes]]) -> None:
        tones = TonePackets(Codec.PCMA)
        for sequence, timestamp, payload in packets:
            header = RtpHeader(8, False, sequence, timestamp, 1, 12, len(payload))
            assert all(key in KEYS for key in tones.feed(header, payload))
            assert len(tones._early) <= LATEST
