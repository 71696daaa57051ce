# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages for the tests of transactions and dialogs, written as text and read by the parser."""

from __future__ import annotations

from dialin.wire.flow import Flow
from dialin.wire.message import Message, Request, Response, parse
from dialin.wire.message import response_to as _response_to

UDP = Flow("UDP", "192.0.2.1", 5060)
TCP = Flow("TCP", "192.0.2.1", 5060, connection=7)

BRANCH = "z9hG4bK.6f2a"
CALL_ID = "a84b4c76e66710@192.0.2.1"


def request(
    method: str = "INVITE",
    *,
    uri: str = "sip:bridge@198.51.100.7",
    sent_by: str = "192.0.2.1:5060",
    branch: str | None = BRANCH,
    via_params: str = "",
    from_: str = "<sip:caller@192.0.2.1>;tag=from1",
    to: str = "<sip:bridge@198.51.100.7>",
    call_id: str = CALL_ID,
    cseq: int = 1,
    extra: tuple[str, ...] = (),
) -> Request:
    """A request; what a test cares about is an argument."""
    via = f"SIP/2.0/UDP {sent_by}{via_params}" + (f";branch={branch}" if branch else "")
    message = _read(
        f"{method} {uri} SIP/2.0",
        f"Via: {via}",
        "Max-Forwards: 70",
        f"From: {from_}",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *extra,
    )
    assert isinstance(message, Request)
    return message


def response(
    to: Request,
    status: int,
    *,
    to_tag: str | None = "to1",
    extra: tuple[tuple[str, str], ...] = (),
) -> Response:
    """A response, having gone over the wire."""
    message = parse(bytes(_response_to(to, status, to_tag=to_tag, headers=extra)))
    assert isinstance(message, Response)
    return message


def ack(
    invite: Request, *, to_tag: str | None = "to1", branch: str | None = BRANCH, cseq: int = 1
) -> Request:
    """An ACK; with the INVITE's branch, as for a refusal, unless another is given."""
    to = invite.headers.all("To")[0] + (f";tag={to_tag}" if to_tag else "")
    return request("ACK", uri=invite.uri, to=to, branch=branch, cseq=cseq)


def _read(*lines: str) -> Message:
    return parse("\r\n".join((*lines, "", "")).encode())
