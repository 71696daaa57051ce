# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters behind header values: the generic-param rule of RFC 3261 §25.1."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dialin.wire.params import (
    MAX_PARAMS,
    NO_PARAMS,
    MalformedHeader,
    Params,
    quote,
    rewritten,
    unquote,
)

tokens = st.text(string.ascii_letters + string.digits + "-.!%*_+`'~", min_size=1)
params = st.lists(
    st.tuples(tokens, st.none() | st.text()), unique_by=lambda item: item[0].lower(), max_size=6
).map(lambda items: Params(tuple(items)))


@given(params)
@example(Params((("tag", ""), ("x", '"\\;<>,= \r\n'))))
def test_parameters_read_back_as_they_were(written: Params) -> None:
    assert Params.parse(str(written)) == written


@given(st.text() | st.text('; ="\\a,<\t'))
def test_parsing_is_total(text: str) -> None:
    try:
        read = Params.parse(text)
    except MalformedHeader:
        return
    assert Params.parse(str(read)) == read


@pytest.mark.parametrize(
    "text",
    [
        ";branch=z9hG4bK-524287-1---0a+b%2C/c@d=",
        ";tag=a+b%20c",
        ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";reg-id=1',
        ";received=[2001:db8::9:255]",
        ";received=2001:db8::9:255",
        ";lr",
        "",
    ],
)
def test_what_peers_must_get_back_is_written_as_it_came(text: str) -> None:
    assert str(Params.parse(text)) == text


def test_blanks_stand_around_semicolon_and_equals_sign() -> None:
    assert Params.parse(" ;  tag\t= 98asjd8 ; q = 0.33 ").items == (
        ("tag", "98asjd8"),
        ("q", "0.33"),
    )


@pytest.mark.parametrize(
    "text",
    [
        ";",
        ";;",
        ";a;",
        ";;,;,,",
        ";tag=",
        ";=a",
        "a=b",
        ";a=b c",
        ";a=b,c",
        ';a="b',
        ';a="b"c',
        ";a b",
        " ",
        ";a=\x00",
        ";a=<b>",
        ";ä=b",
    ],
)
def test_what_is_no_parameter_is_refused(text: str) -> None:
    with pytest.raises(MalformedHeader, match=r"^malformed parameter$"):
        Params.parse(text)


@pytest.mark.parametrize("text", [";tag=a;tag=b", ";tag=a;x;TAG=b", ";lr;lr"])
def test_a_name_stands_once(text: str) -> None:
    with pytest.raises(MalformedHeader, match=r"^repeated parameter$"):
        Params.parse(text)


def test_a_value_has_32_parameters_at_most() -> None:
    most = "".join(f";p{n}" for n in range(MAX_PARAMS))
    assert len(Params.parse(most)) == MAX_PARAMS == 32
    with pytest.raises(MalformedHeader, match="too many parameters"):
        Params.parse(f"{most};x")


def test_names_compare_without_case() -> None:
    read = Params.parse(";Tag=x;LR")
    assert read.get("tAG") == "x"
    assert read.has("lr")
    assert not read.has("l")
    assert read.get("lr") is None
    assert read.get("branch") is None


def test_setting_keeps_the_place_and_adds_at_the_end() -> None:
    read = Params.parse(";a=1;rport;b=2")
    assert str(read.with_("RPORT", "5060")) == ";a=1;rport=5060;b=2"
    assert str(read.with_("lr")) == ";a=1;rport;b=2;lr"
    assert str(read) == ";a=1;rport;b=2"


def test_rewriting_leaves_all_else_as_it_came() -> None:
    text = ' ; a = "1;rport" ;RPORT ; b=2'
    assert rewritten(text, {"rport": "5060", "c": "3"}) == ' ; a = "1;rport" ;RPORT=5060; b=2;c=3'
    assert rewritten(text, {}) == text
    with pytest.raises(MalformedHeader):
        rewritten(";=", {})


def test_leaving_out() -> None:
    read = Params.parse(";a=1;rport;b=2")
    assert str(read.without("Rport")) == ";a=1;b=2"
    assert read.without("c") == read


def test_parameters_are_a_collection() -> None:
    read = Params.parse(";a=1;b")
    assert list(read) == [("a", "1"), ("b", None)]
    assert len(read) == 2
    assert not NO_PARAMS


@given(st.text())
def test_quoting_is_undone_by_unquoting(text: str) -> None:
    assert unquote(quote(text)) == text


def test_repr_tells_names_and_no_values() -> None:
    assert repr(Params.parse(";phone-context=+4930;lr")) == "Params(phone-context, lr)"
