# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators are told of the public pages before a host is."""

from __future__ import annotations

import pytest

from dialin.check.pages import pages_are_of_use
from dialin.check.steps import Result

ROOT = "https://dialin.example.org"


def told(root: str = ROOT, *, signs_links: bool = True, numbers: int = 1) -> list[str]:
    return [
        f"{finding.result}: {finding.cause}"
        for finding in pages_are_of_use(root, signs_links=signs_links, numbers=numbers)
    ]


def test_pages_that_are_of_use() -> None:
    assert told() == ["ok: Rooms have pages at https://dialin.example.org/rooms/."]
    assert told(signs_links=False)[0].startswith("ok: The public page only")


@pytest.mark.parametrize("root", ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:81"])
def test_on_this_machine_nobody_is_on_the_way(root: str) -> None:
    assert told(root)[0].startswith("ok")


def test_each_fault_is_told_with_its_remedy() -> None:
    findings = list(pages_are_of_use("http://example.org:8080", signs_links=True, numbers=0))

    assert [finding.result for finding in findings] == [Result.WARN, Result.WARN]
    assert "in the clear" in findings[0].cause
    assert "https" in findings[0].remedy
    assert "numbers" in findings[1].remedy


def test_links_without_a_host_are_told() -> None:
    assert told("") == ["warn: Links to room pages have no host."]
    assert told("", signs_links=False)[0].startswith("ok")
