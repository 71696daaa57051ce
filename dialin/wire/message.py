# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP messages (RFC 3261 §7): octets to `Request` or `Response` and back, and responses (§8.2.6).

`parse` checks everything that a transaction, a dialog or an answer is built on, so that the
accessors of a parsed message never raise; whatever else came stays text and is parsed on demand.
Values are kept and echoed as they came: text is UTF-8 with `surrogateescape`, so an echo is
octet-identical. A refused message knows the status it deserves. Cutting a byte stream into
messages is left to `framing`; what a message means, to the layers above.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from dialin.wire.head import (
    CONTENT_LENGTH,
    EMPTY_LINE,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_MESSAGE_BYTES,
    MAX_START_LINE_BYTES,
    Draft,
    Headers,
    MalformedMessage,
    header_key,
    octets_of,
)
from dialin.wire.header import BLANKS, Address, CSeq, MalformedHeader, Via, split_quoted
from dialin.wire.params import TOKENCHAR
from dialin.wire.uri import MalformedUri, SipUri, parse_uri

__all__ = [
    "MAX_HEADERS",
    "MAX_HEADER_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_START_LINE_BYTES",
    "REASONS",
    "Headers",
    "MalformedMessage",
    "Message",
    "Request",
    "Response",
    "parse",
    "respond_to_malformed",
    "response_to",
]

VERSION: Final = "SIP/2.0"

MAX_MAX_FORWARDS: Final = 255
"""RFC 3261 §20.22."""

# Headers that stand once (§7.3.1), as does Content-Length. A second one would be read by some and
# not by others.
_SINGLE: Final = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type")

# What a message must have and how it is read; Contact may be missing.
_CHECKED: Final = {
    "Via": attrgetter("vias"),
    "From": attrgetter("from_"),
    "To": attrgetter("to"),
    "Call-ID": attrgetter("call_id"),
    "CSeq": attrgetter("cseq"),
    "Contact": attrgetter("contacts"),
}

# Without re.ASCII, IGNORECASE takes U+017F for an "s".
_ANY_CASE = re.IGNORECASE | re.ASCII
_REQUEST_LINE = re.compile(rf"({TOKENCHAR}+) (.*) (SIP/[0-9]+\.[0-9]+)", _ANY_CASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: ([^\r\n]*))?", _ANY_CASE)
_CALL_ID = re.compile(r"[^\x00-\x20\x7f]+")
_BLANK = re.compile(r"[ \t]")
_MAX_FORWARDS = re.compile(r"[0-9]{1,10}")

REASONS: Final = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}
"""The reason phrases of RFC 3261 §21, RFC 4028 and RFC 3265."""


class _Readable:
    """What requests and responses share: reading the headers that every message has.

    The accessors never raise on a message from `parse`; on one put together by hand they raise
    MalformedHeader where the header is missing or wrong.
    """

    __slots__ = ()
    headers: Headers
    body: bytes

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return Via.parse(split_quoted(self._required("Via"), ",")[0])

    @property
    def vias(self) -> tuple[Via, ...]:
        """All Vias, topmost first."""
        self._required("Via")
        return Via.parse_many(self.headers.all("Via"))

    @property
    def from_(self) -> Address:
        """Who is said to have sent the request (RFC 3261 §20.20). PEER-CONTROLLED."""
        return Address.parse(self._required("From"))

    @property
    def to(self) -> Address:
        """Whom the request is said to be for (§20.39). PEER-CONTROLLED."""
        return Address.parse(self._required("To"))

    @property
    def call_id(self) -> str:
        """The Call-ID as written. PEER-CONTROLLED, and some peers put the number into it."""
        value = self._required("Call-ID")
        if not _CALL_ID.fullmatch(value):
            raise MalformedHeader("malformed")
        return value

    @property
    def cseq(self) -> CSeq:
        """Sequence number and method."""
        return CSeq.parse(self._required("CSeq"))

    @property
    def contacts(self) -> tuple[Address, ...]:
        """All Contacts; none for the `*` of a REGISTER. PEER-CONTROLLED."""
        values = self.headers.all("Contact")
        return () if values == ("*",) else Address.parse_many(values)

    @property
    def content_type(self) -> str | None:
        """The media type in lower case, without parameters (§20.15)."""
        value = self.headers.get("Content-Type")
        return None if value is None else _BLANK.sub("", value.partition(";")[0]).lower()

    def _required(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            raise MalformedHeader("missing")
        return value

    def _write(self, start_line: str) -> bytes:
        """Octets with one Content-Length, ours. Raises ValueError for a stray line break."""
        lines = [f"{name}: {value}" for name, value in self.headers.without(CONTENT_LENGTH).fields]
        text = "\r\n".join((start_line, *lines, f"{CONTENT_LENGTH}: {len(self.body)}"))
        if not text.count("\r") == text.count("\n") == len(lines) + 1:
            raise ValueError("a line break inside a header or start line")
        return octets_of(text) + EMPTY_LINE + self.body


@dataclass(frozen=True, slots=True)
class Request(_Readable):
    """A SIP request (RFC 3261 §7.1). PEER-CONTROLLED when parsed."""

    method: str
    """The method, case-sensitive."""
    uri: str
    """The request-URI as written; `parse_uri` reads it."""
    headers: Headers
    """The header lines, less Content-Length: the body knows its length."""
    body: bytes = b""
    """The body, as long as Content-Length said."""

    @property
    def max_forwards(self) -> int | None:
        """Hops that are left (§20.22), None where nothing proper is said."""
        value = self.headers.get("Max-Forwards") or ""
        if not _MAX_FORWARDS.fullmatch(value) or int(value) > MAX_MAX_FORWARDS:
            return None
        return int(value)

    def __bytes__(self) -> bytes:
        return self._write(f"{self.method} {self.uri} {VERSION}")

    def __repr__(self) -> str:
        return f"Request({self.method}, {self.headers!r}, {len(self.body)} octets)"


@dataclass(frozen=True, slots=True)
class Response(_Readable):
    """A SIP response (RFC 3261 §7.2). PEER-CONTROLLED when parsed."""

    status: int
    """100 to 699."""
    reason: str
    """The reason phrase, which means nothing (§7.2). PEER-CONTROLLED."""
    headers: Headers
    """The header lines, less Content-Length: the body knows its length."""
    body: bytes = b""
    """The body, as long as Content-Length said."""

    def __bytes__(self) -> bytes:
        return self._write(f"{VERSION} {self.status} {self.reason}")

    def __repr__(self) -> str:
        return f"Response({self.status}, {self.headers!r}, {len(self.body)} octets)"


Message = Request | Response


def parse(data: bytes) -> Request | Response:
    """Read one message: a datagram, or what `framing` cut from a stream.

    Octets behind the Content-Length are cut off (§18.3). Raises MalformedMessage and nothing else.
    """
    draft = Draft.read(data)
    try:
        body = draft.body()
        if draft.start_line[:4].upper() == "SIP/":  # no method holds a "/"
            return _response(draft.start_line, draft.headers, body)
        return _request(draft.start_line, draft.headers, body)
    except MalformedMessage as fault:
        raise draft.refusal(fault) from fault


def _request(start_line: str, headers: Headers, body: bytes) -> Request:
    match = _REQUEST_LINE.fullmatch(start_line)
    if match is None:
        raise MalformedMessage("Not SIP")
    method, uri, version = match.groups()
    if version.upper() != VERSION:
        raise MalformedMessage("Version not supported", 505)
    _check_uri(uri)
    request = Request(method, uri, headers, body)
    _check_headers(request)
    if request.cseq.method != method:  # §8.1.1.5
        raise MalformedMessage("CSeq: another method", 400)
    if "Max-Forwards" in headers and request.max_forwards is None:
        raise MalformedMessage("Max-Forwards: malformed", 400)
    return request


def _response(start_line: str, headers: Headers, body: bytes) -> Response:
    match = _STATUS_LINE.fullmatch(start_line)
    if match is None:
        raise MalformedMessage("Malformed status line")
    response = Response(int(match[1]), (match[2] or "").lstrip(BLANKS), headers, body)
    _check_headers(response)
    if len(response.vias) > 1:  # §8.1.3.3: our requests have one, so this was not sent to us
        raise MalformedMessage("More than one Via in a response")
    return response


def _check_uri(uri: str) -> None:
    """§7.1: a request-URI holds no blanks and stands in no brackets."""
    try:
        parsed = parse_uri(uri)
    except MalformedUri as error:
        raise MalformedMessage("Malformed request-URI", 400) from error
    # §19.1.1 table 1. Such headers say where a request goes on to: not for a peer to say.
    if isinstance(parsed, SipUri) and parsed.headers:
        raise MalformedMessage("Headers in the request-URI", 400)


def _check_headers(message: Request | Response) -> None:
    """Everything that the accessors promise, and that what stands once does stand once."""
    for name in _SINGLE:
        if message.headers.count(name) > 1:
            raise MalformedMessage(f"{name}: more than one", 400)
    for name, read in _CHECKED.items():
        try:
            read(message)
        except MalformedHeader as error:
            raise MalformedMessage(f"{name}: {error}", 400) from error


def response_to(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Response:
    """A response by §8.2.6: what it copies, it copies octet for octet.

    `to_tag` goes to To unless To has a tag already; None adds none (a 100, or a stateless answer
    in a dialog). Record-Route is copied where the response can make a dialog (§12.1.1).
    """
    names = {"via", "from", "to", "call-id", "cseq"}
    if 100 < status < 300:
        names.add("record-route")
    if status == 100:
        names.add("timestamp")  # §8.2.6.1
    copied = Headers(tuple(line for line in request.headers.fields if header_key(line[0]) in names))
    phrase = REASONS.get(status, "") if reason is None else reason
    return Response(status, phrase, Headers((*_tagged(copied, to_tag).fields, *headers)), body)


def respond_to_malformed(error: MalformedMessage, *, to_tag: str | None = None) -> Response | None:
    """The stateless answer that a refused message gets, None where it gets none."""
    if error.status is None or error.request_like is None:
        return None
    return Response(error.status, error.reason, _tagged(error.request_like, to_tag))


def _tagged(headers: Headers, to_tag: str | None) -> Headers:
    """Headers with our tag on To, unless it has one (§8.2.6.2) or is too broken to be added to."""
    to = headers.get("To")
    if to is None or to_tag is None:
        return headers
    try:
        has_tag = Address.parse(to).tag is not None
    except MalformedHeader:
        return headers
    return headers if has_tag else headers.set("To", f"{to};tag={to_tag}")
