# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of ours outside any dialog, over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from dialin.errors import OperatorError
from dialin.sip import OutgoingLeg, RequestFailed
from dialin.wire.asking import Enquiry
from dialin.wire.digest import parse_credentials
from dialin.wire.flow import Flow
from dialin.wire.login import Login
from dialin.wire.timers import Timers
from tests.fakes.sip_peers import TcpServer, UdpPeer
from tests.sipbench import TCP4, UDP4, opened
from tests.wire.peers import ANSWER, OFFER, answer_to
from tests.wire.registrar_text import PASSWORD, REALM, digest

URI = "sip:provider.example"
LOGIN = Login("us", PASSWORD, REALM)


def at(peer: UdpPeer) -> Flow:
    """The way to a peer."""
    return Flow("UDP", peer.host, peer.port)


async def test_a_server_is_asked_and_answers() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            asking = asyncio.create_task(
                bench.sip.request("OPTIONS", URI, at(peer), headers=[("Accept", "text/plain")])
            )
            asked = await peer.request()
            assert (asked.method, asked.uri) == ("OPTIONS", URI)
            assert asked.headers.get("Accept") == "text/plain"
            host, port = bench.address()
            assert asked.from_.uri_text == f"sip:dialin@{host}:{port}"
            peer.send(answer_to(asked, 404), bench.address())
            assert (await asking).status == 404


async def test_a_challenge_of_the_server_that_was_asked_is_met() -> None:
    async with opened(UDP4, TCP4) as bench, TcpServer() as server:
        flow = Flow("TCP", "127.0.0.1", server.port)
        asking = asyncio.create_task(bench.sip.request("OPTIONS", URI, flow, credentials=LOGIN))
        peer = await server.accepted()
        peer.send(answer_to(await peer.request(), 401, digest()))
        again = await peer.request()
        assert parse_credentials(again.headers.get("Authorization") or "").realm == REALM
        peer.send(answer_to(again, 200))
        assert (await asking).status == 200
        assert server.count == 1


async def test_a_rogue_who_challenges_gets_nothing() -> None:
    async with opened() as bench:
        with UdpPeer() as peer, UdpPeer() as rogue:
            asking = asyncio.create_task(
                bench.sip.request("OPTIONS", URI, at(peer), credentials=LOGIN)
            )
            rogue.send(answer_to(await peer.request(), 401, digest()), bench.address())
            with pytest.raises(RequestFailed, match="challenge-from-elsewhere"):
                await asking
            assert await rogue.is_quiet()
            assert await peer.is_quiet()


async def test_it_is_told_where_an_answer_came_from() -> None:
    async with opened() as bench:
        with UdpPeer() as peer, UdpPeer() as other:
            enquiry = Enquiry("OPTIONS", URI, URI, URI)
            asking = asyncio.create_task(bench.sip.ask(enquiry, at(peer)))
            other.send(answer_to(await peer.request(), 200), bench.address())
            assert (await asking).flow.port == other.port


async def test_nobody_answers() -> None:
    async with opened(timers=Timers()) as bench:
        with UdpPeer() as peer, pytest.raises(RequestFailed) as failure:
            await bench.sip.request("OPTIONS", URI, at(peer), within_s=0.1)
        assert failure.value.cause == "no-answer"
        assert bench.sip.transactions == 0


async def test_who_asked_may_leave_before_the_answer() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            asking = asyncio.create_task(bench.sip.request("OPTIONS", URI, at(peer)))
            asked = await peer.request()
            asking.cancel()
            await asyncio.wait([asking])
            peer.send(answer_to(asked, 200), bench.address())
            await bench.in_step(peer)
            assert bench.sip.counters.strays == 0


async def test_a_connection_that_cannot_be_made_is_told_at_once() -> None:
    async with TcpServer() as server:
        port = server.port
    async with opened(TCP4) as bench:
        with pytest.raises(RequestFailed, match="connection-failed"):
            await bench.sip.request("OPTIONS", URI, Flow("TCP", "127.0.0.1", port))


async def test_closing_the_endpoint_ends_the_wait() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            asking = asyncio.create_task(bench.sip.request("OPTIONS", URI, at(peer)))
            await peer.request()
            await bench.sip.close()
            with pytest.raises(RequestFailed, match="connection-failed"):
                await asking
            with pytest.raises(RequestFailed, match="connection-failed"):
                await bench.sip.request("OPTIONS", URI, at(peer))


async def test_only_literal_addresses_that_we_hear_and_can_reach_are_asked() -> None:
    async with opened(allow_source=lambda host: host == "127.0.0.1") as bench:
        for flow, error in (
            (Flow("UDP", "provider.example", 5060), ValueError),
            (Flow("UDP", "127.0.0.9", 5060), ValueError),
            (Flow("TCP", "127.0.0.1", 5060), OperatorError),
        ):
            with pytest.raises(error):
                await bench.sip.request("OPTIONS", URI, flow)


async def test_a_call_is_let_through_by_the_server_that_was_called_and_by_no_rogue() -> None:
    async with opened() as bench:
        with UdpPeer() as peer, UdpPeer() as rogue:

            async def calling() -> OutgoingLeg:
                return await bench.sip.invite(
                    "sip:+493023125100@provider.example",
                    at(peer),
                    from_display="",
                    from_user="us",
                    from_domain="provider.example",
                    offer=OFFER,
                    credentials=LOGIN,
                )

            leg = await calling()
            peer.send(answer_to(await peer.request(), 401, digest()), bench.address())
            assert (await peer.request()).method == "ACK"
            again = await peer.request()
            assert again.from_.uri_text == "sip:us@provider.example"
            assert parse_credentials(again.headers.get("Authorization") or "").realm == REALM
            contact = ("Contact", f"<sip:{peer.host}:{peer.port}>")
            peer.send(answer_to(again, 200, [contact], ANSWER), bench.address())
            assert await leg.answered() == ANSWER
            assert (await peer.request()).method == "ACK"
            leg.hang_up()
            bye = await peer.request()
            rogue.send(answer_to(bye, 401, digest("n2")), bench.address())
            await bench.until(lambda: bench.sip.legs == 0)

            leg = await calling()
            rogue.send(answer_to(await peer.request(), 401, digest("n3")), bench.address())
            assert (await leg.ended).status == 401
            # The transaction layer acknowledges to where the INVITE went; that is all.
            assert (await peer.request()).method == "ACK"
            assert await rogue.is_quiet()
