# SPDX-License-Identifier: GPL-3.0-or-later
"""How many wrong PINs there may be, of one caller and of all: pure, the time is an argument.

A caller has ten wrong PINs an hour, and then a lock that doubles from time to time. Callers who
withhold their numbers share a pool for each trunk. Nobody can lock everybody out: when there are
many wrong PINs in all, guesses are slowed down and let through one after the other at a fixed rate,
and who got into a room not long ago is not slowed down at all. So what a day of guessing can reach
is known beforehand, however many lines and forged numbers somebody has: `risk_24h`.

Who a caller is comes in as keyed text, never as a number (`caller`). What a guess means, and the
queue that guesses wait in, is left to `pin`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

HOUR_S = 3600.0
FIRST_LOCK_S = 900.0
LONGEST_LOCK_S = 86400.0
EXEMPT_S = 86400.0
"""Who got in is not slowed down for so long."""
LEARNT_S = 86400.0
"""So long after a lock the next one is twice as long; then it is forgotten."""
MAX_GUESSERS = 50_000
"""Far more than guess in a day at the rate that slow mode allows; beyond it the oldest go."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed, from the settings."""

    wrong_per_caller: int = 10
    """Wrong PINs of one caller in an hour."""
    wrong_withheld: int = 30
    """Wrong PINs in an hour of all callers without a number, on one trunk."""
    slow_above: int = 120
    """Wrong PINs of all callers in an hour, beyond which guesses are slowed down."""
    slow_release: int = 600
    """Guesses that are let through in an hour while they are slowed down."""

    @property
    def guesses_a_day(self) -> int:
        """What can be tried in 24 hours, whoever tries."""
        return self.slow_above + 24 * self.slow_release


def risk_24h(rooms: Mapping[int, int], limits: Limits) -> float:
    """The chance that somebody who guesses for a day without a pause finds a room.

    `rooms` has the number of rooms by the length of their PINs. Whoever guesses takes the length
    that pays most, so that one counts.
    """
    chance = max((count / 10.0**digits for digits, count in rooms.items()), default=0.0)
    if chance >= 1:
        return 1.0
    return -math.expm1(limits.guesses_a_day * math.log1p(-chance))


@dataclass(frozen=True, slots=True)
class Guesser:
    """Who guesses: a caller by a keyed identity, or all without a number on a trunk."""

    trunk: str
    """The trunk's name in the settings."""
    identity: str | None = field(default=None, repr=False)
    """Under today's key; None if the number is withheld."""
    former: str | None = field(default=None, repr=False)
    """Under yesterday's key, so that nothing is forgotten when the key changes."""


@dataclass(slots=True)
class _Account:
    """What is known of one guesser."""

    limit: int
    has_locks: bool
    wrong: deque[float] = field(default_factory=deque)
    under_way: int = 0
    locked_until: float = -math.inf
    lock_s: float = 0.0
    got_in_at: float = -math.inf

    def is_locked(self, now: float) -> bool:
        _forget(self.wrong, now)
        return now < self.locked_until or len(self.wrong) + self.under_way >= self.limit

    def was_wrong(self, now: float) -> None:
        self.wrong.append(now)
        _forget(self.wrong, now)
        if self.has_locks and len(self.wrong) >= self.limit:
            is_again = now < self.locked_until + LEARNT_S
            self.lock_s = min(2 * self.lock_s, LONGEST_LOCK_S) if is_again else FIRST_LOCK_S
            self.locked_until = now + self.lock_s

    def is_stale(self, now: float) -> bool:
        """Whether forgetting it changes nothing."""
        _forget(self.wrong, now)
        is_idle = not self.wrong and not self.under_way
        return is_idle and now > max(self.locked_until + LEARNT_S, self.got_in_at + EXEMPT_S)


class Guess:
    """A guess that may be evaluated; settle it once. Left unsettled, it counts as wrong."""

    def __init__(self, budgets: Budgets, account: _Account) -> None:
        self._budgets = budgets
        self._account = account
        self._is_settled = False

    def wrong(self, now: float) -> None:
        """It named no room."""
        if self._settle():
            self._account.was_wrong(now)
            self._budgets.wrong.append(now)

    def unanswered(self, now: float) -> None:
        """It named no room of those servers that answered. No fault of the caller, but it has
        been evaluated, and a server that is down must not make guessing free."""
        if self._settle():
            self._budgets.unanswered.append(now)

    def void(self) -> None:
        """It named a room, or had been counted before."""
        self._settle()

    def _settle(self) -> bool:
        if self._is_settled:
            return False
        self._is_settled = True
        self._account.under_way -= 1
        self._budgets.under_way -= 1
        return True


class Budgets:
    """All that is known of who guessed and how often."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self.limits = limits
        """What is allowed."""
        self.wrong: deque[float] = deque()
        """When there were wrong PINs, for an hour."""
        self.unanswered: deque[float] = deque()
        """When guesses could not be answered in full, for an hour."""
        self.under_way = 0
        """Guesses that are being evaluated."""
        self.release_at = -math.inf
        """When slow mode lets the next guess through."""
        self._accounts: dict[tuple[str, str | None], _Account] = {}

    def is_slow(self, now: float) -> bool:
        """Whether there have been so many wrong PINs that guesses are slowed down."""
        _forget(self.wrong, now)
        _forget(self.unanswered, now)
        limits = self.limits
        is_guessed = len(self.wrong) + self.under_way > limits.slow_above
        return is_guessed or len(self.unanswered) > limits.slow_release

    def is_slow_for(self, guesser: Guesser, now: float) -> bool:
        """Whether this one is slowed down."""
        return self.is_slow(now) and not self._is_exempt(guesser, now)

    def begin(self, guesser: Guesser, now: float) -> Guess | None:
        """Leave to evaluate one guess; None if it must not be, and the answer is as if wrong.

        While guesses are slowed down, ask for it at `release_at` or later.
        """
        account = self._account(guesser, now)
        if account.is_locked(now):
            return None
        if self.is_slow_for(guesser, now):
            if now < self.release_at:
                return None
            self.release_at = now + HOUR_S / self.limits.slow_release
        account.under_way += 1
        self.under_way += 1
        return Guess(self, account)

    def got_in(self, guesser: Guesser, now: float) -> None:
        """This caller has been let into a room."""
        if guesser.identity is not None:
            self._account(guesser, now).got_in_at = now

    def _is_exempt(self, guesser: Guesser, now: float) -> bool:
        account = self._known(guesser)
        return account is not None and now < account.got_in_at + EXEMPT_S

    def _known(self, guesser: Guesser) -> _Account | None:
        """The account under today's key; one under yesterday's moves there."""
        key = _key(guesser)
        if guesser.former is not None and key not in self._accounts:
            former = self._accounts.pop(("", guesser.former), None)
            if former is not None:
                self._accounts[key] = former
        return self._accounts.get(key)

    def _account(self, guesser: Guesser, now: float) -> _Account:
        key, known = _key(guesser), self._known(guesser)
        if known is None:
            is_withheld, limits = guesser.identity is None, self.limits
            limit = limits.wrong_withheld if is_withheld else limits.wrong_per_caller
            known = _Account(limit, has_locks=not is_withheld)
        # The one that was used last stands at the end, and is not there while others are tidied.
        self._accounts.pop(key, None)
        self._tidy(now)
        self._accounts[key] = known
        return known

    def _tidy(self, now: float) -> None:
        """Forget who need not be remembered: two may go for each one that comes."""
        for key in tuple(islice(self._accounts, 2)):
            if self._accounts[key].is_stale(now) or len(self._accounts) >= MAX_GUESSERS:
                del self._accounts[key]


def _key(guesser: Guesser) -> tuple[str, str | None]:
    # A caller is one and the same on every trunk.
    return (guesser.trunk, None) if guesser.identity is None else ("", guesser.identity)


def _forget(times: deque[float], now: float) -> None:
    while times and times[0] <= now - HOUR_S:
        times.popleft()
