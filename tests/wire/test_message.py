# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and responses: what is accepted, what is refused with which status, what is echoed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.header import Address, CSeq, MalformedHeader
from dialin.wire.message import (
    MAX_HEADER_BYTES,
    Headers,
    MalformedMessage,
    Request,
    Response,
    parse,
    respond_to_malformed,
    response_to,
)
from tests.wire.examples import INVITE_LINES, SDP, invite, message
from tests.wire.test_header import addresses, cseqs, vias
from tests.wire.test_params import tokens
from tests.wire.test_uri import other_uris, sip_uris, tel_uris

RESPONSE_LINES = (
    "SIP/2.0 200 OK",
    "Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1",
    "From: <sip:a@x>;tag=1",
    "To: <sip:b@x>;tag=2",
    "Call-ID: 1@x",
    "CSeq: 7 BYE",
)


def parse_request(data: bytes) -> Request:
    request = parse(data)
    assert isinstance(request, Request)
    return request


def parse_response(data: bytes) -> Response:
    response = parse(data)
    assert isinstance(response, Response)
    return response


def refused(data: bytes) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        parse(data)
    return caught.value


# --- What a provider's INVITE is read as -----------------------------------------------------


def test_a_providers_invite() -> None:
    request = parse_request(invite())
    assert request.method == "INVITE"
    assert request.uri == "sip:+493012345678@198.51.100.20;transport=udp"
    assert request.via.branch == "z9hG4bKnmt9v1ab0tq"
    assert [via.host for via in request.vias] == ["192.0.2.66", "192.0.2.90"]
    assert request.from_ == Address.parse(
        '"Canary" <sip:+4915738620594@trunk.example.net>;tag=SDe5rqv01'
    )
    assert request.to.tag is None
    assert request.call_id == "SDe5rqv01-6a1c9f4d@192.0.2.66"
    assert request.cseq == CSeq(1, "INVITE")
    assert request.max_forwards == 66
    assert [contact.uri_text for contact in request.contacts] == [
        "sip:+4915738620594@192.0.2.66:5060;transport=udp"
    ]
    assert request.content_type == "application/sdp"
    assert request.body == SDP


def test_a_response() -> None:
    response = parse_response(message(*RESPONSE_LINES, body=b"x"))
    assert (response.status, response.reason, response.body) == (200, "OK", b"x")
    assert response.cseq == CSeq(7, "BYE")
    assert response.via.host == "192.0.2.20"


@pytest.mark.parametrize("status_line", ["SIP/2.0 100 ", "SIP/2.0 100", "sip/2.0 100   "])
def test_a_response_needs_no_reason(status_line: str) -> None:
    response = parse_response(message(status_line, *RESPONSE_LINES[1:]))
    assert (response.status, response.reason) == (100, "")


def test_compact_lower_case_folded_and_crowded_headers_mean_the_same() -> None:
    crowded = message(
        INVITE_LINES[0],
        "v:SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKnmt9v1ab0tq;rport,"
        "SIP/2.0/TCP 192.0.2.90;received=192.0.2.91;branch=z9hG4bK-5/e+1%",
        "record-route  : <sip:192.0.2.66;lr;ftag=SDe5rqv01>",
        "MAX-FORWARDS:0066",
        'f:"Canary" <sip:+4915738620594@trunk.example.net>\r\n ;tag=SDe5rqv01',
        "T :\r\n\t<sip:+493012345678@trunk.example.net;user=phone>",
        "i: SDe5rqv01-6a1c9f4d@192.0.2.66",
        "cseq: 0001\r\n   INVITE",
        "m:<sip:+4915738620594@192.0.2.66:5060;transport=udp>",
        "c: Application / SDP ; charset=utf-8",
        "s:",
        "Supported:",
        body=SDP,
    )
    plain, read = parse_request(invite()), parse_request(crowded)
    for name in ("vias", "from_", "to", "call_id", "cseq", "contacts", "content_type", "body"):
        assert getattr(read, name) == getattr(plain, name)
    assert read.max_forwards == plain.max_forwards
    assert read.headers.get("Subject") == ""
    assert read.headers.values("Supported") == ()


def test_a_header_value_over_8_kib_is_kept_whole() -> None:
    passport = "eyJhbGciOiJFUzI1NiJ9." * 500
    assert 8192 < len(passport) < MAX_HEADER_BYTES
    assert parse_request(invite(add=(f"Identity: {passport}",))).headers.get("y") == passport


@pytest.mark.parametrize(
    ("line", "uri_text"),
    [
        ("From: <tel:+4915738620594>;tag=1", "tel:+4915738620594"),
        ("From: tel:+4915738620594;tag=1", "tel:+4915738620594"),
        ("From: <sips:+4915738620594@x>;tag=1", "sips:+4915738620594@x"),
        ("From: <sip:user;param@host>;tag=1", "sip:user;param@host"),
        ("From: SIP:+4915738620594@X;tag=1", "SIP:+4915738620594@X"),
        (
            'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=1',
            "sip:anonymous@anonymous.invalid",
        ),
        ("From: <sip:a@x>;tag=1;verstat=TN-Validation-Passed", "sip:a@x"),
        ("From: <sip:a@x>;verstat=No-TN-Validation;tag=1", "sip:a@x"),
        ('From: "Jürgen Groß" <sip:a@x>;tag=1', "sip:a@x"),
        ("From: J\udcfcrgen <sip:a@x>;tag=1", "sip:a@x"),
        ('From: "<sip:boss@x>;tag=2" <sip:a@x>;tag=1', "sip:a@x"),
        ("From: <sip:2001:db8::10>;tag=1", "sip:2001:db8::10"),
    ],
)
def test_from_as_peers_write_it(line: str, uri_text: str) -> None:
    request = parse_request(invite(without="From", add=(line,)))
    assert (request.from_.uri_text, request.from_.tag) == (uri_text, "1")


def test_two_quoted_addresses_in_one_contact() -> None:
    line = 'Contact: "A, A" <sip:a@x>;q=0.9, "B" <sip:b@x>'
    contacts = parse_request(invite(without="Contact", add=(line,))).contacts
    assert [(contact.display, contact.uri_text) for contact in contacts] == [
        ("A, A", "sip:a@x"),
        ("B", "sip:b@x"),
    ]


def test_contact_may_be_missing_or_the_star_of_a_register() -> None:
    assert parse_request(invite(without="Contact")).contacts == ()
    assert parse_request(invite(without="Contact", add=("Contact: *",))).contacts == ()


def test_an_asserted_identity_is_read_on_demand_and_cannot_refuse_the_call() -> None:
    request = parse_request(invite(add=('P-Asserted-Identity: "unclosed <sip:a@x>',)))
    with pytest.raises(MalformedHeader):
        Address.parse_many(request.headers.all("P-Asserted-Identity"))


@pytest.mark.parametrize(
    ("line", "hops"), [("Max-Forwards: 0", 0), ("Max-Forwards: 255", 255), ("X: 1", None)]
)
def test_max_forwards(line: str, hops: int | None) -> None:
    assert parse_request(invite(without="Max-Forwards", add=(line,))).max_forwards == hops


def test_content_type_may_be_missing() -> None:
    assert parse_request(invite(without="Content-Type")).content_type is None


def test_what_follows_the_body_is_cut_off() -> None:
    assert parse_request(invite() + invite()) == parse_request(invite())


def test_line_breaks_before_the_message_are_passed_over() -> None:
    assert parse(b"\r\n\r\n" + invite()) == parse(invite())


def test_an_unknown_scheme_is_not_the_parsers_business() -> None:
    data = message("INVITE isbn:2983792873 SIP/2.0", *INVITE_LINES[1:])
    assert parse_request(data).uri == "isbn:2983792873"


# --- What is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (invite(without="From"), 400, "From: missing"),
        (invite(without="To"), 400, "To: missing"),
        (invite(without="Call-ID"), 400, "Call-ID: missing"),
        (invite(without="CSeq"), 400, "CSeq: missing"),
        (invite(without="Via"), None, "Via: missing"),
        (invite(add=("f: <sip:c@x>",)), 400, "From: more than one"),
        (invite(add=("t: <sip:c@x>",)), 400, "To: more than one"),
        (invite(add=("i: 2",)), 400, "Call-ID: more than one"),
        (invite(add=("CSeq: 1 INVITE",)), 400, "CSeq: more than one"),
        (invite(add=("Max-Forwards: 5",)), 400, "Max-Forwards: more than one"),
        (invite(add=("c: text/plain",)), 400, "Content-Type: more than one"),
        (invite(add=("l: 5",)), 400, "More than one Content-Length"),
        (invite(add=("Via: SIP/2.0/UDP 192.0.2.15;;,;,,",)), 400, "Via: malformed parameter"),
        (invite(without="Via", add=("Via:",)), 400, "Via: malformed"),
        (invite(without="From", add=("From:",)), 400, "From: malformed"),
        (
            invite(without="From", add=("From: <sip:a@x>;tag=1;tag=2",)),
            400,
            "From: repeated parameter",
        ),
        (
            invite(without="To", add=('To: "Mr. J. User <sip:a@x>',)),
            400,
            "To: malformed display name",
        ),
        (invite(without="Call-ID", add=("Call-ID:",)), 400, "Call-ID: malformed"),
        (invite(without="Call-ID", add=("Call-ID: a b",)), 400, "Call-ID: malformed"),
        (invite(without="Contact", add=("m: <sip:a@x>;;;;",)), 400, "Contact: malformed parameter"),
        (invite(without="CSeq", add=("CSeq: 1 ACK",)), 400, "CSeq: another method"),
        (invite(without="CSeq", add=("CSeq: 1 invite",)), 400, "CSeq: another method"),
        (
            invite(without="CSeq", add=("CSeq: 2147483648 INVITE",)),
            400,
            "CSeq: number too large",
        ),
        (
            invite(without="Max-Forwards", add=("Max-Forwards: -1",)),
            400,
            "Max-Forwards: malformed",
        ),
        (
            invite(without="Max-Forwards", add=("Max-Forwards: 256",)),
            400,
            "Max-Forwards: malformed",
        ),
        (invite(without="Max-Forwards", add=("Max-Forwards:",)), 400, "Max-Forwards: malformed"),
        (invite(add=("Nonsense",)), 400, "Malformed header line"),
        (
            message(*INVITE_LINES, body=SDP, length=len(SDP) + 1),
            400,
            "Content-Length beyond the end of the message",
        ),
        (message(*INVITE_LINES, length=-999), 400, "Malformed Content-Length"),
        (invite()[:-1], 400, "Content-Length beyond the end of the message"),
        (invite()[:300], 400, "No empty line after the headers"),
        (invite().replace(b"\r\nTo", b"\nTo"), 400, "Malformed header line"),
        (invite() + bytes(65535), 513, "Message too large"),
    ],
)
def test_a_broken_invite_is_refused(data: bytes, status: int | None, reason: str) -> None:
    error = refused(data)
    assert (error.reason, error.status) == (reason, status)
    assert str(error) == reason


@pytest.mark.parametrize(
    ("start_line", "status", "reason"),
    [
        ("INVITE sip:a@x SIP/7.0", 505, "Version not supported"),
        ("INVITE sip:a@x sip/2.1", 505, "Version not supported"),
        ("INVITE <sip:a@x> SIP/2.0", 400, "Malformed request-URI"),
        ("INVITE sip:a@x; lr SIP/2.0", 400, "Malformed request-URI"),
        ("INVITE  sip:a@x  SIP/2.0", 400, "Malformed request-URI"),
        ("INVITE sip:2001:db8::10 SIP/2.0", 400, "Malformed request-URI"),
        ("INVITE sip:a@x?Route=%3Csip:b%3E SIP/2.0", 400, "Headers in the request-URI"),
        (f"INVITE sip:{'a' * 8192}@x SIP/2.0", 414, "Start line too long"),
        ("INVITE sip:a@x", None, "Not SIP"),
        ("INVITE sip:a@x HTTP/1.1", None, "Not SIP"),
        ("INV/ITE sip:a@x SIP/2.0", None, "Not SIP"),
        ("", None, "Not SIP"),
        ("INVITE sip:a@x \u017fIP/2.0", None, "Not SIP"),
        ("SIP/2.0 4294967301 better not", None, "Malformed status line"),
        ("SIP/2.0 099 Low", None, "Malformed status line"),
        ("SIP/2.0 700 High", None, "Malformed status line"),
        ("SIP/2.0 2000 Long", None, "Malformed status line"),
        ("SIP/7.0 200 OK", None, "Malformed status line"),
        ("SIP/2.0  200 OK", None, "Malformed status line"),
        ("SIP/2.0 200 O\rK", None, "Malformed status line"),
        ("SIP/2.0 200 O\nK", None, "Malformed status line"),
    ],
)
def test_a_broken_start_line_is_refused(start_line: str, status: int | None, reason: str) -> None:
    error = refused(message(start_line, *INVITE_LINES[1:]))
    assert (error.reason, error.status) == (reason, status)


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\xff\xfe\xfd", b"\x00" * 100])
def test_noise_is_refused_in_silence(data: bytes) -> None:
    assert refused(data).status is None


@pytest.mark.parametrize(
    "replacement",
    [
        ("CSeq: 7 BYE", "CSeq: 9292394834772304023312 BYE"),
        ("To: <sip:b@x>;tag=2", "X: y"),
        ("Call-ID: 1@x", "Call-ID: 1@x\r\nCall-ID: 1@x"),
        ("Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1", "Via: SIP/2.0/UDP a, SIP/2.0/UDP b"),
        (
            "Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP a\r\nv: SIP/2.0/UDP 255.255.255.255",
        ),
        ("Content-Length: 0", "Content-Length: 1"),
    ],
)
def test_nothing_is_ever_answered_to_a_response(replacement: tuple[str, str]) -> None:
    whole = message(*RESPONSE_LINES).decode()
    error = refused(whole.replace(*replacement).encode())
    assert (error.status, error.request_like) == (None, None)
    assert respond_to_malformed(error) is None


def test_nothing_is_ever_answered_to_an_ack() -> None:
    ack = message("ACK sip:a@x SIP/2.0", *INVITE_LINES[1:])
    assert refused(ack).reason == "CSeq: another method"
    assert respond_to_malformed(refused(ack)) is None


def test_errors_show_no_number() -> None:
    error = refused(invite(without="To", add=("To: +4915738620594",)))
    assert "157386" not in repr(error) + repr(error.request_like) + repr(error.__cause__)


# --- What is written ---------------------------------------------------------------------------


def test_a_message_is_written_with_one_content_length_at_its_end() -> None:
    headers = Headers((("l", "5"), ("Via", "x"), ("Content-Length", "7")))
    written = bytes(Request("BYE", "sip:a", headers, b"abc"))
    assert written == b"BYE sip:a SIP/2.0\r\nVia: x\r\nContent-Length: 3\r\n\r\nabc"
    assert (
        bytes(Response(200, "", headers)) == b"SIP/2.0 200 \r\nVia: x\r\nContent-Length: 0\r\n\r\n"
    )


def test_octets_that_are_no_utf_8_are_written_as_they_came() -> None:
    data = invite(add=("Subject: \udcff\udcc3 \u00e4",))
    assert b"Subject: \xff\xc3 \xc3\xa4\r\n" in bytes(parse(data))


@pytest.mark.parametrize(
    "broken",
    [
        Request("BYE\r\n", "sip:a", Headers()),
        Request("BYE", "sip:a\r\nX: y", Headers()),
        Request("BYE", "sip:a", Headers((("X", "a\r\nY: b"),))),
        Request("BYE", "sip:a", Headers((("X\n", "a"),))),
        Request("BYE", "sip:a", Headers((("X", "a\r"),))),
        Response(200, "OK\n", Headers()),
    ],
)
def test_a_line_break_in_a_value_is_never_written(broken: Request | Response) -> None:
    with pytest.raises(ValueError, match="line break"):
        bytes(broken)


def one_line() -> st.SearchStrategy[str]:
    """Header text with no outer blanks, no line breaks, and nothing that UTF-8 cannot say."""
    anything = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))
    return anything.map(lambda text: text.strip(" \t"))


free_headers = st.lists(
    st.tuples(
        tokens.filter(lambda name: len(name) > 1).map("X-".__add__),
        one_line(),
    ),
    max_size=5,
)


@st.composite
def messages(draw: st.DrawFn) -> Request | Response:
    cseq = draw(cseqs)
    is_request = draw(st.booleans())
    # A display may hold line breaks, which a message has no way to write.
    address = addresses.filter(lambda address: not set("\r\n") & set(str(address)))
    via = vias.filter(lambda via: not set("\r\n") & set(str(via)))
    many_vias = st.lists(via, min_size=1, max_size=3 if is_request else 1)
    fields = [
        ("From", str(draw(address))),
        ("To", str(draw(address))),
        ("Call-ID", draw(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1))),
        ("CSeq", str(cseq)),
        *(("Via", str(one)) for one in draw(many_vias)),
        *(("Contact", str(one)) for one in draw(st.lists(address, max_size=2))),
        *draw(free_headers),
    ]
    headers = Headers(tuple(draw(st.permutations(fields))))
    body = draw(st.binary())
    if is_request:
        uri = draw(sip_uris().filter(lambda uri: not uri.headers) | tel_uris | other_uris)
        return Request(cseq.method, str(uri), headers, body)
    return Response(draw(st.integers(100, 699)), draw(one_line()), headers, body)


@given(messages())
def test_messages_read_back_as_they_were(written: Request | Response) -> None:
    assert parse(bytes(written)) == written


@given(st.binary() | st.binary().map(invite()[:400].__add__))
def test_parsing_is_total(data: bytes) -> None:
    try:
        parse(data)
    except MalformedMessage as error:
        answer = respond_to_malformed(error, to_tag="x")
        assert answer is None or bytes(answer)


def test_repr_shows_neither_numbers_nor_content() -> None:
    request = parse_request(invite())
    shown = repr(request)
    assert shown.startswith("Request(INVITE, Headers(Via, Via, Record-Route")
    assert shown.endswith(f"{len(SDP)} octets)")
    assert repr(response_to(request, 200, to_tag="x")).startswith("Response(200, Headers(")
    assert "157386" not in shown
    assert "12345678" not in shown


def test_messages_are_values() -> None:
    assert parse(invite()) == parse(invite())
    assert len({parse(invite()), parse(invite())}) == 1


@pytest.mark.parametrize("accessor", ["via", "vias", "from_", "to", "call_id", "cseq"])
def test_a_message_put_together_by_hand_says_what_it_lacks(accessor: str) -> None:
    with pytest.raises(MalformedHeader, match="missing"):
        getattr(Request("BYE", "sip:a", Headers()), accessor)
