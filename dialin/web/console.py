# SPDX-License-Identifier: GPL-3.0-or-later
"""`/console`: how everything does, for operators, and what they can do about it.

One shows a token of the API and gets a session. Everything that is shown comes from the API's own
shapes, so it holds no phone number; what changes by itself comes as server-sent events, and without
scripts by loading the page again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web
from markupsafe import Markup

from dialin.registry import CallSnapshot, CallState, HangUp
from dialin.web.api.state import StateDesk
from dialin.web.api.tokens import Scope, Tokens
from dialin.web.console_sessions import IDLE_S, Session, Sessions
from dialin.web.facts import PageFacts
from dialin.web.live import (
    HEARTBEAT_S,
    LOOK_EVERY_S,
    RETRY_S,
    Listeners,
    event,
    event_stream,
    write,
)
from dialin.web.meeting_name import shown_name
from dialin.web.pages import Pages
from dialin.web.room_view import ORDERS, LiveCalls
from dialin.web.source import is_same_site
from dialin.web.sparkline import HEIGHT, WIDTH, points

COOKIE = "dialin_console"
HOME = "/console"
PARTS = ("now", "trunks", "servers", "queue", "calls", "ends")
"""What of the page changes by itself; each has a template and an element of that name."""
MOST_LISTENERS = 20
ENDS_SHOWN = 20
JITTER_TOP_MS = 30.0
LOSS_TOP = 10.0
"""What the small lines have at their top if nothing is higher: milliseconds, packets in 5 s."""


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as the console shows it."""

    call: CallSnapshot
    room: str
    """The meeting id, fit to be shown."""
    jitter: str
    """Points of a line."""
    lost: str
    """Points of a line."""


class Console:
    """All that stands below `/console`."""

    def __init__(
        self,
        pages: Pages,
        tokens: Tokens,
        desk: StateDesk,
        calls: LiveCalls,
        sessions: Sessions | None = None,
    ) -> None:
        self._pages = pages
        self._tokens = tokens
        self._desk = desk
        self._calls = calls
        self._sessions = sessions or Sessions()
        self._listeners = Listeners(MOST_LISTENERS, MOST_LISTENERS)

    def add_to(self, app: web.Application) -> None:
        """Let an application answer for the console."""
        router = app.router
        router.add_get(HOME, self.page)
        router.add_post(f"{HOME}/login", self.log_in)
        router.add_post(f"{HOME}/logout", self.log_out)
        router.add_get(f"{HOME}/events", self.events)
        router.add_post(f"{HOME}/drain", self.drain)
        router.add_post(f"{HOME}/calls/{{call_id}}/{{action}}", self.act)
        app.on_shutdown.append(self._listeners.close)

    def show(self, facts: PageFacts) -> None:
        """Say this of the service from now on."""
        self._pages.facts = facts

    async def page(self, request: web.Request) -> web.Response:
        """`/console`: the page, or what asks for a token."""
        if not self._tokens.exist:
            raise web.HTTPNotFound
        session = self._session(request)
        if session is None:
            return self._pages.page(
                request, "console_login.html", is_wrong="wrong" in request.query
            )
        parts = self._parts(request, session)
        return self._pages.page(
            request,
            "console.html",
            parts={name: Markup(html) for name, html in parts.items()},  # noqa: S704 - ours, escaped
            names=" ".join(PARTS),
            events=f"{self._pages.facts.prefix}{HOME}/events",
            form_token=session.form_token,
            accepting=self._desk.accepting(),
        )

    async def log_in(self, request: web.Request) -> web.Response:
        """`POST /console/login`: a token for a session. Raises HTTPTooManyRequests."""
        if not is_same_site(request):
            raise web.HTTPForbidden
        given = (await request.post()).get("token", "")
        token = self._tokens.holder(f"Bearer {given}") if isinstance(given, str) else None
        if token is None or Scope.ADMIN not in token.scopes:
            with suppress(web.HTTPUnauthorized):  # said by the page
                raise self._tokens.refusal(request)
            raise web.HTTPSeeOther(f"{self._pages.facts.prefix}{HOME}?wrong")
        answer = web.HTTPSeeOther(f"{self._pages.facts.prefix}{HOME}")
        answer.set_cookie(
            COOKIE,
            self._sessions.begin(token),
            max_age=int(IDLE_S),
            path=f"{self._pages.facts.prefix}{HOME}",
            httponly=True,
            samesite="Strict",
            secure=request.secure or self._pages.facts.root.startswith("https:"),
        )
        raise answer

    async def log_out(self, request: web.Request) -> web.Response:
        """`POST /console/logout`."""
        await self._checked(request)
        self._sessions.end(request.cookies.get(COOKIE, ""))
        answer = web.HTTPSeeOther(f"{self._pages.facts.prefix}{HOME}")
        answer.del_cookie(COOKIE, path=f"{self._pages.facts.prefix}{HOME}")
        raise answer

    async def drain(self, request: web.Request) -> web.Response:
        """`POST /console/drain`: take no new calls."""
        await self._checked(request)
        self._desk.drain()
        raise web.HTTPSeeOther(f"{self._pages.facts.prefix}{HOME}")

    async def act(self, request: web.Request) -> web.Response:
        """`POST /console/calls/{call_id}/{action}`: an order to one call."""
        session = await self._checked(request)
        order = ORDERS.get(request.match_info["action"])
        if not session.may(Scope.CALLS):
            raise web.HTTPForbidden
        if order is None:
            raise web.HTTPNotFound
        self._calls.give(request.match_info["call_id"], order)  # one that has ended shows as such
        raise web.HTTPSeeOther(f"{self._pages.facts.prefix}{HOME}")

    async def events(self, request: web.Request) -> web.StreamResponse:
        """`/console/events`: all that changes, until the reader goes or the session ends."""
        session = self._session(request)
        if session is None:
            raise web.HTTPForbidden
        with self._listeners.one_more(HOME):
            response = event_stream()
            await response.prepare(request)
            with suppress(ConnectionError, TimeoutError):
                await self._tell(request, response, session)
        return response

    async def _tell(
        self, request: web.Request, response: web.StreamResponse, session: Session
    ) -> None:
        loop = asyncio.get_running_loop()
        sent: dict[str, str] = {}
        await write(response, f"retry: {RETRY_S * 1000}\n\n")
        beat_at = loop.time() + HEARTBEAT_S
        while not self._listeners.are_closed and self._is_in(session):
            began, version = loop.time(), self._calls.version
            parts = self._parts(request, session)
            took_s = loop.time() - began
            for name, html in parts.items():
                if sent.get(name) != html:
                    await write(response, event(name, html))
                    sent[name] = html
                    beat_at = loop.time() + HEARTBEAT_S
            if loop.time() >= beat_at:
                await write(response, ":\n\n")
                beat_at = loop.time() + HEARTBEAT_S
            await asyncio.sleep(self._listeners.pause_s(took_s))
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._calls.changed(version)
        if not self._listeners.are_closed:
            await write(response, event("end", ""))

    def _parts(self, request: web.Request, session: Session) -> dict[str, str]:
        """Each part of the page, as HTML."""
        who = self._pages.reader(request)
        values = self._values(session)
        return {name: self._pages.fragment(f"console_{name}.html", who, **values) for name in PARTS}

    def _values(self, session: Session) -> Mapping[str, object]:
        service, calls = self._desk.service(), self._calls.snapshots()
        return {
            "service": service,
            "calls_up": sum(service.calls.values()),
            "trunks": self._desk.trunks(),
            "servers": self._desk.servers(),
            "queue": rows(call for call in calls if call.state is CallState.WAITING),
            "calls": rows(call for call in calls if call.state is not CallState.WAITING),
            "ends": service.recent_ends[:ENDS_SHOWN],
            "may_act": session.may(Scope.CALLS),
            "form_token": session.form_token,
            "width": WIDTH,
            "height": HEIGHT,
            "seconds_since": seconds_since,
            "hang_up": next(name for name, order in ORDERS.items() if order == HangUp()),
        }

    def _session(self, request: web.Request) -> Session | None:
        session = self._sessions.find(request.cookies.get(COOKIE, ""))
        return session if session is not None and self._is_in(session) else None

    def _is_in(self, session: Session) -> bool:
        """Whether a session lives, and its token is one still. A page that is open is no use."""
        return self._sessions.lives(session) and self._tokens.count(session.token)

    async def _checked(self, request: web.Request) -> Session:
        """The session of a form that came from its own page. Raises HTTPForbidden."""
        session = self._session(request)
        token = (await request.post()).get("form_token", "")
        is_ours = is_same_site(request) and isinstance(token, str)
        if session is None or not (is_ours and session.is_form_token(str(token))):
            raise web.HTTPForbidden
        return session


def rows(calls: Iterable[CallSnapshot]) -> Sequence[CallRow]:
    """Calls with their small lines."""
    return [row(call) for call in calls]


def row(call: CallSnapshot) -> CallRow:
    """A call with its small lines."""
    jitter = [figure for figure, _ in call.recent_quality]
    lost = [float(count) for _, count in call.recent_quality]
    return CallRow(
        call,
        room=shown_name(call.room or ""),
        jitter=points(jitter, JITTER_TOP_MS),
        lost=points(lost, LOSS_TOP),
    )


def seconds_since(text: str) -> float:
    """How long a time of the API is past."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())
