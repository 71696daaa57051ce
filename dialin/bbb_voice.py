# SPDX-License-Identifier: GPL-3.0-or-later
"""Enter and leave a BigBlueButton voice conference: the outgoing leg into FreeSWITCH.

BBB takes a SIP call to `<voiceBridge>@<server>` for a phone caller and reads the caller's identity
out of the caller-ID name, so everything that enters it is built here from a strict alphabet and
checked (bbb-common: akka-bbb-fsesl, ESLEventListener.java). The INVITE is made from nothing but
the room, the label and the pseudonym: no header of the trunk leg can reach it.

Which room, which label: `pin` and `caller`. Joining the two legs' audio: `call`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from dialin.errors import PeerError
from dialin.events import (
    CONFERENCE_REFUSED,
    CONFERENCE_UNREACHABLE,
    INTERNAL_ERROR,
    CallError,
    Codec,
    EndReason,
)
from dialin.media.engine import MediaEngine, MediaLeg, MediaRefused
from dialin.negotiation import Negotiation, Terms
from dialin.rooms import Room
from dialin.sip import LegEnd, LegGone, OutgoingLeg, Refused, TlsTarget
from dialin.wire.encryption import ALL_SUITES, Encryption
from dialin.wire.flow import Flow
from dialin.wire.sdes import Suite
from dialin.wire.uri import bracketed

log = logging.getLogger(__name__)

TELEPHONE_EVENT = 101
"""The only payload type on which BBB's FreeSWITCH profile hears keys (`rfc2833-pt 101`)."""

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


@dataclass(frozen=True, slots=True)
class VoiceServer:
    """Where the FreeSWITCH of one BBB server listens."""

    host: str
    """Host name or address, from the settings."""
    port: int
    """SIP port, 5060 on a stock BBB server."""
    transport: str
    """UDP, TCP or TLS."""
    media_networks: tuple[str, ...]
    """Networks its RTP may come from; empty: the signalling address alone."""
    encryption: Encryption = Encryption.OFF
    """Whether audio is SRTP."""
    tls: TlsTarget | None = None
    """What it has to prove; for TLS."""


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


@dataclass(frozen=True, slots=True)
class ConferenceLeg:
    """A caller's seat in a voice conference."""

    media: MediaLeg
    """The conference's side of the audio; sending already."""
    ended: asyncio.Future[LegEnd]
    """Set when the conference ends the leg, or the leg is lost."""
    sip: OutgoingLeg
    """The signalling side."""
    audio: Negotiation
    """What is agreed with the conference."""

    async def follow(self) -> None:
        """Let what the conference's side changes in mid-call reach the media; ends with the leg.

        Raises CallError where that cannot be done.
        """
        with call_errors(), suppress(MediaRefused):  # a lost media leg says why in its `lost`
            while True:
                await self.audio.changed()

    async def leave(self) -> None:
        """Hang up and free the port. May be called again."""
        self.sip.hang_up()
        await self.media.close()


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

    async def look_up(self) -> None:
        """Learn the servers' addresses. One that does not resolve now is tried again at a call."""
        for server in self._servers.values():
            with suppress(CallError):
                await self._resolve(server)

    def knows(self, host: str) -> bool:
        """Whether a voice server has this address."""
        return host in self._addresses

    async def join(
        self, room: Room, *, label: str, pseudonym: str, codec: Codec, beside: MediaLeg
    ) -> ConferenceLeg:
        """Take a seat in the room's conference, to be bridged with the leg `beside` it.

        Raises CallError: conference-unreachable when nobody answers in time, conference-refused
        when the server says no or answers with media that cannot be used. Nothing half-taken
        stays behind, or BBB would list a caller who is not there.
        """
        require_safe(room.voice_bridge, label, pseudonym)
        server = self._servers[room.server]
        flow = await self._resolve(server)
        host = self._signalling.local_host_for(flow)
        async with AsyncExitStack() as undo:
            media = await self._media.open(
                host=host, allowed=server.media_networks or (flow.host,), beside=beside
            )
            undo.push_async_callback(media.close)
            invite = partial(
                self._signalling.invite,
                f"sip:{room.voice_bridge}@{bracketed(server.host)}:{server.port}",
                flow,
                from_display=label,
                from_user=pseudonym,
                answer_within_s=self._answer_within_s,
            )
            terms = Terms((codec,), server.encryption, self._suites, TELEPHONE_EVENT)
            with call_errors():
                sip, audio = await WayIn(invite, media, host, undo).enter(terms)
            await media.start()
            undo.pop_all()
        return ConferenceLeg(media, sip.ended, sip, audio)

    async def _resolve(self, server: VoiceServer) -> Flow:
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
        audio.attend(sip)
        await audio.accept(await sip.answered())
        return sip, audio


@contextmanager
def call_errors() -> Iterator[None]:
    """What goes wrong with a conference's leg, as the end of the call's story: CallError."""
    try:
        yield
    except LegGone as gone:
        raise CallError(CONFERENCE_UNREACHABLE) from gone
    except Refused as refused:
        raise CallError(reason_for(refused.status)) from refused
    except PeerError as unusable:
        raise CallError(CONFERENCE_REFUSED) from unusable


def require_safe(voice_bridge: str, label: str, pseudonym: str) -> None:
    """The last gate before BBB: raises CallError for anything BBB could read otherwise.

    What comes here is built by `caller` and BBB itself, so a refusal is a fault of ours.
    """
    folded = label.lower()
    safe = (
        SAFE_LABEL.fullmatch(label)
        and not any(mark in re.sub(r"[^a-z_]", "", folded) for mark in BBB_MARKS)
        and folded.strip() not in REFUSED_NAMES | {""}
        and PSEUDONYM.fullmatch(pseudonym)
        and pseudonym not in REFUSED_NAMES
        and VOICE_BRIDGE.fullmatch(voice_bridge)
    )
    if not safe:
        raise CallError(INTERNAL_ERROR)


def reason_for(status: int) -> EndReason:
    """Whether a final response means that the server is not there or does not want us.

    BBB's FreeSWITCH answers 480 to an unauthorised caller and 404 to what is no conference.
    """
    is_absent = status == 408 or (status >= 500 and status != 603)
    return CONFERENCE_UNREACHABLE if is_absent else CONFERENCE_REFUSED


async def address_of(name: str, port: int) -> str:
    """The first address of a host name. Raises CallError when there is none in time."""
    try:
        async with asyncio.timeout(RESOLVE_WITHIN_S):
            found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError) as error:
        raise CallError(CONFERENCE_UNREACHABLE) from error
    return str(found[0][4][0])
