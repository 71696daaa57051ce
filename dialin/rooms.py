# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rooms exist: the live picture of all BBB servers.

Each server has one watcher, which asks it for its meetings again and again. So a server is never
asked twice at the same time, callers who want to know at once share one question, and a slow or
dead server delays nobody but those who wait for it. While a server does not answer, the rooms last
seen there stay, because meetings go on without the API.

What a PIN means, with all its doubts, is decided by `pin`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from dialin.bbb_api import BbbUnavailable
from dialin.wire.bbbxml import Meeting

log = logging.getLogger(__name__)

LOOK_WITHIN_S = 2.0
"""A caller who keyed an unknown PIN waits no longer for a second look than this."""
LOOK_GAP_S = 0.5
"""Between two questions to one server, so that keying PINs at random asks it twice a second at
most, however many lines are used."""
JITTER_SHARE = 0.1
"""Polls come this share earlier or later, so that several bridges do not ask in step."""
NOT_ASKED_YET = "not-asked-yet"

_VOICE_BRIDGE = re.compile(r"[0-9]{5,11}")
"""What BBB's dialplan takes for a conference (dialplan/default/bbb_conference.xml)."""
_RESERVED = "99999"
"""BBB's own `testVoiceBridge`: the number of no meeting, though one could be created with it."""


class MeetingSource(Protocol):
    """What is needed of a BBB server's API."""

    name: str
    """The server's name in the settings."""

    async def get_meetings(self) -> tuple[Meeting, ...]:
        """All meetings of the server. Raises BbbUnavailable."""


@dataclass(frozen=True, slots=True)
class Room:
    """A meeting that a caller can be led to, as it was when its server was last asked."""

    server: str
    """The BBB server's name in the settings."""
    meeting_id: str
    """The front end's id of the room."""
    name: str
    """What people call it. HOST-CONTROLLED."""
    voice_bridge: str = field(repr=False)
    """The number of its voice conference, which is its PIN: digits, leading zeros count."""
    running: bool
    """Whether the meeting has begun; a room that is known may still be empty."""
    internal_id: str = ""
    """BBB's id, another one each time the meeting is created."""
    is_breakout: bool = False
    """Whether it is a breakout room."""
    is_empty: bool = False
    """Whether nobody was in its voice conference, by phone or web."""

    @property
    def key(self) -> tuple[str, str]:
        """What the room is known by, whether its meeting is running or not."""
        return self.server, self.meeting_id


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


_random = secrets.SystemRandom().random


def is_voice_bridge(text: str) -> bool:
    """Whether BBB could have given this number to a meeting."""
    return _VOICE_BRIDGE.fullmatch(text) is not None and text != _RESERVED


class Rooms:
    """All rooms of all BBB servers."""

    def __init__(
        self,
        apis: Sequence[MeetingSource],
        *,
        poll_s: float,
        jitter: Callable[[], float] = _random,
    ) -> None:
        """`jitter` gives numbers in [0, 1)."""
        self._watchers = {
            api.name: _Watcher(api, poll_s=poll_s, jitter=jitter, on_rooms=self._index)
            for api in apis
        }
        self._by_voice_bridge: dict[str, list[Room]] = {}

    async def run(self) -> None:
        """Watch all servers until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for watcher in self._watchers.values():
                tasks.create_task(watcher.run(), name=f"rooms of {watcher.name}")

    async def look_again(self) -> bool:
        """Ask all servers now, while `run` runs; whoever asks meanwhile shares the question.

        True if every server has answered, so that a room which is not there now does not exist.
        False if one failed, or took longer than LOOK_WITHIN_S.
        """
        answers = [watcher.look() for watcher in self._watchers.values()]
        if answers:
            await asyncio.wait(answers, timeout=LOOK_WITHIN_S)
        return all(answer.done() and answer.result() for answer in answers)

    def with_voice_bridge(self, pin: str) -> tuple[Room, ...]:
        """All rooms that the PIN may mean; more than one is for nobody to choose from.

        A room counts once if it has moved off a server that no longer answers.
        """
        rooms = self._by_voice_bridge.get(pin, [])
        live = {room.meeting_id for room in rooms if self._is_live(room)}
        return tuple(room for room in rooms if self._is_live(room) or room.meeting_id not in live)

    def current(self, room: Room) -> Room | None:
        """The room as it is now, or None if it is gone."""
        return self._watchers[room.server].rooms.get(room.meeting_id)

    async def opened(self, room: Room) -> Room:
        """Wait until the room's meeting runs. The caller of this sets the deadline.

        A room may vanish meanwhile and come back with another voice conference: BBB forgets a
        meeting that nobody has joined for some minutes, and a host creates it again.
        """
        watcher = self._watchers[room.server]
        while (now := self.current(room)) is None or not now.running:
            await watcher.answered()
        return now

    @property
    def servers(self) -> tuple[ServerHealth, ...]:
        """How each server does."""
        return tuple(watcher.health() for watcher in self._watchers.values())

    @property
    def all_fresh(self) -> bool:
        """Whether the picture is complete: every server answered when it was last asked."""
        return all(watcher.is_live for watcher in self._watchers.values())

    def _is_live(self, room: Room) -> bool:
        return self._watchers[room.server].is_live

    def _index(self) -> None:
        by_voice_bridge: defaultdict[str, list[Room]] = defaultdict(list)
        for watcher in self._watchers.values():
            for room in watcher.rooms.values():
                by_voice_bridge[room.voice_bridge].append(room)
        self._by_voice_bridge = dict(by_voice_bridge)


class _Watcher:
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

    async def answered(self) -> None:
        """Wait for the next answer, good or bad, without asking for it."""
        await asyncio.wait([self._next_answer()])

    @property
    def is_live(self) -> bool:
        """Whether the last answer was good."""
        return not self._cause

    def health(self) -> ServerHealth:
        """How the server does."""
        return ServerHealth(self.name, self.is_live, self._last_ok_at, self._cause, len(self.rooms))

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
        rooms = (_room(self.name, meeting) for meeting in meetings if _can_be_joined(meeting))
        self.rooms = {room.meeting_id: room for room in rooms}
        self._last_ok_at = datetime.now(UTC)
        if self._cause:
            log.info("BBB server %s answers: %d rooms", self.name, len(self.rooms))
        self._cause = ""
        self._on_rooms()

    def _has_failed(self, trouble: BbbUnavailable) -> None:
        if self._cause != trouble.cause:  # said once, not at every poll
            log.warning("%s", trouble)
        self._cause = trouble.cause


def _can_be_joined(meeting: Meeting) -> bool:
    return not meeting.is_ended and is_voice_bridge(meeting.voice_bridge)


def _room(server: str, meeting: Meeting) -> Room:
    return Room(
        server=server,
        meeting_id=meeting.meeting_id,
        name=meeting.name,
        voice_bridge=meeting.voice_bridge,
        running=meeting.running,
        internal_id=meeting.internal_id,
        is_breakout=meeting.is_breakout,
        is_empty=not any(
            one.has_joined_voice or one.is_listening_only for one in meeting.attendees
        ),
    )
