# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole service on loopback for tests: stand-ins, the service itself, and what they leave behind.

Ports are the kernel's choice. Who calls, and what is expected, is left to the tests.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from dialin import app
from dialin.demo.bbb import DemoBbb
from dialin.demo.bbb_answers import DemoRoom
from dialin.demo.conference import Conference, open_conference
from dialin.demo.run import demo_settings
from dialin.sip import Listen

TOKEN = "token-of-the-tests"
ANYWHERE = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class World:
    """What a test can touch."""

    bbb: DemoBbb
    conference: Conference
    service: app.Service

    def sip_port(self, transport: str) -> int:
        """Where the service takes calls."""
        return next(
            at.port for at in self.service.sip.addresses if at.transport == transport.upper()
        )

    @property
    def http(self) -> str:
        """Where the service's pages begin."""
        host, port = self.service.web_addresses[0]
        return f"http://{host}:{port}"


@asynccontextmanager
async def whole_service(
    *, rooms: Iterable[DemoRoom] | None = None, dtmf: str = "info", **sections: dict[str, Any]
) -> AsyncIterator[World]:
    """Stand-ins and service while the block runs. `sections` change settings."""
    voice = [Listen(transport, "127.0.0.1", 0) for transport in ("UDP", "TCP")]
    async with (
        open_conference(voice, dtmf="rfc2833" if dtmf == "rfc2833" else "info") as conference,
        DemoBbb(members=conference.phone_callers, rooms=rooms) as bbb,
    ):
        settings = demo_settings(
            ANYWHERE, ANYWHERE, TOKEN, bbb, conference.addresses[0], **sections
        )
        async with app.running(settings) as service:
            yield World(bbb, conference, service)


@dataclass(frozen=True, slots=True)
class Traces:
    """What a service holds; the same before a call and after it, or something leaks."""

    tasks: int
    file_descriptors: int
    legs: int
    calls: int

    def within(self, before: Traces) -> bool:
        """Whether there is no more of anything than before."""
        return (
            self.tasks <= before.tasks
            and self.file_descriptors <= before.file_descriptors
            and self.legs <= before.legs
            and self.calls <= before.calls
        )

    @classmethod
    def of(cls, world: World) -> Traces:
        """As it is now."""
        return cls(
            tasks=len(asyncio.all_tasks()),
            file_descriptors=len(os.listdir("/proc/self/fd")),
            legs=world.service.sip.legs,
            calls=len(world.service.registry),
        )


async def settled(world: World, before: Traces, *, within_s: float = 40.0) -> Traces:
    """What the service holds once nothing more changes, or when patience ends."""
    try:
        async with asyncio.timeout(within_s):
            while not (now := Traces.of(world)).within(before):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)
    except TimeoutError:
        return Traces.of(world)
    return now
