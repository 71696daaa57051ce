# SPDX-License-Identifier: GPL-3.0-or-later
"""How often somebody may do something."""

from __future__ import annotations

from dialin.web.limits import Limit


class Clock:
    """Time that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_after_so_many_times_one_waits_and_time_gives_tries_back() -> None:
    clock = Clock()
    limit = Limit(3, 60, clock=clock)
    for _ in range(3):
        assert limit.wait_s("a") == 0
        limit.use("a")
    assert limit.wait_s("a") == 20
    assert limit.wait_s("b") == 0
    clock.now += 19
    assert limit.wait_s("a") == 1
    clock.now += 1
    assert limit.wait_s("a") == 0


def test_no_more_tries_are_saved_up_than_a_period_has() -> None:
    clock = Clock()
    limit = Limit(2, 1, clock=clock)
    limit.use("a")
    clock.now += 3600
    for _ in range(2):
        limit.use("a")
    assert limit.wait_s("a") == 1


def test_the_table_forgets_who_was_quiet_for_longest() -> None:
    clock = Clock()
    limit = Limit(1, 60, keys=2, clock=clock)
    for key in ("a", "b", "a", "c"):
        limit.use(key)
    assert limit.wait_s("b") == 0
    assert limit.wait_s("a") > 60
    assert limit.wait_s("c") == 60
