# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a seat in a BigBlueButton voice conference.

BBB takes a SIP call to `<voiceBridge>@<server>` for a phone caller and reads the caller's identity
out of the caller-ID name, so everything that enters it is built here from a strict alphabet and
checked (bbb-common: akka-bbb-fsesl, ESLEventListener.java). The INVITE is made from nothing but
the room, the label and the pseudonym: no header of the trunk leg can reach it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from dialin.bbb_voice.errors import call_errors
from dialin.bbb_voice.leg import TELEPHONE_EVENT, ConferenceLeg
from dialin.bbb_voice.servers import VoiceServer, VoiceTarget, user_part
from dialin.events import CONFERENCE_UNREACHABLE, INTERNAL_ERROR, CallError, Codec
from dialin.media.engine import MediaEngine, MediaLeg
from dialin.negotiation import Negotiation, Terms
from dialin.rooms import Room
from dialin.sip import OutgoingLeg, Refused, TlsTarget
from dialin.wire.encryption import ALL_SUITES, Encryption
from dialin.wire.flow import Flow
from dialin.wire.sdes import Suite
from dialin.wire.uri import bracketed

log = logging.getLogger(__name__)

SAFE_LABEL = re.compile(r"[A-Za-z0-9 ().-]{1,32}")
BBB_MARKS = ("bbbid", "global_audio", "listenonly")
"""What BBB reads an identity out of. None can pass SAFE_LABEL with its own punctuation; the words
are refused all the same, because BBB's patterns have changed before."""
REFUSED_NAMES = frozenset(
    {"0000000000", "anonymous", "unknown", "private", "restricted", "withheld"}
)
"""Names and numbers that BBB's dialplan rejects (bigbluebutton#22847)."""
VOICE_BRIDGE = re.compile(r"[0-9]{5,11}")
"""What BBB's dialplan takes for a conference (default/bbb_conference.xml)."""
RESOLVE_WITHIN_S = 5.0
PSEUDONYM = re.compile(r"[0-9]{6,20}")
NOT_ACCEPTABLE = 488
"""What FreeSWITCH answers to SRTP that it does not have."""


class Signalling(Protocol):
    """What is needed of the SIP endpoint."""

    def local_host_for(self, flow: Flow) -> str:
        """The address of ours that this peer can reach."""

    def trust(self, host: str, port: int, target: TlsTarget) -> None:
        """What a server there has to prove before anything is written to it."""

    async def invite(
        self,
        uri: str,
        flow: Flow,
        *,
        from_display: str,
        from_user: str,
        offer: bytes,
        headers: Sequence[tuple[str, str]] = (),
        answer_within_s: float = 60,
    ) -> OutgoingLeg:
        """Send an INVITE."""


class BbbVoice:
    """The way into the voice conferences of all configured BBB servers."""

    def __init__(
        self,
        signalling: Signalling,
        media: MediaEngine,
        servers: Mapping[str, VoiceServer],
        *,
        suites: tuple[Suite, ...] = ALL_SUITES,
        answer_within_s: float = 20.0,
    ) -> None:
        """`suites` are what the media plane can encrypt with, best first."""
        self._signalling = signalling
        self._media = media
        self._servers = dict(servers)
        self._suites = suites
        self._answer_within_s = answer_within_s
        self._addresses: set[str] = set()

    async def change(self, servers: Mapping[str, VoiceServer]) -> None:
        """Other servers from the next call on; seats that are taken stay."""
        self._servers = dict(servers)
        await self.look_up()

    async def look_up(self) -> None:
        """Learn the servers' addresses. One that does not resolve now is tried again at a call."""
        for server in self._servers.values():
            for target in server.targets:
                with suppress(CallError):
                    await self._resolve(target)

    def knows(self, host: str) -> bool:
        """Whether a voice server has this address."""
        return host in self._addresses

    async def join(
        self,
        room: Room,
        *,
        label: str,
        pseudonym: str,
        codec: Codec,
        beside: MediaLeg,
        silence_s: float | None = None,
    ) -> ConferenceLeg:
        """Take a seat in the room's conference, to be bridged with the caller's leg `beside` it.

        `silence_s`: without a packet for so long the seat's media is lost, where the conference
        sends all the time; None: as for any leg.
        Raises CallError: conference-unreachable when nobody answers in time, conference-refused
        when the server says no or answers with media that cannot be used. Nothing half-taken
        stays behind, or BBB would list a caller who is not there.
        """
        require_safe(room.voice_bridge, label, pseudonym)
        server = self._servers.get(room.server)
        if server is None:  # no longer in the settings
            raise CallError(CONFERENCE_UNREACHABLE)
        target = server.target_for(room)
        flow = await self._resolve(target)
        with call_errors():
            host = self._signalling.local_host_for(flow)
        async with AsyncExitStack() as undo:
            media = await self._media.open(
                host=host,
                allowed=target.media_networks or (flow.host,),
                beside=beside,
                timeout_s=silence_s if target.always_sends else None,
            )
            undo.push_async_callback(media.close)
            invite = partial(
                self._signalling.invite,
                f"sip:{room.voice_bridge}@{bracketed(target.host)}:{target.port}",
                flow,
                from_display=label,
                from_user=target.from_user(label, pseudonym),
                answer_within_s=self._answer_within_s,
            )
            terms = Terms((codec,), target.encryption, self._suites, TELEPHONE_EVENT)
            with call_errors():
                sip, audio = await WayIn(invite, media, host, undo).enter(terms)
            await media.start()
            undo.pop_all()
        return ConferenceLeg(media, sip.ended, sip, audio, beside, server.keys_for(room))

    async def _resolve(self, server: VoiceTarget) -> Flow:
        """Where the server's SIP port is. Raises CallError when its name does not resolve."""
        try:
            host = str(ipaddress.ip_address(server.host))
        except ValueError:
            host = await address_of(server.host, server.port)  # the operator's word, no peer's
        self._addresses.add(host)
        if server.tls:
            self._signalling.trust(host, server.port, server.tls)
        return Flow(server.transport, host, server.port)


@dataclass(frozen=True, slots=True)
class WayIn:
    """One caller's way into one conference, with all that has to be undone if it leads nowhere."""

    invite: Callable[..., Awaitable[OutgoingLeg]]
    """Calls the conference with an `offer`."""
    media: MediaLeg
    """The audio to agree on."""
    host: str
    """Our address in the offer."""
    undo: AsyncExitStack
    """Where legs are put that must not stay."""

    async def enter(self, terms: Terms) -> tuple[OutgoingLeg, Negotiation]:
        """Call, and agree on media. Raises LegGone, Refused or PeerError.

        Where SRTP is preferred and refused, a second call does without: FreeSWITCH takes no keys
        beside plain RTP, so one offer cannot say both.
        """
        try:
            return await self._call(terms)
        except Refused as refused:
            if refused.status != NOT_ACCEPTABLE or terms.encryption is not Encryption.PREFER:
                raise
        log.info("the voice server takes no SRTP, so its leg is in the clear")
        return await self._call(replace(terms, encryption=Encryption.OFF))

    async def _call(self, terms: Terms) -> tuple[OutgoingLeg, Negotiation]:
        audio = Negotiation(self.media, self.host, terms)
        sip = await self.invite(offer=audio.offer())
        self.undo.callback(sip.hang_up)
        await audio.agree(sip)
        return sip, audio


def require_safe(voice_bridge: str, label: str, pseudonym: str) -> None:
    """The last gate before BBB: raises CallError for anything BBB could read otherwise.

    What comes here is built by `caller` and BBB itself, so a refusal is a fault of ours.
    """
    folded = label.lower()
    safe = (
        SAFE_LABEL.fullmatch(label)
        and user_part(label)
        and not any(mark in re.sub(r"[^a-z_]", "", folded) for mark in BBB_MARKS)
        and folded.strip() not in REFUSED_NAMES | {""}
        and PSEUDONYM.fullmatch(pseudonym)
        and pseudonym not in REFUSED_NAMES
        and VOICE_BRIDGE.fullmatch(voice_bridge)
    )
    if not safe:
        raise CallError(INTERNAL_ERROR)


async def address_of(name: str, port: int) -> str:
    """The first address of a host name. Raises CallError when there is none in time."""
    try:
        async with asyncio.timeout(RESOLVE_WITHIN_S):
            found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError) as error:
        raise CallError(CONFERENCE_UNREACHABLE) from error
    return str(found[0][4][0])
