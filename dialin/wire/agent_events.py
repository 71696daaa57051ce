# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user agent tells the layer above, and the few values that both sides speak of.

Session descriptions, keys and requests in these events were written by the peer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dialin.wire.flow import Flow
from dialin.wire.message import Request, Response
from dialin.wire.reason import ByeReason
from dialin.wire.uri import bracketed

By = Literal["peer", "us", "lost"]
"""Who ended a leg; `lost` when nobody meant to."""


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """Where a far end reaches us: what Via and Contact say."""

    transport: str
    """`UDP`, `TCP` or `TLS`."""
    host: str
    """Our IP address on the way to this far end, IPv6 without brackets."""
    port: int
    """Our listening port."""
    public: str | None = None
    """The address that far ends are told instead, where a NAT hides ours."""
    seen_as: tuple[str, int] | None = None
    """Address and port that this far end sees us at, where it has told (RFC 3581)."""

    @property
    def told(self) -> str:
        """The address that far ends are told, IPv6 without brackets."""
        return self.public or self.host

    @property
    def host_port(self) -> str:
        """Host and port as URIs write them: IPv6 in brackets (RFC 3261 §25.1).

        What the operator says comes first, then what the far end sees. The topmost Via of ours
        names neither, so that the far end goes on telling what it sees.
        """
        if self.public or self.seen_as is None:
            return f"{bracketed(self.told)}:{self.port}"
        host, port = self.seen_as
        return f"{bracketed(host)}:{port}"


@dataclass(frozen=True, slots=True)
class LegEnd:
    """How a leg ended. Each leg ends once."""

    by: By
    """Who ended it."""
    status: int | None
    """The final response that ended it, where there was one."""
    cause: str
    """`bye`, `cancel`, `rejected`, `no-answer`, `no-ack`, `session-refused`, `session-expired`,
    `transaction-timeout` or `transport-lost`."""
    reason: ByeReason | None = None
    """What the peer's BYE, CANCEL or refusal says about why; None if nothing."""
    retry_after_s: int | None = None
    """When the refusal wants to be asked again at the earliest; None if it does not say."""


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """Somebody calls. Wants `accept` or `reject`; `provisional` meanwhile."""

    leg: str
    """The new leg's id: random, fit for logs."""
    request: Request
    """The INVITE."""
    flow: Flow
    """Where it came from."""
    local: LocalAddress
    """Where it reached us."""
    offer: bytes | None
    """The caller's SDP; None when the caller wants our offer (RFC 3261 §13.2.1)."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Our 200 to the first INVITE has arrived: the session stands."""

    leg: str
    """The leg's id."""
    answer: bytes | None
    """The peer's SDP where the offer was ours."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The called side works on it: a provisional response above 100."""

    leg: str
    """The leg's id."""
    status: int
    """180, 183 …"""
    sdp: bytes | None
    """Early media, if it comes with any."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The called side took the call; the ACK is on its way already."""

    leg: str
    """The leg's id."""
    answer: bytes
    """The SDP of the 200, or of the provisional response before it."""


@dataclass(frozen=True, slots=True)
class Reoffer:
    """The peer wants to change the session, or to refresh it. Wants `answer_reoffer`."""

    leg: str
    """The leg's id."""
    offer: bytes | None
    """The new SDP; None when the peer wants our offer."""


@dataclass(frozen=True, slots=True)
class Reanswered:
    """The peer's answer to the offer that it asked for with a re-INVITE without SDP."""

    leg: str
    """The leg's id."""
    answer: bytes
    """The SDP of the ACK."""


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key that came by INFO."""

    leg: str
    """The leg's id."""
    key: str
    """One of 0-9, *, #, A-D. Never logged."""

    def __repr__(self) -> str:
        return f"KeyPressed(leg={self.leg!r}, key=…)"


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """What became of a key that we sent by INFO."""

    leg: str
    """The leg's id."""
    status: int
    """The final response, or what the lack of one amounts to (RFC 3261 §8.1.3.1)."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The leg is over for whoever uses it; what the wire still owes is seen to here."""

    leg: str
    """The leg's id."""
    end: LegEnd
    """How."""


Event = (
    IncomingCall
    | Acknowledged
    | Progress
    | Answered
    | Reoffer
    | Reanswered
    | KeyPressed
    | KeyTaken
    | Ended
)
"""What happens to a leg."""


@dataclass(frozen=True, slots=True)
class Replied:
    """The final response to a request outside any dialog."""

    enquiry: str
    """The id that `ask` gave."""
    response: Response
    """What came. PEER-CONTROLLED."""
    flow: Flow
    """Where it came from, which need not be where the request went."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request outside any dialog has no answer that can be used."""

    enquiry: str
    """The id that `ask` gave."""
    cause: str
    """`no-answer`, `connection-failed`, or why a challenge was not met (`login.Unanswerable`)."""


Reply = Replied | Unanswered
"""What becomes of a request outside any dialog."""
