# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service and a worker say to each other survives the way, and nothing else is taken."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dialin.events import Codec
from dialin.media.messages import (
    Answer,
    Command,
    LegSettings,
    Message,
    Play,
    Report,
    SendDigits,
    UnreadableMessage,
    decode,
    encode,
)
from dialin.wire.sdp import RemoteMedia

KINDS = [kind for union in (Command, Answer, Report) for kind in get_args(union)]


@given(st.one_of([st.from_type(kind) for kind in KINDS]))
def test_every_message_survives_the_way(message: Message) -> None:
    assume(b"NaN" not in encode(message))  # which is not equal to itself
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"type": "Nothing"}',
        b'{"type": "Ping"}',
        b'{"type": "Ping", "request": "x"}',
        b'{"type": "Ping", "request": 1, "more": 2}',
        b'{"type": "Failed", "request": 1, "cause": "bad-mood"}',
        b'{"type": ["Ping"]}',
    ],
)
def test_whatever_else_comes_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        decode(data)


def test_a_message_too_long_for_the_other_end_is_not_sent() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode(Play(1, 1, ("x" * 70_000,), repeat=False))


def test_keys_are_shown_to_nobody() -> None:
    assert "#" not in repr(SendDigits(1, 1, "#"))


@pytest.mark.parametrize(
    ("direction", "sends"),
    [("sendrecv", True), ("recvonly", True), ("sendonly", False), ("inactive", False)],
)
def test_who_holds_us_is_sent_nothing(direction: str, sends: bool) -> None:
    remote = RemoteMedia("192.0.2.1", 4000, 4001, Codec.G722, 9, 101, direction, 20)  # type: ignore[arg-type]
    settings = LegSettings.toward(remote, in_band_digits=True)
    assert settings == LegSettings("192.0.2.1", 4000, 4001, Codec.G722, 9, 101, True, sends)
