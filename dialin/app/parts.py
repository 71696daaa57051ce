# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings to the parts of the service: each function builds one.

What runs when, and who owns it, is left to `service`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import aiohttp

from dialin import selftest
from dialin.app.door import FrontDoor
from dialin.bbb_api import BbbApi, BbbUnavailable
from dialin.bbb_voice import KeyMethod, LiveKitTarget, VoiceServer
from dialin.caller import RoomLabels
from dialin.errors import OperatorError
from dialin.house import CallPolicy, House
from dialin.ivr import PinRules
from dialin.media.embedded import EmbeddedEngine
from dialin.media.srtp import usable_suites
from dialin.providers import contact_user, make_outside, media_networks, tls_target
from dialin.settings import Settings
from dialin.settings.base import MAX_PORT
from dialin.settings.bbb import BbbServerSettings
from dialin.settings.peers import TrunkSettings
from dialin.sip import Certificate, Listen, OwnCertificates, SipEndpoint, TlsTarget
from dialin.sounds import Prompts
from dialin.trunk import Trunk, TrunkNumber
from dialin.web.metrics import Metrics
from dialin.wire.bbbxml import Meeting
from dialin.wire.encryption import Encryption
from dialin.wire.flow import Flow
from dialin.wire.sdes import Suite

if TYPE_CHECKING:  # it is made of these parts
    from dialin.app.core import Core

log = logging.getLogger(__name__)

PSEUDONYM_KEY_BYTES = 32
CERTIFICATES_EVERY_S = 60.0
"""How often renewed certificates are looked for."""
MEDIA_SUITES: tuple[Suite, ...] = usable_suites()
"""What the media plane can encrypt audio with, best first."""
PHONE_PORTS = 40
"""For the calls of our own phone."""
QUARANTINE_S = 10.0
"""How long a port pair rests after a call, so that nobody hears the last one's audio."""


class CountedApi:
    """A BBB server's API whose answers are counted."""

    def __init__(self, api: BbbApi, metrics: Metrics) -> None:
        self.name = api.name
        """The server's name in the settings."""
        self._api = api
        self._metrics = metrics

    async def get_meetings(self) -> tuple[Meeting, ...]:
        """All meetings of the server. Raises BbbUnavailable."""
        try:
            meetings = await self._api.get_meetings()
        except BbbUnavailable as failure:
            self._metrics.bbb_asked(self.name, failure.cause)
            raise
        self._metrics.bbb_asked(self.name, "ok")
        return meetings


def make_trunk(name: str, trunk: TrunkSettings, contact: str = "") -> Trunk:
    """One provider's trunk. `contact` is the user part that it calls us by."""
    return Trunk(
        name,
        networks=[str(network) for network in trunk.allowed_sources],
        numbers=[TrunkNumber(number.e164, number.spoken) for number in trunk.numbers],
        number_from=[source.removeprefix("header:") for source in trunk.number_from],
        caller_from=trunk.caller_from,
        region=trunk.region,
        media_networks=media_networks(trunk),
        encryption=Encryption(trunk.media_encryption),
        contact_user=contact,
        session_timers=trunk.session_timers,
    )


def make_trunks(settings: Settings) -> list[Trunk]:
    """All trunks, and where the self-test calls from if there is one."""
    trunks = [
        make_trunk(name, trunk, contact_user(name, settings))
        for name, trunk in settings.trunks.items()
    ]
    if settings.selftest.pin and not settings.selftest.trunk:
        here = [selftest.own_address(listen_addresses(settings)).host]
        trunks.append(Trunk(selftest.TRUNK, networks=here, media_networks=here))
    return trunks


def selftest_plan(settings: Settings, sip: SipEndpoint) -> selftest.Plan | None:
    """What the self-test does; None if there is none."""
    wanted = settings.selftest
    if wanted.pin is None:
        return None
    pin = wanted.pin.get_secret_value()
    if wanted.trunk:
        way = make_outside(settings, wanted.trunk, wanted.number, suites=MEDIA_SUITES)
        return selftest.Plan(way, way.number, pin, wanted.every_s)
    door = selftest.own_address(sip.addresses)
    return selftest.Plan(
        door=Flow(door.transport, door.host, door.port),
        number=wanted.number or "dialin",
        pin=pin,
        every_s=wanted.every_s,
    )


def voice_encryption(server: BbbServerSettings, transport: str = "") -> Encryption:
    """What is wanted of a conference; `prefer` is for keys that the way there keeps secret.

    `transport` is the way, if not that to FreeSWITCH.
    """
    way = transport or server.voice_transport
    is_secret = way == "tls" or server.voice_allow_insecure_sdes
    is_idle_wish = server.voice_encryption == "prefer" and not is_secret
    return Encryption.OFF if is_idle_wish else Encryption(server.voice_encryption)


def make_apis(
    settings: Settings, session: aiohttp.ClientSession, metrics: Metrics
) -> list[CountedApi]:
    """The API clients of all BBB servers."""
    return [
        CountedApi(make_api(name, server, session), metrics)
        for name, server in settings.bbb_servers.items()
    ]


def make_api(name: str, server: BbbServerSettings, session: aiohttp.ClientSession) -> BbbApi:
    """The API client of one BBB server."""
    return BbbApi(
        session,
        name=name,
        url=str(server.url),
        secret=server.secret.get_secret_value(),
        checksum=server.checksum,
    )


def make_voice_servers(settings: Settings) -> dict[str, VoiceServer]:
    """Where the conferences of all BBB servers are, by the servers' names."""
    return {
        name: VoiceServer(
            server.voice_address,
            server.voice_port,
            server.voice_transport.upper(),
            tuple(map(str, server.voice_networks)),
            voice_encryption(server),
            _conference_tls(server, server.voice_address, server.voice_transport),
            mute_keys=KeyMethod(server.mute_keys),
            livekit=make_livekit(server),
            bridge=server.bridge,
        )
        for name, server in settings.bbb_servers.items()
    }


def make_livekit(server: BbbServerSettings) -> LiveKitTarget | None:
    """Where the conferences of one BBB server's LiveKit meetings are."""
    if server.bridge == "freeswitch":
        return None
    host, way = server.livekit_address, server.livekit_way
    return LiveKitTarget(
        host,
        server.livekit_port,
        way.upper(),
        tuple(map(str, server.voice_networks)),
        voice_encryption(server, way),
        _conference_tls(server, host, way),
    )


def _conference_tls(server: BbbServerSettings, host: str, transport: str) -> TlsTarget | None:
    return TlsTarget(host, server.voice_tls_ca_file) if transport == "tls" else None


def listen_addresses(settings: Settings) -> list[Listen]:
    """Where SIP is taken, and what we prove ourselves with there."""
    sip = settings.sip
    certificate = Certificate(sip.tls_certificate, sip.tls_key) if sip.tls_certificate else None
    return [
        Listen(
            at.transport.upper(),
            str(at.host),
            at.port,
            certificate if at.transport == "tls" else None,
        )
        for at in sip.listen
    ]


def trust_trunks(settings: Settings, sip: SipEndpoint) -> None:
    """Say by which name each trunk's networks prove themselves, should we connect to them."""
    for trunk in settings.trunks.values():
        if trunk.transport == "tls" and trunk.server_name:
            for network in trunk.allowed_sources:
                sip.trust(str(network), 0, tls_target(trunk))


def advertised_to(
    address: IPv4Address | IPv6Address | None, door: FrontDoor, host: str
) -> str | None:
    """The address of ours that a far end is told, if not the one that it is reached from.

    A NAT lies between us and providers; not between us and our voice servers, nor on this machine.
    """
    far = ip_address(host)
    if address is None or address.version != far.version or far.is_loopback:
        return None
    return str(address) if door.is_trunk(host) else None


async def follow_certificates(certificates: OwnCertificates) -> None:
    """Take certificates that are renewed on disk, until cancelled."""
    while True:
        await asyncio.sleep(CERTIFICATES_EVERY_S)
        try:
            for renewed in certificates.refresh():
                log.info("certificate renewed", extra={"file": str(renewed.file)})
        except OperatorError as error:
            log.warning(
                "certificate not renewed", extra={"cause": error.cause, "remedy": error.remedy}
            )


def make_engine(
    settings: Settings, *, for_phone: bool = False, quarantine_s: float = QUARANTINE_S
) -> EmbeddedEngine:
    """The media plane; or a small one for our own phone, on ports beside those of callers."""
    media = settings.media
    spare_cores = max(1, (os.cpu_count() or 1) - 1)
    workers = spare_cores if media.workers == "auto" else media.workers
    first, last = media.rtp_first_port, media.rtp_last_port
    return EmbeddedEngine(
        workers=1 if for_phone else workers,
        port_range=ports_beside(first, last) if for_phone else (first, last),
        quarantine_s=quarantine_s,
        media_timeout_s=media.timeout_s,
        latch=media.latch,
    )


def ports_beside(first: int, last: int) -> tuple[int, int]:
    """A few ports that are not in the range: above it, or else below."""
    above = last + PHONE_PORTS <= MAX_PORT
    return (last + 1, last + PHONE_PORTS) if above else (first - PHONE_PORTS, first - 1)


def make_prompts(settings: Settings) -> Prompts:
    """What callers hear. Raises OperatorError."""
    folder = settings.ivr.prompt_folder
    return Prompts(settings.service.languages, [folder] if folder else [])


def make_house(settings: Settings, core: Core) -> House:
    """What every call works with."""
    return House(
        media=core.engine,
        prompts=make_prompts(settings),
        pins=core.pins.desk,
        rooms=core.rooms,
        room_events=core.events,
        voice=core.voice,
        labels=RoomLabels(number=settings.label.template, withheld=settings.label.hidden),
        pseudonym_key=secrets.token_bytes(PSEUDONYM_KEY_BYTES),
        policy=make_policy(settings),
        tally=core.metrics,
        has_lobby=core.pins.has_lobby,
        consents=core.pins.store,
    )


def make_policy(settings: Settings) -> CallPolicy:
    """How calls are treated."""
    pin, ivr, advertised = settings.pin, settings.ivr, settings.sip.advertised_address
    return CallPolicy(
        codecs=settings.media.codecs,
        pin_rules=PinRules(pin.min_digits, pin.max_digits, pin.pause_s, pin.think_s),
        pin_tries=pin.tries,
        wait_for_room_s=ivr.wait_for_room_s,
        wait_for_directory_s=ivr.wait_for_directory_s,
        remind_every_s=ivr.remind_every_s,
        wait_for_conference_s=ivr.wait_for_conference_s,
        conference_silence_s=settings.media.conference_timeout_s,
        has_music=ivr.music,
        hide_digits=settings.privacy.hide_digits,
        asks_to_hide=settings.label.ask_to_hide,
        requires_consent=settings.privacy.require_consent,
        advertised_host=str(advertised) if advertised else None,
        suites=MEDIA_SUITES,
    )
