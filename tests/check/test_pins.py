# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators are told of PINs: which lead elsewhere, and how likely a guess is to lead in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dialin.app.beside import PinReport, look_at_pins
from dialin.check import check
from dialin.check.pins import LONGEST_ID, guessing_is_hopeless, pins_are_distinct
from dialin.check.steps import Finding, Result, Sheet, Step
from dialin.demo.bbb import DemoBbb
from dialin.rooms import Room
from dialin.settings import load
from dialin.static_rooms import StaticRoom, StaticRooms, Twin
from dialin.store import opened_store
from dialin.store.values import now_utc
from tests.commands.test_room_pins import settings_in

PIN = "123456789"


def report(*twins: Twin, risk: float = 0.0, silent: tuple[str, ...] = ()) -> PinReport:
    return PinReport(twins, risk, silent)


def twin(static: str = "physics", other: str = "demo") -> Twin:
    return Twin(
        StaticRoom(static, PIN, "", lobby=False, created_at=now_utc()),
        Room("main", other, "Demo", PIN, running=True),
    )


def told(of: PinReport) -> list[Finding]:
    return list(pins_are_distinct(of))


async def steps_of(file: Path) -> dict[str, Step]:
    sheet = Sheet()
    await check(sheet, file)
    assert PIN not in json.dumps(sheet.as_json())
    return {step.step: step for step in sheet.steps}


def test_pins_that_lead_where_they_should() -> None:
    [finding] = told(report())
    assert finding.result is Result.OK


def test_a_number_that_leads_elsewhere_is_told_without_a_digit() -> None:
    [finding] = told(report(twin()))
    assert finding.result is Result.WARN
    assert "'physics'" in finding.cause
    assert "main gave to 'demo'" in finding.cause
    assert "dialin room rotate" in finding.remedy
    assert PIN not in f"{finding.cause}{finding.remedy}"


def test_servers_that_do_not_answer_are_told_beside_what_is_known() -> None:
    findings = told(report(twin(), silent=("main", "other")))
    assert [finding.result for finding in findings] == [Result.WARN, Result.WARN]
    assert "main, other" in findings[1].cause


def test_hostile_ids_are_shown_in_printable_letters_and_in_short() -> None:
    [finding] = told(report(twin("\x1b[2J" + 2 * LONGEST_ID * "x", "\N{RIGHT-TO-LEFT OVERRIDE}")))
    assert f"{finding.cause}{finding.remedy}".isprintable()
    assert "x" * (LONGEST_ID + 1) not in finding.cause


@pytest.mark.parametrize(
    ("risk", "accepted", "result"),
    [
        (0.0, False, Result.OK),
        (0.01, False, Result.OK),
        (0.02, False, Result.FAIL),
        (0.02, True, Result.WARN),
    ],
)
def test_the_risk_is_judged_as_at_the_start(risk: float, accepted: bool, result: Result) -> None:
    finding = guessing_is_hopeless(report(risk=risk), 0.01, accepted=accepted)
    assert finding.result is result
    assert f"{risk:.4%}" in finding.cause
    assert ("9 digits" in finding.remedy.replace("\n", " ")) is (result is not Result.OK)


async def test_the_check_compares_the_store_with_the_servers(tmp_path: Path) -> None:
    async with DemoBbb() as bbb:
        file = settings_in(tmp_path, url=bbb.url, secret=bbb.secret)
        steps = await steps_of(file)
        assert steps["static PINs"].result is Result.OK
        assert not (tmp_path / "state").exists()
        async with opened_store(tmp_path / "state" / "dialin.db", consent_days=1) as store:
            static = StaticRooms(store)
            await static.load()
            await static.create("physics", pin=PIN)
        steps = await steps_of(file)
    assert steps["static PINs"].result is Result.WARN
    assert steps["pin.max_risk"].result is Result.OK


async def test_a_store_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    async with DemoBbb() as bbb:
        file = settings_in(tmp_path, url=bbb.url, secret=bbb.secret)
        (tmp_path / "state" / "dialin.db").mkdir(parents=True)
        steps = await steps_of(file)
    assert steps["static PINs"].result is Result.FAIL
    assert "pin.max_risk" not in steps


async def test_a_state_directory_that_is_a_file_holds_no_store(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    assert (await look_at_pins(load(settings_in(tmp_path)).settings)).risk == 0
