# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's sipp calls by the dozen: all join under the right label, all end, nothing is left.

Keys come as telephone events out of sipp's own captures: payload type 101, one SSRC, sequence
numbers and timestamps that jump at every key.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dialin.app import Pace
from dialin.demo.conference import Conference
from dialin.wire.timers import Timers
from tests.peers.clips import Clips
from tests.peers.process import needs_raw_sockets
from tests.peers.sipp import needs_sipp, place_calls
from tests.world import USUAL, AllTraces, World, settled, whole_service

pytestmark = [needs_sipp, needs_raw_sockets]

TRANSPORTS = ("UDP", "TCP")
RATE = 10
FEW, MANY = 20, 200
KEYING_S = 4.0
"""What a call lasts but for its stay in the room."""
QUICK = Pace(quarantine_s=1.0, timers=Timers(t1_s=0.1))
"""SIP transactions are forgotten after 6.4 s instead of 32: the short test waits for it, too."""
LOOK_EVERY_S = 0.25


def numbers_of(count: int) -> list[str]:
    """Callers' numbers, up to a thousand, out of ranges that Germany keeps for fiction.

    Every tenth caller shares the last four digits with the one before.
    """
    return [
        f"+494066969{place - 1:03d}" if place % 10 == 9 else f"+496990009{place:03d}"
        for place in range(count)
    ]


def labels_of(numbers: Sequence[str]) -> list[str]:
    """What the room should show of each: a double is told apart from who came just before."""
    return [
        f"xxx-xxx-{number[-4:]}" + (" (2)" if place % 10 == 9 else "")
        for place, number in enumerate(numbers)
    ]


@pytest.mark.timeout(120)
async def test_twenty_calls_over_udp_and_twenty_over_tcp(tmp_path: Path) -> None:
    clips = Clips(tmp_path / "clips")
    async with whole_service(pace=QUICK, **clips.settings) as world:
        await the_same_is_left_as_before(world, tmp_path, FEW, stay_s=2.0)


@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_two_hundred_calls_over_udp_and_two_hundred_over_tcp(tmp_path: Path) -> None:
    async with whole_service(pace=USUAL) as world:
        await the_same_is_left_as_before(world, tmp_path, MANY, stay_s=8.0)


async def the_same_is_left_as_before(
    world: World, folder: Path, count: int, *, stay_s: float
) -> None:
    """Place so many calls over each transport, one after the other; wait until all has gone."""
    await world.service.rooms.look_again()
    before = AllTraces.of(world)
    for transport in TRANSPORTS:
        numbers = numbers_of(count)
        async with watched(world) as (in_room, shown):
            await place_calls(
                "call-pin",
                ("127.0.0.1", world.sip_port(transport)),
                transport,
                numbers=numbers,
                rate=RATE,
                stay_s=stay_s,
                folder=folder / transport,
                within_s=count / RATE + KEYING_S + stay_s + 30,
            )
        await world.until(lambda: not world.service.registry.snapshots())
        assert Counter(in_room.values()) == Counter(labels_of(numbers))
        # Which of two with the same digits is told apart depends on who keyed the PIN first.
        assert [label.removesuffix(" (2)") for label in shown.values()] == [
            f"xxx-xxx-{number[-4:]}" for number in numbers
        ]
    left = await settled(world, before, within_s=60)
    assert left.within(before), f"{left}, at most {before} expected"
    assert not world.conference.members()
    assert await world.ends() == {"success/left-room": count * len(TRANSPORTS)}


@asynccontextmanager
async def watched(world: World) -> AsyncIterator[tuple[dict[str, str], dict[str, str]]]:
    """Who is seen in the room, by the conference and by the API: leg or call, and its name."""
    in_room: dict[str, str] = {}
    shown: dict[str, str] = {}
    async with asyncio.TaskGroup() as tasks:
        watchers = [
            tasks.create_task(watch_conference(world.conference, in_room)),
            tasks.create_task(watch_api(world, shown)),
        ]
        yield in_room, shown
        for watcher in watchers:
            watcher.cancel()


async def watch_conference(conference: Conference, in_room: dict[str, str]) -> None:
    """Keep the name of everybody who comes, as BBB reads it."""

    def look(conference: Conference) -> bool:
        in_room.update({member.leg: member.reading.name for member in conference.members()})
        return False

    await conference.until(look)


async def watch_api(world: World, shown: dict[str, str]) -> None:
    """Keep the label of every call that is in a room, oldest call first."""
    while True:
        calls = json.loads(await world.page("/api/v1/calls"))
        for call in calls:  # a call keeps its place, so the first look at it may come early
            shown.setdefault(call["id"], "")
            if call["state"] == "in_room":
                shown[call["id"]] = call["label"]
        await asyncio.sleep(LOOK_EVERY_S)
