# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom one leg talks to: the address and port that SDP named, and nobody else.

With the setting `sdp` the sockets are connected at once, so that the kernel drops all others. With
`same-ip` the port is learnt first (`latch`), with SRTP from authentic packets only. What is heard
and sent is left to `receiver` and `sender`.
"""

from __future__ import annotations

from dialin.media.latch import LEARN_S, SourceLearner
from dialin.media.messages import CannotDo, Cause, LegSettings
from dialin.media.ports import PortPair
from dialin.media.receiver import Receiver
from dialin.media.sockets import connect, disconnect
from dialin.media.stream import OutgoingStream
from dialin.media.surroundings import Surroundings

PACKETS_AT_ONCE = 64
"""Read at once while the source is learnt, so that a sprayer does not crowd it out."""

_NOWHERE = ("", 0, 0)


class Association:
    """Connects one leg's sockets."""

    def __init__(
        self,
        pair: PortPair,
        receiver: Receiver,
        outgoing: OutgoingStream,
        surroundings: Surroundings,
        *,
        learns_port: bool,
    ) -> None:
        self.owner = surroundings.leg
        """The number of the leg."""
        self._pair = pair
        self._receiver = receiver
        self._outgoing = outgoing
        self._surroundings = surroundings
        self._learns_port = learns_port
        self._diary = surroundings.diary()
        self._remote = _NOWHERE
        self._payload_type = 0
        self._is_started = False
        self._learner: SourceLearner | None = None

    def tune(self, settings: LegSettings, now: float) -> None:
        """Take or change the settings. Raises CannotDo: `unreachable`."""
        self._payload_type = settings.payload_type
        remote = (settings.remote_host, settings.remote_rtp_port, settings.remote_rtcp_port)
        if remote == self._remote:
            return
        self._remote = remote
        try:
            self._turn(now)
        except OSError:  # no way there, says the kernel
            self._remote = _NOWHERE
            raise CannotDo(Cause.UNREACHABLE) from None

    def start(self, now: float) -> None:
        """The far end may be expected to send."""
        self._is_started = True
        if self._learner:
            self._learner.start(now)
            self._diary.plan("learn", now + LEARN_S, self._stop_learning)

    def on_readable(self, now: float) -> None:
        """Take what anybody sends, and use it for nothing but to find the source."""
        scratch = self._surroundings.scratch
        for _ in range(PACKETS_AT_ONCE):
            try:
                length, source = self._pair.rtp.recvfrom_into(scratch.packet)
            except OSError as failure:
                self._receiver.unread(failure)
                return
            port = self._learn_from(source[0], source[1], scratch.views[length], now)
            if port is not None:
                self._keep_to(port)
                return

    def close(self) -> None:
        """Hear nobody any more."""
        self._diary.close()
        for udp in (self._pair.rtp, self._pair.rtcp):
            self._surroundings.unwatch(udp.fileno())

    def _turn(self, now: float) -> None:
        """Talk to a new remote address, whose SSRC will be another."""
        host, rtp_port, rtcp_port = self._remote
        self._receiver.stream.unlock()
        if rtcp_port:
            connect(self._pair.rtcp, host, rtcp_port)
            self._surroundings.watch(self._pair.rtcp.fileno(), self._receiver.reporter)
        else:
            disconnect(self._pair.rtcp)
            self._surroundings.unwatch(self._pair.rtcp.fileno())
        if not self._learns_port:
            self._keep_to(rtp_port)
            return
        udp = self._pair.rtp
        disconnect(udp)
        self._outgoing.turn(lambda packet: udp.sendto(packet, (host, rtp_port)), None)
        self._learner = SourceLearner(rtp_port)
        self._surroundings.watch(udp.fileno(), self)
        if self._is_started:
            self.start(now)

    def _learn_from(self, host: str, port: int, packet: memoryview, now: float) -> int | None:
        """The port that one packet makes certain, if it does."""
        if host != self._remote[0]:
            self._receiver.dropped_source += 1
            return None
        clear = self._receiver.unprotect(packet)
        header = None if clear is None else self._receiver.parse(clear)
        if header is None or header.payload_type != self._payload_type or self._learner is None:
            return None
        return self._learner.hear(port, header, now)

    def _stop_learning(self, _now: float) -> None:
        self._keep_to(self._remote[1])

    def _keep_to(self, port: int) -> None:
        """Hear and send to one port from now on."""
        self._learner = None
        self._diary.call_off("learn")
        connect(self._pair.rtp, self._remote[0], port)
        self._outgoing.turn(self._pair.rtp.send, self._pair.rtp.fileno())
        self._surroundings.watch(self._pair.rtp.fileno(), self._receiver)
