# SPDX-License-Identifier: GPL-3.0-or-later
"""The RTCP of one leg (RFC 3550 §6): what is told to the far end, and what is kept of its reports.

When reports go out, and that one is a sign of life, is left to `leg`.
"""

from __future__ import annotations

import secrets

from dialin.media.stream import IncomingStream, OutgoingStream
from dialin.wire import rtcp
from dialin.wire.rtp import Buffer

FIRST_REPORT_S = 2.5
REPORT_EACH_S = 5.0
"""RFC 3550 §6.2: the least interval, and half of it for the first report."""


class Reporter:
    """Writes and reads the reports of one leg."""

    def __init__(self) -> None:
        self._cname = secrets.token_urlsafe(12)  # RFC 7022 §4.2: at least 96 random bits, a leg
        self._last_sender_report = 0
        self._reported_at = 0.0

    def hear(self, datagram: Buffer, now: float) -> None:
        """Take in what the far end reports. Raises MalformedPacket."""
        for packet in rtcp.parse_compound(datagram):
            if isinstance(packet, rtcp.SenderReport):
                self._last_sender_report, self._reported_at = packet.middle, now

    def report(self, incoming: IncomingStream, outgoing: OutgoingStream, now: float) -> bytes:
        """One compound packet: SR or RR, then the CNAME."""
        blocks = self._blocks(incoming, now)
        report: rtcp.Packet
        if outgoing.packets:
            report = rtcp.SenderReport(
                outgoing.ssrc,
                rtcp.ntp_time(now),
                outgoing.clock(now),
                outgoing.packets,
                outgoing.octets,
                blocks,
            )
        else:
            report = rtcp.ReceiverReport(outgoing.ssrc, blocks)
        return rtcp.compound([report, rtcp.SourceDescription(outgoing.ssrc, self._cname)])

    def _blocks(self, incoming: IncomingStream, now: float) -> tuple[rtcp.ReportBlock, ...]:
        if incoming.ssrc is None:
            return ()
        incoming.settle(now)
        tracker = incoming.tracker
        delay = round((now - self._reported_at) * 65536) if self._last_sender_report else 0
        block = rtcp.ReportBlock(
            ssrc=incoming.ssrc,
            fraction_lost=tracker.take_fraction_lost(),
            lost=tracker.lost,
            highest_sequence=tracker.extended_highest,
            jitter=int(tracker.jitter),
            last_sender_report=self._last_sender_report,
            delay_since=delay & 0xFFFFFFFF,
        )
        return (block,)
