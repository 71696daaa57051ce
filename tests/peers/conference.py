# SPDX-License-Identifier: GPL-3.0-or-later
"""A voice conference that does as it is told: refuses, lets ring, hangs up, says known frames.

It takes all that the service sends to BBB and keeps it, octet by octet. The one that mixes, as
FreeSWITCH would, is `dialin.demo.conference`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from dialin.demo.callerid import CallerId, Reading, reading_of
from dialin.demo.conference import NORMAL_CLEARING
from dialin.demo.freeswitch import KEYS_ON
from dialin.events import Codec
from dialin.sip import IncomingLeg, LegGone, Listen, SipEndpoint
from dialin.wire import sdp
from dialin.wire.dtmf import EventDigits
from dialin.wire.flow import Flow
from dialin.wire.message import Request
from dialin.wire.reason import ByeReason
from dialin.wire.sdes import Suite
from tests.peers.cell import in_force
from tests.peers.rtp import PATIENCE_S, RtpPeer

HOST = "127.0.0.31"
"""An address of its own, so that a capture of its packets is one of the BBB leg."""
CODECS = (Codec.G722, Codec.PCMA, Codec.PCMU)


class Seat:
    """One leg in the conference."""

    def __init__(self, leg: IncomingLeg, rtp: RtpPeer) -> None:
        self.leg = leg
        self.rtp = rtp
        self.keys_by_info = ""
        """The keys that came by INFO."""
        leg.on_info_digit = self._take_info

    def _take_info(self, key: str) -> None:
        self.keys_by_info += key

    @property
    def keys_by_events(self) -> str:
        """The keys that came as telephone events, on the payload type that FreeSWITCH hears."""
        digits, keys = EventDigits(), ""
        for packet in self.rtp.received:
            header = packet.header
            if header.payload_type == KEYS_ON:
                at = (header.ssrc, header.timestamp, header.marker)
                keys += digits.feed(*at, packet.payload, packet.arrived_s) or ""
        return keys

    @property
    def invite(self) -> Request:
        """What asked for the seat."""
        return self.leg.request

    @property
    def caller(self) -> CallerId:
        """Who it is, by FreeSWITCH's rules."""
        return CallerId.of(self.invite)

    @property
    def reading(self) -> Reading:
        """Who it is, by BBB's rules."""
        return reading_of(self.caller.name)

    def hang_up(self, reason: ByeReason = NORMAL_CLEARING) -> None:
        """End the leg, as FreeSWITCH does when a meeting ends; or as it does when it stops."""
        self.leg.hang_up(reason)

    def fall_silent(self) -> None:
        """Send no RTP any more, as a server that is gone: nothing is said about it."""
        self.rtp.close()


class ScriptedConference:
    """All of its seats."""

    def __init__(self, calls: asyncio.TaskGroup, host: str = HOST) -> None:
        cell = in_force()
        self.address = Listen(cell.transport.upper(), host, 0, cell.conference_certificate)
        """Where it takes calls."""
        self.refuses_with: int | None = None
        """What callers are told instead of being let in."""
        self.lets_ring = False
        """Whether calls are left unanswered."""
        self.seats: list[Seat] = []
        """All who came in, those who have left included."""
        self.ringing: list[IncomingLeg] = []
        """All who were left ringing."""
        self.messages: list[bytes] = []
        """Every SIP message that came, as it was."""
        self._calls = calls
        self._rtp: list[RtpPeer] = []
        self._changed = asyncio.Event()

    def take(self, leg: IncomingLeg) -> None:
        """Take a call, or do not."""
        if self.refuses_with is not None:
            leg.reject(self.refuses_with)
        elif self.lets_ring:
            leg.ring()
            self.ringing.append(leg)
        else:
            self._calls.create_task(self._seat(leg))
        self._changed.set()

    async def _seat(self, leg: IncomingLeg) -> None:
        rtp = RtpPeer(self.address.host)
        self._rtp.append(rtp)
        local = sdp.LocalMedia(rtp.host, rtp.port, 1, 1)
        answer, remote = sdp.answer(
            sdp.SessionDescription.parse(leg.offer or b""),
            local,
            CODECS,
            encryption=sdp.Encryption.REQUIRE if in_force().encrypted else sdp.Encryption.OFF,
            new_key=secrets.token_bytes,
            suites=[Suite.AES_CM_128_HMAC_SHA1_80],
        )
        if remote.srtp:
            rtp.encrypt(remote.srtp.send_key, remote.srtp.receive_key)
        leg.progress(bytes(answer))
        try:
            await leg.answer(bytes(answer))
        except LegGone:
            return
        rtp.send_to(remote.host, remote.rtp_port, remote.payload_type)
        self.seats.append(Seat(leg, rtp))
        self._changed.set()

    async def seat(self, number: int = 0) -> Seat:
        """Wait for the seat that is taken as the so-manieth, beginning with 0."""
        await self._until(lambda: len(self.seats) > number)
        return self.seats[number]

    async def rings(self) -> IncomingLeg:
        """Wait for a call that is left ringing."""
        await self._until(lambda: bool(self.ringing))
        return self.ringing[-1]

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    def everything_received(self) -> bytes:
        """SIP, RTP and RTCP that came, for those who look for traces in it."""
        audio = [datagram for peer in self._rtp for datagram in peer.datagrams]
        return b"\n".join([*self.messages, *audio])

    @property
    def file_descriptors(self) -> int:
        """How many its audio ports are; they stay, for what comes late."""
        return 2 * len(self._rtp)

    def close(self) -> None:
        """Give the audio ports up."""
        for peer in self._rtp:
            peer.close()


class RecordingEndpoint(SipEndpoint):
    """A SIP endpoint that keeps the octets of what it receives."""

    kept: list[bytes]

    def receive(self, data: bytes, flow: Flow) -> None:
        """Take one message."""
        self.kept.append(data)
        super().receive(data, flow)


@asynccontextmanager
async def scripted_conference() -> AsyncIterator[ScriptedConference]:
    """A conference that takes calls while the block runs."""
    async with asyncio.TaskGroup() as calls, taking_calls(ScriptedConference(calls)) as conference:
        yield conference


Kind = TypeVar("Kind", bound=ScriptedConference)


@asynccontextmanager
async def taking_calls(conference: Kind) -> AsyncIterator[Kind]:
    """Let a conference of any kind take calls while the block runs."""
    endpoint = await RecordingEndpoint.open(
        [conference.address], allow_source=lambda _host: True, on_call=conference.take
    )
    assert isinstance(endpoint, RecordingEndpoint)
    endpoint.kept = conference.messages
    try:
        async with endpoint:
            conference.address = endpoint.addresses[0]
            yield conference
    finally:
        conference.close()
