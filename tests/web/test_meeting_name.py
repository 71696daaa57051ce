# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of meetings: whatever somebody wrote, one visible line comes out."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.web.meeting_name import LONGEST_NAME, shown_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Weekly round", "Weekly round"),
        ("  two\r\nlines\t ", "two lines"),
        ("Se\u0301ance", "Séance"),
        ("safe\u202eevil\u202c", "safeevil"),
        ("\u2066a\u2069\u200f\u061c\u200e", "a"),
        ("zero\u200b\u200d\ufeffwidth", "zerowidth"),
        ("nul\x00bell\x07", "nulbell"),
        ("line\u2028paragraph\u2029end", "line paragraph end"),
        ("no\u00a0break", "no break"),
        ("lone\ud800half", "lonehalf"),
        ("\u200b\u202e", ""),
        ("", ""),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("Z\u0335\u0300\u0301\u0302\u0303", "Z\u0335\u0300"),
        ("数学 🎓", "数学 🎓"),
    ],
)
def test_what_cannot_be_seen_is_dropped(name: str, shown: str) -> None:
    assert shown_name(name) == unicodedata.normalize("NFC", shown)


def test_a_long_name_is_cut() -> None:
    cut = shown_name("W" * 5000)

    assert len(cut) == LONGEST_NAME
    assert cut.endswith("W…")
    assert shown_name("W" * LONGEST_NAME) == "W" * LONGEST_NAME


@given(st.text(max_size=600))
def test_every_name_is_one_line_of_visible_characters(name: str) -> None:
    shown = shown_name(name)

    assert len(shown) <= LONGEST_NAME
    assert shown == shown.strip()
    kinds = {unicodedata.category(character) for character in shown}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert shown_name(shown) == shown or shown.endswith("…")
