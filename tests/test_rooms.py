# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of all BBB servers, over minutes of a clock that costs no time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from dialin.bbb_api import BbbUnavailable
from dialin.rooms import LOOK_GAP_S, LOOK_WITHIN_S, NOT_ASKED_YET, Room, Rooms, is_voice_bridge
from dialin.wire.bbbxml import Attendee, Meeting

pytestmark = pytest.mark.looptime

POLL_S = 10.0


def meeting(
    meeting_id: str,
    voice_bridge: str = "123456789",
    *,
    running: bool = True,
    is_ended: bool = False,
    attendees: Sequence[Attendee] = (),
) -> Meeting:
    return Meeting(
        meeting_id=meeting_id,
        internal_id=f"{meeting_id}-1",
        name=meeting_id.title(),
        voice_bridge=voice_bridge,
        dial_number="",
        running=running,
        is_ended=is_ended,
        is_breakout=False,
        parent_id="",
        create_time=0,
        attendees=tuple(attendees),
    )


class Server:
    """A BBB server whose answers a test sets, and which notes when it was asked."""

    def __init__(self, name: str, *meetings: Meeting) -> None:
        self.name = name
        self.meetings = meetings
        self.trouble: str | None = None
        self.takes_s = 0.0
        self.asked_at: list[float] = []

    async def get_meetings(self) -> tuple[Meeting, ...]:
        self.asked_at.append(now())
        await asyncio.sleep(self.takes_s)
        if self.trouble:
            raise BbbUnavailable(self.name, self.trouble)
        return self.meetings


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def watching(
    *servers: Server, jitter: Callable[[], float] = lambda: 0.5, settle: bool = True
) -> AsyncIterator[Rooms]:
    rooms = Rooms(servers, poll_s=POLL_S, jitter=jitter)
    task = asyncio.create_task(rooms.run())
    try:
        if settle:
            await rooms.look_again()
        yield rooms
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def ids(rooms: Sequence[Room]) -> list[tuple[str, str]]:
    return [room.key for room in rooms]


class TestPolling:
    async def test_asks_every_server_in_turns(self) -> None:
        server = Server("one")
        async with watching(server):
            await asyncio.sleep(3 * POLL_S + 1)
        assert server.asked_at == pytest.approx([0, 10, 20, 30])

    async def test_comes_a_tenth_earlier_or_later(self) -> None:
        server = Server("one")
        draws = iter([0.0, 1.0, 0.5, 0.5])
        async with watching(server, jitter=lambda: next(draws)):
            await asyncio.sleep(29)
        assert server.asked_at == pytest.approx([0, 9, 20])

    async def test_of_one_server_does_not_wait_for_another(self) -> None:
        slow, quick = Server("slow"), Server("quick")
        slow.takes_s = 100
        async with watching(slow, quick):
            await asyncio.sleep(41)
        assert len(slow.asked_at) == 1
        assert len(quick.asked_at) >= 4

    async def test_goes_on_after_a_failure(self) -> None:
        server = Server("one", meeting("physics"))
        server.trouble = "html-page"
        async with watching(server) as rooms:
            assert not rooms.with_voice_bridge("123456789")
            server.trouble = None
            await asyncio.sleep(POLL_S + 1)
            assert ids(rooms.with_voice_bridge("123456789")) == [("one", "physics")]


class TestPicture:
    async def test_knows_rooms_by_their_voice_bridge(self) -> None:
        attendee = Attendee("w_1", "Ada", "VIEWER", "HTML5", True, False)
        server = Server(
            "one",
            meeting("physics", "01234", attendees=[attendee]),
            meeting("maths", "1234", running=False),
            meeting("art", "12345678901"),
        )
        async with watching(server) as rooms:
            (physics,) = rooms.with_voice_bridge("01234")
            assert rooms.with_voice_bridge("1234") == ()
            assert physics == Room(
                server="one",
                meeting_id="physics",
                name="Physics",
                voice_bridge="01234",
                running=True,
                internal_id="physics-1",
                is_breakout=False,
                is_empty=False,
            )
            assert rooms.with_voice_bridge("12345678901")[0].is_empty
            assert "01234" not in repr(physics)

    async def test_knows_breakout_rooms(self) -> None:
        breakout = replace(meeting("b-1", "1234567891"), is_breakout=True)
        async with watching(Server("one", meeting("b", "123456789"), breakout)) as rooms:
            assert ids(rooms.with_voice_bridge("1234567891")) == [("one", "b-1")]
            assert rooms.with_voice_bridge("1234567891")[0].is_breakout
            assert ids(rooms.with_voice_bridge("123456789")) == [("one", "b")]

    async def test_forgets_rooms_that_ended(self) -> None:
        server = Server("one", meeting("physics"), meeting("maths", "55555"))
        async with watching(server) as rooms:
            (physics,) = rooms.with_voice_bridge("123456789")
            server.meetings = (
                meeting("physics", is_ended=True, running=False),
                meeting("maths", "66666"),
            )
            await rooms.look_again()
            assert rooms.with_voice_bridge("123456789") == ()
            assert rooms.with_voice_bridge("55555") == ()
            assert rooms.current(physics) is None
            assert ids(rooms.with_voice_bridge("66666")) == [("one", "maths")]

    @pytest.mark.parametrize("bridge", ["", "1234", "123456789012", "99999", "12a45", "\u0661" * 5])
    async def test_has_no_room_for_what_cannot_be_dialled(self, bridge: str) -> None:
        async with watching(Server("one", meeting("odd", bridge))) as rooms:
            assert not is_voice_bridge(bridge)
            assert rooms.with_voice_bridge(bridge) == ()
            odd = rooms.by_meeting_id("odd")
            assert odd is not None
            assert (odd.voice_bridge, odd.hindrance) == ("", "no-voice-bridge")

    async def test_shows_all_rooms_of_one_pin(self) -> None:
        one, two = Server("one", meeting("physics")), Server("two", meeting("maths"))
        async with watching(one, two) as rooms:
            assert len(rooms.with_voice_bridge("123456789")) == 2

    async def test_shows_two_rooms_of_one_server_with_one_pin(self) -> None:
        async with watching(Server("one", meeting("physics"), meeting("maths"))) as rooms:
            assert len(rooms.with_voice_bridge("123456789")) == 2

    async def test_keeps_rooms_while_their_server_is_silent(self) -> None:
        server = Server("one", meeting("physics"))
        async with watching(server) as rooms:
            server.trouble = "timeout"
            await rooms.look_again()
            assert ids(rooms.with_voice_bridge("123456789")) == [("one", "physics")]
            assert not all(server.ok for server in rooms.servers)

    async def test_follows_a_room_that_moved_off_a_dead_server(self) -> None:
        dead, live = Server("dead", meeting("physics")), Server("live")
        async with watching(dead, live) as rooms:
            dead.trouble, live.meetings = "timeout", (meeting("physics"),)
            await rooms.look_again()
            assert ids(rooms.with_voice_bridge("123456789")) == [("live", "physics")]

    async def test_does_not_take_another_room_for_the_moved_one(self) -> None:
        dead, live = Server("dead", meeting("physics")), Server("live")
        async with watching(dead, live) as rooms:
            dead.trouble, live.meetings = "timeout", (meeting("maths"),)
            await rooms.look_again()
            assert len(rooms.with_voice_bridge("123456789")) == 2

    async def test_shows_a_room_as_it_is_now(self) -> None:
        server = Server("one", meeting("physics", running=False))
        async with watching(server) as rooms:
            (before,) = rooms.with_voice_bridge("123456789")
            server.meetings = (meeting("physics"),)
            await rooms.look_again()
            after = rooms.current(before)
            assert not before.running
            assert after is not None
            assert after.running


class TestLookingAgain:
    async def test_asks_at_once(self) -> None:
        server = Server("one")
        async with watching(server) as rooms:
            await asyncio.sleep(3)
            assert await rooms.look_again()
            assert server.asked_at == pytest.approx([0, 3])
            assert now() == pytest.approx(3)

    async def test_for_nobody_who_waits_asks_one_server_after_what_is_under_way(self) -> None:
        one, two = Server("one"), Server("two")
        one.takes_s = 0.2
        async with watching(one, two) as rooms:
            await asyncio.sleep(2)
            rooms.ask_soon("one")
            await asyncio.sleep(0.1)
            rooms.ask_soon("one")
            rooms.ask_soon("none")
            await asyncio.sleep(1)
        assert one.asked_at == pytest.approx([0, 2.2, 2.7], abs=0.01)
        assert len(two.asked_at) == 1

    async def test_by_two_callers_at_once_is_one_question_to_each_server(self) -> None:
        one, two = Server("one"), Server("two")
        one.takes_s = two.takes_s = 0.2
        async with watching(one, two) as rooms:
            await asyncio.sleep(3)
            looks = [rooms.look_again(), rooms.look_again()]
            assert await asyncio.gather(*looks, late(rooms, 0.1)) == [True, True, True]
        assert [len(one.asked_at), len(two.asked_at)] == [2, 2]

    async def test_delays_no_poll_and_doubles_none(self) -> None:
        server = Server("one")
        async with watching(server) as rooms:
            await asyncio.sleep(6)
            await rooms.look_again()
            await asyncio.sleep(POLL_S + 1)
        assert server.asked_at == pytest.approx([0, 6, 16])

    async def test_shares_the_poll_that_is_under_way(self) -> None:
        server = Server("one")
        server.takes_s = 1
        async with watching(server, settle=False) as rooms:
            await asyncio.sleep(0.5)
            assert await rooms.look_again()
        assert len(server.asked_at) == 1

    async def test_gives_up_on_a_slow_server_after_two_seconds(self) -> None:
        slow, quick = Server("slow"), Server("quick")
        async with watching(slow, quick) as rooms:
            slow.takes_s = 4.9
            quick.meetings = (meeting("physics"),)
            began = now()
            assert not await rooms.look_again()
            assert now() - began == pytest.approx(LOOK_WITHIN_S)
            assert ids(rooms.with_voice_bridge("123456789")) == [("quick", "physics")]

    async def test_says_when_a_server_has_failed(self) -> None:
        one, two = Server("one"), Server("two")
        async with watching(one, two) as rooms:
            one.trouble = "http-server-error"
            assert not await rooms.look_again()

    async def test_outlives_a_caller_who_hangs_up_meanwhile(self) -> None:
        server = Server("one")
        server.takes_s = 0.4
        async with watching(server) as rooms:
            first = asyncio.create_task(rooms.look_again())
            second = asyncio.create_task(rooms.look_again())
            await asyncio.sleep(0.2)
            first.cancel()
            assert await second

    async def test_by_a_guesser_is_no_flood_for_the_server(self) -> None:
        server = Server("one")
        async with watching(server) as rooms:
            for _ in range(20):
                await rooms.look_again()
        gaps = [
            after - before
            for before, after in zip(server.asked_at, server.asked_at[1:], strict=False)
        ]
        assert min(gaps) >= LOOK_GAP_S - 0.001

    async def test_without_servers_is_complete(self) -> None:
        async with watching() as rooms:
            assert await rooms.look_again()
            assert all(server.ok for server in rooms.servers)


async def late(rooms: Rooms, after_s: float) -> bool:
    await asyncio.sleep(after_s)
    return await rooms.look_again()


class TestOpening:
    async def test_is_noticed_at_the_next_poll(self) -> None:
        server = Server("one", meeting("later", running=False))
        async with watching(server) as rooms:
            (room,) = rooms.with_voice_bridge("123456789")
            waiting = asyncio.create_task(rooms.opened(room))
            await asyncio.sleep(2 * POLL_S + 1)
            assert not waiting.done()
            server.meetings = (meeting("later"),)
            async with asyncio.timeout(POLL_S):
                opened = await waiting
        assert opened.running

    async def test_of_a_running_room_is_at_once(self) -> None:
        async with watching(Server("one", meeting("now"))) as rooms:
            (room,) = rooms.with_voice_bridge("123456789")
            assert await rooms.opened(room) == room

    async def test_outlasts_a_room_that_vanishes_and_comes_back_with_another_number(self) -> None:
        server = Server("one", meeting("later", running=False))
        async with watching(server) as rooms:
            (room,) = rooms.with_voice_bridge("123456789")
            waiting = asyncio.create_task(rooms.opened(room))
            server.meetings = ()
            await asyncio.sleep(POLL_S + 1)
            server.meetings = (meeting("later", "77777"),)
            assert (await waiting).voice_bridge == "77777"

    async def test_ends_with_the_callers_patience(self) -> None:
        async with watching(Server("one", meeting("never", running=False))) as rooms:
            (room,) = rooms.with_voice_bridge("123456789")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(60):
                    await rooms.opened(room)
            await asyncio.sleep(POLL_S + 1)  # and polling goes on


class TestServersThatChange:
    async def test_come_and_go_with_their_rooms(self) -> None:
        one, two = Server("one", meeting("physics")), Server("two", meeting("maths", "987654321"))
        async with watching(one) as rooms:
            rooms.change([two])
            assert rooms.with_voice_bridge("123456789") == ()
            assert await rooms.look_again()
            assert ids(rooms.known) == [("two", "maths")]
            asked = len(one.asked_at)
            await asyncio.sleep(3 * POLL_S)
            assert len(one.asked_at) == asked
            assert len(two.asked_at) >= 3

    async def test_keep_their_rooms_and_are_asked_at_once_by_the_new_secret(self) -> None:
        old, new = Server("one", meeting("physics")), Server("one", meeting("maths", "987654321"))
        async with watching(old) as rooms:
            await asyncio.sleep(1)
            rooms.change([new])
            assert ids(rooms.known) == [("one", "physics")]
            await asyncio.sleep(LOOK_GAP_S)
            assert ids(rooms.known) == [("one", "maths")]

    async def test_that_are_gone_keep_nobody_who_asks(self) -> None:
        server = Server("one", meeting("physics"))
        async with watching(server) as rooms:
            [room] = rooms.known
            server.takes_s = 100
            asking = asyncio.create_task(rooms.look_again())
            await asyncio.sleep(0.6)
            rooms.change([])
            assert not await asking
            assert await rooms.is_still_running(room) is False
            assert await rooms.look_again()

    async def test_leave_who_waits_to_whoever_has_the_room_then(self) -> None:
        one = Server("one", meeting("physics", running=False))
        two = Server("two", meeting("physics", "987654321"))
        async with watching(one) as rooms:
            [room] = rooms.known
            waiting = asyncio.create_task(rooms.opened(room))
            await asyncio.sleep(1)
            rooms.change([two])
            assert (await asyncio.wait_for(waiting, 2)).key == ("two", "physics")


class TestHealth:
    async def test_begins_unasked(self) -> None:
        rooms = Rooms([Server("one")], poll_s=POLL_S)
        (health,) = rooms.servers
        assert (health.name, health.ok, health.cause) == ("one", False, NOT_ASKED_YET)
        assert health.last_ok_at is None
        assert not all(server.ok for server in rooms.servers)

    async def test_of_each_server_is_its_own(self) -> None:
        good, bad = Server("good", meeting("physics")), Server("bad")
        bad.trouble = "checksum-error"
        async with watching(good, bad) as rooms:
            healthy, ill = rooms.servers
        assert (healthy.ok, healthy.cause, healthy.meetings) == (True, "", 1)
        assert healthy.last_ok_at is not None
        assert healthy.last_ok_at.tzinfo is not None
        assert (ill.ok, ill.cause, ill.last_ok_at) == (False, "checksum-error", None)

    async def test_keeps_the_time_of_the_last_good_answer(self) -> None:
        server = Server("one")
        async with watching(server) as rooms:
            before = rooms.servers[0].last_ok_at
            server.trouble = "timeout"
            await rooms.look_again()
            assert rooms.servers[0].last_ok_at == before
            assert rooms.servers[0].cause == "timeout"

    async def test_is_logged_when_it_changes_and_not_at_every_poll(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "dialin.rooms")
        server = Server("one", meeting("physics"))
        async with watching(server):
            await asyncio.sleep(3 * POLL_S)
            server.trouble = "timeout"
            await asyncio.sleep(3 * POLL_S)
            server.trouble = None
            await asyncio.sleep(3 * POLL_S)
        assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]
        assert "one" in caplog.messages[1]
        assert caplog.messages[2] == "BBB server one answers: 1 rooms"
