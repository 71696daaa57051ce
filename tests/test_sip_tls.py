# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP over TLS: nobody unproven hears a word, and a call outlives its connection."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dialin.errors import OperatorError
from dialin.sip import (
    Certificate,
    LegEnd,
    Listen,
    OutgoingLeg,
    SipEndpoint,
    TlsTarget,
    dialler,
    door,
    tcp,
)
from dialin.sip.tls import OwnCertificates, TrustBook, server_context
from dialin.wire.flow import Flow
from dialin.wire.message import Request, parse
from tests.fakes import tls_peers
from tests.fakes.authority import NAME, Authority
from tests.fakes.sip_peers import TcpPeer, TcpServer
from tests.fakes.tls_peers import BlockingServer, Eavesdropper, TlsServer
from tests.sipbench import UDP4, Bench, caller_at, needs_ipv6, opened
from tests.wire.peers import ANSWER, OFFER, Caller, answer_to

HOST = "127.0.0.1"
REFUSED_WITHIN_S = 5.0
CALL_WITHIN_S = 1.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("good")


@pytest.fixture
def target(authority: Authority) -> TlsTarget:
    return TlsTarget(NAME, authority.file)


def tls(certificate: Certificate) -> Listen:
    return Listen("TLS", HOST, 0, certificate)


async def called(bench: Bench, port: int, *, scheme: str = "sip") -> OutgoingLeg:
    """A call from us by TLS to this port."""
    return await bench.sip.invite(
        f"{scheme}:12345@{NAME}",
        Flow("TLS", HOST, port),
        from_display="x",
        from_user="1",
        offer=OFFER,
    )


def contact_of(server: TcpServer | Eavesdropper) -> tuple[str, str]:
    return ("Contact", f"<sip:room@{HOST}:{server.port};transport=tls>")


async def answered(server: TlsServer, leg: OutgoingLeg, via: Eavesdropper | None = None) -> TcpPeer:
    """The server takes the call; its Contact is where the connection came to."""
    peer = await server.accepted()
    invite = await peer.request()
    peer.send(answer_to(invite, 200, [contact_of(via or server)], ANSWER))
    assert await leg.answered() == ANSWER
    assert (await peer.request()).method == "ACK"
    return peer


def caller_by_tls(peer: TcpPeer, **changes: str) -> Caller:
    contact = f"<sip:caller@{peer.host}:{peer.port};transport=tls>"
    return caller_at(peer, **{"transport": "TLS", "contact": contact, **changes})


async def next_request(peer: TcpPeer) -> Request:
    """The next request: a 200 may have been repeated before its ACK came."""
    while True:
        piece = await peer.piece()
        assert isinstance(piece, bytes)
        if isinstance(message := parse(piece), Request):
            return message


# Whom we believe


@dataclass(frozen=True)
class Bad:
    """One bad certificate."""

    cause: str
    details: dict[str, Any]
    context: Callable[[Certificate], ssl.SSLContext] = tls_peers.server
    is_of_another_authority: bool = False


BAD = {
    "expired": Bad("certificate-expired", {"ends_in": timedelta(minutes=-1)}),
    "not-yet-valid": Bad("certificate-not-yet-valid", {"starts_in": timedelta(hours=1)}),
    "another-name": Bad("certificate-wrong-name", {"names": "DNS:sip.example.org"}),
    "common-name-only": Bad("certificate-wrong-name", {"names": None}),
    "self-signed": Bad("certificate-self-signed", {"signs_itself": True}),
    "another-authority": Bad("certificate-unknown-authority", {}, is_of_another_authority=True),
    "sha-1": Bad("certificate-weak-signature", {"digest": "sha1"}),
    "rsa-1024": Bad("certificate-weak-key", {"key": "rsa:1024"}),
    "for-clients": Bad("certificate-wrong-purpose", {"usage": "clientAuth"}),
    "tls-1.1": Bad("tls-version", {}, tls_peers.old_server),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_certificate_is_refused_before_a_word_of_sip(
    authority: Authority,
    target: TlsTarget,
    tmp_path: Path,
    kind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = BAD[kind]
    issuer = Authority.made(tmp_path / "other") if bad.is_of_another_authority else authority
    with BlockingServer(bad.context(issuer.issue(f"bad-{kind}", **bad.details))) as server:
        await refuses(server, target, bad.cause, caplog)


async def refuses(
    server: BlockingServer, target: TlsTarget, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The endpoint does not go on with this server, in time, and says why."""
    async with (
        opened() as bench,
        Eavesdropper(server.port) as ear,
    ):
        bench.sip.trust(HOST, ear.port, target)
        begin = time.monotonic()
        leg = await called(bench, ear.port)
        assert await leg.ended == LegEnd("lost", 503, "transport-lost")
        assert time.monotonic() - begin < REFUSED_WITHIN_S
        fault = bench.sip.fault(Flow("TLS", HOST, ear.port))
        assert fault is not None
        assert fault.cause == cause
        assert server.heard == b""
        assert b"SIP/2.0" not in ear.heard
        assert bench.sip.counters.unsent == 1
    [line] = [record for record in caplog.records if record.message == "no connection"]
    assert (line.__dict__["cause"], line.__dict__["sentence"]) == (cause, fault.sentence)


@pytest.mark.parametrize(
    ("names", "server_name"),
    [
        (f"DNS:{NAME}", NAME),
        (f"DNS:other.example.org,DNS:{NAME.upper()}", NAME),
        ("DNS:*.example.net", NAME),
        ("IP:192.0.2.7", "192.0.2.7"),
    ],
)
async def test_the_name_in_the_settings_has_to_be_proved_not_the_address(
    authority: Authority, names: str, server_name: str
) -> None:
    shown = authority.issue("named", names=names)
    async with opened() as bench, TlsServer(tls_peers.server(shown)) as server:
        bench.sip.trust(HOST, server.port, TlsTarget(server_name, authority.file))
        leg = await called(bench, server.port)
        await answered(server, leg)
        assert bench.sip.fault(leg.flow) is None


async def test_nothing_is_sent_to_where_nobody_said_whom_to_expect(
    certificate: Certificate, target: TlsTarget
) -> None:
    async with opened() as bench, TlsServer(tls_peers.server(certificate)) as server:
        bench.sip.trust("127.0.0.2", server.port, target)
        leg = await called(bench, server.port)
        assert (await leg.ended).cause == "transport-lost"
        fault = bench.sip.fault(leg.flow)
        assert fault is not None
        assert fault.cause == "tls-name-unknown"
        assert server.count == 0


async def test_the_authorities_of_the_system_do_not_know_ours(certificate: Certificate) -> None:
    async with opened() as bench, TlsServer(tls_peers.server(certificate)) as server:
        bench.sip.trust(HOST, 0, TlsTarget(NAME))
        leg = await called(bench, server.port)
        await leg.ended
        fault = bench.sip.fault(leg.flow)
        assert fault is not None
        assert fault.cause == "certificate-unknown-authority"


async def test_a_client_certificate_is_shown_to_who_asks(
    authority: Authority, certificate: Certificate, target: TlsTarget
) -> None:
    ours = authority.issue("ours", common_name="bridge.example.org", usage="clientAuth")
    context = tls_peers.server(certificate, asks=authority.file)
    async with opened() as bench, TlsServer(context) as server:
        bench.sip.trust(HOST, server.port, replace(target, certificate=ours))
        leg = await called(bench, server.port)
        await answered(server, leg)
        assert list(bench.sip.certificates.expiries()) == [str(ours.file)]


@pytest.mark.parametrize(
    ("version", "causes"),
    [
        (ssl.TLSVersion.TLSv1_2, {"tls-refused"}),
        # Who closes in the middle of a client's words resets, and that may overtake the reason.
        (ssl.TLSVersion.TLSv1_3, {"certificate-refused", "connection-reset"}),
    ],
)
async def test_without_the_client_certificate_that_is_wanted_there_is_no_call(
    authority: Authority,
    certificate: Certificate,
    target: TlsTarget,
    version: ssl.TLSVersion,
    causes: set[str],
) -> None:
    context = tls_peers.server(certificate, asks=authority.file)
    context.maximum_version = version
    with BlockingServer(context) as server:
        await is_refused(server, target, causes)


async def is_refused(server: BlockingServer, target: TlsTarget, causes: set[str]) -> None:
    """The server does not want our certificate, and nothing we say is heard."""
    async with opened() as bench:
        bench.sip.trust(HOST, server.port, target)
        leg = await called(bench, server.port)
        assert (await leg.ended).cause == "transport-lost"
        fault = bench.sip.fault(leg.flow)
        assert fault is not None
        assert fault.cause in causes
        assert server.heard == b""


# Handshakes that do not end


async def test_a_server_that_is_silent_has_so_long_and_no_longer(
    target: TlsTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialler, "HANDSHAKE_WITHIN_S", 0.1)
    async with opened() as bench, TcpServer() as server:
        bench.sip.trust(HOST, server.port, target)
        leg = await called(bench, server.port)
        assert (await leg.ended).cause == "transport-lost"
        fault = bench.sip.fault(leg.flow)
        assert fault is not None
        assert fault.cause == "handshake-timeout"
        peer = await server.accepted()
        assert b"SIP/2.0" not in await peer.raw()


@pytest.mark.parametrize(
    ("said", "cause"),
    [(b"SIP/2.0 400 Bad Request\r\n\r\n", "no-tls"), (b"", "connection-reset")],
)
async def test_a_server_that_speaks_no_tls_hears_no_sip(
    target: TlsTarget, said: bytes, cause: str
) -> None:
    async with opened() as bench, TcpServer() as server:
        bench.sip.trust(HOST, server.port, target)
        leg = await called(bench, server.port)
        peer = await server.accepted()
        assert b"SIP/2.0" not in await peer.raw()
        peer.send(said)
        await peer.close()
        await leg.ended
        fault = bench.sip.fault(leg.flow)
        assert fault is not None
        assert fault.cause == cause


async def test_where_nobody_listens_the_call_is_lost_at_once(target: TlsTarget) -> None:
    async with opened() as bench:
        async with TcpServer() as server:
            port = server.port
        bench.sip.trust(HOST, port, target)
        leg = await called(bench, port)
        await leg.ended
        fault = bench.sip.fault(leg.flow)
        assert fault is not None
        assert fault.cause == "connection-refused"


# Calls from us


async def test_calls_go_out_by_one_connection_which_is_where_we_are_reached(
    certificate: Certificate, target: TlsTarget
) -> None:
    async with opened() as bench, TlsServer(tls_peers.server(certificate)) as server:
        bench.sip.trust(HOST, server.port, target)
        leg = await called(bench, server.port)
        peer = await server.accepted()
        invite = await peer.request()
        assert (invite.via.transport, invite.via.host) == ("TLS", HOST)
        our_port = peer.far_port
        assert invite.via.port == our_port
        assert invite.contacts[0].uri_text == f"sip:dialin@{HOST}:{our_port};transport=tls"
        peer.send(answer_to(invite, 200, [contact_of(server)], ANSWER))
        await leg.answered()
        await peer.request()
        again = await called(bench, server.port)
        second = await peer.request()
        assert (second.method, second.via.port, server.count) == ("INVITE", our_port, 1)
        again.hang_up()


async def test_a_sips_call_has_a_sips_contact(certificate: Certificate, target: TlsTarget) -> None:
    async with opened() as bench, TlsServer(tls_peers.server(certificate)) as server:
        bench.sip.trust(HOST, server.port, target)
        leg = await called(bench, server.port, scheme="sips")
        peer = await server.accepted()
        invite = await peer.request()
        assert invite.contacts[0].uri_text == f"sips:dialin@{HOST}:{peer.far_port}"
        leg.hang_up()


async def test_the_connection_is_reset_and_the_bye_goes_by_another_from_the_same_port(
    certificate: Certificate, target: TlsTarget
) -> None:
    async with (
        opened() as bench,
        TlsServer(tls_peers.server(certificate)) as server,
        Eavesdropper(server.port) as wire,
    ):
        bench.sip.trust(HOST, wire.port, target)
        leg = await called(bench, wire.port)
        await answered(server, leg, wire)
        before = wire.far_ports[-1]
        wire.cut()
        await bench.until(lambda: not bench.sip._tcp._by_number)
        assert not leg.ended.done()  # a connection is not a call
        leg.hang_up()
        again = await server.accepted()
        bye = await again.request()
        assert bye.method == "BYE"
        assert (wire.far_ports[-1], bye.via.port) == (before, before)
        again.send(answer_to(bye, 200, tag=None))
        await bench.until(lambda: bench.sip.legs == 0)


async def test_after_a_reset_the_peer_may_hang_up_by_our_new_connection(
    certificate: Certificate, target: TlsTarget
) -> None:
    async with (
        opened() as bench,
        TlsServer(tls_peers.server(certificate)) as server,
        Eavesdropper(server.port) as wire,
    ):
        bench.sip.trust(HOST, wire.port, target)
        leg = await called(bench, wire.port)
        peer = await server.accepted()
        invite = await peer.request()
        peer.send(answer_to(invite, 200, [contact_of(wire)], ANSWER))
        await leg.answered()
        wire.cut()
        await bench.until(lambda: not bench.sip._tcp._by_number)
        asking = asyncio.create_task(bench.sip.request("OPTIONS", f"sip:{NAME}", leg.flow))
        again = await server.accepted()
        again.send(answer_to(await again.request(), 200))
        await asking
        theirs = caller_by_tls(
            again,
            call_id=invite.call_id,
            from_=f"{invite.headers.all('To')[0]};tag=ct1",
            to=invite.headers.all("From")[0],
        )
        again.send(theirs.request("BYE"))
        assert (await again.response()).status == 200
        assert await leg.ended == LegEnd("peer", None, "bye")


async def test_a_connection_that_we_drop_leaves_its_port_free(
    certificate: Certificate, target: TlsTarget
) -> None:
    async with opened() as bench, TlsServer(tls_peers.server(certificate)) as server:
        bench.sip.trust(HOST, server.port, target)
        leg = await called(bench, server.port)
        peer = await answered(server, leg)
        [connection] = bench.sip._tcp._by_number.values()
        bench.sip.drop(connection.flow)
        with pytest.raises(ConnectionResetError):
            await peer._reader.read()
        await connection.gone
        leg.hang_up()
        again = await server.accepted()
        assert (await again.request()).method == "BYE"
        assert again.far_port == peer.far_port


async def test_a_port_that_the_kernel_still_keeps_is_replaced(
    certificate: Certificate, target: TlsTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    connect, refusals = loop.sock_connect, [OSError(errno.EADDRNOTAVAIL, "")]

    async def refuse_once(sock: socket.socket, address: Any) -> None:
        if refusals:
            raise refusals.pop()
        await connect(sock, address)

    async with opened() as bench, TlsServer(tls_peers.server(certificate)) as server:
        bench.sip.trust(HOST, server.port, target)
        monkeypatch.setattr(loop, "sock_connect", refuse_once)
        leg = await called(bench, server.port)
        peer = await server.accepted()
        invite = await peer.request()
        assert invite.via.port != peer.far_port
        assert bench.sip.local_address(leg.flow).port != invite.via.port
        leg.hang_up()


async def test_a_port_that_somebody_else_took_meanwhile_is_replaced(
    certificate: Certificate, target: TlsTarget
) -> None:
    async with opened() as bench, TlsServer(tls_peers.server(certificate)) as server:
        bench.sip.trust(HOST, server.port, target)
        leg = await called(bench, server.port)
        peer = await answered(server, leg)
        taken = peer.far_port
        await peer.close()
        await bench.until(lambda: not bench.sip._tcp._by_number)
        other = await asyncio.start_server(lambda *_: None, HOST, taken)
        leg.hang_up()
        again = await server.accepted()
        assert (await again.request()).method == "BYE"
        assert again.far_port != taken
        other.close()


async def test_a_call_comes_by_the_connection_that_we_opened(
    certificate: Certificate, target: TlsTarget
) -> None:
    async with opened() as bench, TlsServer(tls_peers.server(certificate)) as server:
        bench.sip.trust(HOST, server.port, target)
        asking = asyncio.create_task(
            bench.sip.request("OPTIONS", f"sip:{NAME}", Flow("TLS", HOST, server.port))
        )
        peer = await server.accepted()
        peer.send(answer_to(await peer.request(), 200))
        await asking
        caller = caller_by_tls(peer)
        peer.send(caller.invite())
        leg = await bench.call()
        answering = asyncio.create_task(leg.answer(ANSWER))
        ok = await peer.response()
        assert ok.contacts[0].uri_text == f"sip:dialin@{HOST}:{peer.far_port};transport=tls"
        caller.to_tag = ok.to.tag
        peer.send(caller.ack())
        await answering
        leg.hang_up()
        assert (await next_request(peer)).method == "BYE"
        assert server.count == 1


# Calls to us


async def test_a_call_comes_in_and_the_bye_goes_back_by_its_connection(
    authority: Authority, certificate: Certificate
) -> None:
    async with opened(tls(certificate)) as bench:
        address = bench.address("TLS")
        peer = await tls_peers.connect(address, tls_peers.client(authority.file))
        caller = caller_by_tls(peer)
        peer.send(caller.invite())
        leg = await bench.call()
        assert leg.flow.transport == "TLS"
        answering = asyncio.create_task(leg.answer(ANSWER))
        ok = await peer.response()
        assert ok.contacts[0].uri_text == f"sip:dialin@{HOST}:{address[1]};transport=tls"
        caller.to_tag = ok.to.tag
        peer.send(caller.ack())
        await answering
        leg.hang_up()
        assert (await next_request(peer)).method == "BYE"
        await peer.close()


@pytest.mark.parametrize(
    ("uri", "lines", "contact"),
    [
        ("sips:1@127.0.0.1", [], None),
        ("sip:1@127.0.0.1", [("Record-Route", "<sips:p@127.0.0.1;lr>")], None),
        ("sip:1@127.0.0.1", [], "<sips:caller@127.0.0.1>"),
    ],
)
async def test_a_call_that_is_sips_anywhere_gets_a_sips_contact(
    certificate: Certificate, uri: str, lines: list[tuple[str, str]], contact: str | None
) -> None:
    async with opened(tls(certificate)) as bench:
        address = bench.address("TLS")
        peer = await tls_peers.connect(address, tls_peers.client(None))
        caller = caller_by_tls(peer, uri=uri, **({"contact": contact} if contact else {}))
        peer.send(caller.invite(lines=lines))
        leg = await bench.call()
        leg.ring()
        ringing = await peer.response()
        assert ringing.contacts[0].uri_text == f"sips:dialin@{HOST}:{address[1]}"
        leg.reject(486)
        await peer.close()


async def test_a_bye_finds_a_caller_whose_connection_is_gone(
    certificate: Certificate, target: TlsTarget
) -> None:
    async with (
        opened(tls(certificate)) as bench,
        TlsServer(tls_peers.server(certificate)) as server,
    ):
        bench.sip.trust("127.0.0.0/24", 0, target)
        peer = await tls_peers.connect(bench.address("TLS"), tls_peers.client(None))
        caller = caller_by_tls(peer, contact=f"<sip:c@{HOST}:{server.port};transport=tls>")
        peer.send(caller.invite())
        leg = await bench.call()
        answering = asyncio.create_task(leg.answer(ANSWER))
        caller.to_tag = (await peer.response()).to.tag
        peer.send(caller.ack())
        await answering
        await peer.close()
        await bench.until(lambda: not bench.sip._tcp._by_number)
        leg.hang_up()
        again = await server.accepted()
        assert (await again.request()).method == "BYE"


async def test_a_response_finds_a_caller_whose_connection_is_gone(
    certificate: Certificate, target: TlsTarget
) -> None:
    async with (
        opened(tls(certificate)) as bench,
        TlsServer(tls_peers.server(certificate)) as server,
    ):
        bench.sip.trust(HOST, server.port, target)
        peer = await tls_peers.connect(bench.address("TLS"), tls_peers.client(None))
        peer.send(caller_by_tls(peer, sent_by=f"{HOST}:{server.port}").invite())
        leg = await bench.call()
        await peer.close()
        await bench.until(lambda: not bench.sip._tcp._by_number)
        leg.reject(486)
        again = await server.accepted()
        assert (await again.response()).status == 486


async def test_who_came_to_us_is_not_taken_for_a_server_that_we_trust(
    certificate: Certificate, target: TlsTarget
) -> None:
    async with (
        opened(tls(certificate)) as bench,
        TlsServer(tls_peers.server(certificate)) as server,
    ):
        address = bench.address("TLS")
        impostor = await tls_peers.connect(address, tls_peers.client(None))
        impostor.send(caller_by_tls(impostor).request("OPTIONS"))
        await impostor.response()
        bench.sip.trust(HOST, 0, target)
        leg = await called(bench, impostor.port)  # nobody listens there
        assert (await leg.ended).cause == "transport-lost"
        await impostor.close()
        assert server.count == 0


# Who knocks


async def test_a_stranger_gets_no_handshake(certificate: Certificate) -> None:
    async with opened(tls(certificate), allow_source=lambda _host: False) as bench:
        with pytest.raises(ConnectionError):
            await tls_peers.connect(bench.address("TLS"), tls_peers.client(None))
        assert bench.sip.counters.refused_connections == 1


async def test_connections_that_idle_in_the_handshake_count_for_their_source(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS_PER_SOURCE", 3)
    async with opened(tls(certificate)) as bench:
        address = bench.address("TLS")
        idle = [await TcpPeer.connect(*address) for _ in range(2)]
        done = await tls_peers.connect(address, tls_peers.client(None))
        extra = await TcpPeer.connect(*address)
        assert await extra.is_closed()
        assert bench.sip.counters.refused_connections == 1
        for peer in (*idle, done, extra):
            await peer.close()


async def test_connections_are_capped_in_all_too(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 1)
    async with opened(tls(certificate)) as bench:
        first = await tls_peers.connect(bench.address("TLS"), tls_peers.client(None))
        with pytest.raises(ConnectionError):
            await tls_peers.connect(bench.address("TLS"), tls_peers.client(None))
        await first.close()


async def test_a_flood_from_one_source_does_not_keep_another_out(certificate: Certificate) -> None:
    async with opened(tls(certificate)) as bench:
        address = bench.address("TLS")
        flood = [
            await asyncio.open_connection(*address, local_addr=("127.0.0.2", 0)) for _ in range(200)
        ]
        begin = time.monotonic()
        peer = await tls_peers.connect(address, tls_peers.client(None))
        peer.send(caller_by_tls(peer).invite())
        leg = await bench.call()
        assert time.monotonic() - begin < CALL_WITHIN_S
        leg.reject(486)
        refused = 200 - tcp.MAX_CONNECTIONS_PER_SOURCE
        await bench.until(lambda: bench.sip.counters.refused_connections == refused)
        for _, writer in flood:
            writer.transport.abort()
        await peer.close()


async def test_calls_that_are_reset_at_once_leave_nothing(certificate: Certificate) -> None:
    async with opened(tls(certificate)) as bench:
        for number in range(20):
            peer = await tls_peers.connect(bench.address("TLS"), tls_peers.client(None))
            peer.send(caller_by_tls(peer, call_id=str(number)).invite())
            (await bench.call()).reject(503)
            peer.reset()
        await bench.until(lambda: not bench.sip.legs and not bench.sip.transactions)
        assert not bench.sip._tcp._by_number


@needs_ipv6
async def test_ipv6_is_proved_and_reached_like_ipv4(authority: Authority) -> None:
    six = authority.issue("six", names="IP:::1")
    async with opened() as bench, await opened_at_six(six) as called_side:
        port = called_side.addresses[0].port
        bench.sip.trust("::1", port, TlsTarget("::1", authority.file))
        leg = await bench.sip.invite(
            f"sip:1@[::1]:{port}",
            Flow("TLS", "::1", port),
            from_display="",
            from_user="1",
            offer=OFFER,
        )
        assert await leg.ended == LegEnd("peer", 486, "rejected")


async def opened_at_six(certificate: Certificate) -> SipEndpoint:
    """A called side that is busy."""
    return await SipEndpoint.open(
        [Listen("TLS", "::1", 0, certificate)],
        allow_source=lambda _host: True,
        on_call=lambda leg: leg.reject(486),
    )


async def test_a_handshake_has_to_end_in_time_however_its_octets_trickle(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "HANDSHAKE_WITHIN_S", 0.1)
    async with opened(tls(certificate)) as bench:
        peer = await TcpPeer.connect(*bench.address("TLS"))
        for octet in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc":
            peer.send(bytes((octet,)))
            await asyncio.sleep(0.005)
        assert await peer.is_closed()
        assert bench.sip.counters.failed_handshakes == 1
        assert not bench.sip._tcp._doors[0]._handshakes
        await peer.close()


async def test_plain_sip_at_the_tls_port_is_no_sip(certificate: Certificate) -> None:
    async with opened(tls(certificate)) as bench:
        peer = await TcpPeer.connect(*bench.address("TLS"))
        peer.send(caller_at(peer).request("OPTIONS"))
        assert b"SIP/2.0" not in await peer.raw()
        assert bench.sip.counters.requests == {}
        assert bench.sip.counters.failed_handshakes == 1
        await peer.close()


async def test_old_clients_are_refused(certificate: Certificate) -> None:
    context = tls_peers.client(None)
    context.set_ciphers("ALL:@SECLEVEL=0")
    tls_peers.make_old(context)
    async with opened(tls(certificate)) as bench:
        with pytest.raises(OSError):  # noqa: PT011 - reset, or told so
            await tls_peers.connect(bench.address("TLS"), context)
        assert bench.sip.counters.failed_handshakes == 1


async def test_garbage_after_the_handshake_is_told_so_and_closed(
    certificate: Certificate,
) -> None:
    async with opened(tls(certificate)) as bench:
        peer = await tls_peers.connect(bench.address("TLS"), tls_peers.client(None))
        peer.send(b"\x00\xff" * 40_000)
        assert (await peer.raw())[:8] in (b"", b"SIP/2.0 ")
        assert bench.sip.counters.malformed == 1
        await peer.close()


async def test_a_message_over_tls_has_to_end_in_time(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "MESSAGE_WITHIN_S", 0.1)
    async with opened(tls(certificate)) as bench:
        peer = await tls_peers.connect(bench.address("TLS"), tls_peers.client(None))
        peer.send(b"INVITE sip:")
        assert await peer.is_closed()
        assert bench.sip.counters.slow_connections == 1
        await peer.close()


async def test_a_machine_without_file_descriptors_lets_people_wait(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "REST_S", 0.05)

    class Exhausted:
        """A socket that cannot accept at first."""

        def __init__(self, sock: Any) -> None:
            self._sock, self.refusals = sock, 1

        def accept(self) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise OSError(24, "Too many open files")
            return self._sock.accept()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._sock, name)

    async with opened(tls(certificate)) as bench:
        entrance = bench.sip._tcp._doors[0]
        exhausted = Exhausted(entrance._socket)
        monkeypatch.setattr(entrance, "_socket", exhausted)
        peer = await tls_peers.connect(bench.address("TLS"), tls_peers.client(None))
        assert exhausted.refusals == 0
        await peer.close()


async def test_closing_ends_handshakes_and_keeps_nothing(
    certificate: Certificate, target: TlsTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = asyncio.all_tasks()
    async with opened(tls(certificate)) as bench:
        address = bench.address("TLS")
        shaking = await TcpPeer.connect(*address)
        talking = await tls_peers.connect(address, tls_peers.client(None))
        talking.send(caller_by_tls(talking).request("OPTIONS"))
        await talking.response()
        bench.sip._tcp._doors[0]._rest = asyncio.get_running_loop().call_later(60, print)
    assert asyncio.all_tasks() == tasks
    for peer in (shaking, talking):
        assert await peer.is_closed()
        await peer.close()


async def test_a_socket_that_is_kept_for_a_connection_is_closed_in_the_end(
    target: TlsTarget,
) -> None:
    async with opened() as bench:
        flow = Flow("TLS", HOST, 9)
        bench.sip.local_address(flow)
        [sock] = bench.sip._tcp.dialler._kept.values()
    assert sock.fileno() == -1


async def test_listening_for_tls_needs_a_certificate(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no certificate"):
        async with opened(Listen("TLS", HOST, 0)):
            pass
    with pytest.raises(OperatorError, match="No such file"):
        async with opened(tls(Certificate(tmp_path / "none.pem"))):
            pass


async def test_a_renewed_certificate_is_shown_to_whoever_comes_next(authority: Authority) -> None:
    own = authority.issue("renewed", ends_in=timedelta(days=1))
    async with opened(UDP4, tls(own)) as bench:
        connect = partial(tls_peers.connect, bench.address("TLS"), tls_peers.client(authority.file))
        before = await connect()
        expiry = bench.sip.certificates.expiries()[str(own.file)]
        assert expiry == pytest.approx(time.time() + 86400, abs=60)
        assert bench.sip.certificates.refresh() == ()
        authority.issue("renewed", ends_in=timedelta(days=9))
        assert bench.sip.certificates.refresh() == (own,)
        after = await connect()
        assert before.certificate_ends != after.certificate_ends
        assert bench.sip.certificates.expiries()[str(own.file)] > expiry
        for peer in (before, after):
            await peer.close()


async def test_a_renewal_that_went_wrong_changes_nothing(authority: Authority) -> None:
    own = authority.issue("spoiled")
    async with opened(tls(own)) as bench:
        connect = partial(tls_peers.connect, bench.address("TLS"), tls_peers.client(authority.file))
        own.file.write_text("nothing of use")
        with pytest.raises(OperatorError, match=r"spoiled\.pem cannot be used"):
            bench.sip.certificates.refresh()
        assert bench.sip.certificates.refresh() == ()  # told once
        assert bench.sip.certificates.expiries() == {}
        own.file.unlink()
        with pytest.raises(OperatorError):
            bench.sip.certificates.refresh()
        await (await connect()).close()


# Files of ours


def test_key_and_certificate_may_share_a_file(certificate: Certificate, tmp_path: Path) -> None:
    assert certificate.key_file is not None
    both = tmp_path / "both.pem"
    both.write_text(certificate.key_file.read_text() + certificate.file.read_text())
    own = Certificate(both)
    server_context(own)
    assert own.expires_at() == certificate.expires_at()


def test_a_key_that_does_not_fit_is_told_so(authority: Authority, certificate: Certificate) -> None:
    other = authority.issue("other")
    with pytest.raises(OperatorError, match="do not match"):
        server_context(replace(certificate, key_file=other.key_file))


def test_an_encrypted_key_asks_nobody_for_its_password(
    certificate: Certificate, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", str(certificate.key_file), "-aes128"]
    subprocess.run([*command, "-passout", "pass:secret", "-out", locked], check=True)
    with pytest.raises(OperatorError, match="cannot be used"):
        server_context(replace(certificate, key_file=locked))


@pytest.mark.parametrize("text", ["", "no PEM at all", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_that_holds_no_certificate_is_told_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "some.pem"
    file.write_text(text)
    with pytest.raises(OperatorError, match="cannot be used"):
        Certificate(file).expires_at()
    with pytest.raises(OperatorError, match="cannot be used"):
        server_context(Certificate(file))
    with pytest.raises(OperatorError, match=r"authorities in .* cannot be read"):
        TrustBook(OwnCertificates()).trust(HOST, 0, TlsTarget(NAME, file))


def test_one_address_is_one_server(target: TlsTarget) -> None:
    book = TrustBook(OwnCertificates())
    book.trust(HOST, 5061, target)
    book.trust(HOST, 5061, target)
    book.trust(HOST, 5062, replace(target, server_name="other.example.net"))
    with pytest.raises(OperatorError, match=r"sip\.example\.net and other\.example\.net at once"):
        book.trust(HOST, 5061, replace(target, server_name="other.example.net"))


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("192.0.2.1", 5061, "exact"),
        ("192.0.2.1", 5081, "host"),
        ("192.0.2.2", 5061, "network"),
        ("198.51.100.1", 5061, None),
        ("2001:db8::1", 5061, "six"),
    ],
)
def test_the_narrowest_expectation_counts(host: str, port: int, expected: str | None) -> None:
    book = TrustBook(OwnCertificates())
    book.trust("192.0.2.0/24", 0, TlsTarget("network"))
    book.trust("192.0.2.1", 0, TlsTarget("host"))
    book.trust("192.0.2.1", 5061, TlsTarget("exact"))
    book.trust("2001:db8::/32", 0, TlsTarget("six"))
    found = book.find(host, port)
    assert (found.server_name if found else None) == expected
