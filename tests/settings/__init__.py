# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that tests start from."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from dialin.settings import Settings
from dialin.settings.problems import explain

SECRET = "s3cret-canary-of-the-bbb-server"
TOKEN = "t0ken-canary-Xq7Lw2Vb9Zr4"

MINIMAL: dict[str, Any] = {
    "trunks": {
        "lab": {"allowed_sources": ["203.0.113.0/28"], "numbers": [{"e164": "+493012345678"}]}
    },
    "bbb_servers": {"main": {"url": "https://bbb.example.org/bigbluebutton/", "secret": SECRET}},
}

UNSUPPORTED: dict[str, Any] = {
    "trunks.lab.preset": "companyflex",
    "trunks.lab.mode": "peer",
    "trunks.lab.transport": "udp",
    "trunks.lab.media_encryption": "off",
}
"""A provider that this version cannot talk to."""


def with_values(changes: dict[str, Any]) -> dict[str, Any]:
    """The minimal settings with values put at dotted paths."""
    values = deepcopy(MINIMAL)
    for path, value in changes.items():
        *tables, key = path.split(".")
        table = values
        for name in tables:
            table = table.setdefault(name, {})
        table[key] = value
    return values


def settings(changes: dict[str, Any] | None = None) -> Settings:
    """The minimal settings with changes, checked."""
    return Settings.model_validate(with_values(changes or {}))


def complaint(changes: dict[str, Any]) -> str:
    """What is wrong with the minimal settings after the changes, a line each, or ""."""
    try:
        settings(changes)
    except ValidationError as error:
        return "\n".join(f"{told.setting}: {told.cause}" for told in explain(error, {}))
    return ""
