# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that several tests start from. Numbers are canaries, hosts are documentation's."""

from __future__ import annotations

from collections.abc import Callable

SDP = (
    b"v=0\r\n"
    b"o=- 1718 2 IN IP4 192.0.2.70\r\n"
    b"s=-\r\n"
    b"c=IN IP4 192.0.2.70\r\n"
    b"t=0 0\r\n"
    b"m=audio 17354 RTP/AVP 8 0 101\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
)

INVITE_LINES = (
    "INVITE sip:+493012345678@198.51.100.20;transport=udp SIP/2.0",
    "Via: SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKnmt9v1ab0tq;rport",
    "Via: SIP/2.0/TCP 192.0.2.90;received=192.0.2.91;branch=z9hG4bK-5/e+1%",
    "Record-Route: <sip:192.0.2.66;lr;ftag=SDe5rqv01>",
    "Max-Forwards: 66",
    'From: "Canary" <sip:+4915738620594@trunk.example.net>;tag=SDe5rqv01',
    "To: <sip:+493012345678@trunk.example.net;user=phone>",
    "Call-ID: SDe5rqv01-6a1c9f4d@192.0.2.66",
    "CSeq: 1 INVITE",
    "Contact: <sip:+4915738620594@192.0.2.66:5060;transport=udp>",
    "Content-Type: application/sdp",
)
"""A provider's INVITE, as `message` takes its lines."""


def message(*lines: str, body: bytes = b"", length: int | None = None) -> bytes:
    """Octets of a message with a Content-Length: the right one unless another is given."""
    length = len(body) if length is None else length
    head = "\r\n".join((*lines, f"Content-Length: {length}", "", ""))
    return head.encode("utf-8", "surrogateescape") + body


def invite(*, without: str = "", add: tuple[str, ...] = (), body: bytes = SDP) -> bytes:
    """The INVITE less the lines that begin with `without`, and with others at its end."""
    kept = [line for line in INVITE_LINES if not without or not line.startswith(without)]
    return message(*kept, *add, body=body)


GROWING: dict[str, Callable[[int], bytes]] = {
    "one long value": lambda n: b"X: " + b"a" * n,
    "blanks in a value": lambda n: b"X: a" + b" " * n + b"a",
    "blanks around a name": lambda n: b"X" + b" " * n + b"a: b",
    "folds": lambda n: b"X: a" + b"\r\n a" * (n // 4),
    "unclosed quote": lambda n: b'Contact: "' + b"\\a" * (n // 2),
    "quotes": lambda n: b"Contact: " + b'"' * n,
    "unclosed brackets": lambda n: b"Contact: " + b"<" * n,
    "addresses": lambda n: b"Contact: <sip:a@b>" + b",<sip:a@b>" * (n // 10),
    "parameters": lambda n: b"Contact: <sip:a@b>" + b"".join(b";p%d" % i for i in range(n // 6)),
    "semicolons": lambda n: b"Contact: <sip:a@b>" + b" ;" * (n // 2),
    "blanks in parameters": lambda n: b"Contact: <sip:a@b>;a" + b" " * n + b"b",
    "blanks in a Via": lambda n: b"Via: SIP" + b" " * (n // 2) + b"/" + b" " * (n // 2),
    "colons in a Via": lambda n: b"Via: SIP/2.0/UDP [" + b":" * n,
    "zeros": lambda n: b"Max-Forwards: " + b"0" * n,
    "digits of a CSeq": lambda n: b"CSeq: " + b"1" * n,
    "header lines": lambda n: b"\r\n".join([b"X: " + b"a" * (n // 100)] * 100),
}
"""Header lines of about n octets, each of a kind that a parser may go over again and again."""
