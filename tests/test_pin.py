# SPDX-License-Identifier: GPL-3.0-or-later
"""What a keyed PIN means, and whose fault it is when it means nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.budgets import Guesser
from dialin.pin import (
    ANSWER_STEP_S,
    Ambiguous,
    Attempts,
    DirectoryDown,
    Found,
    Outcome,
    PinDesk,
    TooManyGuesses,
    UnknownPin,
)
from dialin.rooms import LOOK_WITHIN_S, Room
from dialin.store import StaticRoom
from tests.test_rooms import POLL_S, Server, meeting, now, watching

pytestmark = pytest.mark.looptime

PIN = "123456789"
SOMEBODY = Guesser("trunk", "somebody")


def room(meeting_id: str = "physics", *, running: bool = True) -> Room:
    return Room("one", meeting_id, meeting_id, PIN, running)


class Directory:
    """A directory whose second look finds what a test puts there."""

    def __init__(self, *known: Room, later: tuple[Room, ...] = (), complete: bool = True) -> None:
        self.known = known
        self.later = later
        self.complete = complete
        self.looks = 0

    def with_voice_bridge(self, pin: str) -> tuple[Room, ...]:
        return tuple(one for one in self.known if one.voice_bridge == pin)

    def by_meeting_id(self, meeting_id: str) -> Room | None:
        return next((one for one in self.known if one.meeting_id == meeting_id), None)

    def breakouts_of(self, room: Room) -> tuple[Room, ...]:
        return tuple(one for one in self.known if one.parent_id == room.internal_id)

    async def look_again(self) -> bool:
        self.looks += 1
        self.known += self.later
        return self.complete


async def find(directory: Directory, pin: str = PIN, attempts: Attempts | None = None) -> Outcome:
    return await PinDesk(directory).find(pin, attempts or Attempts(), SOMEBODY)


class TestFound:
    async def test_by_the_first_look(self) -> None:
        directory = Directory(room())
        assert await find(directory) == Found(room())
        assert directory.looks == 0

    async def test_though_the_meeting_has_not_begun(self) -> None:
        assert await find(Directory(room(running=False))) == Found(room(running=False))

    async def test_by_the_second_look_when_it_was_created_a_moment_ago(self) -> None:
        attempts = Attempts()
        directory = Directory(later=(room(),))
        assert await find(directory, attempts=attempts) == Found(room())
        assert (directory.looks, attempts.used) == (1, 0)

    async def test_though_another_server_is_silent(self) -> None:
        assert await find(Directory(later=(room(),), complete=False)) == Found(room())

    async def test_on_the_last_try(self) -> None:
        attempts = Attempts(limit=1)
        assert await find(Directory(room()), attempts=attempts) == Found(room())
        assert attempts.left == 1


class TestUnknown:
    async def test_uses_up_a_try(self) -> None:
        attempts = Attempts()
        assert await find(Directory(), attempts=attempts) == UnknownPin()
        assert (attempts.used, attempts.left) == (1, 2)

    async def test_three_times_is_too_often(self) -> None:
        attempts, directory = Attempts(3), Directory()
        outcomes = [await find(directory, attempts=attempts) for _ in range(4)]
        assert outcomes == [UnknownPin(), UnknownPin(), TooManyGuesses(), TooManyGuesses()]
        assert (attempts.used, attempts.left) == (3, 0)

    async def test_after_the_last_try_not_even_the_right_pin_is_looked_up(self) -> None:
        attempts = Attempts(1)
        await find(Directory(), attempts=attempts)
        assert await find(Directory(room()), attempts=attempts) == TooManyGuesses()

    @pytest.mark.parametrize(
        "pin", ["", "1", "1234", "123456789012", "99999", "12*45", "-12345", "\u0661" * 5, " 12345"]
    )
    async def test_is_what_no_room_can_have_and_no_server_is_asked_for_it(self, pin: str) -> None:
        attempts, directory = Attempts(), Directory(complete=False)
        assert await find(directory, pin, attempts) == UnknownPin()
        assert (directory.looks, attempts.used) == (0, 1)

    async def test_does_not_go_by_a_prefix(self) -> None:
        assert await find(Directory(room()), PIN[:-1]) == UnknownPin()
        assert await find(Directory(room()), PIN + "1") == UnknownPin()

    async def test_does_not_drop_a_leading_zero(self) -> None:
        assert await find(Directory(room()), "0" + PIN) == UnknownPin()


class TestAmbiguous:
    async def test_is_a_pin_of_two_rooms_and_uses_up_no_try(self) -> None:
        attempts = Attempts()
        directory = Directory(room("physics"), room("maths"))
        assert await find(directory, attempts=attempts) == Ambiguous()
        assert attempts.used == 0

    async def test_is_told_by_the_second_look_too(self) -> None:
        assert await find(Directory(later=(room("a"), room("b"), room("c")))) == Ambiguous()


class TestDirectoryDown:
    async def test_is_not_the_callers_fault(self) -> None:
        attempts, directory = Attempts(), Directory(complete=False)
        assert await find(directory, attempts=attempts) == DirectoryDown()
        assert attempts.used == 0

    async def test_ends_when_the_server_is_back(self) -> None:
        attempts, directory = Attempts(), Directory(complete=False)
        await find(directory, attempts=attempts)
        directory.complete, directory.later = True, (room(),)
        assert await find(directory, attempts=attempts) == Found(room())


class TestGuessing:
    @given(st.lists(st.sampled_from(["unknown", "down", "ambiguous", "nonsense"]), max_size=12))
    def test_is_evaluated_three_times_a_call_at_most(self, story: list[str]) -> None:
        async def play() -> int:
            attempts = Attempts(3)
            for what in story:
                known = (room("a"), room("b")) if what == "ambiguous" else ()
                directory = Directory(*known, complete=what != "down")
                pin = "nonsense" if what == "nonsense" else PIN
                refused = attempts.left == 0
                outcome = await find(directory, pin, attempts)
                assert not refused or (outcome, directory.looks) == (TooManyGuesses(), 0)
            return attempts.used

        blamed = sum(what in ("unknown", "nonsense") for what in story)
        with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
            assert runner.run(play()) == min(3, blamed)


class TestWithServers:
    """The desk and the live picture together."""

    async def test_two_callers_at_once_are_one_question(self) -> None:
        server = Server("one")
        server.takes_s = 0.1
        async with watching(server) as rooms:
            desk = PinDesk(rooms)
            await asyncio.sleep(3)
            outcomes = await asyncio.gather(
                *(desk.find(PIN, Attempts(), SOMEBODY) for _ in range(2))
            )
        assert outcomes == [UnknownPin(), UnknownPin()]
        assert len(server.asked_at) == 2

    async def test_created_during_the_call(self) -> None:
        server = Server("one")
        async with watching(server) as rooms:
            desk, attempts = PinDesk(rooms), Attempts()
            await asyncio.sleep(3)
            assert await desk.find(PIN, attempts, SOMEBODY) == UnknownPin()
            server.meetings = (meeting("physics"),)
            assert isinstance(await desk.find(PIN, attempts, SOMEBODY), Found)
            assert attempts.used == 1

    async def test_created_on_two_servers_during_the_call(self) -> None:
        one, two = Server("one"), Server("two")
        async with watching(one, two) as rooms:
            await asyncio.sleep(3)
            one.meetings, two.meetings = (meeting("physics"),), (meeting("maths"),)
            two.takes_s = 0.5
            assert await PinDesk(rooms).find(PIN, Attempts(), SOMEBODY) == Ambiguous()

    @pytest.mark.parametrize("trouble", ["http-server-error", "html-page", "timeout"])
    async def test_a_server_that_fails_for_half_a_minute_burns_no_try(self, trouble: str) -> None:
        server = Server("one")
        server.trouble = trouble
        server.takes_s = 5.0 if trouble == "timeout" else 0.0
        async with watching(server) as rooms:
            desk, attempts = PinDesk(rooms), Attempts()
            while now() < 30:
                asked_at = now()
                assert await desk.find(PIN, attempts, SOMEBODY) == DirectoryDown()
                assert now() - asked_at <= LOOK_WITHIN_S + ANSWER_STEP_S
                await asyncio.sleep(1)
            server.trouble, server.takes_s = None, 0.0
            server.meetings = (meeting("physics"),)
            await asyncio.sleep(POLL_S / 2)
            assert isinstance(await desk.find(PIN, attempts, SOMEBODY), Found)
            assert attempts.used == 0

    async def test_a_known_room_is_found_while_its_server_fails(self) -> None:
        server = Server("one", meeting("physics"))
        async with watching(server) as rooms:
            server.trouble = "timeout"
            await rooms.look_again()
            asked_at = now()
            assert isinstance(await PinDesk(rooms).find(PIN, Attempts(), SOMEBODY), Found)
            assert now() == asked_at

    async def test_nothing_that_is_logged_or_shown_holds_the_pin(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        server = Server("one", meeting("physics"))
        async with watching(server) as rooms:
            outcome = await PinDesk(rooms).find(PIN, Attempts(), SOMEBODY)
            server.trouble = "timeout"
            await rooms.look_again()
        assert isinstance(outcome, Found)
        assert PIN not in repr(outcome) + caplog.text


class Issued:
    """PINs that were issued for good, by PIN."""

    def __init__(self, **rooms: str) -> None:
        self._rooms = {pin.removeprefix("_"): meeting_id for pin, meeting_id in rooms.items()}

    def by_pin(self, pin: str) -> StaticRoom | None:
        meeting_id = self._rooms.get(pin)
        if meeting_id is None:
            return None
        return StaticRoom(meeting_id, pin, meeting_id.title(), False, datetime.now(UTC))


STATIC_PIN = "987654321"
ISSUED = Issued(_987654321="physics")


async def find_issued(directory: Directory, pin: str = STATIC_PIN) -> Outcome:
    return await PinDesk(directory, static=ISSUED).find(pin, Attempts(), SOMEBODY)


class TestStaticPin:
    async def test_leads_to_its_room_whatever_number_that_has_now(self) -> None:
        assert await find_issued(Directory(room())) == Found(room())

    async def test_leads_to_a_room_that_no_server_has_yet(self) -> None:
        found = await find_issued(Directory())
        assert found == Found(Room("", "physics", "Physics", "", running=False))

    async def test_leads_to_a_room_that_was_created_a_moment_ago(self) -> None:
        assert await find_issued(Directory(later=(room(),))) == Found(room())

    async def test_is_known_though_a_server_is_silent(self) -> None:
        assert isinstance(await find_issued(Directory(complete=False)), Found)

    async def test_does_not_take_away_the_number_that_the_meeting_has(self) -> None:
        assert await find_issued(Directory(room()), PIN) == Found(room())

    async def test_wins_over_another_meetings_own_number_and_that_is_told_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        twin = Room("two", "maths", "Maths", STATIC_PIN, running=True)
        desk = PinDesk(Directory(room(), twin), static=ISSUED)
        for _ in range(3):
            assert await desk.find(STATIC_PIN, Attempts(), SOMEBODY) == Found(room())
        (record,) = caplog.records
        assert (record.__dict__["server"], record.__dict__["room"]) == ("two", "physics")
        assert STATIC_PIN not in caplog.text

    async def test_that_its_own_meeting_has_too_is_no_twin(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        same = Room("one", "physics", "Physics", STATIC_PIN, running=True)
        assert await find_issued(Directory(same)) == Found(same)
        assert not caplog.records

    @pytest.mark.parametrize(("suffix", "number"), [("1", 1), ("9", 9), ("10", 10), ("16", 16)])
    async def test_with_a_number_behind_it_leads_to_a_breakout_room(
        self, suffix: str, number: int
    ) -> None:
        main = Room("one", "physics", "Physics", PIN, running=True, internal_id="p-1")
        breakouts = [
            Room(
                "one",
                f"b{n}",
                "B",
                f"{PIN}{n}",
                True,
                is_breakout=True,
                parent_id="p-1",
                sequence=n,
            )
            for n in (1, 9, 10, 16)
        ]
        found = await find_issued(Directory(main, *breakouts), STATIC_PIN + suffix)
        assert isinstance(found, Found)
        assert found.room.sequence == number

    @pytest.mark.parametrize("suffix", ["2", "0", "01", "17", "111"])
    async def test_with_the_number_of_no_breakout_room_is_unknown(self, suffix: str) -> None:
        main = Room("one", "physics", "Physics", PIN, running=True, internal_id="p-1")
        breakout = Room("one", "b", "B", f"{PIN}1", True, parent_id="p-1", sequence=1)
        assert await find_issued(Directory(main, breakout), STATIC_PIN + suffix) == UnknownPin()

    async def test_gives_way_to_a_longer_number_that_a_meeting_has(self) -> None:
        main = Room("one", "physics", "Physics", PIN, running=True, internal_id="p-1")
        breakout = Room("one", "b", "B", f"{PIN}1", True, parent_id="p-1", sequence=1)
        other = Room("two", "maths", "Maths", f"{STATIC_PIN}1", True)
        found = await find_issued(Directory(main, breakout, other), f"{STATIC_PIN}1")
        assert found == Found(other)
