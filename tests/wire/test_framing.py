# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages in a byte stream: split, pipelined, between keep-alives, and broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.framing import KeepAlive, StreamFramer
from dialin.wire.head import MAX_MESSAGE_BYTES, MalformedMessage
from dialin.wire.message import parse, respond_to_malformed
from tests.wire.examples import INVITE_LINES, SDP, invite, message

INVITE = invite()
OPTIONS = message("OPTIONS sip:a SIP/2.0", "Via: SIP/2.0/TCP h;branch=z9hG4bK1")
ENDLESS = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nTo: a\r\n\r\n"  # no Content-Length


def feed_all(pieces: list[bytes]) -> list[bytes | KeepAlive]:
    framer = StreamFramer()
    return [whole for piece in pieces for whole in framer.feed(piece)]


def test_a_message_in_one_piece() -> None:
    framer = StreamFramer()
    assert framer.feed(INVITE) == [INVITE]
    assert framer.pending_bytes == 0
    assert parse(INVITE).body == SDP


def test_a_message_split_in_two_waits_for_its_end() -> None:
    framer = StreamFramer()
    assert framer.feed(INVITE[:-1]) == []
    assert framer.pending_bytes == len(INVITE) - 1
    assert framer.feed(INVITE[-1:]) == [INVITE]
    assert framer.pending_bytes == 0


def test_messages_that_are_pipelined_come_apart() -> None:
    assert feed_all([INVITE + OPTIONS + INVITE]) == [INVITE, OPTIONS, INVITE]


def test_how_octets_are_split_does_not_matter() -> None:
    stream = INVITE + b"\r\n\r\n" + OPTIONS + INVITE
    for size in range(1, 80):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        messages = [whole for whole in feed_all(pieces) if isinstance(whole, bytes)]
        assert messages == [INVITE, OPTIONS, INVITE]


@given(st.lists(st.sampled_from([INVITE, OPTIONS, b"\r\n", b"\r\n\r\n"])), st.data())
def test_any_stream_split_anywhere_gives_its_messages_and_its_pings(
    parts: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    ends = [*cuts, len(stream)]
    pieces = [stream[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    split, joined = feed_all(pieces), feed_all([stream])
    wanted = [part for part in parts if len(part) > 4]
    assert [whole for whole in split if isinstance(whole, bytes)] == wanted
    assert [whole for whole in joined if isinstance(whole, bytes)] == wanted
    assert (KeepAlive.PING in split) is (KeepAlive.PING in joined)


def test_a_body_may_hold_an_empty_line_and_a_start_line() -> None:
    tricky = message(*INVITE_LINES, body=b"\r\n\r\n" + OPTIONS)
    assert feed_all([tricky + OPTIONS]) == [tricky, OPTIONS]


def test_two_line_breaks_are_a_ping_and_one_is_a_pong() -> None:
    assert feed_all([b"\r\n\r\n"]) == [KeepAlive.PING]
    assert feed_all([b"\r\n"]) == [KeepAlive.PONG]


def test_a_flood_of_line_breaks_is_one_ping() -> None:
    assert feed_all([b"\r\n" * 3]) == [KeepAlive.PING]
    assert feed_all([b"\r\n" * 30_000 + OPTIONS]) == [KeepAlive.PING, OPTIONS]
    assert feed_all([b"\r\n", b"\r\n" * 3, b"\r\n"]) == [
        KeepAlive.PONG,
        KeepAlive.PING,
        KeepAlive.PONG,
    ]


def test_keep_alives_stand_between_messages() -> None:
    stream = [b"\r\n\r\n" + INVITE + b"\r\n", b"\r\n" + OPTIONS]
    assert feed_all(stream) == [KeepAlive.PING, INVITE, KeepAlive.PONG, KeepAlive.PING, OPTIONS]


def test_a_ping_that_comes_octet_by_octet_is_still_answered() -> None:
    assert feed_all([b"\r", b"\n", b"\r", b"\n"]) == [KeepAlive.PONG, KeepAlive.PING]


def test_half_a_line_break_is_kept_for_its_other_half() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r") == []
    assert framer.pending_bytes == 1
    assert framer.feed(b"\n") == [KeepAlive.PONG]


def test_a_message_parts_two_line_breaks() -> None:
    whole = feed_all([b"\r\n", OPTIONS, b"\r\n"])
    assert whole == [KeepAlive.PONG, OPTIONS, KeepAlive.PONG]


def test_feeding_nothing_changes_nothing() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n") == [KeepAlive.PONG]
    assert framer.feed(b"") == []
    assert framer.feed(b"\r\n") == [KeepAlive.PING]


def test_without_a_content_length_nobody_knows_where_the_next_message_begins() -> None:
    framer = StreamFramer()
    with pytest.raises(MalformedMessage) as caught:
        framer.feed(ENDLESS)
    assert caught.value.reason == "Missing Content-Length"
    answer = respond_to_malformed(caught.value)
    assert answer is not None
    assert answer.status == 400
    with pytest.raises(MalformedMessage, match="Missing Content-Length"):
        framer.feed(OPTIONS)


def test_what_came_whole_before_a_fault_is_not_lost() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n\r\n" + OPTIONS + ENDLESS) == [KeepAlive.PING, OPTIONS]
    assert framer.pending_bytes  # so the shell's deadline goes on running
    with pytest.raises(MalformedMessage, match="Missing Content-Length"):
        framer.feed(b"")


def test_a_head_that_does_not_end_is_refused_at_the_limit() -> None:
    framer = StreamFramer()
    start = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nX: "
    assert framer.feed(start + b"x" * (MAX_MESSAGE_BYTES - len(start))) == []
    with pytest.raises(MalformedMessage) as caught:
        framer.feed(b"x")
    assert (caught.value.reason, caught.value.status) == ("Message too large", 513)
    assert caught.value.request_like is not None


def test_a_message_of_the_largest_size_passes_and_a_larger_one_is_refused_by_its_head() -> None:
    head = b"OPTIONS sip:a SIP/2.0\r\nVia: b\r\nContent-Length: 65400\r\nX: "
    filler = MAX_MESSAGE_BYTES - 65400 - len(head) - len(b"\r\n\r\n")
    largest = head + b"x" * filler + b"\r\n\r\n"
    assert feed_all([largest, b"y" * 65400]) == [largest + b"y" * 65400]
    with pytest.raises(MalformedMessage, match="Message too large"):
        StreamFramer().feed(head + b"x" * (filler + 1) + b"\r\n\r\n")


@given(st.lists(st.binary() | st.sampled_from([b"\r\n\r\n", b"\r\nl:1\r\n", b"A", OPTIONS[:-2]])))
def test_framing_is_total(pieces: list[bytes]) -> None:
    framer = StreamFramer()
    for piece in pieces:
        try:
            framer.feed(piece)
        except MalformedMessage:
            break
