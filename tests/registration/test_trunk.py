# SPDX-License-Identifier: GPL-3.0-or-later
"""The task that keeps a trunk registered, on a virtual clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from dialin.registration import Provider, TrunkRegistration
from dialin.wire.flow import Flow
from tests.registration.fake_sip import FakeNames, FakeSip, Server
from tests.wire.registrar_text import PASSWORD, REALM
from tests.wire.test_registration import OTHER, USER, account

pytestmark = pytest.mark.looptime

A, B = (Flow("UDP", f"192.0.2.{last}", 5060) for last in (1, 2))
A_TCP, B_TCP = (Flow("TCP", f"192.0.2.{last}", 5060) for last in (1, 2))
PROVIDER = Provider("lab", account(), REALM, None, "UDP")


class Bench:
    """A task, and the servers that it talks to."""

    def __init__(
        self, *flows: Flow, ttl_s: float = float("inf"), jitter: float = 0.0, **changes: object
    ) -> None:
        self.sip = FakeSip()
        self.names = FakeNames(*flows, ttl_s=ttl_s)
        for flow in flows:
            self.sip.servers[flow] = Server()
        provider = replace(PROVIDER, **changes)  # type: ignore[arg-type]  # each test names its own
        if flows:
            provider = replace(provider, transport=flows[0].transport)
        self.trunk = TrunkRegistration(
            provider,
            signalling=self.sip,
            names=self.names,
            admit=self.sip.admit,
            token=lambda bits: "ab" * (bits // 8),
            jitter=lambda: jitter,
        )

    def __getitem__(self, flow: Flow) -> Server:
        return self.sip.servers[flow]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[float]:
        """While the block runs, so does the task; gives the time at which it began."""
        task = asyncio.create_task(self.trunk.run())
        try:
            yield self.sip.now()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def standing(self) -> tuple[bool, str]:
        """Whether the trunk is registered, and what is wrong."""
        standing = self.trunk.standing
        return standing.is_registered, standing.cause

    def registers(self) -> list[float]:
        """When REGISTERs came, to any server."""
        return sorted(at for server in self.sip.servers.values() for at in server.registers)


async def test_a_trunk_is_registered_and_renewed_in_time() -> None:
    bench = Bench(A, jitter=0.5)
    assert bench.standing() == (False, "")
    async with bench.running() as began:
        await asyncio.sleep(200)
        assert [at - began for at in bench[A].registers] == [0, 300 * 0.65]
        assert bench.standing() == (True, "")
        assert bench.trunk.standing.seconds_left == pytest.approx(295)
        assert bench.sip.heard == {A.host}


async def test_the_way_is_kept_open() -> None:
    bench = Bench(A, keepalive_s=20.0, jitter=1.0)
    async with bench.running() as began:
        await asyncio.sleep(60)
        # At once, to learn what this server answers; then a fifth early at most.
        assert [round(at - began) for at in bench[A].options] == [0, 16, 32, 48]


async def test_empty_datagrams_do_where_the_provider_minds_being_asked() -> None:
    bench = Bench(A, is_asked_for_life=False)
    async with bench.running():
        await asyncio.sleep(60)
        assert (len(bench[A].options), len(bench[A].pings)) == (0, 3)


async def test_the_next_server_is_asked_when_one_does_not_answer() -> None:
    bench = Bench(A, B)
    bench[A].is_there = False
    async with bench.running() as began:
        await asyncio.sleep(15)
        assert [at - began for at in bench[B].registers] == [11]
        assert bench.standing() == (True, "")


async def test_the_next_server_is_asked_when_one_cannot() -> None:
    bench = Bench(A, B)
    bench[A].status = 503
    async with bench.running() as began:
        await asyncio.sleep(15)
        assert [at - began for at in bench.registers()] == [0, 1]
        assert bench.standing() == (True, "")


async def test_a_server_without_a_way_to_it_is_passed_by() -> None:
    bench = Bench(A, B)
    bench.sip.unreachable.add(A.host)
    async with bench.running():
        await asyncio.sleep(3)
        assert bench.standing() == (True, "")
        bench.sip.unreachable.add(B.host)
        await asyncio.sleep(400)
        assert bench.standing() == (False, "no-route")


async def test_a_refusal_is_no_reason_to_ask_another_server() -> None:
    bench = Bench(A, B)
    bench[A].status = 403
    async with bench.running():
        await asyncio.sleep(100)
        assert bench.standing() == (False, "forbidden")
        assert bench.trunk.standing.remedy.startswith("Correct username")
        assert (len(bench[A].registers) > 2, len(bench[B].registers)) == (True, 0)


@pytest.mark.parametrize(("flow", "refuses"), [(A, False), (A_TCP, False), (A_TCP, True)])
@pytest.mark.parametrize("outage_s", [7, 60, 290])
async def test_a_provider_that_comes_back_knows_us_within_seconds(
    flow: Flow, refuses: bool, outage_s: float
) -> None:
    bench = Bench(flow, longest_pause_s=300.0, jitter=0.9)
    async with bench.running():
        await asyncio.sleep(47)
        server = bench[flow]
        server.is_there, server.refuses = False, refuses
        bench.sip.drop(flow)
        await asyncio.sleep(outage_s)
        server.is_there, server.refuses = True, False
        async with asyncio.timeout(4):
            while bench.standing() != (True, ""):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)


async def test_a_provider_that_is_away_for_long_is_looked_for_less_often() -> None:
    bench = Bench(A)
    bench[A].is_there = False
    async with bench.running():
        await asyncio.sleep(1000)
        bench[A].options.clear()
        await asyncio.sleep(320)
        assert 8 <= len(bench[A].options) <= 11


async def test_of_two_servers_the_one_that_comes_back_is_taken() -> None:
    bench = Bench(A, B, jitter=1.0)
    bench[A].is_there = bench[B].is_there = False
    async with bench.running():
        await asyncio.sleep(150)
        bench.sip.unreachable.add(A.host)
        bench[B].is_there = True
        await asyncio.sleep(5)
        assert bench.standing() == (True, "")
        assert bench[B].registers[-1] > 150


async def test_a_connection_that_is_cut_is_opened_again_at_once() -> None:
    bench = Bench(A_TCP)
    async with bench.running():
        await asyncio.sleep(47)
        bench.sip.drop(A_TCP)
        await asyncio.sleep(0.1)
        assert bench.standing() == (True, "")
        assert len(bench[A_TCP].registers) == 2
        assert bench[A_TCP].connection == 8


async def test_a_connection_that_has_gone_silent_is_closed_and_the_next_server_asked() -> None:
    bench = Bench(A_TCP, B_TCP, keepalive_s=20.0, jitter=0.0)
    async with bench.running():
        await asyncio.sleep(41)
        bench[A_TCP].is_there = False
        silent_since = bench.sip.now()
        await asyncio.sleep(30)
        assert bench[A_TCP].connection == 0
        assert bench[B_TCP].registers[0] - silent_since <= 30
        assert bench.standing() == (True, "")


async def test_a_connection_that_is_cut_while_it_is_looked_after_is_no_silence() -> None:
    bench = Bench(A_TCP, keepalive_s=20.0)
    async with bench.running():
        await asyncio.sleep(39)
        bench[A_TCP].pongs = False
        await asyncio.sleep(5)
        bench.sip.drop(A_TCP)
        await asyncio.sleep(1)
        assert bench.standing() == (True, "")
        assert len(bench[A_TCP].registers) == 2


async def test_servers_that_move_are_followed() -> None:
    bench = Bench(A, ttl_s=60)
    async with bench.running() as began:
        await asyncio.sleep(30)
        bench.sip.servers[B] = Server()
        bench.names.flows = (B,)
        await asyncio.sleep(35)
        assert [at - began for at in bench[B].registers] == [60]
        assert bench.sip.heard == {A.host, B.host}
        assert bench.standing() == (True, "")
        await asyncio.sleep(500)
        assert len(bench[A].registers) == 1


async def test_servers_that_stay_are_not_asked_again_for_it() -> None:
    bench = Bench(A, B, ttl_s=60)
    async with bench.running():
        await asyncio.sleep(30)
        bench.names.flows = (B, A)
        await asyncio.sleep(100)
        assert (len(bench[A].registers), len(bench[B].registers)) == (1, 0)
        assert len(bench.names.asked) == 3


async def test_a_name_that_is_not_found_is_looked_up_again() -> None:
    bench = Bench()
    async with bench.running():
        await asyncio.sleep(100)
        assert bench.standing() == (False, "name-not-found")
        asked = bench.names.asked
        assert all(later - sooner >= 1 for sooner, later in pairwise(asked))
        assert 5 < len(asked) < 20
        bench.sip.servers[A] = Server()
        bench.names.flows = (A,)
        await asyncio.sleep(130)
        assert bench.standing() == (True, "")


async def test_why_no_connection_stands_is_told_in_so_many_words() -> None:
    bench = Bench(A_TCP)
    bench[A_TCP].refuses = True
    async with bench.running():
        await asyncio.sleep(5)
        assert bench.standing() == (False, "connection-refused")
        assert bench.trunk.standing.remedy == "nobody listens there. Check the port."


async def test_a_provider_that_is_at_odds_with_another_is_not_asked() -> None:
    bench = Bench(A)
    bench.sip.at_odds = True
    async with bench.running():
        await asyncio.sleep(5)
        assert bench.standing() == (False, "at-odds")
        assert bench.registers() == []
        bench.sip.at_odds = False
        await asyncio.sleep(10)
        assert bench.standing() == (True, "")


async def test_a_registration_is_taken_back_on_leaving() -> None:
    bench = Bench(A)
    async with bench.running():
        await asyncio.sleep(30)
        await bench.trunk.leave()
        assert len(bench[A].leaves) == 1
        assert bench.standing() == (False, "")


async def test_who_is_not_registered_leaves_without_a_word() -> None:
    bench = Bench(A)
    bench[A].status = 403
    async with bench.running():
        await asyncio.sleep(30)
        before = bench.sip.now()
        await bench.trunk.leave()
        assert bench.sip.now() == before
        assert bench[A].leaves == []
    bench = Bench()
    async with bench.running():
        await asyncio.sleep(30)
        await bench.trunk.leave()


async def test_leaving_waits_for_what_is_out() -> None:
    bench = Bench(A)
    bench[A].is_there = False
    async with bench.running():
        await asyncio.sleep(1)
        before = bench.sip.now()
        await bench.trunk.leave()
        assert bench.sip.now() - before == 9


async def test_there_is_never_more_than_one_register_a_second() -> None:
    bench = Bench(A_TCP, B_TCP, ttl_s=5)
    async with bench.running():
        for step in range(200):
            server = bench[A_TCP if step % 3 else B_TCP]
            server.is_there = bool(step % 7)
            server.refuses = step % 5 == 0
            server.status = (200, 200, 503, 403)[step % 4]
            bench.sip.drop(A_TCP if step % 2 else B_TCP)
            await asyncio.sleep(step % 9 / 4)
        times = bench.registers()
        assert len(times) > 12
        assert all(later - sooner >= 1.0 for sooner, later in pairwise(times))


async def test_the_log_tells_news_only_and_nothing_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    bench = Bench(A)
    async with bench.running():
        bench[A].lines = [("Contact", f"{OTHER};expires=60")]
        await asyncio.sleep(1000)
        bench[A].status = 403
        await asyncio.sleep(140)
        bench[A].status = 200
        await asyncio.sleep(400)
        await bench.trunk.leave()
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("INFO", "registered"),
        ("WARNING", "not renewed"),
        ("INFO", "registered"),
        ("INFO", "registration over"),
    ]
    first, second = caplog.records[:2]
    assert (vars(first)["trunk"], vars(first)["server"]) == ("lab", "UDP 192.0.2.1:5060")
    assert vars(first)["others"] == 1
    assert (vars(second)["cause"], vars(second)["status"]) == ("forbidden", 403)
    written = str([vars(record) for record in caplog.records])
    assert USER not in written
    assert PASSWORD not in written


async def test_signs_of_life_come_as_often_as_the_provider_wants() -> None:
    bench = Bench(A, keepalive_s=20.0)
    bench[A].lines = [("Flow-Timer", "5")]
    async with bench.running() as began:
        await asyncio.sleep(17)
        assert [round(at - began) for at in bench[A].options] == [0, 5, 10, 15]


async def test_options_take_the_route_of_a_proxy() -> None:
    route = "<sip:proxy.example;lr>"
    bench = Bench(A, account=account(routes=(route,)))
    async with bench.running():
        await asyncio.sleep(1)
    assert bench.sip.asked
    assert all(("Route", route) in enquiry.headers for enquiry in bench.sip.asked)
