# SPDX-License-Identifier: GPL-3.0-or-later
"""RTP packets, serial arithmetic, and the receiver's account of loss and jitter."""

from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire import rtp
from dialin.wire.rtp import MalformedPacket, RtpHeader, SequenceTracker

UINT16 = st.integers(0, 0xFFFF)
UINT32 = st.integers(0, 0xFFFFFFFF)
FRAME = bytes(160)


def packet(first: int = 0x80, second: int = 0, rest: bytes = b"") -> bytes:
    """A packet with chosen flag octets, sequence 7, timestamp 8 and SSRC 9."""
    return struct.pack("!BBHII", first, second, 7, 8, 9) + rest


class TestPackets:
    def test_a_plain_packet_of_20_ms_has_its_payload_after_12_octets(self) -> None:
        header = rtp.parse(packet(rest=FRAME))
        assert header == RtpHeader(0, False, 7, 8, 9, 12, 160)

    def test_the_marker_is_not_part_of_the_payload_type(self) -> None:
        header = rtp.parse(packet(second=0x80 | 101))
        assert (header.payload_type, header.marker) == (101, True)
        header = rtp.parse(packet(second=127))
        assert (header.payload_type, header.marker) == (127, False)

    @given(st.integers(0, 127), st.booleans(), UINT16, UINT32, UINT32, st.binary(max_size=300))
    def test_what_is_packed_is_parsed(
        self, payload_type: int, marker: bool, sequence: int, timestamp: int, ssrc: int, body: bytes
    ) -> None:
        data = rtp.pack(
            body,
            payload_type=payload_type,
            marker=marker,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=ssrc,
        )
        header = rtp.parse(data)
        assert header == (payload_type, marker, sequence, timestamp, ssrc, 12, len(body))
        assert data[header.payload_offset :] == body

    def test_a_header_is_written_over_the_one_in_the_buffer(self) -> None:
        buffer = bytearray(packet(0x80, 0x88, FRAME))
        rtp.pack_header_into(memoryview(buffer), 9, False, 0xFFFF, 0xFFFFFFFF, 1)
        assert rtp.parse(buffer) == (9, False, 0xFFFF, 0xFFFFFFFF, 1, 12, 160)

    def test_contributing_sources_are_skipped(self) -> None:
        header = rtp.parse(packet(0x82, rest=bytes(8) + FRAME))
        assert (header.payload_offset, header.payload_length) == (20, 160)

    def test_a_header_extension_is_skipped(self) -> None:
        header = rtp.parse(packet(0x90, rest=b"\xbe\xde\x00\x02" + bytes(8) + FRAME))
        assert (header.payload_offset, header.payload_length) == (24, 160)

    def test_padding_is_not_payload(self) -> None:
        header = rtp.parse(packet(0xA0, rest=FRAME + b"\0\0\0\x04"))
        assert (header.payload_offset, header.payload_length) == (12, 160)

    @pytest.mark.parametrize(
        ("data", "offset"),
        [
            (packet(), 12),
            (packet(0x90, rest=b"\xbe\xde\0\0"), 16),
            (packet(0xA0, rest=b"\0\0\0\x04"), 12),
        ],
    )
    def test_a_packet_may_have_no_payload(self, data: bytes, offset: int) -> None:
        header = rtp.parse(data)
        assert (header.payload_offset, header.payload_length) == (offset, 0)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            packet()[:11],
            packet(0x40, rest=FRAME),  # version 1
            packet(0x00),  # STUN begins so
            packet(0x8F),  # fifteen CSRCs, none there
            packet(0x90),  # an extension, not there
            packet(0x90, rest=b"\0\0\0\x01"),  # one word of it missing
            packet(0xA0, rest=b"\0"),  # padding of no octets
            packet(0xA0, rest=b"\x05\x05\x05\x05"),  # padding longer than what is there
        ],
    )
    def test_a_packet_cut_short_or_of_another_protocol_is_malformed(self, data: bytes) -> None:
        with pytest.raises(MalformedPacket):
            rtp.parse(data)

    @given(st.binary(max_size=64))
    def test_the_parser_is_total(self, data: bytes) -> None:
        try:
            header = rtp.parse(data)
        except MalformedPacket:
            return
        assert 12 <= header.payload_offset <= len(data)
        assert 0 <= header.payload_length <= len(data) - header.payload_offset


class TestSerialArithmetic:
    def test_sequence_numbers_and_timestamps_wrap(self) -> None:
        assert rtp.uint16_add(0xFFFF, 1) == 0
        assert rtp.uint16_add(0, -1) == 0xFFFF
        assert rtp.uint32_add(0xFFFFFFFF, 160) == 159
        assert rtp.uint32_add(0, -160) == 0xFFFFFF60

    @given(UINT16, st.integers(1, 0x7FFF))
    def test_a_later_sequence_number_is_newer_and_not_the_other_way(
        self, a: int, step: int
    ) -> None:
        later = rtp.uint16_add(a, step)
        assert rtp.uint16_newer(later, a)
        assert not rtp.uint16_newer(a, later)
        assert not rtp.uint16_newer(a, a)

    @given(UINT32, st.integers(1, 0x7FFFFFFF))
    def test_a_later_timestamp_is_newer_and_not_the_other_way(self, a: int, step: int) -> None:
        later = rtp.uint32_add(a, step)
        assert rtp.uint32_newer(later, a)
        assert not rtp.uint32_newer(a, later)
        assert not rtp.uint32_newer(a, a)


def stream(tracker: SequenceTracker, sequences: list[int], *, ssrc: int = 1) -> list[bool]:
    """Feed packets that arrive exactly on time."""
    return [
        tracker.receive(ssrc, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, sequence * 0.02)
        for sequence in sequences
    ]


class TestSequenceTracker:
    def test_nothing_was_received_and_nothing_expected_at_first(self) -> None:
        tracker = SequenceTracker()
        assert (tracker.expected, tracker.lost, tracker.take_fraction_lost()) == (0, 0, 0)
        assert tracker.ssrc is None

    @given(UINT16, st.integers(1, 400), st.floats(0, 0.5), st.randoms())
    def test_loss_is_what_the_network_took_across_the_wrap(
        self, start: int, count: int, share: float, draw: Random
    ) -> None:
        inner = [start + i for i in range(1, count) if draw.random() >= share]
        sent = [start, *inner, start + count]
        tracker = SequenceTracker()
        assert all(stream(tracker, sent))
        assert tracker.expected == count + 1
        assert tracker.lost == count + 1 - len(sent)
        assert tracker.extended_highest == start + count

    @given(st.randoms())
    def test_reordering_within_a_few_packets_is_no_loss(self, draw: Random) -> None:
        order = sorted(range(65500, 65700), key=lambda n: n + draw.uniform(0, 5))
        first = min(order)
        order.remove(first)
        tracker = SequenceTracker()
        assert all(stream(tracker, [first, *order]))
        assert (tracker.lost, tracker.extended_highest) == (0, 65699)

    def test_duplicates_make_the_loss_negative_as_in_rfc_3550_a_3(self) -> None:
        tracker = SequenceTracker()
        stream(tracker, [1, 2, 2, 2, 3])
        assert tracker.lost == -2
        assert tracker.take_fraction_lost() == 0

    def test_a_single_packet_from_nowhere_is_left_out(self) -> None:
        tracker = SequenceTracker()
        assert stream(tracker, [10, 11, 40000, 12]) == [True, True, False, True]
        assert (tracker.received, tracker.lost) == (3, 0)

    def test_two_packets_in_a_row_from_elsewhere_are_a_restart(self) -> None:
        tracker = SequenceTracker()
        assert stream(tracker, [10, 11, 40000, 40001, 40002]) == [True, True, False, True, True]
        assert (tracker.expected, tracker.lost, tracker.extended_highest) == (4, 0, 40002)

    def test_a_forward_jump_of_a_minute_is_a_restart_and_of_less_is_loss(self) -> None:
        tracker = SequenceTracker()
        assert stream(tracker, [0, SequenceTracker.MAX_DROPOUT - 1]) == [True, True]
        assert tracker.lost == SequenceTracker.MAX_DROPOUT - 2
        assert stream(tracker, [2 * SequenceTracker.MAX_DROPOUT - 1]) == [False]

    def test_a_packet_of_two_seconds_ago_is_late_and_an_older_one_is_left_out(self) -> None:
        tracker = SequenceTracker()
        late = 1000 - SequenceTracker.MAX_MISORDER
        assert stream(tracker, [1000, late + 1, late]) == [True, True, False]

    def test_a_new_ssrc_begins_anew_and_keeps_the_totals(self) -> None:
        tracker = SequenceTracker()
        stream(tracker, [1, 2, 4])
        stream(tracker, [50000, 50001], ssrc=2)
        assert tracker.ssrc == 2
        assert (tracker.received, tracker.expected, tracker.lost) == (5, 6, 1)

    def test_a_new_ssrc_has_no_wraps_no_pending_restart_and_no_jitter_from_the_old(self) -> None:
        tracker = SequenceTracker()
        assert stream(tracker, [65535, 65536, 40000]) == [True, True, False]
        assert tracker.receive(2, 10, 0xABCDEF, 9.0)
        assert tracker.jitter < 1
        assert tracker.extended_highest == 10
        assert not tracker.receive(2, 40001, 0, 9.02)

    def test_the_fraction_lost_is_that_since_the_last_report(self) -> None:
        tracker = SequenceTracker()
        stream(tracker, [1, 2, 3, 4])
        assert tracker.take_fraction_lost() == 0
        stream(tracker, [5, 8])
        assert tracker.take_fraction_lost() == 2 * 256 // 4
        assert tracker.take_fraction_lost() == 0

    def test_the_fraction_lost_stays_within_its_octet(self) -> None:
        tracker = SequenceTracker()
        stream(tracker, [1])
        tracker.take_fraction_lost()
        stream(tracker, [2999])
        stream(tracker, [1])  # a duplicate, so that next to nothing was received
        assert 250 < tracker.take_fraction_lost() <= 255
        stream(tracker, [2999 + 2998])
        assert tracker.take_fraction_lost() == 255

    def test_packets_on_time_have_no_jitter(self) -> None:
        tracker = SequenceTracker()
        stream(tracker, list(range(100)))
        assert tracker.jitter < 1

    def test_jitter_follows_rfc_3550_a_8(self) -> None:
        tracker = SequenceTracker()
        expected = 0.0
        for index in range(100):
            tracker.receive(1, index, index * 160, index * 0.02 + (0.01 if index % 2 else 0))
            expected += (80 - expected) / 16 if index else 0
        assert tracker.jitter == pytest.approx(expected, abs=2)

    def test_jitter_survives_the_wrap_of_the_timestamp(self) -> None:
        tracker = SequenceTracker()
        for index in range(20):
            tracker.receive(1, index, rtp.uint32_add(0xFFFFFFFF - 800, index * 160), index * 0.02)
        assert tracker.jitter < 1

    def test_telephone_events_stand_still_in_time_and_are_no_jitter(self) -> None:
        tracker = SequenceTracker()
        for index in range(20):
            assert tracker.receive(1, index, 0, index * 0.02, is_event=True)
        assert (tracker.jitter, tracker.received) == (0, 20)
