# SPDX-License-Identifier: GPL-3.0-or-later
"""Two legs that hear each other. How packets are forwarded is in `relay`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dialin.media.agenda import nothing
from dialin.media.messages import CannotDo, Cause
from dialin.media.relay import Relay

if TYPE_CHECKING:
    from dialin.media.leg import Leg


class Bridge:
    """Both directions between two legs, until either parts or closes."""

    def __init__(self, one: Leg, other: Leg) -> None:
        if one.settled().codec is not other.settled().codec:
            raise CannotDo(Cause.CODECS_DIFFER)
        self._legs = {one, other}
        self._directions = tuple(
            (source, sink, Relay(sink.sender.stream))
            for source, sink in ((one, other), (other, one))
        )

    def joins(self, one: Leg, other: Leg) -> bool:
        """Whether it is these two."""
        return {one, other} == self._legs

    def open(self) -> None:
        """Begin to forward."""
        for source, sink, relay in self._directions:
            source.bridge = self
            source.receiver.relay = relay
            sink.sender.stream.feeder = source.receiver
            source.sender.on_change = self.route
        self.route()

    def route(self) -> None:
        """Forward where the sink takes what the source sends, as things are now."""
        for source, sink, relay in self._directions:
            source.receiver.close_lane()
            relay.is_open = not source.is_muted and sink.sender.takes(source.settled().codec)
            relay.volume = sink.volume

    def fill_in(self, now: float) -> None:
        """Whoever hears nothing of the other from now on hears silence, without a gap."""
        for _, sink, relay in self._directions:
            if not relay.is_open:
                sink.sender.hasten(now)

    def undo(self, now: float) -> None:
        """Forward nothing any more; both legs send frames of their own again."""
        for source, sink, _ in self._directions:
            source.receiver.close_lane()
            source.bridge = source.receiver.relay = sink.sender.stream.feeder = None
            source.sender.on_change = nothing
            source.sender.hasten(now)
