# SPDX-License-Identifier: GPL-3.0-or-later
"""Session descriptions (SDP, RFC 8866) as values: read with tolerance, written strictly.

Kept are the lines that a call needs: o=, s=, c=, m= and a=. Everything here was written by a peer
and may hold its keys (a=crypto) or a phone number (o=), so representations leave the text out.
What to answer to an offer is in `sdp`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dialin.errors import PeerError

MAX_SDP_BYTES = 32 * 1024
"""Real offers stay below 8 KiB, WebRTC ones included."""
MAX_MEDIA = 16
"""A trunk sends one to three m= lines."""

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")

Attribute = tuple[str, str | None]


class MalformedSdp(PeerError):
    """A body that is not a session description, or one beyond the limits."""


class RtpMap(NamedTuple):
    """What a payload type number stands for (RFC 8866 §6.6)."""

    encoding: str
    """Upper-case; encoding names compare without case (RFC 4855 §3)."""
    clock_hz: int
    """The RTP clock."""
    channels: int
    """1 unless written."""


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One m= line and the lines below it. PEER-CONTROLLED."""

    kind: str
    """"audio", "video", "image", …"""
    port: int
    """0: refused, or switched off."""
    protocol: str
    """As written, e.g. RTP/AVP."""
    formats: tuple[str, ...]
    """Payload type numbers as text for RTP; at least one."""
    port_count: int = 1
    """From `port/count`: ports in a row."""
    connection: str | None = None
    """The host of this media's own c= line."""
    attributes: tuple[Attribute, ...] = field(default=(), repr=False)
    """Name and value of each a= line, in order."""

    def attribute(self, name: str) -> str | None:
        """The value of the first attribute of this name; "" for one without a value."""
        return _attribute(self.attributes, name)

    def values(self, name: str) -> tuple[str, ...]:
        """The values of all attributes of this name, in order."""
        return tuple(value or "" for other, value in self.attributes if other == name)

    @property
    def direction(self) -> Direction:
        """What this media's own lines say, "sendrecv" if nothing (RFC 3264 §5.1)."""
        return _direction(self.attributes) or "sendrecv"

    def rtpmap(self, payload_type: str) -> RtpMap | None:
        """What the description says the number stands for; None where it does not say."""
        value = self._of_format("rtpmap", payload_type)
        return None if value is None else _rtpmap(value)

    def fmtp(self, payload_type: str) -> str | None:
        """The parameters of a payload type, as written."""
        return self._of_format("fmtp", payload_type)

    def _of_format(self, name: str, payload_type: str) -> str | None:
        for other, value in self.attributes:
            if other == name and value is not None:
                number, _, rest = value.strip().partition(" ")
                if number == payload_type:
                    return rest.strip()
        return None


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """One SDP body. PEER-CONTROLLED, unless `sdp` built it."""

    origin: str = field(repr=False)
    """The value of o=. Its address says nothing of where media goes."""
    session_name: str = field(default="-", repr=False)
    """The value of s=."""
    connection: str | None = None
    """The host of the session's c= line, which holds where a media has none."""
    attributes: tuple[Attribute, ...] = field(default=(), repr=False)
    """The session's a= lines."""
    media: tuple[MediaDescription, ...] = ()
    """The m= lines, in order: an answer has as many (RFC 3264 §6)."""

    @classmethod
    def parse(cls, body: bytes) -> SessionDescription:
        """Read a body. Raises MalformedSdp, and nothing else, whatever the octets are."""
        if len(body) > MAX_SDP_BYTES:
            raise MalformedSdp("session description too long")
        lines = _lines(body.decode("utf-8", "surrogateescape"))
        if next(lines, None) != ("v", "0"):
            raise MalformedSdp("not a session description of version 0")
        return _collect(lines)

    def __bytes__(self) -> bytes:
        lines = ["v=0", f"o={self.origin}", f"s={self.session_name}"]
        lines += _connection_lines(self.connection)
        lines.append("t=0 0")
        lines += _attribute_lines(self.attributes)
        for media in self.media:
            lines += _media_lines(media)
        text = "".join(f"{line}\r\n" for line in lines)
        return text.encode("utf-8", "surrogateescape")

    def host_of(self, media: MediaDescription) -> str | None:
        """Where the media is expected: its own c= line, else the session's (RFC 8866 §5.7)."""
        return media.connection or self.connection

    def direction_of(self, media: MediaDescription) -> Direction:
        """The media's own direction, else the session's, else "sendrecv" (RFC 8866 §6.7)."""
        return _direction(media.attributes) or _direction(self.attributes) or "sendrecv"


# Reading


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Type and value of each line. CR, LF and CRLF end lines, and blank lines are passed over,
    against RFC 8866 §5 but as real peers send them."""
    for line in text.replace("\r", "\n").split("\n"):
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals or len(name.strip()) != 1:
            raise MalformedSdp("a line that is not type=value")
        yield name.strip(), value.strip()


def _collect(lines: Iterator[tuple[str, str]]) -> SessionDescription:
    origin, session_name = "", "-"
    session = _Section()
    sections: list[tuple[str, _Section]] = []
    current = session
    for name, value in lines:
        if name == "m":
            current = _Section()
            sections.append((value, current))
        elif name == "o":
            origin = value
        elif name == "s":
            session_name = value or "-"
        else:
            current.take(name, value)
    if len(sections) > MAX_MEDIA:
        raise MalformedSdp("too many m= lines")
    return SessionDescription(
        origin=origin,
        session_name=session_name,
        connection=session.connection,
        attributes=tuple(session.attributes),
        media=tuple(_media(line, section) for line, section in sections),
    )


class _Section:
    """What the lines of the session, or below one m= line, say."""

    def __init__(self) -> None:
        self.connection: str | None = None
        self.attributes: list[Attribute] = []

    def take(self, name: str, value: str) -> None:
        """Types without a use here, and unknown ones, are passed over (RFC 8866 §5 would have
        the whole description ignored for an unknown one: a call would be lost for a remark)."""
        if name == "a":
            key, colon, rest = value.partition(":")
            self.attributes.append((key, rest if colon else None))
        elif name == "c" and self.connection is None:  # of two in one section, the first
            self.connection = _connection(value)


def _connection(value: str) -> str:
    """`IN IP4 192.0.2.1/127` -> the host. Whether that is an address is asked where it is used."""
    parts = value.split()
    host = parts[2].partition("/")[0] if len(parts) == 3 else ""
    if not host:
        raise MalformedSdp("a c= line without network, address type and address")
    return host


def _media(line: str, section: _Section) -> MediaDescription:
    kind, port, protocol, formats = (*line.split(maxsplit=3), "", "", "", "")[:4]
    number, slash, ports = port.partition("/")
    if not formats:
        raise MalformedSdp("an m= line without a kind, port, protocol and format")
    return MediaDescription(
        kind=kind,
        port=_port(number),
        port_count=_port(ports) if slash else 1,
        protocol=protocol,
        formats=tuple(formats.split()),
        connection=section.connection,
        attributes=tuple(section.attributes),
    )


def _port(text: str) -> int:
    port = decimal(text)
    if port is None or port > 65535:
        raise MalformedSdp("a port that is none")
    return port


def _rtpmap(value: str) -> RtpMap | None:
    encoding, _, rest = value.partition("/")
    clock, _, channels = rest.partition("/")
    clock_hz, count = decimal(clock), decimal(channels or "1")
    if clock_hz is None or count is None:
        return None
    return RtpMap(encoding.strip().upper(), clock_hz, count)


def decimal(text: str) -> int | None:
    """A number of one to nine ASCII digits, as all that a description holds have; else None."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None


def _attribute(attributes: tuple[Attribute, ...], name: str) -> str | None:
    return next((value or "" for other, value in attributes if other == name), None)


def _direction(attributes: tuple[Attribute, ...]) -> Direction | None:
    names = {name for name, _ in attributes}
    return next((direction for direction in DIRECTIONS if direction in names), None)


# Writing


def _connection_lines(host: str | None) -> list[str]:
    return [] if host is None else [f"c=IN {'IP6' if ':' in host else 'IP4'} {host}"]


def _attribute_lines(attributes: tuple[Attribute, ...]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def _media_lines(media: MediaDescription) -> list[str]:
    count = "" if media.port_count == 1 else f"/{media.port_count}"
    formats = " ".join(media.formats)
    first = f"m={media.kind} {media.port}{count} {media.protocol} {formats}"
    return [first, *_connection_lines(media.connection), *_attribute_lines(media.attributes)]
