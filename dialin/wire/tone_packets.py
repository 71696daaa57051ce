# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys as audible tones in RTP packets, which are lost, doubled and overtaken on the way.

Here packets are put in order, and what is missing is told apart: lost on the way, or not sent
because there was nothing to say. What a tone is, is left to `tones`.
"""

from __future__ import annotations

from dialin.events import Codec
from dialin.wire.rtp import RtpHeader, uint16_add, uint32_add
from dialin.wire.tones import ToneDigits

LATEST = 5
"""A packet is lost when one comes that was sent so many packets later: 100 ms, which nobody who
keys a number notices. What comes later than that is passed over."""
RESTART = 100
"""So many packets further on, or back, is another stream."""
LEAST_SILENCE = 204
"""A step in time that packets do not fill is silence from two blocks of `tones` on; some senders'
clocks are a packet off."""
MOST_SILENCE = 1 << 31


class TonePackets:
    """G.711 packets in, keys out. Memory is bounded and nothing is raised, whatever comes."""

    def __init__(self, law: Codec) -> None:
        self._tones = ToneDigits(law)
        self._ssrc: int | None = None
        self._expected = 0
        """The sequence number that comes next."""
        self._timestamp: int | None = None
        """That of the sample that comes next."""
        self._missing = 0
        """How many packets were passed over since the last one."""
        self._early: dict[int, tuple[int, bytes]] = {}
        """Packets that wait for those before them."""

    def feed(self, header: RtpHeader, payload: bytes) -> list[str]:
        """Give the keys that a packet completes, mostly none.

        An empty payload stands for a packet of the same stream that is no audio.
        """
        ahead = self._ahead(header.sequence)
        if header.ssrc != self._ssrc or not -RESTART <= ahead < RESTART:
            self._begin_anew(header)
        elif ahead < 0:
            return []  # late, or the same once more
        self._early[header.sequence] = (header.timestamp, payload)
        keys = self._take_ready()
        while any(self._ahead(sequence) >= LATEST for sequence in self._early):
            self._pass_over()
            keys += self._take_ready()
        return keys

    @property
    def hears_something(self) -> bool:
        """Whether the newest audio that is in order is a key's, or may turn out to be one's."""
        return self._tones.hears_something

    def _ahead(self, sequence: int) -> int:
        """How far a packet is from the expected one; less than 0 when it is behind."""
        return (sequence - self._expected + 0x8000 & 0xFFFF) - 0x8000

    def _begin_anew(self, header: RtpHeader) -> None:
        self._early.clear()
        self._missing = 0 if self._ssrc is None else 1
        self._ssrc, self._expected = header.ssrc, header.sequence
        self._timestamp = None

    def _pass_over(self) -> None:
        self._expected = uint16_add(self._expected, 1)
        self._missing += 1

    def _take_ready(self) -> list[str]:
        """Hear what need not wait."""
        keys: list[str] = []
        while self._expected in self._early:
            timestamp, payload = self._early.pop(self._expected)
            self._expected = uint16_add(self._expected, 1)
            if payload:
                keys += self._hear(timestamp, payload)
            else:
                self._missing += 1
        return keys

    def _hear(self, timestamp: int, payload: bytes) -> list[str]:
        keys = self._across_a_gap(timestamp, len(payload))
        self._missing = 0
        self._timestamp = uint32_add(timestamp, len(payload))
        return keys + self._tones.feed(payload)

    def _across_a_gap(self, timestamp: int, length: int) -> list[str]:
        """The keys that come out because audio is missing, if it is."""
        if self._timestamp is not None:
            step = uint32_add(timestamp, -self._timestamp)
            if LEAST_SILENCE <= step - self._missing * length < MOST_SILENCE:
                return self._tones.rest()
        return self._tones.lose(self._missing) if self._missing else []
