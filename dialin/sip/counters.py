# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SIP endpoint counts instead of logging: hostile and boring input is the normal case."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from dialin.wire.message import Message, Request
from dialin.wire.screening import KNOWN_BUT_NOT_ALLOWED, METHODS

OTHER = "OTHER"


@dataclass(slots=True)
class SipCounters:
    """Counts since the endpoint opened. Bounded: a peer's own words never become a key."""

    dropped_source: int = 0
    """Datagrams from sources that are not allowed, dropped unread."""
    refused_connections: int = 0
    """Connections from sources that are not allowed, or beyond a source's share."""
    failed_handshakes: int = 0
    """Connections to us that did not come through the TLS handshake."""
    slow_connections: int = 0
    """Connections closed because a message was not complete in time, or nobody read our answers."""
    malformed: int = 0
    """Messages that could not be understood."""
    keep_alives: int = 0
    """Empty lines that keep a NAT binding open."""
    strays: int = 0
    """Responses to nothing that we asked."""
    unsent: int = 0
    """Messages that could not be sent."""
    requests: Counter[str] = field(default_factory=Counter)
    """Requests received, by method; methods of a peer's own invention under OTHER."""
    responses: Counter[int] = field(default_factory=Counter)
    """Responses received, by status."""

    def received(self, message: Message) -> None:
        """Count one message that could be understood."""
        if not isinstance(message, Request):
            self.responses[message.status] += 1
        elif message.method in METHODS or message.method in KNOWN_BUT_NOT_ALLOWED:
            self.requests[message.method] += 1
        else:
            self.requests[OTHER] += 1
