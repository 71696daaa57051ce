# SPDX-License-Identifier: GPL-3.0-or-later
"""Callers of the conference stand-in: the own endpoint for signalling, a tone for a voice."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from dialin.demo.conference import Conference
from dialin.sip import Listen, OutgoingLeg, SipEndpoint
from dialin.wire import sdp
from dialin.wire.encryption import Encryption
from dialin.wire.flow import Flow
from dialin.wire.sdp import LocalMedia, RemoteMedia, SessionDescription
from tests.fakes.tone_phone import SrtpPhone, TonePhone

ROOM, OTHER_ROOM = "72013", "123456789"
LOOPBACK = [Listen("UDP", "127.0.0.1", 0)]
LABEL, PSEUDONYM = "xxx-xxx-0594", "700100200300400"
WAIT_S = 10.0


class Caller:
    """A SIP endpoint that calls the conference."""

    def __init__(self, endpoint: SipEndpoint, flow: Flow) -> None:
        self.endpoint = endpoint
        self.flow = flow

    async def invite(
        self,
        phone: TonePhone,
        room: str = ROOM,
        *,
        display: str = LABEL,
        user: str = PSEUDONYM,
        headers: Sequence[tuple[str, str]] = (),
        telephone_event: int = 101,
        encryption: Encryption = Encryption.OFF,
    ) -> tuple[OutgoingLeg, SessionDescription]:
        """Send an INVITE with a phone's end of the audio."""
        local = LocalMedia(phone.host, phone.port, 1, 1)
        offer = sdp.offer(
            local,
            [phone.codec],
            telephone_event=telephone_event,
            encryption=encryption,
            new_key=secrets.token_bytes,
        )
        leg = await self.endpoint.invite(
            f"sip:{room}@{self.flow.host}:{self.flow.port}",
            self.flow,
            from_display=display,
            from_user=user,
            offer=bytes(offer),
            headers=headers,
        )
        return leg, offer

    async def join(
        self,
        phone: TonePhone,
        room: str = ROOM,
        *,
        display: str = LABEL,
        telephone_event: int = 101,
        encryption: Encryption = Encryption.OFF,
    ) -> tuple[OutgoingLeg, RemoteMedia]:
        """Be in a room and talk."""
        leg, offer = await self.invite(
            phone, room, display=display, telephone_event=telephone_event, encryption=encryption
        )
        answer = SessionDescription.parse(await leg.answered())
        remote = sdp.accept_answer(offer, answer)
        if remote.srtp and isinstance(phone, SrtpPhone):
            phone.encrypt(remote.srtp)
        phone.talk_to(remote.host, remote.rtp_port)
        return leg, remote


async def open_caller_endpoint() -> SipEndpoint:
    return await SipEndpoint.open(
        LOOPBACK, allow_source=lambda _host: True, on_call=lambda leg: leg.reject(404)
    )


def way_to(conference: Conference) -> Flow:
    to = conference.addresses[0]
    return Flow(to.transport, to.host, to.port)


@asynccontextmanager
async def calling(conference: Conference) -> AsyncIterator[Caller]:
    async with await open_caller_endpoint() as endpoint:
        yield Caller(endpoint, way_to(conference))
