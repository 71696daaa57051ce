# SPDX-License-Identifier: GPL-3.0-or-later
"""The header values that calls are built on: Via, addresses (From, To, Contact …) and CSeq.

Values only: `parse` and `str` are a round trip, and a list of values reads back as the same list.
Which header holds what, and what must be echoed as it came, is left to `message`; digest
challenges are left to `digest`. Everything parsed here is PEER-CONTROLLED.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from dialin.wire.params import (
    NO_PARAMS,
    QUOTED,
    TOKENCHAR,
    MalformedHeader,
    Params,
    quote,
    rewritten,
    unquote,
)
from dialin.wire.uri import HOST, MAX_PORT, Uri, bracketed, parse_uri

__all__ = ["Address", "CSeq", "MalformedHeader", "Params", "Via", "split_quoted"]

BLANKS = " \t"
"""What remains of LWS once a header is unfolded (RFC 3261 §7.3.1)."""

MAX_VALUES = 64
"""Values in all lines of one name: RFC 4475 has 34 Vias, and each costs time."""

MAX_CSEQ = 2**31 - 1
"""RFC 3261 §8.1.1.5: a sequence number is below 2**31."""

_VIA = re.compile(
    rf"[ \t]*SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*(?P<transport>{TOKENCHAR}+)[ \t]+"
    rf"(?:{HOST})[ \t]*(?::[ \t]*(?P<port>[0-9]{{1,5}}))?[ \t]*",
    re.IGNORECASE | re.ASCII,
)
_CSEQ = re.compile(rf"([0-9]{{1,20}})[ \t]+({TOKENCHAR}+)")
_QUOTED_DISPLAY = re.compile(rf"({QUOTED})[ \t]*<", re.DOTALL)
_BARE_DISPLAY = re.compile(r"[^<>\"]*")
_ADDR_SPEC = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\x00-\x20\x7f<>\"]+")


def split_quoted(value: str, sep: str) -> list[str]:
    """Cut a value at each `sep` that stands outside quotes and angle brackets; blanks trimmed.

    Total: a quote or bracket that is never closed reaches to the end, for the parser of the piece
    to refuse.
    """
    if '"' not in value and "<" not in value:  # a Via: three times as fast
        return [piece.strip(BLANKS) for piece in value.split(sep)]
    pieces = []
    start = 0
    for match in _delimiters(sep).finditer(value):
        if match[0] == sep:
            pieces.append(value[start : match.start()].strip(BLANKS))
            start = match.end()
    pieces.append(value[start:].strip(BLANKS))
    return pieces


def _pieces(values: Iterable[str]) -> list[str]:
    """The comma-separated values of all lines of one name. Raises MalformedHeader."""
    pieces = [piece for value in values for piece in split_quoted(value, ",")]
    if len(pieces) > MAX_VALUES:
        raise MalformedHeader("too many values")
    return pieces


@lru_cache(maxsize=8)
def _delimiters(sep: str) -> re.Pattern[str]:
    """A quoted string, a bracketed URI, or the separator itself."""
    return re.compile(rf'"(?:[^"\\]++|\\.?)*+"?|<[^>]*+>?|{re.escape(sep)}', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Via:
    """One hop of a request's way (RFC 3261 §20.42). PEER-CONTROLLED when parsed."""

    transport: str
    """The transport in upper case: UDP, TCP, TLS, or a name we do not know."""
    host: str
    """The sent-by host as written, IPv6 without its brackets."""
    port: int | None = None
    """The sent-by port, None where none is written."""
    params: Params = NO_PARAMS
    """branch, received, rport and whatever else came."""

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read one value. Raises MalformedHeader."""
        match = _VIA.match(text)
        if match is None:
            raise MalformedHeader("malformed")
        transport, ipv6, name, port = match.groups()
        if port is not None and int(port) > MAX_PORT:
            raise MalformedHeader("port above 65535")
        return cls(
            transport=transport.upper(),
            host=name if ipv6 is None else ipv6,
            port=None if port is None else int(port),
            params=Params.parse(text[match.end() :]),
        )

    @classmethod
    def parse_many(cls, values: Iterable[str]) -> tuple[Via, ...]:
        """Read all Via header lines, each of one or more values. Raises MalformedHeader."""
        return tuple(map(cls.parse, _pieces(values)))

    @classmethod
    def rewritten(cls, text: str, values: Mapping[str, str]) -> str:
        """A value as it was written, octet for octet, but for these parameters.

        Raises MalformedHeader.
        """
        match = _VIA.match(text)
        if match is None:
            raise MalformedHeader("malformed")
        return text[: match.end()] + rewritten(text[match.end() :], values)

    @property
    def branch(self) -> str | None:
        """The transaction's id, None from an RFC 2543 peer."""
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """The address the request was seen to come from, without brackets (RFC 5118 §4.5)."""
        value = self.params.get("received")
        return None if value is None else value.strip("[]")

    @property
    def rport(self) -> int | None:
        """The port the request was seen to come from (RFC 3581), None while only asked for."""
        value = self.params.get("rport") or ""
        is_port = value.isascii() and value.isdigit() and len(value) <= len(str(MAX_PORT))
        return int(value) if is_port and int(value) <= MAX_PORT else None

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {bracketed(self.host)}{port}{self.params}"


@dataclass(frozen=True, slots=True)
class Address:
    """A name-addr or addr-spec with its parameters (RFC 3261 §20.10): From, To, Contact, Route …

    PEER-CONTROLLED when parsed, and it may be a person's number: `repr` hides all but the tag.
    """

    display: str
    """The display name, unquoted; whatever the peer wrote, so fit for no decision and no page."""
    uri_text: str
    """The URI as written, without brackets."""
    params: Params = NO_PARAMS
    """Header parameters, those behind the bracket: tag, expires, verstat …"""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read one value. Raises MalformedHeader."""
        text = text.strip(BLANKS)
        if "<" not in text:
            return cls._parse_addr_spec(text)
        if text[0] == '"':
            # The quoted name comes first, so a `<sip:…>;tag=` inside it stays a name.
            match = _QUOTED_DISPLAY.match(text)
            if match is None:
                raise MalformedHeader("malformed display name")
            display, start = unquote(match[1]), match.end()
        else:
            start = text.index("<") + 1
            # RFC 3261 allows tokens only. A comma or dot without quotes (RFC 4475 §3.1.2.15) leaves
            # no doubt about where the name ends.
            display = text[: start - 1].rstrip(BLANKS)
            if not _BARE_DISPLAY.fullmatch(display):
                raise MalformedHeader("malformed display name")
        end = text.find(">", start)
        # Blanks inside the brackets (RFC 4475 §3.1.2.14) leave no doubt either.
        uri_text = text[start:end].strip(BLANKS)
        if end < 0 or not _ADDR_SPEC.fullmatch(uri_text):
            raise MalformedHeader("no proper URI in brackets")
        return cls(display, uri_text, Params.parse(text[end + 1 :]))

    @classmethod
    def _parse_addr_spec(cls, text: str) -> Address:
        """Read the form without brackets: each ";" behind the host starts a header parameter."""
        # RFC 3261 §20.10 wants brackets around a user part that holds ";"; some peers forget.
        at = text.find("@") if text[:3].lower() == "sip" else -1
        end = text.find(";", at + 1)
        uri_text = (text if end < 0 else text[:end]).rstrip(BLANKS)
        params = "" if end < 0 else text[end:]
        # §20.10: "," and "?" need the brackets. Without them nobody knows whose they are.
        if not _ADDR_SPEC.fullmatch(uri_text) or "?" in uri_text or "," in uri_text:
            raise MalformedHeader("malformed")
        return cls("", uri_text, Params.parse(params))

    @classmethod
    def parse_many(cls, values: Iterable[str]) -> tuple[Address, ...]:
        """Read all header lines of one name, each of one or more values. Raises MalformedHeader."""
        return tuple(map(cls.parse, _pieces(values)))

    @property
    def uri(self) -> Uri:
        """The URI, parsed. Raises MalformedUri: an address may hold a URI that nobody can read."""
        return parse_uri(self.uri_text)

    @property
    def tag(self) -> str | None:
        """The dialog tag (RFC 3261 §19.3), None where there is none."""
        return self.params.get("tag")

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self.uri_text}>{self.params}"

    def __repr__(self) -> str:
        return f"Address(…, tag={self.tag!r})"


@dataclass(frozen=True, slots=True)
class CSeq:
    """The sequence number and method of a request (RFC 3261 §20.16)."""

    number: int
    """0 to 2**31 - 1."""
    method: str
    """The method, which is case-sensitive."""

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Read one value. Raises MalformedHeader."""
        match = _CSEQ.fullmatch(text.strip(BLANKS))
        if match is None:
            raise MalformedHeader("malformed")
        number = int(match[1])
        if number > MAX_CSEQ:
            raise MalformedHeader("number too large")
        return cls(number, match[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
