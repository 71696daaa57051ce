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
from dialin.registry import CallSnapshot, CallState, Registry

API_FIELDS = {
    "id", "trunk", "number_called", "label", "state", "room", "server", "codec", "encrypted",
    "muted", "started_at", "duration_s", "packets_lost", "jitter_ms",
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


def test_a_snapshot_has_exactly_the_fields_of_the_api() -> None:
    assert {field.name for field in fields(CallSnapshot)} == API_FIELDS


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
