# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys by RFC 4733: every press counts once, whatever the network and the sender do to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire import dtmf
from dialin.wire.dtmf import EventDigits, MalformedPacket, TelephoneEvent, event_packets

FRAME_S = 0.02
FRAME = 160
SSRC = 0x5EED


@dataclass(frozen=True)
class Sent:
    """One telephone-event packet on its way."""

    at: float
    timestamp: int
    marker: bool
    payload: bytes
    ssrc: int = SSRC

    @property
    def event(self) -> TelephoneEvent:
        return dtmf.parse_event(self.payload)


def press(key: str, *, at: float = 0.0, duration_ms: int = 100) -> list[Sent]:
    """A key press as RFC 4733 wants it sent; the RTP clock follows the wall clock."""
    return [
        Sent(at + index * FRAME_S, round(at * 8000), index == 0, payload)
        for index, payload in enumerate(event_packets(key, duration_ms))
    ]


def keyed(keys: str, *, at: float = 0.0, every_s: float = 0.25) -> list[Sent]:
    """Several presses, one after the other."""
    return [
        packet
        for index, key in enumerate(keys)
        for packet in press(key, at=at + index * every_s, duration_ms=100)
    ]


def heard(packets: Iterable[Sent], digits: EventDigits | None = None) -> str:
    """The keys that come out."""
    digits = digits or EventDigits()
    keys = (
        digits.feed(packet.ssrc, packet.timestamp, packet.marker, packet.payload, packet.at)
        for packet in packets
    )
    return "".join(key for key in keys if key is not None)


def network(packets: Iterable[Sent], draw: Random) -> list[Sent]:
    """10 % loss, 20 % duplicates, and delays that put packets into another order."""
    return sorted(_arrivals(packets, draw), key=lambda packet: packet.at)


def _arrivals(packets: Iterable[Sent], draw: Random) -> Iterator[Sent]:
    for packet in packets:
        for _ in range(2 if draw.random() < 0.2 else 1):
            if draw.random() >= 0.1:
                yield replace(packet, at=packet.at + draw.uniform(0.03, 0.09))


class TestPayload:
    @given(
        st.builds(
            TelephoneEvent,
            event=st.integers(0, 255),
            end=st.booleans(),
            volume=st.integers(0, 63),
            duration=st.integers(0, 0xFFFF),
        )
    )
    def test_an_event_is_read_as_it_was_written(self, event: TelephoneEvent) -> None:
        assert dtmf.parse_event(bytes(event)) == event

    @given(st.binary(max_size=16))
    def test_the_parser_is_total(self, payload: bytes) -> None:
        try:
            dtmf.parse_event(payload)
        except MalformedPacket:
            assert len(payload) < 4

    def test_only_the_first_of_several_events_is_read(self) -> None:
        assert dtmf.parse_event(bytes.fromhex("010a00a0 020a00a0")).event == 1

    def test_the_reserved_bit_is_passed_over(self) -> None:
        assert dtmf.parse_event(b"\x05\x4a\x00\xa0") == TelephoneEvent(5, False, 10, 160)
        assert dtmf.parse_event(b"\x05\x7f\x00\xa0") == TelephoneEvent(5, False, 63, 160)


class TestSending:
    def test_a_press_grows_by_20_ms_and_ends_three_times(self) -> None:
        events = [dtmf.parse_event(payload) for payload in event_packets("#", 100)]
        assert {event.event for event in events} == {11}
        assert [event.duration for event in events] == [160, 320, 480, 640, 800, 800, 800]
        assert [event.end for event in events] == [False] * 4 + [True] * 3

    def test_a_press_need_not_be_whole_frames(self) -> None:
        events = [dtmf.parse_event(payload) for payload in event_packets("1", 50)]
        assert [event.duration for event in events] == [160, 320, 400, 400, 400]

    def test_the_clock_sets_the_units(self) -> None:
        assert dtmf.parse_event(event_packets("1", 40, clock=16000)[-1]).duration == 640

    @pytest.mark.parametrize("key", dtmf.KEYS)
    def test_every_key_has_its_code(self, key: str) -> None:
        assert heard(press(key)) == key

    @pytest.mark.parametrize(
        ("key", "duration_ms"), [("", 100), ("12", 100), ("1", 0), ("1", 9000)]
    )
    def test_what_is_no_press_of_one_key_is_refused(self, key: str, duration_ms: int) -> None:
        with pytest.raises(ValueError, match="not a key, or not a duration"):
            event_packets(key, duration_ms)

    def test_a_character_that_is_no_key_is_refused(self) -> None:
        with pytest.raises(ValueError, match="substring not found"):
            event_packets("x", 100)


class TestEveryPressCountsOnce:
    def test_a_thousand_pins_through_loss_duplicates_and_reordering_are_all_right(self) -> None:
        draw = Random(4733)  # noqa: S311 - a network that loses the same packets each time
        for _ in range(1000):
            pin = "".join(draw.choices("0123456789", k=draw.randint(5, 11))) + "#"
            every_s = draw.uniform(0.2, 0.5)
            assert heard(network(keyed(pin, every_s=every_s), draw)) == pin

    @given(st.text(dtmf.KEYS, min_size=1, max_size=20), st.floats(0.16, 2))
    def test_keys_come_out_as_they_were_pressed(self, keys: str, every_s: float) -> None:
        assert heard(keyed(keys, every_s=every_s)) == keys

    @given(st.data())
    def test_any_packets_of_a_press_are_enough_in_any_order(self, data: st.DataObject) -> None:
        kept = data.draw(st.lists(st.sampled_from(press("7")), min_size=1))
        assert heard(replace(packet, at=0.1 + i / 100) for i, packet in enumerate(kept)) == "7"

    def test_without_the_marker(self) -> None:
        assert heard(replace(packet, marker=False) for packet in keyed("1123#")) == "1123#"

    def test_with_the_marker_on_every_packet(self) -> None:
        lossy = [replace(packet, marker=True) for packet in press("7", duration_ms=400)]
        del lossy[2:9]
        assert heard(lossy) == "7"

    def test_without_the_start(self) -> None:
        assert heard(packet for packet in keyed("1123#") if packet.event.end) == "1123#"

    def test_without_the_end(self) -> None:
        assert heard(packet for packet in keyed("1123#") if not packet.event.end) == "1123#"

    def test_without_marker_and_end(self) -> None:
        packets = (packet for packet in keyed("1123#") if not packet.event.end)
        assert heard(replace(packet, marker=False) for packet in packets) == "1123#"

    def test_a_dialling_machine_of_50_ms_on_and_50_ms_off(self) -> None:
        packets = [p for i in range(8) for p in press("1", at=i * 0.1, duration_ms=50)]
        assert heard(sorted(packets, key=lambda packet: packet.at)) == "1" * 8
        assert heard(replace(packet, marker=False) for packet in packets) == "1" * 8

    def test_a_key_is_told_at_its_first_packet(self) -> None:
        assert heard(press("5")[:1]) == "5"

    def test_the_last_end_of_one_key_after_the_start_of_the_next(self) -> None:
        first, second = press("1"), press("2", at=0.2)
        assert heard([*first[:-1], *second[:2], first[-1], *second[2:]]) == "12"

    def test_keys_without_a_pause_and_without_markers(self) -> None:
        packets = [*press("1"), *press("2", at=0.1)]
        assert heard(replace(packet, marker=False) for packet in packets) == "12"

    def test_two_streams_without_markers_press_each_their_own(self) -> None:
        other = [replace(packet, ssrc=SSRC + 1) for packet in press("5", at=0.1)]
        packets = [*press("5"), *other]
        assert heard(replace(packet, marker=False) for packet in packets) == "55"

    def test_two_streams_may_have_the_same_timestamp(self) -> None:
        other = [replace(packet, ssrc=SSRC + 1, at=packet.at + 1) for packet in press("5")]
        assert heard([*press("5"), *other]) == "55"

    def test_the_rtp_clock_may_wrap_between_two_presses(self) -> None:
        packets = [
            replace(packet, timestamp=(packet.timestamp - 1000) & 0xFFFFFFFF, marker=False)
            for packet in keyed("11")
        ]
        assert heard(packets) == "11"


class TestLongPresses:
    def test_a_press_of_seconds_is_one_key(self) -> None:
        assert heard(press("5", duration_ms=8000)) == "5"

    def test_a_press_whose_end_never_comes_is_one_key(self) -> None:
        payload = bytes(TelephoneEvent(5, False, 10, 0xFFFF))
        endless = [Sent(index * FRAME_S, 0, index == 0, payload) for index in range(30000)]
        assert heard(endless) == "5"

    @staticmethod
    def segmented(seconds: float, *, units: int = 0xFFFF) -> list[Sent]:
        """RFC 4733 §2.5.1.3: a full duration ends a segment; the next has a later timestamp."""
        packets = []
        for frame in range(1, round(seconds * 50)):
            segment, duration = divmod(frame * FRAME, units)
            payload = bytes(TelephoneEvent(5, False, 10, duration))
            timestamp = segment * units
            packets.append(Sent(frame * FRAME_S, timestamp, frame == 1, payload))
        return packets

    def test_a_press_of_half_a_minute_in_segments_is_one_key(self) -> None:
        assert heard(self.segmented(30)) == "5"

    def test_segments_may_be_shorter_than_they_must_be(self) -> None:
        assert heard(self.segmented(30, units=16000)) == "5"

    def test_segments_are_one_key_when_packets_between_them_are_lost(self) -> None:
        lossy = [packet for packet in self.segmented(30) if 900 < packet.event.duration < 64000]
        assert heard(lossy) == "5"

    def test_a_late_packet_of_the_last_segment_is_no_new_key(self) -> None:
        packets = self.segmented(30)
        late = next(i for i, packet in enumerate(packets) if packet.timestamp)
        packets[late - 1], packets[late] = packets[late], packets[late - 1]
        assert heard(packets) == "5"

    def test_the_same_key_8_s_after_a_short_press_is_a_new_one(self) -> None:
        later = replace(press("5")[0], at=8.2, timestamp=0xFFFF, marker=False)
        assert heard([press("5")[0], later]) == "55"

    def test_a_sender_that_moves_the_timestamp_with_each_packet_presses_one_key(self) -> None:
        moving = [
            replace(packet, timestamp=index * FRAME) for index, packet in enumerate(press("5"))
        ]
        assert heard(moving) == "5"


class TestTimestampReuse:
    def test_the_same_key_pressed_twice_under_one_timestamp_counts_twice(self) -> None:
        again = [replace(packet, timestamp=0) for packet in press("5", at=0.4)]
        assert heard([*press("5"), *again]) == "55"

    def test_so_does_one_of_which_little_more_than_the_start_arrived(self) -> None:
        assert heard([press("5")[0], replace(press("5", at=0.4)[0], timestamp=0)]) == "55"

    def test_a_marker_begins_a_press_where_the_senders_clock_runs_slow(self) -> None:
        again = [replace(packet, timestamp=400) for packet in press("5", at=0.4)]
        assert heard([*press("5"), *again]) == "55"

    def test_another_key_under_the_same_timestamp_counts(self) -> None:
        other = [replace(packet, timestamp=0) for packet in press("6", at=0.2)]
        assert heard([*press("5"), *other]) == "56"

    def test_a_start_that_was_only_late_is_no_second_press(self) -> None:
        packets = press("5")
        late = replace(packets[0], at=packets[-1].at + EventDigits.REUSE_S - 0.01)
        assert heard([*packets, late]) == "5"

    def test_the_end_sent_again_a_second_later_is_no_second_press(self) -> None:
        packets = press("5")
        assert heard([*packets, replace(packets[-1], at=1.5)]) == "5"


class TestHostileInput:
    @pytest.mark.parametrize("event", [16, 17, 36, 255])
    def test_hook_flash_and_signals_between_machines_are_no_keys(self, event: int) -> None:
        payload = bytes(TelephoneEvent(event, False, 10, 160))
        assert heard([Sent(0, 0, True, payload)]) == ""

    def test_a_payload_that_is_too_short_is_malformed(self) -> None:
        with pytest.raises(MalformedPacket):
            EventDigits().feed(SSRC, 0, True, b"\x05\x0a\x00", 0)

    @given(
        st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.binary(min_size=4)), max_size=99)
    )
    def test_whatever_comes_only_keys_come_out(
        self, packets: list[tuple[int, bool, bytes]]
    ) -> None:
        digits = EventDigits()
        for index, (timestamp, marker, payload) in enumerate(packets):
            key = digits.feed(SSRC, timestamp * 0x55555555, marker, payload, index * 0.05)
            assert key is None or key in dtmf.KEYS

    def test_a_flood_of_10_000_events_a_minute_is_cut_to_a_fast_fingers_rate(self) -> None:
        payload = bytes(TelephoneEvent(5, False, 10, 160))
        flood = [Sent(index * 0.006, index * 777, True, payload) for index in range(10_000)]
        keys = heard(flood)
        assert len(keys) <= EventDigits.BURST + 60 * EventDigits.KEYS_A_SECOND

    def test_after_a_flood_a_caller_can_key_again(self) -> None:
        digits = EventDigits()
        payload = bytes(TelephoneEvent(5, False, 10, 160))
        heard((Sent(0, index * 777, True, payload) for index in range(1000)), digits)
        assert heard(keyed("1234#", at=10), digits) == "1234#"

    def test_a_pin_that_a_stall_delivers_at_once_is_whole(self) -> None:
        late = [replace(packet, at=9.0) for packet in keyed("12345678901#")]
        assert heard(late) == "12345678901#"

    def test_memory_is_bounded(self) -> None:
        digits = EventDigits()
        payload = bytes(TelephoneEvent(5, False, 10, 160))
        heard((Sent(0, index * 777, True, payload) for index in range(1000)), digits)
        assert len(digits._segments) == EventDigits.REMEMBERED

    def test_the_key_does_not_show_in_a_repr(self) -> None:
        assert repr(press("7")[0].event) == "TelephoneEvent(end=False, volume=10, duration=160)"
