# SPDX-License-Identifier: GPL-3.0-or-later
"""RTCP: compound packets read and written, and told from RTP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire import rtcp, rtp
from dialin.wire.rtcp import Goodbye, ReceiverReport, ReportBlock, SenderReport, SourceDescription
from dialin.wire.rtp import MalformedPacket

UINT32 = st.integers(0, 0xFFFFFFFF)
BLOCKS = st.lists(
    st.builds(
        ReportBlock,
        ssrc=UINT32,
        fraction_lost=st.integers(0, 255),
        lost=st.integers(-0x800000, 0x7FFFFF),
        highest_sequence=UINT32,
        jitter=UINT32,
        last_sender_report=UINT32,
        delay_since=UINT32,
    ),
    max_size=rtcp.MAX_BLOCKS,
).map(tuple)
PACKETS = st.one_of(
    st.builds(
        SenderReport,
        ssrc=UINT32,
        ntp=st.integers(0, 2**64 - 1),
        timestamp=UINT32,
        packets=UINT32,
        octets=UINT32,
        blocks=BLOCKS,
    ),
    st.builds(ReceiverReport, ssrc=UINT32, blocks=BLOCKS),
    st.builds(
        SourceDescription,
        ssrc=UINT32,
        cname=st.text(st.characters(max_codepoint=0x7E), max_size=255),
    ),
    st.builds(Goodbye, ssrcs=st.lists(UINT32, max_size=31).map(tuple)),
)
BLOCK = ReportBlock(2, 10, 3, 70000, 44, 0, 0)


class TestCompound:
    @given(st.lists(PACKETS, max_size=rtcp.MAX_PACKETS))
    def test_a_compound_packet_is_read_as_it_was_built(self, packets: list[rtcp.Packet]) -> None:
        assert rtcp.parse_compound(rtcp.compound(packets)) == tuple(packets)

    @pytest.mark.parametrize("length", range(9))
    def test_each_packet_fills_whole_words(self, length: int) -> None:
        data = bytes(SourceDescription(1, "x" * length))
        assert len(data) % 4 == 0
        assert data[-1] == 0  # RFC 3550 §6.5: the list of items ends with a null octet

    def test_a_sender_report_as_the_rfc_draws_it(self) -> None:
        report = SenderReport(0x01020304, 0x1111111122222222, 5, 6, 7)
        assert bytes(report).hex() == (
            "80c80006" "01020304" "1111111122222222" "00000005" "00000006" "00000007"
        )  # fmt: skip
        assert report.middle == 0x11112222

    def test_counters_that_wrapped_are_sent_in_32_bits(self) -> None:
        report = SenderReport(1, 2, 3, 2**32 + 4, 2**32 + 5)
        (read,) = rtcp.parse_compound(bytes(report))
        assert isinstance(read, SenderReport)
        assert (read.packets, read.octets) == (4, 5)

    @pytest.mark.parametrize(("lost", "sent"), [(0x900000, 0x7FFFFF), (-0x900000, -0x800000)])
    def test_a_loss_beyond_24_bits_is_clamped(self, lost: int, sent: int) -> None:
        (read,) = rtcp.parse_compound(
            bytes(ReceiverReport(1, (ReportBlock(2, 0, lost, 2**33 + 1, 0, 0, 0),)))
        )
        assert isinstance(read, ReceiverReport)
        assert (read.blocks[0].lost, read.blocks[0].highest_sequence) == (sent, 1)

    def test_a_goodbye_with_a_reason_is_a_goodbye(self) -> None:
        data = bytes.fromhex("81cb0004 00000001 08") + b"teardown" + bytes(-9 % 4)
        assert rtcp.parse_compound(data) == (Goodbye((1,)),)

    def test_padding_at_the_end_is_left_out(self) -> None:
        data = bytearray(bytes(ReceiverReport(1)) + bytes(3) + b"\x04")
        data[0] |= 0x20
        data[3] += 1
        assert rtcp.parse_compound(data) == (ReceiverReport(1),)

    def test_unknown_packets_are_passed_over(self) -> None:
        feedback = bytes.fromhex("81ce0002 00000001 00000002")  # payload-specific, RFC 4585
        extended = bytes.fromhex("81cf0002 00000001 01026162")  # extended report, RFC 3611
        data = bytes(ReceiverReport(1)) + feedback + extended + bytes(Goodbye((1,)))
        assert rtcp.parse_compound(data) == (ReceiverReport(1), Goodbye((1,)))

    def test_the_cname_is_found_behind_other_items(self) -> None:
        items = b"\x02\x03Ann" + b"\x01\x02cn" + b"\0"
        data = b"\x81\xca\x00\x04\0\0\0\x05" + items + bytes(-len(items) % 4)
        assert rtcp.parse_compound(data) == (SourceDescription(5, "cn"),)

    def test_a_cname_may_end_with_the_packet(self) -> None:
        data = bytes.fromhex("81ca0002 00000005 01026162")
        assert rtcp.parse_compound(data) == (SourceDescription(5, "ab"),)

    @pytest.mark.parametrize(
        "body",
        [
            "81ca0003 00000005 00000000 01026162",  # one behind the end of the list
            "80ca0000",  # no source at all
            "81ca0002 00000005 02000000",  # no CNAME among the items
            "81ca0002 00000005 01090000",  # a CNAME that goes beyond the end
            "81ca0001 00000005",  # no items
        ],
    )
    def test_a_source_without_a_cname_is_passed_over(self, body: str) -> None:
        assert rtcp.parse_compound(bytes.fromhex(body)) == ()

    def test_a_cname_that_is_not_utf_8_is_read_all_the_same(self) -> None:
        data = bytes.fromhex("81ca0002 00000005 0101ff00")
        assert rtcp.parse_compound(data) == (SourceDescription(5, "�"),)

    @pytest.mark.parametrize(
        "body",
        [
            "80c9",  # no whole header
            "40c90001 00000001",  # version 1
            "80c90002 00000001",  # longer than the datagram
            "81c90001 00000001",  # a block that is not there
            "80c80001 00000001",  # no sender's account
            "82cb0001 00000001",  # one of two sources
            "81ca0000",  # a source that is not there
            "a0c90001 000000ff",  # padding beyond the packet
            "80c90001 00000001" * (rtcp.MAX_PACKETS + 1),
        ],
    )
    def test_rtcp_cut_short_is_malformed(self, body: str) -> None:
        with pytest.raises(MalformedPacket):
            rtcp.parse_compound(bytes.fromhex(body))

    @given(st.binary(max_size=200))
    def test_the_parser_is_total(self, data: bytes) -> None:
        try:
            rtcp.parse_compound(data)
        except MalformedPacket:
            return

    @given(st.lists(PACKETS, min_size=1, max_size=3), st.data())
    def test_the_parser_is_total_one_octet_from_the_truth(
        self, packets: list[rtcp.Packet], data: st.DataObject
    ) -> None:
        datagram = bytearray(rtcp.compound(packets))
        datagram[data.draw(st.integers(0, len(datagram) - 1))] = data.draw(st.integers(0, 255))
        try:
            rtcp.parse_compound(datagram)
        except MalformedPacket:
            return


class TestSharedPort:
    @given(PACKETS)
    def test_rtcp_is_told_from_rtp_by_its_second_octet(self, packet: rtcp.Packet) -> None:
        assert rtcp.is_rtcp(bytes(packet))
        assert rtcp.is_rtcp(bytes(packet)[:2])

    @pytest.mark.parametrize("payload_type", [0, 8, 9, 63, 96, 101, 127])
    @pytest.mark.parametrize("marker", [False, True])
    def test_no_payload_type_in_use_is_taken_for_rtcp(
        self, payload_type: int, marker: bool
    ) -> None:
        fields = {"sequence": 1, "timestamp": 2, "ssrc": 3}
        data = rtp.pack(b"", payload_type=payload_type, marker=marker, **fields)
        assert not rtcp.is_rtcp(data)

    @pytest.mark.parametrize("data", [b"", b"\x80", b"\x00\xc8"])
    def test_what_is_neither_is_not_rtcp(self, data: bytes) -> None:
        assert not rtcp.is_rtcp(data)


class TestRoundTripTime:
    def test_it_is_what_remains_after_the_peers_own_delay(self) -> None:
        sent = rtcp.ntp_time(100.0)
        block = ReportBlock(1, 0, 0, 0, 0, SenderReport(1, sent, 0, 0, 0).middle, 2 * 65536)
        assert rtcp.round_trip_s(block, rtcp.ntp_time(102.25)) == pytest.approx(0.25, abs=1e-4)

    def test_it_is_unknown_before_the_peer_saw_a_report(self) -> None:
        assert rtcp.round_trip_s(BLOCK, rtcp.ntp_time(5)) is None

    def test_clocks_that_drift_do_not_make_it_negative(self) -> None:
        block = ReportBlock(1, 0, 0, 0, 0, SenderReport(1, rtcp.ntp_time(9), 0, 0, 0).middle, 70000)
        assert rtcp.round_trip_s(block, rtcp.ntp_time(10)) == 0.0


class TestReception:
    def test_of_nothing_nothing_is_reported(self) -> None:
        assert rtcp.Reception().blocks(None, rtp.SequenceTracker(), 1.0) == ()

    def test_a_report_names_the_far_ends_last_one_and_how_long_ago_it_came(self) -> None:
        reception, tracker = rtcp.Reception(), rtp.SequenceTracker()
        (before,) = reception.blocks(7, tracker, 1.0)
        assert (before.ssrc, before.last_sender_report, before.delay_since) == (7, 0, 0)
        reception.hear(SenderReport(7, 0x1122334455667788, 0, 0, 0), 2.0)
        (after,) = reception.blocks(7, tracker, 3.5)
        assert after.last_sender_report == 0x33445566
        assert after.delay_since == 3 * 65536 // 2
