# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded engine with real worker processes, as the layers above use it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from dialin.errors import OperatorError
from dialin.events import Codec, Digit, DigitSource
from dialin.media import process, seat
from dialin.media.embedded import EmbeddedEngine, _shares
from dialin.media.engine import (
    DIGITS_KEPT,
    LegSettings,
    MediaEngine,
    MediaLeg,
    MediaRefused,
    NoMediaPort,
    RemoteNotAllowed,
)
from dialin.media.messages import DigitHeard, LegLost, Ping
from dialin.wire import dtmf
from tests.media.world import HOST, FarEnd, Heard, follows, free_ports

LOOPBACK = ["127.0.0.0/8"]
SOON_S = 20.0
"""For what happens at once on a machine that has time; nothing here measures time."""

Engines = Callable[..., "asyncio.Future[EmbeddedEngine]"]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes what a test has opened."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def engine(stack: AsyncExitStack) -> EmbeddedEngine:
    """One worker with four pairs of ports."""
    return await start(stack)


async def start(stack: AsyncExitStack, **changes: object) -> EmbeddedEngine:
    """An engine with a test's settings."""
    options: dict[str, object] = {
        "workers": 1,
        "port_range": free_ports(4),
        "quarantine_s": 0.0,
        "media_timeout_s": 30.0,
    }
    return await stack.enter_async_context(EmbeddedEngine(**{**options, **changes}))  # type: ignore[arg-type]


def far_end(stack: AsyncExitStack) -> FarEnd:
    far = FarEnd()
    stack.callback(far.close)
    return far


def settings(far: FarEnd) -> LegSettings:
    return LegSettings(HOST, far.port, far.rtcp_port, Codec.PCMU, 0, 101, False)


async def open_leg(engine: MediaEngine, far: FarEnd, beside: MediaLeg | None = None) -> MediaLeg:
    leg = await engine.open(host=HOST, allowed=LOOPBACK, beside=beside)
    await leg.configure(settings(far))
    await leg.start()
    return leg


async def hear(far: FarEnd, wanted: Callable[[Heard], bool]) -> list[Heard]:
    """What arrives until a wanted packet does."""
    loop = asyncio.get_running_loop()
    packets: list[Heard] = []
    async with asyncio.timeout(SOON_S):
        while not any(map(wanted, packets)):
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(far.rtp, readable.set_result, None)
            try:
                await readable
            finally:
                loop.remove_reader(far.rtp)
            packets += far.heard()
    return packets


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A tenth of a second."""
    path = tmp_path / "clip.pcmu"
    path.write_bytes(b"\x11" * 800)
    return path


class TestCalls:
    async def test_a_prompt_is_heard_and_over_when_its_last_frame_has_left(
        self, engine: EmbeddedEngine, stack: AsyncExitStack, clip: Path
    ) -> None:
        far = far_end(stack)
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        await leg.configure(settings(far))
        await leg.start()
        await leg.play([clip])
        frames = [packet for packet in far.heard() if packet.payload == b"\x11" * 160]
        assert len(frames) == 5
        assert follows(frames)

    async def test_cancelling_play_stops_the_sound(
        self, engine: EmbeddedEngine, stack: AsyncExitStack, clip: Path
    ) -> None:
        far = far_end(stack)
        leg = await open_leg(engine, far)
        music = asyncio.create_task(leg.play([clip], repeat=True))
        await hear(far, lambda packet: packet.payload[0] == 0x11)
        music.cancel()
        with pytest.raises(asyncio.CancelledError):
            await music
        await hear(far, lambda packet: packet.payload[0] == 0xFF)

    async def test_stop_playing_ends_play(
        self, engine: EmbeddedEngine, stack: AsyncExitStack, clip: Path
    ) -> None:
        leg = await open_leg(engine, far_end(stack))
        async with asyncio.timeout(SOON_S), asyncio.TaskGroup() as group:
            group.create_task(leg.play([clip], repeat=True))
            await asyncio.sleep(0)
            await leg.stop_playing()

    async def test_keys_arrive_as_digits(
        self, engine: EmbeddedEngine, stack: AsyncExitStack
    ) -> None:
        far = far_end(stack)
        leg = await open_leg(engine, far)
        for payload in dtmf.event_packets("8", 100):
            far.send(leg.rtp_port, payload, payload_type=101, step=0)
        async with asyncio.timeout(SOON_S):
            assert await leg.digits.get() == Digit("8", DigitSource.RFC4733)

    async def test_keys_can_be_sent(self, engine: EmbeddedEngine, stack: AsyncExitStack) -> None:
        far = far_end(stack)
        leg = await open_leg(engine, far)
        await leg.send_digits("42")
        keys = [p.payload[0] for p in far.heard() if p.header.payload_type == 101]
        assert sorted(set(keys)) == [2, 4]

    async def test_bridged_legs_hear_each_other_until_they_are_parted(
        self, engine: EmbeddedEngine, stack: AsyncExitStack
    ) -> None:
        fars = far_end(stack), far_end(stack)
        one = await open_leg(engine, fars[0])
        other = await open_leg(engine, fars[1], beside=one)
        await engine.bridge(one, other)
        fars[0].send(one.rtp_port, b"\x01" * 160)
        await hear(fars[1], lambda packet: packet.payload == b"\x01" * 160)
        fars[1].send(other.rtp_port, b"\x02" * 160)
        await hear(fars[0], lambda packet: packet.payload == b"\x02" * 160)
        await engine.unbridge(one, other)
        assert (await one.statistics()).packets_received == 1

    async def test_media_time_out_is_told(self, stack: AsyncExitStack) -> None:
        engine = await start(stack, media_timeout_s=0.2)
        leg = await open_leg(engine, far_end(stack))
        async with asyncio.timeout(SOON_S):
            assert await leg.lost == "media-timeout"

    async def test_figures_can_be_read_after_the_end(
        self, engine: EmbeddedEngine, stack: AsyncExitStack
    ) -> None:
        far = far_end(stack)
        leg = await open_leg(engine, far)
        far.send(leg.rtp_port)
        await hear(far, lambda _: True)
        async with asyncio.timeout(SOON_S):
            while (await leg.statistics()).packets_received == 0:
                pass
        await leg.close()
        figures = await leg.statistics()
        assert figures.codec is Codec.PCMU
        assert figures.packets_received == 1

    async def test_a_closed_leg_refuses_and_closes_again(
        self, engine: EmbeddedEngine, stack: AsyncExitStack, clip: Path
    ) -> None:
        leg = await open_leg(engine, far_end(stack))
        await leg.close()
        await leg.close()
        for attempt in (leg.start(), leg.play([clip]), leg.send_digits("1")):
            with pytest.raises(MediaRefused, match="closed"):
                await attempt

    async def test_a_clip_that_is_missing_is_refused(
        self, engine: EmbeddedEngine, stack: AsyncExitStack, clip: Path
    ) -> None:
        leg = await open_leg(engine, far_end(stack))
        with pytest.raises(MediaRefused, match="clip-unusable"):
            await leg.play([clip / "absent"])


class TestWhereMediaGoes:
    @pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "conference.example"])
    async def test_an_address_outside_the_allowed_networks_is_refused(
        self, engine: EmbeddedEngine, stack: AsyncExitStack, host: str
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        with pytest.raises(RemoteNotAllowed):
            await leg.configure(replace(settings(far_end(stack)), remote_host=host))

    async def test_one_of_our_own_ports_is_refused_for_rtp_and_for_rtcp(
        self, engine: EmbeddedEngine, stack: AsyncExitStack
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        good = settings(far_end(stack))
        for bad in (
            replace(good, remote_rtp_port=leg.rtp_port),
            replace(good, remote_rtcp_port=leg.rtp_port + 1),
        ):
            with pytest.raises(RemoteNotAllowed, match="own ports"):
                await leg.configure(bad)

    async def test_a_far_end_without_rtcp_is_taken(
        self, engine: EmbeddedEngine, stack: AsyncExitStack
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        await leg.configure(replace(settings(far_end(stack)), remote_rtcp_port=0))

    async def test_a_network_that_is_none_is_an_error_of_ours(self, engine: EmbeddedEngine) -> None:
        with pytest.raises(ValueError, match="not appear"):
            await engine.open(host=HOST, allowed=["nowhere"])


class TestPorts:
    async def test_exhaustion_is_said_and_recovery_is_immediate(
        self, engine: EmbeddedEngine
    ) -> None:
        legs = [await engine.open(host=HOST, allowed=LOOPBACK) for _ in range(4)]
        for _ in range(36):
            with pytest.raises(NoMediaPort):
                await engine.open(host=HOST, allowed=LOOPBACK)
        await legs[0].close()
        again = await engine.open(host=HOST, allowed=LOOPBACK)
        assert again.rtp_port == legs[0].rtp_port

    async def test_a_port_rests_after_its_call(self, stack: AsyncExitStack) -> None:
        engine = await start(stack, port_range=free_ports(1), quarantine_s=60.0)
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        await leg.close()
        with pytest.raises(NoMediaPort):
            await engine.open(host=HOST, allowed=LOOPBACK)

    async def test_an_address_that_is_not_ours_has_no_ports(self, engine: EmbeddedEngine) -> None:
        with pytest.raises(NoMediaPort, match="address-not-local"):
            await engine.open(host="192.0.2.1", allowed=LOOPBACK)

    async def test_opening_that_nobody_waits_for_leaves_no_leg(
        self, engine: EmbeddedEngine
    ) -> None:
        for _ in range(8):
            opening = asyncio.create_task(engine.open(host=HOST, allowed=LOOPBACK))
            await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        for _ in range(4):
            await engine.open(host=HOST, allowed=LOOPBACK)

    @pytest.mark.parametrize(
        ("ports", "workers"), [((4000, 4001), 2), ((4001, 4002), 1), ((4000, 4010), 0)]
    )
    def test_a_range_that_is_too_small_is_the_operators_to_mend(
        self, ports: tuple[int, int], workers: int
    ) -> None:
        with pytest.raises(OperatorError, match="wider range"):
            EmbeddedEngine(workers=workers, port_range=ports, quarantine_s=0, media_timeout_s=1)

    def test_each_worker_has_whole_pairs_of_its_own(self) -> None:
        shares = _shares(4001, 4020, 3)
        assert shares == [(4002, 4007), (4008, 4013), (4014, 4019)]


class TestWorkers:
    async def test_legs_are_dealt_out_and_those_to_be_bridged_sit_together(
        self, stack: AsyncExitStack
    ) -> None:
        engine = await start(stack, workers=2, port_range=free_ports(8))
        assert len(engine.worker_pids) == 2
        one = await open_leg(engine, far_end(stack))
        stranger = await open_leg(engine, far_end(stack))
        other = await open_leg(engine, far_end(stack), beside=one)
        await engine.bridge(one, other)
        with pytest.raises(MediaRefused, match="different workers"):
            await engine.bridge(one, stranger)
        await engine.unbridge(one, stranger)

    async def test_where_one_workers_ports_are_used_up_the_others_are_taken(
        self, stack: AsyncExitStack
    ) -> None:
        engine = await start(stack, workers=2, port_range=free_ports(4))
        first = await engine.open(host=HOST, allowed=LOOPBACK)
        await engine.open(host=HOST, allowed=LOOPBACK, beside=first)
        with pytest.raises(NoMediaPort):
            await engine.open(host=HOST, allowed=LOOPBACK, beside=first)
        for _ in range(2):
            await engine.open(host=HOST, allowed=LOOPBACK)

    async def test_a_leg_of_another_kind_is_refused(self, engine: EmbeddedEngine) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)

        class Stranger:
            """A leg of another engine."""

        with pytest.raises(MediaRefused, match="another engine"):
            await engine.bridge(leg, Stranger())  # type: ignore[arg-type]
        with pytest.raises(NoMediaPort):
            await engine.open(host=HOST, allowed=LOOPBACK, beside=Stranger())  # type: ignore[arg-type]

    async def test_kill_9_ends_its_own_legs_only_and_the_worker_is_replaced(
        self, stack: AsyncExitStack, clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(seat, "YOUNG_S", 0.0)
        engine = await start(stack, workers=2, port_range=free_ports(8), quarantine_s=60.0)
        fars = far_end(stack), far_end(stack)
        doomed = await open_leg(engine, fars[0])
        spared = await open_leg(engine, fars[1])
        victim, survivor = (leg.worker.pid for leg in (doomed, spared))  # type: ignore[attr-defined]
        playing = asyncio.create_task(doomed.play([clip], repeat=True))
        await hear(fars[0], lambda packet: packet.payload[0] == 0x11)
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(SOON_S):
            assert await doomed.lost == "worker-lost"
        with pytest.raises(MediaRefused, match="worker-lost"):
            await playing
        with pytest.raises(MediaRefused, match="worker-lost"):
            await doomed.configure(settings(fars[0]))
        await doomed.statistics()
        await doomed.close()
        await hear(fars[1], lambda _: True)
        assert not spared.lost.done()
        assert survivor in engine.worker_pids
        assert victim not in engine.worker_pids
        assert len(engine.worker_pids) == 2
        ports = {(await engine.open(host=HOST, allowed=LOOPBACK)).rtp_port for _ in range(6)}
        assert doomed.rtp_port not in ports

    async def test_a_worker_that_dies_young_is_replaced_after_a_respite(
        self, engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(seat, "RESPITE_S", 0.05)
        seated, sit_down = asyncio.Event(), seat.Seat._sit_down

        def watched(here: seat.Seat) -> process.WorkerProcess:
            seated.set()
            return sit_down(here)

        monkeypatch.setattr(seat.Seat, "_sit_down", watched)
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        os.kill(engine.worker_pids[0], signal.SIGKILL)
        async with asyncio.timeout(SOON_S):
            await leg.lost
            with pytest.raises(NoMediaPort, match="worker-lost"):
                await engine.open(host=HOST, allowed=LOOPBACK)
            await seated.wait()
            await engine.open(host=HOST, allowed=LOOPBACK)

    async def test_an_engine_can_end_during_the_respite(self, engine: EmbeddedEngine) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        os.kill(engine.worker_pids[0], signal.SIGKILL)
        async with asyncio.timeout(SOON_S):
            await leg.lost
        await engine.close()

    async def test_a_worker_that_does_not_turn_is_killed(
        self, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = await start(stack)
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        os.kill(engine.worker_pids[0], signal.SIGSTOP)
        monkeypatch.setattr(process, "PING_EACH_S", 0.05)
        worker = leg.worker
        worker._timer.cancel()
        worker._ping()
        async with asyncio.timeout(SOON_S):
            assert await leg.lost == "worker-lost"

    async def test_a_worker_that_answers_its_pings_lives(
        self, engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        monkeypatch.setattr(process, "PING_EACH_S", 0.02)
        leg.worker._timer.cancel()
        leg.worker._ping()
        async with asyncio.timeout(SOON_S):
            for _ in range(20):
                await leg.statistics()
        assert not leg.lost.done()

    async def test_a_worker_that_talks_nonsense_is_killed(
        self, engine: EmbeddedEngine, caplog: pytest.LogCaptureFixture
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        leg.worker._take(b"nonsense")
        async with asyncio.timeout(SOON_S):
            assert await leg.lost == "worker-lost"
        assert "does not make sense" in caplog.text

    async def test_a_worker_that_cannot_start_is_said(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process.sys, "executable", "/bin/false")  # type: ignore[attr-defined]
        with pytest.raises(OperatorError, match="does not start"):
            async with EmbeddedEngine(
                workers=2, port_range=free_ports(2), quarantine_s=0, media_timeout_s=1
            ):
                pass

    async def test_a_failed_leg_is_said_in_the_log_and_to_its_call(
        self, engine: EmbeddedEngine, caplog: pytest.LogCaptureFixture
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        leg.lose(LegLost(leg.number, "leg-failed", "ZeroDivisionError in beat"))
        leg.lose(LegLost(leg.number, "media-timeout", ""))
        assert leg.lost.result() == "leg-failed"
        assert "ZeroDivisionError in beat" in caplog.text

    async def test_digits_beyond_the_queue_are_lost(self, engine: EmbeddedEngine) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        for _ in range(DIGITS_KEPT + 10):
            leg.hear(DigitHeard(leg.number, "1", DigitSource.RFC4733))
        assert leg.digits.qsize() == DIGITS_KEPT


class TestTheLineToAWorker:
    async def test_a_worker_that_is_slow_to_read_gets_every_command_in_time(
        self, engine: EmbeddedEngine
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        os.kill(leg.worker.pid, signal.SIGSTOP)
        answers = [leg.worker.send(Ping)[1] for _ in range(3000)]
        assert leg.worker._outbox
        os.kill(leg.worker.pid, signal.SIGCONT)
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(*answers)

    async def test_a_worker_that_dies_with_commands_unread_is_written_to_no_more(
        self, engine: EmbeddedEngine
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        os.kill(leg.worker.pid, signal.SIGSTOP)
        answers = [leg.worker.send(Ping)[1] for _ in range(3000)]
        os.kill(leg.worker.pid, signal.SIGKILL)
        async with asyncio.timeout(SOON_S):
            outcomes = await asyncio.gather(*answers, return_exceptions=True)
        assert all(isinstance(outcome, MediaRefused) for outcome in outcomes)
        leg.worker.tell(Ping)  # to nobody

    async def test_a_command_that_crosses_the_death_of_its_worker_is_refused(
        self, engine: EmbeddedEngine
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        kill_and_wait(leg.worker.pid)
        with pytest.raises(MediaRefused, match="worker-lost"):
            await leg.start()

    async def test_a_command_after_the_line_was_cut_is_refused(
        self, engine: EmbeddedEngine
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        leg.worker._hang_up()  # as on the end of its socket, before we know that it has died
        with pytest.raises(MediaRefused, match="worker-lost"):
            await leg.start()

    async def test_more_reports_than_are_read_at_once_all_arrive(
        self, engine: EmbeddedEngine
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        answers = [leg.worker.send(Ping)[1] for _ in range(process.MESSAGES_AT_ONCE * 2)]
        leg.worker.tell(Ping)
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(*answers)

    async def test_what_a_worker_says_of_a_closed_leg_is_for_nobody(
        self, engine: EmbeddedEngine
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        await leg.close()
        engine._seats[0]._hear(DigitHeard(leg.number, "1", DigitSource.RFC4733))
        assert leg.digits.empty()

    async def test_a_leg_whose_worker_dies_while_it_is_opened_is_none(
        self, engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (here,) = engine._seats
        worker = here._worker
        assert worker
        take = worker._take

        def take_and_die(data: bytes) -> None:
            take(data)
            here._worker = None

        monkeypatch.setattr(worker, "_take", take_and_die)
        with pytest.raises(NoMediaPort, match="worker-lost"):
            await engine.open(host=HOST, allowed=LOOPBACK)
        here._worker = worker


class TestTheEnd:
    async def test_an_orderly_end_leaves_no_process_descriptor_or_task(self, clip: Path) -> None:
        async with AsyncExitStack() as stack:
            before = descriptors(), asyncio.all_tasks()
            engine = await start(stack, workers=2)
            pids = engine.worker_pids
            leg = await engine.open(host=HOST, allowed=LOOPBACK)
            await engine.close()
            assert (descriptors(), asyncio.all_tasks()) == before
            for pid in pids:
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)
            assert leg.lost.result() == "worker-lost"

    async def test_a_worker_that_does_not_go_is_killed(
        self, engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (pid,) = engine.worker_pids
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(process, "LEAVE_S", 0.01)
        await engine.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    async def test_a_worker_ends_when_the_service_dies(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        orphan = await asyncio.create_subprocess_exec(
            process.sys.executable,  # type: ignore[attr-defined]
            "-m",
            "dialin.media.worker",
            str(theirs.fileno()),
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        ours.close()
        async with asyncio.timeout(SOON_S):
            assert await orphan.wait() == 0

    @pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    async def test_signals_to_the_whole_group_end_no_call(
        self, engine: EmbeddedEngine, which: signal.Signals
    ) -> None:
        leg = await engine.open(host=HOST, allowed=LOOPBACK)
        os.kill(engine.worker_pids[0], which)
        await leg.statistics()
        assert not leg.lost.done()


def kill_and_wait(pid: int) -> None:
    """End a process, and leave it to be found dead."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))
