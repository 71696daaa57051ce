# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys the far end of a leg presses, whichever way it says so.

Recognition is in `dialin.wire.dtmf`. Here one press that comes in two ways becomes one digit: once
a telephone event was seen, tones are no longer listened to, and the same key by both within 200 ms
is one. SIP INFO is left to `ivr`.
"""

from __future__ import annotations

from dialin.events import Codec, Digit, DigitSource
from dialin.wire.dtmf import EventDigits
from dialin.wire.rtp import RtpHeader
from dialin.wire.tone_packets import TonePackets

SAME_PRESS_S = 0.2


class DigitEar:
    """Listens to one leg."""

    def __init__(self) -> None:
        self._events = EventDigits()
        self._tones: TonePackets | None = None
        self._codec: Codec | None = None
        self._has_seen_event = False
        self._tone_key: str | None = None
        self._tone_at = 0.0

    @property
    def hears_tones(self) -> bool:
        """Whether audio has to be given to `hear_audio`."""
        return self._tones is not None

    @property
    def hears_a_key_sound(self) -> bool:
        """Whether the audio of the last packet belongs to a key, or may, and to nobody's ear."""
        return self._tones is not None and self._tones.hears_something

    def tune(self, codec: Codec, *, in_band: bool) -> None:
        """Listen for tones in this codec or not; G.711 only."""
        if not in_band or self._has_seen_event or codec is Codec.G722:
            self._tones = None
        elif self._tones is None or codec is not self._codec:
            self._tones = TonePackets(codec)
        self._codec = codec

    def hear_event(self, header: RtpHeader, payload: memoryview, now: float) -> Digit | None:
        """One telephone-event packet. Raises MalformedPacket."""
        key = self._events.feed(header.ssrc, header.timestamp, header.marker, payload, now)
        self._has_seen_event = True
        self._tones = None
        if key is None or (key == self._tone_key and now - self._tone_at < SAME_PRESS_S):
            return None
        return Digit(key, DigitSource.RFC4733)

    def hear_audio(self, header: RtpHeader, payload: memoryview, now: float) -> list[Digit]:
        """One packet of audio, in whatever order; empty for one that is something else."""
        if self._tones is None:
            return []
        keys = self._tones.feed(header, bytes(payload))
        if keys:
            self._tone_key, self._tone_at = keys[-1], now
        return [Digit(key, DigitSource.IN_BAND) for key in keys]
