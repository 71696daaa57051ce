# SPDX-License-Identifier: GPL-3.0-or-later
"""A 2xx of ours to an INVITE until its ACK comes: repeated, and given up in the end.

RFC 3261 §13.3.1.4: after T1, then after twice as long each time up to T2, for 64*T1, over reliable
transports too, since a proxy behind them may use UDP. RFC 6026 leaves this to the core: the
transaction only absorbs the INVITE's repeats. What giving up means is left to `session`.
"""

from __future__ import annotations

from typing import Protocol

from dialin.wire.agent_core import AgentCore, Received
from dialin.wire.content import session_description
from dialin.wire.message import Response
from dialin.wire.return_path import return_flow


class Accepter(Protocol):
    """Who sent the 2xx."""

    def unacknowledged(self, now: float) -> None:
        """64*T1 have passed without an ACK."""


class AcceptedInvite:
    """One 2xx that waits for its ACK."""

    def __init__(
        self, core: AgentCore, accepter: Accepter, invite: Received, response: Response, now: float
    ) -> None:
        self.cseq = invite.request.cseq.number
        """The number of the INVITE, and so of the ACK."""
        self.has_offer = session_description(invite.request) is None
        """Whether the SDP in the 2xx is an offer, so that the ACK has to bring the answer."""
        self._core = core
        self._accepter = accepter
        self._response = response
        self._flow = return_flow(invite.request, invite.flow)
        self._pause_s = core.timers.t1_s
        self._gives_up_at = now + core.timers.patience_s
        core.alarms.set(self, now + self._pause_s)

    def alarm(self, now: float) -> None:
        """Still no ACK."""
        if now >= self._gives_up_at:
            self._accepter.unacknowledged(now)
            return
        self._core.send(self._response, self._flow)
        self._pause_s = min(2 * self._pause_s, self._core.timers.t2_s)
        self._core.alarms.set(self, min(now + self._pause_s, self._gives_up_at))

    def settle(self) -> None:
        """The ACK came, or nobody waits for it any more."""
        self._core.alarms.clear(self)
