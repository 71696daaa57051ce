# SPDX-License-Identifier: GPL-3.0-or-later
"""RTP packets (RFC 3550 §5.1), serial arithmetic, and what a receiver learns from sequence numbers.

Sockets, pacing and the choice of SSRC and first sequence number (random, RFC 3550 §5.1) are left
to the media worker; RTCP is in `rtcp`, telephone events are in `dtmf`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from dialin.errors import PeerError

Buffer = bytes | bytearray | memoryview

VERSION = 2
HEADER_BYTES = 12
"""The fixed header; CSRC list and extension come after it."""

_HEADER = struct.Struct("!BBHII")
_EXTENSION_WORDS = struct.Struct("!H")


class MalformedPacket(PeerError):
    """A datagram that is not a packet of RTP version 2, of RTCP or of telephone-event."""


class RtpHeader(NamedTuple):
    """What a packet says of itself. A tuple, because one is made for every packet."""

    payload_type: int
    """0-127."""
    marker: bool
    """RFC 3551 §4.1: the first packet of a talk spurt; RFC 4733 §2.3: of an event."""
    sequence: int
    """16 bits, wraps."""
    timestamp: int
    """32 bits, wraps; in units of the codec's clock."""
    ssrc: int
    """32 bits, random a stream."""
    payload_offset: int
    """Where the payload begins, past CSRCs and header extension."""
    payload_length: int
    """How long it is, without padding; 0 is legal."""


def parse(packet: Buffer) -> RtpHeader:
    """Read one packet. Raises MalformedPacket, and nothing else, for whatever a peer sent."""
    size = len(packet)
    if size < HEADER_BYTES:
        raise MalformedPacket("shorter than an RTP header")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(packet)
    if first >> 6 != VERSION:
        raise MalformedPacket("not RTP version 2")
    offset = HEADER_BYTES
    padding = 0
    if first & 0x3F:
        offset, padding = _optional_parts(packet, first, size)
    return RtpHeader(
        second & 0x7F,
        second > 0x7F,
        sequence,
        timestamp,
        ssrc,
        offset,
        size - offset - padding,
    )


def _optional_parts(packet: Buffer, first: int, size: int) -> tuple[int, int]:
    """Where the payload begins, and how many octets of padding end the packet."""
    offset = HEADER_BYTES + 4 * (first & 0x0F)
    if first & 0x10:  # RFC 3550 §5.3.1: 16 bits for a profile, then the length in words
        if size < offset + 4:
            raise MalformedPacket("header extension cut short")
        offset += 4 + 4 * _EXTENSION_WORDS.unpack_from(packet, offset + 2)[0]
    padding = 0
    if first & 0x20:  # RFC 3550 §5.1: the last octet counts the padding, itself included
        padding = packet[size - 1]
        if padding == 0:
            raise MalformedPacket("padding of no octets")
    if offset + padding > size:
        raise MalformedPacket("header, extension or padding beyond the end")
    return offset, padding


def pack_header_into(
    buffer: bytearray | memoryview,
    payload_type: int,
    marker: bool,
    sequence: int,
    timestamp: int,
    ssrc: int,
) -> None:
    """Write the fixed header over the first 12 octets of `buffer`."""
    _HEADER.pack_into(
        buffer, 0, VERSION << 6, payload_type | (0x80 if marker else 0), sequence, timestamp, ssrc
    )


def pack(
    payload: Buffer, *, payload_type: int, marker: bool, sequence: int, timestamp: int, ssrc: int
) -> bytes:
    """One whole packet; for those who send so few that a buffer of their own is not worth it."""
    packet = bytearray(HEADER_BYTES)
    pack_header_into(packet, payload_type, marker, sequence, timestamp, ssrc)
    return bytes(packet) + payload


# Serial arithmetic (RFC 1982), named here once.


def uint16_add(a: int, b: int) -> int:
    """A sequence number `b` steps on; `b` may be negative."""
    return (a + b) & 0xFFFF


def uint16_newer(a: int, b: int) -> bool:
    """Whether sequence number `a` comes after `b`, wraps included."""
    return 0 < (a - b) & 0xFFFF < 0x8000


def uint32_add(a: int, b: int) -> int:
    """A timestamp `b` steps on; `b` may be negative."""
    return (a + b) & 0xFFFFFFFF


def uint32_newer(a: int, b: int) -> bool:
    """Whether timestamp `a` comes after `b`, wraps included."""
    return 0 < (a - b) & 0xFFFFFFFF < 0x80000000


class SequenceTracker:
    """What RTCP reports of one received stream: RFC 3550 A.1 (order), A.3 (loss), A.8 (jitter).

    One departure from A.1: the first packet counts at once instead of after a probation, for the
    worker takes packets only from the address that SDP named.
    """

    MAX_DROPOUT = 3000
    """A forward jump this long is a restart of the sender (RFC 3550 A.1)."""
    MAX_MISORDER = 100
    """A packet this late is a restart of the sender (RFC 3550 A.1)."""

    __slots__ = (
        "_base",
        "_clock_hz",
        "_earlier_expected",
        "_highest",
        "_reported_expected",
        "_reported_received",
        "_restart",
        "_transit",
        "_wraps",
        "jitter",
        "received",
        "ssrc",
    )

    def __init__(self, clock_hz: int = 8000) -> None:
        self.ssrc: int | None = None
        """The stream that is being tracked; None before the first packet."""
        self.received = 0
        """Packets that counted, duplicates included, over all streams."""
        self.jitter = 0.0
        """Interarrival jitter in units of the clock (RFC 3550 §6.4.1)."""
        self._clock_hz = clock_hz
        self._base = 0
        self._highest = 0
        self._wraps = 0
        self._earlier_expected = 0
        self._restart: int | None = None
        self._transit: int | None = None
        self._reported_expected = 0
        self._reported_received = 0

    def receive(
        self, ssrc: int, sequence: int, timestamp: int, now: float, *, is_event: bool = False
    ) -> bool:
        """Count one packet. False for one so far out of order that it is left out.

        `is_event`: a telephone event, whose timestamp stands still and says nothing of jitter.
        """
        if ssrc != self.ssrc:
            self._begin(sequence)
            self.ssrc = ssrc
        elif not self._follow(sequence):
            return False
        self.received += 1
        if not is_event:
            self._time(timestamp, now)
        return True

    def _begin(self, sequence: int) -> None:
        self._earlier_expected = self.expected
        self._base = self._highest = sequence
        self._wraps = 0
        self._restart = None
        self._transit = None

    def _follow(self, sequence: int) -> bool:
        """RFC 3550 A.1, update_seq."""
        ahead = (sequence - self._highest) & 0xFFFF
        if ahead < self.MAX_DROPOUT:
            if sequence < self._highest:
                self._wraps += 0x10000
            self._highest = sequence
        elif ahead <= 0x10000 - self.MAX_MISORDER:
            if sequence != self._restart:
                self._restart = uint16_add(sequence, 1)
                return False
            self._begin(sequence)  # two in a row: the sender has started anew
        return True

    def _time(self, timestamp: int, now: float) -> None:
        """RFC 3550 A.8."""
        transit = (int(now * self._clock_hz) - timestamp) & 0xFFFFFFFF
        if self._transit is not None:
            change = (transit - self._transit) & 0xFFFFFFFF
            distance = min(change, 0x100000000 - change)
            self.jitter += (distance - self.jitter) / 16
        self._transit = transit

    @property
    def extended_highest(self) -> int:
        """The highest sequence number with its count of wraps above it (RFC 3550 §6.4.1)."""
        return self._wraps + self._highest

    @property
    def expected(self) -> int:
        """How many packets the senders must have sent, over all streams (RFC 3550 A.3)."""
        if self.ssrc is None:
            return 0
        return self._earlier_expected + self.extended_highest - self._base + 1

    @property
    def lost(self) -> int:
        """Expected less received (RFC 3550 A.3): negative when duplicates outnumber losses."""
        return self.expected - self.received

    def take_fraction_lost(self) -> int:
        """Loss since the last call in 1/256 (RFC 3550 A.3), for one report block."""
        expected = self.expected - self._reported_expected
        received = self.received - self._reported_received
        self._reported_expected, self._reported_received = self.expected, self.received
        lost = expected - received
        return 0 if lost <= 0 else min(255, (lost << 8) // expected)
