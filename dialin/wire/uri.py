# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966), and any other scheme as opaque text.

Values only: `parse` and `str` are a round trip. Comparison by the rules of §19.1.4, resolving and
the meaning of a phone number are left to others. Every part of a parsed URI is PEER-CONTROLLED,
and its user part may be a phone number: `repr` hides it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from dialin.errors import PeerError
from dialin.wire.params import NO_PARAMS, Params

# What cannot stand in any URI part: controls, blanks, and the delimiters of headers.
_PLAIN = r"[^\x00-\x20\x7f<>\"@:%]"
_ESCAPE = r"%[0-9A-Fa-f]{2}"

HOST = r"\[(?P<ipv6>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|(?P<name>[A-Za-z0-9._\-]+)"
"""RFC 3261 §25.1 host. Colons are not counted: RFC 5118 §4.10 asks to bear `:::`."""

MAX_PORT = 65535

_SIP = re.compile(
    rf"(?:(?P<user>(?:{_PLAIN}|{_ESCAPE})++)(?::(?P<password>(?:{_PLAIN}|{_ESCAPE})*+))?@)?"
    rf"(?:{HOST})(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<params>(?:;[^\x00-\x20\x7f<>\"@?]*)?)"
    r"(?:\?(?P<headers>[^\x00-\x20\x7f<>\"@]*))?"
)
_TEL = re.compile(r"((?:\+|%2[Bb])?[0-9A-Fa-f*#.()\-]+)((?:;[^\x00-\x20\x7f<>\"?]*)?)")
_OTHER = re.compile(r"[^\x00-\x20\x7f<>\"]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_ESCAPED_UNRESERVED = re.compile(
    r"%(2[1AaDdEe789]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])"
)


class MalformedUri(PeerError):
    """A URI does not follow its grammar. The text never repeats the URI."""


@dataclass(frozen=True, slots=True)
class SipUri:
    """A SIP or SIPS URI (RFC 3261 §19.1.1). PEER-CONTROLLED when parsed."""

    scheme: str
    """"sip" or "sips", in lower case."""
    user: str | None
    """The user part as written, still escaped; None where there is no "@"."""
    password: str | None
    """The password part as written; None where there is none."""
    host: str
    """Name or address as written, IPv6 without its brackets."""
    port: int | None = None
    """The port, None where none is written."""
    params: Params = NO_PARAMS
    """URI parameters, escapes of unreserved characters resolved (`%6C%72` is `lr`)."""
    headers: str = ""
    """What follows "?", as written."""

    @classmethod
    def parse(cls, text: str) -> SipUri:
        """Read a SIP or SIPS URI. Raises MalformedUri."""
        scheme, colon, rest = text.partition(":")
        scheme = scheme.lower()
        match = _SIP.fullmatch(rest)
        if not colon or scheme not in ("sip", "sips") or match is None:
            raise MalformedUri("not a SIP URI")
        user, password, ipv6, name, port, params, headers = match.groups()
        if port is not None and int(port) > MAX_PORT:
            raise MalformedUri("a port above 65535")
        return cls(
            scheme=scheme,
            user=user,
            password=password,
            host=name if ipv6 is None else ipv6,
            port=None if port is None else int(port),
            params=_read_params(params),
            headers=headers or "",
        )

    @property
    def user_text(self) -> str:
        """The user part with its escapes resolved, "" for none. May hold any character."""
        return unquote(self.user or "", errors="surrogateescape")

    @property
    def transport(self) -> str | None:
        """The transport parameter in upper case: peers write both `udp` and `UDP`."""
        value = self.params.get("transport")
        return None if value is None else value.upper()

    def __str__(self) -> str:
        password = "" if self.password is None else f":{self.password}"
        user = "" if self.user is None else f"{self.user}{password}@"
        host = bracketed(self.host)
        port = "" if self.port is None else f":{self.port}"
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{host}{port}{_write_params(self.params)}{headers}"

    def __repr__(self) -> str:
        user = "" if self.user is None else "…@"
        port = "" if self.port is None else f":{self.port}"
        return f"SipUri({self.scheme}:{user}{self.host}{port})"


@dataclass(frozen=True, slots=True)
class TelUri:
    """A telephone URI (RFC 3966). PEER-CONTROLLED when parsed."""

    number: str
    """The number as written, separators included; only an escaped `+` is resolved."""
    params: Params = NO_PARAMS
    """`phone-context`, `ext`, `verstat` and the like."""

    @classmethod
    def parse(cls, text: str) -> TelUri:
        """Read a tel URI. Raises MalformedUri."""
        scheme, _, rest = text.partition(":")
        match = _TEL.fullmatch(rest)
        if scheme.lower() != "tel" or match is None:
            raise MalformedUri("not a tel URI")
        # RFC 3966 §3 has no escapes here, yet peers that escape a SIP user escape the "+" of this.
        return cls(match[1].replace("%2B", "+").replace("%2b", "+"), _read_params(match[2]))

    def __str__(self) -> str:
        return f"tel:{self.number}{_write_params(self.params)}"

    def __repr__(self) -> str:
        return "TelUri(…)"


@dataclass(frozen=True, slots=True)
class OtherUri:
    """A URI of a scheme that calls are not placed with. PEER-CONTROLLED when parsed."""

    scheme: str
    """The scheme in lower case."""
    rest: str
    """Everything behind the colon, as written."""

    @classmethod
    def parse(cls, text: str) -> OtherUri:
        """Read a URI of any scheme but sip, sips and tel. Raises MalformedUri."""
        scheme, _, rest = text.partition(":")
        scheme = scheme.lower() if _SCHEME.fullmatch(scheme) else ""
        if scheme in ("", "sip", "sips", "tel") or not _OTHER.fullmatch(rest):
            raise MalformedUri("not a URI")
        return cls(scheme, rest)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"

    def __repr__(self) -> str:
        return f"OtherUri({self.scheme}:…)"


Uri = SipUri | TelUri | OtherUri


def parse_uri(text: str) -> Uri:
    """Read a URI of any scheme. Raises MalformedUri."""
    scheme = text.partition(":")[0].lower()
    if scheme in ("sip", "sips"):
        return SipUri.parse(text)
    if scheme == "tel":
        return TelUri.parse(text)
    return OtherUri.parse(text)


def bracketed(host: str) -> str:
    """A host as URIs and Vias write it: an IPv6 address in brackets (RFC 3261 §25.1)."""
    return f"[{host}]" if ":" in host else host


def _read_params(text: str) -> Params:
    """Read `;a=b;c` in the URI form; of two parameters of one name the first counts."""
    if not text:
        return Params()
    items: list[tuple[str, str | None]] = []
    for item in _unescape_unreserved(text)[1:].split(";"):
        name, equals, value = item.partition("=")
        if not name or (equals and not value):
            raise MalformedUri("a URI parameter is malformed")
        items.append((name, value if equals else None))
    return Params(tuple(items))


def _write_params(params: Params) -> str:
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params)


def _unescape_unreserved(text: str) -> str:
    """RFC 3261 §19.1.4: an escaped unreserved character equals the character itself."""
    return _ESCAPED_UNRESERVED.sub(lambda escape: chr(int(escape[1], 16)), text)
