# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlives the service: static PINs, and what callers said to being recorded.

One SQLite file and one thread of our own that works on it, one thing after the other, so that the
event loop never waits for a disk. No number of a caller is ever kept. A disk that fails ends no
call: what is asked of the store raises StoreUnavailable, consents wait in memory for a while, and
`run` tries again until the file can be had.

`dialin room` works on the same file beside the service; `run` notices it. What is in the file, and
how it is mended, is `database`'s affair; who has which PIN that of `static_rooms`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from dialin.store.database import Database
from dialin.store.values import (
    Consent,
    PinTaken,
    RoomExists,
    StaticRoom,
    StaticRoomError,
    StoreUnavailable,
    UnknownRoom,
    clash,
    now_utc,
)

__all__ = [
    "FILE_NAME",
    "Consent",
    "PinTaken",
    "RoomExists",
    "StaticRoom",
    "StaticRoomError",
    "Store",
    "StoreUnavailable",
    "UnknownRoom",
    "clash",
    "opened_store",
]

log = logging.getLogger(__name__)

FILE_NAME = "dialin.db"
"""In the state directory."""
DONE_WITHIN_S = 10.0
"""A disk that takes longer counts as failed."""
WATCH_EVERY_S = 2.0
"""How often it is looked whether somebody else has written."""
AGAIN_AFTER_S = 30.0
"""While the file cannot be used."""
PURGE_EVERY_S = 3600.0
MAX_WAITING_CONSENTS = 1000
"""Consents that wait for the disk; of more, the oldest are lost."""

Done = TypeVar("Done")


class Store:
    """The file, from the event loop. Use `opened_store`."""

    def __init__(
        self,
        file: Path | None,
        *,
        consent_days: int,
        failed: Callable[[str], None] = lambda cause: None,
    ) -> None:
        """`failed` counts what went wrong, by its cause. Without a file nothing outlives us."""
        self._database = Database(file)
        self._consent_days = consent_days
        self._failed = failed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._waiting: deque[Consent] = deque(maxlen=MAX_WAITING_CONSENTS)
        self._version = 0
        self._trouble = ""
        self.on_change: Callable[[tuple[StaticRoom, ...]], None] = lambda rooms: None
        """Called with all rooms when another process has written; set it before `run`."""

    @property
    def trouble(self) -> str:
        """Why the file could not be used when it was last wanted, kebab-case; empty if it could."""
        return self._trouble

    async def close(self) -> None:
        """Write what waits, and close the file."""
        with suppress(StoreUnavailable):
            await self._write_consents()
        with suppress(StoreUnavailable):
            await self._do(self._database.close)
        self._thread.shutdown(wait=False)

    async def rooms(self) -> tuple[StaticRoom, ...]:
        """All rooms with static PINs, oldest first; as last seen while the file is away."""
        with suppress(StoreUnavailable):
            await self._do(self._database.open)
            self._version = await self._do(self._database.version)
            return await self._do(self._database.rooms)
        return self._database.remembered

    async def add_room(self, room: StaticRoom) -> None:
        """Raises RoomExists, PinTaken, StoreUnavailable."""
        await self._do(lambda: self._database.add_room(room))

    async def change_room(self, room: StaticRoom) -> None:
        """Replace what is known of the room. Raises UnknownRoom, PinTaken, StoreUnavailable."""
        await self._do(lambda: self._database.change_room(room))

    async def delete_room(self, meeting_id: str) -> None:
        """Raises UnknownRoom, StoreUnavailable."""
        await self._do(lambda: self._database.delete_room(meeting_id))

    async def record_consent(
        self, call_id: str, meeting_id: str, consented: bool, at: datetime
    ) -> None:
        """Keep what a caller said, or wait with it until the disk can. Raises nothing."""
        if self._consent_days:
            self._waiting.append(Consent(call_id, meeting_id, consented, at))

    async def consents(self) -> tuple[Consent, ...]:
        """All that are kept, oldest first. Raises StoreUnavailable."""
        return await self._do(self._database.consents)

    async def erase_consents(
        self,
        *,
        call_id: str | None = None,
        meeting_id: str | None = None,
        before: datetime | None = None,
    ) -> int:
        """Erase those of a call, a meeting, or all, and say how many. Raises StoreUnavailable."""
        until = before or now_utc()
        return await self._do(
            lambda: self._database.erase_consents(
                call_id=call_id, meeting_id=meeting_id, before=until
            )
        )

    async def run(self) -> None:
        """Watch the file, write what waits, erase what is too old; until cancelled."""
        loop = asyncio.get_running_loop()
        purge_at = loop.time()
        while True:
            try:
                await self._watch()
                await self._write_consents()
                if loop.time() >= purge_at:
                    await self._purge()
                    purge_at = loop.time() + PURGE_EVERY_S
                await self._do(self._database.tidy)
                pause_s = WATCH_EVERY_S
            except StoreUnavailable:
                pause_s = AGAIN_AFTER_S
            await asyncio.sleep(pause_s)

    async def _watch(self) -> None:
        version = await self._do(self._database.version)
        if version != self._version:
            self._version = version
            self.on_change(await self._do(self._database.rooms))

    async def _write_consents(self) -> None:
        if batch := tuple(self._waiting):
            await self._do(lambda: self._database.add_consents(batch))
            for consent in batch:
                with suppress(ValueError):  # more came meanwhile than may wait
                    self._waiting.remove(consent)

    async def _purge(self) -> None:
        await self._do(self._database.check)
        await self._do(self._database.drop_old_copy)
        await self.erase_consents(before=now_utc() - timedelta(days=self._consent_days))

    async def _do(self, work: Callable[[], Done]) -> Done:
        """Work in the thread. A failure is counted, and told of once."""
        try:
            async with asyncio.timeout(DONE_WITHIN_S):
                done = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (StoreUnavailable, TimeoutError) as error:
            cause = error.cause if isinstance(error, StoreUnavailable) else "slow"
            self._failed(cause)
            if cause != self._trouble:
                log.error("the store cannot be used; calls go on", extra={"cause": cause})  # noqa: TRY400 - the cause says it
            self._trouble = cause
            if cause == "slow":  # it may be done after all: look at the file again
                self._version = -1
            raise StoreUnavailable(cause) from error
        if self._trouble:
            log.info("the store can be used again")
        self._trouble = ""
        return done


@asynccontextmanager
async def opened_store(
    file: Path | None,
    *,
    consent_days: int,
    failed: Callable[[str], None] = lambda cause: None,
) -> AsyncIterator[Store]:
    """The store while the block runs. A file that cannot be used is told of and tried again."""
    store = Store(file, consent_days=consent_days, failed=failed)
    try:
        yield store
    finally:
        await store.close()
