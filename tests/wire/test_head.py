# SPDX-License-Identifier: GPL-3.0-or-later
"""Header lines: names, folding, compact forms, limits, and where a message ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.head import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_MESSAGE_BYTES,
    MAX_START_LINE_BYTES,
    Draft,
    Headers,
    MalformedMessage,
    message_length,
    octets_of,
    text_of,
)

HEADERS = Headers(
    (
        ("Via", "SIP/2.0/UDP a, SIP/2.0/UDP b"),
        ("v", "SIP/2.0/UDP c"),
        ("SUPPORTED", "100rel,, timer"),
        ("k", ""),
        ("X-Name", '"a, b", c'),
    )
)


def read(*lines: bytes, end: bytes = b"\r\n\r\n") -> Draft:
    return Draft.read(b"\r\n".join((b"OPTIONS sip:a SIP/2.0", *lines)) + end)


@given(st.binary())
def test_octets_survive_being_text(octets: bytes) -> None:
    assert octets_of(text_of(octets)) == octets


def test_names_compare_without_case_and_compact_forms_equal_long_ones() -> None:
    assert HEADERS.get("via") == HEADERS.get("V") == "SIP/2.0/UDP a, SIP/2.0/UDP b"
    assert HEADERS.all("VIA") == ("SIP/2.0/UDP a, SIP/2.0/UDP b", "SIP/2.0/UDP c")
    assert HEADERS.get("x-name") == '"a, b", c'
    assert "K" in HEADERS
    assert "Contact" not in HEADERS
    assert HEADERS.get("Contact") is None
    assert HEADERS.all("Contact") == ()


@pytest.mark.parametrize(
    ("compact", "name"),
    [
        ("c", "Content-Type"),
        ("e", "Content-Encoding"),
        ("f", "From"),
        ("i", "Call-ID"),
        ("k", "Supported"),
        ("l", "Content-Length"),
        ("m", "Contact"),
        ("s", "Subject"),
        ("t", "To"),
        ("v", "Via"),
        ("a", "Accept-Contact"),
        ("b", "Referred-By"),
        ("d", "Request-Disposition"),
        ("j", "Reject-Contact"),
        ("o", "Event"),
        ("r", "Refer-To"),
        ("u", "Allow-Events"),
        ("x", "Session-Expires"),
        ("y", "Identity"),
    ],
)
def test_compact_forms(compact: str, name: str) -> None:
    assert Headers(((compact, "value"),)).get(name) == "value"
    assert Headers(((name, "value"),)).get(compact.upper()) == "value"


def test_values_of_all_lines_are_cut_at_top_level_commas_and_empty_ones_left_out() -> None:
    assert HEADERS.values("Supported") == ("100rel", "timer")
    assert HEADERS.values("x-name") == ('"a, b"', "c")
    assert len(HEADERS.values("via")) == 3


def test_counting_lines() -> None:
    assert (HEADERS.count("Via"), HEADERS.count("x-NAME"), HEADERS.count("To")) == (2, 1, 0)


def test_lines_are_added_at_either_end() -> None:
    assert HEADERS.with_("To", "x").fields == (*HEADERS.fields, ("To", "x"))
    assert HEADERS.prepend("To", "x").fields == (("To", "x"), *HEADERS.fields)


def test_setting_replaces_all_lines_of_the_name_in_the_place_of_the_first() -> None:
    assert HEADERS.set("k", "x").fields == (*HEADERS.fields[:2], ("k", "x"), HEADERS.fields[4])
    assert HEADERS.set("Via", "x").fields == (("Via", "x"), *HEADERS.fields[2:])
    assert HEADERS.set("To", "x") == HEADERS.with_("To", "x")


def test_leaving_out_a_name() -> None:
    assert HEADERS.without("VIA").fields == HEADERS.fields[2:]
    assert HEADERS.without("To") == HEADERS


def test_headers_are_values() -> None:
    assert Headers(HEADERS.fields) == HEADERS
    assert hash(Headers(HEADERS.fields)) == hash(HEADERS)
    assert Headers((("To", "x"),)) != Headers((("T", "x"),))


def test_repr_tells_names_and_no_values() -> None:
    assert repr(Headers((("From", "<sip:+49157386@x>"), ("To", "y")))) == "Headers(From, To)"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (b"Subject: a", "Subject", "a"),
        (b"Subject:a", "Subject", "a"),
        (b"Subject  \t:  a \t", "Subject", "a"),
        (b"subject:", "subject", ""),
        (b"s : ", "s", ""),
        (b"Subject: a:b", "Subject", "a:b"),
        (b"Subject: a\r\n b", "Subject", "a b"),
        (b"Subject:\r\n\t  a\r\n \tb\r\n c", "Subject", "a b c"),
        (b"Subject: a\r\n  \r\n b", "Subject", "a  b"),
        (b"C%6Fntact: a", "C%6Fntact", "a"),
        (b"extensionHeader-!.%*+_`'~:\xef\xbb\xbf", "extensionHeader-!.%*+_`'~", "\ufeff"),
        (b"Subject: \xff\x00", "Subject", "\udcff\x00"),
        (b"UnknownHeaderWithUnusualValue: ;;,,;;,;", "UnknownHeaderWithUnusualValue", ";;,,;;,;"),
    ],
)
def test_header_lines_as_peers_write_them(line: bytes, name: str, value: str) -> None:
    draft = read(line)
    assert draft.fault is None
    assert draft.headers.fields == ((name, value),)


@pytest.mark.parametrize(
    "line",
    [b"Subject", b": a", b"Sub ject: a", b" Subject: a", b"S\xc3\xbcbject: a", b"Sub\x00: a"],
)
def test_a_line_that_is_no_header_is_a_fault_and_the_others_are_still_read(line: bytes) -> None:
    draft = read(line, b"To: a")
    assert draft.fault is not None
    assert (draft.fault.reason, draft.fault.status) == ("Malformed header line", 400)
    assert draft.headers.fields == (("To", "a"),)


@pytest.mark.parametrize("line", [b"To: a\rb", b"To: a\nb", b"To: a\n b", b"To: a\r\r", b"To: a\n"])
def test_a_line_break_is_crlf(line: bytes) -> None:
    draft = read(line, b"X: y")
    assert draft.fault is not None
    assert (draft.fault.reason, draft.fault.status) == ("Malformed header line", 400)
    assert draft.headers.fields == (("X", "y"),)


def test_line_breaks_before_the_start_line_are_passed_over() -> None:
    draft = Draft.read(b"\r\n\r\n\r\nOPTIONS sip:a SIP/2.0\r\nTo: a\r\n\r\nbody")
    assert (draft.start_line, draft.rest, draft.fault) == ("OPTIONS sip:a SIP/2.0", b"body", None)


def test_blanks_at_the_end_of_the_start_line_are_passed_over() -> None:
    assert Draft.read(b"OPTIONS sip:a SIP/2.0 \t\r\n\r\n").start_line == "OPTIONS sip:a SIP/2.0"


def test_a_start_line_cannot_be_folded() -> None:
    draft = Draft.read(b"OPTIONS sip:a\r\n SIP/2.0\r\nTo: a\r\n\r\n")
    assert draft.start_line == "OPTIONS sip:a"
    assert draft.fault is not None


def test_a_head_has_to_end() -> None:
    for end in (b"", b"\r\n", b"\r\n\r"):
        fault = read(b"To: a", end=end).fault
        assert fault is not None
        assert (fault.reason, fault.status) == ("No empty line after the headers", 400)


def test_a_start_line_alone_is_a_whole_head() -> None:
    draft = Draft.read(b"OPTIONS sip:a SIP/2.0\r\n\r\n")
    assert (draft.headers, draft.fault) == (Headers(), None)


@pytest.mark.parametrize(
    ("longest", "too_long", "reason", "status"),
    [
        (
            b"A" * MAX_START_LINE_BYTES + b"\r\n\r\n",
            b"A" * (MAX_START_LINE_BYTES + 1) + b"\r\n\r\n",
            "Start line too long",
            414,
        ),
        (
            b"A\r\nX: " + b"x" * MAX_HEADER_BYTES + b"\r\n\r\n",
            b"A\r\nX: " + b"x" * (MAX_HEADER_BYTES + 1) + b"\r\n\r\n",
            "Header too long",
            400,
        ),
        (
            b"A\r\nX: x" + b"\r\n x" * (MAX_HEADER_BYTES // 2 - 1) + b"\r\n\r\n",
            b"A\r\nX: x" + b"\r\n x" * (MAX_HEADER_BYTES // 2) + b"\r\n\r\n",
            "Header too long",
            400,
        ),
        (
            b"A\r\n" + b"X: x\r\n" * MAX_HEADERS + b"l: 0\r\n\r\n",
            b"A\r\n" + b"X: x\r\n" * (MAX_HEADERS + 1) + b"\r\n",
            "Too many headers",
            400,
        ),
        (
            b"A\r\n\r\n" + b"x" * (MAX_MESSAGE_BYTES - 5),
            b"A\r\n\r\n" + b"x" * (MAX_MESSAGE_BYTES - 4),
            "Message too large",
            513,
        ),
    ],
)
def test_limits(longest: bytes, too_long: bytes, reason: str, status: int) -> None:
    assert Draft.read(longest).fault is None
    fault = Draft.read(too_long).fault
    assert fault is not None
    assert (fault.reason, fault.status) == (reason, status)


def test_of_ten_thousand_headers_only_a_few_are_read() -> None:
    draft = Draft.read(b"A\r\n" + b"a:b\r\n" * 10_000 + b"\r\n")
    assert len(draft.headers.fields) == MAX_HEADERS + 2


def test_the_content_length_is_no_header() -> None:
    for line in (b"Content-Length: 5", b"l:5", b"CONTENT-LENGTH  :\r\n 5", b"L: 0005"):
        draft = read(line, b"To: a", end=b"\r\n\r\n1234567")
        assert draft.headers.fields == (("To", "a"),)
        assert draft.length() == 5
        assert draft.body() == b"12345"


def test_without_content_length_the_datagram_ends_the_body() -> None:
    assert read(end=b"\r\n\r\n1234567").length() is None
    assert read(end=b"\r\n\r\n1234567").body() == b"1234567"


@pytest.mark.parametrize(
    "value", [b"-999", b"+5", b"", b"5 5", b"0x5", b"5,5", b"\xd9\xa5", b"1" * 5000]
)
def test_a_content_length_is_a_number(value: bytes) -> None:
    draft = read(b"Content-Length: " + value, end=b"\r\n\r\n1234567")
    with pytest.raises(MalformedMessage, match="Malformed Content-Length"):
        draft.length()


def test_there_is_one_content_length() -> None:
    for other in (b"l: 5", b"Content-Length: 3"):
        draft = read(b"Content-Length: 5", other, end=b"\r\n\r\n1234567")
        with pytest.raises(MalformedMessage, match="More than one Content-Length"):
            draft.body()


def test_a_content_length_lies_within_the_datagram() -> None:
    assert read(b"l: 7", end=b"\r\n\r\n1234567").body() == b"1234567"
    with pytest.raises(MalformedMessage, match="beyond the end"):
        read(b"l: 8", end=b"\r\n\r\n1234567").body()


def test_a_refusal_carries_what_an_answer_copies() -> None:
    draft = read(b"v: SIP/2.0/UDP a", b"f: x", b"From: y", b"X: z", b"VIA: q", b"CSeq: 1", b"i: 2")
    refusal = draft.refusal(MalformedMessage("reason", 400))
    assert (refusal.reason, refusal.status) == ("reason", 400)
    assert refusal.request_like == Headers(
        (("Via", "SIP/2.0/UDP a"), ("Via", "q"), ("From", "x"), ("Call-ID", "2"), ("CSeq", "1"))
    )


@pytest.mark.parametrize(
    "start",
    [
        b"ACK sip:a SIP/2.0",
        b"SIP/2.0 200 OK",
        b"GET / HTTP/1.1",
        b"OPTIONS sip:a",
        b"\xff\xfe\xfd",
        b"K\xe2\x84\xaa sip:a SIP/2.0",
        b"",
    ],
)
def test_what_is_no_request_or_an_ack_is_refused_in_silence(start: bytes) -> None:
    draft = Draft.read(start + b"\r\nVia: SIP/2.0/UDP a\r\n\r\n")
    refusal = draft.refusal(MalformedMessage("reason", 400))
    assert (refusal.reason, refusal.status, refusal.request_like) == ("reason", None, None)


def test_without_a_via_there_is_no_way_back() -> None:
    assert read(b"To: a").refusal(MalformedMessage("reason", 400)).status is None


def test_the_length_of_a_message_is_its_head_and_what_content_length_says() -> None:
    head = b"OPTIONS sip:a SIP/2.0\r\nl: 10\r\n\r\n"
    assert message_length(head) == len(head) + 10


@pytest.mark.parametrize(
    ("lines", "reason", "status"),
    [
        (b"X: a", "Missing Content-Length", 400),
        (b"l: -1", "Malformed Content-Length", 400),
        (b"l: 1\r\nl: 1", "More than one Content-Length", 400),
        (b"l: 65500", "Message too large", 513),
        (b"l: 9999999999", "Message too large", 513),
        (b"no header\r\nl: 1", "Malformed header line", 400),
    ],
)
def test_a_stream_needs_a_length_that_all_agree_upon(
    lines: bytes, reason: str, status: int
) -> None:
    with pytest.raises(MalformedMessage) as caught:
        message_length(b"OPTIONS sip:a SIP/2.0\r\nVia: b\r\n" + lines + b"\r\n\r\n")
    assert (caught.value.reason, caught.value.status) == (reason, status)
    assert caught.value.request_like == Headers((("Via", "b"),))
