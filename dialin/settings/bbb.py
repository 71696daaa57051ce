# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of BigBlueButton servers, their voice servers and what they tell by webhooks.

What must fit together within one of them is `peer_checks`' affair.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, HttpUrl, SecretStr, field_validator, model_validator

from dialin.settings import peer_checks
from dialin.settings.base import (
    Encryption,
    Host,
    Network,
    Port,
    Section,
    Transport,
    existing_file,
    refused,
    with_tls_port,
)


class BbbServerSettings(Section):
    """One BigBlueButton server."""

    url: HttpUrl = Field(
        description="Address of the server as `bbb-conf --secret` prints it.",
        examples=["https://bbb.example.org/bigbluebutton/"],
    )
    secret: SecretStr = Field(
        min_length=1,
        description="Shared secret of the BBB API as `bbb-conf --secret` prints it. Better in a "
        "secret file than here.",
        examples=["the-secret-that-bbb-conf-prints"],
    )
    checksum: Literal["sha1", "sha256", "sha384", "sha512"] = Field(
        default="sha256", description="How API calls are signed; older servers know only `sha1`."
    )
    voice_host: Host | None = Field(
        default=None,
        description="Host of the server's FreeSWITCH. Unset: the host of `url`.",
        examples=["10.0.0.12"],
    )
    voice_port: Port = Field(
        default=5060,
        description="SIP port of FreeSWITCH. Unset: 5060, for `tls` 5061; some have it at 5081.",
    )
    voice_transport: Transport = Field(
        default="udp", description="Transport to FreeSWITCH. UDP source addresses can be forged."
    )
    voice_encryption: Encryption = Field(
        default="prefer",
        description="Audio to FreeSWITCH. `require`: SRTP or no call. `prefer`: SRTP where "
        "`voice_transport` keeps its keys safe and FreeSWITCH takes it. `off`: in the clear.",
    )
    voice_allow_insecure_sdes: bool = Field(
        default=False,
        description="`true` lets the keys of SRTP travel over `udp` or `tcp`; sensible inside a "
        "tunnel only.",
    )
    voice_tls_ca_file: Path | None = Field(
        default=None,
        description="Certificate authorities to trust, as PEM. Unset: those of the system.",
        examples=["/etc/dialin/bbb-ca.pem"],
    )
    voice_networks: tuple[Network, ...] = Field(
        default=(),
        description="Networks that FreeSWITCH's audio may come from. Empty: the address of "
        "`voice_host` alone.",
        examples=[["10.0.0.0/24"]],
    )
    voice_in_clear: bool = Field(
        default=False,
        description="`true` allows audio to a public address that does not have to be encrypted.",
    )
    bridge: Literal["auto", "freeswitch", "livekit"] = Field(
        default="auto",
        description="What carries the meetings' audio. `auto`: what BigBlueButton says of each "
        "meeting, and FreeSWITCH where it says nothing.",
    )
    livekit_host: Host | None = Field(
        default=None,
        description="Host of the server's livekit-sip. Unset: the host of FreeSWITCH.",
        examples=["10.0.0.13"],
    )
    livekit_port: Port = Field(default=5062, description="SIP port of livekit-sip.")
    livekit_transport: Transport | None = Field(
        default=None,
        description="Transport to livekit-sip. Unset: the same as `voice_transport`. Encryption, "
        "certificates and networks are those of the settings that begin with `voice_`.",
        examples=["tcp"],
    )
    mute_keys: Literal["off", "rfc4733", "info"] = Field(
        default="off",
        description="How a caller's mute is told to FreeSWITCH, so that BigBlueButton's list of "
        "users shows it: the keys that `config/freeswitch` binds, as telephone events (`rfc4733`) "
        "or by SIP INFO (`info`). `off`: callers are muted here alone, and the list does not show "
        "it; wrong without the dialplan file.",
    )
    webhooks: bool = Field(
        default=True,
        description="Whether BigBlueButton is asked to tell by itself what happens in meetings, "
        "which needs `web.base_url` here and bbb-webhooks there. Without it callers do not hear "
        "that a host has muted them, and rooms are noticed a few seconds later.",
    )
    hook_sources: tuple[Network, ...] = Field(
        default=(),
        description="Networks that the server's webhooks come from. Empty: the addresses of `url`.",
        examples=[["203.0.113.7/32"]],
    )

    @model_validator(mode="before")
    @classmethod
    def _tls_has_a_port_of_its_own(cls, values: Any) -> Any:
        return with_tls_port(values, transport="voice_transport", port="voice_port")

    @field_validator("url")
    @classmethod
    def _url_is_bare(cls, url: HttpUrl) -> HttpUrl:
        if url.username or url.password or url.query or url.fragment:
            raise refused(
                "the address holds more than scheme, host, port and path.",
                "Write it as `bbb-conf --secret` prints it; the secret has a setting of its own.",
            )
        return url

    @field_validator("voice_tls_ca_file")
    @classmethod
    def _file_exists(cls, file: Path | None) -> Path | None:
        return existing_file(file)

    @property
    def voice_address(self) -> str:
        """The host of FreeSWITCH, wherever it is set."""
        return self.voice_host or (self.url.host or "").strip("[]")

    @property
    def livekit_address(self) -> str:
        """The host of livekit-sip, wherever it is set."""
        return self.livekit_host or self.voice_address

    @property
    def livekit_way(self) -> Transport:
        """The transport to livekit-sip, wherever it is set."""
        return self.livekit_transport or self.voice_transport

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        peer_checks.check_server(self)
        return self
