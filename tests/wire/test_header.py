# SPDX-License-Identifier: GPL-3.0-or-later
"""Header values: Via, addresses and CSeq as RFC 3261 §20 has them, and as trunks write them."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dialin.wire.header import MAX_VALUES, Address, CSeq, MalformedHeader, Params, Via, split_quoted
from dialin.wire.uri import MalformedUri, OtherUri, SipUri, TelUri
from tests.wire.test_params import params, tokens
from tests.wire.test_uri import hosts, other_uris, sip_uris, tel_uris

displays = st.text() | st.text('"\\<>;,= \t') | st.just("Bell, Alexander")
addresses = st.builds(Address, displays, (sip_uris() | tel_uris | other_uris).map(str), params)
vias = st.builds(Via, tokens.map(str.upper), hosts, st.none() | st.integers(0, 65535), params)
cseqs = st.builds(CSeq, st.integers(0, 2**31 - 1), tokens)


@given(st.lists(addresses, min_size=1, max_size=4))
@example([Address("A", "sip:a@x.y"), Address("B", "sip:b@x.y")])
@example([Address("x\\", "sip:a"), Address('"', "sip:b")])
def test_a_list_of_addresses_reads_back_as_it_was(written: list[Address]) -> None:
    assert Address.parse_many([", ".join(map(str, written))]) == tuple(written)
    assert Address.parse_many([str(one) for one in written]) == tuple(written)
    assert Address.parse(str(written[0])) == written[0]


@given(st.lists(vias, min_size=1, max_size=4))
def test_a_list_of_vias_reads_back_as_it_was(written: list[Via]) -> None:
    assert Via.parse_many([",".join(map(str, written))]) == tuple(written)
    assert Via.parse_many([str(one) for one in written]) == tuple(written)
    assert Via.parse(str(written[0])) == written[0]


@given(cseqs)
def test_a_cseq_reads_back_as_it_was(written: CSeq) -> None:
    assert CSeq.parse(str(written)) == written


@given(st.text() | st.text('"\\<>;,=:@? \tsip') | st.text(';:=[]@ab"').map("SIP/2.0/UDP h".__add__))
def test_parsing_is_total(text: str) -> None:
    for parse in (Address.parse, Via.parse, CSeq.parse):
        try:
            value = parse(text)
        except MalformedHeader:
            continue
        assert parse(str(value)) == value


@given(
    st.lists(st.text(string.ascii_letters + "äß=/", max_size=5), min_size=1), st.sampled_from(",;")
)
def test_plain_pieces_come_apart_where_they_were_joined(pieces: list[str], sep: str) -> None:
    assert split_quoted(f" {sep} ".join(pieces), sep) == pieces


@given(st.text('"\\<>,; a'), st.sampled_from(",;"))
def test_splitting_is_total_and_loses_nothing_but_blanks(text: str, sep: str) -> None:
    pieces = split_quoted(text, sep)
    assert sep.join(pieces).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", [""]),
        ("a,,b", ["a", "", "b"]),
        ('"a,b", <sip:a,b@c>,d', ['"a,b"', "<sip:a,b@c>", "d"]),
        (r'"a\",b",c', [r'"a\",b"', "c"]),
        ('"<",b', ['"<"', "b"]),
        ('<">,b', ['<">', "b"]),
        ('a,"b,c', ["a", '"b,c']),
        ("a,<b,c", ["a", "<b,c"]),
        ('a,"b\\', ["a", '"b\\']),
        ('realm="a, b", nonce="c"', ['realm="a, b"', 'nonce="c"']),
    ],
)
def test_quotes_and_brackets_keep_their_commas(text: str, pieces: list[str]) -> None:
    assert split_quoted(text, ",") == pieces


@pytest.mark.parametrize(
    ("text", "display", "uri_text", "params"),
    [
        ("sip:a@x", "", "sip:a@x", ""),
        ("<sip:a@x>", "", "sip:a@x", ""),
        ("sip:a@x;tag=1", "", "sip:a@x", ";tag=1"),
        ("<sip:a@x;lr>;tag=1", "", "sip:a@x;lr", ";tag=1"),
        ('"A" <sip:a@x>;tag=1', "A", "sip:a@x", ";tag=1"),
        ('"A"<sip:a@x>', "A", "sip:a@x", ""),
        ("caller<sip:a@x>;tag=1", "caller", "sip:a@x", ";tag=1"),
        (
            "token1~` token2'+_ token3*%!.- <sip:a@x>",
            "token1~` token2'+_ token3*%!.-",
            "sip:a@x",
            "",
        ),
        ('"" <sip:a@x>', "", "sip:a@x", ""),
        (r'"J Rosenberg \\\""  <sip:j@x>  ;  tag = 9', 'J Rosenberg \\"', "sip:j@x", ";tag=9"),
        ('"Jürgen Groß" <sip:a@x>', "Jürgen Groß", "sip:a@x", ""),
        ("Jürgen Groß <sip:a@x>", "Jürgen Groß", "sip:a@x", ""),
        (
            '"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:a@x>',
            "BEL:\x07 NUL:\x00 DEL:\x7f",
            "sip:a@x",
            "",
        ),
        (
            "<tel:+4915738620594;phone-context=x>;tag=1",
            "",
            "tel:+4915738620594;phone-context=x",
            ";tag=1",
        ),
        ("tel:+4915738620594;tag=a/b@c", "", "tel:+4915738620594", ";tag=a/b@c"),
        ("sips:a@x;tag=1", "", "sips:a@x", ";tag=1"),
        ("SIP:a@x;tag=1", "", "SIP:a@x", ";tag=1"),
        ("<sip:user;param@host>;tag=1", "", "sip:user;param@host", ";tag=1"),
        ("sip:user;param@host;tag=1", "", "sip:user;param@host", ";tag=1"),
        ("sip:a@x ;tag=1", "", "sip:a@x", ";tag=1"),
        (
            '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1',
            "Anonymous",
            "sip:anonymous@anonymous.invalid",
            ";tag=1",
        ),
        (
            "<sip:+4915738620594@x;user=phone>;tag=1;verstat=TN-Validation-Passed",
            "",
            "sip:+4915738620594@x;user=phone",
            ";tag=1;verstat=TN-Validation-Passed",
        ),
        ("Bell, Alexander <sip:a@x>;tag=43", "Bell, Alexander", "sip:a@x", ";tag=43"),
        (
            '"Watson, Thomas" < sip:t.watson@example.org >',
            "Watson, Thomas",
            "sip:t.watson@example.org",
            "",
        ),
        ("isbn:2983792873", "", "isbn:2983792873", ""),
        ("<http://www.example.com>;tag=3", "", "http://www.example.com", ";tag=3"),
        (
            '<sip:a@x>;+sip.instance="<urn:uuid:0-1>";reg-id=1',
            "",
            "sip:a@x",
            ';+sip.instance="<urn:uuid:0-1>";reg-id=1',
        ),
    ],
)
def test_addresses_as_peers_write_them(text: str, display: str, uri_text: str, params: str) -> None:
    assert Address.parse(text) == Address(display, uri_text, Params.parse(params))


@pytest.mark.parametrize(
    ("text", "uri_text", "tag"),
    [
        ('"<sip:boss@example.com>;tag=spoof" <sip:caller@x>;tag=true', "sip:caller@x", "true"),
        (r'"\"<sip:boss@example.com>;tag=spoof" <sip:caller@x>;tag=true', "sip:caller@x", "true"),
        ('"sip:boss@example.com;tag=spoof, " <sip:caller@x>;tag=true', "sip:caller@x", "true"),
        ("sip:boss@example.com <sip:caller@x>;tag=true", "sip:caller@x", "true"),
    ],
)
def test_a_name_that_looks_like_an_address_stays_a_name(text: str, uri_text: str, tag: str) -> None:
    address = Address.parse(text)
    assert (address.uri_text, address.tag) == (uri_text, tag)
    assert Address.parse_many([text]) == (address,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "*",
        "Bell",
        '"Mr. J. User <sip:j.user@example.com>',
        'Mr. J. "User <sip:j.user@example.com>',
        '"A" x <sip:a@x>',
        '"A" "B" <sip:a@x>',
        '"A" sip:a@x',
        "A>B <sip:a@x>",
        "<sip:a@x",
        "sip:a@x>",
        "<>",
        "< >",
        "<sip:>",
        "<a@x>",
        "a@x",
        "<sip:a b@x>",
        "<sip:a<b@x>",
        '<sip:"a"@x>',
        "<sip:a@x>tag=1",
        "<sip:a@x>;;;;",
        "<sip:a@x>;tag=1;",
        "<sip:a@x>;tag=1;tag=2",
        "<sip:a@x>, <sip:b@x>",
        "sip:a@x, sip:b@x",
        "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
        "<sip:a@x>;tag=\u00e4",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(MalformedHeader):
        Address.parse(text)


def test_two_quoted_addresses_in_one_header_are_two() -> None:
    first, second = Address.parse_many(['"A" <sip:a@x.y>;q=1, "B, B" <sip:b@x.y>'])
    assert first == Address("A", "sip:a@x.y", Params((("q", "1"),)))
    assert second == Address("B, B", "sip:b@x.y")


def test_an_empty_place_in_a_list_is_refused() -> None:
    with pytest.raises(MalformedHeader):
        Address.parse_many(["<sip:a@x>,,<sip:b@x>"])


def test_the_uri_of_an_address_is_read_when_asked_for() -> None:
    assert isinstance(Address.parse("<sip:a@x>").uri, SipUri)
    assert isinstance(Address.parse("<tel:+4930>").uri, TelUri)
    assert isinstance(Address.parse("<name:John_Smith>").uri, OtherUri)
    unreadable = Address.parse("<sip:2001:db8::10>")
    with pytest.raises(MalformedUri):
        _ = unreadable.uri


def test_an_address_is_written_with_brackets() -> None:
    assert str(Address("", "sip:a@x")) == "<sip:a@x>"
    assert str(Address('a"\\', "sip:a@x")) == r'"a\"\\" <sip:a@x>'


def test_repr_of_an_address_shows_no_number() -> None:
    shown = repr(Address.parse('"+49157386" <sip:+49157386@h>;tag=t1;x=49157386'))
    assert shown == "Address(…, tag='t1')"


@pytest.mark.parametrize(
    ("text", "transport", "host", "port", "branch"),
    [
        ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "UDP", "192.0.2.1", None, "z9hG4bK1"),
        ("SIP/2.0/UDP host", "UDP", "host", None, None),
        ("sip/2.0/udp h:5060;Branch=x", "UDP", "h", 5060, "x"),
        (
            "SIP  /   2.0 \t /UDP    192.0.2.2;branch=390skdjuw",
            "UDP",
            "192.0.2.2",
            None,
            "390skdjuw",
        ),
        ("SIP  / 2.0  / TCP     h   ;  branch  =   z9  ", "TCP", "h", None, "z9"),
        ("SIP/2.0/TLS h : 5061 ;branch=z9", "TLS", "h", 5061, "z9"),
        ("SIP/2.0/UNKNOWN t4.example.com;branch=z9", "UNKNOWN", "t4.example.com", None, "z9"),
        ("SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9", "UDP", "2001:db8::9:1", 6050, "z9"),
        ("SIP/2.0/UDP [::ffff:192.0.2.10]", "UDP", "::ffff:192.0.2.10", None, None),
        ("SIP/2.0/TCP h;branch=z9hG4bK-.!%66*_+`'~", "TCP", "h", None, "z9hG4bK-.!%66*_+`'~"),
    ],
)
def test_vias_as_peers_write_them(
    text: str, transport: str, host: str, port: int | None, branch: str | None
) -> None:
    via = Via.parse(text)
    assert (via.transport, via.host, via.port, via.branch) == (transport, host, port, branch)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0 UDP h",
        "SIP/7.0/UDP h",
        "\u017fIP/2.0/UDP h",
        "SIP/2.0/UDP 192.0.2.15;;,;,,",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h;branch=a;branch=b",
        "SIP/2.0/UDP h branch=a",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP [2001:db8::1",
        "SIP/2.0/UDP h:65536",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h\u00f6",
    ],
)
def test_what_is_no_via_is_refused(text: str) -> None:
    with pytest.raises(MalformedHeader):
        Via.parse(text)


def test_several_vias_in_one_line_keep_their_order() -> None:
    many = Via.parse_many(
        ['SIP/2.0/UDP a;x="," , SIP/2.0/TCP b', "SIP/2.0/UDP c"],
    )
    assert [via.host for via in many] == ["a", "b", "c"]
    assert many[0].params.get("x") == ","


def test_a_name_has_64_values_at_most() -> None:
    assert len(Address.parse_many(["sip:a," * 49 + "sip:a", *["sip:b"] * 14])) == MAX_VALUES == 64
    assert len(Via.parse_many(["SIP/2.0/UDP a"] * 64)) == 64
    for many in (["sip:a," * 49 + "sip:a", *["sip:b"] * 15], ["," * 64]):
        with pytest.raises(MalformedHeader, match="too many values"):
            Address.parse_many(many)
    with pytest.raises(MalformedHeader, match="too many values"):
        Via.parse_many(["SIP/2.0/UDP a"] * 65)


@pytest.mark.parametrize(
    ("params", "received"),
    [
        (";received=192.0.2.5", "192.0.2.5"),
        (";received=2001:db8::9:255", "2001:db8::9:255"),  # RFC 5118 §4.5
        (";received=[2001:db8::9:255]", "2001:db8::9:255"),
        ("", None),
    ],
)
def test_received_comes_with_and_without_brackets(params: str, received: str | None) -> None:
    assert Via.parse(f"SIP/2.0/UDP h{params}").received == received


@pytest.mark.parametrize(
    ("params", "rport"),
    [
        (";rport=5062", 5062),
        (";rport=65535", 65535),
        (";rport", None),
        ("", None),
        (";rport=65536", None),
        (";rport=123456", None),
        (";rport=x", None),
        (';rport="\u0665\u0660\u0666\u0660"', None),
        (';rport="\u00b2"', None),
    ],
)
def test_rport_is_a_port_or_nothing(params: str, rport: int | None) -> None:
    assert Via.parse(f"SIP/2.0/UDP h{params}").rport == rport


@pytest.mark.parametrize(
    ("text", "number", "method"),
    [
        ("1 INVITE", 1, "INVITE"),
        ("0009    INVITE", 9, "INVITE"),
        ("2147483647\tBYE", 2**31 - 1, "BYE"),
        ("0 OPTIONS", 0, "OPTIONS"),
        (" 29344 RE%47IST%45R ", 29344, "RE%47IST%45R"),
    ],
)
def test_cseqs_as_peers_write_them(text: str, number: int, method: str) -> None:
    assert CSeq.parse(text) == CSeq(number, method)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "INVITE",
        "1INVITE",
        "-1 INVITE",
        "1 INVITE x",
        "1 INV/ITE",
        "2147483648 INVITE",
        "36893488147419103232 REGISTER",
        "9292394834772304023312 OPTIONS",
        "\u0661 INVITE",
        "1" * 5000 + " INVITE",
    ],
)
def test_what_is_no_cseq_is_refused(text: str) -> None:
    with pytest.raises(MalformedHeader):
        CSeq.parse(text)


def test_a_via_is_rewritten_only_where_it_is_one() -> None:
    assert Via.rewritten("SIP/2.0/UDP h ;a", {"a": "1", "b": "2"}) == "SIP/2.0/UDP h ;a=1;b=2"
    with pytest.raises(MalformedHeader):
        Via.rewritten("SIP/2.0 h", {})
