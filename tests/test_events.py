# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared vocabulary."""

import re

import pytest

from dialin.events import (
    BUSY,
    VOCABULARY,
    CallError,
    Codec,
    Digit,
    DigitSource,
    EndReason,
    Result,
)


@pytest.mark.parametrize("reason", VOCABULARY, ids=str)
def test_every_end_reason_is_kebab_case_and_survives_a_round_trip(reason: EndReason) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason.reason)
    assert EndReason.parse(str(reason)) is reason


def test_the_vocabulary_has_no_doubles_and_names_every_result() -> None:
    assert len(set(map(str, VOCABULARY))) == len(VOCABULARY)
    assert {reason.result for reason in VOCABULARY} == set(Result)


def test_a_reason_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="not an end reason"):
        EndReason.parse("caller/rang-off")


def test_a_call_error_carries_its_reason() -> None:
    assert CallError(BUSY).reason is BUSY
    assert str(CallError(BUSY)) == "service/busy"


def test_the_static_payload_types_are_those_of_rfc_3551() -> None:
    assert [codec.payload_type for codec in (Codec.PCMU, Codec.PCMA, Codec.G722)] == [0, 8, 9]


def test_a_digit_does_not_show_its_key() -> None:
    assert "9" not in repr(Digit("9", DigitSource.RFC4733))
