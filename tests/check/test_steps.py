# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps: told as they happen, kept in order, and never silent about a failure."""

from __future__ import annotations

import asyncio

from dialin.check.steps import Finding, Result, Sheet, Step, fail, ok, warn
from dialin.errors import OperatorError


async def found(finding: Finding) -> Finding:
    return finding


async def test_each_step_is_told_when_it_begins_and_when_it_is_done() -> None:
    told: list[object] = []
    sheet = Sheet(begun=told.append, done=told.append)
    assert await sheet.take("one", found(ok("Fine.")))
    assert not await sheet.take("two", found(fail("Bad.", "Mend it.")))
    one = Step("one", Result.OK, "Fine.", "")
    two = Step("two", Result.FAIL, "Bad.", "Mend it.")
    assert told == ["one", one, "two", two]
    assert sheet.steps == [one, two]


async def test_what_builds_upon_a_doubtful_step_can_be_looked_at() -> None:
    sheet = Sheet()
    assert await sheet.take("one", found(warn("Odd.", "Look.")))
    assert not sheet.has_failed


async def test_an_error_of_the_operators_is_what_the_step_found() -> None:
    async def refuses() -> Finding:
        raise OperatorError("No way.", "Dig one.")

    sheet = Sheet()
    assert not await sheet.take("way", refuses())
    assert sheet.steps == [Step("way", Result.FAIL, "No way.", "Dig one.")]
    assert sheet.has_failed


def test_a_step_that_is_done_at_once_is_taken_likewise() -> None:
    def refuses() -> Finding:
        raise OperatorError("No way.", "Dig one.")

    sheet = Sheet()
    assert sheet.look("one", lambda: ok("Fine."))
    assert not sheet.look("way", refuses)
    assert sheet.steps == [
        Step("one", Result.OK, "Fine.", ""),
        Step("way", Result.FAIL, "No way.", "Dig one."),
    ]


async def test_a_step_that_takes_too_long_has_failed() -> None:
    async def waits() -> Finding:
        await asyncio.Event().wait()
        return ok("never")

    sheet = Sheet(step_within_s=0.01)
    assert not await sheet.take("slow", waits())
    assert sheet.steps[0].cause == "It was not done after 0.01 s."
    assert sheet.steps[0].remedy


def test_what_is_known_already_is_a_step_each() -> None:
    sheet = Sheet()
    sheet.tell("settings", [ok("Fine."), warn("Odd.", "Look.")])
    assert sheet.as_json() == {
        "steps": [
            {"step": "settings", "result": "ok", "cause": "Fine.", "remedy": ""},
            {"step": "settings", "result": "warn", "cause": "Odd.", "remedy": "Look."},
        ]
    }
