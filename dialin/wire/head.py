# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of a SIP message: limits, header lines, and cutting octets into both (RFC 3261 §7.3).

`Draft.read` knows lines and lengths and nothing of what they say. It is shared by `message` and
`framing`, so that the two can never disagree about where a message ends. What a start line or a
header must hold is left to `message`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from dialin.errors import PeerError
from dialin.wire.header import BLANKS, split_quoted
from dialin.wire.params import TOKENCHAR

MAX_MESSAGE_BYTES: Final = 65535
"""The largest UDP datagram; a stream gets no more."""
MAX_START_LINE_BYTES: Final = 8192
"""Longer than any request-URI that a trunk sends."""
MAX_HEADER_BYTES: Final = 16384
"""One header value, unfolded: real Identity and Diversion values exceed 8 KiB."""
MAX_HEADERS: Final = 128
"""Header lines, Content-Length not counted; a request through 30 proxies has about 90."""

CONTENT_LENGTH: Final = "Content-Length"
EMPTY_LINE: Final = b"\r\n\r\n"

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

_FOLD = re.compile(rb"\r\n[ \t]+")
# A CR or LF by itself ends a line for some readers: it must reach them by no echo of ours.
_LINE = re.compile(rf"({TOKENCHAR}++)[ \t]*+:[ \t]*+([^\r\n]*+)".encode())
_NUMBER = re.compile(r"[0-9]{1,10}")
_ANSWERABLE = re.compile(rf"({TOKENCHAR}+) .* SIP/[0-9]+\.[0-9]+", re.IGNORECASE | re.ASCII)


class MalformedMessage(PeerError):
    """These octets are no SIP message that may be acted upon."""

    def __init__(
        self, reason: str, status: int | None = None, request_like: Headers | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        """What is wrong, in our words: fit for a log and for a reason phrase (RFC 3261 §21.4.1)."""
        self.status = status
        """The status to answer with; None for what must not be answered."""
        self.request_like = request_like
        """The headers that an answer copies, as far as they came; None without a status."""


def header_key(name: str) -> str:
    """What a header is looked up by: its name in lower case, compact forms resolved."""
    lower = name.lower()
    return _COMPACT.get(lower, lower)


def text_of(octets: bytes) -> str:
    """Octets as text from which `octets_of` makes the same octets, whatever they were."""
    return octets.decode("utf-8", "surrogateescape")


def octets_of(text: str) -> bytes:
    """The octets that `text_of` made this text from."""
    return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Headers:
    """An ordered, frozen list of header lines. PEER-CONTROLLED when parsed.

    Names compare without case, and a compact form equals its long form (RFC 3261 §7.3.3).
    """

    fields: tuple[tuple[str, str], ...] = ()
    """(name, value): names as written, values unfolded and without outer blanks, else verbatim."""
    _keys: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The key of each line, so that a look-up compares and does not compute."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keys", tuple([header_key(name) for name, _ in self.fields]))

    def get(self, name: str) -> str | None:
        """The value of the first line of that name."""
        key = header_key(name)
        return self.fields[self._keys.index(key)][1] if key in self._keys else None

    def all(self, name: str) -> tuple[str, ...]:
        """The value of each line of that name."""
        key = header_key(name)
        return tuple(value for (_, value), held in self._pairs() if held == key)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a comma-separated header (§7.3.1) over all its lines, less empty ones."""
        return tuple(v for line in self.all(name) for v in split_quoted(line, ",") if v)

    def count(self, name: str) -> int:
        """How many lines of that name there are."""
        return self._keys.count(header_key(name))

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
        first = self._keys.index(header_key(name))
        behind = Headers(self.fields[first + 1 :]).without(name)
        return Headers((*self.fields[:first], (name, value), *behind.fields))

    def without(self, name: str) -> Headers:
        """No line of that name."""
        key = header_key(name)
        return Headers(tuple(line for line, held in self._pairs() if held != key))

    def __contains__(self, name: str) -> bool:
        return header_key(name) in self._keys

    def __repr__(self) -> str:
        return f"Headers({', '.join(name for name, _ in self.fields)})"  # values may hold numbers

    def _pairs(self) -> zip[tuple[tuple[str, str], str]]:
        return zip(self.fields, self._keys, strict=True)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message cut into its parts, before anything is known about the parts."""

    start_line: str
    """The first line, without blanks at its end: they mean nothing at the end of any line."""
    headers: Headers
    """The lines that could be read, Content-Length left out."""
    lengths: tuple[str, ...]
    """The values of all Content-Length lines."""
    rest: bytes
    """What follows the empty line."""
    fault: MalformedMessage | None
    """What was wrong with the cutting itself."""

    @classmethod
    def read(cls, data: bytes) -> Draft:
        """Cut a message. Total: a fault is kept, and the rest read for whoever has to answer it."""
        # §7.5: CRLFs before the start line are to be ignored.
        head, empty_line, rest = data[:MAX_MESSAGE_BYTES].lstrip(b"\r\n").partition(EMPTY_LINE)
        start, _, block = head.partition(b"\r\n")
        # §7.3.1: a line that begins with a blank goes on with the line before. The start line is
        # no header and cannot be gone on with.
        lines = _FOLD.sub(b" ", block).split(b"\r\n") if block else []
        fault = _outer_fault(data, empty_line, start)
        fields: list[tuple[str, str]] = []
        lengths: list[str] = []
        # Two lines beyond the limit: a message that has them has too many headers, or two lengths.
        for line in lines[: MAX_HEADERS + 2]:
            try:
                name, value = _read_line(line)
            except MalformedMessage as error:
                fault = fault or error
                continue
            if header_key(name) == "content-length":
                lengths.append(value)
            else:
                fields.append((name, value))
        if len(fields) > MAX_HEADERS:
            fault = fault or MalformedMessage("Too many headers", 400)
        start_line = text_of(start).rstrip(BLANKS)
        return cls(start_line, Headers(tuple(fields)), tuple(lengths), rest, fault)

    def length(self) -> int | None:
        """The Content-Length, None where there is none. Raises MalformedMessage."""
        if self.fault is not None:
            raise self.fault
        if not self.lengths:
            return None
        # Of two lengths, even of two equal ones, another reader may take the other.
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
        if length > len(self.rest):  # §18.3: a datagram that was cut short
            raise MalformedMessage("Content-Length beyond the end of the message", 400)
        return self.rest[:length]

    def refusal(self, fault: MalformedMessage) -> MalformedMessage:
        """The fault as the peer is to hear of it: with headers to copy, or with no status."""
        match = _ANSWERABLE.fullmatch(self.start_line)
        # §17.1.1.3: an ACK is never answered; §8.2.6.2: without a Via there is no way back.
        if match is None or match[1] == "ACK" or "Via" not in self.headers:
            return MalformedMessage(fault.reason)
        copied = [("Via", value) for value in self.headers.all("Via")]
        for name in ("From", "To", "Call-ID", "CSeq"):
            value = self.headers.get(name)
            if value is not None:
                copied.append((name, value))
        return MalformedMessage(fault.reason, fault.status, Headers(tuple(copied)))


def _read_line(line: bytes) -> tuple[str, str]:
    """Name and value of one header line. Raises MalformedMessage."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise MalformedMessage("Malformed header line", 400)
    name, value = match.groups()
    value = value.rstrip(b" \t")
    if len(value) > MAX_HEADER_BYTES:
        raise MalformedMessage("Header too long", 400)
    return name.decode("ascii"), text_of(value)


def _outer_fault(data: bytes, empty_line: bytes, start: bytes) -> MalformedMessage | None:
    """The first thing that is wrong with the outer form of a message."""
    if len(data) > MAX_MESSAGE_BYTES:
        return MalformedMessage("Message too large", 513)
    if not empty_line:
        return MalformedMessage("No empty line after the headers", 400)
    if len(start) > MAX_START_LINE_BYTES:
        return MalformedMessage("Start line too long", 414)
    return None


def message_length(head: bytes) -> int:
    """How long the message is that begins with this head, empty line included (§18.3).

    Raises MalformedMessage where no Content-Length says so, or none that all would agree upon.
    """
    draft = Draft.read(head)
    try:
        length = draft.length()
    except MalformedMessage as fault:
        raise draft.refusal(fault) from fault
    if length is None:
        raise draft.refusal(MalformedMessage("Missing Content-Length", 400))
    if len(head) + length > MAX_MESSAGE_BYTES:
        raise draft.refusal(MalformedMessage("Message too large", 513))
    return len(head) + length
