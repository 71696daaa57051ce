# SPDX-License-Identifier: GPL-3.0-or-later
"""The foreign conference server: it is there, tells who is in it, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import re
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.asterisk import HOST, ROOTFS, Asterisk, Member, running_asterisk

pytestmark = pytest.mark.e2e

ROOM = "123456789"
SEEN_WITHIN_S = 10.0


@asynccontextmanager
async def call(
    asterisk: Asterisk, number: str, *, transport: str = "u1"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """sipp's own caller, which stays for a minute unless the block ends before."""
    target = f"{asterisk.host}:{asterisk.port}"
    options = ["-sn", "uac", "-s", number, "-m", "1", "-d", "60000", "-t", transport, "-i", HOST]
    process = await asyncio.create_subprocess_exec(
        *("sipp", target, *options, "-i", "127.0.0.1"),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def members(asterisk: Asterisk, room: str, count: int) -> list[Member]:
    """The members of a room as soon as there are so many."""
    async with asyncio.timeout(SEEN_WITHIN_S):
        while len(found := await asterisk.members(room)) != count:
            pass  # each look is a question to Asterisk, which takes its time
    return found


async def test_it_is_asterisk_22_and_nobody_is_in_it(asterisk: Asterisk) -> None:
    assert re.match(r"Asterisk 22\.", await asterisk.command("core show version"))
    assert await asterisk.members(ROOM) == []


@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_a_caller_is_a_member_until_the_meeting_ends(
    asterisk: Asterisk, transport: str
) -> None:
    async with call(asterisk, ROOM, transport=transport):
        (member,) = await members(asterisk, ROOM, 1)
        assert member == Member(name="sipp", number="sipp", codec="ulaw")
        await asterisk.hang_up(ROOM)
        await members(asterisk, ROOM, 0)


@pytest.mark.parametrize("number", ["1234", "123456789012", "demo"])
async def test_what_is_no_conference_number_is_refused(asterisk: Asterisk, number: str) -> None:
    async with call(asterisk, number) as caller, asyncio.timeout(SEEN_WITHIN_S):
        assert await caller.wait() == 1


async def test_two_can_run_at_once_and_nothing_is_left(asterisk: Asterisk) -> None:
    before = sorted((ROOTFS / "tmp").iterdir())
    async with running_asterisk() as other:
        assert other.port != asterisk.port
        assert await other.members(ROOM) == []

    assert sorted((ROOTFS / "tmp").iterdir()) == before
    assert is_free(other.port)
    assert not is_free(asterisk.port)


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
