# SPDX-License-Identifier: GPL-3.0-or-later
"""One direction of a bridge: how a far end's stream goes on as another far end's.

Sequence numbers and timestamps are shifted by constants, so that gaps stay gaps and the receiver
sees the loss there was. The shifts are found anew where the source starts anew; that of sequence
numbers also where the sink has sent something of its own meanwhile. Packets that follow each other
exactly are left to `lane`.
"""

from __future__ import annotations

from dialin.media.stream import Order, OutgoingStream
from dialin.wire import rtp

TOLERANCE = 800
"""Clock units (100 ms) that a packet may be behind what the sink has sent of its own: jitter."""
PATIENCE = 25
"""Packets in a row that may come too late before the source's clock is taken to have stood still.

Where the sink has filled a gap with silence, delayed packets belong to a time that has passed. They
are dropped, or the listener would hear everything that much later from then on.
"""


class Relay:
    """Forwards what one incoming stream brings to one outgoing stream."""

    __slots__ = (
        "has_clock",
        "is_open",
        "late",
        "sequence_offset",
        "sink",
        "timestamp_offset",
        "volume",
    )

    def __init__(self, sink: OutgoingStream) -> None:
        self.sink = sink
        self.is_open = False
        """Whether the sink takes the source's audio now."""
        self.sequence_offset = 0
        self.timestamp_offset = 0
        self.has_clock = False
        """Whether `timestamp_offset` fits the stream that the source sends now."""
        self.late = 0
        """Packets in a row that came too late."""
        self.volume: bytes | None = None
        """What each octet of audio becomes; None where it stays."""

    def forward(self, header: rtp.RtpHeader, payload: memoryview, order: Order, now: float) -> bool:
        """Send an audio packet on. False when it comes too late to be of use."""
        marker = header.marker
        if order is Order.FIRST:
            self.has_clock = False
        if self.sink.speaker is not self or not self.has_clock:
            if not self._resume(header, order, now):
                return False
            marker = True  # RFC 3551 §4.1: a talk spurt begins
        self._send(header, payload, marker, order, now)
        return True

    def skip(self) -> None:
        """One packet of the source is not for the sink, which is not to take it for lost."""
        self.sequence_offset -= 1

    def _resume(self, header: rtp.RtpHeader, order: Order, now: float) -> bool:
        """Find the shifts for a packet that follows something else; False if it is too late."""
        if order is Order.LATE:
            return False
        timestamp = rtp.uint32_add(header.timestamp, self.timestamp_offset)
        if self.has_clock and not rtp.uint32_newer(timestamp, self.sink.timestamp):
            behind = rtp.uint32_add(self.sink.timestamp, -timestamp)
            if behind > TOLERANCE or self.late:
                self.late += 1
                if self.late <= PATIENCE:
                    return False
            self.has_clock = False
        if not self.has_clock:
            self.timestamp_offset = self.sink.next_timestamp(now) - header.timestamp
            self.has_clock = True
        self.sequence_offset = self.sink.sequence + 1 - header.sequence
        self.late = 0
        return True

    def _send(
        self,
        header: rtp.RtpHeader,
        payload: memoryview,
        marker: bool,
        order: Order,
        now: float,
    ) -> None:
        sink = self.sink
        sequence = rtp.uint16_add(header.sequence, self.sequence_offset)
        timestamp = rtp.uint32_add(header.timestamp, self.timestamp_offset)
        if order is not Order.LATE:
            sink.sequence, sink.timestamp, sink.sent_at = sequence, timestamp, now
            sink.speaker = self
        packet = rtp.pack(
            payload if self.volume is None else bytes(payload).translate(self.volume),
            payload_type=sink.payload_type,
            marker=marker,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=sink.ssrc,
        )
        sink.put(packet, len(payload))
