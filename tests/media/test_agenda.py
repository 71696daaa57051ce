# SPDX-License-Identifier: GPL-3.0-or-later
"""Appointments are kept in order of time, and not at all once they are called off."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dialin.media.agenda import Agenda, Diary, nothing


def keep(agenda: Agenda, now: float) -> int:
    """Do what is due; how many that was."""
    done = 0
    while appointment := agenda.take_due(now):
        appointment.action(now)
        done += 1
    return done


@given(st.lists(st.floats(0, 100)))
def test_what_is_due_is_done_in_order_of_time(times: list[float]) -> None:
    agenda = Agenda()
    done: list[float] = []
    for due in times:
        agenda.at(due, lambda _, due=due: done.append(due), 1)  # type: ignore[misc]
    assert keep(agenda, 50) == sum(due <= 50 for due in times)
    assert done == sorted(due for due in times if due <= 50)
    assert agenda.next_due() == min((due for due in times if due > 50), default=None)


def test_the_action_is_told_the_time() -> None:
    agenda = Agenda()
    told: list[float] = []
    agenda.at(1, told.append, 1)
    keep(agenda, 5)
    assert told == [5]


def test_appointments_at_one_time_keep_their_order() -> None:
    agenda = Agenda()
    done: list[str] = []
    for name in "abc":
        agenda.at(1, lambda _, name=name: done.append(name), 1)  # type: ignore[misc]
    keep(agenda, 1)
    assert done == ["a", "b", "c"]


def test_what_is_called_off_is_not_done_and_nobody_waits_for_it() -> None:
    agenda = Agenda()
    done: list[float] = []
    agenda.at(1, done.append, 1).call_off()
    assert agenda.next_due() is None
    assert keep(agenda, 5) == 0


def test_an_owner_is_forgotten_and_others_are_not() -> None:
    agenda = Agenda()
    done: list[float] = []
    agenda.at(1, done.append, 1)
    agenda.at(2, done.append, 2)
    agenda.forget(1)
    assert keep(agenda, 5) == 1


def test_a_diary_has_one_appointment_a_name() -> None:
    agenda = Agenda()
    diary, done = Diary(agenda, 1), list[str]()
    diary.plan("beat", 1, lambda _: done.append("old"))
    diary.plan("beat", 2, lambda _: done.append("new"))
    diary.plan("look", 3, lambda _: done.append("look"))
    assert diary.due("beat") == 2
    keep(agenda, 2)
    diary.call_off("look")
    diary.call_off("look")
    keep(agenda, 5)
    assert done == ["new"]


def test_a_closed_diary_is_empty() -> None:
    agenda = Agenda()
    diary = Diary(agenda, 1)
    diary.plan("beat", 1, lambda _: nothing())
    diary.close()
    assert agenda.next_due() is None
