# SPDX-License-Identifier: GPL-3.0-or-later
"""What a leg sends of its own: prompts from clip files, keys as telephone events, silence.

A programme gives one frame for every 20 ms until it is over. When a frame is due, and its RTP
header, are left to `leg` and `stream`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from dialin.events import Codec
from dialin.media.messages import CannotDo, Cause
from dialin.wire import dtmf, g711

FRAME_S = 0.02
FRAME_BYTES = 160
"""20 ms of G.711, and of G.722 at 64 kbit/s too."""
CLOCK_HZ = 8000
"""RTP's clock, for G.722 as well although it samples at 16 kHz (RFC 3551 §4.5.2)."""
FRAME_UNITS = 160
"""20 ms of that clock."""

MAX_CLIP_BYTES = 16 * 1024 * 1024
"""Half an hour of music."""
CACHED_CLIPS = 2048
"""Every prompt in each language and codec, and an operator's own; 30 MB or so if all are heard."""

KEY_MS = 160
"""How long a key is down; shorter than 40 ms is missed, longer than a second annoys."""
PAUSE_FRAMES = 5
"""Silence after a key: 100 ms."""

SILENCE = {
    Codec.PCMU: bytes([g711.ULAW_SILENCE]) * FRAME_BYTES,
    Codec.PCMA: bytes([g711.ALAW_SILENCE]) * FRAME_BYTES,
    # The smallest step in both sub-bands. A fresh decoder gives exact zeros for it, and a prompt
    # that begins with 20 ms of silence is decoded as if nothing had come before. What encoders
    # give for zeros (0xFA and others) decodes to an offset, and clicks where a prompt follows.
    Codec.G722: bytes([0xFD]) * FRAME_BYTES,
}


class Frame(NamedTuple):
    """What goes into one packet."""

    payload: bytes | memoryview
    is_event: bool = False
    """A telephone event rather than audio."""
    begins: bool = False
    """The first frame of a talk spurt or of an event: carries the marker bit."""


class Programme(Protocol):
    """A sequence of frames with an end."""

    is_over: bool

    def take(self) -> Frame:
        """The next frame; not to be called when it is over."""


class Playout:
    """Clips one after the other, each filled up with silence to a whole frame."""

    def __init__(self, clips: Sequence[str], codec: Codec, *, repeat: bool) -> None:
        self._audio = memoryview(b"".join(read_clip(clip, codec) for clip in clips))
        self._repeat = repeat
        self._offset = 0
        self.is_over = not self._audio

    def take(self) -> Frame:
        start, end = self._offset, self._offset + FRAME_BYTES
        begins = start == 0
        self._offset = end
        if end == len(self._audio):
            self._offset = 0
            self.is_over = not self._repeat
        return Frame(self._audio[start:end], begins=begins)


class KeyPresses:
    """Keys one after the other, each followed by a pause. Raises CannotDo: `not-a-key`."""

    def __init__(self, keys: str, codec: Codec) -> None:
        if not set(keys) <= set(dtmf.KEYS):
            raise CannotDo(Cause.NOT_A_KEY)
        silence = Frame(SILENCE[codec])
        self._frames: list[Frame] = []
        for key in keys:
            first, *others = dtmf.event_packets(key, KEY_MS, CLOCK_HZ)
            self._frames.append(Frame(first, is_event=True, begins=True))
            self._frames.extend(Frame(payload, is_event=True) for payload in others)
            self._frames.extend([silence] * PAUSE_FRAMES)
        self._frames.reverse()
        self.is_over = not self._frames

    def take(self) -> Frame:
        frame = self._frames.pop()
        self.is_over = not self._frames
        return frame


def read_clip(path: str, codec: Codec) -> bytes:
    """A clip of whole frames. Raises CannotDo: `clip-unusable`.

    Read once and kept until the file changes: callers hear the same few prompts all day.
    """
    try:
        status = os.stat(path)
        if status.st_size > MAX_CLIP_BYTES:
            raise CannotDo(Cause.CLIP_UNUSABLE)
        return _read_clip(path, status.st_mtime_ns, SILENCE[codec])
    except (OSError, ValueError):
        raise CannotDo(Cause.CLIP_UNUSABLE) from None


@lru_cache(maxsize=CACHED_CLIPS)
def _read_clip(path: str, _changed_at_ns: int, silence: bytes) -> bytes:
    with open(path, "rb") as clip:
        audio = clip.read(MAX_CLIP_BYTES)
    return audio + silence[: -len(audio) % FRAME_BYTES]
