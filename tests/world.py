# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole service on loopback for tests: stand-ins, the service itself, and what they leave behind.

Ports are the kernel's choice. When somebody calls, and what is expected, is left to the tests.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from dialin import app
from dialin.demo.bbb import DemoBbb, Members
from dialin.demo.conference import Conference, open_conference
from dialin.demo.rooms import DemoRoom
from dialin.demo.run import demo_settings
from dialin.events import Codec
from dialin.sip import Listen, OutgoingLeg, SipEndpoint
from dialin.wire import sdp
from dialin.wire.flow import Flow

TOKEN = "token-of-the-tests"
ANYWHERE = "127.0.0.1:0"
CALLER = "+4915738620594"


USUAL = app.Pace()


@dataclass(frozen=True, slots=True)
class Served:
    """A service that runs, and the BBB stand-in that it asks."""

    bbb: DemoBbb
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

    async def until(self, is_so: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait for something that nobody tells."""
        async with asyncio.timeout(within_s):
            while not is_so():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

    async def until_true(
        self, is_so: Callable[[], Awaitable[bool]], within_s: float = 10.0
    ) -> None:
        """The same where it takes time to find out."""
        async with asyncio.timeout(within_s):
            while not await is_so():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)

    async def page(self, path: str) -> bytes:
        """What a page says to somebody with the token."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{self.http}{path}") as answer,
        ):
            return await answer.read()

    async def ends(self) -> dict[str, int]:
        """How calls have ended, by the word of /metrics: {"caller/wrong-pin": 1}."""
        page = (await self.page("/metrics")).decode()
        return {
            f"{sample.labels['result']}/{sample.labels['reason']}": int(sample.value)
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == "dialin_calls_total" and sample.value
        }


@dataclass(frozen=True, slots=True)
class World(Served):
    """The same with the mixing conference stand-in."""

    conference: Conference


@asynccontextmanager
async def serving(
    voice: Listen,
    *,
    members: Members = lambda _voice_bridge: (),
    rooms: Iterable[DemoRoom] | None = None,
    pace: app.Pace = USUAL,
    voice_settings: dict[str, Any] | None = None,
    **sections: dict[str, Any],
) -> AsyncIterator[Served]:
    """A service whose BBB server has its voice conferences at `voice`, while the block runs.

    `voice_settings` say how they are reached, where that is not by UDP and RTP.
    """
    async with DemoBbb(members=members, rooms=rooms) as bbb:
        if voice_settings:
            server = {"url": bbb.url, "secret": bbb.secret, "mute_keys": "rfc4733"}
            at = {"voice_host": voice.host, "voice_port": voice.port}
            demo = {"demo": {**server, **at, **voice_settings}}
            sections["bbb_servers"] = {**demo, **sections.get("bbb_servers", {})}
        settings = demo_settings(ANYWHERE, ANYWHERE, TOKEN, bbb, voice, **sections)
        async with app.running(settings, pace) as service:
            yield Served(bbb, service)


@asynccontextmanager
async def whole_service(
    *,
    rooms: Iterable[DemoRoom] | None = None,
    dtmf: str = "info",
    pace: app.Pace = USUAL,
    **sections: dict[str, Any],
) -> AsyncIterator[World]:
    """Stand-ins and service while the block runs. `sections` change settings."""
    voice = [Listen(transport, "127.0.0.1", 0) for transport in ("UDP", "TCP")]
    async with (
        open_conference(voice, dtmf="rfc2833" if dtmf == "rfc2833" else "info") as conference,
        serving(
            conference.addresses[0],
            members=conference.phone_callers,
            rooms=rooms,
            pace=pace,
            **sections,
        ) as served,
    ):
        conference.tell(served.bbb.voice_changed)
        served.bbb.hang_up = conference.end
        yield World(served.bbb, served.service, conference)


@asynccontextmanager
async def telephone() -> AsyncIterator[SipEndpoint]:
    """A caller's user agent."""
    async with await SipEndpoint.open(
        [Listen("UDP", "127.0.0.1", 0)],
        allow_source=lambda host: True,
        on_call=lambda leg: leg.reject(486),
    ) as endpoint:
        yield endpoint


async def ring(phone: SipEndpoint, world: Served, user: str = "dialin") -> OutgoingLeg:
    """An INVITE to the service, with a port that nothing listens on."""
    port = world.sip_port("udp")
    offer = sdp.offer(sdp.LocalMedia("127.0.0.1", 9, 1, 1), [Codec.PCMA])
    return await phone.invite(
        f"sip:{user}@127.0.0.1:{port}",
        Flow("UDP", "127.0.0.1", port),
        from_display="",
        from_user=CALLER,
        offer=bytes(offer),
    )


@dataclass(frozen=True, slots=True)
class Traces:
    """What a service holds; the same before a call and after it, or something leaks."""

    tasks: int
    file_descriptors: int
    legs: int
    calls: int

    def within(self, before: Traces) -> bool:
        """Whether there is no more of anything than before."""
        return all(now <= then for now, then in zip(astuple(self), astuple(before), strict=True))

    @classmethod
    def of(cls, world: Served) -> Self:
        """As it is now."""
        return cls(
            tasks=len(asyncio.all_tasks()),
            file_descriptors=len(os.listdir("/proc/self/fd")),
            legs=world.service.sip.legs,
            calls=len(world.service.registry),
        )


@dataclass(frozen=True, slots=True)
class AllTraces(Traces):
    """The same, and what goes only when SIP's timers and the ports' quarantine are over."""

    transactions: int = 0
    worker_file_descriptors: int = 0
    """Of all media workers: ports are among them."""

    @classmethod
    def of(cls, world: Served) -> Self:
        """As it is now."""
        now = Traces.of(world)
        return cls(
            tasks=now.tasks,
            file_descriptors=now.file_descriptors,
            legs=now.legs,
            calls=now.calls,
            transactions=world.service.sip.transactions,
            worker_file_descriptors=sum(
                len(os.listdir(f"/proc/{pid}/fd")) for pid in media_workers()
            ),
        )


def media_workers() -> list[int]:
    """The processes of ours that own RTP sockets, as the kernel lists them."""
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    return [
        int(pid)
        for pid in children
        if b"dialin.media.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


async def settled(world: Served, before: Traces, *, within_s: float = 40.0) -> Traces:
    """What the service holds once nothing more changes, or when patience ends."""
    kind = type(before)
    try:
        async with asyncio.timeout(within_s):
            while not (now := kind.of(world)).within(before):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)
    except TimeoutError:
        return kind.of(world)
    return now
