# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the web side: what operators see, and what hosts and callers see."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    Field,
    HttpUrl,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dialin.settings.base import Host, Network, Section, refused

FOR_DEMO = {"for_demo": True}
"""Validation context of the demo, where a token typed by hand on loopback will do."""

TOKEN_MIN_CHARACTERS = 20
TOKEN_MIN_DISTINCT = 10
"""Together well above 64 bits for anything drawn at random, and out of reach of "test"."""


def _checked_origin(text: str) -> str:
    parts = urlsplit(text)
    is_bare = text == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc
    if parts.scheme not in ("https", "http") or not is_bare or set(text) & set(" ;,*'\""):
        raise refused(
            "this is no origin: scheme and host, and a port if it is not the usual one.",
            "Write https://moodle.example.org without a path.",
        )
    return text


Origin = Annotated[str, Field(max_length=300), AfterValidator(_checked_origin)]


def strong_secret(secret: SecretStr, what: str, info: ValidationInfo) -> SecretStr:
    """The secret itself, if nobody can guess it."""
    text = secret.get_secret_value()
    if text and (info.context or {}).get("for_demo"):
        return secret
    if len(text) < TOKEN_MIN_CHARACTERS or len(set(text)) < TOKEN_MIN_DISTINCT:
        raise refused(
            f"the {what} can be guessed.", "Use a long random one: openssl rand -base64 32."
        )
    return secret


class WebSettings(Section):
    """Pages for hosts and callers, and what is for operators: health, metrics and the API."""

    host: Host = Field(
        default="127.0.0.1",
        description="Address to bind. What listens here is for operators: keep it private, or "
        "put a proxy with access control before it.",
    )
    port: int = Field(default=8080, ge=0, le=65535, description="Port; 0 lets the system choose.")
    token: SecretStr | None = Field(
        default=None,
        description="Bearer token of the API, better in a secret file than here. Unset: the API "
        "is off, health and metrics stay.",
        examples=["what `openssl rand -base64 32` prints"],
    )
    requests_per_minute: int = Field(
        default=600,
        ge=1,
        le=100_000,
        description="Requests to the API that each token may make in a minute; more get 429.",
    )
    public_host: Host | None = Field(
        default=None,
        description="Address to bind for what the world may reach: the public page, the room pages "
        "and what BigBlueButton tells us. Unset: with `public_port`, 127.0.0.1.",
        examples=["127.0.0.1"],
    )
    public_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None,
        description="Port for them; 0 lets the system choose. Unset: they stand beside the "
        "operators' pages, on `host` and `port`.",
        examples=[8081],
    )
    base_url: HttpUrl | None = Field(
        default=None,
        description="Address that the public pages have from outside, as browsers and "
        "BigBlueButton's servers reach them. Unset: links have no host, and BigBlueButton cannot "
        "tell us anything.",
        examples=["https://dialin.example.org/"],
    )
    link_secret: SecretStr | None = Field(
        default=None,
        description="Secret that links to room pages are signed with; whoever has it can make "
        "them. Better in a secret file than here. Unset: there are no room pages.",
        examples=["what `openssl rand -base64 32` prints"],
    )
    link_days: int = Field(
        default=180,
        ge=1,
        le=3650,
        description="How long a link that we make works, unless whoever asks for it says "
        "otherwise.",
    )
    embed_origins: tuple[Origin, ...] = Field(
        default=(),
        description="Sites that may show a room page inside their own. Empty: none.",
        examples=[["https://moodle.example.org"]],
    )
    time_zone: str = Field(
        default="UTC",
        description="Time zone that hosts mean when they choose the time of an invitation.",
        examples=["Europe/Berlin"],
    )
    imprint_url: HttpUrl | None = Field(
        default=None,
        description="Your imprint, linked from each page.",
        examples=["https://www.example.org/imprint"],
    )
    privacy_url: HttpUrl | None = Field(
        default=None,
        description="Your privacy policy, linked from each page.",
        examples=["https://www.example.org/privacy"],
    )
    proxies: tuple[Network, ...] = Field(
        default=(),
        description="Networks of reverse proxies that stand before the public pages. Only what "
        "comes from there is believed when it says whom it speaks for (`X-Forwarded-For`).",
        examples=[["127.0.0.1/32"]],
    )

    @field_validator("token", "link_secret")
    @classmethod
    def _secret_is_strong(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is None:
            return None
        return strong_secret(secret, "token" if info.field_name == "token" else "secret", info)

    @field_validator("base_url", "imprint_url", "privacy_url")
    @classmethod
    def _url_holds_no_login(cls, url: HttpUrl | None, info: ValidationInfo) -> HttpUrl | None:
        if url is None:
            return None
        if url.username or url.password:
            raise refused("the address holds a login, which every page would show.", "Remove it.")
        if info.field_name == "base_url" and (url.query or url.fragment):
            raise refused(
                "the address holds more than scheme, host, port and path.", "Cut it off there."
            )
        return url

    @field_validator("time_zone")
    @classmethod
    def _time_zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, LookupError):
            raise refused(
                "there is no such time zone.", "Write it like Europe/Berlin or UTC."
            ) from None
        return name

    @model_validator(mode="after")
    def _public_side_has_a_port(self) -> Self:
        if self.public_host is not None and self.public_port is None:
            raise refused(
                "there is an address for the public pages, and no port.",
                "Set public_port, or remove public_host to have them on host and port.",
                setting="public_port",
            )
        return self

    @property
    def root(self) -> str:
        """What the address of each public page begins with; empty if no setting says so."""
        return str(self.base_url).rstrip("/") if self.base_url else ""
