# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a provider's INVITE takes to parse, and whether the time stays linear.

Run: `python -m bench.parse`. The first table stands beside the standard library's e-mail parser,
which reads the same lines without checking any of them: a floor for what "just splitting headers"
costs in Python. The second doubles the input of each kind; a ratio above 2.2 is a fault.
Exit code 1 when a bar is missed. Figures of a busy machine mean nothing.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable
from email import message_from_bytes
from functools import partial
from time import process_time

from dialin.wire.message import MalformedMessage, parse
from tests.wire.examples import GROWING

BAR_US = 100.0
"""Microseconds an INVITE may take: 10,000 a second leave a flood without effect."""
BAR_DOUBLING = 2.2
"""How much longer twice the input may take."""

SDP = b"\r\n".join(
    (
        b"v=0",
        b"o=- 1718 2 IN IP4 192.0.2.70",
        b"s=-",
        b"c=IN IP4 192.0.2.70",
        b"t=0 0",
        b"m=audio 17354 RTP/AVP 9 8 0 101",
        b"a=rtpmap:9 G722/8000",
        b"a=rtpmap:8 PCMA/8000",
        b"a=rtpmap:0 PCMU/8000",
        b"a=rtpmap:101 telephone-event/8000",
        b"a=fmtp:101 0-16",
        b"a=ptime:20",
        b"a=sendrecv",
        b"",
    )
)

HEADERS = (
    b"INVITE sip:+493012345678@198.51.100.20:5060;transport=udp SIP/2.0",
    b"Via: SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKnmt9v1ab0tq0000000000;rport",
    b"Via: SIP/2.0/TCP 192.0.2.90;received=192.0.2.91;branch=z9hG4bK-524287-1---5e1",
    b"Record-Route: <sip:192.0.2.66;lr;ftag=SDe5rqv01>",
    b"Max-Forwards: 66",
    b'From: "+4915738620594" <sip:+4915738620594@trunk.example.net;user=phone>;tag=SDe5rqv01',
    b"To: <sip:+493012345678@trunk.example.net;user=phone>",
    b"Call-ID: SDe5rqv01-6a1c9f4d0d5f4b8e-v300g00@192.0.2.66",
    b"CSeq: 1 INVITE",
    b"Contact: <sip:+4915738620594@192.0.2.66:5060;transport=udp>",
    b'P-Asserted-Identity: "Canary" <sip:+4915738620594@trunk.example.net;user=phone>',
    b"Diversion: <sip:+493012345678@trunk.example.net>;reason=unconditional;counter=1",
    b"Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY",
    b"Supported: 100rel, timer, histinfo",
    b"Session-Expires: 1800;refresher=uac",
    b"Min-SE: 90",
    b"User-Agent: SBC 9.3.0",
    b"Accept: application/sdp, application/dtmf-relay",
    b"Privacy: none",
    b"Content-Disposition: session",
    b"Content-Type: application/sdp",
    b"Content-Length: %d" % len(SDP),
)

INVITE = b"\r\n".join(HEADERS) + b"\r\n\r\n" + SDP


def _best_us(call: Callable[[], object], number: int) -> float:
    return min(timeit.repeat(call, timer=process_time, number=number, repeat=9)) / number * 1e6


def _with_header(line: bytes) -> bytes:
    return INVITE.replace(b"Privacy: none", line, 1)


def _parse_quietly(data: bytes) -> None:
    try:
        parse(data)
    except MalformedMessage:
        return


def main() -> int:
    """Print the figures; say whether they are good."""
    ours = _best_us(lambda: parse(INVITE), 2000)
    floor = _best_us(lambda: message_from_bytes(INVITE.partition(b"\r\n")[2]), 1000)
    print(f"INVITE of {len(INVITE)} octets, {len(HEADERS) - 1} header lines, best of 9")
    print(f"  dialin.wire.message.parse  {ours:7.1f} us   bar {BAR_US:.0f} us")
    print(f"  email.message_from_bytes   {floor:7.1f} us   ratio {ours / floor:.2f}")
    good = ours <= BAR_US
    print(f"twice the input, bar {BAR_DOUBLING}")
    for name, grow in GROWING.items():
        single, double = (_with_header(grow(n)) for n in (8000, 16000))
        ratio = _best_us(partial(_parse_quietly, double), 200) / _best_us(
            partial(_parse_quietly, single), 200
        )
        print(f"  {name:22} x{ratio:.2f}")
        good = good and ratio <= BAR_DOUBLING
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
