# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast callers are served when one comes after the other: a thousand calls, each timed.

Callers are phones of their own at the front, a mixing conference in a process of its own behind. A
key counts from the moment it is pressed, a caller as joined when the conference has the seat and
both legs are bridged.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from dialin.app import Pace
from dialin.registry import CallState, Registry
from tests.calls.scene import quantile
from tests.peers.clips import Clips
from tests.peers.conference_process import ConferenceProcess
from tests.peers.phone import Phone
from tests.world import serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

CALLS = 1000
EACH_S = 0.25
"""A call so often."""
STAYS_S = 1.0
PIN = "123456789"
FIRST_FRAME_S = 0.2
JOINED_S = 1.0


class Joins:
    """When callers are in a room, by the last digits of their numbers."""

    def __init__(self, registry: Registry) -> None:
        self.at_s: dict[str, float] = {}
        """By the loop's clock."""
        self._registry = registry

    async def watch(self) -> None:
        """Until cancelled."""
        loop, seen = asyncio.get_running_loop(), -1
        while True:
            seen = await self._registry.changed(seen)
            for call in self._registry.snapshots():
                if call.state is CallState.IN_ROOM and call.label:
                    self.at_s.setdefault(call.label[-4:], loop.time())


async def test_a_thousand_callers_hear_a_voice_and_are_in_the_room_in_time(tmp_path: Path) -> None:
    clips = Clips(tmp_path / "clips")
    sections = {**clips.settings, "service": {**clips.settings["service"], "max_calls": 250}}
    began, loads = time.monotonic(), os.getloadavg()
    async with (
        ConferenceProcess() as conference,
        serving(
            conference.address,
            members=conference.phone_callers,
            pace=Pace(quarantine_s=0.5),
            **sections,
        ) as served,
        asyncio.TaskGroup() as watching,
    ):
        await served.service.rooms.look_again()
        joins = Joins(served.service.registry)
        watcher = watching.create_task(joins.watch())
        port = served.sip_port("udp")
        async with asyncio.TaskGroup() as callers:
            calls = []
            for number in range(CALLS):
                calls.append(callers.create_task(timed_call(port, number, clips, joins)))
                await asyncio.sleep(EACH_S)
        watcher.cancel()
        await served.until(lambda: not len(served.service.registry))
        assert await served.ends() == {"success/left-room": CALLS}
    first_frames, joined = zip(*(call.result() for call in calls), strict=True)
    busy = (*loads, *os.getloadavg())
    print(  # noqa: T201 - the figures are asked for
        f"{CALLS} calls in {time.monotonic() - began:.0f} s, load {busy[0]:.1f} to {busy[3]:.1f}; "
        f"answer to first frame {shown(first_frames)}; # to joined {shown(joined)}"
    )
    assert quantile(first_frames, 0.99) <= FIRST_FRAME_S
    assert quantile(joined, 0.99) <= JOINED_S


async def timed_call(port: int, number: int, clips: Clips, joins: Joins) -> tuple[float, float]:
    """One call: seconds from the answer to the first frame of a prompt, and from `#` to joined."""
    loop = asyncio.get_running_loop()
    async with Phone(port, number=f"+491573862{number:04}") as phone:
        assert await phone.dial() == 200
        answered_s = time.time()
        await phone.rtp.until(lambda: bool(clips.heard(phone.rtp.audio)))
        first = next(packet for packet in phone.rtp.audio_packets if clips.heard([packet.payload]))
        await phone.key(PIN)
        hash_s = loop.time()
        await phone.key("#")
        await phone.rtp.until(lambda: f"{number:04}" in joins.at_s)
        await asyncio.sleep(STAYS_S)
        await phone.hang_up()
        return first.arrived_s - answered_s, joins.at_s[f"{number:04}"] - hash_s


def shown(seconds: Sequence[float]) -> str:
    """Median, 99th percentile and the worst, in milliseconds."""
    median, most, worst = (1000 * quantile(seconds, share) for share in (0.5, 0.99, 1.0))
    return f"{median:.0f} ms, p99 {most:.0f} ms, worst {worst:.0f} ms"
