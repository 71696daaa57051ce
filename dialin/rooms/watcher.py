# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches one BBB server: asks it for its meetings, in turns and on demand, and hears its webhooks.

One question is under way at a time, and whoever wants to know meanwhile shares it. What the rooms
of all servers amount to is left to the package.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from dialin.bbb_api import BbbUnavailable
from dialin.rooms.room import Room, after, created, is_voice_bridge, listed
from dialin.wire.bbbhooks import HookEvent, HookKind
from dialin.wire.bbbxml import Meeting

log = logging.getLogger("dialin.rooms")

LOOK_GAP_S = 0.5
"""Between two questions to one server, so that keying PINs at random asks it twice a second at
most, however many lines are used."""
JITTER_SHARE = 0.1
"""Polls come this share earlier or later, so that several bridges do not ask in step."""
NOT_ASKED_YET = "not-asked-yet"
MAX_AUDIO_BRIDGES = 10_000
"""Meetings of one server whose audio bridge is remembered; only their creation tells of it."""


class MeetingSource(Protocol):
    """What is needed of a BBB server's API."""

    name: str
    """The server's name in the settings."""

    async def get_meetings(self) -> tuple[Meeting, ...]:
        """All meetings of the server. Raises BbbUnavailable."""


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """How one BBB server's API does."""

    name: str
    """The server's name in the settings."""
    ok: bool
    """Whether it answered when it was last asked."""
    last_ok_at: datetime | None
    """When it last answered, UTC."""
    cause: str
    """Why it did not answer, kebab-case; empty if it did."""
    meetings: int
    """How many rooms were last seen there."""


class Watcher:
    """Asks one server for its meetings, in turns and on demand, one question at a time."""

    def __init__(
        self,
        api: MeetingSource,
        *,
        poll_s: float,
        jitter: Callable[[], float],
        on_rooms: Callable[[], None],
    ) -> None:
        self.name = api.name
        self.rooms: dict[str, Room] = {}
        self._api = api
        self._poll_s = poll_s
        self._jitter = jitter
        self._on_rooms = on_rooms
        self._is_asking = False
        self._audio_bridges: dict[str, str] = {}
        self._wanted = asyncio.Event()
        self._answer: asyncio.Future[bool] | None = None
        self._cause = NOT_ASKED_YET
        self._last_ok_at: datetime | None = None

    async def run(self) -> None:
        """Ask, pause, ask again."""
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            await self._ask()
            pause_s = self._poll_s * (1 + JITTER_SHARE * (2 * self._jitter() - 1))
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()
            await asyncio.sleep(asked_at + LOOK_GAP_S - loop.time())

    def look(self) -> asyncio.Future[bool]:
        """The answer to a question that is under way, or else put at once."""
        if not self._is_asking:
            self._wanted.set()
        return self._next_answer()

    async def asked_anew(self) -> bool:
        """Put a question that is not under way yet, and wait for its answer; True if it is good."""
        if self._is_asking:
            await asyncio.wait([self.look()])
        answer = self.look()
        await asyncio.wait([answer])
        return answer.result()

    def asks(self, api: MeetingSource) -> None:
        """Ask by this from now on, and at once."""
        self._api = api
        self._wanted.set()

    def ask_soon(self) -> None:
        """Put one more question, after the one that may be under way."""
        self._wanted.set()

    def learnt(self, event: HookEvent) -> None:
        """Take over what an event says, or ask what it means."""
        room = self._room_of(event)
        if event.kind is HookKind.MEETING_CREATED:
            self._remember_audio_bridge(event)
            if room is None and is_voice_bridge(event.voice_bridge) and event.meeting_id:
                self._change(created(event))
                return
        if room is None:
            # What has ended and was never known concerns nobody.
            if event.kind is not HookKind.MEETING_ENDED:
                self._wanted.set()
        elif event.kind is HookKind.MEETING_ENDED:
            self.rooms = {key: one for key, one in self.rooms.items() if key != room.meeting_id}
            self._on_rooms()
        else:
            self._change(after(event, room))
        if self._is_asking:  # that answer may be older than the event
            self._wanted.set()

    @property
    def is_live(self) -> bool:
        """Whether the last answer was good."""
        return not self._cause

    def health(self) -> ServerHealth:
        """How the server does."""
        return ServerHealth(self.name, self.is_live, self._last_ok_at, self._cause, len(self.rooms))

    def _room_of(self, event: HookEvent) -> Room | None:
        """The room that an event is about; bbb-webhooks may have forgotten the front end's id."""
        named = self.rooms.get(event.meeting_id)
        if named is not None and named.internal_id == event.internal_id:
            return named
        rooms = self.rooms.values()
        return next((room for room in rooms if room.internal_id == event.internal_id), None)

    def _change(self, room: Room) -> None:
        room = replace(room, audio_bridge=self._audio_bridges.get(room.internal_id, ""))
        if self.rooms.get(room.meeting_id) != room:
            self.rooms = {**self.rooms, room.meeting_id: room}
            self._on_rooms()

    def _remember_audio_bridge(self, event: HookEvent) -> None:
        self._audio_bridges[event.internal_id] = event.audio_bridge
        if len(self._audio_bridges) > MAX_AUDIO_BRIDGES:
            del self._audio_bridges[next(iter(self._audio_bridges))]

    def _next_answer(self) -> asyncio.Future[bool]:
        """Shared by all who wait, so nobody may cancel it: `asyncio.wait` does not."""
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        return self._answer

    async def _ask(self) -> None:
        self._wanted.clear()
        self._is_asking = True
        try:
            meetings = await self._api.get_meetings()
        except BbbUnavailable as trouble:
            self._has_failed(trouble)
        else:
            self._has(meetings)
        finally:
            self._is_asking = False
        if self._answer is not None:
            self._answer.set_result(self.is_live)
            self._answer = None

    def _has(self, meetings: Sequence[Meeting]) -> None:
        rooms = (listed(self.name, meeting) for meeting in meetings if not meeting.is_ended)
        self.rooms = {
            room.meeting_id: replace(
                room, audio_bridge=self._audio_bridges.get(room.internal_id, "")
            )
            for room in rooms
        }
        self._last_ok_at = datetime.now(UTC)
        if self._cause:
            log.info("BBB server %s answers: %d rooms", self.name, len(self.rooms))
        self._cause = ""
        self._on_rooms()

    def _has_failed(self, trouble: BbbUnavailable) -> None:
        if self._cause != trouble.cause:  # said once, not at every poll
            log.warning("%s", trouble)
        self._cause = trouble.cause
