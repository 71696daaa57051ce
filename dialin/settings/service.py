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
LABEL_MAX_CHARACTERS = 32
LABEL_ALPHABET = re.compile(r"[A-Za-z0-9 ().-]*")
LONGEST_ORDINAL = " (9999)"
"""What a label may grow by when callers of one room would share it."""


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


class PinSettings(Section):
    """How a PIN is keyed, and how often a wrong one. BBB itself takes 5 to 11 digits."""

    min_digits: int = Field(default=5, ge=1, le=11, description="Digits of the shortest PIN.")
    max_digits: int = Field(
        default=11, ge=1, le=11, description="Digits of the longest PIN: it needs no `#`."
    )
    tries: int = Field(default=3, ge=1, le=5, description="Wrong PINs a call may have.")
    pause_s: float = Field(
        default=4.0, ge=1, le=20, description="A pause this long after the last digit ends a PIN."
    )
    think_s: float = Field(
        default=10.0,
        ge=10,
        le=120,
        description="How long to wait for the first digit, and for the next while the PIN is too "
        "short. Accessible services allow ten seconds at least.",
    )
    wrong_per_caller_per_hour: int = Field(
        default=10,
        ge=3,
        le=1000,
        description="Wrong PINs of one caller in an hour. Then the caller is locked out for 15 "
        "minutes, the next time for twice as long, up to a day.",
    )
    wrong_withheld_per_hour: int = Field(
        default=30,
        ge=3,
        le=10000,
        description="Wrong PINs in an hour of all callers of a trunk who withhold their numbers.",
    )
    slow_mode_above_per_hour: int = Field(
        default=120,
        ge=10,
        le=100000,
        description="Wrong PINs in an hour of all callers, beyond which guesses are slowed down. "
        "Who got into a room during the last 24 hours is not slowed down.",
    )
    slow_mode_release_per_hour: int = Field(
        default=600,
        ge=60,
        le=36000,
        description="Guesses that are let through in an hour while they are slowed down. This "
        "bounds what guessing can reach, see docs/operating.md.",
    )
    max_risk: float = Field(
        default=0.01,
        gt=0,
        le=1,
        description="Highest chance that somebody who guesses for 24 hours gets into a room. The "
        "service does not start where it is higher.",
    )
    accept_risk: bool = Field(
        default=False, description="`true` starts the service nevertheless, with a warning."
    )

    @model_validator(mode="after")
    def _lengths_are_in_order(self) -> Self:
        if self.min_digits > self.max_digits:
            raise refused(
                "the shortest PIN is longer than the longest.",
                "Make min_digits at most max_digits.",
                setting="min_digits",
            )
        return self


class LabelSettings(Section):
    """The name a caller has in the meeting."""

    template: str = Field(
        default="xxx-xxx-{digits}",
        description="Name of a caller whose number is known: `{digits}` stands for the last four "
        "digits. Letters, digits, space and `().-` only.",
    )
    hidden: str = Field(
        default="Phone caller {n}",
        description="Name of a caller without a number, or who hides it; `{n}` goes up in "
        "each room.",
    )
    ask_to_hide: bool = Field(
        default=False,
        description="`true`: callers are told before the PIN that `*3` hides their digits. The key "
        "works in either case.",
    )

    @field_validator("template")
    @classmethod
    def _template_is_safe(cls, template: str) -> str:
        return checked_label(template, "{digits}", "1234")

    @field_validator("hidden")
    @classmethod
    def _hidden_is_safe(cls, hidden: str) -> str:
        return checked_label(hidden, "{n}", "")


class IvrSettings(Section):
    """What callers hear, and how long they wait."""

    prompt_folder: Path | None = Field(
        default=None,
        description="Folder with prompts of your own, as `dialin prompts import` makes it. What is "
        "missing there is taken from the built-in set.",
        examples=["/etc/dialin/sounds"],
    )
    wait_for_room_s: float = Field(
        default=1800,
        ge=0,
        le=86400,
        description="How long a caller may wait for a meeting that has not begun, or for its host.",
    )
    wait_for_directory_s: float = Field(
        default=30,
        ge=0,
        le=600,
        description="How long a caller with a PIN is kept while BBB does not answer.",
    )
    wait_for_conference_s: float = Field(
        default=300,
        ge=0,
        le=3600,
        description="How long a caller is kept while a voice server does not answer. Whoever was "
        "in a meeting is back in it without a PIN.",
    )
    remind_every_s: float = Field(
        default=45,
        ge=5,
        le=600,
        description="From one announcement to a waiting caller to the next.",
    )
    music: bool = Field(
        default=True, description="Whether waiting callers hear music between announcements."
    )

    @field_validator("prompt_folder")
    @classmethod
    def _folder_exists(cls, folder: Path | None) -> Path | None:
        if folder is not None and not folder.is_dir():
            raise refused(
                "the folder does not exist or cannot be read.",
                "Create it, or remove the setting to use the built-in prompts.",
            )
        return folder


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


class PrivacySettings(Section):
    """What is shown of callers. Numbers are neither stored nor logged, whatever is set here."""

    hide_digits: bool = Field(
        default=False,
        description="`true` hides the last four digits too: every caller has the hidden label.",
    )
    require_consent: bool = Field(
        default=False,
        description="`true`: in a meeting that is recorded, a caller's microphone stays shut until "
        "they press `1`; `2` leaves.",
    )


class LogSettings(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least important kind of line that is written."
    )
    format: Literal["logfmt", "json"] = Field(
        default="logfmt", description="`logfmt`: key=value. `json`: an object a line."
    )


def checked_label(template: str, placeholder: str, insert: str) -> str:
    """The template itself, if labels made from it are fit for BBB; `caller` has the last word."""
    fixed = template.replace(placeholder, "", 1)
    if fixed == template or not LABEL_ALPHABET.fullmatch(fixed):
        raise refused(
            f"a label has {placeholder} once, and else letters, digits, space and ().- only.",
            "BBB reads meaning into other characters: leave them out.",
        )
    if not re.search(r"[A-Za-z]", fixed) or template != template.strip():
        raise refused(
            "a label has a letter in it, and no space at its ends.",
            "BBB turns away callers whose name is a bare number.",
        )
    if len(fixed + insert + LONGEST_ORDINAL) > LABEL_MAX_CHARACTERS:
        raise refused(
            f"labels could be longer than {LABEL_MAX_CHARACTERS} characters.", "Shorten it."
        )
    return template
