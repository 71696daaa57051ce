# SPDX-License-Identifier: GPL-3.0-or-later
"""A registrar's challenges and answers, written out; nothing of the code under test builds them."""

from __future__ import annotations

from collections.abc import Sequence

from dialin.wire.agent_events import LocalAddress
from dialin.wire.flow import Flow
from dialin.wire.message import Request, Response, parse
from tests.wire.peers import Lines, answer_to

REGISTRAR = Flow("UDP", "192.0.2.20", 5060)
TWIN = Flow("UDP", "192.0.2.21", 5060)
ROGUE = Flow("UDP", "203.0.113.66", 5060)
HERE = LocalAddress("UDP", "198.51.100.1", 5060)
REALM = "provider.example"
PASSWORD = "canary-Xq7Lw2Vb9Zr4"


def digest(
    nonce: str = "n1",
    *,
    algorithms: Sequence[str] = ("MD5",),
    realm: str = REALM,
    stale: bool = False,
    name: str = "WWW-Authenticate",
) -> Lines:
    """Challenges, a header line each."""
    more = ", stale=TRUE" if stale else ""
    return [
        (
            name,
            f'Digest realm="{realm}", nonce="{nonce}", algorithm={algorithm}, qop="auth"{more}',
        )
        for algorithm in algorithms
    ]


def response(request: Request, status: int, lines: Lines = ()) -> Response:
    """A registrar's response, read from its octets."""
    read = parse(answer_to(request, status, lines))
    assert isinstance(read, Response)
    return read
