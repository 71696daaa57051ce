# SPDX-License-Identifier: GPL-3.0-or-later
"""The RTCP of one leg (RFC 3550 §6): what is told to the far end, and what is kept of its reports.

Nothing that the far end reports moves anything. When reports go out is left to `leg`.
"""

from __future__ import annotations

import contextlib
import secrets
import socket

from dialin.media.sockets import PACKET_BYTES
from dialin.media.srtp import LegSrtp
from dialin.media.stream import IncomingStream, OutgoingStream
from dialin.media.surroundings import Surroundings
from dialin.wire import rtcp
from dialin.wire.rtp import MalformedPacket

FIRST_REPORT_S = 2.5
REPORT_EACH_S = 5.0
"""RFC 3550 §6.2: the least interval, and half of it for the first report."""


class Reporter:
    """Writes and reads the reports of one leg."""

    def __init__(self, udp: socket.socket, surroundings: Surroundings, srtp: LegSrtp) -> None:
        self.owner = surroundings.leg
        """The number of the leg."""
        self.heard_at = float("-inf")
        """When the far end gave its last sign of life here."""
        self.malformed = 0
        self._udp = udp
        self._srtp = srtp
        self._scratch = surroundings.scratch
        self._cname = secrets.token_urlsafe(12)  # RFC 7022 §4.2: at least 96 random bits, a leg
        self._reception = rtcp.Reception()

    def on_readable(self, now: float) -> None:
        """Take one datagram of the far end."""
        with contextlib.suppress(OSError):  # ICMP: many far ends have no RTCP
            length = self._udp.recv_into(self._scratch.packet)
            self.hear(self._scratch.views[length], now)

    def hear(self, datagram: memoryview, now: float) -> None:
        """Take in what the far end reports."""
        compound = self._srtp.unprotect_rtcp(datagram)
        if compound is None:
            return
        try:
            packets = rtcp.parse_compound(compound) if len(compound) < PACKET_BYTES else ()
        except MalformedPacket:
            packets = ()
        if not packets:
            self.malformed += 1
            return
        self.heard_at = now
        for packet in packets:
            if isinstance(packet, rtcp.SenderReport):
                self._reception.hear(packet, now)

    def send(self, incoming: IncomingStream, outgoing: OutgoingStream, now: float) -> None:
        """Send one compound packet: SR or RR, then the CNAME."""
        blocks = self._reception.blocks(incoming.ssrc, incoming.tracker, now)
        report: rtcp.Packet
        packets = outgoing.packets - outgoing.packets_before
        if packets:
            report = rtcp.SenderReport(
                outgoing.ssrc,
                rtcp.ntp_time(now),
                outgoing.clock(now),
                packets,
                outgoing.octets,
                blocks,
            )
        else:
            report = rtcp.ReceiverReport(outgoing.ssrc, blocks)
        name = rtcp.SourceDescription(outgoing.ssrc, self._cname)
        compound = self._srtp.protect_rtcp(rtcp.compound([report, name]))
        with contextlib.suppress(OSError):
            self._udp.send(compound)
