# SPDX-License-Identifier: GPL-3.0-or-later
"""A caller on our own SIP endpoint and media plane: calls, presses keys, notices audio, hangs up.

It shares its stack with the service, so it proves less than the foreign phone of `phone`; but it
runs on the service's loop, logs in with a provider, and speaks TLS and SRTP. When to call, and what
the outcome means, is left to `selftest` and the command line; which numbers may be called by a
provider's trunk, to `outside`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from dialin.events import Codec
from dialin.media.embedded import EmbeddedEngine
from dialin.media.engine import MediaEngine, MediaLeg
from dialin.negotiation import Negotiation, Terms
from dialin.sip import (
    Fault,
    IncomingLeg,
    LegEnd,
    LegGone,
    Listen,
    OutgoingLeg,
    Refused,
    RequestFailed,
    SipEndpoint,
    TlsTarget,
)
from dialin.wire.agent_events import Replied
from dialin.wire.asking import Enquiry
from dialin.wire.encryption import ALL_SUITES, Encryption
from dialin.wire.flow import Flow
from dialin.wire.login import Login
from dialin.wire.sdes import Suite
from dialin.wire.uri import bracketed

PORTS = (39000, 39099)
"""For the audio; outside the range that the service has unless it is told else."""
MEDIA_TIMEOUT_S = 30.0
CODECS = (Codec.PCMA, Codec.PCMU, Codec.G722)
LOOK_EVERY_S = 0.1
"""How soon audio is noticed: nobody tells when it comes."""
THERE_WITHIN_S = 3.0
"""For a server to answer anything at all."""
MAX_TRIED = 4
"""Servers that one call is tried with."""
CANNOT = frozenset({408, 500, 502, 503, 504})
"""What a server answers that cannot, though another one may."""
NOT_ACCEPTABLE = 488
"""What those answer to SRTP who do not have it."""


@dataclass(frozen=True, slots=True)
class Line:
    """How somebody is called, whoever it is."""

    caller: str = field(default="anonymous", repr=False)
    """The user part of the number or name that we call as."""
    domain: str | None = None
    """Where both numbers are at home, IPv6 without brackets; None for the two ends' addresses."""
    login: Login | None = field(default=None, repr=False)
    """What a challenge of the server that is called is met with."""
    tls: TlsTarget | None = None
    """What that server has to prove, for TLS."""
    encryption: Encryption = Encryption.OFF
    """Whether audio is SRTP."""
    routes: tuple[str, ...] = ()
    """Route values: the proxies before that server, or where it wants calls to come by."""
    suites: tuple[Suite, ...] = ALL_SUITES
    """What the media plane can encrypt with, best first."""
    media_networks: tuple[str, ...] = ()
    """Where audio may come from; empty for the address that is called."""
    advertised_host: str | None = None
    """Our address as the far end sees it, where a NAT hides the true one."""

    @property
    def route_headers(self) -> tuple[tuple[str, str], ...]:
        """The Route lines of requests that go by those proxies."""
        return tuple(("Route", value) for value in self.routes)


PLAIN = Line()


@dataclass(frozen=True, slots=True)
class Talk:
    """A call that is up."""

    media: MediaLeg
    """Our side of the audio."""
    sip: OutgoingLeg
    """Our side of the signalling."""
    early_packets: int = 0
    """Audio that came before the answer: ringing, or an announcement of the network."""

    @property
    def ended(self) -> asyncio.Future[LegEnd]:
        """Set when the call is over."""
        return self.sip.ended

    async def hears(self, within_s: float) -> bool:
        """Whether any audio has come since the answer, or comes in this time."""
        try:
            async with asyncio.timeout(within_s):
                while await self._packets_since_answer() <= 0:  # noqa: ASYNC110 - see LOOK_EVERY_S
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            return False
        return True

    async def _packets_since_answer(self) -> int:
        return (await self.media.statistics()).packets_received - self.early_packets

    async def press(self, keys: str) -> None:
        """Press keys, and return when the last is up. Raises MediaRefused."""
        await self.media.send_digits(keys)


class Hosts:
    """The hosts that the phone has something to do with: it hears no other."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def hears(self, host: str) -> bool:
        """Whether this address is one that was called."""
        return host in self._known

    def expect(self, host: str) -> None:
        """It is going to be called."""
        self._known.add(host)


class OwnPhone:
    """The phone. It hears only those that it calls, and is not called by anybody."""

    def __init__(
        self,
        sip: SipEndpoint,
        media: MediaEngine,
        hosts: Hosts,
        *,
        codecs: Sequence[Codec] = CODECS,
    ) -> None:
        """For `opened_phone`."""
        self._sip = sip
        self._media = media
        self._hosts = hosts
        self._codecs = tuple(codecs)

    async def ask(self, enquiry: Enquiry, flow: Flow, line: Line = PLAIN) -> Replied:
        """Ask a server something. Raises RequestFailed, and OperatorError where there is no way."""
        self._expect(flow, line)
        return await self._sip.ask(enquiry, flow)

    def fault(self, flow: Flow) -> Fault | None:
        """Why no connection to a server came to stand; None if one did."""
        return self._sip.fault(flow)

    @asynccontextmanager
    async def calling(
        self, number: str, flow: Flow, line: Line = PLAIN, *, answer_within_s: float = 20.0
    ) -> AsyncIterator[Talk]:
        """A call to a number at `flow` while the block runs; hung up at its end.

        Raises Refused, LegGone or NoMediaPort where there is no call, PeerError where nothing can
        be agreed, OperatorError where there is no way.
        """
        self._expect(flow, line)
        here = self._sip.local_host_for(flow)
        async with AsyncExitStack() as undo:
            media = await self._media.open(host=here, allowed=line.media_networks or [flow.host])
            undo.push_async_callback(media.close)

            async def dial(terms: Terms) -> OutgoingLeg:
                audio = Negotiation(media, line.advertised_host or here, terms)
                sip = await self._invite(number, flow, line, audio.offer(), answer_within_s)
                undo.callback(sip.hang_up)
                await audio.agree(sip)
                return sip

            terms = Terms(self._codecs, line.encryption, line.suites)
            try:
                sip = await dial(terms)
            except Refused as refused:
                if refused.status != NOT_ACCEPTABLE or line.encryption is not Encryption.PREFER:
                    raise
                sip = await dial(replace(terms, encryption=Encryption.OFF))
            early = (await media.statistics()).packets_received
            await media.start()
            yield Talk(media, sip, early)

    @asynccontextmanager
    async def calling_any(
        self,
        number: str,
        flows: Sequence[Flow],
        line: Line = PLAIN,
        *,
        answer_within_s: float = 20.0,
    ) -> AsyncIterator[Talk]:
        """The same by the first of several servers that is there and can (RFC 3263 §4.3).

        Who does not even answer OPTIONS is tried last. Raises what the last one tried raises.
        """
        async with AsyncExitStack() as stack:
            *others, last = await self._those_there_first(flows, line)
            for flow in others:
                call = self.calling(number, flow, line, answer_within_s=answer_within_s)
                try:
                    talk = await stack.enter_async_context(call)
                except (Refused, LegGone) as gone:
                    if not may_another(gone):
                        raise
                else:
                    break
            else:
                call = self.calling(number, last, line, answer_within_s=answer_within_s)
                talk = await stack.enter_async_context(call)
            yield talk

    async def _those_there_first(self, flows: Sequence[Flow], line: Line) -> Sequence[Flow]:
        if len(flows) == 1:
            return flows
        tried = flows[:MAX_TRIED]
        signs = await asyncio.gather(*(self._is_there(flow, line) for flow in tried))
        ranked = sorted(zip(signs, tried, strict=True), key=lambda one: not one[0])
        return [flow for _, flow in ranked]

    async def _is_there(self, flow: Flow, line: Line) -> bool:
        uri = f"sip:{bracketed(line.domain or flow.host)}"
        enquiry = Enquiry("OPTIONS", uri, uri, uri, line.route_headers, within_s=THERE_WITHIN_S)
        try:
            await self.ask(enquiry, flow, line)
        except RequestFailed:
            return False
        return True

    async def _invite(
        self, number: str, flow: Flow, line: Line, offer: bytes, answer_within_s: float
    ) -> OutgoingLeg:
        at = bracketed(line.domain) if line.domain else f"{bracketed(flow.host)}:{flow.port}"
        return await self._sip.invite(
            f"sip:{number}@{at}",
            flow,
            from_display="",
            from_user=line.caller,
            from_domain=line.domain,
            offer=offer,
            headers=line.route_headers,
            answer_within_s=answer_within_s,
            credentials=line.login,
        )

    def _expect(self, flow: Flow, line: Line) -> None:
        self._hosts.expect(flow.host)
        if line.tls:
            self._sip.trust(flow.host, flow.port, line.tls)


@asynccontextmanager
async def opened_phone(
    listen: Sequence[Listen], media: MediaEngine, *, codecs: Sequence[Codec] = CODECS
) -> AsyncIterator[OwnPhone]:
    """A phone that listens on these addresses. Raises OperatorError."""
    hosts = Hosts()
    async with await SipEndpoint.open(
        listen, allow_source=hosts.hears, on_call=_refuse, answer_options=False
    ) as sip:
        yield OwnPhone(sip, media, hosts, codecs=codecs)


def may_another(gone: Refused | LegGone) -> bool:
    """Whether a call that was not taken by one server may be by another (RFC 3263 §4.3)."""
    if isinstance(gone, Refused):
        return gone.status in CANNOT
    return gone.end.by == "lost"


def own_media() -> EmbeddedEngine:
    """A small media plane for a phone that is not part of the service."""
    return EmbeddedEngine(
        workers=1,
        port_range=PORTS,
        quarantine_s=0.0,
        media_timeout_s=MEDIA_TIMEOUT_S,
        latch="sdp",
    )


def listens_for(flow: Flow) -> tuple[Listen, ...]:
    """What a phone has to listen on to call there: for TLS nothing, it is answered on its own."""
    if flow.transport == "TLS":
        return ()
    anywhere = "::" if ":" in flow.host else "0.0.0.0"  # noqa: S104 - hears whom it calls only
    return (Listen(flow.transport, anywhere, 0),)


def _refuse(leg: IncomingLeg) -> None:
    leg.reject(480)
