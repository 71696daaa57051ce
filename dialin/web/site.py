# SPDX-License-Identifier: GPL-3.0-or-later
"""The public pages as one thing that can be put on a listener: which path is which page."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from dialin.web.facts import PageFacts
from dialin.web.gate import Gate
from dialin.web.live import Listeners, LivePages
from dialin.web.pages import Pages, add_static_files
from dialin.web.public_page import public_page
from dialin.web.room_page import RoomPages
from dialin.web.room_view import Conditions, LiveCalls, RoomFinder

ROOM = "/rooms/{meeting_id}"


class Site:
    """What the world may open."""

    def __init__(
        self,
        facts: PageFacts,
        gate: Gate,
        *,
        rooms: RoomFinder,
        calls: LiveCalls,
        condition: Conditions,
        listeners: Listeners | None = None,
    ) -> None:
        self._pages = Pages(facts)
        self._condition = condition
        self._listeners = Listeners() if listeners is None else listeners
        self._rooms = RoomPages(self._pages, gate, rooms=rooms, calls=calls, condition=condition)

    def add_to(self, app: web.Application) -> None:
        """Let an application answer for these pages."""
        rooms, router = self._rooms, app.router
        live = LivePages(rooms, self._listeners)
        router.add_get("/", public_page(self._pages, self._condition))
        add_static_files(app)
        router.add_get(ROOM, rooms.page)
        router.add_get(f"{ROOM}/sheet", rooms.sheet)
        router.add_get(f"{ROOM}/invite.txt", rooms.text)
        router.add_get(f"{ROOM}/invite.ics", rooms.calendar)
        router.add_get(f"{ROOM}/qr.svg", rooms.qr_code)
        router.add_get(f"{ROOM}/events", live.events, allow_head=False)
        router.add_post(f"{ROOM}/callers/{{call_id}}/{{action}}", rooms.act)
        app.on_shutdown.append(self._listeners.close)

    def show(self, facts: PageFacts) -> None:
        """Say this of the service from now on."""
        self._pages.facts = facts

    def error(
        self, request: web.Request, status: int, headers: Mapping[str, str]
    ) -> web.Response | None:
        """The page for an error; None where a program asks."""
        return self._pages.error(request, status, headers)
