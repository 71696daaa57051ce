# SPDX-License-Identifier: GPL-3.0-or-later
"""Two bridged legs: what each far end says arrives at the other, unchanged and as one stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialin.events import Codec
from dialin.media.messages import (
    Cause,
    CloseLeg,
    Counted,
    Failed,
    Join,
    Mute,
    Part,
    Play,
    SendDigits,
    SetVolume,
)
from dialin.media.playout import SILENCE
from dialin.media.volume import volume_table
from dialin.wire import dtmf, rtp
from tests.media.world import FRAME_S, LegAtWork, World, follows, steps


def frames(number: int, seed: int = 1) -> list[bytes]:
    """Frames of noise, no two alike."""
    random = Random(seed)  # noqa: S311 - noise
    return [random.randbytes(160) for _ in range(number)]


@pytest.fixture
def pair(world: World) -> tuple[LegAtWork, LegAtWork]:
    """Two bridged legs that have not heard anything yet."""
    one, other = world.leg(), world.leg()
    world.join(one, other)
    for leg in (one, other):
        leg.far.heard()
    return one, other


def speak(one: LegAtWork, payloads: list[bytes]) -> None:
    """One far end sends at its pace."""
    for payload in payloads:
        one.send(payload)
        one.world.advance(FRAME_S)


class TestAudio:
    @pytest.mark.parametrize(
        ("codec", "types"),
        [(Codec.PCMU, (0, 0)), (Codec.PCMA, (8, 8)), (Codec.G722, (9, 9)), (Codec.G722, (9, 109))],
    )
    def test_a_thousand_frames_each_way_arrive_bit_for_bit(
        self, world: World, codec: Codec, types: tuple[int, int]
    ) -> None:
        one, other = (world.leg(codec=codec, payload_type=number) for number in types)
        world.join(one, other)
        said = frames(1000), frames(1000, seed=2)
        for first, second in zip(*said, strict=True):
            one.send(first)
            other.send(second)
            world.now += FRAME_S
            world.turn()
        for leg, words in ((other, said[0]), (one, said[1])):
            heard = leg.far.heard(at_least=1000)[-1000:]
            assert [packet.payload for packet in heard] == words
            assert {packet.header.payload_type for packet in heard} == {leg.settings.payload_type}
            assert follows(heard)
            assert set(steps(heard)) == {160}
            assert [packet.header.marker for packet in heard] == [True] + 999 * [False]

    def test_ptime_30_stays_30(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, other = pair
        for _ in range(50):
            one.send(bytes(240), step=240)
        heard = other.far.heard(at_least=50)
        assert set(steps(heard)) == {240}
        assert {len(packet.payload) for packet in heard} == {240}

    def test_marker_bits_of_the_source_pass(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, other = pair
        for index in range(20):
            one.send(marker=index == 10)
        markers = [packet.header.marker for packet in other.far.heard(at_least=20)]
        assert [index for index, marker in enumerate(markers) if marker] == [0, 10]

    def test_csrcs_extensions_and_padding_are_left_out(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        header = rtp.pack(b"", payload_type=0, marker=False, sequence=1, timestamp=1, ssrc=5)
        body = bytes(4) + b"\xbe\xde\x00\x01" + bytes(4) + b"\x07" * 160 + b"\x00\x00\x00\x04"
        one.send_raw(b"\xb1" + header[1:] + body)
        (heard,) = other.far.heard(at_least=1)
        assert heard.payload == b"\x07" * 160
        assert heard.header.payload_offset == 12

    def test_an_empty_packet_is_not_passed_on(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, other = pair
        one.send()
        one.send(b"")
        one.send()
        heard = other.far.heard(at_least=2)
        assert len(heard) == 2
        assert follows(heard)

    def test_a_far_end_that_is_gone_is_counted_and_the_other_way_works(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        other.far.rtp.close()
        for _ in range(50):
            one.send()
        figures = other.statistics()
        assert figures.refused > 10
        assert figures.packets_sent + figures.refused >= 50

    def test_both_ends_count_what_the_lane_has_forwarded(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        before = other.statistics().packets_sent
        for _ in range(700):
            one.send()
        assert one.statistics().packets_received == 700
        assert one.statistics().packets_lost == 0
        assert other.statistics().packets_sent == before + 700

    def test_jitter_is_measured_on_the_lane_too(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, _ = pair
        for index in range(200):
            one.world.now += 0.03 if index % 2 else 0.01
            one.send()
        assert one.statistics().jitter_ms == pytest.approx(10, abs=1)


class TestLoss:
    def test_gaps_of_the_source_stay_gaps(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, other = pair
        for skip in (0, 0, 0, 3, 0, 1, 0):
            one.send(skip=skip)
        sequences = [packet.header.sequence for packet in other.far.heard(at_least=7)]
        assert [rtp.uint16_add(s, -sequences[0]) for s in sequences] == [0, 1, 2, 6, 7, 9, 10]

    def test_overtaken_packets_keep_their_place(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, other = pair
        one.send(b"a" * 160)
        one.send(b"c" * 160, skip=1)
        one.far.sequence -= 2
        one.far.timestamp -= 320
        one.send(b"b" * 160)
        one.far.sequence += 1
        one.far.timestamp += 160
        one.send(b"d" * 160)
        heard = other.far.heard(at_least=4)
        first = heard[0].header.sequence
        order = {rtp.uint16_add(p.header.sequence, -first): p.payload[:1] for p in heard}
        assert order == {0: b"a", 1: b"b", 2: b"c", 3: b"d"}
        stamps = {rtp.uint32_add(p.header.timestamp, -heard[0].header.timestamp) for p in heard}
        assert stamps == {0, 160, 320, 480}

    def test_numbers_wrap_on_either_side(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, other = pair
        one.far.sequence, one.far.timestamp = 65_400, 2**32 - 30_000
        sender = one.world.leg_of(other).sender.stream
        sender.sequence, sender.timestamp = 65_300, 2**32 - 60_000
        for _ in range(600):
            one.send()
        heard = other.far.heard(at_least=600)
        assert len(heard) == 600
        assert follows(heard)
        assert set(steps(heard)) == {160}
        assert one.statistics().packets_lost == 0

    @settings(
        max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
    )
    @given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from([160, 80, 240]))))
    def test_whatever_is_lost_or_marked_the_lane_and_the_long_way_agree(
        self,
        worlds: Callable[..., World],
        packets: list[tuple[int, bool, int]],
    ) -> None:
        world = worlds()
        one, other = world.leg(), world.leg()
        world.join(one, other)
        other.far.heard()
        sent = []
        for index, (skip, marker, step) in enumerate(packets):
            one.send(bytes([index % 256]) * step, skip=skip, marker=marker, step=step)
            sent.append((one.far.sequence, one.far.timestamp, bytes([index % 256]) * step))
        heard = other.far.heard(at_least=len(sent))
        origin = [(p.header.sequence, p.header.timestamp) for p in heard][:1]
        expected = [
            ((s - sent[0][0]) & 0xFFFF, (t - sent[0][1]) & 0xFFFFFFFF, payload)
            for s, t, payload in sent
        ]
        assert [
            (
                rtp.uint16_add(p.header.sequence, -origin[0][0]),
                rtp.uint32_add(p.header.timestamp, -origin[0][1]),
                p.payload,
            )
            for p in heard
        ] == expected
        figures = one.statistics()
        assert figures.packets_received == len(sent)
        assert figures.packets_lost == sum(skip for skip, _, _ in packets[1:])


class TestSources:
    def test_another_ssrc_is_not_heard_while_the_stream_lives(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(10))
        other.far.heard(at_least=10)
        true_ssrc, one.far.ssrc = one.far.ssrc, 0xBAD
        one.send(b"!" * 160)
        one.send(b"!" * 160, payload_type=101)
        one.far.ssrc = true_ssrc
        one.send()
        assert b"!" * 160 not in [packet.payload for packet in other.far.heard(at_least=1)]
        assert one.statistics().dropped_source == 2

    def test_an_ssrc_that_follows_a_pause_goes_on_as_one_stream(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(10))
        one.world.advance(0.5)
        one.far.ssrc, one.far.sequence, one.far.timestamp = 0x600D, 9, 9
        speak(one, frames(10, seed=3))
        heard = other.far.heard(at_least=20)
        assert follows(heard)
        assert max(steps(heard)) < 6000
        assert [p.payload for p in heard if p.payload != SILENCE[Codec.PCMU]] == frames(
            10
        ) + frames(10, seed=3)

    def test_a_sender_that_starts_anew_with_its_ssrc_goes_on_as_one_stream(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(10))
        one.far.sequence, one.far.timestamp = 30_000, 7
        speak(one, frames(10, seed=3))  # the first one looks like a stray
        heard = other.far.heard(at_least=19)
        assert follows(heard)
        assert [packet.payload for packet in heard] == frames(10) + frames(10, seed=3)[1:]

    def test_a_stray_packet_from_far_away_is_dropped(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(5))
        one.far.sequence += 20_000
        one.send(b"!" * 160)
        one.far.sequence -= 20_001
        speak(one, frames(5))
        heard = other.far.heard(at_least=10)
        assert len(heard) == 10
        assert follows(heard)


class TestKeys:
    def press(self, one: LegAtWork, key: str, *, with_audio: bool) -> None:
        """A far end sends the packets of a key, instead of audio or between it."""
        began = one.far.timestamp
        for index, payload in enumerate(dtmf.event_packets(key, 100)):
            one.far.timestamp = began
            one.send(payload, payload_type=101, step=0, marker=index == 0)
            one.far.timestamp = began + 160 * index
            if with_audio:
                one.send(b"s" * 160)
            one.world.advance(FRAME_S)
        one.far.timestamp = began + 160 * 8

    @pytest.mark.parametrize("with_audio", [False, True])
    def test_keys_become_digits_and_leave_no_gap(
        self, pair: tuple[LegAtWork, LegAtWork], with_audio: bool
    ) -> None:
        one, other = pair
        speak(one, frames(5))
        self.press(one, "7", with_audio=with_audio)
        speak(one, frames(5))
        heard = other.far.heard(at_least=10)
        assert one.world.digits() == "7"
        assert {packet.header.payload_type for packet in heard} == {0}
        assert follows(heard)
        assert one.statistics().packets_lost == 0

    def test_loss_before_a_key_stays_visible(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, other = pair
        speak(one, frames(5))
        one.send(dtmf.event_packets("7", 100)[0], payload_type=101, skip=2)
        one.send()
        sequences = [packet.header.sequence for packet in other.far.heard(at_least=6)]
        assert rtp.uint16_add(sequences[-1], -sequences[-2]) == 3

    def test_keys_can_be_sent_into_a_bridge(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, other = pair
        speak(one, frames(5))
        one.world.order(lambda request: SendDigits(request, other.number, "5"))
        speak(one, frames(20))
        heard = other.far.heard(at_least=20)
        assert follows(heard)
        events = [p for p in heard if p.header.payload_type == 101]
        assert {dtmf.parse_event(event.payload).event for event in events} == {5}
        assert heard[-1].payload == frames(20)[-1]


class TestPromptsAndSilence:
    def test_prompt_bridge_and_prompt_are_one_stream(self, world: World, tmp_path: Path) -> None:
        clip = tmp_path / "clip"
        clip.write_bytes(b"\x55" * 1600)
        one, other = world.leg(started=False), world.leg()
        world.order(lambda request: Play(request, one.number, (str(clip),), False))
        one.start()
        world.advance(9 * FRAME_S)
        world.join(one, other)
        speak(other, frames(10))
        world.order(lambda request: Play(request, one.number, (str(clip),), False))
        speak(other, frames(9, seed=2))  # who talks over a prompt is not heard
        speak(other, frames(10, seed=3))
        heard = one.far.heard(at_least=40)
        assert follows(heard)
        assert all(0 < step < 2000 for step in steps(heard))
        said = [p.payload for p in heard if p.payload != SILENCE[Codec.PCMU]]
        assert said == [b"\x55" * 160] * 10 + frames(10) + [b"\x55" * 160] * 10 + frames(10, seed=3)
        marks = [p.payload for p in heard if p.header.marker]
        assert marks == [b"\x55" * 160, frames(1)[0], b"\x55" * 160, frames(1, seed=3)[0]]

    def test_what_is_said_during_a_prompt_is_not_heard_by_who_listens_to_it(
        self, pair: tuple[LegAtWork, LegAtWork], tmp_path: Path
    ) -> None:
        one, other = pair
        clip = tmp_path / "clip"
        clip.write_bytes(b"\x55" * 800)
        speak(one, frames(3))
        one.world.order(lambda request: Play(request, other.number, (str(clip),), False))
        other.far.heard(at_least=3)
        speak(one, frames(4))
        assert {p.payload for p in other.far.heard(at_least=4)} == {b"\x55" * 160}

    def test_a_bridged_leg_that_gets_nothing_sends_silence(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(5))
        other.far.heard(at_least=5)
        one.world.advance(3)
        heard = other.far.heard(at_least=90)
        assert {packet.payload for packet in heard} == {SILENCE[Codec.PCMU]}
        assert len(heard) >= 90

    def test_a_bridged_leg_that_gets_enough_sends_nothing_of_its_own(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(300))
        assert [packet.payload for packet in other.far.heard(at_least=300)] == frames(300)

    def test_after_silence_suppression_the_stream_goes_on_in_time(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(5))
        one.world.advance(2)
        one.far.timestamp += 160 * 100  # the clock has gone on, the sequence has not
        speak(one, frames(5, seed=3))
        heard = other.far.heard(at_least=60)
        assert follows(heard)
        total = rtp.uint32_add(heard[-1].header.timestamp, -heard[0].header.timestamp)
        assert total in (160 * 109, 160 * 110)

    def test_packets_delayed_past_the_silence_that_filled_their_gap_are_dropped(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(5))
        one.world.advance(2)  # a stall on the way: the source went on
        other.far.heard(at_least=5)
        for _ in range(20):
            one.send(b"late" * 40)
        one.far.sequence += 85
        one.far.timestamp += 160 * 85
        one.send(b"live" * 40)
        (heard,) = [p for p in other.far.heard(at_least=1) if p.payload != SILENCE[Codec.PCMU]]
        assert heard.payload == b"live" * 40

    def test_a_late_packet_from_before_the_silence_is_dropped(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(5))
        one.world.advance(2)
        other.far.heard(at_least=5)
        one.far.repeat(one.port, b"late" * 40)
        one.world.take()
        assert {p.payload for p in other.far.heard()} <= {SILENCE[Codec.PCMU]}

    def test_a_source_whose_clock_stands_still_in_pauses_is_heard_again(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(5))
        one.world.advance(2)
        other.far.heard(at_least=5)
        speak(one, [b"back" * 40] * 40)
        heard = [p.payload for p in other.far.heard(at_least=15)]
        assert heard.count(b"back" * 40) == 15

    def test_a_held_leg_gets_nothing_and_is_heard_again_after_the_hold(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(5))
        other.far.heard(at_least=5)
        other.configure(sends=False)
        speak(one, frames(5))
        assert other.far.heard() == []
        other.configure(sends=True)
        speak(one, frames(5, seed=3))
        assert frames(5, seed=3)[-1] in [p.payload for p in other.far.heard(at_least=5)]


class TestMute:
    def mute(self, leg: LegAtWork, on: bool) -> None:
        leg.world.ask(lambda request: Mute(request, leg.number, on))

    def test_a_muted_leg_hears_and_is_not_heard(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, other = pair
        speak(one, frames(10))
        other.far.heard(at_least=10)
        self.mute(one, True)
        for word in frames(50, seed=2):
            one.send(word)
            other.send(word)
            one.world.advance(FRAME_S)
        heard = other.far.heard(at_least=50)
        assert {packet.payload for packet in heard} == {SILENCE[Codec.PCMU]}
        assert follows(heard)
        assert set(steps(heard)) == {160}
        assert [packet.payload for packet in one.far.heard(at_least=50)][-50:] == frames(50, seed=2)

    def test_silence_follows_the_last_word_without_a_gap(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(10))
        self.mute(one, True)
        one.world.advance(0.2)
        heard = other.far.heard(at_least=20)
        assert len(heard) in (20, 21)
        assert follows(heard)
        assert set(steps(heard)) == {160}

    def test_who_is_no_longer_muted_is_heard_word_for_word(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        self.mute(one, True)
        speak(one, frames(20))
        self.mute(one, False)
        other.far.heard()
        speak(one, frames(300, seed=3))
        heard = other.far.heard(at_least=300)
        assert [packet.payload for packet in heard][-300:] == frames(300, seed=3)
        assert follows(heard)

    def test_who_is_muted_before_the_bridge_stays_so_on_it(self, world: World) -> None:
        one, other = world.leg(), world.leg()
        self.mute(one, True)
        world.join(one, other)
        other.far.heard()
        speak(one, frames(20))
        assert {packet.payload for packet in other.far.heard(at_least=19)} == {SILENCE[Codec.PCMU]}

    def test_keys_of_a_muted_leg_are_heard(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, _ = pair
        self.mute(one, True)
        for payload in dtmf.event_packets("6", 100, 8000):
            one.far.repeat(one.port, payload, payload_type=101)
            one.world.take()
        assert one.world.digits() == "6"

    def test_keys_can_be_sent_for_a_muted_leg_on_a_number_that_was_not_agreed(
        self, world: World
    ) -> None:
        one, other = world.leg(), world.leg(telephone_event=None)
        world.join(one, other)
        self.mute(one, True)
        other.far.heard()
        request = world.order(lambda number: SendDigits(number, other.number, "*61", 101))
        world.advance(1.2)
        assert request in world.answers
        types = {packet.header.payload_type for packet in other.far.heard(at_least=40)}
        assert types == {0, 101}


class TestVolume:
    def set(self, leg: LegAtWork, gain_db: int) -> None:
        leg.world.ask(lambda request: SetVolume(request, leg.number, gain_db))

    def test_what_a_leg_hears_is_louder_and_what_it_says_is_not(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        self.set(one, 6)
        words = frames(30)
        for word in words:
            one.send(word)
            other.send(word)
        table = volume_table(Codec.PCMU, 6)
        assert table is not None
        louder = [word.translate(table) for word in words]
        assert [packet.payload for packet in one.far.heard(at_least=30)] == louder
        assert [packet.payload for packet in other.far.heard(at_least=30)] == words

    def test_back_to_normal_everything_passes_bit_for_bit(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        self.set(one, -6)
        self.set(one, 0)
        for word in frames(30):
            other.send(word)
        assert [packet.payload for packet in one.far.heard(at_least=30)] == frames(30)

    def test_with_g722_it_is_refused(self, world: World) -> None:
        leg = world.leg(codec=Codec.G722, payload_type=9)
        answer = world.ask(lambda request: SetVolume(request, leg.number, 6), Failed)
        assert answer.cause is Cause.CODEC_HAS_NO_VOLUME


class TestParting:
    def test_parted_legs_hear_silence(self, pair: tuple[LegAtWork, LegAtWork]) -> None:
        one, other = pair
        speak(one, frames(5))
        other.far.heard(at_least=5)
        one.world.ask(lambda request: Part(request, other.number, one.number))
        speak(one, frames(5))
        heard = other.far.heard(at_least=5)
        assert {packet.payload for packet in heard} == {SILENCE[Codec.PCMU]}
        assert follows(heard)

    def test_parting_legs_that_are_not_bridged_with_each_other_changes_nothing(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        third = one.world.leg()
        one.world.ask(lambda request: Part(request, one.number, third.number))
        one.world.ask(lambda request: Part(request, third.number, one.number))
        speak(one, frames(5))
        assert [p.payload for p in other.far.heard(at_least=5)] == frames(5)

    def test_closing_one_leg_leaves_the_other_in_silence(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        speak(one, frames(5))
        other.far.heard(at_least=5)
        one.world.ask(lambda request: CloseLeg(request, one.number), Counted)
        one.world.advance(0.2)
        assert {p.payload for p in other.far.heard(at_least=9)} == {SILENCE[Codec.PCMU]}

    def test_a_new_bridge_takes_the_place_of_an_old_one(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        third = one.world.leg()
        one.world.join(one, third)
        third.far.heard()
        speak(one, frames(5))
        assert [p.payload for p in third.far.heard(at_least=5)] == frames(5)
        assert {p.payload for p in other.far.heard()} <= {SILENCE[Codec.PCMU]}

    def test_legs_of_different_codecs_are_not_bridged(self, world: World) -> None:
        one, other = world.leg(), world.leg(codec=Codec.PCMA, payload_type=8)
        answer = world.ask(lambda request: Join(request, one.number, other.number), Failed)
        assert answer.cause is Cause.CODECS_DIFFER

    def test_a_leg_that_changes_its_codec_is_given_silence_until_it_changes_back(
        self, pair: tuple[LegAtWork, LegAtWork]
    ) -> None:
        one, other = pair
        other.configure(codec=Codec.PCMA, payload_type=8)
        other.far.heard()
        speak(one, frames(20))
        assert {p.payload for p in other.far.heard(at_least=5)} == {SILENCE[Codec.PCMA]}
        other.configure(codec=Codec.PCMU, payload_type=0)
        speak(one, frames(2))
        assert frames(2)[-1] in [p.payload for p in other.far.heard(at_least=2)]

    def test_a_leg_that_has_not_started_gets_nothing(self, world: World) -> None:
        one, other = world.leg(), world.leg(started=False)
        world.join(one, other)
        speak(one, frames(5))
        assert other.far.heard() == []
        other.start()
        speak(one, frames(5))
        assert frames(5)[-1] in [p.payload for p in other.far.heard(at_least=5)]
