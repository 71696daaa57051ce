# SPDX-License-Identifier: GPL-3.0-or-later
"""What all four transaction machines share: states, outputs, and the two waits a state can have.

Every timer of RFC 3261 and RFC 6026 is one of two kinds. Either it repeats a message while nothing
is heard (A, E, G), or it ends the state (B, D, F, H, I, J, K, L, M). So a transaction has two
waits, and the machines say which lengths they have in which state. What messages do to a state is
left to `client_transaction` and `server_transaction`, the table of transactions to `transaction`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar

from dialin.wire.flow import Flow
from dialin.wire.message import Message
from dialin.wire.timers import Timers
from dialin.wire.transaction_key import TransactionKey


@dataclass(frozen=True, slots=True)
class Send:
    """Put this on the wire."""

    message: Message
    """What to send."""
    flow: Flow
    """Where to."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """The core shall look at this. Each request comes once, however often it was sent."""

    message: Message
    """What came. PEER-CONTROLLED, less `received` and `rport` in the topmost Via of a request."""
    flow: Flow
    """Where it came from."""
    key: TransactionKey | None
    """Its transaction; None for the ACK to a 2xx, which has none."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The transaction failed: nothing more was heard, or its transport broke. Finished follows."""

    key: TransactionKey
    """Which one."""
    status: int = 408
    """The response that the core takes it for: 408, or 503 for the transport (§8.1.3.1)."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The transaction is gone. The last output of each."""

    key: TransactionKey
    """Which one."""


Output = Send | Deliver | TimedOut | Finished


class State(Enum):
    """The states of RFC 3261 figures 5 to 8 and of RFC 6026."""

    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


class ResponseClass(Enum):
    """What a status means to a transaction."""

    PROVISIONAL = auto()
    SUCCESS = auto()
    FAILURE = auto()

    @classmethod
    def of(cls, status: int) -> ResponseClass:
        """1xx, 2xx, or 3xx to 6xx."""
        if status < 200:
            return cls.PROVISIONAL
        return cls.SUCCESS if status < 300 else cls.FAILURE


@dataclass(frozen=True, slots=True)
class Waits:
    """What a state waits for, counted from when it is entered. None waits for ever."""

    repeat_s: float | None = None
    """Until the first repeat; each later one takes twice as long, up to `repeat_cap_s`."""
    repeat_cap_s: float = float("inf")
    """The longest pause between repeats."""
    end_s: float | None = None
    """Until the state ends by itself; 0 ends it at once, as reliable transports allow."""


class Transaction(ABC):
    """One transaction: its state and its waits. What to do about either is the subclasses'."""

    __slots__ = (
        "_end_at",
        "_pause_s",
        "_repeat_at",
        "_repeat_cap_s",
        "_timers",
        "flow",
        "key",
        "state",
    )

    first_state: ClassVar[State]
    """Where the machine begins."""
    failing_states: ClassVar[frozenset[State]]
    """Where the end of the wait means that the other side is not there."""

    _end_at: float | None
    _repeat_at: float | None
    _repeat_cap_s: float
    _pause_s: float
    """How long the wait for the latest repeat was."""

    def __init__(self, key: TransactionKey, flow: Flow, timers: Timers, now: float) -> None:
        self.key = key
        """Its name."""
        self.flow = flow
        """Where it sends to."""
        self._timers = timers
        self._set_state(self.first_state, now)

    @property
    def deadline(self) -> float | None:
        """When `fire` is due; None for never."""
        return min((at for at in (self._repeat_at, self._end_at) if at is not None), default=None)

    def fire(self, now: float) -> list[Output]:
        """Do what is due. A late call does it once, however many repeats were missed."""
        if self._end_at is not None and self._end_at <= now:
            has_failed = self.state in self.failing_states
            self._set_state(State.TERMINATED, now)
            return [TimedOut(self.key)] if has_failed else []
        if self._repeat_at is not None and self._repeat_at <= now:
            self._pause_s = min(2 * self._pause_s, self._repeat_cap_s)
            self._repeat_at = now + self._pause_s
            return self._repeat()
        return []

    @abstractmethod
    def _waits_in(self, state: State) -> Waits | None:
        """The table of this machine's timers; None lets those of the state before run on."""

    @abstractmethod
    def _repeat(self) -> list[Output]:
        """Send again what was sent last; called in states that have a `repeat_s`."""

    def _set_state(self, state: State, now: float) -> None:
        """The one place where the state changes; its waits begin."""
        self.state = state
        waits = self._waits_in(state)
        if waits is not None:
            self._wait(waits, now)

    def _wait(self, waits: Waits, now: float) -> None:
        """Begin these waits in place of those that run."""
        if waits.end_s == 0:
            self._set_state(State.TERMINATED, now)
            return
        self._pause_s = waits.repeat_s or 0.0
        self._repeat_cap_s = waits.repeat_cap_s
        self._repeat_at = None if waits.repeat_s is None else now + waits.repeat_s
        self._end_at = None if waits.end_s is None else now + waits.end_s

    def _unless_reliable(self, seconds: float) -> float | None:
        """The length of a repeating timer: a reliable transport repeats nothing."""
        return None if self.flow.is_reliable else seconds
