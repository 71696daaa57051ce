# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings to what BBB servers tell by themselves: who asks for it, who takes it, who
learns of it.

Without `web.base_url` no server can reach us, so none is asked; rooms are polled all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

import aiohttp

from dialin.app import parts
from dialin.hook_registrar import OFF, HookRegistrar, HookStanding
from dialin.room_events import RoomEvents
from dialin.rooms import MeetingSource, Rooms
from dialin.settings import Settings
from dialin.web.hooks import HookReceiver, HookServer, Tally, callback_url
from dialin.wire.bbbhooks import HookEvent
from dialin.wire.bbbxml import Meeting


class SeenApi:
    """A BBB server's API, of whose lists of attendees `RoomEvents` learns."""

    def __init__(self, api: MeetingSource, events: RoomEvents) -> None:
        self.name = api.name
        """The server's name in the settings."""
        self._api = api
        self._events = events

    async def get_meetings(self) -> tuple[Meeting, ...]:
        """All meetings of the server. Raises BbbUnavailable."""
        meetings = await self._api.get_meetings()
        self._events.saw(self.name, meetings)
        return meetings


class Webhooks:
    """All BBB servers' webhooks."""

    def __init__(
        self,
        settings: Settings,
        session: aiohttp.ClientSession,
        rooms: Rooms,
        events: RoomEvents,
        tally: Tally,
    ) -> None:
        self._names = tuple(settings.bbb_servers)
        self._session = session
        self._rooms = rooms
        self._events = events
        self._servers = dict(hook_servers(settings))
        self.receiver = HookReceiver(
            self._servers, learn=self.learn, tally=tally, proxies=settings.web.proxies
        )
        """Who takes what is posted."""
        self._registrars = {name: self._registrar(settings, name) for name in self._servers}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def registered(self, tasks: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Ask all servers to post, while the block runs; to be begun once we listen."""
        self._tasks = tasks
        for name in self._registrars:
            self._start(name)
        try:
            yield
        finally:
            await self._end(self._registrars)

    async def change(self, settings: Settings) -> None:
        """Other servers from now on; those that stay as they are keep their hooks."""
        wanted = dict(hook_servers(settings))
        await self._end([name for name, one in self._servers.items() if wanted.get(name) != one])
        self._names, self._servers = tuple(settings.bbb_servers), wanted
        self.receiver.change(wanted)
        for name in wanted.keys() - self._registrars.keys():
            self._registrars[name] = self._registrar(settings, name)
            self._start(name)

    def _registrar(self, settings: Settings, name: str) -> HookRegistrar:
        api = parts.make_api(name, settings.bbb_servers[name], self._session)
        return HookRegistrar(api, self._servers[name].callback_url, self._events)

    def _start(self, name: str) -> None:
        if self._tasks is not None:
            running = self._registrars[name].run()
            self._running[name] = self._tasks.create_task(running, name=f"webhooks of {name}")

    async def _end(self, names: Iterable[str]) -> None:
        ending = [(self._registrars.pop(name), self._running.pop(name, None)) for name in [*names]]
        for _, task in ending:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(registrar.close() for registrar, _ in ending))

    def learn(self, event: HookEvent) -> None:
        """Something happened on a server: the picture of rooms and the callers follow."""
        self._rooms.learnt(event)
        if self._events.publish(event):
            self._rooms.ask_soon(event.server)

    @property
    def standings(self) -> tuple[HookStanding, ...]:
        """How each server's webhooks do, in the order of the settings."""
        return tuple(
            self._registrars[name].standing
            if name in self._registrars
            else HookStanding(name, False, False, OFF)
            for name in self._names
        )


def hook_servers(settings: Settings) -> Iterator[tuple[str, HookServer]]:
    """The servers that shall post, by their names."""
    root = settings.web.root
    for name, server in settings.bbb_servers.items():
        if root and server.webhooks:
            yield (
                name,
                HookServer(
                    (server.url.host or "").strip("[]"),
                    callback_url(root, name),
                    server.secret.get_secret_value(),
                    server.hook_sources,
                ),
            )
