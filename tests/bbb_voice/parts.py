# SPDX-License-Identifier: GPL-3.0-or-later
"""The signalling of a conference's leg, scripted; its media is that of `tests.fakes.call_parts`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from dialin.events import Codec
from dialin.sip import LegEnd, TlsTarget
from dialin.wire import sdp
from dialin.wire.flow import Flow
from tests.fakes.call_parts import KEY_S

ANSWER = bytes(sdp.offer(sdp.LocalMedia("192.0.2.50", 16384, 1, 1), [Codec.PCMA]))


class FakeOutgoing:
    """The signalling side of a leg that we opened."""

    def __init__(self, outcome: bytes | Exception) -> None:
        self.outcome = outcome
        self.ended: asyncio.Future[LegEnd] = asyncio.get_running_loop().create_future()
        self.on_reoffer: Callable[[bytes | None], bytes | None] = lambda offer: None
        self.on_reanswer: Callable[[bytes], None] = lambda answer: None
        self.early: asyncio.Queue[bytes] = asyncio.Queue()
        self.rings_s = 0.0
        self.hung_up = 0
        self.info: list[str] = []
        self.refuses_info: Exception | None = None

    async def early_media(self) -> bytes:
        """The answers of provisional responses, as they come."""
        return await self.early.get()

    async def answered(self) -> bytes:
        await asyncio.sleep(self.rings_s)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def hang_up(self) -> None:
        self.hung_up += 1

    async def send_info_digit(self, key: str) -> None:
        await asyncio.sleep(KEY_S)
        if self.refuses_info:
            raise self.refuses_info
        self.info.append(key)


class FakeSignalling:
    """Remembers the INVITE."""

    def __init__(self, *outcomes: bytes | Exception) -> None:
        self.legs = [FakeOutgoing(outcome) for outcome in outcomes or (ANSWER,)]
        self.leg = self.legs[-1]
        self.uri = ""
        self.flow = Flow("UDP", "", 0)
        self.arguments: dict[str, Any] = {}
        self.offers: list[sdp.SessionDescription] = []
        self.trusted: list[tuple[str, int, TlsTarget]] = []

    def local_host_for(self, flow: Flow) -> str:
        return "192.0.2.1"

    def trust(self, host: str, port: int, target: TlsTarget) -> None:
        self.trusted.append((host, port, target))

    async def invite(self, uri: str, flow: Flow, **arguments: Any) -> FakeOutgoing:
        self.uri, self.flow, self.arguments = uri, flow, arguments
        self.offers.append(sdp.SessionDescription.parse(arguments["offer"]))
        return self.legs[len(self.offers) - 1]

    @property
    def profiles(self) -> list[str]:
        """What was offered, one INVITE after the other."""
        return [offer.media[0].protocol for offer in self.offers]
