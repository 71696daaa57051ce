# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies: SDP wherever it stands, and keys that come by INFO."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.content import MAX_PARTS, UnsupportedContent, key_pressed, session_description
from dialin.wire.message import Headers, Request, parse
from tests.wire.peers import OFFER, Caller

ISUP = b"\x01\x00\x49\x00\x00\x03\x02\x00\x0d\x0a\x0d\x0a--"


def with_body(body: bytes, kind: str, *lines: tuple[str, str]) -> Request:
    """An INVITE with this body."""
    message = parse(Caller().invite(body, lines=[("Content-Type", kind), *lines]))
    assert isinstance(message, Request)
    return message


def multipart(*parts: bytes, boundary: str = "unique-1") -> bytes:
    """Parts, each with its own headers, between boundaries."""
    mark = b"--" + boundary.encode()
    return b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


SDP_PART = b"Content-Type: application/sdp\r\n\r\n" + OFFER
ISUP_PART = b"Content-Type: application/isup;version=itu-t92+\r\n\r\n" + ISUP


@pytest.mark.parametrize(
    "kind",
    [
        "application/sdp",
        "Application/SDP",
        "application/sdp;charset=utf-8",
        "application/sdp ; charset=utf-8",
    ],
)
def test_sdp_is_sdp_however_its_type_is_written(kind: str) -> None:
    assert session_description(with_body(OFFER, kind)) == OFFER


@pytest.mark.parametrize("body", [b"", b"\r\n", b" \r\n\r\n"])
def test_an_empty_body_is_no_session_description(body: bytes) -> None:
    assert session_description(with_body(body, "application/sdp")) is None


@pytest.mark.parametrize(
    "kind", ['multipart/mixed; boundary="unique-1"', "Multipart/Mixed;BOUNDARY=unique-1"]
)
@pytest.mark.parametrize("parts", [(SDP_PART, ISUP_PART), (ISUP_PART, SDP_PART)])
def test_sdp_is_taken_out_of_a_multipart_body(kind: str, parts: tuple[bytes, ...]) -> None:
    assert session_description(with_body(multipart(*parts), kind)) == OFFER


def test_a_preamble_compact_part_headers_and_bare_line_feeds_do_no_harm() -> None:
    body = b"This is MIME.\n--b\nContent-ID: <1>\nc:application/sdp\n\n" + OFFER + b"\n--b--\nend"
    assert session_description(with_body(body, "multipart/mixed;boundary=b")) == OFFER


def test_a_part_without_type_or_without_content_is_passed_over() -> None:
    body = multipart(b"\r\nplain text", b"Content-Type: application/sdp", SDP_PART)
    assert session_description(with_body(body, "multipart/mixed;boundary=unique-1")) == OFFER


def test_only_so_many_parts_are_looked_at() -> None:
    body = multipart(*[ISUP_PART] * MAX_PARTS, SDP_PART)
    with pytest.raises(UnsupportedContent):
        session_description(with_body(body, "multipart/mixed;boundary=unique-1"))


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "multipart/mixed", "multipart/mixed;boundary=other", "text/x;boundary=unique-1"],
)
def test_a_body_without_sdp_says_that_sdp_would_do(kind: str) -> None:
    with pytest.raises(UnsupportedContent) as caught:
        session_description(with_body(multipart(ISUP_PART), kind))
    assert caught.value.header == ("Accept", "application/sdp")
    assert str(caught.value) == "the body is not application/sdp"


def test_a_body_without_a_type_is_not_guessed_at() -> None:
    request = Request("INVITE", "sip:x@y", Headers(), OFFER)
    with pytest.raises(UnsupportedContent):
        session_description(request)


def test_an_encoded_body_says_that_a_plain_one_would_do() -> None:
    with pytest.raises(UnsupportedContent) as caught:
        session_description(with_body(OFFER, "application/sdp", ("Content-Encoding", "gzip")))
    assert caught.value.header == ("Accept-Encoding", "identity")


def test_identity_is_no_encoding() -> None:
    request = with_body(OFFER, "application/sdp", ("e", "Identity"))
    assert session_description(request) == OFFER


def test_a_foreign_body_that_is_optional_is_passed_over() -> None:
    line = ("Content-Disposition", "render; handling=optional")
    assert session_description(with_body(b"<xml/>", "application/xml", line)) is None


@given(st.binary(max_size=300), st.text("-= ab\"';", max_size=20))
def test_any_body_gives_sdp_nothing_or_the_one_documented_error(body: bytes, mark: str) -> None:
    headers = Headers((("Content-Type", f"multipart/mixed;boundary={mark}"),))
    try:
        found = session_description(Request("INVITE", "sip:x@y", headers, body))
    except UnsupportedContent:
        return
    assert found is None or found in body


def info(kind: str, body: bytes) -> Request:
    """An INFO with this body."""
    message = parse(Caller().request("INFO", 2, [("Content-Type", kind)], body))
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"Signal=5\r\nDuration=160\r\n", "5"),
        (b"Signal= 5\nDuration= 160", "5"),
        (b"Duration=100\r\nsignal=#", "#"),
        (b"Signal=*", "*"),
        (b"Signal=10", "*"),
        (b"Signal=11", "#"),
        (b"Signal=d", "D"),
        (b"Signal=12", None),
        (b"Signal=\xb2", None),
        (b"Duration=160", None),
        (b"", None),
    ],
)
def test_dtmf_relay_names_the_key_as_its_signal(body: bytes, key: str | None) -> None:
    assert key_pressed(info("application/dtmf-relay", body)) == key


@pytest.mark.parametrize(
    ("body", "key"), [(b"7", "7"), (b" 7\r\n", "7"), (b"11", "#"), (b"77", None)]
)
def test_the_plain_type_is_the_key_itself(body: bytes, key: str | None) -> None:
    assert key_pressed(info("Application/DTMF", body)) == key


def test_other_bodies_hold_no_key() -> None:
    assert key_pressed(info("text/plain", b"7")) is None
