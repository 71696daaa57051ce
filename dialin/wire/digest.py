# SPDX-License-Identifier: GPL-3.0-or-later
"""Digest access authentication: challenges, answers and the check of an answer.

RFC 7616 as RFC 3261 §22 and RFC 8760 use it: MD5, SHA-256 and SHA-512-256, qop `auth`, `auth-int`
or none. Left out: the `-sess` algorithms and `userhash`, which no server may demand of a client.
Whose challenge may be answered, how often, and where cnonces come from is the caller's business.

Realm, nonce and opaque are peer-controlled. Passwords are arguments only and never kept, and no
repr shows a user name, a nonce or a response.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from dialin.errors import PeerError


class MalformedChallenge(PeerError):
    """An authentication header that cannot be read."""


class Algorithm(StrEnum):
    """The hash functions, by their names on the wire (RFC 8760 §2.1)."""

    SHA_512_256 = "SHA-512-256"
    SHA_256 = "SHA-256"
    MD5 = "MD5"


_HASH_NAMES: Final = {
    Algorithm.SHA_512_256: "sha512_256",
    Algorithm.SHA_256: "sha256",
    Algorithm.MD5: "md5",
}

STRONGEST_FIRST: Final = tuple(
    algorithm for algorithm in Algorithm if _HASH_NAMES[algorithm] in hashlib.algorithms_available
)
"""What this machine can compute: SHA-512-256 comes from OpenSSL and may be absent."""

_KNOWN_QOP: Final = ("auth", "auth-int")

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
"""A token (RFC 3261 §25.1). Possessive, here and below: a hostile value is read once, not twice."""
_ITEM: Final = re.compile(
    rf"""
    (?:(?P<scheme>{_WORD})\s++)?             # a further challenge may begin after any comma
    (?P<name>{_WORD})\s*+=\s*+
    (?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<plain>[^\s,"]*+))
    [\s,]*+
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE: Final = re.compile(r'(["\\])')


@dataclass(frozen=True, slots=True)
class Challenge:
    """One Digest challenge of a 401 or 407 (RFC 7616 §3.3)."""

    realm: str
    """The protection space, without quotes and escapes."""
    nonce: str = field(repr=False)
    """What the server wants hashed in."""
    algorithm: Algorithm = Algorithm.MD5
    """The hash function; MD5 where the challenge names none."""
    algorithm_text: str | None = None
    """The algorithm as the server wrote it, for the echo; None where it wrote none."""
    qop: tuple[str, ...] = ()
    """Those of `auth` and `auth-int` that are offered; empty for a server older than qop."""
    opaque: str | None = field(default=None, repr=False)
    """To be returned unchanged."""
    stale: bool = False
    """The user name and password were right, only the nonce was too old."""

    def __str__(self) -> str:
        """The value of a WWW-Authenticate or Proxy-Authenticate header."""
        parts = [f"realm={_quote(self.realm)}", f"nonce={_quote(self.nonce)}"]
        if self.algorithm_text is not None:
            parts.append(f"algorithm={self.algorithm_text}")
        if self.qop:
            parts.append(f'qop="{",".join(self.qop)}"')
        if self.opaque is not None:
            parts.append(f"opaque={_quote(self.opaque)}")
        if self.stale:
            parts.append("stale=true")
        return "Digest " + ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One answer to a challenge (RFC 7616 §3.4)."""

    username: str = field(repr=False)
    """The account; often a phone number."""
    realm: str
    """As in the challenge."""
    nonce: str = field(repr=False)
    """As in the challenge."""
    uri: str = field(repr=False)
    """The Request-URI that is hashed in."""
    algorithm: Algorithm = Algorithm.MD5
    """The hash function."""
    algorithm_text: str | None = None
    """The algorithm as the challenge wrote it."""
    opaque: str | None = field(default=None, repr=False)
    """As in the challenge."""
    qop: str | None = None
    """`auth`, `auth-int`, or None towards a server that offers none."""
    cnonce: str = field(default="", repr=False)
    """The client's random part; unused without qop."""
    nc: str = ""
    """How often the nonce was used, eight hexadecimal digits; unused without qop."""
    response: str = field(default="", repr=False)
    """The hash that proves knowledge of the password."""

    def __str__(self) -> str:
        """The value of an Authorization or Proxy-Authorization header."""
        parts = [
            f"username={_quote(self.username)}",
            f"realm={_quote(self.realm)}",
            f"nonce={_quote(self.nonce)}",
            f"uri={_quote(self.uri)}",
            f'response="{self.response}"',
        ]
        if self.algorithm_text is not None:
            parts.append(f"algorithm={self.algorithm_text}")
        if self.opaque is not None:
            parts.append(f"opaque={_quote(self.opaque)}")
        if self.qop is not None:
            # Unlike the challenge's, these two are not quoted (RFC 7616 §3.4).
            parts += [f"qop={self.qop}", f"nc={self.nc}", f"cnonce={_quote(self.cnonce)}"]
        return "Digest " + ", ".join(parts)


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """The Digest challenges of all WWW- or Proxy-Authenticate headers, in the server's order.

    Other schemes and algorithms that cannot be computed here are left out, as a server may offer
    them beside one that can (RFC 7616 §3.3). Raises MalformedChallenge.
    """
    found = []
    for value in values:
        for scheme, parameters in _schemes(value):
            algorithm = _algorithm(parameters)
            if scheme == "digest" and algorithm is not None:
                found.append(_challenge(parameters, algorithm))
    return tuple(found)


def choose(
    challenges: Iterable[Challenge], *, allowed: Collection[Algorithm] = STRONGEST_FIRST
) -> Challenge | None:
    """The strongest of the challenges, or None.

    RFC 8760 §2.4 takes the server's topmost; an attacker who could reorder or add a challenge
    would then choose MD5, so strength decides here. `allowed` can rule out MD5.
    """
    usable = [challenge for challenge in challenges if challenge.algorithm in allowed]
    return min(usable, key=lambda one: STRONGEST_FIRST.index(one.algorithm), default=None)


def answer(
    challenge: Challenge,
    *,
    username: str,
    password: str,
    method: str,
    uri: str,
    body: bytes = b"",
    cnonce: str,
    nc: int,
) -> str:
    """The Authorization value that answers the challenge for one request.

    `nc` counts the requests sent with this nonce, from 1.
    """
    # `auth` first: a B2BUA on the way may rewrite the body, which `auth-int` would not survive.
    qop = next((known for known in _KNOWN_QOP if known in challenge.qop), None)
    credentials = Credentials(
        username=username,
        realm=challenge.realm,
        nonce=challenge.nonce,
        uri=uri,
        algorithm=challenge.algorithm,
        algorithm_text=challenge.algorithm_text,
        opaque=challenge.opaque,
        qop=qop,
        cnonce=cnonce if qop else "",
        nc=f"{nc:08x}" if qop else "",
    )
    return str(replace(credentials, response=_response(credentials, password, method, body)))


def parse_credentials(value: str) -> Credentials:
    """Read one Authorization or Proxy-Authorization value. Raises MalformedChallenge."""
    schemes = list(_schemes(value))
    if len(schemes) != 1 or schemes[0][0] != "digest":
        raise MalformedChallenge("not one Digest answer")
    parameters = schemes[0][1]
    algorithm = _algorithm(parameters)
    if algorithm is None:
        raise MalformedChallenge("an answer by an unknown algorithm")
    return Credentials(
        username=_required(parameters, "username"),
        realm=_required(parameters, "realm"),
        nonce=_required(parameters, "nonce"),
        uri=_required(parameters, "uri"),
        algorithm=algorithm,
        algorithm_text=parameters.get("algorithm"),
        opaque=parameters.get("opaque"),
        qop=parameters.get("qop"),
        cnonce=parameters.get("cnonce", ""),
        nc=parameters.get("nc", ""),
        response=_required(parameters, "response"),
    )


def verify(
    credentials: Credentials,
    challenge: Challenge,
    *,
    username: str,
    password: str,
    method: str,
    body: bytes = b"",
) -> bool:
    """Whether the credentials answer this very challenge with this account's password.

    The caller still decides whether `credentials.uri` is its own resource, and whether `nc` is
    new.
    """
    answers_it = (
        credentials.username == username
        and credentials.realm == challenge.realm
        and credentials.nonce == challenge.nonce
        and credentials.algorithm == challenge.algorithm
        and credentials.qop in (challenge.qop or (None,))
    )
    expected = _response(credentials, password, method, body)
    return hmac.compare_digest(_octets(expected), _octets(credentials.response)) and answers_it


def _response(credentials: Credentials, password: str, method: str, body: bytes) -> str:
    """The hash of RFC 7616 §3.4.1; without qop, that of RFC 2069."""

    def digest(*parts: str) -> str:
        return _hash(credentials.algorithm, _octets(":".join(parts)))

    a1 = digest(credentials.username, credentials.realm, password)
    if credentials.qop == "auth-int":
        a2 = digest(method, credentials.uri, _hash(credentials.algorithm, body))
    else:
        a2 = digest(method, credentials.uri)
    if credentials.qop is None:
        return digest(a1, credentials.nonce, a2)
    return digest(a1, credentials.nonce, credentials.nc, credentials.cnonce, credentials.qop, a2)


def _hash(algorithm: Algorithm, data: bytes) -> str:
    return hashlib.new(_HASH_NAMES[algorithm], data, usedforsecurity=False).hexdigest()


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _challenge(parameters: Mapping[str, str], algorithm: Algorithm) -> Challenge:
    offered = [option.strip().lower() for option in parameters.get("qop", "").split(",")]
    return Challenge(
        realm=_required(parameters, "realm"),
        nonce=_required(parameters, "nonce"),
        algorithm=algorithm,
        algorithm_text=parameters.get("algorithm"),
        # Options that nobody here knows are ignored (RFC 7616 §3.3).
        qop=tuple(known for known in _KNOWN_QOP if known in offered),
        opaque=parameters.get("opaque"),
        stale=parameters.get("stale", "").lower() == "true",
    )


def _algorithm(parameters: Mapping[str, str]) -> Algorithm | None:
    """The algorithm that is named, MD5 where none is, None where it cannot be computed."""
    name = parameters.get("algorithm", Algorithm.MD5).upper()
    return next((known for known in STRONGEST_FIRST if known == name), None)


def _required(parameters: Mapping[str, str], name: str) -> str:
    if name not in parameters:
        raise MalformedChallenge(f"no {name}")
    return parameters[name]


def _schemes(value: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each scheme of a header value, in lower case, with its parameters, unquoted.

    Several challenges may stand in one value (RFC 7616 §3.3), so a comma ends either a parameter
    or a challenge: only a word before the next parameter's name tells them apart.
    """
    scheme = ""
    parameters: dict[str, str] = {}
    position = len(value) - len(value.lstrip(" \t,"))
    while position < len(value):
        item = _ITEM.match(value, position)
        if item is None:
            raise MalformedChallenge("neither a scheme nor a parameter")
        if item["scheme"] is not None:
            if scheme:
                yield scheme, parameters
            scheme, parameters = item["scheme"].lower(), {}
        name = item["name"].lower()
        if not scheme or name in parameters:
            raise MalformedChallenge("a parameter without a scheme, or twice")
        quoted = item["quoted"]
        parameters[name] = item["plain"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        position = item.end()
    if not scheme:
        raise MalformedChallenge("empty")
    yield scheme, parameters


def _quote(text: str) -> str:
    return '"' + _TO_ESCAPE.sub(r"\\\1", text) + '"'
