# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzz target: SIP messages, as a datagram and as a stream.

Invariant: whatever octets arrive, reading a message, using all of it, answering it and writing it
again raises no exception but MalformedMessage, and what was written reads back as the same message.

Run with atheris (`pip install atheris`), a folder of seeds as its last argument:

    python -m tests.fuzz.message_target -max_len=65535 -max_total_time=600 CORPUS

Without it, `test_message_target.py` runs the same check over mutated seeds, with every test run.
"""

from __future__ import annotations

import importlib
import sys

from dialin.wire.framing import StreamFramer
from dialin.wire.head import MAX_HEADERS, MAX_MESSAGE_BYTES
from dialin.wire.message import (
    MalformedMessage,
    Message,
    Request,
    parse,
    respond_to_malformed,
    response_to,
)
from dialin.wire.uri import MalformedUri, SipUri, parse_uri

_GROWTH_BYTES = 4 * MAX_HEADERS
"""What writing may add: a blank behind each colon, and a Content-Length."""


def check(data: bytes) -> None:
    """Hold the invariant to these octets. Raises AssertionError, or what must never be raised."""
    as_datagram(data)
    as_stream(data, step=len(data) or 1)
    as_stream(data, step=7)


def as_datagram(data: bytes) -> None:
    """Read, use, answer and write one message."""
    try:
        message = parse(data)
    except MalformedMessage as error:
        refuse(error)
        return
    use(message)
    if len(data) + _GROWTH_BYTES <= MAX_MESSAGE_BYTES:
        assert parse(bytes(message)) == message


def refuse(error: MalformedMessage) -> None:
    """Answer what deserves an answer."""
    answer = respond_to_malformed(error, to_tag="tag")
    assert (answer is None) is (error.status is None)
    if answer is not None:
        bytes(answer)


def use(message: Message) -> None:
    """Read what the layers above read, and answer a request."""
    _ = message.via, message.vias, message.from_, message.to, message.call_id, message.cseq
    _ = message.contacts, message.content_type, repr(message)
    for name, _value in message.headers.fields:
        message.headers.values(name)
    for address in (message.from_, message.to, *message.contacts):
        use_uri(address.uri_text)
    if isinstance(message, Request):
        assert use_uri(message.uri)
        _ = message.max_forwards
        for status in (100, 180, 200, 404):
            bytes(response_to(message, status, to_tag="tag"))


def use_uri(text: str) -> bool:
    """Read a URI with all it says; whether it is one."""
    try:
        uri = parse_uri(text)
    except MalformedUri:
        return False
    assert parse_uri(str(uri)) == uri
    if isinstance(uri, SipUri):
        _ = uri.user_text, uri.transport
    return True


def as_stream(data: bytes, step: int) -> None:
    """Cut a stream that comes in steps; each piece is a message for `parse` to judge."""
    framer = StreamFramer()
    for at in range(0, len(data), step):
        try:
            pieces = framer.feed(data[at : at + step])
        except MalformedMessage:
            return
        for piece in pieces:
            if isinstance(piece, bytes):
                as_datagram(piece)


def main() -> None:
    """Hand the target to atheris."""
    atheris = importlib.import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
