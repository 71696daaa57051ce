# SPDX-License-Identifier: GPL-3.0-or-later
"""Subscribers of a service that runs: those of its settings, and those of settings read anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dialin.demo.run import demo_settings
from dialin.registry import CallState
from dialin.settings import Settings
from tests.subscribers import SECRET, open_taker
from tests.world import ANYWHERE, TOKEN, World, whole_service


def told_at(url: str) -> dict[str, Any]:
    return {"lms": {"url": url, "secret": SECRET, "meetings": ["demo"]}}


def settings(world: World, **sections: Any) -> Settings:
    """The settings of the world, with changes."""
    voice = world.conference.addresses[0]
    return demo_settings(ANYWHERE, ANYWHERE, TOKEN, world.bbb, voice, **sections)


async def is_known_as_taken(world: World) -> bool:
    """Whether the service has read the answer: who inherits before is told once more."""
    return b'{result="taken",subscriber="lms"} 1.0' in await world.page("/metrics")


@contextmanager
def in_room(world: World, call_id: str) -> Iterator[None]:
    """A call is in the room while the block runs."""
    with world.service.registry.admit(
        call_id, trunk="demo", number_called="+493023125100"
    ) as record:
        record.enters(room="demo", server="demo", label="xxx-xxx-1234")
        record.is_now(CallState.IN_ROOM)
        yield


async def test_settings_that_are_read_anew_say_who_is_told() -> None:
    async with open_taker() as first, open_taker() as second:
        async with whole_service(subscribers=told_at(first.url)) as world:
            with in_room(world, "one"):
                (told,) = await first.got(1)
                assert told["call"]["label"] == "xxx-xxx-1234"
                await world.until_true(lambda: is_known_as_taken(world))
                changed = settings(world, subscribers=told_at(second.url))
                await world.service.changeable.change(changed)
            (told,) = await second.got(1)
            assert (told["event"], told["call"]["id"]) == ("left", "one")
            await world.service.changeable.change(settings(world))
            with in_room(world, "two"):
                await asyncio.sleep(0.3)
        assert (len(first.bodies), len(second.bodies)) == (1, 1)
