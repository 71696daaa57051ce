# SPDX-License-Identifier: GPL-3.0-or-later
"""The SQLite file itself: opened, migrated, written, mended. Blocks; `Store` gives it a thread.

What is deleted is overwritten (`secure_delete`), and the write-ahead log is emptied after every
change, because it would keep what was there before. A damaged file is moved aside and remade with
what can still be read of it, or with what is remembered. Several processes may have the file open:
SQLite keeps them apart, and `version` tells when another one has written.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from dialin.store.values import (
    Consent,
    PinTaken,
    RoomExists,
    StaticRoom,
    StoreUnavailable,
    UnknownRoom,
    clash,
)

Read = TypeVar("Read")

log = logging.getLogger(__name__)

BUSY_WITHIN_S = 2.0
"""How long another process may hold the file."""
DAMAGED_SUFFIX = ".damaged"
DAMAGED_LIVES_S = 7 * 86400.0
"""For somebody to look at; then it goes, because it holds PINs."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE static_rooms (
        meeting_id TEXT PRIMARY KEY, pin TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
        lobby INTEGER NOT NULL, created_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE consents (
        call_id TEXT NOT NULL, meeting_id TEXT NOT NULL, consented INTEGER NOT NULL,
        at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX consents_at ON consents (at);
    """,
)
"""What makes each version of the file out of the one before; `user_version` counts them."""

CAUSES = {
    "SQLITE_FULL": "disk-full",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_READONLY": "read-only",
    "SQLITE_CANTOPEN": "cannot-open",
    "SQLITE_PERM": "cannot-open",
    "SQLITE_AUTH": "cannot-open",
    "SQLITE_CORRUPT": "damaged",
    "SQLITE_NOTADB": "damaged",
}
"""Causes by the first two words of SQLite's names; anything else is `io-error`."""


def damaged_copy(file: Path) -> Path:
    """Where a damaged file is moved to; the one before is overwritten."""
    return file.with_name(file.name + DAMAGED_SUFFIX)


class Database:
    """One connection to the file; every method may raise StoreUnavailable."""

    def __init__(self, file: Path | None) -> None:
        """Without a file, everything is kept in memory until the process ends."""
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._remembered: dict[str, StaticRoom] = {}
        self._is_log_full = False

    @property
    def is_open(self) -> bool:
        """Whether the file can be written as far as is known."""
        return self._connection is not None

    def open(self) -> None:
        """Open the file, make it or mend it; done already, this does nothing."""
        if self._connection is not None:
            return
        with _told():
            try:
                self._connect()
            except (sqlite3.Error, OSError) as error:
                self.close()
                if _cause(error) != "damaged":
                    self._read_anyway()
                    raise
                self._remake()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the file; done already, this does nothing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def version(self) -> int:
        """Another number whenever another process has written."""
        return self._read(lambda db: int(db.execute("PRAGMA data_version").fetchone()[0]))

    @property
    def remembered(self) -> tuple[StaticRoom, ...]:
        """The rooms as last seen, whatever has become of the file."""
        return tuple(self._remembered.values())

    def rooms(self) -> tuple[StaticRoom, ...]:
        """All rooms with static PINs, oldest first."""
        rooms = self._read(lambda db: tuple(_rooms_in(db)))
        self._remembered = {room.meeting_id: room for room in rooms}
        return rooms

    def add_room(self, room: StaticRoom) -> None:
        """Raises RoomExists, PinTaken."""

        def add(db: sqlite3.Connection) -> None:
            if _room_in(db, room.meeting_id):
                raise RoomExists(f"A PIN was issued for {room.meeting_id!r} before.")
            _refuse_clash(db, room)
            _insert(db, [room])

        self._write(add)
        self._remembered[room.meeting_id] = room

    def change_room(self, room: StaticRoom) -> None:
        """Replace what is known of the room. Raises UnknownRoom, PinTaken."""

        def change(db: sqlite3.Connection) -> None:
            if _room_in(db, room.meeting_id) is None:
                raise UnknownRoom(f"No PIN was issued for {room.meeting_id!r}.")
            _refuse_clash(db, room)
            # Deleted and written anew, so that what is overwritten is overwritten in full.
            db.execute("DELETE FROM static_rooms WHERE meeting_id = ?", [room.meeting_id])
            _insert(db, [room])

        self._write(change)
        self._remembered[room.meeting_id] = room

    def delete_room(self, meeting_id: str) -> None:
        """Raises UnknownRoom."""

        def delete(db: sqlite3.Connection) -> None:
            found = db.execute("DELETE FROM static_rooms WHERE meeting_id = ?", [meeting_id])
            if not found.rowcount:
                raise UnknownRoom(f"No PIN was issued for {meeting_id!r}.")

        self._write(delete)
        self._remembered.pop(meeting_id, None)

    def consents(self) -> tuple[Consent, ...]:
        """All that are kept, oldest first."""
        return self._read(lambda db: tuple(_consents_in(db)))

    def add_consents(self, consents: Sequence[Consent]) -> None:
        """Keep some more."""
        rows = [
            (one.call_id, one.meeting_id, one.consented, one.at.isoformat()) for one in consents
        ]
        self._write(lambda db: db.executemany("INSERT INTO consents VALUES (?, ?, ?, ?)", rows))

    def erase_consents(
        self, *, call_id: str | None = None, meeting_id: str | None = None, before: datetime
    ) -> int:
        """Erase those of a call, of a meeting, or all, that are older; returns how many."""
        where = (before.isoformat(), call_id, call_id, meeting_id, meeting_id)

        def erase(db: sqlite3.Connection) -> int:
            return db.execute(
                "DELETE FROM consents WHERE at < ? AND (? IS NULL OR call_id = ?)"
                " AND (? IS NULL OR meeting_id = ?)",
                where,
            ).rowcount

        return self._write(erase)

    def check(self) -> None:
        """Look for damage, and mend it while all rooms are still remembered."""

        def look(db: sqlite3.Connection) -> None:
            db.execute("PRAGMA shrink_memory")  # or what is looked at is not the file
            _refuse_damage(db)

        self._read(look)

    def drop_old_copy(self) -> None:
        """Remove the copy of a damaged file once nobody will look at it any more."""
        if self._file is None:
            return
        copy = damaged_copy(self._file)
        with _told(), suppress(FileNotFoundError):
            if copy.stat().st_mtime < time.time() - DAMAGED_LIVES_S:
                copy.unlink()

    def tidy(self) -> None:
        """Empty the write-ahead log where that could not be done at once: somebody was reading."""
        if self._is_log_full:
            with _told():
                self._empty_log(self._opened())

    def _connect(self) -> None:
        if self._file is not None:
            _make_private(self._file)
        self._connection = db = sqlite3.connect(
            self._file or ":memory:",
            isolation_level=None,
            timeout=BUSY_WITHIN_S,
            check_same_thread=False,  # `Store` gives it one thread at a time
        )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA synchronous = FULL")
        _refuse_damage(db)
        self._migrate(db)

    def _migrate(self, db: sqlite3.Connection) -> None:
        with _transaction(db):
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise StoreUnavailable("newer-version")
            for number, script in enumerate(MIGRATIONS[version:], version + 1):
                for statement in script.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number:d}")

    def _opened(self) -> sqlite3.Connection:
        self.open()
        if self._connection is None:
            raise StoreUnavailable("cannot-open")
        return self._connection

    def _read(self, read: Callable[[sqlite3.Connection], Read]) -> Read:
        with _told():
            return self._mending(read)

    def _write(self, write: Callable[[sqlite3.Connection], Read]) -> Read:
        def in_transaction(db: sqlite3.Connection) -> Read:
            with _transaction(db):
                return write(db)

        with _told():
            done = self._mending(in_transaction)
            self._empty_log(self._opened())
        return done

    def _mending(self, work: Callable[[sqlite3.Connection], Read]) -> Read:
        """Work on the file; where it turns out damaged, remake it with what is remembered."""
        try:
            return work(self._opened())
        except sqlite3.DatabaseError as error:
            if _cause(error) != "damaged":
                raise
        self.close()
        self._remake()
        return work(self._opened())

    def _remake(self) -> None:
        """Make the file anew, of what can still be read of it and what is remembered."""
        if self._file is None:
            raise StoreUnavailable("damaged")
        rooms = {**self._salvaged(), **self._remembered}  # before it is moved aside
        aside = damaged_copy(self._file)
        os.replace(self._file, aside)
        os.utime(aside)
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(f"{self._file}{suffix}")
        log.error(
            "the store was damaged and has been remade",
            extra={"static_rooms": len(rooms), "moved_to": str(aside)},
        )
        self._connect()
        db = self._opened()
        with _transaction(db):
            _insert(db, rooms.values())
        self._remembered = rooms

    def _salvaged(self) -> dict[str, StaticRoom]:
        """What can still be read of a damaged file."""
        return self._peeked("mode=ro")

    def _read_anyway(self) -> None:
        """Learn the rooms of a file that cannot be written, such as one on a full disk."""
        self._remembered = self._peeked("mode=ro&immutable=1") or self._remembered

    def _peeked(self, how: str) -> dict[str, StaticRoom]:
        rooms: dict[str, StaticRoom] = {}
        if self._file is None or not self._file.exists():
            return rooms
        with suppress(sqlite3.Error, ValueError):
            uri = f"{self._file.absolute().as_uri()}?{how}"
            with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_WITHIN_S)) as db:
                for room in _rooms_in(db):
                    rooms[room.meeting_id] = room
        return rooms

    def _empty_log(self, db: sqlite3.Connection) -> None:
        self._is_log_full = True  # until SQLite says that nobody was in the way
        is_busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._is_log_full = bool(is_busy)


class _Damaged(sqlite3.DatabaseError):
    """SQLite's own check has found damage."""

    sqlite_errorname = "SQLITE_CORRUPT"


def _refuse_damage(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _Damaged


@contextmanager
def _told() -> Iterator[None]:
    """SQLite's errors and the machine's in our words."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(_cause(error)) from error


def _cause(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return {errno.ENOSPC: "disk-full", errno.EROFS: "read-only"}.get(
            error.errno or 0, "cannot-open"
        )
    name = getattr(error, "sqlite_errorname", None) or ""
    return CAUSES.get("_".join(name.split("_")[:2]), "io-error")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; other processes wait."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _make_private(file: Path) -> None:
    """Make the file, for its owner only; made by root, it belongs to whom the folder belongs."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        if os.geteuid() == 0:
            folder = file.parent.stat()
            os.chown(file, folder.st_uid, folder.st_gid)


def _rooms_in(db: sqlite3.Connection) -> Iterator[StaticRoom]:
    rows = db.execute(
        "SELECT meeting_id, pin, name, lobby, created_at FROM static_rooms ORDER BY created_at"
    )
    for meeting_id, pin, name, lobby, created_at in rows:
        yield StaticRoom(meeting_id, pin, name, bool(lobby), datetime.fromisoformat(created_at))


def _room_in(db: sqlite3.Connection, meeting_id: str) -> StaticRoom | None:
    return next((room for room in _rooms_in(db) if room.meeting_id == meeting_id), None)


def _refuse_clash(db: sqlite3.Connection, room: StaticRoom) -> None:
    """The last word on PINs is spoken inside the transaction: two processes may issue them."""
    for other in _rooms_in(db):
        if other.meeting_id != room.meeting_id and clash(room.pin, other.pin):
            raise PinTaken("Another room has this PIN, or one that begins like it.")


def _insert(db: sqlite3.Connection, rooms: Iterable[StaticRoom]) -> None:
    db.executemany(
        "INSERT INTO static_rooms VALUES (?, ?, ?, ?, ?)",
        [
            (room.meeting_id, room.pin, room.name, room.lobby, room.created_at.isoformat())
            for room in rooms
        ],
    )


def _consents_in(db: sqlite3.Connection) -> Iterator[Consent]:
    rows = db.execute("SELECT call_id, meeting_id, consented, at FROM consents ORDER BY at")
    for call_id, meeting_id, consented, at in rows:
        yield Consent(call_id, meeting_id, bool(consented), datetime.fromisoformat(at))
