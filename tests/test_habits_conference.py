# SPDX-License-Identifier: GPL-3.0-or-later
"""What a conference server does as the called side: each habit over real UDP sockets.

The server is a script of raw messages on as many sockets as it has addresses. How it behaves was
measured at FreeSWITCH under BigBlueButton's profile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from dialin.sip import LegEnd, OutgoingLeg, Refused
from dialin.wire.flow import Flow
from dialin.wire.message import Request
from dialin.wire.timers import Timers
from tests.fakes.sip_peers import UdpPeer
from tests.sipbench import Bench, opened
from tests.wire.peers import answer_to, called_request

OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\n"
)
EARLY = OFFER.replace(b"4000", b"16384")
ANSWER = OFFER.replace(b"4000", b"16386")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with opened() as opened_bench:
        yield opened_bench


class Conference:
    """The server: the socket that is called, and the one its Contact names."""

    def __init__(self) -> None:
        self.called = UdpPeer()
        self.contact = UdpPeer()
        self.proxy = UdpPeer()

    @property
    def contact_line(self) -> tuple[str, str]:
        """Differs from the Request-URI in user and port; the transport is in capitals."""
        return ("Contact", f"<sip:mod_sofia@127.0.0.1:{self.contact.port};transport=UDP>")

    def close(self) -> None:
        """Close all sockets."""
        for peer in (self.called, self.contact, self.proxy):
            peer.close()


@pytest.fixture
async def conference() -> AsyncIterator[Conference]:
    server = Conference()
    yield server
    server.close()


async def call(bench: Bench, conference: Conference, within_s: float = 60.0) -> OutgoingLeg:
    """A call into conference 12345."""
    return await bench.sip.invite(
        f"sip:12345@127.0.0.1:{conference.called.port}",
        Flow("UDP", "127.0.0.1", conference.called.port),
        from_display="xxx-xxx-5678",
        from_user="712345678901234",
        offer=OFFER,
        answer_within_s=within_s,
    )


async def in_the_room(bench: Bench, conference: Conference) -> tuple[OutgoingLeg, Request]:
    """A call that is answered and acknowledged."""
    leg = await call(bench, conference)
    invite = await conference.called.request()
    answer = answer_to(invite, 200, [conference.contact_line], ANSWER)
    conference.called.send(answer, bench.address())
    assert await leg.answered() == ANSWER
    assert (await conference.contact.request()).method == "ACK"
    return leg, invite


async def test_it_challenges_with_407(bench: Bench, conference: Conference) -> None:
    leg = await call(bench, conference)
    invite = await conference.called.request()
    challenge = ("Proxy-Authenticate", 'Digest realm="127.0.0.1", nonce="5", qop="auth"')
    refusal = answer_to(invite, 407, [challenge])
    for _ in range(2):
        conference.called.send(refusal, bench.address())
        ack = await conference.called.request()
        assert (ack.method, ack.uri, ack.via.branch) == ("ACK", invite.uri, invite.via.branch)
        assert "Proxy-Authorization" not in ack.headers
    with pytest.raises(Refused, match="407"):
        await leg.answered()


@pytest.mark.parametrize("status", [404, 480])
async def test_it_refuses_who_is_not_authorised(
    bench: Bench, conference: Conference, status: int
) -> None:
    leg = await call(bench, conference)
    invite = await conference.called.request()
    conference.called.send(
        answer_to(invite, status, [("Reason", 'Q.850;cause=16;text="NORMAL_CLEARING"')]),
        bench.address(),
    )
    with pytest.raises(Refused, match=str(status)):
        await leg.answered()


async def test_it_sends_183_with_sdp_before_the_200(bench: Bench, conference: Conference) -> None:
    leg = await call(bench, conference)
    invite = await conference.called.request()
    for answer in (
        answer_to(invite, 100, tag=None),
        answer_to(invite, 183, [conference.contact_line], EARLY),
        answer_to(invite, 200, [conference.contact_line], ANSWER),
    ):
        conference.called.send(answer, bench.address())
    assert await leg.answered() == ANSWER
    assert leg.early == EARLY
    assert (await conference.contact.request()).method == "ACK"


async def test_it_sends_the_200_alone(bench: Bench, conference: Conference) -> None:
    leg, _ = await in_the_room(bench, conference)
    assert leg.early is None


async def test_ack_and_bye_go_to_its_contact(bench: Bench, conference: Conference) -> None:
    leg, _ = await in_the_room(bench, conference)
    leg.hang_up()
    bye = await conference.contact.request()
    assert bye.method == "BYE"
    assert bye.uri == conference.contact_line[1].strip("<>")
    conference.contact.send(answer_to(bye, 200, tag=None), bench.address())
    await bench.until(lambda: bench.sip.legs == 0)
    assert await conference.called.is_quiet()


async def test_its_record_route_leads_the_way(bench: Bench, conference: Conference) -> None:
    leg = await call(bench, conference)
    invite = await conference.called.request()
    route = f"<sip:127.0.0.1:{conference.proxy.port};lr>"
    lines = [conference.contact_line, ("Record-Route", route)]
    conference.called.send(answer_to(invite, 200, lines, ANSWER), bench.address())
    await leg.answered()
    leg.hang_up()
    for method in ("ACK", "BYE"):
        request = await conference.proxy.request()
        assert (request.method, request.uri) == (method, conference.contact_line[1].strip("<>"))
        assert request.headers.values("Route") == (route,)
    assert await conference.contact.is_quiet()


@pytest.mark.parametrize("method", ["OPTIONS", "INFO", "UPDATE", "INVITE"])
async def test_it_asks_in_the_dialog(bench: Bench, conference: Conference, method: str) -> None:
    leg, invite = await in_the_room(bench, conference)
    body, lines = b"", [conference.contact_line]
    if method == "INVITE":
        body = EARLY
    elif method == "INFO":
        body, lines = b"Signal=5\r\nDuration=250\r\n", [("Content-Type", "application/dtmf-relay")]
    keys: list[str] = []
    leg.on_info_digit = keys.append
    request = called_request(invite, method, 101, lines, body)
    via = b"127.0.0.1:%d" % conference.called.port
    conference.called.send(request.replace(b"203.0.113.5:5060", via), bench.address())
    response = await conference.called.response()
    assert response.status == 200
    assert response.body == (OFFER if method == "INVITE" else b"")
    assert keys == (["5"] if method == "INFO" else [])
    assert not leg.ended.done()


async def test_transport_in_capitals_loses_no_bye(bench: Bench, conference: Conference) -> None:
    legs = [(await in_the_room(bench, conference))[0] for _ in range(60)]
    for leg in legs:
        leg.hang_up()
    byes: dict[str, Request] = {}
    while len(byes) < len(legs):
        bye = await conference.contact.request()
        assert (bye.method, bye.uri[-14:]) == ("BYE", ";transport=UDP")
        byes[bye.call_id] = bye
        conference.contact.send(answer_to(bye, 200, tag=None), bench.address())
    await bench.until(lambda: bench.sip.legs == 0)


async def test_it_may_ring_longer_than_64_t1(conference: Conference) -> None:
    brief = Timers(t1_s=0.002, t2_s=0.008, t4_s=0.01)
    async with opened(timers=brief) as bench:
        leg = await call(bench, conference)
        invite = await conference.called.request()
        ringing = answer_to(invite, 180, [conference.contact_line])
        conference.called.send(ringing, bench.address())
        await asyncio.wait((leg.ended,), timeout=3 * brief.patience_s)
        assert not leg.ended.done()
        answer = answer_to(invite, 200, [conference.contact_line], ANSWER)
        conference.called.send(answer, bench.address())
        assert await leg.answered() == ANSWER


async def test_it_repeats_its_200_until_the_ack_arrives(
    bench: Bench, conference: Conference
) -> None:
    leg, invite = await in_the_room(bench, conference)
    answer = answer_to(invite, 200, [conference.contact_line], ANSWER)
    acks = []
    for _ in range(3):  # the ACK was lost each time
        conference.called.send(answer, bench.address())
        acks.append(await conference.contact.octets())
    assert len(set(acks)) == 1
    assert acks[0].startswith(b"ACK ")
    assert not leg.ended.done()


async def test_a_200_that_comes_after_our_cancel_leaves_no_ghost(
    bench: Bench, conference: Conference
) -> None:
    leg = await call(bench, conference)
    invite = await conference.called.request()
    conference.called.send(answer_to(invite, 183, [conference.contact_line]), bench.address())
    await bench.in_step(conference.called)
    leg.hang_up()
    assert (await conference.called.request()).method == "CANCEL"
    answer = answer_to(invite, 200, [conference.contact_line], ANSWER)
    conference.called.send(answer, bench.address())
    assert [(await conference.contact.request()).method for _ in "ab"] == ["ACK", "BYE"]


async def test_it_ends_the_call(bench: Bench, conference: Conference) -> None:
    leg, invite = await in_the_room(bench, conference)
    via = b"127.0.0.1:%d" % conference.called.port
    bye = called_request(invite, "BYE", 101).replace(b"203.0.113.5:5060", via)
    for _ in range(2):
        conference.called.send(bye, bench.address())
        assert (await conference.called.response()).status == 200
    assert leg.ended.result() == LegEnd("peer", None, "bye")


async def test_the_pin_in_its_200_is_not_logged(
    bench: Bench, conference: Conference, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="dialin")
    leg = await call(bench, conference)
    invite = await conference.called.request()
    identity = ("P-Asserted-Identity", '"987654321" <sip:987654321@127.0.0.1>')
    lines = [conference.contact_line, identity]
    conference.called.send(answer_to(invite, 200, lines, ANSWER), bench.address())
    await leg.answered()
    assert "received 200" in caplog.text
    assert "987654321" not in caplog.text
