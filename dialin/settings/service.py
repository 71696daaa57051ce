# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the service itself, section by section in the order of the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    IPvAnyAddress,
    SecretStr,
    field_validator,
    model_validator,
)

from dialin.events import Codec
from dialin.settings.base import (
    E164,
    Language,
    Name,
    Section,
    Transport,
    existing_file,
    refused,
    with_tls_port,
)

PIN = re.compile(r"[0-9]{5,11}")
"""What BBB takes for the number of a voice conference."""


class ServiceSettings(Section):
    """The service as a whole."""

    name: str = Field(
        default="Dial-in",
        min_length=1,
        max_length=60,
        description="What the service calls itself on its pages.",
    )
    languages: tuple[Language, ...] = Field(
        default=("en", "de"),
        min_length=1,
        description="Languages that callers can be spoken to in. The first is used where a dialled "
        "number names none, the others stand in for missing prompts, in this order.",
    )
    max_calls: int = Field(
        default=50,
        ge=1,
        le=2000,
        description="Calls at once. One more is answered with 503, so that the provider can try "
        "elsewhere.",
    )
    drain_timeout_s: float = Field(
        default=600,
        ge=0,
        le=86400,
        description="How long running calls may go on after SIGTERM before they are ended.",
    )
    state_directory: Path = Field(
        default=Path("/var/lib/dialin"),
        description="Where the service keeps what must outlive it, see `store`. It is made if it "
        "is not there.",
    )


class ListenSettings(Section):
    """One socket that takes SIP."""

    transport: Transport = Field(description="Transport protocol. Only `tls` is encrypted.")
    host: IPvAnyAddress = Field(description="Address to bind; 0.0.0.0 or :: for all.")
    port: int = Field(
        default=5060,
        ge=0,
        le=65535,
        description="Port; 0 lets the system choose. Unset: 5060, for `tls` 5061.",
    )

    @model_validator(mode="before")
    @classmethod
    def _tls_has_a_port_of_its_own(cls, values: Any) -> Any:
        return with_tls_port(values, transport="transport", port="port")


class SipSettings(Section):
    """Where the service is reached by SIP. All trunks share its sockets, so they are set here and
    not with each trunk."""

    listen: tuple[ListenSettings, ...] = Field(
        default=(
            ListenSettings.model_validate({"transport": "udp", "host": "0.0.0.0"}),  # noqa: S104 - the allow-list guards it
            ListenSettings.model_validate({"transport": "tcp", "host": "0.0.0.0"}),  # noqa: S104 - likewise
        ),
        min_length=1,
        description="Sockets that take SIP. Whatever comes from outside the trunks' "
        "`allowed_sources` is dropped unread.",
    )
    advertised_address: IPvAnyAddress | None = Field(
        default=None,
        description="Address written into SIP and SDP towards trunks, where NAT hides the one "
        "bound. The forwarded ports must be the same on both sides.",
        examples=["198.51.100.7"],
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="Our certificate and those between it and its authority, as PEM, for `tls` in "
        "`listen`. Read again when it is renewed.",
        examples=["/etc/dialin/tls.pem"],
    )
    tls_key: Path | None = Field(
        default=None,
        description="Its key, as PEM. Unset: it stands in the same file.",
        examples=["/etc/dialin/tls.key"],
    )

    @field_validator("tls_certificate", "tls_key")
    @classmethod
    def _file_exists(cls, file: Path | None) -> Path | None:
        return existing_file(file)

    @model_validator(mode="after")
    def _certificate_is_for_tls(self) -> Self:
        takes_tls = any(at.transport == "tls" for at in self.listen)
        if takes_tls and self.tls_certificate is None:
            raise refused(
                "to take calls over TLS, we need a certificate that we can prove ourselves with.",
                "Name it, and its key as tls_key. Without it, and without tls in listen, calls "
                "still come over TLS by the connections that we open to a provider.",
                setting="tls_certificate",
            )
        if not takes_tls and (self.tls_certificate or self.tls_key):
            raise refused(
                "there is a certificate, and nothing in listen takes TLS.",
                'Add { transport = "tls", host = "0.0.0.0" } to listen, or remove the file.',
                setting="tls_certificate" if self.tls_certificate else "tls_key",
            )
        return self


class MediaSettings(Section):
    """The media plane: worker processes that own the RTP sockets."""

    rtp_first_port: int = Field(
        default=10000, ge=1024, le=65534, description="First UDP port for RTP; even."
    )
    rtp_last_port: int = Field(
        default=14999, ge=1025, le=65535, description="Last UDP port for RTP and RTCP; odd."
    )
    workers: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        default="auto", description="Worker processes. `auto`: one a core but one, at least one."
    )
    codecs: tuple[Codec, ...] = Field(
        default=(Codec.G722, Codec.PCMA, Codec.PCMU),
        min_length=1,
        description="Codecs offered to callers, best first. A call keeps one codec on both sides, "
        "so nothing is transcoded.",
    )
    timeout_s: float = Field(
        default=30, ge=5, le=3600, description="A leg without any packet for so long is lost."
    )
    conference_timeout_s: float = Field(
        default=4,
        ge=1,
        le=3600,
        description="A conference that sends nothing for so long is lost, and its callers wait "
        "until they can go back. FreeSWITCH sends all the time; LiveKit may not, and is given "
        "`timeout_s`.",
    )
    latch: Literal["sdp", "same-ip"] = Field(
        default="sdp",
        description="`sdp`: audio comes from the address and port that SDP names. `same-ip`: from "
        "another port of that address too, learnt once, for callers behind NAT.",
    )

    @field_validator("codecs")
    @classmethod
    def _codecs_differ(cls, codecs: tuple[Codec, ...]) -> tuple[Codec, ...]:
        if len(set(codecs)) < len(codecs):
            raise refused("a codec stands here twice.", "Name each codec once.")
        return codecs

    @model_validator(mode="after")
    def _range_holds_pairs(self) -> Self:
        if self.rtp_first_port % 2 or not self.rtp_last_port % 2:
            raise refused(
                "RTP takes even ports and RTCP the odd ones after them.",
                "Let rtp_first_port be even and rtp_last_port odd.",
                setting="rtp_first_port",
            )
        if self.rtp_first_port > self.rtp_last_port:
            raise refused(
                "the RTP range ends before it begins.",
                "Let rtp_last_port be above rtp_first_port.",
                setting="rtp_last_port",
            )
        return self


class SelfTestSettings(Section):
    """Calls that the service places to itself, to find out whether callers reach a meeting now."""

    pin: SecretStr | None = Field(
        default=None,
        description="PIN of a test room that always runs, better in a secret file than here. "
        "Unset: there is no self-test. With it, programs on this machine can call the service.",
        examples=["123456789"],
    )
    every_s: float = Field(
        default=300, ge=10, le=86400, description="Pause between one such call and the next."
    )
    number: E164 | None = Field(
        default=None,
        description="Number to dial. Unset: none in particular; with `trunk`, its first. By a "
        "trunk, only numbers of your own trunks are called.",
        examples=["+493012345678"],
    )
    trunk: Name | None = Field(
        default=None,
        description="Trunk that the calls go out by, to come back in by the provider, which may "
        "charge for them. Unset: they come straight to the service's own door.",
        examples=["example"],
    )

    @field_validator("pin")
    @classmethod
    def _pin_is_digits(cls, pin: SecretStr | None) -> SecretStr | None:
        if pin is not None and not PIN.fullmatch(pin.get_secret_value()):
            raise refused("a PIN has 5 to 11 digits.", "Copy it from the test room's invitation.")
        return pin


class LogSettings(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least important kind of line that is written."
    )
    format: Literal["logfmt", "json"] = Field(
        default="logfmt", description="`logfmt`: key=value. `json`: an object a line."
    )
