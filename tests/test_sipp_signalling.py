# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's sipp against the endpoint: a foreign stack calls, cancels, loses and answers."""

from __future__ import annotations

import asyncio
import csv
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dialin.sip import IncomingLeg, LegGone, OutgoingLeg
from dialin.wire import session_expires
from dialin.wire.flow import Flow
from dialin.wire.message import Response
from dialin.wire.timers import Timers
from dialin.wire.transaction import Send
from tests.peers.process import free_port
from tests.sipbench import QUICK, TCP4, UDP4, Bench, opened
from tests.wire.peers import ANSWER, OFFER

SCENARIOS = Path(__file__).parent / "sipp"
CALLS = 50
RATE = 50
MANY = 1000
TRANSPORTS = {"UDP": "u1", "TCP": "t1"}
BRISK = Timers(t1_s=0.05, t2_s=0.2, t4_s=0.2)
LEISURELY = Timers(t1_s=0.1, t2_s=0.1, t4_s=0.1)
"""For a caller that has to know which of our 200s is the first."""
SHORTEST_S = 3
"""A session interval of which the whole test is over in seconds; RFC 4028 has 90."""

pytestmark = pytest.mark.skipif(
    shutil.which("sipp") is None, reason="needs sipp (Debian: sip-tester)"
)


class Takers:
    """What happens to calls: they ring, are answered, and each has a task of its own."""

    def __init__(
        self, tasks: asyncio.TaskGroup, *, answers: bool = True, early: bool = False
    ) -> None:
        self._tasks = tasks
        self._answers = answers
        self._early = early
        self.ends: Counter[tuple[str, str]] = Counter()
        """Who ended how many legs, and by what."""

    def take(self, leg: IncomingLeg) -> None:
        """Take a call."""
        self._tasks.create_task(self._serve(leg))

    async def _serve(self, leg: IncomingLeg) -> None:
        if self._early:
            leg.progress(ANSWER)
        else:
            leg.ring()
        try:
            if self._answers:
                await leg.answer(ANSWER)
        except LegGone:
            pass
        end = await leg.ended
        self.ends[end.by, end.cause] += 1


async def listening(port: int) -> None:
    """Wait until somebody listens; the kernel has no event for it."""
    async with asyncio.timeout(10.0):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@asynccontextmanager
async def served(
    *, answers: bool = True, early: bool = False, timers: Timers = BRISK
) -> AsyncIterator[tuple[Bench, Takers]]:
    """An endpoint that answers, perhaps after early media, or lets ring."""
    async with asyncio.TaskGroup() as tasks:
        takers = Takers(tasks, answers=answers, early=early)
        async with opened(UDP4, TCP4, timers=timers, on_call=takers.take) as bench:
            yield bench, takers


async def sipp(folder: Path, scenario: str, *arguments: str) -> None:
    """Run a scenario; every one of its calls has to succeed."""
    process = await asyncio.create_subprocess_exec(
        "sipp",
        *arguments,
        *("-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", "127.0.0.1", "-nostdin"),
        *("-m", str(CALLS), "-timeout", "180", "-timeout_error", "-trace_err"),
        *("-error_file", "errors.log", "-deadcall_wait", "100"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    screen, _ = await process.communicate()
    errors = folder / "errors.log"
    found = errors.read_text(errors="replace") if errors.exists() else ""
    assert process.returncode == 0, f"{found}\n{screen.decode(errors='replace')[-3000:]}"


async def call_with_sipp(
    bench: Bench, folder: Path, scenario: str, transport: str = "UDP", *arguments: str
) -> None:
    """Run a caller's scenario against the endpoint."""
    host, port = bench.address(transport)
    target = f"{host}:{port}"
    how = ("-t", TRANSPORTS[transport], "-r", str(RATE), "-p", str(free_port()))
    await sipp(folder, scenario, target, *how, *arguments)


async def nothing_left(bench: Bench, within_s: float = 10.0) -> None:
    """No leg, and in due time no transaction."""
    await bench.until(lambda: (bench.sip.legs, bench.sip.transactions) == (0, 0), within_s)


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_fifty_calls(tmp_path: Path, transport: str) -> None:
    async with served() as (bench, takers):
        await call_with_sipp(bench, tmp_path, "caller", transport)
        assert takers.ends == {("peer", "bye"): CALLS}
        assert bench.sip.counters.requests["INVITE"] >= CALLS
        await nothing_left(bench)


async def test_fifty_calls_of_which_every_other_200_is_lost(tmp_path: Path) -> None:
    async with served() as (bench, takers):
        oks = count_200_to_invite(bench)
        await call_with_sipp(bench, tmp_path, "caller-drops-200", "UDP")
        assert takers.ends == {("peer", "bye"): CALLS}
        assert oks["INVITE"] > CALLS
        await nothing_left(bench)


async def test_fifty_calls_of_which_the_first_200_is_lost(tmp_path: Path) -> None:
    async with served(timers=LEISURELY) as (bench, takers):
        oks = count_200_to_invite(bench)
        await call_with_sipp(bench, tmp_path, "drop-one-200")
        assert takers.ends == {("peer", "bye"): CALLS}
        assert oks["INVITE"] >= 2 * CALLS
        await nothing_left(bench)


@pytest.mark.parametrize("scenario", ["drop-all-200", "no-ack"])
async def test_fifty_calls_that_are_never_acknowledged(tmp_path: Path, scenario: str) -> None:
    async with served(timers=QUICK) as (bench, takers):
        await call_with_sipp(bench, tmp_path, scenario)
        assert takers.ends == {("lost", "no-ack"): CALLS}
        await nothing_left(bench)


async def test_fifty_callers_who_acknowledge_early_media_late(tmp_path: Path) -> None:
    async with served(early=True) as (bench, takers):
        await call_with_sipp(bench, tmp_path, "caller-prack")
        assert takers.ends == {("peer", "bye"): CALLS}
        assert bench.sip.counters.requests["PRACK"] >= CALLS
        await nothing_left(bench)


async def test_fifty_calls_whose_ack_is_late(tmp_path: Path) -> None:
    async with served(timers=QUICK) as (bench, takers):
        oks = count_200_to_invite(bench)
        await call_with_sipp(bench, tmp_path, "delayed-ack")
        assert takers.ends == {("peer", "bye"): CALLS}
        assert oks["INVITE"] >= 4 * CALLS
        await nothing_left(bench)


async def test_fifty_cancels_that_cross_the_200(tmp_path: Path) -> None:
    async with served(timers=QUICK) as (bench, takers):
        await call_with_sipp(bench, tmp_path, "cancel-race")
        assert takers.ends == {("peer", "bye"): CALLS}
        await nothing_left(bench)


@pytest.mark.parametrize("scenario", ["no-sdp", "refer"])
async def test_fifty_calls_with_an_odd_wish(tmp_path: Path, scenario: str) -> None:
    async with served(timers=QUICK) as (bench, takers):
        await call_with_sipp(bench, tmp_path, scenario)
        assert takers.ends == {("peer", "bye"): CALLS}
        await nothing_left(bench)


@pytest.mark.parametrize("side", ["uac", "uas"])
async def test_fifty_sessions_that_are_not_refreshed(
    tmp_path: Path, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_expires, "MIN_SE_S", SHORTEST_S)
    async with served(timers=QUICK) as (bench, takers):
        await call_with_sipp(bench, tmp_path, f"session-timer-{side}", *timed(SHORTEST_S))
        assert takers.ends == {("lost", "session-expired"): CALLS}
        await nothing_left(bench)


@pytest.mark.e2e
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("side", "ends_after_s"), [("uac", 60.0), ("uas", 90.0)])
async def test_fifty_sessions_of_ninety_seconds_end_to_the_second(
    tmp_path: Path, side: str, ends_after_s: float
) -> None:
    loop = asyncio.get_running_loop()
    async with served() as (bench, takers):
        began = loop.time()
        await call_with_sipp(bench, tmp_path, f"session-timer-{side}", *timed(90))
        # The last of the calls began a second after the first.
        assert loop.time() - began - CALLS / RATE == pytest.approx(ends_after_s, abs=2.0)
        assert takers.ends == {("lost", "session-expired"): CALLS}
        await nothing_left(bench)


def timed(interval_s: int) -> tuple[str, ...]:
    """What tells a caller of the session interval."""
    return ("UDP", "-key", "interval", str(interval_s))


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("percent", "set_up_at_least"), [(10, 0.999), (30, 0.995)])
async def test_a_thousand_calls_over_a_line_that_loses(
    tmp_path: Path, percent: int, set_up_at_least: float
) -> None:
    """sipp loses what it sends and what it gets. Both sides repeat by the timers of RFC 3261."""
    async with served(timers=Timers()) as (bench, takers):
        counts = count_200_to_invite(bench)
        set_up = await lossy_calls(bench, tmp_path, percent)
        assert set_up / MANY >= set_up_at_least
        # No half of a call is left, and whoever got through has hung up here, too.
        await nothing_left(bench, within_s=3 * Timers().patience_s)
        assert takers.ends["peer", "bye"] >= set_up
        # A 200 is repeated where it or its ACK was lost: about in so many calls, of each twice.
        assert counts["INVITE"] > MANY * (1 + percent / 100)


async def lossy_calls(bench: Bench, folder: Path, percent: int) -> int:
    """Place many calls of which sipp loses so much each way; returns how many it got through."""
    host, port = bench.address()
    scenario = str(SCENARIOS / "caller-on-a-bad-line.xml")
    process = await asyncio.create_subprocess_exec(
        *("sipp", f"{host}:{port}", "-sf", scenario, "-i", host, "-nostdin"),
        *("-p", str(free_port()), "-m", str(MANY), "-r", str(RATE), "-lost", str(percent)),
        # As many as fit into 64*T1.
        *("-max_invite_retrans", "6", "-max_non_invite_retrans", "10"),
        *("-trace_stat", "-stf", "figures.csv", "-timeout", "200", "-deadcall_wait", "32000"),
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
    )
    await process.wait()
    with (folder / "figures.csv").open(newline="") as figures:
        *_, last = csv.DictReader(figures, delimiter=";")
    return int(last["SuccessfulCall(C)"])


def count_200_to_invite(bench: Bench) -> Counter[str]:
    """Count the 200s that leave, by method."""
    counts: Counter[str] = Counter()
    send = bench.sip._send

    def counted(output: Send) -> None:
        if isinstance(output.message, Response) and output.message.status == 200:
            counts[output.message.cseq.method] += 1
        send(output)

    bench.sip._send = counted  # type: ignore[method-assign,assignment]  # to see what leaves
    return counts


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_fifty_callers_who_give_up(tmp_path: Path, transport: str) -> None:
    async with served(answers=False) as (bench, takers):
        await call_with_sipp(bench, tmp_path, "caller-cancels", transport)
        assert takers.ends == {("peer", "cancel"): CALLS}
        await nothing_left(bench)


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_fifty_calls_to_a_conference(tmp_path: Path, transport: str) -> None:
    port = free_port()
    async with opened(UDP4, TCP4, timers=BRISK) as bench:
        async with asyncio.TaskGroup() as tasks:
            server = tasks.create_task(
                sipp(tmp_path, "conference", "-p", str(port), "-t", TRANSPORTS[transport])
            )
            if transport == "TCP":
                await listening(port)
            flow = Flow(transport, "127.0.0.1", port)
            legs = [await call_out(bench, flow) for _ in range(CALLS)]
            for leg in legs:
                answer = await leg.answered()
                assert re.search(rb"m=audio [0-9]+ RTP/AVP 0", answer)
                assert leg.early == answer
            # It asks in the dialog; a BYE of ours must not cross that.
            await bench.until(lambda: bench.sip.counters.requests["OPTIONS"] == CALLS)
            for leg in legs:
                leg.hang_up()
            await server
        await nothing_left(bench)


async def test_fifty_calls_to_a_conference_whose_early_media_is_reliable(tmp_path: Path) -> None:
    port = free_port()
    async with opened(UDP4, TCP4, timers=BRISK) as bench:
        async with asyncio.TaskGroup() as tasks:
            server = tasks.create_task(
                sipp(tmp_path, "conference-prack", "-p", str(port), "-t", TRANSPORTS["TCP"])
            )
            await listening(port)
            flow = Flow("TCP", "127.0.0.1", port)
            legs = [await call_out(bench, flow) for _ in range(CALLS)]
            for leg in legs:
                assert re.search(rb"m=audio [0-9]+ RTP/AVP 0", await leg.answered())
                leg.hang_up()
            await server
        await nothing_left(bench)


async def call_out(bench: Bench, flow: Flow) -> OutgoingLeg:
    """A call from us."""
    return await bench.sip.invite(
        f"sip:12345@127.0.0.1:{flow.port}",
        flow,
        from_display="xxx-xxx-5678",
        from_user="712345678901234",
        offer=OFFER,
    )
