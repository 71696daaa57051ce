# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of live calls and the gate in front of it."""

import asyncio
from dataclasses import fields

import pytest

from dialin.events import (
    BUSY,
    DRAINING,
    INTERNAL_ERROR,
    LEFT_ROOM,
    UNKNOWN_NUMBER,
    CallError,
    EndReason,
)
from dialin.registry import (
    ENDS_KEPT,
    ORDERS_KEPT,
    QUALITIES_KEPT,
    CallSnapshot,
    CallState,
    HangUp,
    MoveTo,
    Mute,
    Registry,
    WaitingFor,
)

FIELDS = {
    "id", "trunk", "number_called", "label", "state", "room", "server", "codec", "encrypted",
    "muted", "started_at", "duration_s", "packets_lost", "jitter_ms", "hand_raised", "waiting_for",
    "language", "digits_hidden", "recent_quality",
}  # fmt: skip


class Tally:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.ended: list[tuple[str, EndReason]] = []
        self.stages: list[CallState] = []

    def call_came(self, trunk: str) -> None:
        self.came.append(trunk)

    def call_ended(self, trunk: str, reason: EndReason) -> None:
        self.ended.append((trunk, reason))

    def stage_ended(self, stage: CallState, seconds: float) -> None:
        assert seconds >= 0
        self.stages.append(stage)


def test_a_snapshot_has_exactly_the_fields_that_others_may_see() -> None:
    assert {field.name for field in fields(CallSnapshot)} == FIELDS


def test_a_call_is_listed_while_it_is_up_and_shows_how_far_it_has_come() -> None:
    registry = Registry(2, tally := Tally())
    with registry.admit("a1", trunk="easybell", number_called="+493012345678") as record:
        assert [call.state for call in registry.snapshots()] == [CallState.GREETING]
        record.is_now(CallState.IN_ROOM)
        record.speaks("PCMA", encrypted=True)
        record.enters(room="m-1", server="bbb1", label="xxx-xxx-0594")
        record.measured(packets_lost=3, jitter_ms=1.5)
        [call] = registry.snapshots()
        assert (call.id, call.trunk, call.number_called) == ("a1", "easybell", "+493012345678")
        assert (call.state, call.codec, call.room, call.server) == (
            CallState.IN_ROOM, "PCMA", "m-1", "bbb1",
        )  # fmt: skip
        assert call.encrypted
        assert (call.label, call.packets_lost, call.jitter_ms) == ("xxx-xxx-0594", 3, 1.5)
        assert call.duration_s >= 0
        assert (record.id, record.state) == ("a1", CallState.IN_ROOM)
        assert tally.stages == [CallState.GREETING]
    assert registry.snapshots() == ()


def test_the_call_over_the_limit_is_refused_and_the_next_one_after_an_end_is_not() -> None:
    registry = Registry(1, Tally())
    with registry.admit("a", trunk="t", number_called="n"):
        with pytest.raises(CallError) as refused, registry.admit("b", trunk="t", number_called="n"):
            pass
        assert refused.value.reason is BUSY
        assert len(registry) == 1
    with registry.admit("c", trunk="t", number_called="n"):
        assert len(registry) == 1


def test_every_call_is_counted_when_it_comes_and_once_when_it_ends() -> None:
    registry = Registry(9, tally := Tally())
    with registry.admit("a", trunk="easybell", number_called="n") as record:
        record.reason = LEFT_ROOM
    with pytest.raises(RuntimeError), registry.admit("b", trunk="sipgate", number_called="n"):
        raise RuntimeError
    assert tally.came == ["easybell", "sipgate"]
    assert tally.ended == [("easybell", LEFT_ROOM), ("sipgate", INTERNAL_ERROR)]


def test_a_call_that_is_turned_away_at_the_door_is_counted() -> None:
    registry = Registry(9, tally := Tally())
    registry.turn_away("easybell", UNKNOWN_NUMBER)
    assert tally.came == ["easybell"]
    assert tally.ended == [("easybell", UNKNOWN_NUMBER)]
    assert registry.snapshots() == ()


async def test_a_drain_refuses_new_calls_and_waits_for_those_that_are_up() -> None:
    registry = Registry(9, tally := Tally())
    await registry.emptied()
    with registry.admit("a", trunk="t", number_called="n"):
        registry.drain()
        assert registry.is_draining
        with pytest.raises(CallError) as refused, registry.admit("b", trunk="t", number_called="n"):
            pass
        assert refused.value.reason is DRAINING
        waiting = asyncio.create_task(registry.emptied())
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 1)
    assert ("t", DRAINING) in tally.ended


def test_what_a_caller_waits_for_is_shown_while_they_wait() -> None:
    registry = Registry(9, Tally())
    with registry.admit("a", trunk="t", number_called="n") as record:
        record.waits(WaitingFor.HOST)
        [call] = registry.snapshots()
        assert (call.state, call.waiting_for) == (CallState.WAITING, "host")
        record.is_now(CallState.JOINING)
        assert registry.snapshots()[0].waiting_for == ""


def test_what_a_caller_does_in_the_room_is_shown_and_forgotten_when_they_leave_it() -> None:
    registry = Registry(9, Tally())
    with registry.admit("a", trunk="t", number_called="n") as record:
        record.hears("de")
        record.hides_digits()
        record.enters(room="m-1", server="bbb1", label="Phone caller 1")
        record.is_muted(True)
        record.raises_hand(True)
        [call] = registry.snapshots()
        assert (call.language, call.digits_hidden) == ("de", True)
        assert (call.muted, call.hand_raised) == (True, True)
        record.leaves()
        [call] = registry.snapshots()
        assert (call.room, call.server, call.label) == (None, None, None)
        assert (call.hand_raised, call.digits_hidden) == (False, True)


def test_the_quality_of_the_line_is_kept_for_a_while_as_what_was_lost_in_between() -> None:
    registry = Registry(9, Tally())
    with registry.admit("a", trunk="t", number_called="n") as record:
        for lost in (2, 5, 5):
            record.measured(packets_lost=lost, jitter_ms=1.5)
        assert registry.snapshots()[0].recent_quality == ((1.5, 2), (1.5, 3), (1.5, 0))
        for lost in range(QUALITIES_KEPT):
            record.measured(packets_lost=lost, jitter_ms=2.0)
        [call] = registry.snapshots()
        assert len(call.recent_quality) == QUALITIES_KEPT
        assert call.recent_quality[0] == (2.0, 0)  # figures that go back lose nothing


async def test_orders_reach_the_call_they_are_for_in_their_order() -> None:
    registry = Registry(9, Tally())
    with registry.admit("a", trunk="t", number_called="n") as record:
        assert registry.give("a", Mute())
        assert registry.give("a", MoveTo("m-2"))
        assert not registry.give("b", HangUp())
        assert await record.next_order() == Mute()
        assert await record.next_order() == MoveTo("m-2")
    assert not registry.give("a", HangUp())


def test_a_call_that_reads_no_orders_keeps_the_first_ones_only() -> None:
    registry = Registry(9, Tally())
    with registry.admit("a", trunk="t", number_called="n"):
        given = [registry.give("a", Mute()) for _ in range(ORDERS_KEPT + 1)]
    assert given == [True] * ORDERS_KEPT + [False]


async def test_whoever_watches_learns_of_each_change_and_of_nothing_else() -> None:
    registry = Registry(9, Tally())
    seen = registry.version
    watching = asyncio.create_task(registry.changed(seen))
    await asyncio.sleep(0)
    with registry.admit("a", trunk="t", number_called="n") as record:
        assert await asyncio.wait_for(watching, 1) == registry.version > seen
        before = registry.version
        record.is_muted(False)  # as it was
        assert registry.version == before
        record.is_muted(True)
        assert await registry.changed(before) == registry.version > before
        before = registry.version
    assert registry.version > before
    before = registry.version
    registry.drain()
    assert registry.version > before


def test_the_last_ends_are_kept_and_say_nothing_about_a_person() -> None:
    registry = Registry(1, Tally())
    with registry.admit("a", trunk="easybell", number_called="n") as record:
        with pytest.raises(CallError), registry.admit("b", trunk="sipgate", number_called="n"):
            pass
        record.reason = LEFT_ROOM
    last, first = registry.recent_ends
    assert (last.trunk, last.reason, first.trunk, first.reason) == (
        "easybell", LEFT_ROOM, "sipgate", BUSY,
    )  # fmt: skip
    assert last.at >= first.at
    for _ in range(ENDS_KEPT):
        registry.turn_away("t", UNKNOWN_NUMBER)
    assert {end.reason for end in registry.recent_ends} == {UNKNOWN_NUMBER}
    assert len(registry.recent_ends) == ENDS_KEPT
