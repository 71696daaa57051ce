# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the API: who may use it, for what, and who is told by it what happens."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import Field, HttpUrl, SecretStr, ValidationInfo, field_validator

from dialin.settings.base import Section, refused
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


MeetingId = Annotated[str, Field(min_length=1, max_length=255)]


class SubscriberSettings(Section):
    """Somebody who is told that callers wait, come and go, by signed posts; see docs/api.md."""

    url: HttpUrl = Field(
        description="Where posts go: https, or http to an address of this machine or of a private "
        "network.",
        examples=["https://moodle.example.org/dialin.php"],
    )
    secret: SecretStr = Field(
        description="What posts are signed with, better in a secret file than here.",
        examples=["what `openssl rand -base64 32` prints"],
    )
    events: tuple[Literal["waiting", "joined", "left", "hand"], ...] = Field(
        default=("waiting", "joined", "left"),
        min_length=1,
        description="What is told: a caller waits, is in the room, is no longer in it, has raised "
        "or lowered the hand.",
    )
    meetings: tuple[MeetingId, ...] = Field(
        default=(),
        description="Meeting ids that are told of. Empty: all.",
        examples=[["weekly"]],
    )

    @field_validator("secret")
    @classmethod
    def _secret_is_strong(cls, secret: SecretStr, info: ValidationInfo) -> SecretStr:
        return strong_secret(secret, "secret", info)

    @field_validator("url")
    @classmethod
    def _way_is_private(cls, url: HttpUrl) -> HttpUrl:
        if url.scheme == "http" and not _is_near(url.host or ""):
            raise refused(
                "posts would cross the internet in the clear.",
                "Use https, or an address of this machine or of a private network.",
            )
        return url


def _is_near(host: str) -> bool:
    """Whether a host is this machine, or an address inside a private network."""
    try:
        return ip_address(host.strip("[]")).is_private
    except ValueError:
        return host == "localhost"
