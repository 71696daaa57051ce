# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's loop: whose turn it is, what one poisoned leg does to others, and how it ends."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dialin.media.leg import Leg
from dialin.media.messages import (
    Begin,
    Cause,
    CloseLeg,
    Count,
    Counted,
    Done,
    Failed,
    LegLost,
    Opened,
    OpenLeg,
    Ping,
    Play,
    SetAside,
    UnreadableMessage,
    encode,
)
from dialin.media.ports import PortPool
from dialin.media.relay import Relay
from dialin.media.sender import Sender
from dialin.media.worker import MAX_UNREAD, PACE_S, Worker, main
from tests.media.world import FRAME_S, HOST, World, free_ports


def is_free(port: int) -> bool:
    """Whether nobody has bound a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


class TestPoison:
    """A bug in what the worker does for one leg."""

    def test_a_poisoned_packet_ends_its_leg_and_no_other_loses_a_frame(
        self, worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = worlds(ports=free_ports(4), quarantine_s=30.0)
        poisoned, one, other = world.leg(), world.leg(), world.leg()
        world.join(one, other)
        receiver = world.leg_of(poisoned).receiver

        def fail(packet: memoryview, now: float) -> None:
            raise ZeroDivisionError(bytes(packet))

        monkeypatch.setattr(receiver, "hear", fail)
        other.far.heard()
        for index in range(50):
            one.send(bytes([index]) * 160)
            if index == 10:
                poisoned.far.send(poisoned.port, b"secret")
            world.advance(FRAME_S)
        assert [p.payload[0] for p in other.far.heard(at_least=50)] == list(range(50))
        (loss,) = world.reports
        assert isinstance(loss, LegLost)
        assert (loss.leg, loss.cause) == (poisoned.number, "leg-failed")
        assert "ZeroDivisionError in fail" in loss.detail
        assert "secret" not in loss.detail
        answer = world.ask(lambda request: Count(request, poisoned.number), Failed)
        assert answer.cause is Cause.NO_SUCH_LEG

    def test_a_poisoned_beat_ends_its_leg_and_rests_its_ports(
        self, worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = worlds(ports=free_ports(2), quarantine_s=30.0)
        poisoned, healthy = world.leg(), world.leg()

        def fail(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(world.leg_of(poisoned).sender.stream, "transmit", fail)
        healthy.far.heard()
        world.advance(1)
        assert len(healthy.far.heard(at_least=50)) == 50
        assert [r.leg for r in world.reports if isinstance(r, LegLost)] == [poisoned.number]
        refused = world.ask(lambda request: OpenLeg(request, 99, HOST), Failed)
        assert refused.cause is Cause.NO_PORTS
        world.advance(30, step_s=1)
        world.ask(lambda request: OpenLeg(request, 99, HOST), Opened)

    def test_a_poisoned_command_ends_its_leg_and_is_answered(
        self, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        poisoned, partner = world.leg(), world.leg()
        world.join(poisoned, partner)
        (tmp_path / "clip").write_bytes(bytes(1600))

        def fail(self: Sender, programme: object, on_end: object, now: float) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Sender, "begin", fail)
        clips = (str(tmp_path / "clip"),)
        request = world.order(lambda number: Play(number, poisoned.number, clips, False))
        assert world.answers[request] == Failed(request, Cause.LEG_FAILED)
        partner.far.heard()
        world.advance(0.2)
        assert len(partner.far.heard(at_least=10)) == 10

    def test_a_leg_that_fails_before_it_is_one_harms_nobody(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        healthy = world.leg()

        def fail(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as poisoned:
            poisoned.setattr(Leg, "__init__", fail)
            answer = world.ask(lambda request: OpenLeg(request, 99, HOST), Failed)
        assert answer.cause is Cause.LEG_FAILED
        assert healthy.statistics().packets_sent > 0

    def test_what_a_poisoned_leg_was_playing_is_done(
        self, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        leg = world.leg()
        (tmp_path / "clip").write_bytes(bytes(16000))
        clips = (str(tmp_path / "clip"),)
        request = world.order(lambda number: Play(number, leg.number, clips, False))

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(world.leg_of(leg).sender.stream, "transmit", fail)
        world.advance(0.1)
        assert world.answers[request] == Done(request)

    def test_a_leg_whose_end_is_poisoned_too_is_dropped_all_the_same(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leg, partner = world.leg(), world.leg()
        world.join(leg, partner)

        def fail(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Relay, "forward", fail)
        monkeypatch.setattr(world.leg_of(leg), "part", fail)
        leg.send()
        assert [report.cause for report in world.reports if isinstance(report, LegLost)] == [
            "leg-failed"
        ]

    def test_a_command_that_fails_for_no_leg_ends_the_worker(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(PortPool, "set_aside", fail)
        with pytest.raises(ZeroDivisionError):
            world.order(lambda request: SetAside(request, HOST, 1))


class TestControl:
    def test_a_ping_is_answered(self, world: World) -> None:
        world.ask(Ping)

    @pytest.mark.parametrize("data", [b"nonsense", encode(Done(1))])
    def test_what_is_no_command_ends_the_worker(self, world: World, data: bytes) -> None:
        world.service.send(data)
        with pytest.raises(UnreadableMessage):
            world.take()

    def test_a_command_before_begin_ends_the_worker(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        worker = Worker(theirs)
        with ours:
            ours.send(encode(Ping(1)))
            with pytest.raises(UnreadableMessage):
                worker.turn(1)
        worker.close()

    def test_a_second_begin_ends_the_worker(self, world: World) -> None:
        with pytest.raises(TypeError, match="not a command"):
            world.order(lambda request: Begin(request, 1, 2, 0.0, 30.0, "sdp"))

    def test_a_predecessors_ports_are_set_aside(self, worlds: Callable[..., World]) -> None:
        world = worlds(ports=free_ports(1), quarantine_s=30.0)
        world.ask(lambda request: SetAside(request, HOST, world.ports[0]))
        answer = world.ask(lambda request: OpenLeg(request, 1, HOST), Failed)
        assert answer.cause is Cause.NO_PORTS

    def test_a_service_that_is_slow_to_read_gets_everything_later(self, world: World) -> None:
        leg = world.leg()
        world.reports.clear()
        for _ in range(5000):
            world.worker.tell(LegLost(leg.number, "media-timeout", "x" * 100))
        world.worker.turn(0)
        assert world.worker._outbox  # the socket is full
        for _ in range(100):
            world.advance(0.01, step_s=0.01)
        assert len(world.reports) == 5000

    def test_a_service_that_never_reads_is_given_up(self, world: World) -> None:
        world.leg()
        for _ in range(MAX_UNREAD + 5000):
            world.worker.tell(LegLost(1, "media-timeout", "x" * 100))
        world.worker.turn(0)
        assert world.worker.is_over

    def test_a_service_that_goes_while_it_is_told_something_is_given_up(self, world: World) -> None:
        world.leg()
        world.service.close()
        world.worker.tell(LegLost(1, "media-timeout", ""))
        world.worker.turn(0)
        assert world.worker.is_over

    def test_more_commands_than_one_turn_takes_are_taken_in_the_next(self, world: World) -> None:
        for request in range(5000, 5100):
            world.service.send(encode(Ping(request)))
        world.take()
        world.take()
        assert set(range(5000, 5100)) <= set(world.answers)


class TestTurns:
    def test_one_packet_of_each_leg_a_turn_so_that_floods_wait(self, world: World) -> None:
        flooded, quiet = world.leg(), world.leg()
        for _ in range(10):
            flooded.far.send(flooded.port)
        quiet.far.send(quiet.port)
        world.take()
        assert flooded.statistics().packets_received <= 3  # a turn, and one for each question
        assert quiet.statistics().packets_received == 1
        for _ in range(10):
            world.turn()
        assert flooded.statistics().packets_received == 10

    def test_the_worker_wakes_once_in_its_pace_while_there_are_legs(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        now, pauses = [100.0], list[float]()

        def pause(seconds: float) -> None:
            """There is always something to do, but the worker waits for its time."""
            now[0] += seconds
            pauses.append(round(seconds, 6))
            if len(pauses) < 50:
                ours.send(encode(Ping(1)))
            else:
                ours.close()

        worker = Worker(theirs, clock=lambda: now[0], pause=pause)
        ours.send(encode(Begin(1, *free_ports(1), 0.0, 30.0, "sdp")))
        ours.send(encode(OpenLeg(2, 1, HOST)))
        worker.run()
        assert set(pauses) == {PACE_S}

    def test_the_worker_never_pauses_while_there_is_no_leg(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pauses: list[float] = []
        worker = Worker(theirs, pause=pauses.append)
        ours.send(encode(Begin(1, *free_ports(1), 0.0, 30.0, "sdp")))
        ours.shutdown(socket.SHUT_WR)
        worker.run()
        ours.close()
        assert pauses == []

    def test_a_leg_given_up_during_a_turn_is_not_served_in_it(self, world: World) -> None:
        leg = world.leg()
        world.service.send(encode(CloseLeg(7777, leg.number)))
        leg.far.send(leg.port)
        world.take()
        assert isinstance(world.answers[7777], Counted)

    def test_ports_are_given_up_when_their_quarantine_is_over(
        self, worlds: Callable[..., World]
    ) -> None:
        world = worlds(quarantine_s=5.0)
        leg = world.leg()
        world.ask(lambda request: CloseLeg(request, leg.number), Counted)
        assert not is_free(leg.port)
        world.advance(6, step_s=0.5)
        assert is_free(leg.port)


class TestEnd:
    def test_a_closed_leg_leaves_nothing_behind_although_no_collector_runs(
        self, world: World, tmp_path: Path
    ) -> None:
        (tmp_path / "clip").write_bytes(bytes(16000))
        gc.collect()
        gc.disable()
        try:
            leg, other = world.leg(), world.leg()
            world.join(leg, other)
            for _ in range(20):
                leg.send()
                other.send()
            clips = (str(tmp_path / "clip"),)
            world.order(lambda request: Play(request, leg.number, clips, True))
            world.advance(6)
            remains: list[weakref.ref[object]] = []
            remains += [weakref.ref(world.leg_of(each)) for each in (leg, other)]
            remains += [weakref.ref(world.leg_of(each).receiver) for each in (leg, other)]
            for number in (leg.number, other.number):
                world.ask(partial(CloseLeg, leg=number), Counted)
            world.advance(6)
            assert [remnant() for remnant in remains] == [None] * 4
        finally:
            gc.enable()

    def test_the_end_of_the_service_ends_the_worker_and_closes_every_descriptor(self) -> None:
        before = set(os.listdir("/proc/self/fd"))
        world = World(quarantine_s=30.0)
        leg = world.leg()
        world.leg()
        world.ask(lambda request: CloseLeg(request, leg.number), Counted)
        world.close()
        assert set(os.listdir("/proc/self/fd")) == before

    def test_main_works_until_the_service_goes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ignored: list[object] = []
        limits: list[tuple[int, int]] = []
        monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
        frozen: list[str] = []
        monkeypatch.setattr(signal, "signal", lambda which, _: ignored.append(which))
        monkeypatch.setattr(gc, "freeze", partial(frozen.append, "freeze"))
        monkeypatch.setattr(gc, "disable", partial(frozen.append, "disable"))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.send(encode(Begin(1, *free_ports(1), 0.0, 30.0, "sdp")))
        ours.shutdown(socket.SHUT_WR)
        main(theirs.detach())
        assert ours.recv(100) == encode(Done(1))
        ours.close()
        assert frozen == ["freeze", "disable"]
        assert len(ignored) == 3
        ((soft, hard),) = limits
        assert soft == hard
