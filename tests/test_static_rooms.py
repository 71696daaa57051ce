# SPDX-License-Identifier: GPL-3.0-or-later
"""PINs that stay: issued once, unlike every other, and nobody's when they are taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.rooms import Room
from dialin.static_rooms import (
    SMALLEST_PIN,
    BadRoom,
    PinTaken,
    RoomExists,
    StaticRooms,
    StoreUnavailable,
    UnknownRoom,
    twins,
)
from dialin.store import clash, opened_store

OTHER = Room("one", "maths", "Maths", "234567890", running=True, internal_id="maths-1")


@asynccontextmanager
async def rooms_in(
    file: Path | None = None, *, live: Iterable[Room] = (), draws: Iterable[int] = ()
) -> AsyncIterator[StaticRooms]:
    drawn = iter(draws)
    async with opened_store(file, consent_days=30) as store:
        given_draw = {"draw": lambda: next(drawn)} if draws else {}
        static = StaticRooms(store, live=lambda: tuple(live), **given_draw)
        await static.load()
        yield static


def drawn(pin: str) -> int:
    """The draw that makes this PIN."""
    return int(pin) - SMALLEST_PIN


class TestIssuing:
    async def test_gives_nine_digits_without_a_leading_zero(self) -> None:
        async with rooms_in() as static:
            pins = [(await static.create(f"room-{number}")).pin for number in range(50)]
        assert all(len(pin) == 9 and pin.isdigit() and pin[0] != "0" for pin in pins)
        assert len(set(pins)) == 50

    @pytest.mark.parametrize(("draw", "pin"), [(0, "100000000"), (899_999_999, "999999999")])
    async def test_uses_the_whole_range(self, draw: int, pin: str) -> None:
        async with rooms_in(draws=[draw]) as static:
            assert (await static.create("physics")).pin == pin

    @pytest.mark.parametrize("live", ["234567890", "23456", "23456789012"])
    async def test_avoids_what_is_like_a_meetings_own_number(self, live: str) -> None:
        other = Room("one", "maths", "Maths", live, running=True)
        draws = [drawn("234567890"), drawn("345678901")]
        async with rooms_in(live=[other], draws=draws) as static:
            assert (await static.create("physics")).pin == "345678901"

    async def test_avoids_every_other_pin_and_the_rooms_own_old_one(self) -> None:
        draws = map(drawn, ["234567890", "234567890", "345678901", "345678901", "456789012"])
        async with rooms_in(draws=[*draws]) as static:
            await static.create("physics")
            assert (await static.create("maths")).pin == "345678901"
            assert (await static.rotate("maths")).pin == "456789012"

    async def test_takes_a_pin_that_is_wanted(self) -> None:
        async with rooms_in() as static:
            assert (await static.create("physics", pin="12345")).pin == "12345"

    async def test_lets_a_room_keep_the_number_that_its_own_meeting_has(self) -> None:
        own = Room("one", "physics", "Physics", "234567890", running=True, internal_id="p-1")
        breakout = Room("one", "b", "B", "2345678901", running=True, parent_id="p-1")
        async with rooms_in(live=[own, breakout]) as static:
            assert (await static.create("physics", pin="234567890")).pin == "234567890"

    @pytest.mark.parametrize("pin", ["234567890", "23456", "2345678901"])
    async def test_refuses_a_wanted_pin_that_is_like_another(self, pin: str) -> None:
        async with rooms_in(live=[OTHER]) as static:
            with pytest.raises(PinTaken):
                await static.create("physics", pin=pin)
            await static.create("art", pin="34567")
            with pytest.raises(PinTaken):
                await static.create("physics", pin="345678901")
            assert static.get("physics") is None

    @pytest.mark.parametrize("pin", ["1234", "123456789012", "99999", "12a45", "", "\u0661" * 5])
    async def test_refuses_what_cannot_be_keyed(self, pin: str) -> None:
        async with rooms_in() as static:
            with pytest.raises(BadRoom):
                await static.create("physics", pin=pin)

    @pytest.mark.parametrize(
        ("meeting_id", "name"),
        [("", ""), ("x" * 257, ""), ("a\nb", ""), ("a", "\x1b"), ("a", "x" * 257)],
    )
    async def test_refuses_ids_and_names_that_are_none(self, meeting_id: str, name: str) -> None:
        async with rooms_in() as static:
            with pytest.raises(BadRoom):
                await static.create(meeting_id, name=name)

    async def test_gives_up_when_nothing_is_left(self) -> None:
        async with rooms_in(draws=[5] * 1002) as static:
            await static.create("physics")
            with pytest.raises(PinTaken):
                await static.create("maths")

    @given(st.text("0123456789", min_size=1), st.text("0123456789", min_size=1))
    def test_calls_two_numbers_alike_when_one_begins_the_other(self, one: str, two: str) -> None:
        assert clash(one, two) == clash(two, one)
        assert clash(one, one + two)
        if len(one) == len(two):
            assert clash(one, two) == (one == two)


class TestKeeping:
    async def test_outlives_the_service(self, tmp_path: Path) -> None:
        file = tmp_path / "dialin.db"
        async with rooms_in(file) as static:
            first = await static.create("physics", name="Physics", lobby=True)
            second = await static.create("maths")
        async with rooms_in(file) as static:
            assert static.all() == (first, second)
            assert static.by_pin(first.pin) == first
            assert (static.get("physics"), len(static)) == (first, 2)

    async def test_is_once_for_a_room(self) -> None:
        async with rooms_in() as static:
            await static.create("physics")
            with pytest.raises(RoomExists):
                await static.create("physics")

    async def test_is_once_for_a_room_though_two_ask_at_the_same_time(self) -> None:
        async with rooms_in() as static:
            both = await asyncio.gather(
                static.create("physics"), static.create("physics"), return_exceptions=True
            )
            assert sorted(type(one).__name__ for one in both) == ["RoomExists", "StaticRoom"]

    async def test_takes_the_old_pin_away_when_a_new_one_is_issued(self) -> None:
        async with rooms_in() as static:
            old = await static.create("physics", name="Physics", lobby=True)
            new = await static.rotate("physics")
            assert static.by_pin(old.pin) is None
            assert static.by_pin(new.pin) == new
            assert (new.name, new.lobby, new.created_at) == ("Physics", True, old.created_at)

    async def test_changes_name_and_lobby_and_leaves_the_pin(self) -> None:
        async with rooms_in() as static:
            room = await static.create("physics", name="Physics")
            changed = await static.change("physics", lobby=True)
            assert (changed.pin, changed.name, changed.lobby) == (room.pin, "Physics", True)
            assert (await static.change("physics", name="P")).name == "P"
            assert static.by_pin(room.pin) == static.get("physics")

    async def test_ends_with_deleting(self, tmp_path: Path) -> None:
        file = tmp_path / "dialin.db"
        async with rooms_in(file) as static:
            room = await static.create("physics")
            await static.delete("physics")
            assert static.by_pin(room.pin) is None
            assert static.all() == ()
        async with rooms_in(file) as static:
            assert static.all() == ()

    async def test_of_a_room_nobody_knows_cannot_be_changed(self) -> None:
        async with rooms_in() as static:
            for work in (static.rotate("x"), static.change("x", lobby=True), static.delete("x")):
                with pytest.raises(UnknownRoom):
                    await work

    async def test_changes_nothing_when_the_disk_fails(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        async with rooms_in(tmp_path / "file" / "dialin.db") as static:
            with pytest.raises(StoreUnavailable):
                await static.create("physics")
            assert static.all() == ()

    async def test_shows_no_pin_in_a_repr(self) -> None:
        async with rooms_in() as static:
            room = await static.create("physics")
            assert room.pin not in repr(room)


class TestBesideAnotherProcess:
    async def test_no_pin_is_issued_twice(self, tmp_path: Path) -> None:
        file = tmp_path / "dialin.db"
        draws = [drawn("234567890")]
        async with (
            rooms_in(file, draws=draws) as one,
            rooms_in(file, draws=[*draws, drawn("345678901")]) as two,
        ):
            assert (await one.create("physics")).pin == "234567890"
            assert (await two.create("maths")).pin == "345678901"
            with pytest.raises(PinTaken):
                await two.create("art", pin="234567890")


class TestTwins:
    async def test_are_a_static_pin_and_another_meetings_own_number(self) -> None:
        async with rooms_in() as static:
            room = await static.create("physics", pin="234567890")
            own = Room("one", "physics", "Physics", "234567890", running=True)
            apart = Room("one", "art", "Art", "456789012", running=True)
            (twin,) = twins(static.all(), [own, OTHER, apart])
            assert (twin.static, twin.room) == (room, OTHER)
