# SPDX-License-Identifier: GPL-3.0-or-later
"""Alarms: the earliest deadline of many owners."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.alarms import Alarms


@dataclass(eq=False)
class Sleeper:
    """Somebody who notes when he is woken."""

    woken_at: list[float] = field(default_factory=list)

    def alarm(self, now: float) -> None:
        """Note it."""
        self.woken_at.append(now)


def wake(alarms: Alarms, now: float) -> list[Sleeper]:
    """Wake all whose moment has come."""
    woken = []
    for owner in alarms.due(now):
        owner.alarm(now)
        assert isinstance(owner, Sleeper)
        woken.append(owner)
    return woken


def test_nobody_waits() -> None:
    assert Alarms().next() is None
    assert wake(Alarms(), 9.0) == []


def test_the_earliest_comes_first_and_only_once() -> None:
    alarms, late, early = Alarms(), Sleeper(), Sleeper()
    alarms.set(late, 5.0)
    alarms.set(early, 2.0)
    assert alarms.next() == 2.0
    assert wake(alarms, 1.9) == []
    assert wake(alarms, 5.0) == [early, late]
    assert alarms.next() is None
    assert len(alarms) == 0


def test_a_new_moment_replaces_the_old_one() -> None:
    alarms, sleeper = Alarms(), Sleeper()
    alarms.set(sleeper, 2.0)
    alarms.set(sleeper, 4.0)
    assert alarms.next() == 4.0
    assert wake(alarms, 3.0) == []
    assert wake(alarms, 4.0) == [sleeper]


def test_a_cleared_alarm_stays_silent() -> None:
    alarms, sleeper = Alarms(), Sleeper()
    alarms.set(sleeper, 2.0)
    alarms.clear(sleeper)
    alarms.clear(sleeper)
    assert alarms.next() is None


def test_an_owner_may_set_its_next_alarm_while_it_is_woken() -> None:
    alarms, sleeper = Alarms(), Sleeper()
    alarms.set(sleeper, 1.0)
    for owner in alarms.due(1.0):
        alarms.set(owner, 2.0)
    assert alarms.next() == 2.0


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 20))))
def test_each_owner_is_woken_at_its_last_wish(wishes: list[tuple[int, int | None]]) -> None:
    alarms = Alarms()
    sleepers = [Sleeper() for _ in range(4)]
    last: dict[int, int | None] = {}
    for number, at in wishes:
        last[number] = at
        if at is None:
            alarms.clear(sleepers[number])
        else:
            alarms.set(sleepers[number], at)
    for now in range(21):
        wake(alarms, now)
    for number, sleeper in enumerate(sleepers):
        at = last.get(number)
        assert sleeper.woken_at == ([] if at is None else [at])
