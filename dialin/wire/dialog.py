# SPDX-License-Identifier: GPL-3.0-or-later
"""Dialogs (RFC 3261 §12): who the two ends are, and how a request within the dialog is addressed.

Data and its rules only. When a dialog begins and ends, what its requests mean, and to which flow a
next hop's URI leads, is left to the agent: every URI here was written by the peer, so it may only
lead to hosts that are allowed anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from dialin.errors import PeerError
from dialin.wire.header import Address, Via
from dialin.wire.message import Headers, Message, Request, Response
from dialin.wire.uri import SipUri, parse_uri

FIRST_CSEQ = 1
"""Where our numbers begin; any value below 2**31 will do (RFC 3261 §8.1.1.5)."""

MAX_FORWARDS = "70"
"""RFC 3261 §8.1.1.6."""


NO_ROUTES: tuple[str, ...] = ()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DialogId:
    """The name of a dialog at this end (§12). The peer's half is PEER-CONTROLLED."""

    call_id: str = field(repr=False)
    """The Call-ID; some peers put the caller's number into it."""
    local_tag: str
    """Our tag."""
    remote_tag: str = field(repr=False)
    """The peer's tag, empty from an RFC 2543 peer (§12.1.1)."""

    @classmethod
    def of_request(cls, request: Request) -> DialogId:
        """The dialog that a received request claims to belong to (§12.2.2)."""
        return cls(request.call_id, request.to.tag or "", request.from_.tag or "")

    @classmethod
    def of_response(cls, response: Response) -> DialogId:
        """The dialog that a received response belongs to, or makes (§12.1.2)."""
        return cls(response.call_id, response.from_.tag or "", response.to.tag or "")


@dataclass(slots=True)
class Dialog:
    """One dialog. Changes as requests go and come; its id does not."""

    id: DialogId
    """Its name."""
    local: str = field(repr=False)
    """The From of our requests, verbatim, tag included."""
    remote: str = field(repr=False)
    """The To of our requests, verbatim, as the peer wrote it. PEER-CONTROLLED."""
    remote_target: str = field(repr=False)
    """The URI of the peer's latest Contact. PEER-CONTROLLED."""
    route_set: tuple[str, ...] = field(repr=False)
    """Route values, nearest first, verbatim. PEER-CONTROLLED."""
    local_cseq: int | None
    """The number of our latest request, None before the first."""
    remote_cseq: int | None
    """The number of the peer's latest request, None before the first."""
    is_secure: bool
    """Made by a request to a `sips` URI: all that follows goes by TLS (§12.1.1)."""

    @classmethod
    def as_uas(cls, request: Request, local_tag: str) -> Dialog:
        """The dialog that we make by answering a request with this tag in To (§12.1.1).

        For a request outside any dialog, whose To has no tag. Raises PeerError when Contact or
        Record-Route cannot be read: 400 is due.
        """
        return cls(
            id=DialogId(request.call_id, local_tag, request.from_.tag or ""),
            local=f"{request.headers.all('To')[0]};tag={local_tag}",
            remote=request.headers.all("From")[0],
            # An RFC 2543 peer may send no Contact; then From is all there is to go by.
            remote_target=_contact(request) or _readable(request.from_),
            route_set=_record_route(request),
            local_cseq=None,
            remote_cseq=request.cseq.number,
            is_secure=is_sips(request.uri),
        )

    @classmethod
    def as_uac(cls, request: Request, response: Response) -> Dialog:
        """The dialog that a response to our request makes (§12.1.2).

        Nobody can be told that a Contact or Record-Route cannot be read, and a 2xx wants its ACK
        all the same: such a header counts as absent.
        """
        return cls(
            id=DialogId.of_response(response),
            local=request.headers.all("From")[0],
            remote=response.headers.all("To")[0],
            remote_target=_if_readable(_contact, response, None) or request.uri,
            route_set=_if_readable(_record_route, response, NO_ROUTES)[::-1],
            local_cseq=request.cseq.number,
            remote_cseq=None,
            is_secure=is_sips(request.uri),
        )

    def confirm(self, response: Response) -> None:
        """As a caller, take the 2xx after early responses: it has the last word (§13.2.2.4)."""
        self.route_set = _if_readable(_record_route, response, NO_ROUTES)[::-1]
        self.refresh_target(response)

    def refresh_target(self, message: Message) -> None:
        """Take the Contact of a target refresh, request or 2xx (§12.2.1.2), if it can be read."""
        self.remote_target = _if_readable(_contact, message, None) or self.remote_target

    def accept_request(self, request: Request) -> int | None:
        """Whether a received request is in order: None, or the status to refuse it with (§12.2.2).

        The number has to grow. RFC 3261 refuses a lower one and is silent on an equal one; repeats
        end in the transaction layer, so an equal one is a replay. ACK and CANCEL bear the number
        of their INVITE and are not judged here.
        """
        if request.method in ("ACK", "CANCEL"):
            return None
        number = request.cseq.number
        if self.remote_cseq is not None and number <= self.remote_cseq:
            return 500
        self.remote_cseq = number
        return None

    def request(
        self,
        method: str,
        *,
        via: Via,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Request:
        """The next request of ours in this dialog (§12.2.1.1); Contact is among `headers`."""
        self.local_cseq = self._next_cseq()
        return self._request(method, self.local_cseq, via, headers, body)

    def _next_cseq(self) -> int:
        return FIRST_CSEQ if self.local_cseq is None else self.local_cseq + 1

    def again(self, request: Request, *, via: Via) -> Request:
        """A request of ours once more, as the next one of the dialog (§22.2)."""
        self.local_cseq = self._next_cseq()
        cseq = f"{self.local_cseq} {request.method}"
        return replace(request, headers=request.headers.set("Via", str(via)).set("CSeq", cseq))

    def ack(
        self,
        invite_cseq: int,
        *,
        via: Via,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Request:
        """The ACK to a 2xx: the number of its INVITE, a Via of its own (§13.2.2.4)."""
        return self._request("ACK", invite_cseq, via, headers, body)

    @property
    def wants_sips(self) -> bool:
        """Whether our Contact has to be a `sips` URI too (§8.1.1.8, §12.1.1)."""
        return self.is_secure or is_sips(self.next_hop())

    def next_hop(self) -> str:
        """The URI of where requests have to be sent: the nearest route, or the target (§8.1.2)."""
        if self.route_set:
            return Address.parse(self.route_set[0]).uri_text
        return self.remote_target

    def _request(
        self,
        method: str,
        cseq: int,
        via: Via,
        headers: Iterable[tuple[str, str]],
        body: bytes,
    ) -> Request:
        uri, route = self._addressed()
        lines = (
            ("Via", str(via)),
            ("Max-Forwards", MAX_FORWARDS),
            *(("Route", value) for value in route),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.id.call_id),
            ("CSeq", f"{cseq} {method}"),
            *headers,
        )
        return Request(method, uri, Headers(lines), body)

    def _addressed(self) -> tuple[str, tuple[str, ...]]:
        """Request-URI and Route values, for a loose or a strict nearest router (§12.2.1.1)."""
        target = _request_uri(self.remote_target)
        if not self.route_set:
            return target, ()
        nearest = Address.parse(self.route_set[0]).uri_text
        if _is_loose(nearest):
            return target, self.route_set
        return _request_uri(nearest), (*self.route_set[1:], f"<{self.remote_target}>")


def _contact(message: Message) -> str | None:
    """The URI of the Contact verbatim, None without one. Raises PeerError."""
    contacts = message.contacts
    return _readable(contacts[0]) if contacts else None


def _record_route(message: Message) -> tuple[str, ...]:
    """The Record-Route values verbatim. Raises PeerError."""
    values = message.headers.values("Record-Route")
    for value in values:
        _readable(Address.parse(value))
    return values


def _if_readable(read: Callable[[Message], T], message: Message, otherwise: T) -> T:
    try:
        return read(message)
    except PeerError:
        return otherwise


def _readable(address: Address) -> str:
    """The URI as written, once it is known that it can be read when a request needs it."""
    _ = address.uri
    return address.uri_text


def is_sips(uri: str) -> bool:
    """Whether a URI asks for TLS all the way (§26.2.2)."""
    return uri[:5].lower() == "sips:"


def _is_loose(uri: str) -> bool:
    parsed = parse_uri(uri)
    return isinstance(parsed, SipUri) and parsed.params.has("lr")


def _request_uri(uri: str) -> str:
    """A URI less what may not stand in a Request-URI: headers and `method` (§19.1.1 table 1)."""
    parsed = parse_uri(uri)
    if not isinstance(parsed, SipUri) or not (parsed.headers or parsed.params.has("method")):
        return uri  # verbatim, whatever else is in it
    return str(replace(parsed, headers="", params=parsed.params.without("method")))
