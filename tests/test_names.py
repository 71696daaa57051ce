# SPDX-License-Identifier: GPL-3.0-or-later
"""Where providers' servers are, by a name server on loopback."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from itertools import count

import dns.rdata
import dns.resolver
import pytest
from dns.rdtypes.IN.SRV import SRV

from dialin import names as names_module
from dialin.names import LAST_GOOD_S, MAX_FLOWS, NameNotFound, Names, in_order
from dialin.wire.flow import Flow
from tests.fakes.dns import NameServer, name_server

HOST = "sip.provider.example"
TEN_MINUTES = 600


class World:
    """Names, the server that they come from, and the time."""

    def __init__(self, server: NameServer) -> None:
        self.server = server
        self.now = 1000.0
        self.hosts: dict[str, list[str]] = {}
        self.draws = iter(lambda: 0.0, None)
        self.names = Names(
            resolver=server.resolver,
            clock=lambda: self.now,
            random=lambda: next(self.draws),
            hosts=self._hosts,
        )

    async def _hosts(self, name: str) -> Iterable[str]:
        return self.hosts.get(name, [])

    async def find(self, transport: str = "UDP", port: int | None = None) -> list[str]:
        """The servers, as texts."""
        return [str(flow) for flow in (await self.names.find(HOST, port, transport)).flows]

    async def ttl(self) -> float:
        """For how long the answer is good."""
        return (await self.names.find(HOST, None, "UDP")).expires_at - self.now


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with name_server() as server:
        yield World(server)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer is not waited for."""
    monkeypatch.setattr(names_module, "QUERY_WITHIN_S", 0.05)


@pytest.mark.parametrize(
    ("host", "port", "transport", "flow"),
    [
        ("192.0.2.7", None, "UDP", Flow("UDP", "192.0.2.7", 5060)),
        ("192.0.2.7", None, "TLS", Flow("TLS", "192.0.2.7", 5061)),
        ("192.0.2.7", 5070, "TCP", Flow("TCP", "192.0.2.7", 5070)),
        ("2001:DB8:0::7", None, "UDP", Flow("UDP", "2001:db8::7", 5060)),
    ],
)
async def test_an_address_is_not_looked_up(
    world: World, host: str, port: int | None, transport: str, flow: Flow
) -> None:
    found = await world.names.find(host, port, transport)
    assert found.flows == (flow,)
    assert found.expires_at == float("inf")
    assert world.server.asked == []


@pytest.mark.parametrize(
    ("transport", "owner"),
    [("UDP", "_sip._udp"), ("TCP", "_sip._tcp"), ("TLS", "_sips._tcp")],
)
async def test_srv_records_say_where_the_servers_are(
    world: World, transport: str, owner: str
) -> None:
    server = world.server
    server.set(f"{owner}.{HOST}", "SRV", "20 0 5080 b.example.", "10 0 5070 a.example.")
    server.set("a.example", "A", "192.0.2.1")
    server.set("a.example", "AAAA", "2001:db8::1")
    server.set("b.example", "A", "192.0.2.3")
    assert await world.find(transport) == [
        f"{transport} 192.0.2.1:5070",
        f"{transport} [2001:db8::1]:5070",
        f"{transport} 192.0.2.3:5080",
    ]


async def test_naptr_records_say_where_the_srv_records_are(world: World) -> None:
    world.server.set(
        HOST,
        "NAPTR",
        '10 1 "S" "SIP+D2U" "" _sip._udp.elsewhere.example.',
        '20 9 "s" "sip+d2t" "" _sip._tcp.second.example.',
        '20 5 "S" "SIP+D2T" "" _sip._tcp.first.example.',
        '1 1 "U" "SIP+D2T" "!^.*$!sip:x@y!" .',
    )
    world.server.set("_sip._tcp.first.example", "SRV", "1 1 5099 a.example.")
    world.server.set("a.example", "A", "192.0.2.1")
    assert await world.find("TCP") == ["TCP 192.0.2.1:5099"]
    world.server.set("_sip._tcp.first.example", "SRV")
    world.server.set("_sip._tcp.second.example", "SRV", "1 1 5088 a.example.")
    world.now += TEN_MINUTES
    assert await world.find("TCP") == ["TCP 192.0.2.1:5088"]


async def test_without_srv_records_the_name_is_a_host(world: World) -> None:
    world.server.set(HOST, "A", "192.0.2.1")
    assert await world.find("TLS") == ["TLS 192.0.2.1:5061"]


async def test_with_a_port_no_srv_record_is_asked_for(world: World) -> None:
    world.server.set(f"_sip._udp.{HOST}", "SRV", "1 1 5099 a.example.")
    world.server.set(HOST, "A", "192.0.2.1")
    assert await world.find(port=5072) == ["UDP 192.0.2.1:5072"]
    assert {kind for _, kind in world.server.asked} == {"A", "AAAA"}


async def test_a_service_that_is_not_offered_is_not_found(world: World) -> None:
    world.server.set(f"_sip._udp.{HOST}", "SRV", "0 0 0 .")
    world.server.set(HOST, "A", "192.0.2.1")
    with pytest.raises(NameNotFound):
        await world.find()


async def test_a_name_that_does_not_exist_is_not_found(world: World) -> None:
    with pytest.raises(NameNotFound, match=HOST):
        await world.find()
    with pytest.raises(NameNotFound):
        await world.names.find("a..b", None, "UDP")


@pytest.mark.parametrize("fault", ["silent", "servfail", "garbage"])
@pytest.mark.usefixtures("brief")
async def test_without_a_name_server_nothing_is_found(world: World, fault: str) -> None:
    world.server.fault = fault  # type: ignore[assignment]  # one of its words
    with pytest.raises(NameNotFound):
        await world.find()


@pytest.mark.parametrize("kind", ["NAPTR", "AAAA"])
async def test_a_name_server_that_knows_no_such_records_is_asked_for_others(
    world: World, kind: str
) -> None:
    world.server.fault, world.server.faulty_kinds = "servfail", frozenset({kind})
    world.server.set(HOST, "A", "192.0.2.1")
    assert await world.find() == ["UDP 192.0.2.1:5060"]


async def test_a_search_for_srv_that_fails_does_not_lead_to_another_host(world: World) -> None:
    world.server.fault, world.server.faulty_kinds = "servfail", frozenset({"SRV"})
    world.server.set(HOST, "A", "192.0.2.1")
    with pytest.raises(NameNotFound):
        await world.find()


async def test_an_answer_is_good_for_the_shortest_of_its_records(world: World) -> None:
    world.server.set(f"_sip._udp.{HOST}", "SRV", "1 1 5060 a.example.", ttl=600)
    world.server.set("a.example", "CNAME", "b.example.", ttl=90)
    world.server.set("b.example", "A", "192.0.2.1", ttl=120)
    assert await world.ttl() == 90
    asked = len(world.server.asked)
    world.now += 89
    await world.find()
    assert len(world.server.asked) == asked
    world.server.set("b.example", "A", "192.0.2.9")
    world.now += 1
    assert await world.find() == ["UDP 192.0.2.9:5060"]


async def test_no_name_is_looked_up_all_the_time(world: World) -> None:
    world.server.set(HOST, "A", "192.0.2.1", ttl=0)
    assert await world.ttl() == 5


@pytest.mark.usefixtures("brief")
async def test_the_last_good_answer_lasts_a_day(world: World) -> None:
    world.server.set(HOST, "A", "192.0.2.1", ttl=60)
    await world.find()
    world.server.fault = "silent"
    world.now += LAST_GOOD_S - 1
    assert await world.find() == ["UDP 192.0.2.1:5060"]
    assert await world.ttl() == 30
    world.now += 30
    with pytest.raises(NameNotFound):
        await world.find()


async def test_a_name_that_vanishes_is_remembered_too(world: World) -> None:
    world.server.set(HOST, "A", "192.0.2.1", ttl=60)
    await world.find()
    world.server.set(HOST, "A")
    world.now += 60
    assert await world.find() == ["UDP 192.0.2.1:5060"]
    world.server.set(HOST, "A", "192.0.2.2", ttl=60)
    world.now += 30
    assert await world.find() == ["UDP 192.0.2.2:5060"]


async def test_the_machine_may_know_what_no_name_server_does(world: World) -> None:
    world.hosts[HOST] = ["192.0.2.44"]
    assert await world.find() == ["UDP 192.0.2.44:5060"]
    assert await world.ttl() == 60


async def test_a_machine_without_name_servers_still_knows_itself() -> None:
    def none() -> dns.resolver.Resolver:
        raise dns.resolver.NoResolverConfiguration

    names = Names(resolver=none)  # type: ignore[arg-type]  # it makes none at all
    found = await names.find("localhost", 5060, "UDP")
    assert Flow("UDP", "127.0.0.1", 5060) in found.flows
    with pytest.raises(NameNotFound):
        await names.find("localhost", None, "UDP")


async def test_what_the_machine_does_not_know_either_is_not_found() -> None:
    assert await names_module._system_addresses("no name at all") == []


async def test_a_name_leads_to_so_many_servers_and_no_more(world: World) -> None:
    world.server.set(HOST, "A", *(f"192.0.2.{last}" for last in range(1, 40)))
    assert len(await world.find()) == MAX_FLOWS


def srv(priority: int, weight: int, target: str) -> SRV:
    record = dns.rdata.from_text("IN", "SRV", f"{priority} {weight} 5060 {target}.")
    assert isinstance(record, SRV)
    return record


def test_lower_priorities_come_first_whatever_the_weight() -> None:
    records = [srv(20, 900, "c"), srv(10, 1, "a"), srv(10, 1, "b")]
    ordered = in_order(records, lambda: 0.99999)
    assert [str(one.target) for one in ordered] == ["b.", "a.", "c."]


def test_load_is_spread_by_weight() -> None:
    records = [srv(1, 60, "a"), srv(1, 30, "b"), srv(1, 10, "c"), srv(1, 0, "d")]
    steps = count()

    def draw() -> float:
        return next(steps) % 997 / 997

    first = Counter(str(in_order(records, draw)[0].target) for _ in range(997))
    assert first["a."] == pytest.approx(598, abs=20)
    assert first["b."] == pytest.approx(299, abs=20)
    assert first["c."] == pytest.approx(100, abs=20)
    assert sum(first.values()) == 997


def test_records_without_weight_are_chosen_too() -> None:
    records = [srv(1, 0, "a"), srv(1, 0, "b")]
    assert {str(in_order(records, lambda d=d: d)[0].target) for d in (0.1, 0.9)} == {"a.", "b."}  # type: ignore[misc]  # a default binds the draw
