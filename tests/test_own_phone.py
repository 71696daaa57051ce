# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own phone: what it offers, as whom it calls, and whom it hears."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dialin import own_phone
from dialin.events import Codec
from dialin.own_phone import (
    Hosts,
    Line,
    OwnPhone,
    listens_for,
    may_another,
    opened_phone,
    own_media,
)
from dialin.sip import IncomingLeg, LegEnd, LegGone, Listen, Refused, SipEndpoint
from dialin.wire import rtp, sdp
from dialin.wire.encryption import Encryption
from dialin.wire.flow import Flow
from tests.fakes.sip_peers import UdpPeer


class Door:
    """Takes calls without SRTP, and refuses others."""

    def __init__(self) -> None:
        self.announcement: socket.socket | None = None
        """Where set: early media comes from there, and the answer waits until it `is_over`."""
        self.is_over = asyncio.Event()
        self.has_come = asyncio.Event()
        self.came: list[IncomingLeg] = []
        self._tasks: set[asyncio.Task[bytes | None]] = set()

    def take(self, leg: IncomingLeg) -> None:
        """A call."""
        self.came.append(leg)
        self.has_come.set()
        if b"RTP/SAVP" in (leg.offer or b""):
            leg.reject(488)
            return
        offer = sdp.SessionDescription.parse(leg.offer or b"")
        port = self.announcement.getsockname()[1] if self.announcement else 9
        answer, _ = sdp.answer(offer, sdp.LocalMedia(leg.local_host, port, 1, 1), [Codec.PCMA])
        self._tasks.add(asyncio.create_task(self._answer(leg, bytes(answer))))

    async def _answer(self, leg: IncomingLeg, answer: bytes) -> bytes | None:
        if self.announcement:
            leg.progress(answer)
            await self.is_over.wait()
        return await leg.answer(answer)


@asynccontextmanager
async def door(host: str = "127.0.0.1") -> AsyncIterator[tuple[Door, Flow, OwnPhone]]:
    """A door, the way there, and a phone."""
    taking = Door()
    async with await SipEndpoint.open(
        [Listen("UDP", host, 0)], allow_source=lambda _host: True, on_call=taking.take
    ) as sip:
        flow = Flow("UDP", host, sip.addresses[0].port)
        async with own_media() as media, opened_phone(listens_for(flow), media) as phone:
            yield taking, flow, phone


async def test_srtp_as_a_mere_wish_is_given_up_where_it_is_refused() -> None:
    async with door() as (taking, flow, phone):
        line = Line("us", "provider.example", encryption=Encryption.PREFER)
        async with phone.calling("+493012345678", flow, line) as talk:
            assert not talk.ended.done()
    first, second = taking.came
    assert b"RTP/SAVP" in (first.offer or b"")
    assert b"RTP/AVP" in (second.offer or b"")
    assert second.request.uri == "sip:+493012345678@provider.example"
    assert second.request.from_.uri_text == "sip:us@provider.example"


async def test_srtp_that_is_required_is_not_given_up() -> None:
    async with door() as (taking, flow, phone):
        with pytest.raises(Refused, match="488"):
            async with phone.calling("1", flow, Line(encryption=Encryption.REQUIRE)):
                pass
    assert len(taking.came) == 1


async def test_what_rings_before_the_answer_is_no_prompt() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as audio:
        audio.bind(("127.0.0.1", 0))
        async with door() as (taking, flow, phone), asyncio.TaskGroup() as tasks:
            taking.announcement = audio
            tasks.create_task(announce(taking))
            async with phone.calling("1", flow) as talk:
                assert talk.early_packets > 0
                assert not await talk.hears(0.3)
                send_audio(taking.came[0], audio, first=100)
                assert await talk.hears(5.0)


async def announce(taking: Door) -> None:
    """Send audio to a caller who waits, and let the door answer after that."""
    await taking.has_come.wait()
    for number in range(50):
        await asyncio.sleep(0.02)
        assert taking.announcement
        send_audio(taking.came[0], taking.announcement, first=number)
    taking.is_over.set()


def send_audio(leg: IncomingLeg, audio: socket.socket, *, first: int) -> None:
    """A packet of silence."""
    offer = sdp.SessionDescription.parse(leg.offer or b"")
    packet = rtp.pack(
        b"\xd5" * 160,
        payload_type=8,
        marker=False,
        sequence=first,
        timestamp=160 * first,
        ssrc=7,
    )
    audio.sendto(packet, ("127.0.0.1", offer.media[0].port))


async def test_what_a_nat_hides_is_said_as_it_looks_from_outside() -> None:
    line = Line(advertised_host="198.51.100.7")
    async with door() as (taking, flow, phone), phone.calling("1", flow, line):
        pass
    assert b"c=IN IP4 198.51.100.7" in (taking.came[0].offer or b"")


async def test_ipv6_addresses_stand_in_brackets() -> None:
    async with door("::1") as (taking, flow, phone), phone.calling("1", flow):
        pass
    assert taking.came[0].request.uri == f"sip:1@[::1]:{flow.port}"


async def test_the_phone_is_not_called_by_anybody() -> None:
    async with door() as (_, flow, phone):
        async with phone.calling("1", flow):
            pass
        sip = phone._sip
        async with await SipEndpoint.open(
            [Listen("UDP", "127.0.0.1", 0)], allow_source=lambda _host: True, on_call=_ignore
        ) as caller:
            at = Flow("UDP", "127.0.0.1", sip.addresses[0].port)
            leg = await caller.invite("sip:x@x", at, from_display="", from_user="y", offer=b"")
            with pytest.raises(Refused, match="480"):
                await leg.answered()


def _ignore(_leg: IncomingLeg) -> None:
    """For those who only call."""


def test_only_those_who_are_called_are_heard() -> None:
    hosts = Hosts()
    assert not hosts.hears("192.0.2.1")
    hosts.expect("192.0.2.1")
    assert hosts.hears("192.0.2.1")
    assert not hosts.hears("192.0.2.2")


def test_for_tls_a_phone_listens_nowhere() -> None:
    assert listens_for(Flow("TLS", "192.0.2.1", 5061)) == ()


# Several servers


@asynccontextmanager
async def refusing(status: int) -> AsyncIterator[tuple[Flow, list[IncomingLeg]]]:
    """A server that takes no calls."""
    came: list[IncomingLeg] = []

    def refuse(leg: IncomingLeg) -> None:
        came.append(leg)
        leg.reject(status)

    async with await SipEndpoint.open(
        [Listen("UDP", "127.0.0.1", 0)], allow_source=lambda _host: True, on_call=refuse
    ) as sip:
        yield Flow("UDP", "127.0.0.1", sip.addresses[0].port), came


async def test_who_does_not_even_answer_options_is_tried_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_phone, "THERE_WITHIN_S", 0.5)
    with UdpPeer() as silent:
        gone = Flow("UDP", "127.0.0.1", silent.port)
        async with (
            door() as (taking, flow, phone),
            phone.calling_any("1", (gone, flow)),
        ):
            assert len(taking.came) == 1


async def test_a_server_that_cannot_is_followed_by_the_next() -> None:
    async with refusing(503) as (busy, came), door() as (taking, flow, phone):
        async with phone.calling_any("1", (busy, flow)) as talk:
            assert talk.sip.flow == flow
        assert (len(came), len(taking.came)) == (1, 1)


async def test_who_refuses_the_call_itself_has_the_last_word() -> None:
    async with refusing(404) as (elsewhere, _), door() as (taking, flow, phone):
        with pytest.raises(Refused, match="404"):
            async with phone.calling_any("1", (elsewhere, flow)):
                pass
        assert taking.came == []


async def test_where_none_can_the_last_one_is_told() -> None:
    async with refusing(503) as (one, _), refusing(500) as (other, came), door() as (*_, phone):
        with pytest.raises(Refused, match="500"):
            async with phone.calling_any("1", (one, other)):
                pass
        assert len(came) == 1


@pytest.mark.parametrize(
    ("gone", "may"),
    [
        (Refused(503), True),
        (Refused(486), False),
        (LegGone(LegEnd("lost", 408, "transaction-timeout")), True),
        (LegGone(LegEnd("us", None, "no-answer")), False),
    ],
)
def test_which_failures_another_server_may_mend(gone: Refused | LegGone, may: bool) -> None:
    assert may_another(gone) is may
