# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators are told: each problem once, by name, with its origin and a remedy."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dialin.errors import OperatorError
from dialin.settings import Settings
from dialin.settings.problems import (
    Problem,
    SettingPath,
    SettingsError,
    explain,
    locate,
    origin_of,
)
from tests.settings import with_values


def problems(changes: dict[str, object], origins: dict[SettingPath, str]) -> list[Problem]:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(with_values(dict(changes)))
    return list(explain(refused.value, origins))


def test_a_problem_reads_as_a_sentence() -> None:
    (problem,) = problems({"web.port": 99999}, {("web", "port"): "file dialin.toml"})

    assert str(problem) == (
        "web.port (file dialin.toml): Input should be less than or equal to 65535. "
        "It means: Port; 0 lets the system choose."
    )


def test_a_missing_setting_is_explained_and_has_no_origin() -> None:
    (problem,) = problems({"bbb_servers.main": {"url": "https://bbb.example.org/"}}, {})

    assert problem.setting == "bbb_servers.main.secret"
    assert problem.origin == ""
    assert problem.cause == "is not set."
    assert "bbb-conf --secret" in problem.remedy
    assert str(problem).startswith("bbb_servers.main.secret: is not set.")


def test_a_wrong_item_is_told_once_and_not_as_an_empty_list() -> None:
    (problem,) = problems({"media.codecs": ["opus"]}, {("media", "codecs"): "somewhere"})

    assert problem.setting == "media.codecs.0"
    assert problem.origin == "somewhere"


def test_a_setting_of_two_kinds_is_told_once() -> None:
    (problem,) = problems({"media.workers": "many"}, {})

    assert problem.setting == "media.workers"
    assert "`auto`" in problem.remedy


def test_a_section_that_is_no_table_is_explained_by_what_it_is_for() -> None:
    (problem,) = problems({"pin": 4}, {})

    assert problem.setting == "pin"
    assert "How a PIN is keyed" in problem.remedy


def test_a_check_across_sections_names_the_setting_to_change() -> None:
    origins: dict[SettingPath, str] = {("service", "max_calls"): "file dialin.toml"}
    (problem,) = problems({"service.max_calls": 2000}, origins)

    assert problem.setting == "media.rtp_last_port"
    assert "2000 calls" in problem.cause
    assert problem.remedy == "Widen the range or lower service.max_calls."


def test_several_problems_are_told_at_once() -> None:
    found = problems({"web.port": -1, "pin.tries": 0, "extra": 1}, {})
    error = SettingsError(*found)

    assert isinstance(error, OperatorError)
    assert error.problems == tuple(found)
    assert str(error).splitlines() == [str(problem) for problem in found]
    assert len(found) == 3


def test_the_origin_of_a_value_is_that_of_the_nearest_value_around_it() -> None:
    origins: dict[SettingPath, str] = {("a",): "outer", ("a", "b"): "inner"}

    assert origin_of(("a", "b", 0), origins) == "inner"
    assert origin_of(("a", "c"), origins) == "outer"
    assert origin_of(("b",), origins) == ""


@pytest.mark.parametrize(
    ("location", "dotted"),
    [
        (("trunks", "lab", "numbers", 0, "e164"), "trunks.lab.numbers.0.e164"),
        (("trunks", "Lab", "[key]"), "trunks.Lab.[key]"),
        (("media", "workers", "constrained-int"), "media.workers"),
        (("web", "nonsense", "deeper"), "web.nonsense"),
        (("trunks",), "trunks"),
        ((), ""),
    ],
)
def test_a_location_is_followed_as_far_as_it_means_something(
    location: tuple[str | int, ...], dotted: str
) -> None:
    assert locate(location).dotted == dotted


def test_secrets_are_known_as_such() -> None:
    assert locate(("bbb_servers", "main", "secret")).is_secret
    assert locate(("web", "token")).is_secret
    assert not locate(("web", "port")).is_secret
    assert not locate(("web", "nonsense")).is_secret
