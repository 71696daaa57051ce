# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes on a room page, as it happens: server-sent events (WHATWG HTML §9.2).

Each event bears the name of a part of the page and its HTML. A stream ends with its link, and
there are only so many at a time; who gets none loads the page again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aiohttp import hdrs, web

from dialin.web.room_page import RoomPages, Visit, digest_of

MOST_LISTENERS = 200
MOST_OF_A_ROOM = 20
RETRY_S = 5
"""When a browser comes again after a stream has broken."""
PACE_S = 0.2
"""Between two looks, however fast things change."""
SHARE = 0.1
"""Of the service's time that all streams together may take: calls come first."""
LONGEST_PAUSE_S = 10.0
LOOK_EVERY_S = 1.0
"""What no call changes, such as the meeting's begin, is seen as soon as this."""
HEARTBEAT_S = 15.0
"""Proxies close what is silent for longer than a minute."""
WRITE_WITHIN_S = 10.0
"""A browser that takes nothing for so long is gone."""


class Listeners:
    """How many listen, in all and to each room."""

    def __init__(self, most: int = MOST_LISTENERS, most_of_a_room: int = MOST_OF_A_ROOM) -> None:
        self._most = most
        self._most_of_a_room = most_of_a_room
        self._rooms: Counter[str] = Counter()
        self.are_closed = False
        """Whether the service is about to stop."""

    def __len__(self) -> int:
        return self._rooms.total()

    @contextmanager
    def one_more(self, meeting_id: str) -> Iterator[None]:
        """A place while the block runs. Raises HTTPServiceUnavailable if there is none."""
        is_full = len(self) >= self._most or self._rooms[meeting_id] >= self._most_of_a_room
        if is_full or self.are_closed:
            raise web.HTTPServiceUnavailable(headers={hdrs.RETRY_AFTER: "60"})
        self._rooms[meeting_id] += 1
        try:
            yield
        finally:
            self._rooms[meeting_id] -= 1
            self._rooms += Counter()  # drops those at nought

    def pause_s(self, took_s: float) -> float:
        """How long one stream rests after a look that took so long."""
        return min(LONGEST_PAUSE_S, max(PACE_S, took_s * len(self) / SHARE))

    async def close(self, _app: web.Application) -> None:
        """Signal of aiohttp's: the streams end within LOOK_EVERY_S."""
        self.are_closed = True


class LivePages:
    """`/rooms/{meeting_id}/events`."""

    def __init__(
        self,
        rooms: RoomPages,
        listeners: Listeners,
        *,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._rooms = rooms
        self._listeners = listeners
        self._heartbeat_s = heartbeat_s

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Tell all that changes until the link expires or the reader goes."""
        visit = self._rooms.visit(request)
        with self._listeners.one_more(visit.link.meeting_id):
            response = event_stream()
            await response.prepare(request)
            with suppress(ConnectionError, TimeoutError):
                await self._tell(response, visit, request.query.get("seen", ""))
        return response

    async def _tell(self, response: web.StreamResponse, visit: Visit, page: str) -> None:
        """`page` is the digest of what the reader has already."""
        loop = asyncio.get_running_loop()
        sent: dict[str, str] = {}
        seen: object = None
        await write(response, f"retry: {RETRY_S * 1000}\n\n")
        beat_at = loop.time() + self._heartbeat_s
        while self._rooms.gate.seconds_left(visit.link) > 0 and not self._listeners.are_closed:
            began = loop.time()
            version, visit = self._rooms.calls.version, self._rooms.again(visit)
            glance = self._rooms.glance(visit)
            parts = sent if glance == seen else self._rooms.parts(visit)
            took_s = loop.time() - began
            has_all = not sent and digest_of(parts) == page
            news = [name for name in parts if sent.get(name) != parts[name] and not has_all]
            sent, seen = parts, glance
            told = "".join(event(name, parts[name]) for name in news)
            if told or loop.time() >= beat_at:
                await write(response, told or ":\n\n")
                beat_at = loop.time() + self._heartbeat_s
            await asyncio.sleep(self._listeners.pause_s(took_s))
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._rooms.calls.changed(version)
        if not self._listeners.are_closed:
            await write(response, event("end", ""))


def event_stream() -> web.StreamResponse:
    """An answer that events are written to."""
    return web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
            "X-Accel-Buffering": "no",  # nginx would keep it to itself
        }
    )


async def write(response: web.StreamResponse, text: str) -> None:
    """Write to it. Raises TimeoutError for a reader who takes nothing, ConnectionError."""
    async with asyncio.timeout(WRITE_WITHIN_S):
        await response.write(text.encode())


def event(name: str, text: str) -> str:
    """One event, each line of the text in a line of its own."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\n{lines}\n"
