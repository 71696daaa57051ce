# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a meeting made fit to be shown: it is whatever somebody wrote."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

LONGEST_NAME = 120
"""Characters that are shown."""
MOST_MARKS = 2
"""Combining marks on one letter; more would tower over the lines above."""
_READ_AT_MOST = 4 * LONGEST_NAME

_NOT_SHOWN = {"Cc", "Cf", "Cs", "Co", "Cn"}
"""Control, format (bidi and zero-width among them), and what has no meaning (UAX #44)."""
_GAPS = {"Zs", "Zl", "Zp"}


def shown_name(name: str) -> str:
    """One line of visible characters, cut with an ellipsis; empty if nothing is left.

    Host-controlled. What a sink means by a character is the sink's to escape.
    """
    kept = "".join(_without_towers(_visible(name[:_READ_AT_MOST])))
    line = " ".join(unicodedata.normalize("NFC", kept).split())
    if len(line) <= LONGEST_NAME:
        return line
    return f"{line[: LONGEST_NAME - 1].rstrip()}…"


def _visible(text: str) -> Iterator[str]:
    for character in text:
        category = unicodedata.category(character)
        if category in _GAPS or character in "\t\n\r":
            yield " "
        elif category not in _NOT_SHOWN:
            yield character


def _without_towers(text: Iterable[str]) -> Iterator[str]:
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character).startswith("M") else 0
        if marks <= MOST_MARKS:
            yield character
