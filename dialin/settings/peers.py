# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of those we talk to: telephone providers' trunks and BigBlueButton servers."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal, Self

from pydantic import Field, HttpUrl, SecretStr, field_validator, model_validator

from dialin.settings.base import E164, Country, Host, Language, Network, Port, Section, refused

NumberSource = Literal[
    "request-uri", "to", "p-called-party-id", "p-preferred-identity", "diversion", "fixed"
]


class NumberSettings(Section):
    """One number that callers dial."""

    e164: E164 = Field(
        description="The number with country code, as the world dials it.",
        examples=["+493012345678"],
    )
    language: Language | None = Field(
        default=None,
        description="Language for callers of this number. Unset: the first of `service.languages`.",
        examples=["de"],
    )
    country: Country | None = Field(
        default=None, description="Country the number is local in, two letters.", examples=["DE"]
    )
    label: str = Field(
        default="", max_length=60, description="How pages name the number.", examples=["Berlin"]
    )


class TrunkSettings(Section):
    """One SIP trunk of a telephone provider."""

    mode: Literal["peer", "register"] = Field(
        default="peer",
        description="`peer`: the provider sends calls to our address, we know it by its own. "
        "`register` is not in this version.",
    )
    allowed_sources: tuple[Network, ...] = Field(
        min_length=1,
        description="Networks that the provider signals from. They alone decide which trunk a "
        "call belongs to.",
        examples=[["203.0.113.0/28"]],
    )
    media_networks: tuple[Network, ...] = Field(
        default=(),
        description="Networks that the provider's audio may come from. Empty: the same as "
        "`allowed_sources`.",
        examples=[["203.0.113.64/26"]],
    )
    numbers: tuple[NumberSettings, ...] = Field(
        default=(),
        description="Numbers that ring here; a call for another gets 404. Empty: every number is "
        "answered.",
    )
    number_from: tuple[NumberSource, ...] = Field(
        default=("request-uri", "to", "p-called-party-id"),
        min_length=1,
        description="Where the number that was dialled is looked for, in this order. `fixed` means "
        "the first of `numbers`, for a provider that does not say.",
    )
    caller_from: tuple[Literal["p-asserted-identity", "remote-party-id", "from"], ...] = Field(
        default=("p-asserted-identity", "remote-party-id", "from"),
        min_length=1,
        description="Where the caller's number is looked for, in this order.",
    )
    region: Country | None = Field(
        default=None,
        description="Country whose national format the provider uses for numbers without a "
        "country code.",
        examples=["DE"],
    )
    media_encryption: Literal["off", "prefer", "require"] = Field(
        default="prefer",
        description="Whether audio to the provider is encrypted. This version cannot: `prefer` "
        "works as `off`, and `require` refuses to start rather than break its promise.",
    )

    @field_validator("allowed_sources", "media_networks")
    @classmethod
    def _networks_have_a_boundary(cls, networks: tuple[Network, ...]) -> tuple[Network, ...]:
        if any(network.prefixlen == 0 for network in networks):
            raise refused(
                "a network with prefix /0 lets everybody in.",
                "Name the provider's networks; its help pages or support have them.",
            )
        return networks

    @field_validator("mode")
    @classmethod
    def _mode_is_built(cls, mode: str) -> str:
        if mode == "register":
            raise refused(
                "this version cannot register with a provider.",
                'Use mode = "peer", with calls routed to this host\'s address.',
            )
        return mode

    @field_validator("media_encryption")
    @classmethod
    def _encryption_is_built(cls, encryption: str) -> str:
        if encryption == "require":
            raise refused(
                "this version has no SRTP yet, so it cannot promise encrypted audio.",
                'Use "prefer" or "off" if audio in the clear is acceptable on this trunk.',
            )
        return encryption

    @field_validator("numbers")
    @classmethod
    def _numbers_differ(cls, numbers: tuple[NumberSettings, ...]) -> tuple[NumberSettings, ...]:
        if len({number.e164 for number in numbers}) < len(numbers):
            raise refused("a number stands here twice.", "Keep one of the two entries.")
        return numbers

    @model_validator(mode="after")
    def _a_fixed_number_exists(self) -> Self:
        if "fixed" in self.number_from and not self.numbers:
            raise refused(
                "the number is to be the first of numbers, and there is none.",
                "Add the number to numbers.",
                setting="number_from",
            )
        return self


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
    voice_port: Port = Field(default=5060, description="SIP port of FreeSWITCH.")
    voice_transport: Literal["udp", "tcp"] = Field(
        default="udp", description="Transport to FreeSWITCH. UDP source addresses can be forged."
    )
    voice_networks: tuple[Network, ...] = Field(
        default=(),
        description="Networks that FreeSWITCH's audio may come from. Empty: the address of "
        "`voice_host` alone.",
        examples=[["10.0.0.0/24"]],
    )
    voice_in_clear: bool = Field(
        default=False,
        description="`true` allows audio to a public address although this version cannot "
        "encrypt it.",
    )
    bridge: Literal["auto", "freeswitch", "livekit"] = Field(
        default="auto",
        description="What carries the meetings' audio. `auto` means FreeSWITCH in this version; "
        "`livekit` is not in it.",
    )

    @field_validator("url")
    @classmethod
    def _url_is_bare(cls, url: HttpUrl) -> HttpUrl:
        if url.username or url.password or url.query or url.fragment:
            raise refused(
                "the address holds more than scheme, host, port and path.",
                "Write it as `bbb-conf --secret` prints it; the secret has a setting of its own.",
            )
        return url

    @field_validator("bridge")
    @classmethod
    def _bridge_is_built(cls, bridge: str) -> str:
        if bridge == "livekit":
            raise refused(
                "this version cannot join LiveKit audio.",
                'Use "freeswitch" for servers whose meetings run on it.',
            )
        return bridge

    @property
    def voice_address(self) -> str:
        """The host of FreeSWITCH, wherever it is set."""
        return self.voice_host or (self.url.host or "").strip("[]")

    @model_validator(mode="after")
    def _public_audio_is_wanted(self) -> Self:
        if not self.voice_in_clear and is_public(self.voice_address):
            raise refused(
                "callers' audio would cross a public network unencrypted.",
                "Use an address inside a private network or tunnel, or set voice_in_clear = true.",
                setting="voice_host",
            )
        return self


def is_public(host: str) -> bool:
    """Whether a host is an address that the whole internet reaches. Names are not looked up."""
    try:
        return ip_address(host).is_global
    except ValueError:
        return False
