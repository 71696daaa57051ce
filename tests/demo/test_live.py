# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo as a whole, with a caller in it: BBB's list, the webhooks and the service agree."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from dialin.demo import run
from dialin.demo.run import World
from dialin.registry import CallState
from tests.peers.phone import Phone

WAIT_S = 20.0


def free_address() -> str:
    """HOST:PORT that can be told to others before the service listens there."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


def is_muted(world: World) -> bool:
    (call,) = world.service.registry.snapshots()
    return call.muted


async def test_a_host_mutes_a_caller_who_comes_back_by_star_six() -> None:
    async with run.demo_world("127.0.0.1:0", free_address(), "token-of-mine") as world:
        sip = next(at.port for at in world.service.sip.addresses if at.transport == "UDP")
        await until(lambda: bool(world.bbb.webhooks.hooks))
        async with Phone(sip, number="+4915738620594") as phone:
            assert await phone.dial() == 200
            await phone.key("123456789#")
            await until(lambda: bool(world.conference.members()))
            (member,) = world.conference.members()
            await until(lambda: world.service.registry.snapshots()[0].state is CallState.IN_ROOM)
            world.conference.mute(member)
            await until(lambda: is_muted(world))
            await phone.key("*6")
            await until(lambda: not member.muted)
            await until(lambda: not is_muted(world))
            assert member.keys == 3  # the sequence, and nothing that the caller pressed
            world.bbb.end_room("demo")
            await until(lambda: not len(world.service.registry))
        posted = world.bbb.webhooks.posted
    assert {posted["user-audio-muted"], posted["user-audio-unmuted"]} == {1}
    assert not world.bbb.webhooks.refused
