# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of ports: even, from the range, and at rest after use."""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterator

import pytest

from dialin.media import ports
from dialin.media.messages import CannotDo, Cause
from dialin.media.ports import DSCP_EF, PortPair, PortPool
from tests.media.world import HOST, free_ports


@pytest.fixture
def held() -> Iterator[list[PortPair]]:
    """Pairs that are closed after the test."""
    pairs: list[PortPair] = []
    yield pairs
    for pair in pairs:
        pair.close()


@pytest.fixture
def pools() -> Iterator[list[PortPool]]:
    """Pools that are closed after the test."""
    made: list[PortPool] = []
    yield made
    for pool in made:
        pool.close()


def pool_of(pools: list[PortPool], pairs: int, quarantine_s: float = 30.0) -> PortPool:
    pools.append(PortPool(*free_ports(pairs), quarantine_s))
    return pools[-1]


def kept_in(udp: socket.socket) -> int:
    """How many packets wait there."""
    for kept in itertools.count():
        try:
            udp.recv(2048)
        except BlockingIOError:
            return kept
    raise AssertionError


def refuses(pool: PortPool, host: str = HOST) -> Cause:
    with pytest.raises(CannotDo) as refusal:
        pool.lease(host)
    return refusal.value.cause


def test_rtp_ports_are_even_and_rtcp_is_one_above(
    pools: list[PortPool], held: list[PortPair]
) -> None:
    pool = pool_of(pools, 4)
    held += [pool.lease(HOST) for _ in range(4)]
    assert {pair.port % 2 for pair in held} == {0}
    assert len({pair.port for pair in held}) == 4
    for pair in held:
        assert pair.rtp.getsockname() == (HOST, pair.port)
        assert pair.rtcp.getsockname() == (HOST, pair.port + 1)


def test_an_odd_range_begins_at_its_first_even_port_and_ends_with_a_whole_pair(
    pools: list[PortPool], held: list[PortPair]
) -> None:
    first, last = free_ports(4)
    pools.append(PortPool(first + 1, last - 1, 0.0))
    held += [pools[-1].lease(HOST) for _ in range(2)]
    assert {pair.port for pair in held} == {first + 2, first + 4}
    assert refuses(pools[-1]) is Cause.NO_PORTS


def test_packets_are_marked_for_expedited_forwarding(
    pools: list[PortPool], held: list[PortPair]
) -> None:
    held.append(pool_of(pools, 1).lease(HOST))
    assert held[0].rtp.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == DSCP_EF
    held.append(PortPool(*free_ports(1, "127.0.0.1"), 0.0).lease("::1"))
    assert held[1].rtp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == DSCP_EF


def test_an_exhausted_range_is_said_and_recovers_when_a_quarantine_is_over(
    pools: list[PortPool], held: list[PortPair]
) -> None:
    pool = pool_of(pools, 2)
    one, other = pool.lease(HOST), pool.lease(HOST)
    held.append(other)
    assert refuses(pool) is Cause.NO_PORTS
    pool.give_back(one, now=100.0)
    pool.release(now=129.9)
    assert refuses(pool) is Cause.NO_PORTS
    pool.release(now=130.0)
    held.append(pool.lease(HOST))
    assert held[1].port == one.port


def test_a_resting_pair_stays_bound_and_keeps_almost_nothing(pools: list[PortPool]) -> None:
    pool = pool_of(pools, 1)
    pair = pool.lease(HOST)
    pool.give_back(pair, now=0.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        with pytest.raises(OSError, match="in use"):
            late.bind((HOST, pair.port))
        for _ in range(100):
            late.sendto(bytes(172), (HOST, pair.port))
    assert kept_in(pair.rtp) <= 3


def test_the_next_call_on_a_port_hears_nothing_that_came_before(
    pools: list[PortPool], held: list[PortPair]
) -> None:
    pool = pool_of(pools, 1, quarantine_s=0.0)
    pair = pool.lease(HOST)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.sendto(b"stale", (HOST, pair.port))
        pool.give_back(pair, now=0.0)
        late.sendto(b"stale", (HOST, pair.port))
    pool.release(now=0.0)
    held.append(pool.lease(HOST))
    assert held[0].port == pair.port
    with pytest.raises(BlockingIOError):
        held[0].rtp.recv(2048)


def test_ports_that_another_program_has_are_passed_over(
    pools: list[PortPool], held: list[PortPair]
) -> None:
    first, last = free_ports(2)
    pools.append(PortPool(first, last, 0.0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, first + 1))  # the RTCP port of the first pair
        held.append(pools[-1].lease(HOST))
        assert held[0].port == first + 2
        assert refuses(pools[-1]) is Cause.NO_PORTS
    held.append(pools[-1].lease(HOST))
    assert held[1].port == first


def test_an_address_that_is_not_ours_is_said(pools: list[PortPool]) -> None:
    assert refuses(pool_of(pools, 1), "192.0.2.1") is Cause.ADDRESS_NOT_LOCAL


def test_each_local_address_has_its_own_ports(pools: list[PortPool], held: list[PortPair]) -> None:
    pool = pool_of(pools, 1)
    held += [pool.lease(HOST), pool.lease("127.0.0.2")]
    assert held[0].port == held[1].port


def test_without_file_descriptors_no_port_is_lost(
    pools: list[PortPool], held: list[PortPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(pools, 1)

    def full(host: str, port: int) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as crowded:
        crowded.setattr(ports, "_socket", full)
        assert refuses(pool) is Cause.NO_PORTS
    held.append(pool.lease(HOST))


def test_ports_of_a_predecessor_rest_first(pools: list[PortPool], held: list[PortPair]) -> None:
    first, last = free_ports(2)
    pools.append(PortPool(first, last, 30.0))
    pool = pools[-1]
    pool.set_aside(HOST, first, now=0.0)
    held.append(pool.lease(HOST))
    assert held[0].port == first + 2
    pool.set_aside(HOST, first + 2, now=0.0)  # leased meanwhile: left alone
    pool.set_aside(HOST, last + 100, now=0.0)  # none of this range
    assert refuses(pool) is Cause.NO_PORTS
    pool.release(now=30.0)
    held.append(pool.lease(HOST))
    assert held[1].port == first


def test_a_predecessors_port_that_somebody_took_is_left_alone(pools: list[PortPool]) -> None:
    first, last = free_ports(1)
    pools.append(PortPool(first, last, 30.0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, first))
        pools[-1].set_aside(HOST, first, now=0.0)
        assert refuses(pools[-1]) is Cause.NO_PORTS
