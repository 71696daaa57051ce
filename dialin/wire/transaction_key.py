# SPDX-License-Identifier: GPL-3.0-or-later
"""Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3).

The RFC matches by branch, sent-by and method. Call-ID, From tag and CSeq number are part of the
key as well: they are equal in every message of a transaction anyway, so a forger has to know all
of them, and a peer that uses one branch for everything still gets a transaction for each request.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from dialin.wire.header import Via
from dialin.wire.message import Message, Request

MAGIC_COOKIE = "z9hG4bK"
"""How a branch begins that is unique by itself (RFC 3261 §8.1.1.7)."""


@dataclass(frozen=True, slots=True)
class LegacyMatch:
    """What RFC 2543 matches a request by beside the rest: its branch means nothing."""

    uri: str
    """The Request-URI."""
    via: str
    """The topmost Via, less what the receiver writes into it."""
    to_tag: str | None
    """The To tag of the request."""


@dataclass(frozen=True, slots=True)
class TransactionKey:
    """The name of one transaction. PEER-CONTROLLED but for the side, so repr shows little."""

    side: Literal["client", "server"]
    """Whether we sent the request or received it."""
    method: str
    """The method of the request."""
    branch: str = field(repr=False)
    """The branch of the topmost Via."""
    sent_by: str = field(repr=False)
    """Host and port of the topmost Via."""
    call_id: str = field(repr=False)
    """The Call-ID."""
    from_tag: str = field(repr=False)
    """The From tag, empty from an RFC 2543 peer."""
    cseq: int = field(repr=False)
    """The number in the CSeq."""
    legacy: LegacyMatch | None = field(default=None, repr=False)
    """Present where the branch lacks the magic cookie."""

    @property
    def of_invite(self) -> TransactionKey:
        """The INVITE's key, from that of its CANCEL or its ACK (§9.2, §17.2.3)."""
        return replace(self, method="INVITE")

    @property
    def request_id(self) -> tuple[str, str, int, str]:
        """What is equal in all copies of a request that took different paths (§8.2.2.2)."""
        return self.from_tag, self.call_id, self.cseq, self.method


def client_key(message: Message) -> TransactionKey:
    """The key of the transaction that we began, from its request or from a response to it."""
    via = message.via
    return _key("client", message, message.cseq.method, via)


def server_key(request: Request) -> TransactionKey:
    """The key of the transaction that a received request begins, or repeats."""
    via = request.via
    key = _key("server", request, request.method, via)
    # A bare cookie promises uniqueness and does not keep it (RFC 4475 §3.2.1).
    if key.branch.startswith(MAGIC_COOKIE) and key.branch != MAGIC_COOKIE:
        return key
    params = via.params.without("received").without("rport")
    legacy = LegacyMatch(request.uri, str(replace(via, params=params)), request.to.tag)
    return replace(key, legacy=legacy)


def without_to_tag(key: TransactionKey) -> TransactionKey:
    """A legacy ACK's key less the To tag, which an INVITE outside a dialog did not have yet."""
    if key.legacy is None:
        return key
    return replace(key, legacy=replace(key.legacy, to_tag=None))


def _key(
    side: Literal["client", "server"], message: Message, method: str, via: Via
) -> TransactionKey:
    return TransactionKey(
        side=side,
        method=method,
        branch=via.branch or "",
        sent_by=f"{via.host.lower()} {via.port}",
        call_id=message.call_id,
        from_tag=message.from_.tag or "",
        cseq=message.cseq.number,
    )
