# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the API: who may use it, and for what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from dialin.settings.base import Section
from dialin.settings.web import strong_secret


class TokenSettings(Section):
    """A token of the API, for one front end or one colleague."""

    secret: SecretStr = Field(
        description="The token itself, better in a secret file than here.",
        examples=["what `openssl rand -base64 32` prints"],
    )
    scopes: tuple[Literal["rooms", "calls", "admin"], ...] = Field(
        min_length=1,
        description="What it opens. `rooms`: PINs, numbers and links. `calls`: see, hang up, mute, "
        "let in, move. `admin`: trunks, servers, the service itself.",
        examples=[["rooms"]],
    )

    @field_validator("secret")
    @classmethod
    def _secret_is_strong(cls, secret: SecretStr, info: ValidationInfo) -> SecretStr:
        return strong_secret(secret, "token", info)
