# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys as RTP telephone events (RFC 4733), read through loss, and written.

A key counts at its first packet that arrives, whichever that is: carriers drop the marker bit,
networks drop the start or the end. Keys as audible tones are in `tones`; what a key means, and
whose SSRC may press one, is left to the layers above.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass

from dialin.wire.rtp import Buffer, MalformedPacket, uint32_add, uint32_newer
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
FRAME_MS = 20
END_REPEATS = 3
"""RFC 4733 §2.5.1.4: the packet that ends an event is sent three times in all."""
SENT_VOLUME = 10
"""Minus dBm0; a usual level, which receivers of keys ignore."""

_EVENT = struct.Struct("!BBH")


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """One telephone-event payload (RFC 4733 §2.3)."""

    event: int
    """0-15 are keys, 16 is hook flash, others are signals between machines."""
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


class _Press:
    """A key press that was given already, and the packets that still belong to it."""

    __slots__ = ("duration", "ended", "seen_at")

    def __init__(self) -> None:
        self.duration = 0
        self.ended = False
        self.seen_at = 0.0

    def take(self, event: TelephoneEvent, now: float) -> None:
        self.duration = max(self.duration, event.duration)
        self.ended = self.ended or event.end
        self.seen_at = now


class EventDigits:
    """Telephone-event packets in, one key for each press out.

    A press is known by (SSRC, timestamp, event); its repeated, late and doubled packets are
    silent. Memory and keys a second are bounded, whatever arrives.
    """

    REMEMBERED = 16
    """Presses whose late packets are still recognised."""
    REUSE_S = 0.1
    """A marker this long after the last packet of the same event is a new press: some senders
    give two presses one timestamp, and no network delays one packet past its whole event."""
    SEGMENT_GAP = 160
    """Clock units (20 ms at 8 kHz) between one segment and the next; no finger is as fast."""
    SEGMENT_S = 1.0
    """How long after its last packet a press can still go on in a new segment."""
    BURST = 32
    """Keys that may come at once: more than any PIN, so that a stall on the way harms nobody."""
    KEYS_A_SECOND = 12.0
    """Sustained rate: a dialling machine makes ten (50 ms on, 50 ms off)."""

    def __init__(self) -> None:
        self._presses: OrderedDict[tuple[int, int, int], _Press] = OrderedDict()
        self._allowance = float(self.BURST)
        self._filled_at: float | None = None

    def feed(
        self, ssrc: int, timestamp: int, marker: bool, payload: Buffer, now: float
    ) -> str | None:
        """Give the key that this packet begins, if it begins one.

        Raises MalformedPacket for a payload too short to be an event.
        """
        event = parse_event(payload)
        if event.event >= len(KEYS):
            return None
        press, is_new = self._press(ssrc, timestamp, marker, event, now)
        press.take(event, now)
        if is_new and self._within_rate(now):
            return KEYS[event.event]
        return None

    def _press(
        self, ssrc: int, timestamp: int, marker: bool, event: TelephoneEvent, now: float
    ) -> tuple[_Press, bool]:
        """The press that a packet belongs to, and whether it is the first packet of it."""
        identity = (ssrc, timestamp, event.event)
        known = self._presses.get(identity)
        if known and not (marker and now - known.seen_at >= self.REUSE_S):
            return known, False
        if not marker and (former := self._former_segment(identity, now)):
            self._remember(identity, former)
            former.duration = 0  # counts from the new segment's timestamp
            return former, False
        press = _Press()
        self._remember(identity, press)
        return press, True

    def _former_segment(self, identity: tuple[int, int, int], now: float) -> _Press | None:
        """The press that goes on here under a later timestamp (RFC 4733 §2.5.1.3).

        It is cut where the duration field is full. Senders that move the timestamp within one
        press are covered by the same rule: a key cannot go down again before it came up.
        """
        ssrc, timestamp, code = identity
        for (other_ssrc, began, other_code), press in reversed(self._presses.items()):
            if other_ssrc != ssrc or other_code != code or now - press.seen_at > self.SEGMENT_S:
                continue
            if not uint32_newer(timestamp, began):
                continue
            elapsed = uint32_add(timestamp, -began)
            if elapsed <= press.duration + self.SEGMENT_GAP:
                return press
            if not press.ended and elapsed in (MAX_DURATION, MAX_DURATION + 1):
                return press
        return None

    def _remember(self, identity: tuple[int, int, int], press: _Press) -> None:
        self._presses[identity] = press
        self._presses.move_to_end(identity)
        if len(self._presses) > self.REMEMBERED:
            self._presses.popitem(last=False)

    def _within_rate(self, now: float) -> bool:
        if self._filled_at is not None:
            gained = (now - self._filled_at) * self.KEYS_A_SECOND
            self._allowance = min(float(self.BURST), self._allowance + gained)
        self._filled_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True
