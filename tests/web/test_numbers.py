# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers as people dial them, the nearest first, and PINs as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.web.language import reader
from dialin.web.numbers import DialNumber, create_parameters, nearest_first, pin_groups

BERLIN = DialNumber("+493023125100", label="Berlin", languages=("de", "en"))
VIENNA = DialNumber("+4312345678", languages=("de",))
LONDON = DialNumber("+442079460958", languages=("en",))
PARIS = DialNumber("+33123456789")
WORLD = DialNumber("+80012345678", toll_free=True)
ALL = (PARIS, BERLIN, VIENNA, LONDON, WORLD)


@pytest.mark.parametrize(
    ("accepted", "order"),
    [
        ("de-AT", [VIENNA, BERLIN, PARIS, LONDON, WORLD]),
        ("de-DE", [BERLIN, VIENNA, PARIS, LONDON, WORLD]),
        ("de", [BERLIN, VIENNA, PARIS, LONDON, WORLD]),
        ("en-GB", [LONDON, BERLIN, PARIS, VIENNA, WORLD]),
        ("en", [BERLIN, LONDON, PARIS, VIENNA, WORLD]),
        ("de-CH, fr-FR;q=0.5", [PARIS, BERLIN, VIENNA, LONDON, WORLD]),
        ("en-AT, en-GB", [VIENNA, LONDON, BERLIN, PARIS, WORLD]),
    ],
)
def test_the_readers_country_then_their_language_then_the_settings_order(
    accepted: str, order: list[DialNumber]
) -> None:
    shown = nearest_first(ALL, reader("", accepted))

    assert [one.number for one in shown] == order


def test_the_national_form_is_for_the_same_country_only() -> None:
    shown = {one.number: one for one in nearest_first(ALL, reader("", "de-DE"))}

    assert shown[BERLIN].national == "030 23125100"
    assert shown[VIENNA].national == ""
    assert nearest_first([BERLIN], reader("de", ""))[0].national == ""


def test_a_number_is_told_by_country_and_label() -> None:
    shown = {one.number: one.label for one in nearest_first(ALL, reader("de", ""))}

    assert shown[BERLIN] == "Deutschland, Berlin"
    assert shown[VIENNA] == "Österreich"
    assert shown[WORLD] == ""
    assert BERLIN.international == "+49 30 23125100"


def test_the_settings_know_the_country_better_than_the_prefix() -> None:
    assert DialNumber("+80012345678", country="DE").region == "DE"
    assert WORLD.region == ""


def test_a_link_dials_the_number_and_the_pin_after_a_pause() -> None:
    assert BERLIN.tel() == "tel:+493023125100"
    assert BERLIN.tel("123456789") == "tel:+493023125100,,123456789%23"


@pytest.mark.parametrize(
    ("pin", "groups"),
    [
        ("12345", "123 45"),
        ("123456", "123 456"),
        ("1234567", "123 4567"),
        ("12345678", "123 456 78"),
        ("123456789", "123 456 789"),
        ("1234567890", "123 456 7890"),
        ("12345678901", "123 456 789 01"),
        ("", ""),
    ],
)
def test_a_pin_is_grouped_by_threes_and_the_last_by_two_to_four(pin: str, groups: str) -> None:
    assert " ".join(pin_groups(pin)) == groups


@given(st.text("0123456789", min_size=5, max_size=40))
def test_grouping_loses_no_digit(pin: str) -> None:
    groups = pin_groups(pin)

    assert "".join(groups) == pin
    assert {len(group) for group in groups[:-1]} <= {3}
    assert 2 <= len(groups[-1]) <= 4


def test_bbb_is_given_what_there_is() -> None:
    assert create_parameters("123456789", [BERLIN]) == {
        "voiceBridge": "123456789",
        "dialNumber": "+49 30 23125100",
    }
    assert create_parameters("", [BERLIN]) == {"dialNumber": "+49 30 23125100"}
    assert create_parameters("123456789", []) == {"voiceBridge": "123456789"}
