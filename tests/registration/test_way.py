# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to a provider: kept open by what its server answers, and found out when they are dead."""

from __future__ import annotations

import asyncio

import pytest

from dialin.registration.way import Sign, Way
from dialin.wire.asking import Enquiry
from dialin.wire.flow import Flow
from tests.registration.fake_sip import FakeSip, Server

pytestmark = pytest.mark.looptime

UDP = Flow("UDP", "192.0.2.1", 5060)
TCP = Flow("TCP", "192.0.2.1", 5060)


class Bench:
    """A way to a server."""

    def __init__(self, flow: Flow, sign: Sign = Sign.UNKNOWN, **server: bool) -> None:
        self.server = Server(**server)  # type: ignore[arg-type]  # each test names its own
        self.sip = FakeSip()
        self.sip.servers[flow] = self.server
        self.sip.admit([flow])
        self.losses = 0
        if flow.is_reliable:
            self.server.connection = 7
            self.server.gone = asyncio.get_running_loop().create_future()
            flow = Flow(flow.transport, flow.host, flow.port, 7)
        self.way = Way(flow, self.sip, options=options, sign=sign, on_lost=self._lost)

    def _lost(self) -> None:
        self.losses += 1

    async def is_alive(self, times: int = 1) -> list[bool]:
        """What so many signs of life bring."""
        return [await self.way.is_alive() for _ in range(times)]


def options(within_s: float) -> Enquiry:
    return Enquiry("OPTIONS", "sip:provider.example", "sip:us", "sip:them", within_s=within_s)


async def test_a_stream_is_kept_open_by_empty_lines() -> None:
    bench = Bench(TCP)
    assert await bench.is_alive(3) == [True] * 3
    assert (len(bench.server.pings), len(bench.server.options)) == (3, 0)


async def test_a_server_that_has_answered_empty_lines_is_dead_when_it_does_not() -> None:
    bench = Bench(TCP)
    await bench.is_alive()
    bench.server.is_there = False
    before = bench.sip.now()
    assert await bench.is_alive() == [False]
    assert bench.sip.now() - before == 10


async def test_a_server_that_knows_no_empty_lines_is_asked_instead() -> None:
    bench = Bench(TCP, pongs=False)
    assert await bench.is_alive(3) == [True] * 3
    assert (len(bench.server.pings), len(bench.server.options)) == (1, 3)
    bench.server.is_there = False
    assert await bench.is_alive() == [False]


@pytest.mark.parametrize("flow", [UDP, TCP])
async def test_a_server_that_answers_nothing_is_not_held_dead_for_it(flow: Flow) -> None:
    bench = Bench(flow, pongs=False, answers_options=False)
    assert await bench.is_alive(3) == [True] * 3
    assert len(bench.server.options) == 1
    assert len(bench.server.pings) == (3 if flow.is_reliable else 2)


async def test_over_udp_a_server_is_asked() -> None:
    bench = Bench(UDP)
    assert await bench.is_alive(3) == [True] * 3
    assert (len(bench.server.pings), len(bench.server.options)) == (0, 3)
    bench.server.is_there = False
    assert await bench.is_alive() == [False]


async def test_over_udp_empty_datagrams_may_do() -> None:
    bench = Bench(UDP, Sign.NONE)
    assert await bench.is_alive(3) == [True] * 3
    assert (len(bench.server.pings), len(bench.server.options)) == (3, 0)


async def test_the_end_of_a_connection_is_told() -> None:
    bench = Bench(TCP, pongs=False, answers_options=False)
    before = bench.way.is_lost
    finding_out = asyncio.create_task(bench.is_alive())
    await asyncio.sleep(1)
    bench.sip.drop(TCP)
    assert await finding_out == [False]
    assert (before, bench.way.is_lost) == (False, True)
    assert bench.losses == 1


async def test_a_way_that_is_of_no_interest_any_more_stays_open_and_tells_nothing() -> None:
    bench = Bench(TCP)
    bench.way.leave()
    assert bench.server.connection == 7
    bench.sip.drop(TCP)
    await asyncio.sleep(0)
    assert bench.losses == 0


@pytest.mark.parametrize("flow", [UDP, TCP])
async def test_a_way_that_is_dead_is_closed(flow: Flow) -> None:
    bench = Bench(flow)
    bench.way.close()
    await asyncio.sleep(0)
    assert bench.server.connection == 0
    assert bench.losses == 0
