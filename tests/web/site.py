# SPDX-License-Identifier: GPL-3.0-or-later
"""The public pages with stand-ins behind them: rooms and calls that tests put there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from dialin.links import LinkKey, Right, RoomLink
from dialin.registry import CallSnapshot, CallState, Order, WaitingFor
from dialin.web.app import build_site
from dialin.web.facts import PageFacts
from dialin.web.gate import Gate
from dialin.web.live import Listeners
from dialin.web.numbers import DialNumber
from dialin.web.room_view import Condition, RoomFacts
from dialin.web.site import Site

KEY = LinkKey("link-canary-3Hq8Zt1Wn6Ys")
NOW = 1_800_000_000.0
EXPIRES = int(NOW) + 3600
PIN = "987654321"
BERLIN = DialNumber("+493023125100", label="Berlin", languages=("de", "en"))
FREE = DialNumber("+4980012345678", toll_free=True, languages=("de",))
LONDON = DialNumber("+442079460958", label="London", languages=("en",))
NUMBERS = (BERLIN, FREE, LONDON)
FACTS = PageFacts(service="Dial-in of the tests", numbers=NUMBERS, languages=("en", "de"))
WELL = Condition()
HTML = {"Accept": "text/html"}
CALL = CallSnapshot(
    id="c0ffee",
    trunk="lab",
    number_called="+493023125100",
    started_at=datetime(2026, 11, 26, tzinfo=UTC),
    label="xxx-xxx-1234",
    state=CallState.IN_ROOM,
    room="demo",
)
WAITING = replace(
    CALL, id="f00d", label="Phone caller 1", state=CallState.WAITING, waiting_for=WaitingFor.HOST
)
RAISED = replace(CALL, id="beef", label="xxx-xxx-5678", muted=True, hand_raised=True)


@dataclass
class Calls:
    """A table of calls that a test writes."""

    up: list[CallSnapshot] = field(default_factory=list)
    given: list[tuple[str, Order]] = field(default_factory=list)
    version: int = 0
    is_busy: bool = False
    obey: Callable[[str, Order], None] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def snapshots(self) -> list[CallSnapshot]:
        """What is in it."""
        return self.up

    async def changed(self, since: int) -> int:
        """Wait for the next change."""
        while self.version <= since:
            await self._news.wait()
        return self.version

    def give(self, call_id: str, order: Order) -> bool:
        """Keep the order, and obey it if the test says how."""
        if self.is_busy:
            return False
        self.given.append((call_id, order))
        if self.obey:
            self.obey(call_id, order)
        return True

    def become(self, *calls: CallSnapshot) -> None:
        """The table changes."""
        self.up = list(calls)
        self.version += 1
        self._news.set()
        self._news = asyncio.Event()


@dataclass
class Rooms:
    """Rooms that a test writes."""

    known: dict[str, RoomFacts] = field(
        default_factory=lambda: {
            "demo": RoomFacts("demo", "Weekly round", PIN, pin_stays=True, running=True),
        }
    )

    def find(self, meeting_id: str) -> RoomFacts | None:
        """One of them."""
        return self.known.get(meeting_id)


@dataclass
class World:
    """The pages and what stands behind them."""

    facts: PageFacts = FACTS
    calls: Calls = field(default_factory=Calls)
    rooms: Rooms = field(default_factory=Rooms)
    condition: Condition = WELL
    key: LinkKey = KEY
    now: float = NOW
    listeners: Listeners = field(default_factory=Listeners)
    proxies: tuple[str, ...] = ()

    def app(self) -> web.Application:
        """The application that serves them."""
        gate = Gate(self.key, proxies=self.proxies, now=lambda: self.now)
        site = Site(
            self.facts,
            gate,
            rooms=self.rooms,
            calls=self.calls,
            condition=lambda: self.condition,
            listeners=self.listeners,
        )
        return build_site(site)

    def with_facts(self, **changes: Any) -> World:
        """The same with other facts."""
        return replace(self, facts=replace(self.facts, **changes))


def link(right: Right = Right.GUEST, meeting_id: str = "demo", expires: int = EXPIRES) -> RoomLink:
    """A link that is right."""
    return KEY.link(meeting_id, right, expires)


GUEST, HOST = link(), link(Right.HOST)
