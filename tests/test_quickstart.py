# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the quickstart are right as they stand. Its steps are walked in e2e."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from dialin.settings import Settings
from tests.settings import SECRET, TOKEN

PAGE = (Path(__file__).parents[1] / "docs" / "quickstart.md").read_text()
PEER, REGISTERED = map(tomllib.loads, re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))


def with_secrets(values: dict[str, Any]) -> dict[str, Any]:
    """The settings, with what stands in files of its own."""
    servers = {"main": {**values["bbb_servers"]["main"], "secret": SECRET}}
    web = {**values["web"], "token": TOKEN, "link_secret": TOKEN}
    return {**values, "bbb_servers": servers, "web": web}


def test_the_settings_are_right() -> None:
    settings = Settings.model_validate(with_secrets(PEER))
    assert settings.trunks["main"].mode == "peer"
    assert settings.web.root == "https://dialin.example.org"


def test_so_are_those_of_a_provider_that_wants_the_service_to_log_in() -> None:
    trunk = {"main": {**REGISTERED["trunks"]["main"], "password": SECRET}}
    settings = Settings.model_validate({**with_secrets(PEER), "trunks": trunk})
    assert settings.trunks["main"].mode == "register"


def test_the_unit_gets_every_secret_that_is_made() -> None:
    made = set(re.findall(r"/dev/stdin /etc/dialin/secrets/(\w+)$", PAGE, re.MULTILINE))
    given = re.findall(r"^LoadCredential=(\w+):/etc/dialin/secrets/(\w+)$", PAGE, re.MULTILINE)
    assert {name for name, _ in given} == {file for _, file in given} == made
    assert len(made) == 3
