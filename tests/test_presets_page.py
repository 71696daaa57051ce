# SPDX-License-Identifier: GPL-3.0-or-later
"""The presets as a page: every one of them, what it needs, and nothing it does not know."""

from __future__ import annotations

import re
import tomllib

import pytest

from dialin import presets
from dialin.presets import page

PAGE = page.trunks()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "`preset`" not in line]


def row_of(name: str) -> str:
    (row,) = (row for row in ROWS if f"| `{name}` |" in row)
    return row


def test_each_preset_has_a_row_and_a_section() -> None:
    assert len(ROWS) == len(presets.names())
    for name in presets.names():
        assert row_of(name)
        assert f"\n### {presets.load(name).title}\n" in PAGE


def test_rows_are_sorted_and_the_one_for_everybody_is_last() -> None:
    titles = [row.split(" | ")[0].removeprefix("| ").lower() for row in ROWS]

    assert titles[:-1] == sorted(titles[:-1])
    assert titles[-1] == "any other provider"


def test_each_row_has_as_many_cells_as_the_head() -> None:
    assert {row.count("|") for row in ROWS} == {page.HEAD[0].count("|")}


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        (
            "easybell",
            "registration | TLS `secure.sip.easybell.de:5061` | SRTP only | lab 2026-11-26 |",
        ),
        ("sipgate", "registration | UDP `sipconnect.sipgate.de` | in the clear | lab 2026-11-26 |"),
        ("twilio", "our address | TLS | SRTP only | lab 2026-11-26 | documented, 2026-11"),
        ("generic", "registration | TLS | SRTP if offered | lab 2026-11-26 | general, 2026-11"),
        ("companyflex", "| **unsupported**, never |"),
    ],
)
def test_a_row_tells_the_way_the_encryption_and_how_sure_it_is(name: str, cells: str) -> None:
    assert cells in row_of(name)


def test_a_section_tells_what_to_enter_as_toml() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    trunks = [tomllib.loads(block)["trunks"]["NAME"] for block in blocks]

    assert {trunk["preset"]: set(trunk) - {"preset"} for trunk in trunks} == {
        name: set(presets.load(name).needs) for name in presets.names()
    }
    assert next(t for t in trunks if t["preset"] == "plivo")["media_networks"] == ["…"]


def test_a_section_tells_source_hints_and_doubts() -> None:
    section = PAGE.split("### sipgate trunking\n")[1].split("###")[0]
    sipgate = presets.load("sipgate")

    assert f"]({sipgate.source.address}), 2026-11-26." in section
    assert all(f"* {hint}" in section for hint in sipgate.hints)
    assert all(f"* *Unsure:* {fact}" in section for fact in sipgate.unsure)
    assert "Unsupported" not in section


def test_a_provider_that_cannot_work_yet_says_so_first() -> None:
    section = PAGE.split("### Telekom CompanyFlex\n")[1]

    assert section.startswith("\n**Unsupported** in this version: it wants media security")
