# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of telephone providers' trunks; those of BigBlueButton servers are in `bbb`.

What must fit together within one of them is `peer_checks`' affair. What the models allow and this
version cannot do yet is refused at the start, by `unbuilt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from dialin import presets
from dialin.errors import OperatorError
from dialin.settings import peer_checks
from dialin.settings.base import (
    E164,
    Country,
    Encryption,
    Host,
    HostPort,
    Language,
    Network,
    Section,
    Transport,
    existing_file,
    refused,
    split_host_port,
)

NumberSource = Annotated[
    str,
    StringConstraints(
        pattern=r"^(request-uri|to|p-called-party-id|p-preferred-identity|diversion|fixed"
        r"|header:[A-Za-z0-9-]{1,64})$"
    ),
]
CallerSource = Literal[
    "p-asserted-identity", "remote-party-id", "from", "p-preferred-identity", "diversion"
]
SipName = Annotated[str, StringConstraints(pattern=r"^[!#-;=?-\[\]-~]{1,128}$")]
"""ASCII without blanks and without what would end a quoted or bracketed text."""
Algorithm = Literal["sha-512-256", "sha-256", "md5"]


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
    languages: tuple[Language, ...] = Field(
        default=(),
        max_length=5,
        description="Callers of this number choose one of these by a key, "
        "`1` for the first. Who presses nothing hears the first.",
        examples=[["de", "en"]],
    )
    country: Country | None = Field(
        default=None, description="Country the number is local in, two letters.", examples=["DE"]
    )
    label: str = Field(
        default="", max_length=60, description="How pages name the number.", examples=["Berlin"]
    )
    toll_free: bool = Field(
        default=False, description="Whether calling it costs nothing; pages say so."
    )

    @field_validator("languages")
    @classmethod
    def _languages_differ(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(languages)) < len(languages):
            raise refused("a language stands there twice.", "Name each once.")
        return languages

    @model_validator(mode="after")
    def _languages_agree(self) -> Self:
        if self.language and self.languages and self.language != self.languages[0]:
            raise refused(
                "language is not the first of languages.",
                "Keep languages where callers choose, else language.",
            )
        return self

    @property
    def spoken(self) -> tuple[str, ...]:
        """The languages of the number, the default first; empty for that of the service."""
        return self.languages or ((self.language,) if self.language else ())


class TrunkSettings(Section):
    """One SIP trunk of a telephone provider; `docs/trunks.md` has the presets."""

    preset: str | None = Field(
        default=None,
        description="What is known of the provider, by the preset's name; every other setting here "
        "comes before it.",
        examples=["easybell"],
    )
    mode: Literal["peer", "register"] = Field(
        default="peer",
        description="`register`: we log in with user name and password, and calls come to where "
        "we are. `peer`: the provider sends calls to our address, we know it by its own.",
    )
    registrar: HostPort | None = Field(
        default=None,
        description="Server to register with. Without a port, DNS says which and where.",
        examples=["sip.example.org:5061"],
    )
    domain: Host | None = Field(
        default=None,
        description="Domain of our address at the provider, `sip:username@domain`. Unset: the host "
        "of `registrar`. Over `tls` without a registrar, what the provider's certificate names.",
        examples=["example.org"],
    )
    transport: Transport = Field(
        default="udp", description="How we signal. Only `tls` is encrypted."
    )
    username: SipName | None = Field(
        default=None,
        description="User name of our address at the provider.",
        examples=["004930123456"],
    )
    auth_username: SipName | None = Field(
        default=None,
        description="User name to log in with. Unset: `username`.",
        examples=["004930123456"],
    )
    password: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="Password to log in with. Better in a secret file than here.",
        examples=["the-password-of-the-trunk"],
    )
    realm: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="Realm that the password is for. Unset: whichever the registrar names.",
        examples=["example.org"],
    )
    outbound_proxy: HostPort | None = Field(
        default=None,
        description="Server that everything is sent through, if the provider has one.",
        examples=["proxy.example.org:5061"],
    )
    expires_s: int = Field(
        default=300,
        ge=60,
        le=86400,
        description="How long a registration shall last; the provider has the last word.",
    )
    single_registration: bool = Field(
        default=False,
        description="`true`: the account can be registered at one place only, and that is here: "
        "what else is registered, such as a bridge that has crashed, is removed. So a second "
        "bridge must not try.",
    )
    pause_after_refusal_s: int = Field(
        default=0,
        ge=0,
        le=86400,
        description="After the provider has refused user name, password or account: how long to "
        "wait before the next attempt, at least. For providers that lock accounts out. Without it "
        "the pauses grow from 8 seconds to 5 minutes. A reload that changes the trunk ends it.",
    )
    fresh_registration_s: Annotated[int, Field(ge=60, le=86400)] | None = Field(
        default=None,
        description="After so long without a call the registration is taken back and made anew, "
        "while no call is up. For providers that stop sending calls to old registrations, see "
        "docs/trunks.md. Unset: never.",
        examples=[240],
    )
    keepalive_s: int = Field(
        default=20,
        ge=5,
        le=600,
        description="Pause between two signs of life on the way to the provider, so that firewalls "
        "keep it open, and that a way that is dead is noticed 10 seconds later at most.",
    )
    keepalive: Literal["options", "empty"] = Field(
        default="options",
        description="Signs of life over `udp`. `options` asks the server whether it is there. "
        "`empty` sends empty datagrams, which find out nothing, for a provider that minds being "
        "asked. Over `tcp` and `tls` they are empty lines, which most servers answer.",
    )
    outbound: bool = Field(
        default=True,
        description="Over `tcp` and `tls`: name this bridge and its connection to the registrar "
        "(RFC 5626), which can then put a new connection in the place of one that broke. `false` "
        "for a registrar that stumbles over it.",
    )
    digest_algorithms: tuple[Algorithm, ...] = Field(
        default=("sha-512-256", "sha-256", "md5"),
        min_length=1,
        description="How the password may be proved. The strongest that the provider offers is "
        "taken.",
    )
    media_encryption: Encryption = Field(
        default="prefer",
        description="Audio to the provider. `require`: SRTP, and calls without it are refused. "
        "`prefer`: SRTP where the provider offers it. `off`: in the clear.",
    )
    allow_insecure_sdes: bool = Field(
        default=False,
        description="`true` lets the keys of SRTP travel over `udp` or `tcp`, where anybody on the "
        "way can read them; sensible inside a tunnel only.",
    )
    tls_ca_file: Path | None = Field(
        default=None,
        description="Certificate authorities to trust, as PEM. Unset: those of the system.",
        examples=["/etc/dialin/provider-ca.pem"],
    )
    tls_client_certificate: Path | None = Field(
        default=None,
        description="Our certificate, as PEM, for providers that ask for one.",
        examples=["/etc/dialin/client.pem"],
    )
    tls_client_key: Path | None = Field(
        default=None,
        description="The key of our certificate, as PEM.",
        examples=["/etc/dialin/client.key"],
    )
    allowed_sources: tuple[Network, ...] = Field(
        default=(),
        description="Networks that the provider signals from. They alone decide which trunk a "
        "call belongs to. A `peer` must have them; where we register, empty means the addresses "
        "of the registrar.",
        examples=[["203.0.113.0/28"]],
    )
    media_networks: tuple[Network, ...] = Field(
        default=(),
        description="Networks that the provider's audio may come from. Empty: the same as "
        "`allowed_sources`; where we register, whichever address the provider names.",
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
        description="Where the number that was dialled is looked for, in this order: "
        "`request-uri`, `to`, `p-called-party-id`, `p-preferred-identity`, `diversion`, any other "
        "header as `header:NAME`. `fixed` means the first of `numbers`, for a provider that does "
        "not say.",
    )
    caller_from: tuple[CallerSource, ...] = Field(
        default=("p-asserted-identity", "remote-party-id", "from"),
        min_length=1,
        description="Where the caller's number is looked for, in this order. Whoever withholds it "
        "is withheld, whatever stands there.",
    )
    region: Country | None = Field(
        default=None,
        description="Country whose national format the provider uses for numbers without a "
        "country code.",
        examples=["DE"],
    )
    dial_format: Literal["plus", "bare", "double-zero", "national"] = Field(
        default="plus",
        description="How the provider wants numbers written that are called by it, in test calls: "
        "`plus` as `+4930…`, `bare` as `4930…`, `double-zero` as `004930…`, `national` as `030…`.",
    )
    session_timers: bool | Annotated[int, Field(ge=90, le=86400)] = Field(
        default=True,
        description="Whether one side of a call asks now and then if the other is still there, and "
        "a call ends whose other side is not: `true` if the provider wants it, `false` only if it "
        "insists. A number (90 to 86400) makes us ask even where the provider says nothing of it; "
        "half of so many seconds lie between.",
    )

    @model_validator(mode="before")
    @classmethod
    def _preset_lies_beneath(cls, values: Any) -> Any:
        """What the operator writes comes before what the preset says."""
        name = values.get("preset") if isinstance(values, Mapping) else None
        if not isinstance(name, str):
            return values
        try:
            return {**presets.load(name).trunk, **values}
        except OperatorError as unknown:
            raise refused(unknown.cause, unknown.remedy, setting="preset") from None

    @field_validator("allowed_sources", "media_networks")
    @classmethod
    def _networks_have_a_boundary(cls, networks: tuple[Network, ...]) -> tuple[Network, ...]:
        if any(network.prefixlen == 0 for network in networks):
            raise refused(
                "a network with prefix /0 lets everybody in.",
                "Name the provider's networks; its help pages or support have them.",
            )
        return networks

    @field_validator("tls_ca_file", "tls_client_certificate", "tls_client_key")
    @classmethod
    def _file_exists(cls, file: Path | None) -> Path | None:
        return existing_file(file)

    @field_validator("digest_algorithms")
    @classmethod
    def _algorithms_differ(cls, algorithms: tuple[Algorithm, ...]) -> tuple[Algorithm, ...]:
        if len(set(algorithms)) < len(algorithms):
            raise refused("an algorithm stands here twice.", "Name each once.")
        return algorithms

    @field_validator("numbers")
    @classmethod
    def _numbers_differ(cls, numbers: tuple[NumberSettings, ...]) -> tuple[NumberSettings, ...]:
        if len({number.e164 for number in numbers}) < len(numbers):
            raise refused("a number stands here twice.", "Keep one of the two entries.")
        return numbers

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        peer_checks.check_trunk(self)
        return self

    @property
    def home_domain(self) -> str:
        """The domain of our address at the provider; empty where we do not register."""
        return self.domain or (split_host_port(self.registrar)[0] if self.registrar else "")

    @property
    def server_name(self) -> str:
        """What the certificate of the provider's servers has to name: what we look up in DNS.

        RFC 5922 §7.3: never a name that DNS has made of it. Empty if there is none.
        """
        server = self.outbound_proxy or self.registrar
        return split_host_port(server)[0] if server else self.domain or ""

    @property
    def login(self) -> str:
        """The user name that the password belongs to; empty if there is none."""
        return self.auth_username or self.username or ""
