# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of providers: each preset is honest, and a trunk once it has what it asks for."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from dialin import presets
from dialin.errors import OperatorError
from dialin.presets import Preset
from dialin.settings.peers import TrunkSettings
from tests.lab.providers import EASYBELL, OTHERS

PROVIDERS = {
    "easybell",
    "sipgate",
    "companyflex",
    "1und1",
    "dusnet",
    "peoplefone",
    "ovh",
    "didww",
    "telnyx",
    "twilio",
    "plivo",
    "voipms",
}
PROVIDERS_IN_LAB = (EASYBELL, *OTHERS)
ENTERED: dict[str, Any] = {
    "username": "004930123456",
    "auth_username": "004930123456@example.org",
    "password": "canary",
    "registrar": "sip.example.org",
    "outbound_proxy": "123456789012.primary.example.org",
    "allowed_sources": ["203.0.113.0/28"],
    "media_networks": ["203.0.113.64/26"],
}
"""What an operator may be asked for."""
OPERATORS_OWN = {"preset", "username", "auth_username", "password", "numbers"}
"""What no preset can know."""
TEXT = """
title = "Example"
date = 2026-11-26
basis = "documented"
tested = "never"
unsure = ["something"]
[source]
document = "Help"
address = "https://example.org/"
[trunk]
mode = "peer"
transport = "udp"
allowed_sources = ["203.0.113.0/28"]
"""


@pytest.fixture(params=presets.names())
def preset(request: pytest.FixtureRequest) -> Preset:
    return presets.load(request.param)


def trunk(preset: Preset, **entered: Any) -> TrunkSettings:
    return TrunkSettings.model_validate({"preset": preset.name, **entered})


def entered_for(preset: Preset) -> dict[str, Any]:
    return {key: ENTERED[key] for key in preset.needs}


def test_every_provider_has_one_and_there_is_one_for_all_others() -> None:
    assert set(presets.names()) == PROVIDERS | {"generic"}


def test_each_tells_where_and_when_it_was_learnt(preset: Preset) -> None:
    address = urlsplit(preset.source.address)

    assert preset.source.document
    assert (address.scheme, bool(address.hostname)) == ("https", True)
    assert type(preset.date) is date
    assert preset.date >= date(2026, 11, 1)
    assert preset.title


def test_each_says_what_is_not_sure_while_nobody_has_called_through_it(preset: Preset) -> None:
    assert preset.tested in ("never", "lab")
    assert preset.unsure


def test_each_that_was_tried_says_when(preset: Preset) -> None:
    assert (preset.tested_on is None) is (preset.tested == "never")


def test_each_that_a_lab_plays_says_so_and_no_other(preset: Preset) -> None:
    played = {provider.name for provider in PROVIDERS_IN_LAB}

    assert (preset.tested == "lab") is (preset.name in played)


def test_none_says_what_only_an_operator_knows(preset: Preset) -> None:
    assert set(preset.trunk) <= set(TrunkSettings.model_fields) - OPERATORS_OWN
    assert set(preset.needs) <= set(TrunkSettings.model_fields) - set(preset.trunk)


def test_each_is_a_trunk_once_its_needs_are_entered(preset: Preset) -> None:
    settings = trunk(preset, **entered_for(preset))

    assert settings.mode == preset.trunk["mode"]
    assert settings.transport == preset.trunk["transport"]


def test_what_a_registration_cannot_do_without_is_asked_for(preset: Preset) -> None:
    required = {"username", "password"} if preset.trunk["mode"] == "register" else set()

    assert required <= set(preset.needs)
    for missing in required:
        entered = entered_for(preset)
        del entered[missing]
        with pytest.raises(ValidationError, match=missing):
            trunk(preset, **entered)


def test_what_the_operator_writes_comes_before_the_preset(preset: Preset) -> None:
    settings = trunk(preset, **entered_for(preset), media_encryption="off", region="AT")

    assert settings.media_encryption == "off"
    assert settings.region == "AT"


def test_who_asks_for_encryption_asks_for_all_of_it(preset: Preset) -> None:
    if preset.trunk["transport"] == "tls":
        assert preset.trunk["media_encryption"] in ("require", "prefer")
    else:
        assert "media_encryption" not in preset.trunk


def test_an_unknown_one_is_refused_with_the_names_of_those_that_exist() -> None:
    with pytest.raises(OperatorError) as refused:
        presets.load("../easybell")

    assert refused.value.cause == "there is no such preset."
    assert all(name in refused.value.remedy for name in presets.names())


def test_a_preset_is_a_value() -> None:
    easybell = presets.load("easybell")

    assert easybell is presets.load("easybell")
    for table in (easybell.trunk, easybell.needs):
        with pytest.raises(TypeError):
            table["mode"] = "peer"  # type: ignore[index]


def test_a_file_is_read() -> None:
    preset = presets.parse("example", TEXT)

    assert (preset.name, preset.title, preset.source.document) == ("example", "Example", "Help")
    assert preset.trunk["allowed_sources"] == ("203.0.113.0/28",)
    assert (preset.unsupported, preset.hints, dict(preset.needs)) == ("", (), {})
    assert preset.tested_on is None


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace('tested = "never"', 'tested = "yes"'),
        TEXT.replace('basis = "documented"', 'basis = "hearsay"'),
        TEXT.replace('title = "Example"', ""),
        TEXT.replace('unsure = ["something"]', ""),
        TEXT.replace('document = "Help"', ""),
        TEXT.replace("[source]", "colour = 1\n[source]"),
        TEXT.replace('mode = "peer"', "mode = peer"),
    ],
)
def test_a_malformed_file_is_not_read(text: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        presets.parse("example", text)


@pytest.mark.parametrize(
    ("name", "dial_format"),
    [("sipgate", "bare"), ("1und1", "bare"), ("ovh", "double-zero"), ("telnyx", "plus")],
)
def test_numbers_are_written_as_the_provider_is_known_to_want_them(
    name: str, dial_format: str
) -> None:
    made = presets.load(name)
    assert trunk(made, **entered_for(made)).dial_format == dial_format
