# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to a provider that stay open: signs of life, and knowing that one is gone."""

from __future__ import annotations

import asyncio

from dialin.wire.flow import Flow
from dialin.wire.message import Request, parse
from tests.fakes.sip_peers import TcpPeer, TcpServer, UdpPeer
from tests.sipbench import TCP4, UDP4, Bench, caller_at, opened
from tests.wire.peers import ANSWER, answer_to

URI = "sip:provider.example"


async def asked_by_tcp(bench: Bench, server: TcpServer) -> tuple[TcpPeer, Flow]:
    """A connection of ours that stands; the flow bears its number."""
    flow = Flow("TCP", "127.0.0.1", server.port)
    asking = asyncio.create_task(bench.sip.request("OPTIONS", URI, flow))
    peer = await server.accepted()
    peer.send(answer_to(await peer.request(), 200))
    await asking
    (number,) = bench.sip._tcp._by_number
    return peer, Flow("TCP", "127.0.0.1", server.port, number)


async def test_an_empty_line_is_answered_by_one() -> None:
    async with opened(TCP4) as bench, TcpServer() as server:
        peer, flow = await asked_by_tcp(bench, server)
        pings = [asyncio.create_task(bench.sip.ping(flow, 10)) for _ in range(2)]
        assert await peer.raw() == b"\r\n\r\n\r\n\r\n"
        peer.send(b"\r\n")
        assert await asyncio.gather(*pings) == [True, True]


async def test_a_far_end_that_stays_silent_is_told_from_one_that_answers() -> None:
    async with opened(TCP4) as bench, TcpServer() as server:
        peer, flow = await asked_by_tcp(bench, server)
        assert not await bench.sip.ping(flow, 0.05)
        peer.send(b"\r\n")  # too late, and harmless
        again = asyncio.create_task(bench.sip.request("OPTIONS", URI, flow))
        await peer.raw()
        asked = await peer.request()
        peer.send(answer_to(asked, 200))
        assert (await again).status == 200


async def test_a_connection_that_goes_ends_the_wait_and_is_told() -> None:
    async with opened(TCP4) as bench, TcpServer() as server:
        peer, flow = await asked_by_tcp(bench, server)
        lost = bench.sip.lost(flow)
        ping = asyncio.create_task(bench.sip.ping(flow, 10))
        await peer.raw()
        assert not lost.done()
        await peer.close()
        assert not await ping
        await lost
        assert not await bench.sip.ping(flow, 10)
        assert bench.sip.lost(flow).done()
        bench.sip.drop(flow)


async def test_a_connection_can_be_dropped_and_the_next_request_opens_another() -> None:
    async with opened(TCP4) as bench, TcpServer() as server:
        peer, flow = await asked_by_tcp(bench, server)
        lost = bench.sip.lost(flow)
        bench.sip.drop(flow)
        await lost
        assert await peer.is_closed()
        again = asyncio.create_task(bench.sip.request("OPTIONS", URI, flow))
        other = await server.accepted()
        other.send(answer_to(await other.request(), 200))
        assert (await again).status == 200


async def test_an_empty_datagram_is_sent_from_where_we_listen() -> None:
    async with opened(UDP4) as bench:
        with UdpPeer() as peer:
            bench.sip.poke(Flow("UDP", peer.host, peer.port))
            assert await peer.octets() == b"\r\n\r\n"
            bench.sip.poke(Flow("UDP", "::1", peer.port))
            assert bench.sip.counters.unsent == 1


async def test_far_ends_are_told_the_address_that_a_nat_gives_us() -> None:
    async with opened(UDP4) as bench:
        bench.sip._advertise = lambda host: "203.0.113.9" if host == "127.0.0.1" else None
        with UdpPeer() as peer:
            port = bench.address()[1]
            peer.send(caller_at(peer).invite(), bench.address())
            leg = await bench.call()
            assert leg.local_host == "127.0.0.1"  # for sockets, it is still our own
            answering = asyncio.create_task(leg.answer(ANSWER))
            ok = await peer.response()
            assert ok.contacts[0].uri_text == f"sip:dialin@203.0.113.9:{port}"
            leg.hang_up()
            answering.cancel()
            await asyncio.wait([answering])
            asking = asyncio.create_task(
                bench.sip.request("OPTIONS", URI, Flow("UDP", peer.host, peer.port))
            )
            while (asked := await peer.octets())[:7] != b"OPTIONS":
                pass
            request = parse(asked)
            assert isinstance(request, Request)
            assert (request.via.host, request.via.port) == ("203.0.113.9", port)
            assert request.from_.uri_text == f"sip:dialin@203.0.113.9:{port}"
            peer.send(answer_to(request, 200), bench.address())
            await asking
