# SPDX-License-Identifier: GPL-3.0-or-later
"""Two agents and a network between them that loses, doubles and reorders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TypeGuard

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.agent import UserAgent
from dialin.wire.agent_core import Output
from dialin.wire.agent_events import (
    Acknowledged,
    Answered,
    Ended,
    Event,
    IncomingCall,
    LocalAddress,
    Reoffer,
    Reply,
)
from dialin.wire.flow import Flow
from dialin.wire.invite_client import Invitation
from dialin.wire.message import parse
from dialin.wire.session_expires import Timekeeping
from dialin.wire.transaction import Send
from tests.wire.peers import ANSWER, OFFER

CALLER, CALLED = "192.0.2.1", "192.0.2.2"
TALK_S = 40.0


@dataclass
class Side:
    """One agent, and how it behaves."""

    host: str
    agent: UserAgent
    events: list[Event | Reply] = field(default_factory=list)

    @property
    def local(self) -> LocalAddress:
        """Its only address."""
        return LocalAddress("UDP", self.host, 5060)

    def told(self, kind: type[Event]) -> int:
        """How often it was told this."""
        return sum(isinstance(event, kind) for event in self.events)

    def incoming(self) -> list[str]:
        """The legs of the calls that came to it."""
        return [event.leg for event in self.events if isinstance(event, IncomingCall)]


class Network:
    """Carries octets between two agents, in virtual time."""

    def __init__(
        self, fate: Callable[[], tuple[float, ...]], *, timekeeping: Timekeeping | None = None
    ) -> None:
        """`fate` gives the delays of a datagram's copies; none at all when it is lost.

        `timekeeping` is how the called side wants its sessions refreshed.
        """
        tokens = count(1)
        self.now = 0.0
        self.fate = fate
        self._timekeeping = timekeeping or Timekeeping()
        self._order = count()
        self._under_way: list[tuple[float, int, str, str, bytes]] = []
        self.sides = {
            host: Side(host, UserAgent(token=lambda bits: f"{next(tokens):0{bits // 4}x}"))
            for host in (CALLER, CALLED)
        }

    def carry_out(self, side: Side, outputs: list[Output]) -> None:
        """Send and react."""
        for output in outputs:
            if isinstance(output, Send):
                for delay in self.fate():
                    data = bytes(output.message)
                    at = self.now + delay
                    to = output.flow.host
                    heappush(self._under_way, (at, next(self._order), side.host, to, data))
            else:
                side.events.append(output)
                self._react(side, output)

    def _react(self, side: Side, event: Event | Reply) -> None:
        agent = side.agent
        if isinstance(event, IncomingCall):
            self.carry_out(side, agent.provisional(event.leg, 180, None, self.now))
            self.carry_out(
                side, agent.accept(event.leg, ANSWER, self.now, timekeeping=self._timekeeping)
            )
        elif isinstance(event, Reoffer):
            self.carry_out(side, agent.answer_reoffer(event.leg, ANSWER, self.now))

    def run(self, until: float) -> None:
        """Let time pass."""
        while (at := self._next()) is not None and at <= until:
            self.now = max(self.now, at)
            if self._under_way and self._under_way[0][0] <= self.now:
                _, _, source, to, data = heappop(self._under_way)
                side = self.sides[to]
                outputs = side.agent.receive(
                    parse(data), Flow("UDP", source, 5060), side.local, self.now
                )
                self.carry_out(side, outputs)
            for side in self.sides.values():
                self.carry_out(side, side.agent.fire(self.now))
        self.now = until

    def _next(self) -> float | None:
        deadlines = [side.agent.next_deadline() for side in self.sides.values()]
        deadlines += [entry[0] for entry in self._under_way[:1]]
        return min((at for at in deadlines if at is not None), default=None)

    def call(self) -> str:
        """The caller calls; returns its leg."""
        caller = self.sides[CALLER]
        invitation = Invitation(f"sip:12345@{CALLED}", "x", "7", OFFER)
        leg, outputs = caller.agent.invite(
            invitation, Flow("UDP", CALLED, 5060), caller.local, self.now
        )
        self.carry_out(caller, outputs)
        return leg

    def hang_up(self, host: str, leg: str) -> None:
        """One side hangs up."""
        side = self.sides[host]
        self.carry_out(side, side.agent.hang_up(leg, self.now))

    def is_empty(self) -> bool:
        """Whether nothing is left anywhere."""
        return not self._under_way and all(
            (side.agent.legs, side.agent.transactions, side.agent.next_deadline()) == (0, 0, None)
            for side in self.sides.values()
        )


def is_end(event: Event | Reply) -> TypeGuard[Ended]:
    """Whether a leg has ended."""
    return isinstance(event, Ended)


def lossy(random: Random, loss: float) -> Callable[[], tuple[float, ...]]:
    """A network of 20 to 80 ms that loses, and doubles every tenth datagram."""

    def fate() -> tuple[float, ...]:
        copies = 2 if random.random() < 0.1 else 1
        return tuple(random.uniform(0.02, 0.08) for _ in range(copies) if random.random() >= loss)

    return fate


@pytest.mark.parametrize(("loss", "set_up_at_least"), [(0.1, 0.999), (0.3, 0.995)])
def test_a_thousand_calls_over_a_network_that_loses(loss: float, set_up_at_least: float) -> None:
    random = Random(4475)  # noqa: S311 - a network, and the same one each time
    set_up = 0
    calls = 1000
    for _ in range(calls):
        network = Network(lossy(random, loss))
        leg = network.call()
        network.run(TALK_S)
        caller, called = network.sides[CALLER], network.sides[CALLED]
        assert called.told(IncomingCall) <= 1
        if caller.told(Answered) and called.told(Acknowledged) and not called.told(Ended):
            set_up += 1
        rung = called.incoming()
        if rung and random.random() < 0.5:
            network.hang_up(CALLED, rung[0])
        else:
            network.hang_up(CALLER, leg)
        network.run(400.0)
        assert network.is_empty()
        assert caller.told(Ended) == 1
        assert called.told(Ended) == called.told(IncomingCall)
    assert set_up / calls >= set_up_at_least


def test_timed_sessions_outlive_losses_and_no_silence() -> None:
    random = Random(4028)  # noqa: S311 - a network, and the same one each time
    for _ in range(100):
        network = Network(lossy(random, 0.1), timekeeping=Timekeeping(asks_s=120))
        network.call()
        network.run(3600.0)
        sides = network.sides.values()
        assert [side.told(Ended) for side in sides] == [0, 0]
        network.fate = lambda: ()
        network.run(3600.0 + 120.0)
        ends = [event.end.cause for side in sides for event in side.events if is_end(event)]
        assert ends == ["session-expired"] * 2
        network.run(4000.0)
        assert network.is_empty()


@given(
    fates=st.lists(st.lists(st.floats(0.0, 40.0), max_size=2).map(tuple), max_size=40),
    hang_up_at=st.floats(0.0, 60.0),
)
def test_whatever_the_network_does_both_sides_end_and_nothing_is_left(
    fates: list[tuple[float, ...]], hang_up_at: float
) -> None:
    script = iter(fates)
    network = Network(lambda: next(script, (0.01,)))
    leg = network.call()
    network.run(hang_up_at)
    network.hang_up(CALLER, leg)
    network.run(1000.0)
    for rung in network.sides[CALLED].incoming():
        network.hang_up(CALLED, rung)
    network.run(2000.0)
    assert network.is_empty()
    assert network.sides[CALLER].told(Ended) == 1
    called = network.sides[CALLED]
    assert called.told(Ended) == called.told(IncomingCall)
