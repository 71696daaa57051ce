# SPDX-License-Identifier: GPL-3.0-or-later
"""RTCP and SRTP of the mixing process, in a time that is set by hand."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

import pytest

from dialin.demo.mixer import Member, Mixer
from dialin.demo.mixer_messages import Heard, Join, Listen, Open
from dialin.wire import rtcp
from tests.demo.test_mixer import TONE, ULAW, WAIT_S, packets_of_tone


class TestReports:
    """RTCP on the port beside RTP, in a time that is set by hand."""

    @pytest.fixture
    def far_end(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.bind(("127.0.0.1", 0))
            made.settimeout(WAIT_S)
            yield made

    def joined(self, mixer: Mixer, port: int) -> Member:
        mixer.carry_out(Open("a", "127.0.0.1"))
        mixer.carry_out(Join("a", "1", "127.0.0.1", 9, "PCMU", 0, 101, rtcp_port=port))
        return mixer._members["a"]

    def test_leave_after_a_while_and_then_every_five_seconds(
        self, still: Mixer, far_end: socket.socket
    ) -> None:
        member = self.joined(still, far_end.getsockname()[1])
        for now in (0.0, 2.4, 2.5, 7.4, 7.5):
            member.hear(ULAW.silence, now)
        sent = [rtcp.parse_compound(far_end.recv(2048)) for _ in range(2)]
        far_end.settimeout(0)
        with pytest.raises(BlockingIOError):
            far_end.recv(2048)
        reports = [packets[0] for packets in sent]
        assert all(isinstance(packets[1], rtcp.SourceDescription) for packets in sent)
        assert [getattr(report, "packets", None) for report in reports] == [3, 5]

    def test_tell_what_was_heard_and_take_what_is_told(
        self, still: Mixer, far_end: socket.socket
    ) -> None:
        member = self.joined(still, far_end.getsockname()[1])
        packets = packets_of_tone(1, 2, 4)
        for packet in packets:
            member.take(packet, ("127.0.0.1", 9), 0.0)
        own = member.rtcp.socket.getsockname()
        for datagram in (b"nonsense", bytes(rtcp.SenderReport(5, 1 << 40, 0, 3, 480))):
            far_end.sendto(datagram, own)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(bytes(rtcp.ReceiverReport(5)), own)
        still.tick()
        answer = still.carry_out(Listen("a", []))
        assert isinstance(answer, Heard)
        assert answer.reports == 1
        assert isinstance(member.rtcp.last, rtcp.SenderReport)
        member.hear(ULAW.silence, 3.0)
        (report, _) = rtcp.parse_compound(far_end.recv(2048))
        assert isinstance(report, rtcp.SenderReport)
        (block,) = report.blocks
        assert (block.ssrc, block.lost, block.highest_sequence) == (5, 1, 4)
        assert block.last_sender_report == 1 << 24

    def test_go_nowhere_where_nobody_takes_them(self, still: Mixer) -> None:
        member = self.joined(still, 0)
        member.hear(ULAW.silence, 3.0)
        assert member.rtcp.reports == 0


class TestEncryption:
    def keys(self, octet: int) -> dict[str, str]:
        key = base64.b64encode(bytes([octet]) * 30).decode()
        return {"suite": "AES_CM_128_HMAC_SHA1_80", "send_key": key, "receive_key": key}

    def test_a_new_key_begins_a_new_stream(self, still: Mixer) -> None:
        still.carry_out(Open("a", "127.0.0.1"))
        member = still._members["a"]
        ssrcs = []
        for octet in (1, 1, 2):
            srtp = self.keys(octet)
            still.carry_out(Join("a", "1", "127.0.0.1", 9, "PCMU", 0, 101, srtp=srtp))
            member.hear(ULAW.silence, 0.0)
            ssrcs.append(member._ssrc)
        assert ssrcs[0] == ssrcs[1] != ssrcs[2]

    def test_what_is_not_authentic_is_left_out(self, still: Mixer) -> None:
        still.carry_out(Open("a", "127.0.0.1"))
        srtp = self.keys(1)
        still.carry_out(Join("a", "1", "127.0.0.1", 9, "PCMU", 0, 101, srtp=srtp))
        member = still._members["a"]
        for packet in packets_of_tone(*range(4)):
            member.take(packet, ("127.0.0.1", 9), 0.0)
        still.tick()
        assert TONE not in member.said
        assert member.srtp.failed == 4
