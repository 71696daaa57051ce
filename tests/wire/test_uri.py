# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP URIs (RFC 3261 §19.1), tel URIs (RFC 3966) and schemes that nobody knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.params import Params
from dialin.wire.uri import MalformedUri, OtherUri, SipUri, TelUri, bracketed, parse_uri

_VISIBLE = "".join(chr(c) for c in range(0x21, 0x7F))
_USER = _VISIBLE.translate({ord(c): None for c in '<>"@:%'}) + "é…"
_PARAM = _VISIBLE.translate({ord(c): None for c in '<>"@?;=%'}) + "é"

users = st.lists(st.text(_USER, min_size=1) | st.sampled_from(["%20", "%00", "%c3%a9"]), min_size=1)
hosts = st.from_regex(r"[A-Za-z0-9._\-]+", fullmatch=True) | st.ip_addresses(v=6).map(str)
uri_params = st.lists(
    st.tuples(st.text(_PARAM, min_size=1), st.none() | st.text(_PARAM + "=", min_size=1)),
    max_size=4,
).map(lambda items: Params(tuple(items)))


@st.composite
def sip_uris(draw: st.DrawFn) -> SipUri:
    user = draw(st.none() | users.map("".join))
    return SipUri(
        scheme=draw(st.sampled_from(["sip", "sips"])),
        user=user,
        password=None if user is None else draw(st.none() | st.text(_USER)),
        host=draw(hosts),
        port=draw(st.none() | st.integers(0, 65535)),
        params=draw(uri_params),
        headers=draw(st.text(_PARAM + "=?;%")),
    )


tel_uris = st.builds(
    TelUri,
    st.from_regex(r"\+?[0-9a-fA-F*#.()\-]+", fullmatch=True),
    uri_params,
)
other_uris = st.builds(
    OtherUri,
    st.from_regex(r"[a-z][a-z0-9+.\-]*", fullmatch=True).filter(
        lambda scheme: scheme not in ("sip", "sips", "tel")
    ),
    st.text(_VISIBLE.translate({ord(c): None for c in '<>"'}), min_size=1),
)


@given(sip_uris() | tel_uris | other_uris)
def test_uris_read_back_as_they_were(uri: SipUri | TelUri | OtherUri) -> None:
    assert parse_uri(str(uri)) == uri


@given(
    st.text()
    | st.text("sipte:;@?%[]0a./=+ ").map("sip:".__add__)
    | st.text("0+%2Bb;=?- ").map("tel:".__add__)
)
def test_parsing_is_total(text: str) -> None:
    try:
        uri = parse_uri(text)
    except MalformedUri:
        return
    assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("sip:user@example.com", "user", "example.com", None),
        ("SIP:user@EXAMPLE.com:5070", "user", "EXAMPLE.com", 5070),
        ("sips:example.com", None, "example.com", None),
        ("sip:+4930;phone-context=x@192.0.2.1", "+4930;phone-context=x", "192.0.2.1", None),
        ("sip:[2001:db8::10]:5070", None, "2001:db8::10", 5070),
        ("sip:[2001:db8::10:5070]", None, "2001:db8::10:5070", None),  # RFC 5118 §4.4
        ("sip:user@[2001:db8:::192.0.2.1]", "user", "2001:db8:::192.0.2.1", None),  # §4.10
        ("sip:user@[::ffff:192.0.2.2];lr", "user", "::ffff:192.0.2.2", None),
        ("sip:user@_sip._udp.example.com.", "user", "_sip._udp.example.com.", None),
        ("sip:a?b/c;d,e@example.com", "a?b/c;d,e", "example.com", None),
        ("sip:#31#@example.com", "#31#", "example.com", None),
        ("sip:null-%00-null@example.com", "null-%00-null", "example.com", None),
    ],
)
def test_user_host_and_port(text: str, user: str | None, host: str, port: int | None) -> None:
    uri = SipUri.parse(text)
    assert (uri.user, uri.host, uri.port) == (user, host, port)


def test_the_weird_but_proper_user_of_rfc_4475() -> None:
    weird = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    uri = SipUri.parse(f"sip:{weird}:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com")
    assert uri.user == weird
    assert uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert uri.host == "example.com"


def test_parameters_and_headers() -> None:
    uri = SipUri.parse("sip:a@b;transport=udp;lr;x=1=2?Route=%3Csip:c%3E&y=z")
    assert uri.params == Params((("transport", "udp"), ("lr", None), ("x", "1=2")))
    assert uri.transport == "UDP"
    assert uri.headers == "Route=%3Csip:c%3E&y=z"
    assert SipUri.parse("sip:a@b").transport is None


def test_escaped_unreserved_characters_are_those_characters() -> None:
    # RFC 4475 §3.1.1.3: %6C%72 is lr, n%61me=v%61lue%25%34%31 keeps its escaped percent sign.
    uri = SipUri.parse("sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31")
    assert uri.params == Params((("lr", None), ("name", "value%2541")))
    assert uri.user_text == "caller"


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("sip:%2B4930@h", "+4930"),
        ("sip:I%20have%20spaces@h", "I have spaces"),
        ("sip:sips%3Auser%40example.com@h", "sips:user@example.com"),
        ("sip:null-%00-null@h", "null-\x00-null"),
        ("sip:%C3%BC@h", "ü"),
        ("sip:%ff@h", "\udcff"),
        ("sip:h", ""),
    ],
)
def test_user_text_has_its_escapes_resolved(text: str, user: str) -> None:
    assert SipUri.parse(text).user_text == user


def test_two_parameters_of_one_name_leave_the_first() -> None:
    assert SipUri.parse("sip:a;lr;transport=tcp;transport=udp").transport == "TCP"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        "sip:",
        "sip:@host",
        "sip:user@",
        "sip:user@host:",
        "sip:user@host:65536",
        "sip:user@host:123456",
        "sip:user@host:5060x",
        "sip:a@b@c",
        "sip:a:b:c@d",
        "sip:us er@host",
        "sip:user@example.com; lr",
        " sip:user@host",
        "sip:user@host ",
        "<sip:user@host>",
        "sip:2001:db8::10",  # RFC 5118 §4.2
        "sip:user@2001:db8::10",
        "sip:[192.0.2.1]",
        "sip:[2001:db8::10",
        "sip:[fe80::1%25eth0]",
        "sip:user%@host",
        "sip:user%4x@host",
        "sip:user@hö.example",
        "sip:host;;lr",
        "sip:host;",
        "sip:host;=a",
        "sip:host;transport=",
        "sip:user@host\r\nVia: x",
        "tel:",
        "tel:+",
        "tel:0800-CALL",
        "tel:+49 30",
        "tel:+49;;ext=1",
        "tel:+49?x",
        "tel:%2b%2b49",
        ":rest",
        "1a:rest",
        "isbn:",
        "\u0131sbn:1",
        "name:John Smith",
        "name:<x>",
        "no-colon",
    ],
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(MalformedUri):
        parse_uri(text)


@pytest.mark.parametrize(
    ("text", "number", "params"),
    [
        ("tel:+4915738620594", "+4915738620594", ""),
        ("TEL:+49-(30)-12.34", "+49-(30)-12.34", ""),
        ("tel:7042;phone-context=example.com", "7042", ";phone-context=example.com"),
        ("tel:%2B4930;verstat=No-TN-Validation", "+4930", ";verstat=No-TN-Validation"),
        ("tel:%2b4930", "+4930", ""),
        ("tel:*31#", "*31#", ""),
    ],
)
def test_tel_uris(text: str, number: str, params: str) -> None:
    uri = parse_uri(text)
    assert uri == TelUri(number, Params.parse(params))
    assert str(uri) == f"tel:{number}{params}"


@pytest.mark.parametrize(
    ("text", "scheme", "rest"),
    [
        (
            "nobodyKnowsThisScheme:totallyopaquecontent",
            "nobodyknowsthisscheme",
            "totallyopaquecontent",
        ),
        ("soap.beep://192.0.2.103:3002", "soap.beep", "//192.0.2.103:3002"),
        ("isbn:2983792873", "isbn", "2983792873"),
    ],
)
def test_other_schemes_are_opaque(text: str, scheme: str, rest: str) -> None:
    assert parse_uri(text) == OtherUri(scheme, rest)


@pytest.mark.parametrize(
    ("kind", "text"),
    [(SipUri, "tel:+4930"), (SipUri, "sip"), (TelUri, "sip:a@b"), (OtherUri, "sip:a@b")],
)
def test_each_kind_reads_its_own_schemes(kind: type[SipUri | TelUri | OtherUri], text: str) -> None:
    with pytest.raises(MalformedUri):
        kind.parse(text)


def test_repr_shows_no_number() -> None:
    shown = repr([parse_uri("sip:+49157386:12@h:5060;x=157386"), parse_uri("tel:+49157386")])
    assert "157386" not in shown
    assert shown == "[SipUri(sip:…@h:5060), TelUri(…)]"
    assert repr(parse_uri("sips:h")) == "SipUri(sips:h)"
    assert repr(parse_uri("callto:157386")) == "OtherUri(callto:…)"


def test_errors_do_not_repeat_the_uri() -> None:
    with pytest.raises(MalformedUri) as caught:
        parse_uri("sip:+49157386@@h")
    assert "157386" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "written"), [("2001:db8::1", "[2001:db8::1]"), ("192.0.2.1", "192.0.2.1"), ("h", "h")]
)
def test_only_ipv6_is_bracketed(host: str, written: str) -> None:
    assert bracketed(host) == written
