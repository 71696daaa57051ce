# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a wrong PIN may be keyed, over days of a clock that is only a number."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import dialin.budgets
from dialin.budgets import (
    EXEMPT_S,
    FIRST_LOCK_S,
    HOUR_S,
    LONGEST_LOCK_S,
    Budgets,
    Guess,
    Guesser,
    Limits,
    risk_24h,
)

ADA = Guesser("trunk", "ada")
BOB = Guesser("trunk", "bob")
WITHHELD = Guesser("trunk")


def guess_wrong(budgets: Budgets, who: Guesser, now: float, times: int = 1) -> int:
    """Guess wrong at one moment; says how many guesses were evaluated."""
    guesses = [budgets.begin(who, now) for _ in range(times)]
    evaluated = [guess for guess in guesses if guess]
    for guess in evaluated:
        guess.wrong(now)
    return len(evaluated)


def somebody(number: int) -> Guesser:
    return Guesser("trunk", f"caller {number}")


class TestOneCaller:
    def test_has_ten_wrong_pins_an_hour(self) -> None:
        budgets = Budgets()
        assert [guess_wrong(budgets, ADA, float(now)) for now in range(12)] == [1] * 10 + [0, 0]

    def test_is_no_other_caller(self) -> None:
        budgets = Budgets()
        guess_wrong(budgets, ADA, 0, 20)
        assert budgets.begin(BOB, 0)

    def test_is_one_caller_on_every_trunk(self) -> None:
        budgets = Budgets()
        guess_wrong(budgets, ADA, 0, 20)
        assert budgets.begin(Guesser("other", "ada"), 0) is None

    def test_cannot_have_more_guesses_under_way_than_are_left(self) -> None:
        budgets = Budgets()
        guesses = [budgets.begin(ADA, 0) for _ in range(12)]
        assert sum(guess is not None for guess in guesses) == 10
        last = guesses[0]
        assert last
        last.void()
        assert budgets.begin(ADA, 0)

    def test_has_them_back_after_an_hour_where_the_lock_is_over(self) -> None:
        budgets = Budgets()
        guess_wrong(budgets, ADA, 0, 10)
        assert budgets.begin(ADA, FIRST_LOCK_S + 1) is None  # ten within an hour, still
        assert budgets.begin(ADA, HOUR_S - 0.1) is None
        assert guess_wrong(budgets, ADA, HOUR_S, 12) == 10

    def test_is_locked_for_twice_as_long_from_time_to_time_up_to_a_day(self) -> None:
        budgets, now = Budgets(), 0.0
        locks: list[float] = []
        for _ in range(9):
            assert guess_wrong(budgets, ADA, now, 10) == 10
            lock_s = FIRST_LOCK_S * 2 ** len(locks)
            now += max(min(lock_s, LONGEST_LOCK_S), HOUR_S)
            assert budgets.begin(ADA, now - 0.1) is None
            locks.append(lock_s)
        assert locks[-1] > LONGEST_LOCK_S

    def test_begins_anew_a_day_after_the_last_lock(self) -> None:
        budgets = Budgets()
        for now in (0, HOUR_S, 2 * HOUR_S):  # 15, 30, 60 minutes
            guess_wrong(budgets, ADA, now, 10)
        late = 3 * HOUR_S + 86400
        assert guess_wrong(budgets, ADA, late, 10) == 10
        for one in range(3):  # the lock is 15 minutes again: a ninth wrong PIN may follow it
            assert budgets.begin(ADA, late + FIRST_LOCK_S + one) is None
        assert budgets.begin(ADA, late + HOUR_S)

    def test_keeps_lock_and_exemption_when_the_key_changes(self) -> None:
        budgets = Budgets(Limits(slow_above=0))
        guess_wrong(budgets, ADA, 0, 10)
        renamed = Guesser("trunk", "ada tomorrow", former="ada")
        assert budgets.begin(renamed, 1) is None
        assert budgets.begin(Guesser("trunk", "ada tomorrow"), 1) is None
        budgets.got_in(BOB, 0)
        assert not budgets.is_slow_for(Guesser("trunk", "bob tomorrow", former="bob"), 1)


class TestWithheldCallers:
    def test_share_a_pool_on_each_trunk(self) -> None:
        budgets = Budgets()
        assert guess_wrong(budgets, WITHHELD, 0, 40) == 30
        assert budgets.begin(Guesser("other"), 0)
        assert budgets.begin(ADA, 0)

    def test_are_not_locked_for_longer_than_their_hour(self) -> None:
        budgets = Budgets()
        for hour in range(5):
            assert guess_wrong(budgets, WITHHELD, hour * HOUR_S, 40) == 30

    def test_are_never_exempt(self) -> None:
        budgets = Budgets(Limits(slow_above=0))
        budgets.got_in(WITHHELD, 0)
        guess_wrong(budgets, ADA, 0)
        assert budgets.is_slow_for(WITHHELD, 1)


class TestSlowMode:
    def slowed(self) -> Budgets:
        budgets = Budgets()
        for number in range(121):
            assert guess_wrong(budgets, somebody(number), 0) == 1
        return budgets

    def test_begins_above_its_limit_and_ends_with_the_hour(self) -> None:
        budgets = Budgets()
        for number in range(120):
            guess_wrong(budgets, somebody(number), 0)
        assert not budgets.is_slow(0)
        guess_wrong(budgets, ADA, 1)
        assert budgets.is_slow(1)
        assert budgets.is_slow(HOUR_S - 0.1)
        assert not budgets.is_slow(HOUR_S + 1)

    def test_lets_one_guess_through_every_six_seconds(self) -> None:
        budgets = self.slowed()
        begun = [now for now in range(60) if budgets.begin(somebody(1000 + now), float(now))]
        assert begun == list(range(0, 60, 6))
        assert budgets.release_at == 60

    def test_does_not_touch_who_got_in_during_the_last_day(self) -> None:
        budgets = self.slowed()
        budgets.begin(somebody(999), 1)
        budgets.got_in(ADA, 1)
        assert budgets.begin(ADA, 1)
        assert not budgets.is_slow_for(ADA, 1 + EXEMPT_S - 1)
        guess_wrong(budgets, BOB, 1 + EXEMPT_S)
        for number in range(121):
            guess_wrong(budgets, somebody(number), 1 + EXEMPT_S)
        assert budgets.is_slow_for(ADA, 1 + EXEMPT_S)

    def test_uses_up_no_turn_for_a_caller_who_is_locked(self) -> None:
        budgets = Budgets(Limits(slow_above=5))
        guess_wrong(budgets, ADA, 0, 6)
        for now in range(6, 60, 6):
            guess_wrong(budgets, ADA, now)
        due = budgets.release_at
        assert budgets.begin(ADA, due) is None
        assert budgets.begin(BOB, due)

    def test_begins_too_when_servers_leave_many_guesses_unanswered(self) -> None:
        budgets = Budgets(Limits(slow_release=10))
        for number in range(11):
            guess = budgets.begin(somebody(number), 0)
            assert guess
            guess.unanswered(0)
        assert budgets.is_slow(0)
        assert not budgets.wrong
        assert not budgets.is_slow(HOUR_S)


class TestGuess:
    @pytest.mark.parametrize("first", ["wrong", "unanswered", "void"])
    def test_is_settled_once(self, first: str) -> None:
        budgets = Budgets()
        guess = budgets.begin(ADA, 0)
        assert guess
        settle(guess, first, 0)
        counted = len(budgets.wrong), len(budgets.unanswered)
        for again in ("wrong", "unanswered", "void"):
            settle(guess, again, 0)
        assert (len(budgets.wrong), len(budgets.unanswered)) == counted
        assert budgets.under_way == 0


def settle(guess: Guess, how: str, now: float) -> None:
    if how == "void":
        guess.void()
    elif how == "wrong":
        guess.wrong(now)
    else:
        guess.unanswered(now)


class TestMemory:
    def test_of_callers_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dialin.budgets, "MAX_GUESSERS", 100)
        budgets = Budgets()
        for number in range(1000):
            budgets.got_in(somebody(number), number)
        assert len(budgets._accounts) <= 100
        assert not budgets._is_exempt(somebody(0), 1000)
        assert budgets._is_exempt(somebody(999), 1000)

    def test_forgets_who_need_not_be_remembered(self) -> None:
        budgets = Budgets()
        for number in range(50):
            guess_wrong(budgets, somebody(number), 0)
        for number in range(50, 100):
            guess_wrong(budgets, somebody(number), 2 * 86400)
        assert len(budgets._accounts) <= 50

    def test_of_one_caller_shows_nobody(self) -> None:
        assert "ada" not in repr(Guesser("trunk", "ada", "ada yesterday"))


class TestRisk:
    @pytest.mark.parametrize(
        ("digits", "in_24_h"), [(5, 0.999), (6, 0.51), (7, 0.070), (8, 0.0072), (9, 0.00072)]
    )
    def test_is_that_of_the_formula(self, digits: int, in_24_h: float) -> None:
        limits = Limits()
        exact = 1 - (1 - 50 / 10**digits) ** (24 * limits.slow_release)
        assert exact == pytest.approx(in_24_h, rel=0.02)
        assert risk_24h({digits: 50}, limits) == pytest.approx(exact, rel=0.01)

    def test_goes_by_the_length_that_pays_most(self) -> None:
        limits = Limits()
        assert risk_24h({9: 50, 5: 1}, limits) == risk_24h({5: 1}, limits)

    def test_of_no_room_is_none_and_of_more_rooms_than_numbers_is_one(self) -> None:
        assert risk_24h({}, Limits()) == 0
        assert risk_24h({1: 10}, Limits()) == 1

    @given(st.integers(0, 10**6), st.integers(5, 11))
    def test_is_a_chance(self, rooms: int, digits: int) -> None:
        assert 0 <= risk_24h({digits: rooms}, Limits()) <= 1


SMALL = Limits(wrong_per_caller=4, wrong_withheld=6, slow_above=12, slow_release=60)
CALLERS = [*(Guesser(f"trunk {one % 2}", f"caller {one}") for one in range(8)), Guesser("trunk 0")]


class Guessing(RuleBasedStateMachine):
    """Callers guess, several at a time, and time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.budgets = Budgets(SMALL)
        self.now = 0.0
        self.under_way: list[tuple[Guesser, Guess]] = []
        self.evaluated: list[tuple[float, Guesser, bool]] = []
        self.wrong: defaultdict[Guesser, list[float]] = defaultdict(list)
        self.free_until: defaultdict[Guesser, float] = defaultdict(lambda: -1.0)
        self.locks: dict[Guesser, tuple[float, float]] = {}

    @rule(seconds=st.sampled_from([0, 0.5, 6, 59, 60, 61, 600, 900, 1800, 3599, 3600, 3601, 90000]))
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @rule(who=st.sampled_from(CALLERS))
    def somebody_keys_a_pin(self, who: Guesser) -> None:
        is_free = self.now < self.free_until[who]
        guess = self.budgets.begin(who, self.now)
        if guess is not None:
            assert self.now >= self.locks.get(who, (0, -1))[1], "evaluated though locked"
            self.under_way.append((who, guess))
            self.evaluated.append((self.now, who, is_free))

    @rule(who=st.sampled_from(CALLERS))
    def somebody_gets_in(self, who: Guesser) -> None:
        self.budgets.got_in(who, self.now)
        if who.identity:
            self.free_until[who] = self.now + EXEMPT_S

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), how=st.sampled_from(["wrong", "wrong", "wrong", "unanswered", "void"]))
    def a_guess_is_settled(self, data: Any, how: str) -> None:
        who, guess = self.under_way.pop(
            data.draw(st.integers(0, len(self.under_way) - 1), label="which")
        )
        settle(guess, how, self.now)
        if how == "wrong":
            self.wrong[who].append(self.now)
            self.note_a_lock(who)

    def note_a_lock(self, who: Guesser) -> None:
        recent = [at for at in self.wrong[who] if at > self.now - HOUR_S]
        if who.identity and len(recent) >= SMALL.wrong_per_caller:
            before_s, until = self.locks.get(who, (0.0, -1e9))
            is_again = self.now < until + 86400
            lock_s = min(2 * before_s, LONGEST_LOCK_S) if is_again else FIRST_LOCK_S
            self.locks[who] = (lock_s, self.now + lock_s)

    @invariant()
    def nobody_is_wrong_more_often_than_allowed(self) -> None:
        for who, times in self.wrong.items():
            limit = SMALL.wrong_per_caller if who.identity else SMALL.wrong_withheld
            assert all(
                later - earlier >= HOUR_S
                for earlier, later in zip(times, times[limit:], strict=False)
            )

    @invariant()
    def no_more_is_evaluated_in_an_hour_than_the_budget(self) -> None:
        times = [at for at, _, is_free in self.evaluated if not is_free]
        # Below slow mode: what may be wrong and what may be unanswered; in it: what is released.
        most = SMALL.slow_above + 1 + SMALL.slow_release + 1 + SMALL.slow_release + 1
        assert sum(at > self.now - HOUR_S for at in times) <= most + self.rights()

    def rights(self) -> int:
        """Guesses that hit are no matter of the budget; the bound leaves them out."""
        settled = len(self.evaluated) - len(self.under_way)
        return settled - sum(map(len, self.wrong.values()))

    @invariant()
    def what_is_under_way_is_counted(self) -> None:
        assert self.budgets.under_way == len(self.under_way)


Guessing.TestCase.settings = settings(
    stateful_step_count=60, suppress_health_check=[HealthCheck.too_slow], deadline=None
)
TestGuessing = Guessing.TestCase
