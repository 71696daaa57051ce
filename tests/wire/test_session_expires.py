# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 4028: what Session-Expires and Min-SE say, and what two ends make of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.message import Headers, Request, Response
from dialin.wire.session_expires import (
    Agreement,
    SessionExpires,
    Timekeeping,
    agreed_with_called,
    agreed_with_caller,
    min_se,
)

KNOWS = ("Supported", "100rel, timer")
LAX = Timekeeping()


def request(*lines: tuple[str, str]) -> Request:
    """A request with these headers."""
    return Request("INVITE", "sip:a@b", Headers(lines))


def ok(*lines: tuple[str, str]) -> Response:
    """A 200 with these headers."""
    return Response(200, "OK", Headers(lines))


@pytest.mark.parametrize(
    ("written", "interval_s", "refresher"),
    [
        ("1800", 1800, None),
        ("1800;refresher=uac", 1800, "uac"),
        ("90 ; Refresher = UAS ; x=y", 90, "uas"),
        ("90;x=y;refresher=uas", 90, "uas"),
        ("90;refresher=both", 90, None),
        ("90;refresher=uacs", 90, None),
    ],
)
def test_session_expires_is_an_interval_and_who_refreshes(
    written: str, interval_s: int, refresher: str | None
) -> None:
    for name in ("Session-Expires", "x"):
        headers = Headers(((name, written),))
        assert SessionExpires.of(headers) == SessionExpires(interval_s, refresher)


@pytest.mark.parametrize("written", ["", "soon", "-90", "90 s", "9" * 11, "\u0661\u0662"])
def test_what_cannot_be_read_counts_as_absent(written: str) -> None:
    assert SessionExpires.of(Headers((("Session-Expires", written),))) is None
    assert min_se(Headers((("Min-SE", written),))) == 90


@given(st.text())
def test_any_text_is_read_without_complaint(text: str) -> None:
    SessionExpires.of(Headers((("Session-Expires", text),)))


@pytest.mark.parametrize(("written", "least"), [("30", 90), ("120", 120), ("300;x=y", 300)])
def test_min_se_is_never_below_90_s(written: str, least: int) -> None:
    assert min_se(Headers((("Min-SE", written),))) == least


@pytest.mark.parametrize(
    ("knows", "refresher", "is_ours"),
    [
        (False, "", True),
        (False, ";refresher=uac", True),
        (False, ";refresher=uas", True),
        (True, "", True),
        (True, ";refresher=uac", False),
        (True, ";refresher=uas", True),
    ],
)
def test_who_refreshes_by_table_2(knows: bool, refresher: str, is_ours: bool) -> None:
    lines = [("Session-Expires", f"1800{refresher}"), *([KNOWS] if knows else [])]
    assert agreed_with_caller(request(*lines), None, LAX) == Agreement(1800, is_ours, knows)


def test_the_interval_is_what_the_caller_asks_for_and_no_less_than_min_se() -> None:
    asked = ("Session-Expires", "100")
    assert agreed_with_caller(request(asked), None, LAX) == Agreement(100, True, False)
    longer = request(asked, ("Min-SE", "120"))
    assert agreed_with_caller(longer, None, LAX) == Agreement(120, True, False)
    too_short = request(("Session-Expires", "10"))  # from one who would not know a 422
    assert agreed_with_caller(too_short, None, LAX) == Agreement(90, True, False)


def test_a_session_is_not_timed_unless_somebody_asks() -> None:
    assert agreed_with_caller(request(KNOWS), None, LAX) is None
    assert agreed_with_caller(request(KNOWS), None, Timekeeping(is_obeyed=False)) is None


def test_we_may_ask_where_the_caller_does_not() -> None:
    ours = Timekeeping(asks_s=600)
    assert agreed_with_caller(request(KNOWS), None, ours) == Agreement(600, True, True)
    assert agreed_with_caller(request(), None, ours) == Agreement(600, True, False)
    longer = request(KNOWS, ("Min-SE", "900"))
    assert agreed_with_caller(longer, None, ours) == Agreement(900, True, True)


def test_switched_off_is_what_a_caller_may_wish_for_and_not_what_it_requires() -> None:
    off = Timekeeping(is_obeyed=False)
    asked = ("Session-Expires", "1800;refresher=uac")
    assert agreed_with_caller(request(KNOWS, asked), None, off) is None
    required = request(("Require", "timer"), asked)
    assert agreed_with_caller(required, None, off) == Agreement(1800, False, True)


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_request_that_says_nothing_leaves_what_was_agreed(is_ours: bool) -> None:
    former = Agreement(1800, is_ours, is_understood=True)
    assert agreed_with_caller(request(KNOWS), former, LAX) == former
    longer = request(KNOWS, ("Min-SE", "2000"))
    assert agreed_with_caller(longer, former, LAX) == Agreement(2000, is_ours, True)
    asked = request(KNOWS, ("Session-Expires", "300"))
    assert agreed_with_caller(asked, former, LAX) == Agreement(300, is_ours, True)


def test_whoever_forgets_about_timers_need_not_refresh() -> None:
    former = Agreement(1800, is_ours=False, is_understood=True)
    assert agreed_with_caller(request(), former, LAX) == Agreement(1800, True, False)


@pytest.mark.parametrize(
    ("written", "agreed"),
    [
        ("1800;refresher=uac", Agreement(1800, True, True)),
        ("1800;refresher=uas", Agreement(1800, False, True)),
        ("1800", Agreement(1800, True, True)),
        ("0;refresher=uac", Agreement(90, True, True)),
    ],
)
def test_the_called_side_has_the_last_word(written: str, agreed: Agreement) -> None:
    assert agreed_with_called(ok(("Session-Expires", written)), None) == agreed


def test_a_2xx_that_says_nothing_leaves_what_was_agreed() -> None:
    former = Agreement(300, is_ours=True, is_understood=True)
    assert agreed_with_called(ok(), None) is None
    assert agreed_with_called(ok(), former) == former


def test_our_answer_requires_timers_of_those_who_know_them() -> None:
    theirs = Agreement(1800, is_ours=False, is_understood=True)
    assert theirs.in_answer() == (
        ("Session-Expires", "1800;refresher=uac"),
        ("Require", "timer"),
    )
    ours = Agreement(90, is_ours=True, is_understood=False)
    assert ours.in_answer() == (("Session-Expires", "90;refresher=uas"),)


def test_our_refresh_tells_the_min_se_that_was_asked_of_us() -> None:
    agreed = Agreement(1800, is_ours=True, is_understood=True)
    expires = ("Session-Expires", "1800;refresher=uac")
    assert agreed.in_refresh(90) == (expires,)
    assert agreed.in_refresh(91) == (expires, ("Min-SE", "91"))


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        (True, Timekeeping()),
        (False, Timekeeping(is_obeyed=False)),
        (1800, Timekeeping(asks_s=1800)),
    ],
)
def test_how_operators_say_it(setting: bool | int, meant: Timekeeping) -> None:
    assert Timekeeping.of(setting) == meant
