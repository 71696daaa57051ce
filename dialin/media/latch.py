# SPDX-License-Identifier: GPL-3.0-or-later
"""Which port the far end sends from, where network address translation has changed it.

Only with the setting `same-ip`, only once, only in the first seconds after a leg has started, and
only at the address that SDP named; everybody else's packets are dropped before they come here.
Sockets are left to `leg`.
"""

from __future__ import annotations

from dialin.wire.rtp import RtpHeader

LEARN_S = 5.0
"""How long a leg learns before it takes SDP's port for granted."""
SETTLE_S = 0.3
"""How long it listens before it believes any port but SDP's: who sprayed before the call, from the
same address, must not be first just because the far end needs a moment."""
RUN = 5
"""Packets in order, of one SSRC from one port, that make a source."""
MAX_STEP = 10
"""How far apart in sequence numbers two of them may be."""
MAX_CANDIDATES = 16


class SourceLearner:
    """Watches who sends, and decides when only one source can be the far end."""

    def __init__(self, sdp_port: int) -> None:
        self._sdp_port = sdp_port
        self._runs: dict[tuple[int, int], tuple[int, int]] = {}
        self._started_at: float | None = None

    def start(self, now: float) -> None:
        """The leg has started: the far end may be expected to send."""
        if self._started_at is None:
            self._started_at = now

    def hear(self, port: int, header: RtpHeader, now: float) -> int | None:
        """Take one packet into account; the port to keep to, once that is certain.

        SDP's own port is certain as soon as it is a source. Another is when it is the only one:
        between two sources that both look right there is no telling, and none is taken.
        """
        if self._started_at is None:
            return None
        length = self._lengthen((port, header.ssrc), header.sequence)
        if length < RUN:
            return None
        if port == self._sdp_port:
            return port
        sources = sum(run >= RUN for run, _ in self._runs.values())
        if sources == 1 and now - self._started_at >= SETTLE_S:
            return port
        return None

    def _lengthen(self, candidate: tuple[int, int], sequence: int) -> int:
        """How long a candidate's run is, with this packet."""
        if candidate not in self._runs and len(self._runs) == MAX_CANDIDATES:
            return 0
        length, last = self._runs.get(candidate, (0, sequence - 1))
        length = length + 1 if 0 < (sequence - last) & 0xFFFF <= MAX_STEP else 1
        self._runs[candidate] = (length, sequence)
        return length
