# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast path of a bridge: what happens to most packets of most calls.

A lane forwards a packet that follows the one before exactly: the same SSRC and payload type, the
next sequence number, as far on in time, of the same length, with a plain header. It compares and
rewrites the header itself, as one number, instead of calling `dialin.wire.rtp`, and in the one
buffer that all packets pass through; nothing of a leg is touched but this one small object, because
the time goes into memory that is not in the processor's cache. With SRTP packets are opened and
sealed in that buffer as well. Anything else goes the long way through `receiver`, which opens the
lane again.
"""

from __future__ import annotations

import os
import struct
from abc import ABC, abstractmethod
from functools import lru_cache

from dialin.media.playout import CLOCK_HZ
from dialin.media.sockets import Scratch
from dialin.media.srtp import LegSrtp
from dialin.media.stream import IncomingStream, OutgoingStream
from dialin.wire import rtp

GRANT = 250
"""Packets a lane may forward until one goes the long way. Python keeps small numbers ready made."""
MAX_STEP = 8000
"""A second of RTP clock: longer packets are not of this world."""

_PLAIN = rtp.VERSION << 14
"""The first 16 bits of a packet with a fixed header only and no marker, less the payload type."""
_SEQUENCE = 1 << 32
_HEADER = struct.Struct("!QI")
"""First word, sequence number and timestamp as one number, and the SSRC."""


class Lane(ABC):
    """From one leg's RTP socket to another's, while `left` is more than zero."""

    __slots__ = (
        "fd",
        "granted",
        "head",
        "heard_at",
        "incoming",
        "is_secured",
        "jitter_s",
        "left",
        "length",
        "octets",
        "offset",
        "owner",
        "packet",
        "refused",
        "sink",
        "sink_fd",
        "sink_ssrc",
        "srtp",
        "ssrc",
        "step",
        "step_s",
        "targets",
        "views",
    )

    sink: OutgoingStream
    """Where packets go; set when the lane is opened first."""

    def __init__(
        self, fd: int, owner: int, incoming: IncomingStream, scratch: Scratch, srtp: LegSrtp
    ) -> None:
        self.fd = fd
        self.owner = owner
        """The number of the leg."""
        self.left = self.granted = 0
        self.head = self.ssrc = self.step = self.length = 0
        """The last packet's header and length, and how far the next is to be from it."""
        self.octets = 0
        """How many of them are payload."""
        self.srtp = srtp
        self.is_secured = False
        """Whether packets are encrypted, before or behind."""
        self.offset = self.sink_fd = self.sink_ssrc = 0
        """How packets change, and where they go."""
        self.heard_at = float("-inf")
        """When the last audio came, by the lane or the long way."""
        self.jitter_s = self.step_s = 0.0
        """As RFC 3550 A.8 has it, and the time between two packets by the sender's clock."""
        self.incoming = incoming
        self.refused = 0
        """How often the far host said that nobody listens."""
        self.packet, self.views = scratch.packet, scratch.views
        self.targets = [scratch.packet]

    @abstractmethod
    def hear(self, packet: memoryview, now: float) -> None:
        """Take one packet the long way."""

    def on_readable(self, now: float) -> None:
        """Take one packet. This runs for every packet of every call."""
        try:
            length = os.readv(self.fd, self.targets)
        except OSError as failure:
            self.unread(failure)
            return
        head, ssrc = _HEADER.unpack_from(self.packet)
        if (
            self.left
            and head - self.head == self.step
            and ssrc == self.ssrc
            and length == self.length
        ):
            if self.is_secured:
                self._forward_secured(length, head, now)
                return
            self.left -= 1
            self.head = head
            self.jitter_s += (abs(now - self.heard_at - self.step_s) - self.jitter_s) / 16
            self.heard_at = now
            _HEADER.pack_into(self.packet, 0, head + self.offset, self.sink_ssrc)
            try:
                os.write(self.sink_fd, self.views[length])
            except OSError as failure:
                self.sink.fail(failure)
        else:
            self.hear(self.views[length], now)

    def _forward_secured(self, length: int, head: int, now: float) -> None:
        """Do as `on_readable` does, with SRTP: its header is in the clear (RFC 3711 §3.1).

        Until the packet has proved to be authentic, nothing is touched but the buffer.
        """
        length = self.srtp.open(length)
        if not length:
            return
        self.left -= 1
        self.head = head
        self.jitter_s += (abs(now - self.heard_at - self.step_s) - self.jitter_s) / 16
        self.heard_at = now
        _HEADER.pack_into(self.packet, 0, head + self.offset, self.sink_ssrc)
        length = self.sink.srtp.seal(length)
        if not length:
            self.sink.unsent += 1
            return
        try:
            os.write(self.sink_fd, self.views[length])
        except OSError as failure:
            self.sink.fail(failure)

    def open_lane(
        self, header: rtp.RtpHeader, length: int, step: int, sink: OutgoingStream
    ) -> None:
        """Forward from the packet after this one on, which `sink` has just sent.

        `length` is that of the packet in the clear.

        None of the numbers in a header may wrap on the way: that would carry into the next one.
        """
        units_left = 0xFFFFFFFF - sink.timestamp
        if sink.fd is None or not 0 < step <= MAX_STEP:
            return
        self.left = self.granted = min(GRANT, 0xFFFF - sink.sequence, units_left // step)
        self.head = _head(header.payload_type, header.sequence, header.timestamp)
        self.step, self.step_s = _stride(step)
        self.jitter_s = self.incoming.tracker.jitter / CLOCK_HZ
        self.ssrc = header.ssrc
        self.length = length + self.srtp.tag_bytes
        self.octets = length - rtp.HEADER_BYTES
        self.is_secured = self.srtp.is_on or sink.srtp.is_on
        self.offset = _head(sink.payload_type, sink.sequence, sink.timestamp) - self.head
        self.sink, self.sink_fd, self.sink_ssrc = sink, sink.fd, sink.ssrc

    def settle(self) -> None:
        """Tell both streams what was forwarded meanwhile."""
        count, self.granted = self.granted - self.left, self.left
        if count:
            sequence, timestamp = self.head >> 32 & 0xFFFF, self.head & 0xFFFFFFFF
            self.incoming.catch_up(count, self.ssrc, sequence, timestamp, self.heard_at)
            self.incoming.tracker.jitter = self.jitter_s * CLOCK_HZ
            sent = self.head + self.offset
            octets = count * self.octets
            self.sink.catch_up(count, octets, sent >> 32 & 0xFFFF, sent & 0xFFFFFFFF, self.heard_at)

    def close_lane(self) -> None:
        """Forward nothing until `open_lane`."""
        self.settle()
        self.left = self.granted = 0

    def unread(self, failure: OSError) -> None:
        """Nothing to read after all, or an ICMP error that was waiting (udp(7))."""
        if not isinstance(failure, BlockingIOError):
            self.refused += 1


@lru_cache
def _stride(step: int) -> tuple[int, float]:
    """How far a header and a clock go on from packet to packet: numbers that most lanes share."""
    return _SEQUENCE + step, step / CLOCK_HZ


def _head(payload_type: int, sequence: int, timestamp: int) -> int:
    return (_PLAIN | payload_type) << 48 | sequence << 32 | timestamp
