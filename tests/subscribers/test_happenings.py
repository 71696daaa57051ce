# SPDX-License-Identifier: GPL-3.0-or-later
"""From two looks at the calls to what has happened."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.registry import CallSnapshot, CallState, WaitingFor
from dialin.subscribers.happenings import happenings
from tests.web import CALL

IN = replace(CALL, room="demo", state=CallState.IN_ROOM)
WAITING = replace(IN, state=CallState.WAITING, waiting_for=WaitingFor.ROOM)
PIN = replace(CALL, room=None, state=CallState.PIN)


def told(*looks: CallSnapshot | None) -> list[tuple[str, str]]:
    """What has happened to one call from look to look."""
    found = []
    for before, after in pairwise(looks):
        then, now = ({"c": call} if call else {} for call in (before, after))
        found += [(news.event.value, news.meeting_id) for news in happenings(then, now)]
    return found


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([None, PIN], []),
        ([None, PIN, None], []),
        ([PIN, replace(IN, state=CallState.JOINING), IN], ["joined demo"]),
        ([PIN, IN, None], ["joined demo", "left demo"]),
        ([PIN, WAITING, IN, PIN], ["waiting demo", "joined demo", "left demo"]),
        ([WAITING, replace(WAITING, waiting_for=WaitingFor.HOST)], ["waiting demo"]),
        ([WAITING, replace(WAITING, waiting_for=WaitingFor.NOTHING)], []),
        ([WAITING, None], []),
        ([IN, replace(IN, room="other")], ["left demo", "joined other"]),
        ([IN, replace(WAITING, waiting_for=WaitingFor.CONFERENCE)], ["left demo", "waiting demo"]),
        ([IN, replace(IN, state=CallState.ENDING), None], ["left demo"]),
        ([IN, replace(IN, muted=True, packets_lost=9)], []),
        ([IN, replace(IN, hand_raised=True), IN], ["hand demo", "hand demo"]),
        ([replace(IN, hand_raised=True), PIN], ["left demo"]),
    ],
)
def test_what_has_happened(looks: list[CallSnapshot | None], expected: list[str]) -> None:
    assert [f"{event} {room}" for event, room in told(*looks)] == expected


def test_who_has_left_is_shown_as_in_the_room() -> None:
    (news,) = happenings({"c": IN}, {})
    assert news.call is IN


calls = st.none() | st.builds(
    lambda **fields: replace(CALL, **fields),
    room=st.sampled_from([None, "demo", "other"]),
    state=st.sampled_from(CallState),
    waiting_for=st.sampled_from(WaitingFor),
    hand_raised=st.booleans(),
)


@given(st.lists(calls))
def test_who_joined_leaves_before_anything_else_is_joined(looks: list[Any]) -> None:
    room = None
    for event, meeting_id in told(None, *looks, None):
        if event == "joined":
            assert room is None
            room = meeting_id
        elif event == "left":
            assert room == meeting_id
            room = None
    assert room is None
