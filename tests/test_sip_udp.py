# SPDX-License-Identifier: GPL-3.0-or-later
"""The UDP socket: bounded batches, sources, what cannot be sent."""

from __future__ import annotations

import asyncio

from dialin.sip.counters import SipCounters
from dialin.sip.udp import BATCH, UdpSocket
from dialin.wire.flow import Flow
from tests.fakes.sip_peers import UdpPeer
from tests.sipbench import UDP4


def bound(received: list[tuple[bytes, Flow]], counters: SipCounters, allowed: str) -> UdpSocket:
    """A socket that keeps what it reads."""
    return UdpSocket(
        UDP4,
        7,
        hears=lambda host: host == allowed,
        receive=lambda data, flow: received.append((data, flow)),
        counters=counters,
    )


async def test_what_comes_bears_the_sockets_number() -> None:
    received: list[tuple[bytes, Flow]] = []
    udp = bound(received, SipCounters(), "127.0.0.1")
    with UdpPeer() as peer:
        peer.send(b"hello", (udp.address.host, udp.address.port))
        udp._readable()
        assert received == [(b"hello", Flow("UDP", "127.0.0.1", peer.port, 7))]
    udp.close()


async def test_one_wake_reads_a_bounded_batch_and_the_next_the_rest() -> None:
    received: list[tuple[bytes, Flow]] = []
    udp = bound(received, SipCounters(), "127.0.0.1")
    with UdpPeer() as peer:
        for number in range(BATCH + 3):
            peer.send(b"%d" % number, (udp.address.host, udp.address.port))
        udp._readable()
        assert len(received) == BATCH
        await asyncio.sleep(0)  # lets the loop see that there is more
        await asyncio.sleep(0)
        assert len(received) == BATCH + 3
        assert [data for data, _ in received] == [b"%d" % n for n in range(BATCH + 3)]
    udp.close()


async def test_other_sources_are_counted_and_forgotten() -> None:
    received: list[tuple[bytes, Flow]] = []
    counters = SipCounters()
    udp = bound(received, counters, "192.0.2.1")
    with UdpPeer() as peer:
        peer.send(b"hello", (udp.address.host, udp.address.port))
        udp._readable()
    assert (received, counters.dropped_source) == ([], 1)
    udp.close()


async def test_what_cannot_be_sent_is_counted() -> None:
    counters = SipCounters()
    udp = bound([], counters, "127.0.0.1")
    udp.send(b"x" * 70_000, Flow("UDP", "127.0.0.1", 9))
    assert counters.unsent == 1
    udp.close()
