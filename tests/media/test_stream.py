# SPDX-License-Identifier: GPL-3.0-or-later
"""A leg's two streams: how the incoming one is ordered, and how the outgoing one goes on."""

from __future__ import annotations

import errno

import pytest

from dialin.media.playout import Frame
from dialin.media.srtp import LegSrtp
from dialin.media.stream import SSRC_LOCK_S, IncomingStream, Order, OutgoingStream
from dialin.wire import rtp
from dialin.wire.rtp import RtpHeader

FRAME = Frame(bytes(160))


def header(sequence: int, *, ssrc: int = 1) -> RtpHeader:
    return RtpHeader(0, False, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, ssrc, 12, 160)


def sent_by(stream: OutgoingStream) -> list[RtpHeader]:
    """Let a stream send into a list."""
    headers: list[RtpHeader] = []
    stream.transmit = lambda packet: headers.append(rtp.parse(packet))
    return headers


class TestIncoming:
    def orders(self, *sequences: int) -> list[Order]:
        stream = IncomingStream()
        return [stream.receive(header(each), 0.0, is_event=False) for each in sequences]

    def test_packets_in_order_are_newer_also_over_a_wrap(self) -> None:
        assert self.orders(65_534, 65_535, 65_536, 65_537) == [Order.FIRST, *[Order.NEWER] * 3]

    def test_gaps_are_no_fault_and_stragglers_and_duplicates_are_late(self) -> None:
        assert self.orders(10, 15, 12, 15, 16) == [
            Order.FIRST,
            Order.NEWER,
            Order.LATE,
            Order.LATE,
            Order.NEWER,
        ]

    def test_one_packet_from_far_away_is_a_stray_and_two_are_a_new_beginning(self) -> None:
        assert self.orders(10, 30_000, 11, 40_000, 40_001) == [
            Order.FIRST,
            Order.STRAY,
            Order.NEWER,
            Order.STRAY,
            Order.FIRST,
        ]

    def test_another_ssrc_is_foreign_until_the_stream_has_been_gone_for_a_while(self) -> None:
        stream = IncomingStream()
        stream.receive(header(1), 1.0, is_event=False)
        before, after = 1.0 + SSRC_LOCK_S - 0.01, 1.0 + SSRC_LOCK_S + 0.01
        assert stream.receive(header(9, ssrc=2), before, is_event=False) is Order.FOREIGN
        assert stream.receive(header(9, ssrc=2), after, is_event=False) is Order.FIRST
        assert stream.receive(header(2), after, is_event=False) is Order.FOREIGN

    def test_a_far_end_that_moves_may_change_its_ssrc_at_once(self) -> None:
        stream = IncomingStream()
        stream.receive(header(1), 1.0, is_event=False)
        stream.unlock()
        assert stream.receive(header(9, ssrc=2), 1.0, is_event=False) is Order.FIRST

    def test_what_a_lane_has_forwarded_is_made_up_for(self) -> None:
        stream = IncomingStream()
        stream.receive(header(65_530), 1.0, is_event=False)
        stream.catch_up(5, 1, 65_535, 65_535 * 160, 1.1)
        assert stream.receive(header(65_536), 1.12, is_event=False) is Order.NEWER
        assert (stream.tracker.received, stream.tracker.lost) == (7, 0)


class TestOutgoing:
    def test_it_begins_anywhere_but_not_near_the_wrap(self) -> None:
        streams = [OutgoingStream(lambda _: None, LegSrtp()) for _ in range(20)]
        assert len({stream.ssrc for stream in streams}) == 20
        assert len({stream.timestamp for stream in streams}) == 20
        assert len({stream.sequence for stream in streams}) > 10
        assert max(stream.sequence for stream in streams) < 0x8000  # RFC 3711 §3.3.1

    def test_own_frames_are_one_frame_apart_whatever_the_pace_of_the_worker(self) -> None:
        stream = OutgoingStream(lambda _: None, LegSrtp())
        headers = sent_by(stream)
        for now in (1.0, 1.021, 1.04, 1.063):
            stream.send_frame(FRAME, self, now)
        assert [each.timestamp - headers[0].timestamp & 0xFFFFFFFF for each in headers] == [
            0,
            160,
            320,
            480,
        ]

    def test_after_a_pause_the_timestamp_has_gone_on(self) -> None:
        stream = OutgoingStream(lambda _: None, LegSrtp())
        headers = sent_by(stream)
        for now in (1.0, 3.0):
            stream.send_frame(FRAME, self, now)
        assert headers[1].timestamp - headers[0].timestamp & 0xFFFFFFFF == 16_000
        assert headers[1].sequence == rtp.uint16_add(headers[0].sequence, 1)

    def test_another_speaker_never_goes_back_in_time(self) -> None:
        stream = OutgoingStream(lambda _: None, LegSrtp())
        headers = sent_by(stream)
        stream.send_frame(FRAME, "one", 1.0)
        stream.send_frame(FRAME, "another", 1.001)
        assert headers[1].timestamp - headers[0].timestamp & 0xFFFFFFFF == 160

    @pytest.mark.parametrize(
        ("failure", "figures"),
        [
            (ConnectionRefusedError(), (1, 0)),
            (BlockingIOError(), (0, 1)),
            (OSError(errno.ENETUNREACH, ""), (0, 1)),
        ],
    )
    def test_what_does_not_leave_is_counted_and_never_raises(
        self, failure: OSError, figures: tuple[int, int]
    ) -> None:
        def fail(_packet: memoryview | bytes) -> None:
            raise failure

        stream = OutgoingStream(fail, LegSrtp())
        stream.send_frame(FRAME, self, 1.0)
        assert (stream.refused, stream.unsent) == figures

    def test_its_clock_goes_on_between_packets(self) -> None:
        stream = OutgoingStream(lambda _: None, LegSrtp())
        stream.send_frame(FRAME, self, 1.0)
        assert rtp.uint32_add(stream.clock(1.5), -stream.timestamp) == 4000
