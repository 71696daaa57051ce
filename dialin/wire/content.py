# SPDX-License-Identifier: GPL-3.0-or-later
"""What the body of a SIP message holds: a session description, or a key press in an INFO.

Finding the right octets is all that happens here. What the session description says is the
business of `dialin.wire.sdp`; everything returned was written by the peer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dialin.errors import PeerError
from dialin.wire.message import Message, Request

SDP = "application/sdp"
DTMF_RELAY = "application/dtmf-relay"
KEY_MS = 160
"""How long a key is said to have been down; nobody who takes INFO goes by it."""
MAX_PARTS = 16
"""Parts of a multipart body that are looked at. Trunks send two or three (SDP, ISUP, XML)."""

_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_PART_TYPE = re.compile(rb"^(?:content-type|c)[ \t]*:[ \t]*([^\s;]+)", re.IGNORECASE | re.MULTILINE)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_OPTIONAL = re.compile(r";\s*handling\s*=\s*optional\b", re.IGNORECASE)
_SIGNAL = re.compile(rb"^\s*signal\s*=\s*(\S+)\s*$", re.IGNORECASE | re.MULTILINE)
_KEY_NAMES = {"10": "*", "11": "#"} | {key: key for key in "0123456789*#ABCD"}
"""Some gateways number the star 10 and the hash 11, as RFC 4733 does."""


class UnsupportedContent(PeerError):
    """A body that has to be understood and is not: 415, with the header that says what would be."""

    def __init__(self, header: str, value: str) -> None:
        super().__init__(f"the body is not {value}")
        self.header = (header, value)
        """`Accept` or `Accept-Encoding`, as RFC 3261 §21.4.13 wants it in the 415."""


def session_description(message: Message) -> bytes | None:
    """The SDP in a message, or None when there is none: an INVITE without one asks for our offer.

    Raises UnsupportedContent for any other body, unless its sender calls it optional
    (RFC 3261 §8.2.3).
    """
    if not message.body.strip():
        return None
    encoding = message.headers.get("Content-Encoding")
    if encoding and encoding.lower() != "identity":
        raise UnsupportedContent("Accept-Encoding", "identity")
    if message.content_type == SDP:
        return message.body
    for kind, content in _parts(message):
        if kind == SDP:
            return content
    if _OPTIONAL.search(message.headers.get("Content-Disposition") or ""):
        return None
    raise UnsupportedContent("Accept", SDP)


def _parts(message: Message) -> Iterator[tuple[str, bytes]]:
    """Type and content of each part of a multipart body (RFC 2046 §5.1), nested ones unopened."""
    boundary = _BOUNDARY.search(message.headers.get("Content-Type") or "")
    if boundary is None or not (message.content_type or "").startswith("multipart/"):
        return
    mark = (boundary[1] or boundary[2]).encode("utf-8", "surrogateescape")
    delimiter = re.compile(rb"(?:^|\r?\n)--" + re.escape(mark) + rb"(?:--)?[ \t]*(?:\r?\n|$)")
    for part in delimiter.split(message.body, MAX_PARTS + 1)[1 : MAX_PARTS + 1]:
        head, *content = _BLANK_LINE.split(part, 1)
        kind = _PART_TYPE.search(head)
        if kind and content:
            yield kind[1].decode("ascii", "replace").lower(), content[0]


def key_report(key: str) -> tuple[str, bytes]:
    """Type and body of an INFO that reports one key, which FreeSWITCH takes (mod_sofia.c)."""
    return DTMF_RELAY, f"Signal={key}\r\nDuration={KEY_MS}\r\n".encode()


def key_pressed(request: Request) -> str | None:
    """The key that an INFO reports, or None when its body reports none. Never logged.

    No RFC describes these two types; the first is Cisco's, the second is a bare key.
    """
    match request.content_type:
        case "application/dtmf-relay":
            signal = _SIGNAL.search(request.body)
            written = signal[1] if signal else b""
        case "application/dtmf":
            written = request.body.strip()
        case _:
            return None
    return _KEY_NAMES.get(written.decode("ascii", "replace").upper())
