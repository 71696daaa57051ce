# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys as RTP telephone events (RFC 4733), read through loss, and written.

A key counts at its first packet that arrives, whichever that is: carriers drop the marker bit,
networks drop the start or the end. Keys as audible tones are in `tones`; what a key means, and
whose SSRC may press one, is left to the layers above.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from dialin.wire.rtp import Buffer, MalformedPacket, uint32_add
from dialin.wire.tones import ToneDigits

__all__ = [
    "KEYS",
    "EventDigits",
    "MalformedPacket",
    "TelephoneEvent",
    "ToneDigits",
    "event_packets",
    "parse_event",
]

KEYS = "0123456789*#ABCD"
"""The key of each event code 0 to 15 (RFC 4733 §3.2, table 7)."""

EVENT_BYTES = 4
MAX_DURATION = 0xFFFF
FULL_SEGMENT = (MAX_DURATION, MAX_DURATION + 1)
"""How far apart segments begin: RFC 4733 §2.5.1.3 by the letter, and by those who count one on."""
FRAME_MS = 20
END_REPEATS = 3
"""RFC 4733 §2.5.1.4: the packet that ends an event is sent three times in all."""
SENT_VOLUME = 10
"""Minus dBm0; a usual level, which receivers of keys ignore."""

_EVENT = struct.Struct("!BBH")


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """One telephone-event payload (RFC 4733 §2.3)."""

    event: int = field(repr=False)
    """0-15 are keys, 16 is hook flash, others are signals between machines. Digits never show."""
    end: bool
    """The E bit: the event is over."""
    volume: int
    """0-63, minus dBm0."""
    duration: int
    """Units of the RTP clock from the packet's timestamp on."""

    def __bytes__(self) -> bytes:
        return _EVENT.pack(self.event, (0x80 if self.end else 0) | self.volume, self.duration)


def parse_event(payload: Buffer) -> TelephoneEvent:
    """Read the first event of a payload. Raises MalformedPacket when it is too short.

    RFC 4733 §2.5.1.5 allows several events in a packet for signals faster than any finger;
    what follows the first is left unread.
    """
    if len(payload) < EVENT_BYTES:
        raise MalformedPacket("shorter than a telephone event")
    event, flags, duration = _EVENT.unpack_from(payload)
    return TelephoneEvent(event, flags > 0x7F, flags & 0x3F, duration)


def event_packets(key: str, duration_ms: int, clock: int = 8000) -> list[bytes]:
    """The payloads of one key press, one for each 20 ms, the end three times (RFC 4733 §2.5.1).

    All go out with the timestamp of the first, which carries the marker bit. Raises ValueError
    for what is no key and for a press that is longer than a duration field can say.
    """
    frames, rest = divmod(duration_ms, FRAME_MS)
    frame_units = clock * FRAME_MS // 1000
    total = frames * frame_units + rest * clock // 1000
    if len(key) != 1 or not 0 < total <= MAX_DURATION:
        raise ValueError("not a key, or not a duration that one event can have")
    code = KEYS.index(key)
    payloads = [
        bytes(TelephoneEvent(code, False, SENT_VOLUME, units))
        for units in range(frame_units, total, frame_units)
    ]
    return payloads + [bytes(TelephoneEvent(code, True, SENT_VOLUME, total))] * END_REPEATS


class _Segment:
    """The packets of one (SSRC, timestamp, event): a key press, or a part of a very long one."""

    __slots__ = ("duration", "seen_at")

    def __init__(self, event: TelephoneEvent, now: float) -> None:
        self.duration = event.duration
        self.seen_at = now

    def take(self, event: TelephoneEvent, now: float) -> None:
        self.duration = max(self.duration, event.duration)
        self.seen_at = now


class EventDigits:
    """Telephone-event packets in, one key for each press out.

    A press is known by (SSRC, timestamp, event); its repeated, late and doubled packets are
    silent. Memory and keys a second are bounded, whatever arrives.
    """

    REMEMBERED = 16
    """Segments whose late packets are still recognised."""
    REUSE_S = 0.1
    """A marker this long after the last packet of a segment, and a duration that begins anew, is
    a new press: some senders give two presses one timestamp, and a start that was only late is
    not later than the whole event."""
    SEGMENT_GAP = 160
    """Clock units (20 ms at 8 kHz) between one segment and the next; no finger is as fast."""
    SEGMENT_S = 1.0
    """How long after its last packet a press can still go on in a new segment."""
    BURST = 32
    """Keys that may come at once: more than any PIN, so that a stall on the way harms nobody."""
    KEYS_A_SECOND = 12.0
    """Sustained rate: a dialling machine makes ten (50 ms on, 50 ms off)."""

    def __init__(self) -> None:
        self._segments: dict[tuple[int, int, int], _Segment] = {}
        self._allowance = float(self.BURST)
        self._filled_at: float | None = None

    def feed(
        self, ssrc: int, timestamp: int, marker: bool, payload: Buffer, now: float
    ) -> str | None:
        """Give the key that this packet is the first to tell of, if it is.

        Raises MalformedPacket for a payload too short to be an event.
        """
        event = parse_event(payload)
        if event.event >= len(KEYS):
            return None
        is_press = self._begins_press((ssrc, timestamp, event.event), marker, event, now)
        return KEYS[event.event] if is_press and self._within_rate(now) else None

    def _begins_press(
        self, identity: tuple[int, int, int], marker: bool, event: TelephoneEvent, now: float
    ) -> bool:
        known = self._segments.get(identity)
        if known is not None:
            begins_anew = marker and event.duration <= known.duration
            if not begins_anew or now - known.seen_at < self.REUSE_S:
                known.take(event, now)
                return False
        is_press = marker or not self._goes_on(identity, now)
        self._segments[identity] = _Segment(event, now)
        if len(self._segments) > self.REMEMBERED:
            del self._segments[next(iter(self._segments))]
        return is_press

    def _goes_on(self, identity: tuple[int, int, int], now: float) -> bool:
        """Whether a press goes on here under a later timestamp (RFC 4733 §2.5.1.3).

        It is cut where the duration field is full. Senders that move the timestamp within one
        press are covered by the same rule: a key cannot go down again before it came up.
        """
        ssrc, timestamp, code = identity
        for (other_ssrc, began, other_code), segment in self._segments.items():
            if (other_ssrc, other_code) == (ssrc, code) and now - segment.seen_at <= self.SEGMENT_S:
                elapsed = uint32_add(timestamp, -began)  # very long where it began later
                if elapsed <= segment.duration + self.SEGMENT_GAP or elapsed in FULL_SEGMENT:
                    return True
        return False

    def _within_rate(self, now: float) -> bool:
        if self._filled_at is not None:
            gained = (now - self._filled_at) * self.KEYS_A_SECOND
            self._allowance = min(float(self.BURST), self._allowance + gained)
        self._filled_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True
