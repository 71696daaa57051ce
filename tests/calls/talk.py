# SPDX-License-Identifier: GPL-3.0-or-later
"""A talk between a caller and the conference in frames that each occur once: how they arrive."""

from __future__ import annotations

from itertools import pairwise

from tests.peers.clips import frames_of
from tests.peers.rtp import FRAME_S, RtpPeer

MOST_GAP_S = 0.04
"""The longest time between two frames at a listener's: one of them may be a frame late."""


class Stream:
    """One direction: who says which frames, and who should hear them."""

    def __init__(self, name: str, speaker: RtpPeer, listener: RtpPeer, count: int) -> None:
        self._frames = frames_of(name, count)
        self._known = frozenset(self._frames)
        self._speaker = speaker
        self._listener = listener
        speaker.say(self._frames)

    def stop(self) -> None:
        """Say no more."""
        self._speaker.say()

    async def is_heard(self) -> None:
        """Wait until the speaker has finished and the last frame has come."""
        await self._speaker.until(lambda: self._speaker.is_silent, within_s=60)
        last = self.said[-1]
        await self._listener.until(lambda: last in self._listener.audio[-25:])

    @property
    def said(self) -> list[bytes]:
        """Those of the frames that were said."""
        return [frame for frame in self._frames if frame in self._speaker.sent_s]

    @property
    def heard(self) -> list[bytes]:
        """Those of the frames that came, as they came."""
        return [payload for payload in self._listener.audio if payload in self._known]

    @property
    def worst_gap_s(self) -> float:
        """The longest time between frames at the listener's, less what the speaker was late."""
        arrivals = [
            (packet.arrived_s, self._speaker.sent_s[packet.payload])
            for packet in self._listener.audio_packets
            if packet.payload in self._known
        ]
        return max(_gap_s(before, after) for before, after in pairwise(arrivals))


def _gap_s(before: tuple[float, float], after: tuple[float, float]) -> float:
    speakers_delay = after[1] - before[1] - FRAME_S
    return after[0] - before[0] - speakers_delay


def conversation(name: str, one: RtpPeer, other: RtpPeer, count: int) -> tuple[Stream, Stream]:
    """Both directions at once."""
    return (
        Stream(f"{name}, there", one, other, count),
        Stream(f"{name}, back", other, one, count),
    )
