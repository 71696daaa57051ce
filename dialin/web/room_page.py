# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of one room, behind a signed link, and what is below it: invitation, QR code, sheet.

A guest's link shows numbers and PIN, and how many call. A host's shows each caller by the label
that the meeting shows, and takes orders by forms. Changes as they happen are `live`'s affair, and
who is let in is `gate`'s.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from aiohttp import hdrs, web
from markupsafe import Markup

from dialin.links import Right, RoomLink
from dialin.web.gate import Gate
from dialin.web.invitation import Invitation, length_of, start_of
from dialin.web.language import Reader
from dialin.web.numbers import nearest_first, pin_groups
from dialin.web.pages import Pages
from dialin.web.room_view import (
    ORDERS,
    Callers,
    CallerView,
    Conditions,
    LiveCalls,
    RoomFacts,
    RoomFinder,
    callers_of,
    title_of,
)
from dialin.web.source import is_same_site

OBEYED_WITHIN_S = 0.7
"""How long a page without scripts waits for its order to show."""
PARTS = ("service", "join", "count", "callers", "invite")
"""What of the page changes by itself; each has a template, and an element of that name."""
MOST_SHOWN = 100
"""Callers that a list shows; the rest is a number."""
ICS_NAME = 'attachment; filename="invitation.ics"'


@dataclass(frozen=True, slots=True)
class Visit:
    """One look at a room's page: who looks, with what right, at what."""

    link: RoomLink
    who: Reader
    room: RoomFacts

    @property
    def is_host(self) -> bool:
        """Whether this one may act."""
        return self.link.right is Right.HOST


class RoomPages:
    """All that stands below `/rooms/`."""

    def __init__(
        self,
        pages: Pages,
        gate: Gate,
        *,
        rooms: RoomFinder,
        calls: LiveCalls,
        condition: Conditions,
    ) -> None:
        self.gate = gate
        self.calls = calls
        self._pages = pages
        self._rooms = rooms
        self._condition = condition

    async def page(self, request: web.Request) -> web.Response:
        """`/rooms/{meeting_id}`."""
        visit = self.visit(request)
        values, language = self._values(visit), visit.who.words.language
        parts = self._rendered(visit, values)
        return self._pages.page(
            request,
            "room.html",
            **values,
            parts={name: Markup(html) for name, html in parts.items()},  # noqa: S704 - ours, escaped
            events=self._address(visit.link, "events", lang=language, seen=digest_of(parts)),
            calendar_start=start_of("", self._zone, datetime.now(self._zone)),
            is_gone="gone" in request.query,
        )

    async def sheet(self, request: web.Request) -> web.Response:
        """`/rooms/{meeting_id}/sheet`: to print, in large type."""
        visit = self.visit(request)
        return self._pages.page(request, "sheet.html", **self._values(visit))

    async def text(self, request: web.Request) -> web.Response:
        """`/rooms/{meeting_id}/invite.txt`."""
        visit = self.visit(request)
        language = visit.who.words.language
        return web.Response(
            text=f"{self._invitation(visit).text()}\n", headers={hdrs.CONTENT_LANGUAGE: language}
        )

    async def calendar(self, request: web.Request) -> web.Response:
        """`/rooms/{meeting_id}/invite.ics`. Raises HTTPBadRequest for a time that is none."""
        visit, now = self.visit(request), datetime.now(UTC)
        start = start_of(request.query.get("start", ""), self._zone, now)
        length = length_of(request.query.get("minutes", ""))
        if start is None or length is None:
            raise web.HTTPBadRequest
        return web.Response(
            body=self._invitation(visit).calendar(start, length, now),
            content_type="text/calendar",
            charset="utf-8",
            headers={hdrs.CONTENT_DISPOSITION: ICS_NAME},
        )

    async def qr_code(self, request: web.Request) -> web.Response:
        """`/rooms/{meeting_id}/qr.svg`."""
        invitation = self._invitation(self.visit(request))
        if invitation.number is None:
            raise web.HTTPNotFound
        return web.Response(body=invitation.qr_code(), content_type="image/svg+xml")

    async def act(self, request: web.Request) -> web.Response:
        """`POST /rooms/{meeting_id}/callers/{call_id}/{action}`: a host's order to one caller.

        Raises HTTPForbidden for a form that did not come from the page.
        """
        visit = self.visit(request)
        if not visit.is_host:
            raise self.gate.refusal(request)
        form = await request.post()
        token = form.get("token", "")
        is_ours = is_same_site(request) and isinstance(token, str)
        if not (is_ours and self.gate.key.is_form_token(visit.link, str(token))):
            raise web.HTTPForbidden
        is_done = await self._give(visit, request.match_info)
        gone = {} if is_done else {"gone": "1"}
        language = {"lang": request.query["lang"]} if "lang" in request.query else {}
        raise web.HTTPSeeOther(f"{self._address(visit.link, **language, **gone)}#callers-title")

    def visit(self, request: web.Request) -> Visit:
        """Who looks at which room. Raises what the gate raises."""
        link = self.gate.link_of(request)
        return Visit(link, self._pages.reader(request), self._room(link.meeting_id))

    def again(self, visit: Visit) -> Visit:
        """The same look at the room as it is now."""
        return replace(visit, room=self._room(visit.link.meeting_id))

    def parts(self, visit: Visit) -> dict[str, str]:
        """What of the page changes by itself, as it is now."""
        return self._rendered(visit, self._values(visit))

    def _rendered(self, visit: Visit, values: Mapping[str, object]) -> dict[str, str]:
        return {part: self._pages.fragment(f"{part}.html", visit.who, **values) for part in PARTS}

    def glance(self, visit: Visit) -> object:
        """Changes whenever `parts` would, at the price of a look."""
        sentence, age_s = self._condition().sentence(datetime.now(UTC))
        return visit.room, self._callers(visit), sentence, int(age_s // 60)

    async def _give(self, visit: Visit, wanted: web.UrlMappingMatchInfo) -> bool:
        """Give an order to a caller of this very room; False if it makes no sense any more."""
        callers = self._callers(visit)
        known = next(
            (
                caller
                for caller in (*callers.waiting, *callers.in_room)
                if caller.call_id == wanted["call_id"]
            ),
            None,
        )
        if known is None or wanted["action"] not in known.actions:
            return False
        version = self.calls.version
        if not self.calls.give(known.call_id, ORDERS[wanted["action"]]):
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(OBEYED_WITHIN_S):
                await self.calls.changed(version)
        return True

    def _room(self, meeting_id: str) -> RoomFacts:
        # The link is right, so whoever made it says that there is such a room.
        return self._rooms.find(meeting_id) or RoomFacts(meeting_id, "")

    def _callers(self, visit: Visit) -> Callers:
        return callers_of(self.calls.snapshots(), visit.link.meeting_id)

    def _values(self, visit: Visit) -> dict[str, object]:
        """What the templates of a room are filled with."""
        invitation = self._invitation(visit)
        facts, sentence = self._pages.facts, self._condition().sentence(datetime.now(UTC))
        callers, guest = self._callers(visit), self.gate.key.guest(visit.link)
        language = visit.who.words.language

        def below(page: str) -> str:
            return self._address(guest, page, lang=language)

        def action(caller: CallerView, what: str) -> str:
            return self._address(visit.link, f"callers/{caller.call_id}/{what}", lang=language)

        return {
            "room": visit.room,
            "name": invitation.name,
            "sentence": sentence[0],
            "ago": visit.who.words.ago(sentence[1]),
            "numbers": invitation.numbers,
            "invitation": invitation,
            "pin_groups": pin_groups(visit.room.pin),
            "callers": callers,
            "most": MOST_SHOWN,
            "is_host": visit.is_host,
            "token": self.gate.key.form_token(visit.link) if visit.is_host else "",
            "below": below,
            "action": action,
            "guest": guest,
            "here": self._address(visit.link, lang=language),
            "zone": str(facts.zone),
        }

    def _invitation(self, visit: Visit) -> Invitation:
        words, facts = visit.who.words, self._pages.facts
        guest = self.gate.key.guest(visit.link)
        return Invitation(
            words,
            name=title_of(visit.room, words("room.untitled")),
            meeting_id=visit.room.meeting_id,
            numbers=nearest_first(facts.numbers, visit.who),
            pin=visit.room.pin,
            url=f"{facts.root}{guest.path()}" if facts.root else "",
        )

    def _address(self, link: RoomLink, page: str = "", **more: str) -> str:
        return f"{self._pages.facts.prefix}{link.path(page, **more)}"

    @property
    def _zone(self) -> ZoneInfo:
        return self._pages.facts.zone


def digest_of(parts: Mapping[str, str]) -> str:
    """Differs if any part does; tells a stream whether a page is up to date."""
    return hashlib.sha256("\0".join(parts.values()).encode()).hexdigest()[:16]
