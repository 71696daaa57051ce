# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on the store beside the service, or without it: what `dialin room` and `privacy` do.

The commands open the same file as the service. SQLite keeps the two apart, PINs are compared
inside the transaction, and the service notices within seconds (`store.WATCH_EVERY_S`). So they
need no token, no port, and no service that runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from dialin.app import parts, pins
from dialin.bbb_api import BbbApi, BbbUnavailable
from dialin.budgets import risk_24h
from dialin.errors import OperatorError
from dialin.rooms import Room
from dialin.rooms.room import listed
from dialin.settings import Settings
from dialin.static_rooms import StaticRoom, StaticRooms, Twin, twins
from dialin.store import Store, StoreUnavailable, opened_store

ASK_WITHIN_S = 10.0

REMEDIES = {
    "disk-full": "Make room on the disk.",
    "locked": "Try again: another program holds the file.",
    "cannot-open": "Run this as root or as the user that the service runs as.",
    "read-only": "Run this as root or as the user that the service runs as.",
    "newer-version": "Use the version of dialin that wrote the file.",
}


@asynccontextmanager
async def opened_beside(settings: Settings) -> AsyncIterator[Store]:
    """The store while the block runs. Raises OperatorError if it cannot be used."""
    file = pins.store_file(settings)
    if file is None:
        raise OperatorError(
            "With store.keep = false only the service knows its rooms.",
            "Set it to true, or use the API.",
        )
    told = logging.getLogger("dialin.store")
    was_disabled, told.disabled = told.disabled, True  # what it logs is told as an error here
    try:
        async with opened_store(file, consent_days=settings.store.consent_days) as store:
            yield store
    except StoreUnavailable as unavailable:
        raise OperatorError(
            f"{file} cannot be used: {unavailable.cause}.",
            REMEDIES.get(unavailable.cause, "See the log of the service and that of the machine."),
        ) from unavailable
    finally:
        told.disabled = was_disabled


@dataclass(frozen=True, slots=True)
class Live:
    """The meetings that there are now."""

    rooms: tuple[Room, ...]
    """Those of all servers that answered."""
    silent: tuple[str, ...]
    """Servers that did not."""


@dataclass(frozen=True, slots=True)
class PinReport:
    """What `dialin check` has to say of PINs."""

    twins: tuple[Twin, ...]
    """Static PINs that are other meetings' own numbers, too."""
    risk: float
    """The chance in 24 hours of guessing without a pause, with the rooms that there are now."""
    silent: tuple[str, ...]
    """Servers that did not answer, so that nothing is known of their rooms."""


async def look_at_pins(settings: Settings) -> PinReport:
    """Compare all PINs that lead anywhere. Raises OperatorError."""
    live = await ask_servers(settings)
    static: tuple[StaticRoom, ...] = ()
    if (file := pins.store_file(settings)) and _is_there(file):
        async with opened_beside(settings) as store:
            static = (await static_rooms(store)).all()
    risk = risk_24h(pins.lengths(live.rooms, static), pins.make_limits(settings))
    return PinReport(twins(static, live.rooms), risk, live.silent)


def _is_there(file: Path) -> bool:
    """Whether there is a store to look into; a look makes none, which might be another user's."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # opening it says what is wrong
        return True
    return True


async def static_rooms(store: Store, live: Live | None = None) -> StaticRooms:
    """All rooms with static PINs, which keep clear of the live ones. Raises StoreUnavailable."""
    static = StaticRooms(store, live=lambda: live.rooms if live else ())
    await static.load()
    if store.trouble:
        raise StoreUnavailable(store.trouble)
    return static


async def ask_servers(settings: Settings) -> Live:
    """Ask every BBB server once for its meetings."""
    rooms: list[Room] = []
    silent: list[str] = []

    async def ask(api: BbbApi) -> None:
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                meetings = await api.get_meetings()
        except (BbbUnavailable, TimeoutError):
            silent.append(api.name)
        else:
            rooms.extend(listed(api.name, meeting) for meeting in meetings)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        for name, server in settings.bbb_servers.items():
            tasks.create_task(ask(parts.make_api(name, server, session)))
    return Live(tuple(rooms), tuple(sorted(silent)))
