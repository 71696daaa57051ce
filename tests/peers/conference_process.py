# SPDX-License-Identifier: GPL-3.0-or-later
"""The mixing conference as a process of its own, so that it can die as FreeSWITCH does.

Used as an asynchronous context manager; `kill` and `start` in it are a restart on the same port.
What it is told and what it tells is in `dialin.demo.conference_program`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, Self

from dialin.demo.voice import Change, PhoneCaller
from dialin.sip import Listen
from dialin.wire.flow import Flow

WAIT_S = 10.0


def as_phone_caller(member: dict[str, Any]) -> PhoneCaller:
    """A member as BBB lists it."""
    return PhoneCaller(member["name"], member["caller_number"], member["muted"], member["number"])


class OrderFailed(Exception):
    """The process could not carry out an order; the text says why."""


class ConferenceProcess:
    """One conference server, up or down."""

    def __init__(self, *arguments: str) -> None:
        """`arguments` are those of the command line, such as `--chime` and a room."""
        self._arguments = arguments
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._members: dict[int, dict[str, Any]] = {}
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._ordering = asyncio.Lock()
        self._listeners: list[Callable[[str, PhoneCaller, Change], None]] = []

    @property
    def address(self) -> Listen:
        """Where it takes calls by UDP; the same after a restart."""
        return Listen("UDP", "127.0.0.1", self._port)

    @property
    def way(self) -> Flow:
        """The same, as the way to it."""
        return Flow("UDP", "127.0.0.1", self._port)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it, on the same port as before if it was up already."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dialin.demo.conference", "--control"),
            *("--transport", "udp", "--sip", f"127.0.0.1:{self._port}", *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            udp = (await self._process.stdout.readline()).decode().split()
        self._port = int(udp[2])
        self._answers = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(self._process.stdout))

    async def kill(self) -> None:
        """Let it die without a word: no BYE, and no packet more."""
        if self._process and self._process.returncode is None:
            self._process.kill()
        await self._gone()

    async def stop(self) -> int | None:
        """Let it end as told: BYE to everybody. Gives its exit status; None if it was down."""
        if self._process and self._process.returncode is None:
            self._process.terminate()
        return await self._gone()

    async def _gone(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(WAIT_S):
            status = await process.wait()
            if self._reading:
                await self._reading
        self._members.clear()
        self._changed.set()
        return status

    async def _read(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            told = json.loads(line)
            if "change" in told:
                self._take(told["change"], told["member"])
            else:
                self._answers.put_nowait(told)

    def tell(self, told: Callable[[str, PhoneCaller, Change], None]) -> None:
        """Let BBB know what happens to phone callers, as `Conference.tell`; not that it dies."""
        self._listeners.append(told)

    def _take(self, change: str, member: dict[str, Any]) -> None:
        if member["kind"] == "phone":
            for told in self._listeners:
                told(member["room"], as_phone_caller(member), Change(change))
        if change == "left":
            self._members.pop(member["number"], None)
        else:
            self._members[member["number"]] = member
        self._changed.set()

    def members(self, room: str | None = None) -> tuple[dict[str, Any], ...]:
        """Who is in a room, or in any: `number`, `room`, `name`, `caller_number`, `muted`."""
        members = self._members.values()
        return tuple(member for member in members if room in (None, member["room"]))

    def phone_callers(self, room: str) -> list[PhoneCaller]:
        """Those whom BBB lists as phone callers, for `DemoBbb(members=...)`."""
        return [as_phone_caller(one) for one in self.members(room) if one["kind"] == "phone"]

    async def until(self, is_so: Callable[[ConferenceProcess], bool]) -> None:
        """Wait until something about the members is so."""
        async with asyncio.timeout(WAIT_S):
            while not is_so(self):
                self._changed.clear()
                await self._changed.wait()

    async def order(self, order: str) -> Any:
        """Give an order, and wait for the answer. Raises OrderFailed."""
        assert self._process is not None
        assert self._process.stdin is not None
        async with self._ordering, asyncio.timeout(WAIT_S):
            self._process.stdin.write(f"{order}\n".encode())
            await self._process.stdin.drain()
            told = await self._answers.get()
        if "failed" in told:
            raise OrderFailed(told["failed"])
        return told["answer"]
