# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP messages (RFC 3261 §7): octets to `Request` or `Response` and back.

`parse` checks everything that a transaction, a dialog or an answer is built on, so that the
accessors of a parsed message never raise; whatever else came stays text and is parsed on demand.
Values are kept as they came and echoed as they came: text is UTF-8 with `surrogateescape`, hence
octet-identical. A refused message knows the status it deserves. Cutting a byte stream into
messages is left to `framing`; what a message means, to the layers above.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from dialin.errors import PeerError
from dialin.wire.header import BLANKS, Address, CSeq, MalformedHeader, Via, split_quoted
from dialin.wire.params import TOKENCHAR
from dialin.wire.uri import MalformedUri, SipUri, parse_uri

MAX_MESSAGE_BYTES: Final = 65535
"""The largest UDP datagram; a stream gets no more."""
MAX_START_LINE_BYTES: Final = 8192
"""Longer than any request URI that a trunk sends."""
MAX_HEADER_BYTES: Final = 16384
"""One header value, unfolded: real Identity and Diversion values exceed 8 KiB."""
MAX_HEADERS: Final = 128
"""Header lines in a message; a long chain of proxies stays below 60."""
MAX_MAX_FORWARDS: Final = 255
"""RFC 3261 §20.22."""

VERSION: Final = "SIP/2.0"
_LENGTH: Final = "Content-Length"

# RFC 3261 §7.3.3 and §20, and the headers of the extensions that trunks use.
_COMPACT: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

# Headers that stand once (§7.3.1). A second one would be read by some and not by others.
_SINGLE: Final = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type")

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

_FOLD = re.compile(rb"\r\n[ \t]+")
_NAME = re.compile(rf"({TOKENCHAR}+)[ \t]*")
_REQUEST_LINE = re.compile(rf"({TOKENCHAR}+) (.*) (SIP/[0-9]+\.[0-9]+)", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,10}")


class MalformedMessage(PeerError):
    """These octets are no SIP message that may be acted upon. The one exception of `parse`."""

    def __init__(
        self, reason: str, status: int | None = None, request_like: Headers | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        """What is wrong, in our words, fit for a log and for a reason phrase (RFC 3261 §21.4.1)."""
        self.status = status
        """The status to answer with; None for what must not be answered."""
        self.request_like = request_like
        """The headers an answer copies, as far as they came; None where there is no status."""


def _key(name: str) -> str:
    """The name that a header is looked up by: lower case, compact forms resolved."""
    lower = name.lower()
    return _COMPACT.get(lower, lower)


@dataclass(frozen=True, slots=True)
class Headers:
    """An ordered, frozen list of header lines. PEER-CONTROLLED when parsed.

    Names compare without case, and a compact form equals its long form (RFC 3261 §7.3.3).
    """

    fields: tuple[tuple[str, str], ...] = ()
    """(name, value): names as written, values unfolded and without outer blanks, else verbatim."""
    _keys: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keys", tuple([_key(name) for name, _ in self.fields]))

    def get(self, name: str) -> str | None:
        """The value of the first line of that name."""
        key = _key(name)
        return self.fields[self._keys.index(key)][1] if key in self._keys else None

    def all(self, name: str) -> tuple[str, ...]:
        """The value of each line of that name."""
        key = _key(name)
        return tuple([f[1] for f, held in zip(self.fields, self._keys, strict=True) if held == key])

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a comma-separated header (§7.3.1) over all its lines, less empty ones."""
        return tuple(v for line in self.all(name) for v in split_quoted(line, ",") if v)

    def with_(self, name: str, value: str) -> Headers:
        """One more line at the end."""
        return Headers((*self.fields, (name, value)))

    def prepend(self, name: str, value: str) -> Headers:
        """One more line at the top."""
        return Headers(((name, value), *self.fields))

    def set(self, name: str, value: str) -> Headers:
        """One line of that name: in the place of the first, or at the end where there was none."""
        if name not in self:
            return self.with_(name, value)
        key = _key(name)
        first = self._keys.index(key)
        lines = [
            (name, value) if at == first else line
            for at, line in enumerate(self.fields)
            if at == first or self._keys[at] != key
        ]
        return Headers(tuple(lines))

    def count(self, name: str) -> int:
        """How many lines of that name there are."""
        return self._keys.count(_key(name))

    def without(self, name: str) -> Headers:
        """No line of that name."""
        key = _key(name)
        pairs = zip(self.fields, self._keys, strict=True)
        return Headers(tuple([line for line, held in pairs if held != key]))

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._keys

    def __repr__(self) -> str:
        return f"Headers({', '.join(name for name, _ in self.fields)})"  # values may hold numbers


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
        return self._required("Call-ID")

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
        return None if value is None else value.partition(";")[0].strip(BLANKS).lower()

    def _required(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            raise MalformedHeader(f"Missing {name}")
        return value

    def _write(self, start_line: str) -> bytes:
        """Octets with one Content-Length, ours. Raises ValueError for a stray line break."""
        lines = [f"{name}: {value}" for name, value in self.headers.without(_LENGTH).fields]
        text = "\r\n".join((start_line, *lines, f"{_LENGTH}: {len(self.body)}"))
        if not text.count("\r") == text.count("\n") == len(lines) + 1:
            raise ValueError("a line break inside a header or start line")
        return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self.body


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
        """Hops that are left (§20.22), None where nothing is said."""
        value = self.headers.get("Max-Forwards")
        return None if value is None else _read_max_forwards(value)

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

    Octets behind the Content-Length are cut off (§18.3). Raises MalformedMessage, only that.
    """
    draft = _Draft.read(data)
    try:
        body = draft.body()
        if draft.is_response:
            return _response(draft.start_line, draft.headers, body)
        return _request(draft.start_line, draft.headers, body)
    except MalformedMessage as fault:
        raise draft.refusal(fault) from fault


def announced_length(head: bytes) -> int:
    """The Content-Length of a head, the empty line included, as a stream needs it (§18.3).

    Raises MalformedMessage where there is none that all readers would agree upon.
    """
    draft = _Draft.read(head)
    try:
        length = draft.length()
    except MalformedMessage as fault:
        raise draft.refusal(fault) from fault
    if length is None:
        raise draft.refusal(MalformedMessage("Missing Content-Length", 400))
    return length


@dataclass(frozen=True, slots=True)
class _Draft:
    """A message cut into its parts, before anything about the parts is known."""

    start_line: str
    headers: Headers
    lengths: tuple[str, ...]
    """The values of all Content-Length lines, which are not in `headers`."""
    rest: bytes
    """What follows the empty line."""
    fault: MalformedMessage | None
    """What was wrong with the cutting itself."""

    @classmethod
    def read(cls, data: bytes) -> _Draft:
        """Cut a message. Total: what is wrong is kept for whoever can still answer."""
        # §7.5: CRLFs before the start line are to be ignored.
        head, empty_line, rest = data[:MAX_MESSAGE_BYTES].lstrip(b"\r\n").partition(b"\r\n\r\n")
        start, _, block = head.partition(b"\r\n")
        # §7.3.1: a line that begins with a blank goes on with the line before.
        lines = _FOLD.sub(b" ", block).split(b"\r\n") if block else []
        fault = _cutting_fault(data, head, empty_line, start, lines)
        fields = []
        lengths = []
        for line in lines[:MAX_HEADERS]:
            name, colon, value = line.decode("utf-8", "surrogateescape").partition(":")
            match = _NAME.fullmatch(name)
            if match is None or not colon:
                fault = fault or MalformedMessage("Malformed header line", 400)
            elif _key(match[1]) == "content-length":
                lengths.append(value.strip(BLANKS))
            else:
                fields.append((match[1], value.strip(BLANKS)))
        start_line = start.decode("utf-8", "surrogateescape").rstrip(BLANKS)
        return cls(start_line, Headers(tuple(fields)), tuple(lengths), rest, fault)

    @property
    def is_response(self) -> bool:
        """Whether this claims to be a response: no method holds a "/"."""
        return self.start_line[:4].upper() == "SIP/"

    def length(self) -> int | None:
        """The Content-Length, None where there is none. Raises MalformedMessage."""
        if self.fault is not None:
            raise self.fault
        if not self.lengths:
            return None
        if len(self.lengths) > 1:
            raise MalformedMessage("More than one Content-Length", 400)
        if not _NUMBER.fullmatch(self.lengths[0]):
            raise MalformedMessage("Malformed Content-Length", 400)
        return int(self.lengths[0])

    def body(self) -> bytes:
        """The body: Content-Length octets, or all there is without one. Raises MalformedMessage."""
        length = self.length()
        if length is None:
            return self.rest
        if length > len(self.rest):
            raise MalformedMessage("Content-Length beyond the end of the message", 400)
        return self.rest[:length]

    def refusal(self, fault: MalformedMessage) -> MalformedMessage:
        """The fault as the peer is to be told about it: with headers to copy, or with no status."""
        match = _REQUEST_LINE.fullmatch(self.start_line)
        # §17.1.1.3: an ACK is never answered; §8.2.6.2: without a Via there is no way back.
        if match is None or match[1] == "ACK" or "Via" not in self.headers:
            return MalformedMessage(fault.reason)
        copied = [("Via", value) for value in self.headers.all("Via")]
        for name in ("From", "To", "Call-ID", "CSeq"):
            value = self.headers.get(name)
            if value is not None:
                copied.append((name, value))
        return MalformedMessage(fault.reason, fault.status, Headers(tuple(copied)))


def _cutting_fault(
    data: bytes, head: bytes, empty_line: bytes, start: bytes, lines: list[bytes]
) -> MalformedMessage | None:
    """The first thing that is wrong with the outer form of a message, limits included."""
    if len(data) > MAX_MESSAGE_BYTES:
        return MalformedMessage("Message too large", 513)
    if not empty_line:
        return MalformedMessage("No empty line after the headers", 400)
    if not head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n"):
        return MalformedMessage("A line break that is not CRLF", 400)
    if len(start) > MAX_START_LINE_BYTES:
        return MalformedMessage("Start line too long", 414)
    if len(lines) > MAX_HEADERS:
        return MalformedMessage("Too many headers", 400)
    if len(head) > MAX_HEADER_BYTES and max(map(len, lines), default=0) > MAX_HEADER_BYTES:
        return MalformedMessage("Header too long", 400)
    return None


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
        raise MalformedMessage("CSeq is of another method", 400)
    if "Max-Forwards" in headers and request.max_forwards is None:
        raise MalformedMessage("Malformed Max-Forwards", 400)
    return request


def _response(start_line: str, headers: Headers, body: bytes) -> Response:
    match = _STATUS_LINE.fullmatch(start_line)
    if match is None:
        raise MalformedMessage("Malformed status line")
    response = Response(int(match[1]), (match[2] or "").strip(BLANKS), headers, body)
    _check_headers(response)
    if len(response.vias) > 1:  # §8.1.3.3: it was not sent to us
        raise MalformedMessage("More than one Via in a response")
    return response


def _check_uri(uri: str) -> None:
    """What a request-URI must be; blanks in it are no part of any URI."""
    try:
        parsed = parse_uri(uri)
    except MalformedUri as error:
        raise MalformedMessage("Malformed request-URI", 400) from error
    # §19.1.1 table 1. The headers would say where the request is to go on: not for a peer to say.
    if isinstance(parsed, SipUri) and parsed.headers:
        raise MalformedMessage("Headers in the request-URI", 400)


def _check_headers(message: Request | Response) -> None:
    """Everything that the accessors promise, and that a name which stands once does stand once."""
    for name in _SINGLE:
        if message.headers.count(name) > 1:
            raise MalformedMessage(f"More than one {name}", 400)
    try:
        _ = message.vias, message.from_, message.to, message.call_id, message.cseq, message.contacts
    except MalformedHeader as error:
        raise MalformedMessage(str(error), 400) from error


def _read_max_forwards(value: str) -> int | None:
    """§20.22: 0 to 255; None for anything else."""
    if not _NUMBER.fullmatch(value) or int(value) > MAX_MAX_FORWARDS:
        return None
    return int(value)


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
    copied = list(_copied(request.headers, status))
    if to_tag is not None and request.to.tag is None:
        copied = [(n, f"{v};tag={to_tag}" if _key(n) == "to" else v) for n, v in copied]
    phrase = REASONS.get(status, "") if reason is None else reason
    return Response(status, phrase, Headers((*copied, *headers)), body)


def _copied(headers: Headers, status: int) -> Iterable[tuple[str, str]]:
    names = {"via", "from", "to", "call-id", "cseq"}
    if 100 < status < 300:
        names.add("record-route")
    if status == 100:
        names.add("timestamp")  # §8.2.6.1
    return (line for line in headers.fields if _key(line[0]) in names)


def respond_to_malformed(error: MalformedMessage) -> Response | None:
    """The answer that a refused message gets, None where it gets none.

    It is stateless and adds no tag to To: a To that could not be read is not written to.
    """
    if error.status is None or error.request_like is None:
        return None
    return Response(error.status, error.reason, error.request_like)
