# SPDX-License-Identifier: GPL-3.0-or-later
"""What one leg hears: audio for the bridge, keys, reports, and what is none of these.

Everything that a peer can cause is counted and none of it raises. From whom packets may come is
left to `association`, what is forwarded to `relay`, and most of what is forwarded to `lane`.
"""

from __future__ import annotations

from dialin.events import Digit
from dialin.media.digits import DigitEar
from dialin.media.lane import Lane
from dialin.media.messages import DigitHeard, LegSettings
from dialin.media.playout import SILENCE
from dialin.media.ports import PortPair
from dialin.media.relay import Relay
from dialin.media.reports import Reporter
from dialin.media.sockets import PACKET_BYTES
from dialin.media.srtp import LegSrtp
from dialin.media.stream import IncomingStream, Order
from dialin.media.surroundings import Surroundings
from dialin.wire import rtcp, rtp


class Receiver(Lane):
    """Takes one leg's packets, whoever they are for."""

    def __init__(self, pair: PortPair, surroundings: Surroundings, srtp: LegSrtp) -> None:
        self.stream = IncomingStream()
        super().__init__(
            pair.rtp.fileno(), surroundings.leg, self.stream, surroundings.scratch, srtp
        )
        self.reporter = Reporter(pair.rtcp, surroundings, srtp)
        self.relay: Relay | None = None
        """Where audio goes while the leg is bridged."""
        self.dropped_source = 0
        self.malformed = 0
        self.unexpected = 0
        self._settings: LegSettings | None = None
        self._ear = DigitEar()
        self._silence = b""
        """An octet of it, in place of keys' tones, which no conference is to hear."""
        self._tell = surroundings.tell

    def tune(self, settings: LegSettings) -> None:
        """Take or change the settings."""
        self.close_lane()
        self._settings = settings
        self._ear.tune(settings.codec, in_band=settings.in_band_digits)
        self._silence = SILENCE[settings.codec][:1]

    def has_fed_since(self, time: float) -> bool:
        """Whether there was audio for the bridge. Late packets count: the source is back."""
        return self.relay is not None and self.relay.is_open and self.heard_at > time

    def unprotect(self, packet: memoryview) -> memoryview | None:
        """A packet of the far end in the clear; None, and counted, when SRTP says it is not."""
        return self.srtp.unprotect(packet)

    def parse(self, packet: memoryview) -> rtp.RtpHeader | None:
        """The header of a packet; None, and counted, when it is no RTP."""
        try:
            if len(packet) < PACKET_BYTES:
                return rtp.parse(packet)
        except rtp.MalformedPacket:
            pass
        self.malformed += 1
        return None

    def hear(self, packet: memoryview, now: float) -> None:
        """Take one packet, whatever it is."""
        if rtcp.is_rtcp(packet):  # RFC 5761: some multiplex without asking
            self.reporter.hear(packet, now)
            return
        clear = self.unprotect(packet)
        if clear is not None:
            self._hear_rtp(clear, now)

    def _hear_rtp(self, packet: memoryview, now: float) -> None:
        self.close_lane()
        header, settings = self.parse(packet), self._settings
        if header is None or settings is None:
            return
        step = self._step(header)
        is_event = header.payload_type == settings.telephone_event
        order = self.stream.receive(header, now, is_event=is_event)
        if order is Order.FOREIGN:
            self.dropped_source += 1
        elif order is Order.STRAY:
            pass
        elif header.payload_type == settings.payload_type and header.payload_length:
            if self._hear_audio(header, packet, order, now) and order is Order.NEWER:
                self._shorten(header, len(packet), step)
        else:
            self._hear_other(header, packet, order, now, is_event=is_event)

    def _step(self, header: rtp.RtpHeader) -> int:
        """How far on in time a packet is that follows the last one; 0 when it does not."""
        if header.sequence != self.stream.expected:
            return 0
        return rtp.uint32_add(header.timestamp, -self.stream.timestamp)

    def _hear_audio(
        self, header: rtp.RtpHeader, packet: memoryview, order: Order, now: float
    ) -> bool:
        """Audio is for the bridge, and may be a key. Whether it was forwarded."""
        self.heard_at = now
        payload = _payload(header, packet)
        self._listen(header, payload, now)
        if self._ear.hears_a_key_sound:
            payload = memoryview(self._silence * len(payload))
        relay = self.relay
        return relay is not None and relay.is_open and relay.forward(header, payload, order, now)

    def _shorten(self, header: rtp.RtpHeader, length: int, step: int) -> None:
        """Let the next packets take the lane, if they are like this one, which was forwarded."""
        relay = self.relay
        if (
            relay is not None
            and relay.volume is None
            and self.srtp.fits_lane
            and relay.sink.srtp.fits_lane
            and not self._ear.hears_tones
            and not header.marker
            and header.payload_length == length - rtp.HEADER_BYTES
        ):
            self.open_lane(header, length, step, relay.sink)

    def _hear_other(
        self,
        header: rtp.RtpHeader,
        packet: memoryview,
        order: Order,
        now: float,
        *,
        is_event: bool,
    ) -> None:
        """A key, or what was not agreed: not for the bridge, which closes the gap."""
        if self.relay and order is Order.NEWER:
            self.relay.skip()
        if not is_event:
            self.unexpected += 1
            self._listen(header, memoryview(b""), now)
            return
        try:
            digit = self._ear.hear_event(header, _payload(header, packet), now)
        except rtp.MalformedPacket:
            self.malformed += 1
            return
        if digit:
            self._tell_digit(digit)

    def _listen(self, header: rtp.RtpHeader, payload: memoryview, now: float) -> None:
        """Audio may be a key. What is no audio has a place in the stream, too."""
        for digit in self._ear.hear_audio(header, payload, now):
            self._tell_digit(digit)

    def _tell_digit(self, digit: Digit) -> None:
        self._tell(DigitHeard(self.owner, digit.key, digit.source))


def _payload(header: rtp.RtpHeader, packet: memoryview) -> memoryview:
    return packet[header.payload_offset :][: header.payload_length]
