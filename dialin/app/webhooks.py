# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings to what BBB servers tell by themselves: who asks for it, who takes it, who
learns of it.

Without `web.base_url` no server can reach us, so none is asked; rooms are polled all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
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
        self._rooms = rooms
        self._events = events
        servers = dict(hook_servers(settings))
        self.receiver = HookReceiver(
            servers, learn=self.learn, tally=tally, proxies=settings.web.proxies
        )
        """Who takes what is posted."""
        self._registrars = {
            name: HookRegistrar(
                parts.make_api(name, settings.bbb_servers[name], session),
                server.callback_url,
                events,
            )
            for name, server in servers.items()
        }

    @asynccontextmanager
    async def registered(self, tasks: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Ask all servers to post, while the block runs; to be begun once we listen."""
        running = [
            tasks.create_task(registrar.run(), name=f"webhooks of {name}")
            for name, registrar in self._registrars.items()
        ]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*(one.close() for one in self._registrars.values()))

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
