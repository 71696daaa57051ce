# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in meetings reaches the callers whom it concerns, and nobody else."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from dialin.room_events import (
    EVENTS_KEPT,
    TOLD_KEPT,
    UNKNOWN_KEPT,
    UNKNOWN_USERS_KEPT,
    RoomEvent,
    RoomEvents,
    phone_id,
)
from dialin.wire.bbbhooks import HookEvent, HookKind
from dialin.wire.bbbxml import Attendee, Meeting

LABEL = "xxx-xxx-0594"


def event(kind: HookKind, user_id: str = "", **changes: Any) -> HookEvent:
    """Something that happened in the room "physics" on the server "main"."""
    fields = {"server": "main", "meeting_id": "physics", "internal_id": "p-1"} | changes
    return HookEvent(kind=kind, user_id=user_id, **fields)


def meeting(*attendees: tuple[str, str], internal_id: str = "p-1") -> Meeting:
    """The room with these names and ids in it, as its server lists it."""
    return Meeting(
        meeting_id="physics",
        internal_id=internal_id,
        name="",
        voice_bridge="12345",
        dial_number="",
        running=True,
        is_ended=False,
        is_breakout=False,
        parent_id="",
        create_time=0,
        attendees=tuple(
            Attendee(user_id, name, "VIEWER", "DIAL-IN", True, False) for name, user_id in attendees
        ),
    )


def kinds(queue: asyncio.Queue[RoomEvent]) -> list[HookKind]:
    """All that waits."""
    return [queue.get_nowait().kind for _ in range(queue.qsize())]


@pytest.fixture
def events() -> RoomEvents:
    return RoomEvents()


class TestWhomItConcerns:
    @pytest.mark.parametrize(
        "kind", [HookKind.MEETING_ENDED, HookKind.RECORDING_STARTED, HookKind.RECORDING_STOPPED]
    )
    def test_what_happens_to_the_meeting_concerns_all_in_it(
        self, events: RoomEvents, kind: HookKind
    ) -> None:
        with (
            events.of_caller("main", "physics", LABEL) as one,
            events.of_caller("main", "physics", "Phone caller 1") as two,
            events.of_caller("main", "chemistry", LABEL) as elsewhere,
            events.of_caller("other", "physics", LABEL) as other,
        ):
            events.publish(event(kind, timestamp_ms=7))
            assert one.get_nowait() == two.get_nowait() == RoomEvent(kind, 7)
            assert not elsewhere.qsize() + other.qsize()

    def test_a_meeting_that_begins_concerns_no_caller(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            events.publish(event(HookKind.MEETING_CREATED))
            assert not kinds(queue)

    def test_who_joins_under_the_label_is_the_caller(self, events: RoomEvents) -> None:
        with (
            events.of_caller("main", "physics", LABEL) as queue,
            events.of_caller("main", "physics", "Phone caller 1") as other,
        ):
            events.publish(event(HookKind.USER_JOINED, "v_1", user_name=LABEL))
            events.publish(event(HookKind.USER_MUTED, "v_1"))
            events.publish(event(HookKind.USER_MUTED, "v_2"))
            assert kinds(queue) == [HookKind.USER_JOINED, HookKind.USER_MUTED]
            assert not kinds(other)

    def test_who_is_listed_under_the_label_is_the_caller(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            events.saw("main", [meeting(("Ada", "w_1"), (LABEL, "v_7"))])
            events.publish(event(HookKind.HAND_LOWERED, "v_7"))
            assert kinds(queue) == [HookKind.HAND_LOWERED]

    def test_a_bare_member_id_is_a_phones(self, events: RoomEvents) -> None:
        assert [phone_id(user) for user in ("7", "v_7", "w_7", "")] == ["v_7", "v_7", "w_7", ""]

    def test_what_came_before_the_caller_was_known_is_not_lost(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            events.publish(event(HookKind.VOICE_JOINED, "v_7"))
            events.publish(event(HookKind.VOICE_JOINED, "v_8"))
            events.publish(event(HookKind.USER_MUTED, "v_7"))
            events.publish(event(HookKind.USER_MUTED))
            assert not kinds(queue)
            events.saw("main", [meeting((LABEL, "v_7"))])
            events.saw("main", [meeting((LABEL, "v_7"))])
            assert kinds(queue) == [HookKind.VOICE_JOINED, HookKind.USER_MUTED]

    def test_a_web_user_who_takes_the_label_is_not_the_caller(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            events.publish(event(HookKind.USER_JOINED, "w_1", user_name=LABEL))
            events.saw("main", [meeting((LABEL, "w_1"))])
            events.publish(event(HookKind.USER_MUTED, "w_1"))
            assert not kinds(queue)

    def test_of_two_phones_with_one_label_none_is_chosen(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            events.saw("main", [meeting((LABEL, "v_1"), (LABEL, "v_2"))])
            events.publish(event(HookKind.USER_MUTED, "v_1"))
            assert not kinds(queue)

    def test_a_caller_who_is_known_stays_so_when_a_namesake_comes(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            events.publish(event(HookKind.USER_JOINED, "v_1", user_name=LABEL))
            events.publish(event(HookKind.USER_JOINED, "v_2", user_name=LABEL))
            events.saw("main", [meeting((LABEL, "v_1"), (LABEL, "v_2"))])
            events.publish(event(HookKind.USER_MUTED, "v_2"))
            events.publish(event(HookKind.USER_MUTED, "v_1"))
            assert kinds(queue) == [HookKind.USER_JOINED, HookKind.USER_MUTED]

    def test_a_ghost_of_an_earlier_seat_is_left_behind(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            events.saw("main", [meeting((LABEL, "v_1"))])
            events.saw("main", [meeting((LABEL, "v_1"), (LABEL, "v_2"))])
            events.saw("main", [meeting((LABEL, "v_2"))])
            events.publish(event(HookKind.USER_MUTED, "v_2"))
            assert kinds(queue) == [HookKind.USER_MUTED]

    def test_a_meeting_whose_id_bbb_has_forgotten_is_known_by_its_other_one(
        self, events: RoomEvents
    ) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            events.saw("main", [meeting()])
            events.publish(event(HookKind.MEETING_ENDED, meeting_id=""))
            events.publish(event(HookKind.RECORDING_STARTED, meeting_id="", internal_id="x"))
            assert kinds(queue) == [HookKind.MEETING_ENDED]

    def test_who_may_be_concerned_and_is_not_known_should_be_asked_for(
        self, events: RoomEvents
    ) -> None:
        with events.of_caller("main", "physics", LABEL):
            assert events.publish(event(HookKind.VOICE_JOINED, "v_7"))
            assert not events.publish(event(HookKind.VOICE_JOINED, "w_7"))
            assert not events.publish(event(HookKind.VOICE_JOINED))
            assert not events.publish(event(HookKind.MEETING_ENDED))
            events.saw("main", [meeting((LABEL, "v_7"))])
            assert not events.publish(event(HookKind.USER_MUTED, "v_7"))
            assert not events.publish(event(HookKind.USER_MUTED, "v_8"))
        assert not events.publish(event(HookKind.USER_MUTED, "v_9"))

    def test_of_two_callers_with_one_label_none_is_chosen(self, events: RoomEvents) -> None:
        with (
            events.of_caller("main", "physics", LABEL) as one,
            events.of_caller("main", "physics", LABEL) as two,
        ):
            events.saw("main", [meeting((LABEL, "v_1"))])
            events.publish(event(HookKind.USER_JOINED, "v_2", user_name=LABEL))
            events.publish(event(HookKind.USER_MUTED, "v_1"))
            assert not kinds(one) + kinds(two)

    def test_a_thousand_callers_are_told_apart_however_late_they_are_named(
        self, events: RoomEvents
    ) -> None:
        labels = [f"Phone caller {number}" for number in range(1000)]
        with ExitStack() as seats:
            queues = [
                seats.enter_context(events.of_caller("main", "physics", label)) for label in labels
            ]
            for number in range(1000):
                events.publish(event(HookKind.USER_MUTED, f"v_{number}"))
            events.saw("main", [meeting(*((label, f"v_{n}") for n, label in enumerate(labels)))])
            events.publish(event(HookKind.HAND_RAISED, "v_999"))
            assert [kinds(queue) for queue in queues[:999]] == [[HookKind.USER_MUTED]] * 999
            assert kinds(queues[999]) == [HookKind.USER_MUTED, HookKind.HAND_RAISED]

    def test_what_is_kept_of_strangers_is_bounded(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            for number in range(UNKNOWN_USERS_KEPT + 10):
                events.publish(event(HookKind.USER_MUTED, f"v_{number}"))
            for _ in range(UNKNOWN_KEPT + 5):
                events.publish(event(HookKind.USER_MUTED, "v_20"))
            assert len(events._listeners["main", "physics"]._unknown) == UNKNOWN_USERS_KEPT
            events.saw("main", [meeting((LABEL, "v_20"))])
            assert queue.qsize() == UNKNOWN_KEPT

    def test_nothing_is_kept_of_a_caller_who_left(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            pass
        events.publish(event(HookKind.MEETING_ENDED))
        assert not kinds(queue)
        assert not events._listeners


class TestOrder:
    def test_a_repeat_is_told_once(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            for _ in range(3):
                events.publish(event(HookKind.RECORDING_STARTED, timestamp_ms=5))
            assert kinds(queue) == [HookKind.RECORDING_STARTED]

    def test_what_is_late_is_not_told_after_what_has_undone_it(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            events.saw("main", [meeting((LABEL, "v_1"))])
            events.publish(event(HookKind.USER_UNMUTED, "v_1", timestamp_ms=9))
            events.publish(event(HookKind.USER_MUTED, "v_1", timestamp_ms=8))
            events.publish(event(HookKind.HAND_RAISED, "v_1", timestamp_ms=7))
            events.publish(event(HookKind.USER_MUTED, "v_1", timestamp_ms=10))
            assert kinds(queue) == [
                HookKind.USER_UNMUTED,
                HookKind.HAND_RAISED,
                HookKind.USER_MUTED,
            ]

    def test_events_without_a_time_come_as_they_do(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            for kind in (HookKind.RECORDING_STARTED, HookKind.RECORDING_STOPPED) * 2:
                events.publish(event(kind))
            assert queue.qsize() == 4

    def test_of_a_caller_who_does_not_look_the_latest_are_kept(self, events: RoomEvents) -> None:
        with events.of_caller("main", "physics", LABEL) as queue:
            for at in range(EVENTS_KEPT + 5):
                events.publish(event(HookKind.RECORDING_STARTED, timestamp_ms=at + 1))
            assert queue.get_nowait().at_ms == 6
            assert queue.qsize() == EVENTS_KEPT - 1


class TestWhetherWebhooksWork:
    def test_they_do_once_registered_and_heard(self, events: RoomEvents) -> None:
        assert not events.is_heard("main")
        events.set_registered("main", True)
        assert events.is_registered("main")
        assert not events.is_heard("main")
        events.publish(event(HookKind.MEETING_CREATED))
        assert events.is_heard("main")
        assert not events.is_heard("other")
        events.set_registered("main", False)
        assert not events.is_heard("main")

    async def test_a_meeting_that_none_tells_of_is_missed(self, events: RoomEvents) -> None:
        events.set_registered("main", True)
        events.publish(event(HookKind.MEETING_ENDED, internal_id="p-0"))
        events.saw("main", [])
        missing = asyncio.create_task(events.missed("main"))
        await asyncio.sleep(0)
        events.saw("main", [meeting()])
        await asyncio.sleep(0)
        assert events.is_heard("main")  # the webhook may be on its way
        assert not missing.done()
        events.saw("main", [meeting()])
        async with asyncio.timeout(1):
            await missing
        assert not events.is_heard("main")

    def test_what_was_there_before_us_is_not_missed(self, events: RoomEvents) -> None:
        events.publish(event(HookKind.USER_LEFT, internal_id="p-0"))
        events.set_registered("main", True)
        for _ in range(3):
            events.saw("main", [meeting()])
        assert events.is_heard("main")

    @pytest.mark.parametrize("is_early", [True, False])
    def test_a_webhook_just_before_or_after_the_list_is_in_time(
        self, events: RoomEvents, is_early: bool
    ) -> None:
        events.set_registered("main", True)
        events.saw("main", [])
        if is_early:
            events.publish(event(HookKind.MEETING_CREATED))
            events.saw("main", [])  # asked before the meeting was there
        events.saw("main", [meeting()])
        if not is_early:
            events.publish(event(HookKind.MEETING_CREATED))
        events.saw("main", [meeting()])
        events.saw("main", [meeting()])
        assert events.is_heard("main")

    def test_what_is_remembered_is_bounded(self, events: RoomEvents) -> None:
        for number in range(TOLD_KEPT + 10):
            events.publish(event(HookKind.MEETING_ENDED, internal_id=f"p-{number}"))
        assert len(events._ear("main")._told) == TOLD_KEPT
