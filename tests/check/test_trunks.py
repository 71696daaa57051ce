# SPDX-License-Identifier: GPL-3.0-or-later
"""Trunks: each way in which a provider cannot be used is found, and nothing at it is changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import dns.asyncresolver
import pytest

from dialin.check import trunks
from dialin.check.steps import Result, Sheet
from dialin.check.trunks import Line, TrunkCheck
from dialin.errors import OperatorError
from dialin.names import Names
from dialin.sip import Certificate, TlsTarget
from dialin.sip.addresses import Routes
from dialin.wire.agent_events import Replied
from dialin.wire.flow import Flow
from dialin.wire.login import Login
from dialin.wire.message import Headers, Response
from dialin.wire.registration import Account
from dialin.wire.x509 import MalformedCertificate
from tests.check.parts import looked_at, step, ways_from
from tests.fakes.authority import NAME, Authority
from tests.fakes.dns import name_server
from tests.fakes.registrar import PASSWORD, REALM, USER, Fault, Registrar
from tests.fakes.sip_peers import TcpServer, UdpPeer
from tests.fakes.tls_peers import BlockingServer, TlsServer, old_server, server
from tests.wire.peers import answer_to

ACCOUNT = Account(domain=REALM, username=USER, login=Login(USER, PASSWORD), contact_user="dialin-1")
OURS = "sip:dialin-1@127.0.0.1:5060"


def line(
    port: int | None,
    transport: str = "UDP",
    *,
    host: str = "127.0.0.1",
    account: Account | None = ACCOUNT,
    networks: Sequence[str] = (),
    tls: TlsTarget | None = None,
    advertised: str | None = None,
) -> Line:
    """A trunk whose server is on loopback."""
    return Line(
        "lab",
        (host, port),
        transport,
        tls or TlsTarget(host),
        tuple(map(ip_network, networks)),
        account,
        advertised,
    )


def waiting(networks: Sequence[str], *, advertised: str | None = None) -> Line:
    """A trunk that only sends us calls."""
    made = line(None, account=None, networks=networks, advertised=advertised)
    return replace(made, server=None)


async def nobody(_name: str) -> Sequence[str]:
    """A machine that knows no hosts."""
    return ()


async def checked(
    trunk: Line,
    *,
    service_runs: bool = False,
    resolver: Callable[[], dns.asyncresolver.Resolver] | None = None,
    clock: Callable[[], float] | None = None,
) -> Sheet:
    """All steps of a trunk."""
    sheet = Sheet()
    names = Names(resolver=resolver, hosts=nobody) if resolver else Names()
    async with ways_from() as ways:
        check = (
            TrunkCheck(trunk, ways=ways, names=names, service_runs=service_runs, clock=clock)
            if clock
            else TrunkCheck(trunk, ways=ways, names=names, service_runs=service_runs)
        )
        await check.run(sheet)
    assert PASSWORD not in str(sheet.steps)
    assert USER not in str(sheet.steps)
    return sheet


# Login


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_the_password_is_tried_and_no_binding_is_touched(transport: str) -> None:
    async with Registrar() as provider:
        provider._contacts[OURS] = None  # type: ignore[assignment]
        sheet = await checked(line(provider.port, transport), service_runs=True)
        found = step(sheet, "registration")
        assert found.result is Result.OK
        assert found.cause == "The password is right; 1 contact registered."
        assert provider.contacts == [OURS]
        assert len(provider.answers) == 1
        for _, request in provider.registers:
            assert "Contact" not in request.headers
            assert "Expires" not in request.headers
            assert request.to.uri_text == f"sip:{USER}@{REALM}"


@pytest.mark.parametrize("others", [frozenset(), frozenset({"crowded"})])
async def test_a_service_that_runs_and_is_not_registered_is_doubtful(
    others: frozenset[Fault],
) -> None:
    async with Registrar(faults=set(others)) as provider:
        found = step(await checked(line(provider.port), service_runs=True), "registration")
    assert (found.result, "its own is not among them" in found.cause) == (Result.WARN, True)


@pytest.mark.parametrize(("is_single", "result"), [(True, Result.WARN), (False, Result.OK)])
async def test_an_account_for_one_place_that_is_in_use_is_doubtful(
    is_single: bool, result: Result
) -> None:
    async with Registrar(faults={"crowded"}) as provider:
        trunk = line(provider.port, account=replace(ACCOUNT, is_ours_alone=is_single))
        found = step(await checked(trunk), "registration")
    assert found.result is result
    assert ("once only" in found.cause) == is_single


async def test_the_wrong_password_fails() -> None:
    account = replace(ACCOUNT, login=Login(USER, "wr0ng-canary"))
    async with Registrar() as provider:
        found = step(await checked(line(provider.port, account=account)), "registration")
    assert found.result is Result.FAIL
    assert "credentials-refused" in found.cause
    assert found.remedy == "Correct username, auth_username or password."
    assert "canary" not in str(found)


@pytest.mark.parametrize(
    ("fault", "words", "remedy"),
    [
        ("forbidden", "403: forbidden", "ask the provider whether the account is open"),
        ("busy", "503: overloaded", "tried again"),
        ("broken", "500: server-error", "ask the provider"),
        ("silent", "no-answer", "firewall"),
        ("rogue", "challenge-from-elsewhere", "the password was not sent"),
    ],
)
async def test_a_registrar_that_refuses_fails(fault: Fault, words: str, remedy: str) -> None:
    async with Registrar(faults={fault}) as provider:
        found = step(await checked(line(provider.port)), "registration")
    assert found.result is Result.FAIL
    assert words in found.cause
    assert remedy in found.remedy


async def test_another_realm_than_ours_gets_no_password() -> None:
    account = replace(ACCOUNT, login=Login(USER, PASSWORD, REALM))
    async with Registrar(faults={"wrong-realm"}) as provider:
        found = step(await checked(line(provider.port, account=account)), "registration")
        assert provider.answers == []
    assert (found.result, "wrong-realm" in found.cause) == (Result.FAIL, True)


@asynccontextmanager
async def scripted(
    status: int, lines: Sequence[tuple[str, str]], was: bytes, now: bytes
) -> AsyncIterator[int]:
    """A registrar that answers everything with the same, octets replaced; its port."""
    with UdpPeer() as peer:

        async def serve() -> None:
            while True:
                asked = await peer.request()
                answer = answer_to(asked, status, lines).replace(was, now)
                peer.send(answer, (asked.via.host, asked.via.port or 0))

        serving = asyncio.create_task(serve())
        yield peer.port
        serving.cancel()
        await asyncio.wait([serving])


async def test_a_registrar_that_asks_for_no_password_is_doubtful() -> None:
    async with scripted(200, [], b"", b"") as port:
        found = step(await checked(line(port)), "registration")
    assert (found.result, "was not tried" in found.cause) == (Result.WARN, True)


async def test_contacts_that_cannot_be_read_count_as_none() -> None:
    flow = Flow("UDP", "127.0.0.1", 9)
    response = Response(200, "OK", Headers((("Contact", "<sip:a@b"),)))
    async with ways_from() as ways:
        check = TrunkCheck(line(9), ways=ways, names=Names(), service_runs=False)
        found = check._taken(ACCOUNT, Replied("asked", response, flow))
    assert found.cause.endswith("0 contacts registered.")


# Name and connection


async def test_a_name_is_looked_up_as_the_service_does() -> None:
    async with name_server() as dns_server, Registrar() as provider:
        dns_server.set(
            "_sip._udp.provider.example", "SRV", f"1 1 {provider.port} a.provider.example."
        )
        dns_server.set("a.provider.example", "A", "127.0.0.1")
        sheet = await checked(line(None, host="provider.example"), resolver=dns_server.resolver)
    assert step(sheet, "name").cause == f"provider.example: UDP 127.0.0.1:{provider.port}."
    assert step(sheet, "registration").result is Result.OK


@asynccontextmanager
async def two_servers(
    transport: str, first: int, second: int
) -> AsyncIterator[Callable[[], dns.asyncresolver.Resolver]]:
    """A provider with two servers, to be tried in this order."""
    async with name_server() as dns_server:
        records = (f"1 1 {first} a.provider.example.", f"2 1 {second} a.provider.example.")
        dns_server.set(f"_sip._{transport.lower()}.provider.example", "SRV", *records)
        dns_server.set("a.provider.example", "A", "127.0.0.1")
        yield dns_server.resolver


async def test_the_second_server_is_tried_where_the_first_is_gone() -> None:
    async with TcpServer() as closed:
        gone = closed.port
    async with Registrar() as provider, two_servers("TCP", gone, provider.port) as resolver:
        trunk = line(None, "TCP", host="provider.example")
        sheet = await checked(trunk, resolver=resolver)
    connection, registration = step(sheet, "connection"), step(sheet, "registration")
    assert connection.result is Result.WARN
    assert f"TCP 127.0.0.1:{gone}: nobody listens" in connection.cause
    assert f"TCP 127.0.0.1:{provider.port} takes connections" in connection.cause
    assert connection.remedy
    # The login goes where the connection went.
    assert (registration.result, len(provider.answers)) == (Result.OK, 1)


async def test_the_second_registrar_is_tried_where_the_first_cannot() -> None:
    async with (
        Registrar(faults={"broken"}) as first,
        Registrar() as second,
        two_servers("UDP", first.port, second.port) as resolver,
    ):
        sheet = await checked(line(None, host="provider.example"), resolver=resolver)
    found = step(sheet, "registration")
    assert found.result is Result.WARN
    assert "refuses with 500" in found.cause
    assert "The password is right" in found.cause


async def test_a_wrong_password_is_not_tried_with_every_server() -> None:
    async with (
        Registrar(faults={"forbidden"}) as first,
        Registrar() as second,
        two_servers("UDP", first.port, second.port) as resolver,
    ):
        sheet = await checked(line(None, host="provider.example"), resolver=resolver)
    assert step(sheet, "registration").result is Result.FAIL
    assert second.registers == []


async def test_where_no_server_can_all_are_told_of() -> None:
    async with (
        Registrar(faults={"broken"}) as first,
        Registrar(faults={"busy"}) as second,
        two_servers("UDP", first.port, second.port) as resolver,
    ):
        sheet = await checked(line(None, host="provider.example"), resolver=resolver)
    found = step(sheet, "registration")
    assert found.result is Result.FAIL
    assert "refuses with 500" in found.cause
    assert "refuses with 503" in found.cause


async def test_a_name_that_does_not_exist_fails_and_nothing_is_tried_there() -> None:
    async with name_server() as dns_server:
        sheet = await checked(line(None, host="gone.example"), resolver=dns_server.resolver)
    found = step(sheet, "name")
    assert found.result is Result.FAIL
    assert "dig gone.example NAPTR" in found.remedy
    assert looked_at(sheet) == ["name", "allowed_sources", "NAT"]


async def test_a_port_that_nobody_listens_on_fails() -> None:
    async with TcpServer() as closed:
        port = closed.port
    sheet = await checked(line(port, "TCP"))
    found = step(sheet, "connection")
    assert (found.result, "nobody listens" in found.cause) == (Result.FAIL, True)
    assert "registration" not in looked_at(sheet)


async def test_a_connection_in_the_clear_says_so() -> None:
    async with TcpServer() as provider:
        sheet = await checked(line(provider.port, "TCP", account=None))
    assert "Nothing is encrypted" in step(sheet, "connection").cause


# Certificates


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority") / "ca")


def secured(authority: Authority, port: int, *, name: str = NAME) -> Line:
    """A trunk by TLS."""
    return line(port, "TLS", account=None, tls=TlsTarget(name, authority.file))


async def judged(authority: Authority, certificate: Certificate, *, name: str = NAME) -> Sheet:
    """The steps of a trunk whose server shows this certificate."""
    async with TlsServer(server(certificate)) as provider:
        return await checked(secured(authority, provider.port, name=name))


async def test_a_certificate_that_ends_soon_is_doubtful(authority: Authority) -> None:
    found = step(await judged(authority, authority.issue("soon")), "connection")
    assert (found.result, "ends on" in found.cause) == (Result.WARN, True)


async def test_a_good_certificate_is_fine(authority: Authority) -> None:
    certificate = authority.issue("good", ends_in=timedelta(days=60))
    found = step(await judged(authority, certificate), "connection")
    assert (found.result, NAME in found.cause) == (Result.OK, True)


async def test_an_expired_certificate_fails(authority: Authority) -> None:
    expired = authority.issue("expired", starts_in=timedelta(days=-9), ends_in=timedelta(days=-1))
    found = step(await judged(authority, expired), "connection")
    assert (found.result, "has expired" in found.cause) == (Result.FAIL, True)
    assert "renew" in found.remedy


async def test_a_certificate_for_another_name_fails(authority: Authority) -> None:
    sheet = await judged(authority, authority.issue("named"), name="sip.other.example")
    found = step(sheet, "connection")
    assert (found.result, "not for sip.other.example" in found.cause) == (Result.FAIL, True)


async def test_a_certificate_of_an_unknown_authority_fails(
    authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority.made(tmp_path / "stranger").issue("foreign")
    found = step(await judged(authority, stranger), "connection")
    assert (found.result, "not trusted" in found.cause) == (Result.FAIL, True)


async def test_a_server_with_old_tls_fails(authority: Authority) -> None:
    with BlockingServer(old_server(authority.issue("old"))) as provider:
        found = step(await checked(secured(authority, provider.port)), "connection")
    assert found.result is Result.FAIL
    assert "old versions of TLS" in found.cause


async def test_a_server_without_tls_fails(authority: Authority) -> None:
    async with TcpServer() as provider:

        async def in_clear() -> None:
            peer = await provider.accepted()
            peer.send(b"SIP/2.0 400 Bad Request\r\n\r\n")

        answering = asyncio.create_task(in_clear())
        found = step(await checked(secured(authority, provider.port)), "connection")
        await answering
    assert (found.result, "does not speak TLS" in found.cause) == (Result.FAIL, True)


async def test_a_connection_that_hangs_fails(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trunks, "CONNECT_WITHIN_S", 0.05)
    async with TcpServer() as silent:
        found = step(await checked(secured(authority, silent.port)), "connection")
    assert (found.result, "does not answer" in found.cause) == (Result.FAIL, True)


async def test_a_certificate_whose_end_cannot_be_read_is_doubtful(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: bytes) -> float:
        raise MalformedCertificate("odd")

    monkeypatch.setattr(trunks, "not_after", unreadable)
    found = step(await judged(authority, authority.issue("odd")), "connection")
    assert (found.result, "end is not known" in found.cause) == (Result.WARN, True)


async def test_a_login_whose_connection_is_refused_says_why(authority: Authority) -> None:
    expired = authority.issue("late", starts_in=timedelta(days=-9), ends_in=timedelta(days=-1))
    async with TlsServer(server(expired)) as provider, ways_from() as ways:
        trunk = secured(authority, provider.port)
        flow = Flow("TLS", "127.0.0.1", provider.port)
        ways.expect(flow, trunk.tls)
        check = TrunkCheck(trunk, ways=ways, names=Names(), service_runs=False)
        check._flows = (flow,)
        found = await check._by_turns(lambda flow: check._logs_in(ACCOUNT, flow))
    assert (found.result, "has expired" in found.cause) == (Result.FAIL, True)


# Sources and addresses


@pytest.mark.parametrize(
    ("networks", "result", "words"),
    [
        ([], Result.OK, "Those of the registrar"),
        (["127.0.0.0/8"], Result.WARN, "more than one provider"),
        (["127.0.0.0/16"], Result.OK, "1 network."),
        (["203.0.113.0/28", "198.51.100.0/24"], Result.WARN, "Calls from 127.0.0.1 would be"),
        (["127.0.0.1/32", "2001:db0::/28"], Result.WARN, "2001:db0::/28"),
    ],
)
async def test_sources_that_hold_strangers_or_lack_the_registrar_are_doubtful(
    networks: list[str], result: Result, words: str
) -> None:
    async with Registrar() as provider:
        found = step(await checked(line(provider.port, networks=networks)), "allowed_sources")
    assert (found.result, words in found.cause) == (result, True)


async def test_a_provider_that_only_calls_us_may_send_from_elsewhere() -> None:
    async with TcpServer() as provider:
        trunk = line(provider.port, "TCP", account=None, networks=["203.0.113.0/28"])
        assert step(await checked(trunk), "allowed_sources").result is Result.OK


async def test_a_provider_that_sees_us_elsewhere_tells_of_nat() -> None:
    async with scripted(200, [], b";rport", b";received=198.51.100.7;rport=4") as port:
        found = step(await checked(line(port)), "NAT")
        forwarded = step(await checked(line(port, advertised="198.51.100.7")), "NAT")
        mistaken = step(await checked(line(port, advertised="198.51.100.8")), "NAT")
    assert found.result is Result.WARN
    assert "sees us at 198.51.100.7, and we are at 127.0.0.1." in found.cause
    assert "audio does not" in found.cause
    assert mistaken.cause == "The provider sees us at 198.51.100.7, and we say 198.51.100.8."
    assert "sip.advertised_address to 198.51.100.7" in found.remedy
    assert (forwarded.result, "has to forward" in forwarded.cause) == (Result.OK, True)


async def test_nonsense_about_our_address_is_not_repeated() -> None:
    async with scripted(200, [], b";rport", b";received=evil.example;rport=4") as port:
        found = step(await checked(line(port)), "NAT")
    assert (found.result, "evil" in found.cause) == (Result.OK, False)


async def test_a_private_address_towards_the_internet_is_doubtful(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Routes, "own_host", lambda _self, _far: "10.0.0.5")
    found = step(await checked(waiting(["198.41.0.0/24"])), "NAT")
    assert (found.result, "10.0.0.5" in found.cause) == (Result.WARN, True)
    told = step(await checked(waiting(["198.41.0.0/24"], advertised="198.51.100.7")), "NAT")
    assert told.result is Result.OK


async def test_a_trunk_that_only_calls_us_is_looked_at_from_here() -> None:
    sheet = await checked(waiting(["127.0.0.0/16"]))
    assert looked_at(sheet) == ["allowed_sources", "NAT"]
    assert not sheet.has_failed


async def test_without_any_address_nothing_is_known_of_nat() -> None:
    assert step(await checked(waiting([])), "NAT").cause == "Not known before a call."


async def test_no_route_to_the_provider_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_route(_self: Routes, far: str) -> str:
        raise OperatorError(f"there is no route to {far}.", "Check the network.")

    monkeypatch.setattr(Routes, "own_host", no_route)
    assert step(await checked(waiting(["127.0.0.0/16"])), "NAT").result is Result.FAIL
