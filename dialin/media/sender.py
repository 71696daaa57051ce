# SPDX-License-Identifier: GPL-3.0-or-later
"""What one leg sends: a frame every 20 ms unless the bridge does.

So no far end misses us and no NAT forgets us. Clips and keys take the place of what the bridge
forwards; silence fills what neither gives. The stream and its numbers are in `stream`.
"""

from __future__ import annotations

from collections.abc import Callable

from dialin.events import Codec
from dialin.media.agenda import Diary, nothing
from dialin.media.messages import LegSettings
from dialin.media.playout import FRAME_S, SILENCE, Frame, Programme
from dialin.media.stream import OutgoingStream

FILL_AFTER_S = 0.2
"""A bridged leg that gets nothing for this long sends silence: longer than any usual jitter."""
LOOK_AGAIN_S = 1.0
"""How often a bridged leg that gets enough looks whether it still does."""
LATE_S = 0.04
"""A beat that is later than this is not caught up, or frames would leave in a burst."""


class Sender:
    """Decides what leaves next."""

    def __init__(self, stream: OutgoingStream, diary: Diary) -> None:
        self.stream = stream
        self._codec: Codec | None = None
        self._sends = False
        self._silence = b""
        self.on_change: Callable[[], object] = nothing
        """Called when the answer of `takes` may have changed."""
        self._diary = diary
        self._programme: Programme | None = None
        self._on_end: Callable[[], object] = nothing
        self._is_started = False

    def tune(self, settings: LegSettings) -> None:
        """Take or change the settings."""
        self._codec, self._sends = settings.codec, settings.sends
        self._silence = SILENCE[settings.codec]
        self.stream.payload_type = settings.payload_type
        self.stream.event_type = settings.telephone_event or 0
        self.on_change()

    def start(self, now: float) -> None:
        """Send from now on."""
        self._is_started = True
        self._diary.plan("beat", now, self._beat)
        self.on_change()

    def takes(self, codec: Codec) -> bool:
        """Whether the bridge may send in our place."""
        return self._is_started and self._programme is None and self._sends and self._codec is codec

    def begin(self, programme: Programme, on_end: Callable[[], object], now: float) -> None:
        """Send a programme, once the leg is started; `on_end` is called when it is over."""
        self.stop()
        if programme.is_over:
            on_end()
            return
        self._programme, self._on_end = programme, on_end
        self.on_change()
        self.hasten(now)

    def stop(self) -> None:
        """End the programme after the frame that left last."""
        if self._programme:
            on_end, self._on_end, self._programme = self._on_end, nothing, None
            on_end()
            self.on_change()

    def hasten(self, now: float) -> None:
        """Send the next frame ourselves, one frame's time after the last one that left."""
        if self._is_started:
            due = min(self._diary.due("beat"), max(now, self.stream.sent_at + FRAME_S))
            self._diary.plan("beat", due, self._beat)

    def close(self) -> None:
        """Send nothing more."""
        self.stop()
        self._diary.close()

    def _beat(self, now: float) -> None:
        """Send a frame if one is due, and plan the next beat."""
        programme = self._programme
        if programme is None and self._is_fed(now):
            self._diary.plan("beat", now + LOOK_AGAIN_S, self._beat)
            return
        due = self._diary.due("beat")
        self._diary.plan("beat", (due if now - due < LATE_S else now) + FRAME_S, self._beat)
        frame = programme.take() if programme else Frame(self._silence)
        if self._sends:
            self.stream.send_frame(frame, self, now)
        if programme and programme.is_over:
            self.stop()

    def _is_fed(self, now: float) -> bool:
        """Whether the bridge sends for us."""
        feeder = self.stream.feeder
        return feeder is not None and feeder.has_fed_since(now - FILL_AFTER_S)
