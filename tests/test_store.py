# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlives the service, and what happens when the disk or the file does not play along."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import dialin.store
from dialin.store import StaticRoom, Store, StoreUnavailable, UnknownRoom, opened_store
from dialin.store.database import MIGRATIONS, Database

# ruff: noqa: ASYNC240 - nothing waits for these small files
PIN = "314159265"
OTHER_PIN = "271828182"
AT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def room(meeting_id: str = "physics", pin: str = PIN, name: str = "") -> StaticRoom:
    return StaticRoom(meeting_id, pin, name, False, AT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "dialin.db"


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[None]:
    task = asyncio.create_task(store.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(is_so: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - a thread does it
            await asyncio.sleep(0.01)


def octets_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


class TestFile:
    async def test_is_made_for_its_owner_only(self, file: Path) -> None:
        async with opened_store(file, consent_days=1) as store:
            await store.add_room(room())
            for path in (file.parent, *file.parent.iterdir()):
                assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path

    async def test_keeps_rooms_and_consents(self, file: Path) -> None:
        async with opened_store(file, consent_days=1) as store:
            await store.add_room(room())
            await store.record_consent("call-1", "physics", True, AT)
        async with opened_store(file, consent_days=1) as store:
            assert await store.rooms() == (room(),)
            (consent,) = await store.consents()
            assert (consent.call_id, consent.consented, consent.at) == ("call-1", True, AT)

    async def test_is_none_where_nothing_is_to_be_kept(self, tmp_path: Path) -> None:
        async with opened_store(None, consent_days=1) as store:
            await store.add_room(room())
            assert await store.rooms() == (room(),)
        assert not list(tmp_path.iterdir())

    async def test_of_a_newer_version_is_left_alone(self, file: Path) -> None:
        async with opened_store(file, consent_days=1) as store:
            await store.add_room(room())
        with closing(sqlite3.connect(file)) as db:
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        async with opened_store(file, consent_days=1) as store:
            assert await store.rooms() == ()
            assert store.trouble == "newer-version"
            with pytest.raises(StoreUnavailable):
                await store.add_room(room())
        assert file.exists()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    async def test_made_by_root_belongs_to_whom_the_folder_belongs(self, file: Path) -> None:
        file.parent.mkdir()
        os.chown(file.parent, 1234, 1235)
        async with opened_store(file, consent_days=1) as store:
            await store.add_room(room())
            for path in file.parent.iterdir():
                assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235), path


class TestErasing:
    async def test_leaves_no_trace_of_a_pin_in_any_file(self, file: Path) -> None:
        async with opened_store(file, consent_days=1) as store:
            for number in range(50):
                await store.add_room(room(f"room-{number}", str(500_000_000 + number)))
            await store.add_room(room())
            assert PIN.encode() in octets_in(file.parent)
            await store.change_room(room(pin=OTHER_PIN))
            assert PIN.encode() not in octets_in(file.parent)
            assert OTHER_PIN.encode() in octets_in(file.parent)
            await store.delete_room("physics")
            assert OTHER_PIN.encode() not in octets_in(file.parent)

    async def test_of_a_consent_leaves_no_trace_of_it(self, file: Path) -> None:
        async with opened_store(file, consent_days=1) as store:
            await store.rooms()
            await store.record_consent("canary-call", "physics", False, AT)
            await store.record_consent("other-call", "maths", False, AT)
            async with running(store):
                await until(
                    lambda: b"canary-call" not in octets_in(file.parent) and not store.trouble
                )
            assert b"canary-call" not in octets_in(file.parent)

    async def test_can_be_of_a_call_a_meeting_or_all_before_a_time(self, file: Path) -> None:
        async with opened_store(file, consent_days=36500) as store:
            for call, meeting in (("a", "physics"), ("b", "physics"), ("c", "maths"), ("d", "art")):
                await store.record_consent(call, meeting, True, AT)
            await store._write_consents()
            assert await store.erase_consents(before=AT) == 0
            assert await store.erase_consents(call_id="a") == 1
            assert await store.erase_consents(meeting_id="physics") == 1
            assert await store.erase_consents(call_id="c", meeting_id="art") == 0
            assert await store.erase_consents() == 2

    async def test_of_what_is_too_old_comes_by_itself(self, file: Path) -> None:
        async with opened_store(file, consent_days=30) as store:
            now = datetime.now(UTC)
            await store.record_consent("old", "m", True, now - timedelta(days=30, hours=1))
            await store.record_consent("new", "m", True, now - timedelta(days=29))
            await store._write_consents()
            await store._purge()
            assert [one.call_id for one in await store.consents()] == ["new"]

    async def test_is_not_needed_where_nothing_is_kept(self, file: Path) -> None:
        async with opened_store(file, consent_days=0) as store:
            await store.record_consent("call", "m", True, AT)
            await store._write_consents()
            assert await store.consents() == ()

    async def test_waits_for_who_reads(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dialin.store.database.BUSY_WITHIN_S", 0.05)
        async with opened_store(file, consent_days=1) as store:
            await store.add_room(room())
            with closing(sqlite3.connect(file, isolation_level=None)) as reader:
                reader.execute("BEGIN")
                reader.execute("SELECT * FROM static_rooms").fetchall()
                await store.delete_room("physics")
                assert PIN.encode() in octets_in(file.parent)
                reader.execute("COMMIT")
            await store._do(store._database.tidy)
            assert PIN.encode() not in octets_in(file.parent)


class TestAnotherProcess:
    async def test_is_noticed_and_followed(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dialin.store, "WATCH_EVERY_S", 0.01)
        async with (
            opened_store(file, consent_days=1) as service,
            opened_store(file, consent_days=1) as command,
        ):
            seen: list[tuple[StaticRoom, ...]] = []
            service.on_change = seen.append
            await service.rooms()
            async with running(service):
                await command.add_room(room())
                await until(lambda: bool(seen))
                assert seen == [(room(),)]
                await service.delete_room("physics")
                await asyncio.sleep(0.1)
                assert len(seen) == 1  # what we did ourselves is no news
                with pytest.raises(UnknownRoom):
                    await command.delete_room("physics")

    async def test_that_holds_the_file_is_waited_for_and_then_told_of(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dialin.store.database.BUSY_WITHIN_S", 0.05)
        failed: list[str] = []
        async with opened_store(file, consent_days=1, failed=failed.append) as store:
            await store.rooms()
            with closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                with pytest.raises(StoreUnavailable) as refused:
                    await store.add_room(room())
                other.execute("ROLLBACK")
            assert refused.value.cause == "locked"
            await store.add_room(room())
        assert failed == ["locked"]


class TestDamage:
    @pytest.mark.parametrize("offset", [0, 16, 100, 4096, 4200, 8192])
    async def test_while_it_runs_costs_no_room(
        self, file: Path, offset: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with opened_store(file, consent_days=1) as store:
            for number in range(20):
                await store.add_room(room(f"room-{number:02}", str(500_000_000 + number)))
            before = await store.rooms()
            with file.open("r+b") as raw:
                raw.seek(offset)
                raw.write(os.urandom(4096))
            await store._purge()
            await store.add_room(room())
            assert set(await store.rooms()) == {*before, room()}
        async with opened_store(file, consent_days=1) as store:
            assert set(await store.rooms()) == {*before, room()}

    async def test_before_the_start_is_mended_and_told_of(
        self, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file.parent.mkdir()
        file.write_bytes(b"this is no database" * 1000)
        async with opened_store(file, consent_days=1) as store:
            assert await store.rooms() == ()
            await store.add_room(room())
        assert "has been remade" in caplog.text
        assert sorted(path.name for path in file.parent.iterdir()) == [
            "dialin.db",
            "dialin.db.damaged",
        ]

    async def test_leaves_what_can_still_be_read(self, file: Path) -> None:
        async with opened_store(file, consent_days=365000) as store:
            for number in range(5):
                await store.add_room(room(f"room-{number}", str(500_000_000 + number)))
            for number in range(2000):
                await store.record_consent(f"call-{number}", "meeting", True, AT)
                if number % 500 == 499:
                    await store._write_consents()
        with file.open("r+b") as raw:
            raw.seek(-8192, os.SEEK_END)
            raw.write(b"\xff" * 8192)
        async with opened_store(file, consent_days=1) as store:
            assert len(await store.rooms()) == 5
            copy = file.with_name("dialin.db.damaged")
            assert copy.exists()
            await store._purge()
            assert copy.exists()
            week_ago = time.time() - 7 * 86400 - 1
            os.utime(copy, (week_ago, week_ago))
            await store._purge()
            assert not copy.exists()


class TestDiskTrouble:
    async def test_at_the_start_leaves_a_store_that_tries_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(dialin.store, "AGAIN_AFTER_S", 0.01)
        monkeypatch.setattr(dialin.store, "WATCH_EVERY_S", 0.01)
        blocked = tmp_path / "state"
        blocked.write_text("a file where the folder should be")
        failed: list[str] = []
        async with opened_store(
            blocked / "dialin.db", consent_days=365000, failed=failed.append
        ) as store:
            assert await store.rooms() == ()
            await store.record_consent("call", "meeting", True, AT)
            async with running(store):
                await until(lambda: len(failed) > 3)
                blocked.unlink()
                await until(lambda: not store.trouble and not store._waiting)
            assert len(await store.consents()) == 1
        assert set(failed) == {"cannot-open"}
        told = [record.message for record in caplog.records if record.name == "dialin.store"]
        assert told == ["the store cannot be used; calls go on"]

    async def test_of_a_disk_that_is_full_changes_nothing_and_passes(self, file: Path) -> None:
        async with opened_store(file, consent_days=1) as store:
            await store.add_room(room())
            db = store._database._connection
            assert db is not None
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {pages}")
            with pytest.raises(StoreUnavailable) as refused:
                await store.add_room(room("big", "55555", name="x" * 100_000))
            assert refused.value.cause == "disk-full"
            assert store.trouble == "disk-full"
            assert await store.rooms() == (room(),)
            db.execute("PRAGMA max_page_count = 100000")
            await store.add_room(room("big", "55555", name="x" * 100_000))
            assert len(await store.rooms()) == 2
            assert store.trouble == ""

    async def test_keeps_as_many_consents_in_memory_as_may_wait(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocked = tmp_path / "state"
        blocked.write_text("in the way")
        async with opened_store(blocked / "dialin.db", consent_days=365000) as store:
            for number in range(dialin.store.MAX_WAITING_CONSENTS + 10):
                await store.record_consent(f"call-{number}", "meeting", True, AT)
            blocked.unlink()
            await store._write_consents()
            consents = await store.consents()
        assert len(consents) == dialin.store.MAX_WAITING_CONSENTS
        assert consents[-1].call_id == f"call-{dialin.store.MAX_WAITING_CONSENTS + 9}"

    async def test_of_a_disk_that_hangs_holds_nobody_up(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dialin.store, "DONE_WITHIN_S", 0.05)
        async with opened_store(file, consent_days=1) as store:
            await store.rooms()
            slow = asyncio.Event()
            loop = asyncio.get_running_loop()

            def hang() -> None:
                loop.call_soon_threadsafe(slow.set)
                time.sleep(0.2)  # noqa: TID251 - a disk does it

            with pytest.raises(StoreUnavailable) as refused:
                await store._do(hang)
            assert slow.is_set()
            assert refused.value.cause == "slow"
            assert store._version == -1
            monkeypatch.setattr(dialin.store, "DONE_WITHIN_S", 10)
            await store.add_room(room())
            assert not store.trouble

    @pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
    async def test_of_a_file_that_cannot_be_written_still_gives_its_rooms(self, file: Path) -> None:
        async with opened_store(file, consent_days=1) as store:
            await store.add_room(room())
        file.chmod(0o400)
        file.parent.chmod(0o500)
        try:
            async with opened_store(file, consent_days=1) as store:
                assert await store.rooms() == (room(),)
                with pytest.raises(StoreUnavailable):
                    await store.delete_room("physics")
        finally:
            file.parent.chmod(0o700)

    def test_of_a_file_that_cannot_be_opened_still_gives_its_rooms(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = Database(file)
        database.add_room(room())
        database.close()

        def refuse(self: Database) -> None:
            error = sqlite3.OperationalError("attempt to write a readonly database")
            error.sqlite_errorname = "SQLITE_READONLY_DIRECTORY"
            raise error

        monkeypatch.setattr(Database, "_connect", refuse)
        database = Database(file)
        with pytest.raises(StoreUnavailable) as refused:
            database.open()
        assert refused.value.cause == "read-only"
        assert database.remembered == (room(),)
        assert not database.is_open


@pytest.mark.e2e
class TestFullDisk:
    """A real disk of 256 KiB, which needs root."""

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Path]:
        disk = tmp_path / "disk"
        disk.mkdir()
        if os.system(f"mount -t tmpfs -o size=256k tmpfs {disk}"):  # noqa: S605 - our own words
            pytest.skip("no file system can be mounted here")
        yield disk
        os.system(f"umount {disk}")  # noqa: S605 - likewise

    async def test_ends_nothing_and_passes(
        self, disk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dialin.store, "AGAIN_AFTER_S", 0.05)
        monkeypatch.setattr(dialin.store, "WATCH_EVERY_S", 0.05)
        failed: list[str] = []
        async with opened_store(
            disk / "dialin.db", consent_days=365000, failed=failed.append
        ) as store:
            await store.add_room(room())
            (disk / "filler").write_bytes(b"x" * (shutil.disk_usage(disk).free))
            async with running(store):
                for number in range(500):
                    await store.record_consent(f"call-{number}", "meeting", True, AT)
                await until(lambda: "disk-full" in failed)
                with pytest.raises(StoreUnavailable):
                    await store.add_room(room("big", "55555", name="x" * 10_000))
                assert await store.rooms() == (room(),)
                (disk / "filler").unlink()
                await until(lambda: not store._waiting)
            assert len(await store.consents()) == 500
            assert not store.trouble
