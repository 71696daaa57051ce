# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rooms exist: the live picture of all BBB servers.

Each server has one watcher, which asks it for its meetings again and again. So a server is never
asked twice at the same time, callers who want to know at once share one question, and a slow or
dead server delays nobody but those who wait for it. While a server does not answer, the rooms last
seen there stay, because meetings go on without the API. What a server tells by webhooks changes
the picture at once.

What a PIN means, with all its doubts, is decided by `pin`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence

from dialin.rooms.room import Room, is_voice_bridge
from dialin.rooms.watcher import (
    LOOK_GAP_S,
    NOT_ASKED_YET,
    MeetingSource,
    ServerHealth,
    Watcher,
)
from dialin.wire.bbbhooks import HookEvent

__all__ = [
    "LOOK_GAP_S",
    "LOOK_WITHIN_S",
    "NOT_ASKED_YET",
    "MeetingSource",
    "Room",
    "Rooms",
    "ServerHealth",
    "is_voice_bridge",
]

LOOK_WITHIN_S = 1.9
"""A caller who keyed an unknown PIN waits no longer for a second look than this, and hears within
two seconds what came of it."""

_random = secrets.SystemRandom().random


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
        self._poll_s = poll_s
        self._jitter = jitter
        self._watchers = {api.name: self._watcher(api) for api in apis}
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._by_voice_bridge: dict[str, list[Room]] = {}
        self._by_meeting_id: dict[str, list[Room]] = {}
        self._by_internal_id: dict[tuple[str, str], Room] = {}
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    async def run(self) -> None:
        """Watch all servers until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for watcher in self._watchers.values():
                self._watch(watcher)
            # Watchers come and go; the group ends with whoever runs this.
            await asyncio.Event().wait()

    def change(self, apis: Sequence[MeetingSource]) -> None:
        """Other servers from now on, while `run` runs. Those that stay keep their rooms meanwhile,
        and are asked at once by what they are asked with now."""
        wanted = {api.name: api for api in apis}
        for name in self._watchers.keys() - wanted.keys():
            self._running.pop(name).cancel()
        former, self._watchers = self._watchers, {}
        for name, api in wanted.items():
            watcher = self._watchers[name] = former.get(name) or self._watcher(api)
            watcher.asks(api)
            if name not in former:
                self._watch(watcher)
        self._index()

    def _watcher(self, api: MeetingSource) -> Watcher:
        return Watcher(api, poll_s=self._poll_s, jitter=self._jitter, on_rooms=self._index)

    def _watch(self, watcher: Watcher) -> None:
        if self._tasks is not None:
            task = self._tasks.create_task(watcher.run(), name=f"rooms of {watcher.name}")
            self._running[watcher.name] = task

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

    def by_meeting_id(self, meeting_id: str) -> Room | None:
        """The room wherever it is now, or None if no server has it.

        Where several have it, a server that answers counts more than one that is silent, a meeting
        that runs more than one that does not, and then the one created last.
        """
        rooms = self._by_meeting_id.get(meeting_id, [])
        return max(
            rooms,
            key=lambda room: (self._is_live(room), room.running, room.create_time),
            default=None,
        )

    def current(self, room: Room) -> Room | None:
        """The room as it is now on its own server, or None if it is gone from there."""
        watcher = self._watchers.get(room.server)
        return watcher.rooms.get(room.meeting_id) if watcher else None

    def parent_of(self, room: Room) -> Room | None:
        """The room that a breakout room belongs to, while it is there."""
        return self._by_internal_id.get((room.server, room.parent_id)) if room.parent_id else None

    def breakouts_of(self, room: Room) -> tuple[Room, ...]:
        """A room's breakout rooms as they are now, by their numbers."""
        parent = self.current(room) or self.by_meeting_id(room.meeting_id)
        if parent is None:
            return ()
        rooms = self._watchers[parent.server].rooms.values()
        own = (one for one in rooms if one.is_breakout and one.parent_id == parent.internal_id)
        return tuple(sorted(own, key=lambda breakout: breakout.sequence))

    async def opened(self, room: Room) -> Room:
        """Wait until the room's meeting runs. The caller of this sets the deadline.

        A room may vanish meanwhile and come back with another voice conference or on another
        server: BBB forgets a meeting that nobody has joined for some minutes, a host creates it
        again, and a load balancer puts it where it likes. While the room's own server lists it,
        that server has the word; after that, whichever has the room. A meeting may run and yet be
        out of a telephone's reach: see `Room.hindrance`.
        """
        while (now := self._open(room)) is None:
            await self._news_of(room.meeting_id)
        return now

    async def is_still_running(self, room: Room) -> bool | None:
        """Ask the room's server whether that very meeting goes on; None if it does not answer.

        The question is put after the call of this, and shared by all who ask at the same time. BBB
        takes a moment to notice the end of a meeting, so True may be a second old.
        """
        watcher = self._watchers.get(room.server)
        if watcher is None:
            return False
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                is_answered = await watcher.asked_anew()
        except TimeoutError:
            return None
        if not is_answered:
            return None
        now = watcher.rooms.get(room.meeting_id)
        return now is not None and now.running and now.internal_id == room.internal_id

    def learnt(self, event: HookEvent) -> None:
        """A server has told of something by itself: the picture follows at once.

        What cannot be understood without asking is asked at once. Polls go on all the same, since
        a webhook may be lost.
        """
        watcher = self._watchers.get(event.server)
        if watcher is not None:
            watcher.learnt(event)

    def ask_soon(self, server: str) -> None:
        """Ask one server again as soon as it may be asked; nobody waits for the answer."""
        watcher = self._watchers.get(server)
        if watcher is not None:
            watcher.ask_soon()

    @property
    def known(self) -> tuple[Room, ...]:
        """All rooms of all servers."""
        return tuple(room for one in self._watchers.values() for room in one.rooms.values())

    @property
    def voice_bridges(self) -> frozenset[str]:
        """The numbers of all voice conferences that are known."""
        return frozenset(self._by_voice_bridge)

    @property
    def servers(self) -> tuple[ServerHealth, ...]:
        """How each server does."""
        return tuple(watcher.health() for watcher in self._watchers.values())

    def _is_live(self, room: Room) -> bool:
        return self._watchers[room.server].is_live

    def _open(self, room: Room) -> Room | None:
        """The room that somebody who waits for this one can go into now."""
        own = self.current(room)
        is_told_by_own_server = own is not None and self._is_live(own)
        now = own if is_told_by_own_server else self.by_meeting_id(room.meeting_id)
        return now if now is not None and now.running else None

    async def _news_of(self, meeting_id: str) -> None:
        """Wait until the picture has changed and the meeting runs somewhere in it."""
        waiting = self._waiting[meeting_id]
        woken = asyncio.get_running_loop().create_future()
        waiting.add(woken)
        try:
            await woken
        finally:
            waiting.discard(woken)
            if not waiting:
                del self._waiting[meeting_id]

    def _index(self) -> None:
        by_voice_bridge: defaultdict[str, list[Room]] = defaultdict(list)
        by_meeting_id: defaultdict[str, list[Room]] = defaultdict(list)
        for room in self.known:
            by_meeting_id[room.meeting_id].append(room)
            if room.voice_bridge:
                by_voice_bridge[room.voice_bridge].append(room)
        self._by_voice_bridge, self._by_meeting_id = dict(by_voice_bridge), dict(by_meeting_id)
        self._by_internal_id = {(room.server, room.internal_id): room for room in self.known}
        # Only those whose meeting runs are woken: a thousand may wait, and polls come all the time.
        for meeting_id, waiting in self._waiting.items():
            if any(room.running for room in by_meeting_id.get(meeting_id, ())):
                for woken in waiting:
                    if not woken.done():
                        woken.set_result(None)
