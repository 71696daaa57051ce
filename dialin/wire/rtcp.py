# SPDX-License-Identifier: GPL-3.0-or-later
"""RTCP (RFC 3550 §6): reports, CNAME and BYE, built and read as compound packets.

What is counted for a report is `rtp.SequenceTracker`; when reports go out, to whom, and the random
CNAME of each leg (RFC 7022) are left to the media worker. Nothing received here moves an address.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dialin.wire.rtp import VERSION, Buffer, MalformedPacket, SequenceTracker

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203

MAX_BLOCKS = 31
"""Reports and sources a packet: the count has five bits."""
MAX_PACKETS = 16
"""In one datagram; a peer of ours sends two or three."""

_CNAME = 1
_COMMON = struct.Struct("!BBH")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")
_SSRC = struct.Struct("!I")
_MOST_LOST = 0x7FFFFF


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What one receiver says of one stream (RFC 3550 §6.4.1). PEER-CONTROLLED when received."""

    ssrc: int
    """The stream that is reported on."""
    fraction_lost: int
    """Since the last report, in 1/256."""
    lost: int
    """Since the beginning; 24 bits, signed."""
    highest_sequence: int
    """Extended by the count of wraps."""
    jitter: int
    """Units of the stream's clock."""
    last_sender_report: int
    """Middle 32 bits of the NTP time of the last SR received; 0 for none."""
    delay_since: int
    """From that SR to this report, in 1/65536 s."""

    def __bytes__(self) -> bytes:
        lost = max(-_MOST_LOST - 1, min(_MOST_LOST, self.lost)) & 0xFFFFFF
        return _BLOCK.pack(
            self.ssrc,
            self.fraction_lost << 24 | lost,
            self.highest_sequence & 0xFFFFFFFF,
            self.jitter,
            self.last_sender_report,
            self.delay_since,
        )


@dataclass(frozen=True, slots=True)
class SenderReport:
    """RFC 3550 §6.4.1. PEER-CONTROLLED when received."""

    ssrc: int
    """The sender's stream."""
    ntp: int
    """64-bit NTP time of the report, see `ntp_time`."""
    timestamp: int
    """The same instant on the stream's RTP clock."""
    packets: int
    """Sent since the beginning; wraps at 32 bits, as `octets` does."""
    octets: int
    """Payload octets sent since the beginning."""
    blocks: tuple[ReportBlock, ...] = ()
    """What the sender hears of others."""

    @property
    def middle(self) -> int:
        """What a report block names this report by."""
        return self.ntp >> 16 & 0xFFFFFFFF

    def __bytes__(self) -> bytes:
        sent = (self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF)
        body = _SENDER.pack(self.ssrc, self.ntp, self.timestamp, *sent)
        return _packet(SENDER_REPORT, len(self.blocks), body + b"".join(map(bytes, self.blocks)))


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RFC 3550 §6.4.2, from one who has sent nothing yet. PEER-CONTROLLED when received."""

    ssrc: int
    """Who reports."""
    blocks: tuple[ReportBlock, ...] = ()
    """What is heard of others."""

    def __bytes__(self) -> bytes:
        body = _SSRC.pack(self.ssrc) + b"".join(map(bytes, self.blocks))
        return _packet(RECEIVER_REPORT, len(self.blocks), body)


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """RFC 3550 §6.5, the CNAME item of one source only. PEER-CONTROLLED when received."""

    ssrc: int
    """The source."""
    cname: str
    """Ours is random and says nothing of the caller (RFC 7022 §4.2)."""

    def __bytes__(self) -> bytes:
        name = self.cname.encode()
        chunk = _SSRC.pack(self.ssrc) + bytes((_CNAME, len(name))) + name
        return _packet(SOURCE_DESCRIPTION, 1, chunk + bytes(4 - len(chunk) % 4))


@dataclass(frozen=True, slots=True)
class Goodbye:
    """RFC 3550 §6.6; a reason is passed over. PEER-CONTROLLED when received."""

    ssrcs: tuple[int, ...]
    """The sources that end."""

    def __bytes__(self) -> bytes:
        body = b"".join(map(_SSRC.pack, self.ssrcs))
        return _packet(GOODBYE, len(self.ssrcs), body)


Packet = SenderReport | ReceiverReport | SourceDescription | Goodbye


class Reception:
    """What we report of one far end's stream (RFC 3550 §6.4.1)."""

    def __init__(self) -> None:
        self._last_sender_report = 0
        self._heard_at = 0.0

    def hear(self, report: SenderReport, now: float) -> None:
        """The far end has reported: our next report names this one."""
        self._last_sender_report, self._heard_at = report.middle, now

    def blocks(
        self, ssrc: int | None, tracker: SequenceTracker, now: float
    ) -> tuple[ReportBlock, ...]:
        """What has come of the stream `ssrc`, counted by `tracker`; nothing where there is none."""
        if ssrc is None:
            return ()
        delay = round((now - self._heard_at) * 65536) if self._last_sender_report else 0
        block = ReportBlock(
            ssrc=ssrc,
            fraction_lost=tracker.take_fraction_lost(),
            lost=tracker.lost,
            highest_sequence=tracker.extended_highest,
            jitter=int(tracker.jitter),
            last_sender_report=self._last_sender_report,
            delay_since=delay & 0xFFFFFFFF,
        )
        return (block,)


def compound(packets: Sequence[Packet]) -> bytes:
    """One datagram. RFC 3550 §6.1: a report comes first, and a CNAME is in each."""
    return b"".join(map(bytes, packets))


def parse_compound(datagram: Buffer) -> tuple[Packet, ...]:
    """Read what is known in one datagram, and pass over the rest.

    Raises MalformedPacket, and nothing else, whatever the octets are. A datagram that begins with
    another packet than a report is read all the same (reduced size, RFC 5506).
    """
    return tuple(
        packet
        for kind, count, body in _packets(bytes(datagram))
        if (packet := _read(kind, count, body)) is not None
    )


def is_rtcp(datagram: Buffer) -> bool:
    """Tell RTCP from RTP on one port: RFC 5761 §4 keeps payload types 64-95 free for it."""
    return len(datagram) >= 2 and datagram[0] >> 6 == VERSION and 192 <= datagram[1] <= 223


def ntp_time(seconds: float) -> int:
    """Seconds, of any epoch the caller likes (RFC 3550 §4), as a 64-bit NTP time."""
    return int(seconds * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def round_trip_s(block: ReportBlock, ntp_now: int) -> float | None:
    """The time to the peer and back (RFC 3550 §6.4.1); None when it never saw a report of ours."""
    if block.last_sender_report == 0:
        return None
    middle = ntp_now >> 16 & 0xFFFFFFFF
    units = (middle - block.last_sender_report - block.delay_since) & 0xFFFFFFFF
    return 0.0 if units > 0x7FFFFFFF else units / 65536  # clocks that drift may go below zero


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _COMMON.pack(VERSION << 6 | count, kind, len(body) // 4) + body


def _packets(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, count and body of each packet, without its padding."""
    offset = number = 0
    while offset < len(datagram):
        if number == MAX_PACKETS or len(datagram) < offset + _COMMON.size:
            raise MalformedPacket("RTCP with too many packets, or one cut short")
        first, kind, words = _COMMON.unpack_from(datagram, offset)
        end = offset + 4 + 4 * words
        if first >> 6 != VERSION or end > len(datagram):
            raise MalformedPacket("RTCP of another version, or cut short")
        padding = datagram[end - 1] if first & 0x20 else 0
        yield kind, first & 0x1F, datagram[offset + 4 : max(offset + 4, end - padding)]
        offset, number = end, number + 1


def _read(kind: int, count: int, body: bytes) -> Packet | None:
    try:
        if kind == SENDER_REPORT:
            ssrc, ntp, timestamp, packets, octets = _SENDER.unpack_from(body)
            blocks = _blocks(body, _SENDER.size, count)
            return SenderReport(ssrc, ntp, timestamp, packets, octets, blocks)
        if kind == RECEIVER_REPORT:
            return ReceiverReport(_SSRC.unpack_from(body)[0], _blocks(body, _SSRC.size, count))
        if kind == GOODBYE:
            return Goodbye(tuple(_SSRC.unpack_from(body, 4 * index)[0] for index in range(count)))
        if kind == SOURCE_DESCRIPTION and count:
            return _source(body)
    except struct.error:
        raise MalformedPacket("RTCP packet shorter than its count") from None
    return None


def _blocks(body: bytes, offset: int, count: int) -> tuple[ReportBlock, ...]:
    return tuple(_block(body, offset + _BLOCK.size * index) for index in range(count))


def _block(body: bytes, offset: int) -> ReportBlock:
    ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(body, offset)
    lost = loss & 0xFFFFFF
    signed = lost - 0x1000000 if lost > _MOST_LOST else lost
    return ReportBlock(ssrc, loss >> 24, signed, highest, jitter, last, delay)


def _source(body: bytes) -> SourceDescription | None:
    """The CNAME in the first chunk; a mixer's list of others is not needed."""
    ssrc = _SSRC.unpack_from(body)[0]
    offset = 4
    while offset + 2 <= len(body) and body[offset]:
        kind, end = body[offset], offset + 2 + body[offset + 1]
        if kind == _CNAME and end <= len(body):
            return SourceDescription(ssrc, body[offset + 2 : end].decode("utf-8", "replace"))
        offset = end
    return None
