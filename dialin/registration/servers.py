# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is among a provider's servers (RFC 3263 §4.3).

A server that works is kept, whatever the order of its records, until it fails or is no longer
named. Looking names up is left to `dialin.names`.
"""

from __future__ import annotations

from dialin.wire.flow import Flow


class Servers:
    """The servers of one provider, as DNS names them now."""

    def __init__(self) -> None:
        self.flows: tuple[Flow, ...] = ()
        """All of them, those to be preferred first."""
        self._at = 0
        self._tried = 0

    @property
    def current(self) -> Flow | None:
        """The one to ask; None while none is known."""
        return self.flows[self._at] if self.flows else None

    @property
    def has_others(self) -> bool:
        """Whether, if this one fails, there is one left that was not tried in this round."""
        return self._tried + 1 < len(self.flows)

    def update(self, flows: tuple[Flow, ...]) -> bool:
        """What DNS says now; whether the current server is not among them any more."""
        current = self.current
        self.flows, self._tried = flows, 0
        self._at = flows.index(current) if current in flows else 0
        return current is not None and current not in flows

    def choose(self, flow: Flow) -> None:
        """Ask this one next: it is there."""
        self._at, self._tried = self.flows.index(flow), 0

    def keep(self) -> None:
        """The current server works."""
        self._tried = 0

    def move_on(self) -> None:
        """The current server does not: the next one has its turn, or the round begins anew."""
        self._tried = self._tried + 1 if self.has_others else 0
        self._at = (self._at + 1) % len(self.flows)
