# SPDX-License-Identifier: GPL-3.0-or-later
"""One leg's two RTP streams: what the far end sends, in order or not, and what leaves for it.

The outgoing stream is one for its receiver whatever feeds it: prompts, silence, keys or the bridge
follow each other with one SSRC and without a break in sequence numbers; timestamps never go back.
Sockets are left to `leg`, the mapping of a bridged stream to `relay`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from dialin.media.playout import CLOCK_HZ, FRAME_UNITS, Frame
from dialin.media.srtp import LegSrtp
from dialin.wire import rtp

SSRC_LOCK_S = 0.2
"""While a stream lives, with gaps shorter than this, no other SSRC is heard."""
CONTIGUOUS_S = 0.06
"""Own frames that follow each other within this differ by exactly one frame's timestamp."""

Transmit = Callable[[bytes], object]


class Feeder(Protocol):
    """What sends in an outgoing stream's name, and tells it later."""

    def has_fed_since(self, time: float) -> bool:
        """Whether it has had something to send."""

    def settle(self) -> None:
        """Tell what was sent so far."""

    def close_lane(self) -> None:
        """Tell it, and send no more."""


class Order(Enum):
    """What a packet is to the stream it belongs to."""

    FIRST = auto()
    """A stream begins, or its sender has started anew."""
    NEWER = auto()
    LATE = auto()
    """Overtaken by others, or a duplicate."""
    STRAY = auto()
    """Far out of order: not to be used."""
    FOREIGN = auto()
    """Another stream than the one that lives."""


class IncomingStream:
    """What the far end sends: one SSRC at a time, its order, loss and jitter.

    Packets that a lane has forwarded do not come to `receive`: `catch_up` tells of them.
    """

    __slots__ = ("expected", "heard_at", "ssrc", "timestamp", "tracker")

    def __init__(self) -> None:
        self.tracker = rtp.SequenceTracker(CLOCK_HZ)
        self.ssrc: int | None = None
        """The stream that is listened to."""
        self.expected = 0
        """The sequence number that comes next."""
        self.timestamp = 0
        """That of the newest packet."""
        self.heard_at = float("-inf")
        """When the last packet of this stream came."""

    def receive(self, header: rtp.RtpHeader, now: float, *, is_event: bool) -> Order:
        """Take one packet into account."""
        if header.ssrc != self.ssrc and now - self.heard_at < SSRC_LOCK_S:
            return Order.FOREIGN
        ahead = (header.sequence - self.expected + 1) & 0xFFFF
        is_first = header.ssrc != self.ssrc
        if not self.tracker.receive(
            header.ssrc, header.sequence, header.timestamp, now, is_event=is_event
        ):
            return Order.STRAY
        self.ssrc = header.ssrc
        self.heard_at = now
        if not is_first and (ahead == 0 or ahead > 0x10000 - self.tracker.MAX_MISORDER):
            return Order.LATE
        self.expected = rtp.uint16_add(header.sequence, 1)
        self.timestamp = header.timestamp
        return Order.FIRST if is_first or ahead >= self.tracker.MAX_DROPOUT else Order.NEWER

    def unlock(self) -> None:
        """Another sender may be heard at once: the far end has moved."""
        self.heard_at = float("-inf")

    def catch_up(self, count: int, ssrc: int, sequence: int, timestamp: int, now: float) -> None:
        """Take into account packets that came in order; the last one is described."""
        self.tracker.received += count - 1
        self.tracker.receive(ssrc, sequence, timestamp, now, is_event=True)
        self.expected = rtp.uint16_add(sequence, 1)
        self.timestamp, self.heard_at = timestamp, now


class OutgoingStream:
    """What leaves for the far end. Whoever sends last is its `speaker`."""

    __slots__ = (
        "event_type",
        "fd",
        "feeder",
        "octets",
        "packets",
        "packets_before",
        "payload_type",
        "refused",
        "sent_at",
        "sequence",
        "speaker",
        "srtp",
        "ssrc",
        "timestamp",
        "transmit",
        "unsent",
    )

    def __init__(self, transmit: Transmit, srtp: LegSrtp) -> None:
        self.transmit = transmit
        self.srtp = srtp
        """How packets are encrypted, if they are."""
        self.fd: int | None = None
        """The socket, once it is connected; until then only `transmit` knows where to send."""
        self.feeder: Feeder | None = None
        """What else may send in our name while the leg is bridged."""
        self.payload_type = 0
        self.event_type = 0
        self._draw_numbers()
        self.timestamp = secrets.randbits(32)
        self.sent_at = 0.0
        """When the packet with `timestamp` was due."""
        self.speaker: object | None = None
        """Who sent last: the relay of a bridge, or the leg itself."""
        self.packets = 0
        self.packets_before = 0
        """How many of them had another SSRC."""
        self.octets = 0
        """Of payload, with this SSRC."""
        self.refused = 0
        self.unsent = 0

    def _draw_numbers(self) -> None:
        """RFC 3550 §5.1 wants them random, and the first timestamp as well.

        RFC 3711 §3.3.1 is why sequence numbers start in the lower half: a receiver that misses the
        first wrap cannot guess the rollover counter.
        """
        self.ssrc = secrets.randbits(32)
        self.sequence = secrets.randbits(15)

    def turn(self, transmit: Transmit, fd: int | None) -> None:
        """Send another way from now on."""
        if self.feeder:
            self.feeder.close_lane()
        self.transmit, self.fd = transmit, fd

    def begin_anew(self) -> None:
        """Be another stream from now on: the rollover counter of a new key begins with it.

        What has fed the stream finds its place in it as after silence.
        """
        if self.feeder:
            self.feeder.close_lane()
        self._draw_numbers()
        self.packets_before, self.octets = self.packets, 0  # RFC 3550 §6.4.1
        if self.speaker is not None:
            self.speaker = self

    def settle(self) -> None:
        """Be up to date with what the feeder has sent."""
        if self.feeder:
            self.feeder.settle()

    def catch_up(self, count: int, octets: int, sequence: int, timestamp: int, now: float) -> None:
        """Take into account packets that the feeder has sent; the last one is described."""
        self.packets += count
        self.octets += octets
        self.sequence, self.timestamp, self.sent_at = sequence, timestamp, now

    def next_timestamp(self, now: float) -> int:
        """The timestamp of something that begins now: time has gone on meanwhile."""
        if self.speaker is None:
            return self.timestamp
        elapsed = max(FRAME_UNITS, round((now - self.sent_at) * CLOCK_HZ))
        return rtp.uint32_add(self.timestamp, elapsed)

    def send_frame(self, frame: Frame, speaker: object, now: float) -> None:
        """Send one frame of the leg's own."""
        if self.feeder:
            self.feeder.close_lane()
        if frame.is_event and not frame.begins:
            timestamp = self.timestamp  # RFC 4733 §2.5.1.2: that of the event's beginning
        elif self.speaker is speaker and now - self.sent_at < CONTIGUOUS_S:
            timestamp, self.sent_at = rtp.uint32_add(self.timestamp, FRAME_UNITS), now
        else:
            timestamp, self.sent_at = self.next_timestamp(now), now
        self.sequence = rtp.uint16_add(self.sequence, 1)
        self.timestamp = timestamp
        self.speaker = speaker
        packet = rtp.pack(
            frame.payload,
            payload_type=self.event_type if frame.is_event else self.payload_type,
            marker=frame.begins,
            sequence=self.sequence,
            timestamp=timestamp,
            ssrc=self.ssrc,
        )
        self.put(packet, len(frame.payload))

    def put(self, packet: bytes, payload_length: int) -> None:
        """Hand one packet to the kernel, encrypted if that is agreed."""
        self.packets += 1
        self.octets += payload_length
        if self.srtp.is_on:
            protected = self.srtp.protect(packet)
            if protected is None:
                self.unsent += 1
                return
            packet = protected
        try:
            self.transmit(packet)
        except OSError as failure:
            self.fail(failure)

    def fail(self, failure: OSError) -> None:
        """Count a packet that did not leave. The next one may: nobody is to be told."""
        if isinstance(failure, ConnectionRefusedError):
            self.refused += 1
        else:
            self.unsent += 1

    def clock(self, now: float) -> int:
        """What the stream's RTP clock shows (RFC 3550 §6.4.1: the same instant as the NTP time)."""
        return rtp.uint32_add(self.timestamp, round((now - self.sent_at) * CLOCK_HZ))
