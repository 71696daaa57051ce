# SPDX-License-Identifier: GPL-3.0-or-later
"""All settings as one value, and the checks that need more than one section.

The sections themselves stand in `service`, `web` and `peers`; where values come from is the
business of `sources`, and how they are described that of `pages`.
"""

from __future__ import annotations

from itertools import combinations
from typing import Self

from pydantic import Field, model_validator

from dialin.settings.api import SubscriberSettings, TokenSettings
from dialin.settings.base import Name, Section, refused
from dialin.settings.bbb import BbbServerSettings
from dialin.settings.callers import IvrSettings, LabelSettings, PinSettings, PrivacySettings
from dialin.settings.peers import TrunkSettings
from dialin.settings.service import (
    LogSettings,
    MediaSettings,
    SelfTestSettings,
    ServiceSettings,
    SipSettings,
)
from dialin.settings.store import StoreSettings
from dialin.settings.web import WebSettings

PORTS_PER_CALL = 4
"""RTP and RTCP of the trunk leg, RTP and RTCP of the conference leg."""


class Settings(Section):
    """All settings."""

    service: ServiceSettings = ServiceSettings()
    sip: SipSettings = SipSettings()
    trunks: dict[Name, TrunkSettings] = Field(
        min_length=1, description="SIP trunks by name: small letters, digits, underscores."
    )
    bbb_servers: dict[Name, BbbServerSettings] = Field(
        min_length=1, description="BigBlueButton servers by name."
    )
    pin: PinSettings = PinSettings()
    label: LabelSettings = LabelSettings()
    ivr: IvrSettings = IvrSettings()
    media: MediaSettings = MediaSettings()
    web: WebSettings = WebSettings()
    tokens: dict[Name, TokenSettings] = Field(
        default={},
        description="Tokens of the API by the names of those who have them, each with its scopes.",
    )
    subscribers: dict[Name, SubscriberSettings] = Field(
        default={},
        description="Others that are told what happens to callers, by the names that you give "
        "them.",
    )
    selftest: SelfTestSettings = SelfTestSettings()
    privacy: PrivacySettings = PrivacySettings()
    store: StoreSettings = StoreSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        ports_suffice(self)
        ports_are_apart(self)
        trunks_differ(self)
        trunks_are_reached(self)
        servers_are_reached(self)
        servers_differ(self)
        languages_are_known(self)
        selftest_comes_back(self)
        return self


def ports_suffice(settings: Settings) -> None:
    """The RTP range holds as many calls as the service takes."""
    media, calls = settings.media, settings.service.max_calls
    ports = media.rtp_last_port - media.rtp_first_port + 1
    if ports < PORTS_PER_CALL * calls:
        raise refused(
            f"{ports} RTP ports do not suffice for {calls} calls of {PORTS_PER_CALL}.",
            "Widen the range or lower service.max_calls.",
            setting="media.rtp_last_port",
        )


def ports_are_apart(settings: Settings) -> None:
    """SIP and RTP do not meet on a UDP port."""
    media = settings.media
    for listen in settings.sip.listen:
        inside = media.rtp_first_port <= listen.port <= media.rtp_last_port
        if listen.transport == "udp" and inside:
            raise refused(
                "a SIP port lies inside the RTP range.",
                "Move the one or the other.",
                setting="sip.listen",
            )


def trunks_differ(settings: Settings) -> None:
    """A network belongs to one trunk; inside it, a smaller one may belong to another."""
    for (name, trunk), (other_name, other) in combinations(settings.trunks.items(), 2):
        if set(trunk.allowed_sources) & set(other.allowed_sources):
            raise refused(
                f"trunks {name} and {other_name} have a network in common, so their calls cannot "
                "be told apart.",
                "Make them one trunk that has all the numbers.",
                setting=f"trunks.{other_name}.allowed_sources",
            )


def trunks_are_reached(settings: Settings) -> None:
    """Where we register, calls come back by a socket that there is; TLS brings its own."""
    heard = {listen.transport for listen in settings.sip.listen} | {"tls"}
    for name, trunk in settings.trunks.items():
        if trunk.mode == "register" and trunk.transport not in heard:
            raise refused(
                f"nothing in sip.listen takes the calls that would come by {trunk.transport}.",
                f'Add {{ transport = "{trunk.transport}", host = "0.0.0.0" }} there, or change it.',
                setting=f"trunks.{name}.transport",
            )


def servers_are_reached(settings: Settings) -> None:
    """Voice servers are called from a socket that there is; TLS brings its own."""
    heard = {listen.transport for listen in settings.sip.listen} | {"tls"}
    for name, server in settings.bbb_servers.items():
        if server.voice_transport not in heard:
            raise refused(
                f"nothing in sip.listen speaks {server.voice_transport}, so the voice server "
                "cannot be called.",
                f'Add {{ transport = "{server.voice_transport}", host = "0.0.0.0" }} there, or '
                "change it.",
                setting=f"bbb_servers.{name}.voice_transport",
            )


def servers_differ(settings: Settings) -> None:
    """No server stands there twice, or each of its PINs would be found twice."""
    for (name, server), (other_name, other) in combinations(settings.bbb_servers.items(), 2):
        if server.url == other.url:
            raise refused(
                f"servers {name} and {other_name} are one and the same, so every PIN would be "
                "ambiguous.",
                "Remove one of them.",
                setting=f"bbb_servers.{other_name}.url",
            )


def languages_are_known(settings: Settings) -> None:
    """Numbers speak languages that the service has."""
    for name, trunk in settings.trunks.items():
        for number in trunk.numbers:
            if not set(number.spoken) <= set(settings.service.languages):
                raise refused(
                    "a number speaks a language that service.languages does not list.",
                    "Add it there or change it here.",
                    setting=f"trunks.{name}.numbers",
                )


def selftest_comes_back(settings: Settings) -> None:
    """A self-test that goes out by a trunk finds a server there, and calls nobody but us."""
    test = settings.selftest
    if test.trunk is None:
        return
    trunk = settings.trunks.get(test.trunk)
    if trunk is None:
        raise refused(
            f"there is no trunk {test.trunk}.", "Name one of trunks.", setting="selftest.trunk"
        )
    if not (trunk.outbound_proxy or trunk.registrar):
        raise refused(
            f"trunk {test.trunk} names no server that takes calls.",
            "Set its outbound_proxy to the provider's address for outgoing calls.",
            setting="selftest.trunk",
        )
    own = [number.e164 for one in settings.trunks.values() for number in one.numbers]
    wanted = test.number or next((number.e164 for number in trunk.numbers), None)
    if wanted not in own:
        raise refused(
            "by a trunk, only numbers of your own trunks are called.",
            "Name one that stands in some trunk's numbers.",
            setting="selftest.number",
        )
