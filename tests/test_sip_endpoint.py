# SPDX-License-Identifier: GPL-3.0-or-later
"""The SIP endpoint over real sockets: whole calls, allow-list, timers, closing, logs, counters."""

from __future__ import annotations

import asyncio
import logging
import os
import socket

import pytest

from dialin.errors import OperatorError
from dialin.sip import IncomingLeg, LegEnd, LegGone, Listen, SipEndpoint
from dialin.sip import endpoint as endpoint_module
from dialin.sip.addresses import Routes
from dialin.wire.flow import Flow
from dialin.wire.reason import NORMAL_CLEARING
from tests.fakes.sip_peers import TcpPeer, UdpPeer
from tests.sipbench import (
    TCP4,
    TCP6,
    UDP4,
    UDP6,
    caller_at,
    needs_ipv6,
    opened,
    talking,
)
from tests.wire.peers import ANSWER, OFFER, answer_to

CANARY = "+4915738620594"


@pytest.mark.parametrize(
    ("listen", "host"),
    [
        (UDP4, "127.0.0.1"),
        pytest.param(UDP6, "::1", marks=needs_ipv6),
        (Listen("UDP", "0.0.0.0", 0), "127.0.0.1"),
    ],
)
async def test_a_whole_call_over_udp(listen: Listen, host: str) -> None:
    async with opened(listen) as bench:
        to = (host, bench.address()[1])
        with UdpPeer(host) as peer:
            caller = caller_at(peer)
            peer.send(caller.invite(), to)
            leg = await bench.call()
            assert (leg.offer, leg.local_host, leg.flow.host) == (OFFER, host, host)
            leg.ring()
            assert (await peer.response()).status == 180
            answering = asyncio.create_task(leg.answer(ANSWER))
            ok = await peer.response()
            assert (ok.status, ok.body) == (200, ANSWER)
            shown = f"[{host}]" if ":" in host else host
            assert ok.contacts[0].uri_text == f"sip:dialin@{shown}:{to[1]}"
            caller.to_tag = ok.to.tag
            peer.send(caller.ack(), to)
            assert await answering is None
            assert not leg.ended.done()
            leg.hang_up()
            bye = await peer.request()
            assert bye.method == "BYE"
            assert leg.ended.result() == LegEnd("us", None, "bye")
            peer.send(answer_to(bye, 200, tag=None), to)
            await bench.until(lambda: bench.sip.legs == 0)
            await bench.until(lambda: bench.sip.transactions == 0)


@pytest.mark.parametrize(
    "listen", [TCP4, pytest.param(TCP6, marks=needs_ipv6), Listen("TCP", "0.0.0.0", 0)]
)
async def test_a_whole_call_over_tcp_goes_back_by_its_connection(listen: Listen) -> None:
    host = "::1" if ":" in listen.host else "127.0.0.1"
    async with opened(listen) as bench:
        peer = await TcpPeer.connect(host, bench.address("TCP")[1])
        # The Contact names a port that nobody listens on: the connection is there.
        caller = caller_at(peer)
        peer.send(caller.invite())
        leg = await bench.call()
        answering = asyncio.create_task(leg.answer(ANSWER))
        ok = await peer.response()
        assert ok.contacts[0].uri_text.endswith(";transport=tcp")
        caller.to_tag = ok.to.tag
        peer.send(caller.ack())
        await answering
        leg.hang_up()
        bye = await peer.request()
        peer.send(answer_to(bye, 200, tag=None))
        await bench.until(lambda: (bench.sip.legs, bench.sip.transactions) == (0, 0))
        await peer.close()


async def test_two_endpoints_call_each_other() -> None:
    async with opened(UDP4, TCP4) as called, opened(UDP4, TCP4) as calling:
        for transport in ("UDP", "TCP"):
            flow = Flow(transport, *called.address(transport))
            leg = await calling.sip.invite(
                f"sip:12345@127.0.0.1:{flow.port}",
                flow,
                from_display="xxx-xxx-5678",
                from_user="712345678901234",
                offer=OFFER,
            )
            incoming = await called.call()
            assert incoming.request.from_.display == "xxx-xxx-5678"
            incoming.progress(ANSWER)
            acknowledged, answer = await asyncio.gather(incoming.answer(ANSWER), leg.answered())
            assert (acknowledged, answer, leg.early) == (None, ANSWER, ANSWER)
            leg.hang_up()
            assert await incoming.ended == LegEnd("peer", None, "bye", NORMAL_CLEARING)
        await called.until(lambda: called.sip.legs == 0)
        await calling.until(lambda: calling.sip.legs == 0)


async def test_a_lost_200_comes_again_and_no_ack_ends_the_call() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            peer.send(caller_at(peer).invite(), bench.address())
            leg = await bench.call()
            answering = asyncio.create_task(leg.answer(ANSWER))
            first, second = await peer.octets(), await peer.octets()
            assert first == second
            with pytest.raises(LegGone) as caught:
                await answering
            assert caught.value.end == leg.ended.result() == LegEnd("lost", None, "no-ack")
            assert "no-ack" in str(caught.value)
            while (data := await peer.octets()).startswith(b"SIP/2.0 200"):
                pass
            assert data.startswith(b"BYE ")


async def test_other_sources_are_dropped_unread_and_unanswered() -> None:
    async with opened(UDP4, TCP4, allow_source=lambda host: host != "127.0.0.2") as bench:
        with UdpPeer("127.0.0.2") as stranger, UdpPeer() as peer:
            for data in (caller_at(stranger).request("OPTIONS"), b"\xff\xfe\xfd", b"", b"\r\n"):
                stranger.send(data, bench.address())
            peer.send(caller_at(peer).request("OPTIONS"), bench.address())
            assert (await peer.response()).status == 200
            assert await stranger.is_quiet()
            counters = bench.sip.counters
            assert (counters.dropped_source, counters.malformed) == (4, 0)
            assert counters.requests == {"OPTIONS": 1}


async def test_an_address_that_would_not_be_heard_is_not_called() -> None:
    async with opened(allow_source=lambda _host: False) as bench:
        with pytest.raises(ValueError, match="would not be heard"):
            await bench.sip.invite(
                "sip:1@192.0.2.1",
                Flow("UDP", "192.0.2.1", 5060),
                from_display="",
                from_user="1",
                offer=OFFER,
            )


async def test_a_name_is_never_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    async with opened() as bench:
        with pytest.raises(ValueError, match="literal"):
            await bench.sip.invite(
                "sip:1@name.invalid",
                Flow("UDP", "name.invalid", 5060),
                from_display="",
                from_user="1",
                offer=OFFER,
            )
        with UdpPeer() as peer:
            caller = caller_at(peer, contact="<sip:x@metadata.google.internal:80>")
            leg = await talking(bench, peer, caller)
            leg.hang_up()
            bye = await peer.request()  # to where the call came from
            assert bye.uri == "sip:x@metadata.google.internal:80"


async def test_keep_alives_are_counted_and_not_answered_over_udp() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            for data in (b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0"):
                peer.send(data, bench.address())
            assert await peer.is_quiet()
            await bench.in_step(peer)
            counters = bench.sip.counters
            assert (counters.keep_alives, counters.malformed) == (4, 0)


async def test_noise_is_counted_and_what_can_be_answered_is() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            peer.send(b"\xff\xfe\xfd", bench.address())
            peer.send(b"GET / HTTP/1.1\r\n\r\n", bench.address())
            broken = caller_at(peer).request("OPTIONS").replace(b"Forwards: 70", b"Forwards: x")
            peer.send(broken, bench.address())
            assert (await peer.response()).status == 400
            assert bench.sip.counters.malformed == 3
            peer.send(caller_at(peer).request("OPTIONS"), bench.address())
            assert (await peer.response()).status == 200


async def test_strays_and_methods_are_counted() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(peer)
            peer.send(caller.request("FANCY"), bench.address())
            assert (await peer.response()).status == 501
            peer.send(caller.request("REGISTER"), bench.address())
            response = await peer.octets()
            peer.send(response, bench.address())
            await bench.until(lambda: bench.sip.counters.strays == 1)
            assert bench.sip.counters.requests == {"OTHER": 1, "REGISTER": 1}
            assert bench.sip.counters.responses == {405: 1}


async def test_options_when_no_calls_are_taken() -> None:
    async with opened(answer_options=False) as bench:
        with UdpPeer() as peer:
            peer.send(caller_at(peer).request("OPTIONS"), bench.address())
            assert (await peer.response()).status == 503


async def test_replies_leave_by_the_socket_that_was_spoken_to() -> None:
    async with opened(UDP4, UDP4) as bench:
        first, second = bench.sip.addresses
        with UdpPeer() as peer:
            for at in (second, first):
                options = caller_at(peer, call_id=str(at.port)).request("OPTIONS")
                peer.send(options, (at.host, at.port))
                loop = asyncio.get_running_loop()
                _, source = await loop.sock_recvfrom(peer._socket, 65535)
                assert source == (at.host, at.port)


async def test_one_call_that_cannot_be_taken_does_not_end_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[IncomingLeg] = []

    def take(leg: IncomingLeg) -> None:
        calls.append(leg)
        if len(calls) == 1:
            raise RuntimeError("poisoned")

    async with opened(on_call=take) as bench:
        with UdpPeer() as peer:
            peer.send(caller_at(peer, call_id="a").invite(), bench.address())
            assert (await peer.response()).status == 500
            assert calls[0].ended.result() == LegEnd("us", 500, "rejected")
            peer.send(caller_at(peer, call_id="b").invite(), bench.address())
            await bench.until(lambda: len(calls) == 2)
            calls[1].reject(486)
            assert (await peer.response()).status == 486
    assert "poisoned" in caplog.text


async def test_a_callback_that_fails_ends_its_call_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(peer)
            leg = await talking(bench, peer, caller)

            def fail(_offer: bytes | None) -> bytes:
                raise RuntimeError("poisoned")

            leg.on_reoffer = fail
            peer.send(caller.invite(OFFER, 2), bench.address())
            messages = [await peer.octets(), await peer.octets()]
            assert [data.split(b" ", 2)[:2] for data in messages] == [
                [b"SIP/2.0", b"487"],
                [b"BYE", f"sip:caller@127.0.0.1:{peer.port};transport=UDP".encode()],
            ]
            assert leg.ended.result() == LegEnd("us", None, "bye")
    assert "poisoned" in caplog.text


async def test_closing_hangs_up_and_leaves_nothing() -> None:
    fds = len(os.listdir("/proc/self/fd"))
    tasks = asyncio.all_tasks()
    with UdpPeer() as peer:
        async with opened(UDP4, TCP4) as bench:
            tcp = await TcpPeer.connect(*bench.address("TCP"))
            leg = await talking(bench, peer, caller_at(peer))
            closing = asyncio.create_task(bench.sip.close())
            bye = await peer.request()
            peer.send(answer_to(bye, 200, tag=None), bench.address())
            await closing
            assert leg.ended.result() == LegEnd("us", None, "bye")
            assert (bench.sip.legs, bench.sip.transactions) == (0, 0)
            assert await tcp.is_closed()
            await tcp.close()
            await bench.sip.close()  # may be called again
    assert asyncio.all_tasks() == tasks
    assert len(os.listdir("/proc/self/fd")) == fds


async def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "CLOSE_WITHIN_S", 0.05)
    async with opened() as bench:
        with UdpPeer() as peer:
            await talking(bench, peer, caller_at(peer))
            async with asyncio.timeout(1.0):
                await bench.sip.close()
            assert (await peer.request()).method == "BYE"
            assert bench.sip.legs == 0


async def test_a_closed_endpoint_calls_nobody() -> None:
    async with opened() as bench:
        flow = Flow("UDP", *bench.address())
        await bench.sip.close()
        leg = await bench.sip.invite(
            "sip:1@127.0.0.1", flow, from_display="", from_user="1", offer=OFFER
        )
        assert leg.ended.result() == LegEnd("lost", None, "transport-lost")
        leg.hang_up()


async def test_an_address_in_use_is_the_operators_to_mend() -> None:
    with UdpPeer() as peer:
        taken = Listen("UDP", peer.host, peer.port)
        with pytest.raises(OperatorError, match=f"UDP 127.0.0.1:{peer.port}"):
            await SipEndpoint.open([UDP4, taken], allow_source=bool, on_call=lambda _leg: None)


async def test_there_is_no_way_to_where_nothing_listens() -> None:
    async with opened(UDP4) as bench:
        with pytest.raises(OperatorError, match="TCP"):
            bench.sip.local_host_for(Flow("TCP", "127.0.0.1", 5060))
        assert bench.sip.local_host_for(Flow("UDP", "127.0.0.1", 5060)) == "127.0.0.1"


async def test_a_request_whose_way_back_is_gone_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_route(_self: Routes, host: str) -> str:
        raise OperatorError(f"there is no route to {host}.", "")

    async with opened(Listen("UDP", "0.0.0.0", 0)) as bench:
        monkeypatch.setattr(Routes, "_towards", no_route)
        with UdpPeer() as peer:
            peer.send(caller_at(peer).request("OPTIONS"), ("127.0.0.1", bench.address()[1]))
            assert await peer.is_quiet()
            assert bench.sip.counters.unsent == 1


async def test_a_bye_whose_way_is_gone_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_route(_self: Routes, host: str) -> str:
        raise OperatorError(f"there is no route to {host}.", "")

    async with opened(UDP4, UDP4) as bench:
        with UdpPeer() as peer:
            leg = await talking(bench, peer, caller_at(peer, contact="<sip:x@127.0.0.3:9>"))
            monkeypatch.setattr(Routes, "_towards", no_route)
            leg.hang_up()
            assert bench.sip.counters.unsent == 1


async def test_logs_at_debug_hold_no_number(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="dialin")
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(
                peer,
                from_=f'"{CANARY}" <sip:{CANARY}@x.example.net>;tag=1',
                uri=f"sip:{CANARY}@127.0.0.1",
                call_id=CANARY,
                contact=f"<sip:{CANARY}@127.0.0.1:{peer.port}>",
            )
            leg = await talking(bench, peer, caller)
            assert CANARY not in leg.id
            leg.hang_up()
            await peer.request()
    assert "received INVITE: UDP 127.0.0.1:" in caplog.text
    assert "sent 200: UDP 127.0.0.1:" in caplog.text
    assert CANARY.strip("+") not in caplog.text


async def test_the_one_timer_serves_many_calls() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            for number in range(20):
                peer.send(caller_at(peer, call_id=str(number)).invite(), bench.address())
                (await bench.call()).ring()
            handles = [
                handle
                for handle in asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
                if not handle.cancelled()
                and getattr(handle._callback, "__self__", None) is bench.sip
            ]
            assert len(handles) <= 1


async def test_an_invite_repeated_by_the_network_is_one_call() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            invite = caller_at(peer).invite()
            for _ in range(10):
                peer.send(invite, bench.address())
            leg = await bench.call()
            leg.reject(486)
            await peer.response()
            assert bench.calls.empty()
