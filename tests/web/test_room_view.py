# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page is made of: who calls, what may be asked of them, and whether it all works."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dialin.registry import CallSnapshot, CallState, WaitingFor
from dialin.web.room_view import ORDERS, Condition, LastTest, RoomFacts, callers_of, title_of
from tests.web.site import CALL, PIN

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
WAITING = replace(CALL, state=CallState.WAITING)


def test_callers_of_other_rooms_and_of_none_are_not_there() -> None:
    callers = callers_of([CALL, replace(CALL, room="other"), replace(CALL, room=None)], "demo")

    assert len(callers.in_room) == 1
    assert not callers.waiting


@pytest.mark.parametrize("state", [CallState.GREETING, CallState.PIN, CallState.ENDING])
def test_who_has_not_come_or_is_going_is_not_there(state: CallState) -> None:
    callers = callers_of([replace(CALL, state=state)], "demo")

    assert callers == callers_of([], "demo")


@pytest.mark.parametrize(
    ("call", "state", "actions"),
    [
        (CALL, "unmuted", ("mute", "end")),
        (replace(CALL, muted=True), "muted", ("unmute", "end")),
        (replace(CALL, hand_raised=True), "unmuted", ("mute", "lower-hand", "end")),
        (replace(WAITING, waiting_for=WaitingFor.HOST), "is_waiting_host", ("admit", "refuse")),
        (replace(WAITING, waiting_for=WaitingFor.ROOM), "is_waiting_room", ("end",)),
        (
            replace(WAITING, waiting_for=WaitingFor.CONFERENCE),
            "is_waiting_conference",
            ("end",),
        ),
        (WAITING, "is_waiting_room", ("end",)),
        (replace(CALL, state=CallState.JOINING), "is_joining", ("end",)),
    ],
)
def test_each_caller_is_shown_with_what_can_be_asked(
    call: CallSnapshot, state: str, actions: tuple[str, ...]
) -> None:
    callers = callers_of([call], "demo")
    (shown,) = callers.waiting + callers.in_room

    assert (shown.state, shown.actions) == (state, actions)
    assert set(actions) <= set(ORDERS)


def test_a_caller_without_a_label_yet_is_shown_without() -> None:
    (shown,) = callers_of([replace(WAITING, label=None)], "demo").waiting

    assert shown.label == ""


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        (Condition(), "service.works_untested"),
        (Condition(is_ill=True), "service.ill"),
        (Condition(is_ill=True, is_draining=True), "service.draining"),
        (Condition(LastTest(NOW - timedelta(minutes=3), True, 900)), "service.works"),
        (Condition(LastTest(NOW - timedelta(minutes=3), False, 900)), "service.failed"),
        (Condition(LastTest(NOW - timedelta(minutes=16), True, 900)), "service.works_untested"),
        (Condition(LastTest(NOW, True, 900), is_ill=True), "service.ill"),
    ],
)
def test_nothing_is_claimed_that_was_not_found_out(condition: Condition, sentence: str) -> None:
    assert condition.sentence(NOW)[0] == sentence


def test_the_age_of_a_test_is_told() -> None:
    assert Condition(LastTest(NOW - timedelta(minutes=3), True, 900)).sentence(NOW)[1] == 180


def test_a_room_without_a_visible_name_has_the_usual_one() -> None:
    assert title_of(RoomFacts("demo", "\u200b"), "Meeting") == "Meeting"
    assert title_of(RoomFacts("demo", "Round"), "Meeting") == "Round"


def test_no_repr_shows_a_pin() -> None:
    assert PIN not in repr(RoomFacts("demo", "Round", PIN))
