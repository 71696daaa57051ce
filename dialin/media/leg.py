# SPDX-License-Identifier: GPL-3.0-or-later
"""One leg in a media worker, put together: whom it talks to, what it hears, what it sends.

From `configure` on the leg listens, from `start` on it also sends. Which leg a command is for, and
whose turn it is, are left to `worker`.
"""

from __future__ import annotations

from dialin.media.association import Association
from dialin.media.bridge import Bridge
from dialin.media.messages import CannotDo, Cause, Done, LegLost, LegSettings, LegStatistics
from dialin.media.playout import CLOCK_HZ, KeyPresses, Playout, Programme
from dialin.media.ports import PortPair
from dialin.media.receiver import Receiver
from dialin.media.reports import FIRST_REPORT_S, REPORT_EACH_S
from dialin.media.sender import Sender
from dialin.media.srtp import LegSrtp
from dialin.media.stream import OutgoingStream
from dialin.media.surroundings import Surroundings
from dialin.media.volume import volume_table
from dialin.wire.sdes import SrtpKeys

LOOK_EACH_S = 3.0
"""How often a leg looks whether its far end still lives."""


class Leg:
    """One leg, from its ports to its figures."""

    def __init__(
        self,
        pair: PortPair,
        surroundings: Surroundings,
        *,
        media_timeout_s: float,
        learns_port: bool,
    ) -> None:
        self._srtp = LegSrtp(surroundings.scratch.packet)
        outgoing = OutgoingStream(pair.rtp.send, self._srtp)
        self.pair = pair
        self.bridge: Bridge | None = None
        self.is_muted = False
        """Whether a bridge passes on nothing that the far end says."""
        self.receiver = Receiver(pair, surroundings, self._srtp)
        self.sender = Sender(outgoing, surroundings.diary())
        self._association = Association(
            pair, self.receiver, outgoing, surroundings, learns_port=learns_port
        )
        self._surroundings = surroundings
        self._diary = surroundings.diary()
        self._settings: LegSettings | None = None
        self._request = 0
        """The request whose clips or keys are sent."""
        self._media_timeout_s = media_timeout_s
        self._alive_at = 0.0
        """When the far end's silence began to count, whatever it has sent since."""
        self._is_started = False
        self._gain_db = 0

    @property
    def volume(self) -> bytes | None:
        """What octets become that a bridge sends to the far end; None where they stay."""
        return volume_table(self.settled().codec, self._gain_db) if self._gain_db else None

    def settled(self) -> LegSettings:
        """The settings. Raises CannotDo before there are any."""
        if self._settings is None:
            raise CannotDo(Cause.NOT_CONFIGURED)
        return self._settings

    def configure(self, settings: LegSettings, now: float) -> None:
        """Take or change what offer and answer have settled."""
        former, self._settings = self._settings, settings
        if former is not None and former.codec is not settings.codec:
            self.sender.stop()
        self._alive_at = now
        self._secure(settings.srtp)
        self._association.tune(settings, now)
        self.receiver.tune(settings)
        self.sender.tune(settings)

    def start(self, now: float) -> None:
        """Send from now on."""
        self.settled()
        if self._is_started:
            return
        self._is_started = True
        self._alive_at = now
        self._association.start(now)
        self.sender.start(now)
        self._diary.plan("report", now + FIRST_REPORT_S, self._send_report)
        self._look_later(now)

    def play(self, request: int, clips: tuple[str, ...], repeat: bool, now: float) -> None:
        """Send clips; Done is told when the last frame has left or something else stops them."""
        self._begin(request, Playout(clips, self.settled().codec, repeat=repeat), now)

    def press(self, request: int, keys: str, payload_type: int | None, now: float) -> None:
        """Send keys; Done is told when the last one is up or something else stops them."""
        settings = self.settled()
        event_type = settings.telephone_event if payload_type is None else payload_type
        if event_type is None:
            raise CannotDo(Cause.NO_TELEPHONE_EVENT)
        presses = KeyPresses(keys, settings.codec)
        self.sender.stream.event_type = event_type
        self._begin(request, presses, now)

    def stop(self, only: int | None) -> None:
        """Stop clips or keys, at a frame; if `only` is given, only those of that request."""
        if only in (None, self._request):
            self.sender.stop()

    def mute(self, is_muted: bool, now: float) -> None:
        """Let a bridge pass on nothing that the far end says, or everything."""
        self.is_muted = is_muted
        if self.bridge:
            self.bridge.route()
            self.bridge.fill_in(now)

    def set_volume(self, gain_db: int) -> None:
        """How much louder the far end hears what a bridge brings."""
        if gain_db and volume_table(self.settled().codec, gain_db) is None:
            raise CannotDo(Cause.CODEC_HAS_NO_VOLUME)
        self._gain_db = gain_db
        if self.bridge:
            self.bridge.route()

    def join(self, other: Leg, now: float) -> None:
        """Let both legs hear each other, and nobody else."""
        bridge = Bridge(self, other)
        self.part(now)
        other.part(now)
        bridge.open()

    def part(self, now: float) -> None:
        """Undo whatever bridge there is."""
        if self.bridge:
            self.bridge.undo(now)

    def statistics(self) -> LegStatistics:
        """The figures up to now."""
        receiver, sent = self.receiver, self.sender.stream
        receiver.settle()
        sent.settle()
        tracker = receiver.stream.tracker
        return LegStatistics(
            codec=self._settings.codec if self._settings else None,
            packets_received=tracker.received,
            packets_sent=sent.packets - sent.refused - sent.unsent,
            packets_lost=max(0, tracker.lost),
            jitter_ms=round(tracker.jitter * 1000 / CLOCK_HZ, 1),
            dropped_source=receiver.dropped_source,
            malformed=receiver.malformed + receiver.reporter.malformed,
            unexpected=receiver.unexpected,
            refused=receiver.refused + sent.refused,
            unsent=sent.unsent,
            srtp_failed=self._srtp.failed,
        )

    def close(self, now: float) -> None:
        """Fall deaf and silent, and say what was still open. The ports are the worker's again."""
        self.part(now)
        self.sender.close()
        self._association.close()
        self._diary.close()

    def _secure(self, keys: SrtpKeys | None) -> None:
        """Encrypt, and believe, by these keys. Who has new ones may be another machine."""
        sends_anew, receives_anew = self._srtp.tune(keys)
        if sends_anew:
            self.sender.stream.begin_anew()
        if receives_anew:
            self.receiver.stream.unlock()

    def _begin(self, request: int, programme: Programme, now: float) -> None:
        self.sender.stop()
        self._request = request
        tell = self._surroundings.tell
        self.sender.begin(programme, lambda: tell(Done(request)), now)

    def _send_report(self, now: float) -> None:
        self._diary.plan("report", now + REPORT_EACH_S, self._send_report)
        receiver = self.receiver
        receiver.settle()
        self.sender.stream.settle()
        receiver.reporter.send(receiver.stream, self.sender.stream, now)

    def _look_later(self, now: float) -> None:
        each_s = min(LOOK_EACH_S, self._media_timeout_s / 4)
        self._diary.plan("look", now + each_s, self._look_for_life)

    def _look_for_life(self, now: float) -> None:
        """RTP and RTCP are signs of life; none can be expected of one who holds us."""
        receiver = self.receiver
        receiver.settle()
        alive_at = max(self._alive_at, receiver.stream.heard_at, receiver.reporter.heard_at)
        if self.settled().sends and now - alive_at >= self._media_timeout_s:
            self._surroundings.tell(LegLost(self._surroundings.leg, "media-timeout", ""))
        else:
            self._look_later(now)
