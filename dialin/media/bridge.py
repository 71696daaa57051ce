# SPDX-License-Identifier: GPL-3.0-or-later
"""Two legs that hear each other. How packets are forwarded is in `relay`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dialin.media.agenda import nothing
from dialin.media.messages import CannotDo, Cause
from dialin.media.relay import NO_WORD, PLAIN, Relay

if TYPE_CHECKING:
    from dialin.media.leg import Leg


class Bridge:
    """Both directions between two legs, until either parts or closes."""

    def __init__(self, one: Leg, other: Leg) -> None:
        if one.settled().codec is not other.settled().codec:
            raise CannotDo(Cause.CODECS_DIFFER)
        self._directions = ((one, other), (other, one))

    def joins(self, one: Leg, other: Leg) -> bool:
        """Whether it is these two."""
        return (one, other) in self._directions

    def open(self) -> None:
        """Begin to forward."""
        for source, sink in self._directions:
            source.bridge = self
            source.receiver.relay = Relay(sink.sender.stream)
            source.receiver.on_change = source.sender.on_change = self.route
        self.route()

    def route(self) -> None:
        """Forward where the sink takes what the source sends, as things are now."""
        for source, sink in self._directions:
            relay, settings = source.receiver.relay, source.settled()
            if relay is not None:
                relay.is_open = sink.sender.takes(settings.codec)
                is_fast = relay.is_open and not source.receiver.hears_tones
                relay.word = PLAIN | settings.payload_type if is_fast else NO_WORD
                relay.sink_word = PLAIN | sink.settled().payload_type

    def undo(self, now: float) -> None:
        """Forward nothing any more; both legs send frames of their own again."""
        for source, _ in self._directions:
            source.bridge = source.receiver.relay = None
            source.receiver.on_change = source.sender.on_change = nothing
            source.sender.hasten(now)
