# SPDX-License-Identifier: GPL-3.0-or-later
"""One press is one digit, by telephone event, by tone or by both."""

from __future__ import annotations

import pytest

from dialin.events import Codec, Digit, DigitSource
from dialin.media.digits import DigitEar
from dialin.media.messages import DigitHeard
from dialin.wire import dtmf, g711
from dialin.wire.rtp import MalformedPacket, RtpHeader
from dialin.wire.tone import sine
from dialin.wire.tones import BLOCK
from tests.media.world import FRAME_S, LegAtWork, World

ROWS = (697, 770, 852, 941)
COLUMNS = (1209, 1336, 1477)
PAD = ("123", "456", "789", "*0#")
QUIET = b"\xff" * 160


def tone(key: str, ms: int = 80) -> list[bytes]:
    """Frames of µ-law with a key's two tones."""
    row = next(index for index, keys in enumerate(PAD) if key in keys)
    low = sine(ROWS[row], ms)
    high = sine(COLUMNS[PAD[row].index(key)], ms)
    octets = g711.ulaw_encode([a + b for a, b in zip(low, high, strict=True)])
    return [octets[at : at + 160] for at in range(0, len(octets), 160)]


def event(key: str, timestamp: int = 0) -> tuple[RtpHeader, memoryview]:
    payload = dtmf.event_packets(key, 100)[0]
    return RtpHeader(101, True, 0, timestamp, 1, 12, len(payload)), memoryview(payload)


def ear(codec: Codec = Codec.PCMU, *, in_band: bool = True) -> DigitEar:
    ear = DigitEar()
    ear.tune(codec, in_band=in_band)
    return ear


def hear(ear: DigitEar, frames: list[bytes], now: float = 0.0, *, sequence: int = 0) -> list[Digit]:
    heard = []
    for number, frame in enumerate(frames, start=sequence):
        header = RtpHeader(0, False, number, 160 * number, 1, 12, len(frame))
        heard += ear.hear_audio(header, memoryview(frame), now)
    return heard


class TestTones:
    def test_a_tone_is_a_digit_when_asked_for(self) -> None:
        assert hear(ear(), tone("5")) == [Digit("5", DigitSource.IN_BAND)]

    def test_a_tone_is_nothing_when_not_asked_for(self) -> None:
        assert hear(ear(in_band=False), tone("5")) == []

    def test_g722_is_not_listened_to(self) -> None:
        assert not ear(Codec.G722).hears_tones

    def test_a_change_of_codec_changes_the_law_and_no_change_loses_no_tone(self) -> None:
        listening = ear(Codec.PCMA)
        assert hear(listening, tone("5")) == []
        listening.tune(Codec.PCMU, in_band=True)
        first, *rest = tone("5")
        assert hear(listening, [first]) == []
        listening.tune(Codec.PCMU, in_band=True)
        assert hear(listening, rest, sequence=1) == [Digit("5", DigitSource.IN_BAND)]


class TestBoth:
    def test_the_same_key_by_tone_and_event_is_one(self) -> None:
        listening = ear()
        assert len(hear(listening, tone("5"), now=1.0)) == 1
        assert listening.hear_event(*event("5"), 1.1) is None

    def test_another_key_by_event_is_another_digit(self) -> None:
        listening = ear()
        hear(listening, tone("5"), now=1.0)
        assert listening.hear_event(*event("6"), 1.1) == Digit("6", DigitSource.RFC4733)

    def test_the_same_key_later_is_pressed_again(self) -> None:
        listening = ear()
        hear(listening, tone("5"), now=1.0)
        assert listening.hear_event(*event("5"), 1.3) == Digit("5", DigitSource.RFC4733)

    def test_after_an_event_no_tone_is_listened_to_any_more(self) -> None:
        listening = ear()
        listening.hear_event(*event("5"), 1.0)
        assert not listening.hears_tones
        listening.tune(Codec.PCMU, in_band=True)
        assert hear(listening, tone("6")) == []

    def test_an_event_too_short_to_be_one_turns_nothing_off(self) -> None:
        listening = ear()
        with pytest.raises(MalformedPacket):
            listening.hear_event(event("5")[0], memoryview(b"\x05"), 1.0)
        assert listening.hears_tones


class TestOnALeg:
    def press(self, leg: LegAtWork, key: str) -> None:
        began = leg.far.timestamp + 160
        for index, payload in enumerate(dtmf.event_packets(key, 100)):
            leg.far.timestamp = began
            leg.send(payload, payload_type=101, step=0, marker=index == 0)
            leg.world.advance(FRAME_S)
        leg.far.timestamp = began + 160 * 10

    def test_keys_are_told_with_their_source(self, world: World) -> None:
        leg = world.leg()
        self.press(leg, "#")
        assert world.reports == [DigitHeard(leg.number, "#", DigitSource.RFC4733)]

    def test_type_ahead_before_the_ack_is_heard(self, world: World) -> None:
        leg = world.leg(started=False)
        for key in "123":
            self.press(leg, key)
        assert world.digits() == "123"

    def test_tones_are_heard_on_a_bridged_leg_and_then_the_lane_is_free(self, world: World) -> None:
        leg, other = world.leg(in_band_digits=True), world.leg()
        world.join(leg, other)
        for frame in [*tone("8"), *[b"\xff" * 160] * 20]:
            leg.send(frame)
            world.advance(FRAME_S)
        assert world.digits() == "8"
        assert world.leg_of(leg).receiver.left == 0
        self.press(leg, "4")
        for _ in range(3):
            leg.send()
        assert world.digits() == "4"
        assert world.leg_of(leg).receiver.left > 0

    def test_the_conference_hears_no_key_sound_and_all_else(self, world: World) -> None:
        leg, other = world.leg(in_band_digits=True), world.leg()
        world.join(leg, other)
        speech = [bytes([value]) * 160 for value in (0xF0, 0xF1, 0xF2)]
        for frame in [*speech, *tone("8", 200), *[QUIET] * 5, *speech]:
            leg.send(frame)
            world.advance(FRAME_S)
        heard = [packet.payload for packet in other.far.heard()]
        assert world.digits() == "8"
        assert heard[heard.index(speech[0]) :] == [*speech, *[QUIET] * 15, *speech]

    @pytest.mark.parametrize("late", range(0, 160, 20))
    def test_a_key_sound_that_begins_within_a_packet_is_heard_no_longer_than_two_blocks(
        self, world: World, late: int
    ) -> None:
        leg, other = world.leg(in_band_digits=True), world.leg()
        world.join(leg, other)
        octets = QUIET[:late] + b"".join(tone("8", 200)) + QUIET[late:] + 5 * QUIET
        for at in range(0, len(octets), 160):
            leg.send(octets[at : at + 160])
            world.advance(FRAME_S)
        heard = b"".join(packet.payload for packet in other.far.heard())
        assert world.digits() == "8"
        assert len(heard.strip(b"\xff")) <= 2 * BLOCK

    def test_a_tone_with_comfort_noise_behind_it_is_heard_although_packets_are_missing(
        self, world: World
    ) -> None:
        leg = world.leg(in_band_digits=True)
        leg.send(tone("8")[1])
        for lost in (1, 0, 0, 0):
            leg.send(b"\x40", payload_type=13, skip=lost)
            world.advance(FRAME_S)
        assert world.digits() == ""
        leg.send(b"\x40", payload_type=13)
        assert world.digits() == ""
        leg.send()
        assert world.digits() == "8"

    def test_an_event_cut_short_is_counted(self, world: World) -> None:
        leg = world.leg()
        leg.send(b"\x01", payload_type=101)
        assert leg.statistics().malformed == 1
        assert world.digits() == ""

    def test_flash_and_other_signals_are_no_digits(self, world: World) -> None:
        leg = world.leg()
        leg.send(b"\x10\x0a\x00\xa0", payload_type=101)
        assert world.digits() == ""

    def test_a_digit_shows_its_key_to_nobody(self) -> None:
        assert "#" not in repr(DigitHeard(1, "#", DigitSource.RFC4733))
