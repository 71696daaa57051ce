# SPDX-License-Identifier: GPL-3.0-or-later
"""What one leg hears: audio for the bridge, keys, reports, and what is none of these.

Everything that a peer can cause is counted and none of it raises. From whom packets may come is
left to `association`, what is forwarded to `relay`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from dialin.events import Digit
from dialin.media.agenda import nothing
from dialin.media.digits import DigitEar
from dialin.media.messages import DigitHeard, LegSettings
from dialin.media.ports import PortPair
from dialin.media.relay import Relay
from dialin.media.reports import Reporter
from dialin.media.sockets import PACKET_BYTES
from dialin.media.stream import IncomingStream, Order
from dialin.media.surroundings import Surroundings
from dialin.wire import rtcp, rtp

_FAST_HEADER = struct.Struct("!HHII")


class Receiver:
    """Takes one leg's packets, whoever they are for."""

    def __init__(self, pair: PortPair, surroundings: Surroundings) -> None:
        self.stream = IncomingStream()
        self.reporter = Reporter()
        self.relay: Relay | None = None
        """Where audio goes while the leg is bridged."""
        self.on_change: Callable[[], object] = nothing
        """Called when the answer of `hears_tones` may have changed."""
        self.heard_report_at = float("-inf")
        self.dropped_source = 0
        self.malformed = 0
        self.unexpected = 0
        self.refused = 0
        self._settings: LegSettings | None = None
        self._receive_into = pair.rtp.recv_into
        self._receive_report_into = pair.rtcp.recv_into
        self._packet = surroundings.scratch.packet
        self._views = surroundings.scratch.views
        self._surroundings = surroundings
        self._ear = DigitEar()

    def tune(self, settings: LegSettings) -> None:
        """Take or change the settings."""
        self._settings = settings
        self._ear.tune(settings.codec, in_band=settings.in_band_digits)
        self.on_change()

    @property
    def hears_tones(self) -> bool:
        """Whether all audio has to be looked at for keys."""
        return self._ear.hears_tones

    def on_rtp(self, now: float) -> None:
        """Take one packet. This runs for every packet of every call.

        The fast path is for a bridged audio packet that follows the one before. It reads and writes
        the header itself, in the one buffer that all packets pass through, instead of calling
        `dialin.wire.rtp`: nothing is allocated, and the payload is not copied. Everything else,
        and every eighth packet, goes the long way.
        """
        try:
            length = self._receive_into(self._packet)
        except OSError as failure:
            self.unread(failure)
            return
        word, sequence, timestamp, ssrc = _FAST_HEADER.unpack_from(self._packet)
        stream, relay = self.stream, self.relay
        if (
            relay is not None
            and word == relay.word
            and sequence == stream.expected
            and ssrc == stream.ssrc
            and sequence & 7
            and relay.sink.speaker is relay
            and rtp.HEADER_BYTES < length < PACKET_BYTES
        ):
            stream.expected = sequence + 1
            stream.uncounted += 1
            stream.heard_at = now
            sink = relay.sink
            sink.sequence = sequence = (sequence + relay.sequence_offset) & 0xFFFF
            sink.timestamp = timestamp = (timestamp + relay.timestamp_offset) & 0xFFFFFFFF
            sink.sent_at = now
            _FAST_HEADER.pack_into(self._packet, 0, relay.sink_word, sequence, timestamp, sink.ssrc)
            sink.put(self._views[length], length - rtp.HEADER_BYTES)
        else:
            self._hear(self._views[length], now)

    def on_rtcp(self, now: float) -> None:
        """Take one report."""
        try:
            length = self._receive_report_into(self._packet)
        except OSError:
            return  # ICMP says that nobody listens there: many far ends have no RTCP
        self._hear_report(self._views[length], now)

    def parse(self, packet: memoryview) -> rtp.RtpHeader | None:
        """The header of a packet; None, and counted, when it is no RTP."""
        try:
            if len(packet) < PACKET_BYTES:
                return rtp.parse(packet)
        except rtp.MalformedPacket:
            pass
        self.malformed += 1
        return None

    def unread(self, failure: OSError) -> None:
        """Nothing to read after all, or the far host said that nobody listens (udp(7))."""
        if not isinstance(failure, BlockingIOError):
            self.refused += 1

    def _hear(self, packet: memoryview, now: float) -> None:
        """The long way of `on_rtp`."""
        if rtcp.is_rtcp(packet):  # RFC 5761: some multiplex without asking
            self._hear_report(packet, now)
            return
        header, settings = self.parse(packet), self._settings
        if header is None or settings is None:
            return
        is_event = header.payload_type == settings.telephone_event
        is_audio = header.payload_type == settings.payload_type and header.payload_length > 0
        order = self.stream.receive(header, now, is_event=is_event)
        if order is Order.FOREIGN:
            self.dropped_source += 1
            return
        if order is Order.STRAY:
            return
        payload = packet[header.payload_offset :][: header.payload_length]
        if is_audio:
            self._hear_audio(header, payload, order, now)
            return
        if self.relay and order is Order.NEWER:
            self.relay.skip()
        if is_event:
            self._hear_event(header, payload, now)
        else:
            self.unexpected += 1

    def _hear_audio(
        self, header: rtp.RtpHeader, payload: memoryview, order: Order, now: float
    ) -> None:
        if self.relay and self.relay.is_open:
            self.relay.forward(header, payload, order, now)
        if self._ear.hears_tones:
            for digit in self._ear.hear_audio(payload, now):
                self._tell(digit)

    def _hear_event(self, header: rtp.RtpHeader, payload: memoryview, now: float) -> None:
        heard_tones = self._ear.hears_tones
        try:
            digit = self._ear.hear_event(header, payload, now)
        except rtp.MalformedPacket:
            self.malformed += 1
            return
        if heard_tones:
            self.on_change()  # tones are off from now on: the fast path is free
        if digit:
            self._tell(digit)

    def _hear_report(self, datagram: memoryview, now: float) -> None:
        """A report is a sign of life, and moves nothing."""
        try:
            self.reporter.hear(datagram, now)
        except rtp.MalformedPacket:
            self.malformed += 1
        else:
            self.heard_report_at = now

    def _tell(self, digit: Digit) -> None:
        surroundings = self._surroundings
        surroundings.tell(DigitHeard(surroundings.leg, digit.key, digit.source))
