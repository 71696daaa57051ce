# SPDX-License-Identifier: GPL-3.0-or-later
"""One member's RTCP in the mixer: a report every five seconds, and what the far end reports.

As FreeSWITCH does under BBB's profile, on the port beside RTP and never on RTP's own. When to look
is left to `mixer`.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

from dialin.media.srtp import LegSrtp
from dialin.wire import rtcp
from dialin.wire.rtp import MalformedPacket, SequenceTracker

FIRST_REPORT_S = 2.5
REPORT_EACH_S = 5.0
LOOK_EACH_S = 0.2
"""How often it is looked whether a report has come: seldom, as reports do."""
DATAGRAM_BYTES = 2048


class Rtcp:
    """What is reported to one far end, and by it."""

    def __init__(self, bound: socket.socket, srtp: LegSrtp) -> None:
        self.socket = bound
        self.reports = 0
        """Sender and receiver reports that came."""
        self.last: rtcp.SenderReport | rtcp.ReceiverReport | None = None
        """The last of them."""
        self.tracker = SequenceTracker()
        """What has come as RTP."""
        self._srtp = srtp
        self._far_end = ("", 0)
        self._cname = secrets.token_urlsafe(12)
        self._due_at = float("inf")
        self._look_at = float("-inf")
        self._reception = rtcp.Reception()

    def begin(self, far_end: tuple[str, int], now: float) -> None:
        """Report to a far end from now on; port 0 is nobody."""
        if self._due_at == float("inf"):
            self._due_at = now + FIRST_REPORT_S
        self._far_end = far_end

    def receive(self, now: float) -> None:
        """Take all reports that have arrived, if nobody has looked of late."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EACH_S
        while True:
            try:
                datagram, source = self.socket.recvfrom(DATAGRAM_BYTES)
            except OSError:
                return
            if source[:2] == self._far_end:
                self._take(datagram, now)

    def _take(self, datagram: bytes, now: float) -> None:
        opened = self._srtp.unprotect_rtcp(memoryview(datagram))
        packets: tuple[rtcp.Packet, ...] = ()
        with suppress(MalformedPacket):
            packets = rtcp.parse_compound(opened or b"")
        for packet in packets:
            if isinstance(packet, rtcp.SenderReport):
                self._reception.hear(packet, now)
            if isinstance(packet, rtcp.SenderReport | rtcp.ReceiverReport):
                self.reports += 1
                self.last = packet

    def report(self, ssrc: int, timestamp: int, packets: int, octets: int, now: float) -> None:
        """Send a report if one is due; the arguments are of the stream that we send."""
        if now < self._due_at:
            return
        self._due_at = now + REPORT_EACH_S
        blocks = self._reception.blocks(self.tracker.ssrc, self.tracker, now)
        sender = rtcp.SenderReport(ssrc, rtcp.ntp_time(now), timestamp, packets, octets, blocks)
        compound = rtcp.compound([sender, rtcp.SourceDescription(ssrc, self._cname)])
        if self._far_end[1]:
            with suppress(OSError):  # nobody has to listen there
                self.socket.sendto(self._srtp.protect_rtcp(compound), self._far_end)
