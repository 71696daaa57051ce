# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP over TCP: segments, keep-alives, deadlines, shares, connections that come and go."""

from __future__ import annotations

import asyncio

import pytest

from dialin.sip import LegEnd, dialler, tcp
from dialin.wire.flow import Flow
from tests.fakes.sip_peers import TcpPeer, TcpServer
from tests.sipbench import TCP4, Bench, caller_at, opened
from tests.wire.peers import ANSWER, OFFER, answer_to


async def connect(bench: Bench) -> TcpPeer:
    """A connection to the endpoint."""
    return await TcpPeer.connect(*bench.address("TCP"))


async def test_a_message_split_over_segments_is_one_message() -> None:
    async with opened(TCP4) as bench:
        peer = await connect(bench)
        data = caller_at(peer).invite()
        for cut in range(0, len(data), 41):
            peer.send(data[cut : cut + 41])
            await asyncio.sleep(0)
        leg = await bench.call()
        assert leg.offer == OFFER
        leg.reject(486)
        assert (await peer.response()).status == 486
        await peer.close()


async def test_two_messages_in_one_segment_are_two_messages() -> None:
    async with opened(TCP4) as bench:
        peer = await connect(bench)
        first = caller_at(peer, call_id="a").request("OPTIONS")
        second = caller_at(peer, call_id="b").request("OPTIONS")
        peer.send(first + second)
        assert [(await peer.response()).call_id, (await peer.response()).call_id] == ["a", "b"]
        await peer.close()


async def test_a_ping_is_answered_by_a_pong() -> None:
    async with opened(TCP4) as bench:
        peer = await connect(bench)
        peer.send(b"\r\n\r\n")
        assert await peer.raw() == b"\r\n"
        peer.send(caller_at(peer).request("OPTIONS"))
        assert (await peer.response()).status == 200
        assert bench.sip.counters.keep_alives >= 1
        await peer.close()


async def test_an_unreadable_stream_is_told_so_and_closed() -> None:
    async with opened(TCP4) as bench:
        peer = await connect(bench)
        peer.send(caller_at(peer).request("OPTIONS").replace(b"Length: 0", b"Length: x"))
        assert (await peer.raw()).startswith(b"SIP/2.0 400 ")
        assert await peer.is_closed()
        assert bench.sip.counters.malformed == 1
        await peer.close()


async def test_a_bad_message_in_a_good_stream_is_400_and_the_stream_goes_on() -> None:
    async with opened(TCP4) as bench:
        peer = await connect(bench)
        peer.send(caller_at(peer).request("OPTIONS").replace(b"Forwards: 70", b"Forwards: x"))
        assert (await peer.response()).status == 400
        peer.send(caller_at(peer).request("OPTIONS"))
        assert (await peer.response()).status == 200
        await peer.close()


async def test_a_stranger_is_closed_without_a_word() -> None:
    async with opened(TCP4, allow_source=lambda _host: False) as bench:
        peer = await connect(bench)
        peer.send(caller_at(peer).request("OPTIONS"))
        assert await peer.is_closed()
        assert bench.sip.counters.refused_connections == 1
        assert bench.sip.counters.requests == {}
        await peer.close()


async def test_a_source_has_its_share_of_connections_and_no_more() -> None:
    async with opened(TCP4) as bench:
        peers = [await connect(bench) for _ in range(tcp.MAX_CONNECTIONS_PER_SOURCE)]
        extra = await connect(bench)
        assert await extra.is_closed()
        assert bench.sip.counters.refused_connections == 1
        await peers[0].close()
        await bench.until(lambda: len(bench.sip._tcp._by_number) < len(peers))
        another = await connect(bench)
        another.send(caller_at(another).request("OPTIONS"))
        assert (await another.response()).status == 200
        for peer in (*peers[1:], extra, another):
            await peer.close()


async def test_a_message_has_to_end_in_time_however_its_octets_trickle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp, "MESSAGE_WITHIN_S", 0.1)
    async with opened(TCP4) as bench:
        peer = await connect(bench)
        peer.send(caller_at(peer).request("OPTIONS"))
        assert (await peer.response()).status == 200
        for octet in b"OPTIONS sip:slow@127.0.0.1 SIP/2.0\r\n":
            peer.send(bytes((octet,)))
            await asyncio.sleep(0.01)
            if bench.sip.counters.slow_connections:
                break
        assert await peer.is_closed()
        assert bench.sip.counters.slow_connections == 1
        await peer.close()


async def test_each_message_has_a_deadline_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MESSAGE_WITHIN_S", 0.2)
    async with opened(TCP4) as bench:
        peer = await connect(bench)
        for number in range(6):
            options = caller_at(peer, call_id=str(number)).request("OPTIONS")
            # The end of one message, and the beginning of the next.
            peer.send(options[:50])
            await asyncio.sleep(0.05)
            peer.send(options[50:])
            assert (await peer.response()).status == 200
        assert bench.sip.counters.slow_connections == 0
        await peer.close()


async def test_an_idle_connection_may_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MESSAGE_WITHIN_S", 0.05)
    async with opened(TCP4) as bench:
        peer = await connect(bench)
        await asyncio.sleep(0.1)
        peer.send(caller_at(peer).request("OPTIONS"))
        assert (await peer.response()).status == 200
        await peer.close()


async def test_who_does_not_read_our_answers_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_UNREAD_BYTES", 4096)
    async with opened(TCP4) as bench:
        _, writer = await asyncio.open_connection(*bench.address("TCP"))
        peer = TcpPeer(asyncio.StreamReader(), writer)
        padding = ("Via", f"SIP/2.0/TCP 192.0.2.1;branch={'x' * 8000}")
        number = 0
        while not bench.sip.counters.slow_connections:
            number += 1
            peer.send(caller_at(peer, call_id=str(number)).request("OPTIONS", 1, [padding]))
            await asyncio.sleep(0)
        assert number > 1
        writer.transport.abort()


async def test_calls_go_out_by_one_connection() -> None:
    async with opened(TCP4) as bench, TcpServer() as server:
        flow = Flow("TCP", "127.0.0.1", server.port)
        contact = ("Contact", f"<sip:room@127.0.0.1:{server.port};transport=tcp>")
        peer: TcpPeer | None = None
        for user in "123":
            leg = await bench.sip.invite(
                "sip:12345@127.0.0.1", flow, from_display="x", from_user=user, offer=OFFER
            )
            peer = peer or await server.accepted()
            invite = await peer.request()
            assert (invite.method, invite.via.transport) == ("INVITE", "TCP")
            peer.send(answer_to(invite, 200, [contact], ANSWER))
            assert await leg.answered() == ANSWER
            assert (await peer.request()).method == "ACK"
        assert server.count == 1


async def test_what_is_sent_before_a_connection_stands_waits_for_it() -> None:
    async with opened(TCP4) as bench, TcpServer() as server:
        flow = Flow("TCP", "127.0.0.1", server.port)
        for user in "12":
            await bench.sip.invite(
                "sip:12345@127.0.0.1", flow, from_display="x", from_user=user, offer=OFFER
            )
        peer = await server.accepted()
        users = [(await peer.request()).from_.uri_text[4] for _ in "12"]
        assert (users, server.count) == (["1", "2"], 1)


async def test_a_bye_finds_its_way_when_the_connection_is_gone() -> None:
    async with opened(TCP4) as bench, TcpServer() as server:
        peer = await connect(bench)
        caller = caller_at(peer, contact=f"<sip:c@127.0.0.1:{server.port};transport=tcp>")
        peer.send(caller.invite())
        leg = await bench.call()
        answering = asyncio.create_task(leg.answer(ANSWER))
        caller.to_tag = (await peer.response()).to.tag
        peer.send(caller.ack())
        await answering
        await peer.close()
        await bench.until(lambda: not bench.sip._tcp._by_number)
        assert not leg.ended.done()  # a connection is not a call
        leg.hang_up()
        again = await server.accepted()
        bye = await again.request()
        assert bye.method == "BYE"
        again.send(answer_to(bye, 200, tag=None))
        await bench.until(lambda: bench.sip.legs == 0)


async def test_a_call_to_where_nobody_listens_is_lost_at_once() -> None:
    async with opened(TCP4) as bench:
        async with TcpServer() as server:
            port = server.port
        leg = await bench.sip.invite(
            "sip:1@127.0.0.1",
            Flow("TCP", "127.0.0.1", port),
            from_display="",
            from_user="1",
            offer=OFFER,
        )
        assert await leg.ended == LegEnd("lost", 503, "transport-lost")
        assert bench.sip.counters.unsent == 1
        assert bench.sip.transactions == 0


async def test_a_call_is_lost_when_its_connection_breaks_before_the_answer() -> None:
    async with opened(TCP4) as bench, TcpServer() as server:
        leg = await bench.sip.invite(
            "sip:1@127.0.0.1",
            Flow("TCP", "127.0.0.1", server.port),
            from_display="",
            from_user="1",
            offer=OFFER,
        )
        peer = await server.accepted()
        await peer.request()
        await peer.close()
        assert await leg.ended == LegEnd("lost", 503, "transport-lost")


class Stalled:
    """Connections that never come to stand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts = 0

        async def stall(*_: object, **__: object) -> None:
            self.attempts += 1
            await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", stall)


async def test_a_connection_that_does_not_come_to_stand_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialler, "CONNECT_WITHIN_S", 0.05)
    async with opened(TCP4) as bench:
        Stalled(monkeypatch)
        leg = await bench.sip.invite(
            "sip:1@192.0.2.1",
            Flow("TCP", "127.0.0.1", 9),
            from_display="",
            from_user="1",
            offer=OFFER,
        )
        assert (await leg.ended).cause == "transport-lost"


async def test_only_so_much_waits_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_WAITING", 2)
    async with opened(TCP4) as bench:
        stalled = Stalled(monkeypatch)
        for _ in range(5):
            bench.sip._tcp.send(b"x", Flow("TCP", "127.0.0.1", 9))
        await asyncio.sleep(0)
        assert (stalled.attempts, bench.sip.counters.unsent) == (1, 3)


async def test_closing_ends_attempts_and_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = asyncio.all_tasks()
    async with opened(TCP4) as bench:
        peer, idle = await connect(bench), await connect(bench)
        for each in (peer, idle):
            each.send(caller_at(each).request("OPTIONS"))
            await each.response()
        peer.send(b"INVITE sip:")  # a deadline runs
        Stalled(monkeypatch)
        bench.sip._tcp.send(b"x", Flow("TCP", "127.0.0.1", 9))
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    for each in (peer, idle):
        assert await each.is_closed()
        await each.close()


async def test_a_connection_that_comes_while_we_close_is_refused() -> None:
    async with opened(TCP4) as bench:
        bench.sip._tcp._is_closed = True
        peer = await connect(bench)
        assert await peer.is_closed()
        await peer.close()
