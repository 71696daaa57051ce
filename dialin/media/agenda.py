# SPDX-License-Identifier: GPL-3.0-or-later
"""What a media worker has to do later, in order of time.

What is done, and by which clock, is left to the callers: times are seconds that they give.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[float], None]
"""Called with the time it is."""


class Appointment:
    """One action at one time, until it is done or called off."""

    __slots__ = ("action", "due", "is_off", "owner")

    def __init__(self, due: float, action: Action, owner: int) -> None:
        self.due = due
        self.action = action
        self.is_off = False
        self.owner = owner
        """Whose it is: the number of a leg, or 0 for the worker."""

    def call_off(self) -> None:
        """The action will not be done, and is forgotten at once."""
        self.action = _forgotten
        self.is_off = True


class Agenda:
    """All appointments of a worker."""

    def __init__(self) -> None:
        self._numbers = count()
        self._heap: list[tuple[float, int, Appointment]] = []

    def at(self, due: float, action: Action, owner: int) -> Appointment:
        """Do `action` at `due`, or as soon after as the worker gets to it."""
        appointment = Appointment(due, action, owner)
        heapq.heappush(self._heap, (due, next(self._numbers), appointment))
        return appointment

    def next_due(self) -> float | None:
        """When the worker has to be there next; None when nothing is planned."""
        while self._heap and self._heap[0][2].is_off:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def is_due(self, now: float) -> bool:
        """Whether the worker is to look at all, which it asks at every turn."""
        return bool(self._heap) and self._heap[0][0] <= now

    def take_due(self, now: float) -> Appointment | None:
        """The next appointment whose time has come, if there is one."""
        due = self.next_due()
        if due is None or due > now:
            return None
        return heapq.heappop(self._heap)[2]

    def forget(self, owner: int) -> None:
        """Call off everything of one owner, by whatever diary."""
        for _, _, appointment in self._heap:
            if appointment.owner == owner:
                appointment.call_off()


class Diary:
    """The appointments of one owner, by name: a new one takes the place of an old one."""

    def __init__(self, agenda: Agenda, owner: int) -> None:
        self._agenda = agenda
        self._owner = owner
        self._appointments: dict[str, Appointment] = {}

    def plan(self, name: str, due: float, action: Action) -> None:
        """Do `action` at `due`, and whatever had this name not at all."""
        self.call_off(name)
        self._appointments[name] = self._agenda.at(due, action, self._owner)

    def due(self, name: str) -> float:
        """When it is, or was, to be done; only for what has been planned."""
        return self._appointments[name].due

    def call_off(self, name: str) -> None:
        """Not to be done, if it is still to be done."""
        if name in self._appointments:
            self._appointments.pop(name).call_off()

    def close(self) -> None:
        """Nothing is to be done any more."""
        for name in list(self._appointments):
            self.call_off(name)


def _forgotten(_now: float) -> None:
    """What an appointment holds that was called off: no leg."""


def nothing() -> None:
    """What is called where nobody needs to be."""
