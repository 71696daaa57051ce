# SPDX-License-Identifier: GPL-3.0-or-later
"""Rooms that move, vanish, come back and open, and servers that tell of it by themselves."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from dialin.rooms import LOOK_GAP_S, LOOK_WITHIN_S, Room, Rooms
from dialin.rooms.watcher import MAX_AUDIO_BRIDGES
from dialin.wire.bbbhooks import HookEvent, HookKind
from tests.test_rooms import POLL_S, Server, meeting, now, watching

pytestmark = pytest.mark.looptime

NOWHERE = Room("", "physics", "Physics", "", running=False)


def told(kind: HookKind, meeting_id: str = "physics", **details: object) -> HookEvent:
    event = HookEvent("one", meeting_id, f"{meeting_id}-1", kind)
    return replace(event, **details)  # type: ignore[arg-type]


class TestByMeetingId:
    async def test_finds_a_room_wherever_it_is(self) -> None:
        async with watching(Server("one"), Server("two", meeting("physics"))) as rooms:
            found = rooms.by_meeting_id("physics")
            assert found is not None
            assert found.server == "two"
            assert rooms.by_meeting_id("maths") is None

    async def test_prefers_the_one_that_runs(self) -> None:
        idle = meeting("physics", running=False)
        async with watching(Server("one", idle), Server("two", meeting("physics"))) as rooms:
            found = rooms.by_meeting_id("physics")
            assert found is not None
            assert found.server == "two"

    async def test_prefers_a_server_that_answers(self) -> None:
        dead, live = Server("dead", meeting("physics")), Server("live")
        async with watching(dead, live) as rooms:
            dead.trouble, live.meetings = "timeout", (meeting("physics", running=False),)
            await rooms.look_again()
            found = rooms.by_meeting_id("physics")
            assert found is not None
            assert found.server == "live"

    async def test_prefers_the_one_created_last(self) -> None:
        old, new = (replace(meeting("physics"), create_time=when) for when in (1000, 2000))
        for meetings in ((old, new), (new, old)):
            servers = [Server(f"server {n}", one) for n, one in enumerate(meetings)]
            async with watching(*servers) as rooms:
                found = rooms.by_meeting_id("physics")
                assert found is not None
                assert found.create_time == 2000

    async def test_knows_a_meeting_without_a_number_and_why_nobody_can_call_it(self) -> None:
        async with watching(Server("one", meeting("physics", ""))) as rooms:
            found = rooms.by_meeting_id("physics")
            assert found is not None
            assert found.hindrance == "no-voice-bridge"
            assert replace(found, running=False).hindrance == ""
            assert replace(found, voice_bridge="12345").hindrance == ""
            assert not rooms.voice_bridges

    async def test_follows_a_balancer_that_rewrites_the_number(self) -> None:
        balancer = Server("scalelite", meeting("physics", "111111111"))
        async with watching(balancer) as rooms:
            balancer.meetings = (meeting("physics", "222222222"),)
            await rooms.look_again()
            found = rooms.by_meeting_id("physics")
            assert found is not None
            assert found.voice_bridge == "222222222"
            assert rooms.voice_bridges == {"222222222"}
            assert rooms.known == (found,)


class TestBreakouts:
    async def test_know_their_parent_and_the_parent_knows_them(self) -> None:
        second, first = (
            replace(
                meeting(f"b{number}", f"12345678{number}"),
                is_breakout=True,
                parent_id="physics-1",
                sequence=number,
            )
            for number in (2, 1)
        )
        other = replace(second, meeting_id="other", parent_id="maths-1")
        server = Server("one", second, meeting("physics"), first, other)
        async with watching(server, Server("two")) as rooms:
            main = rooms.by_meeting_id("physics")
            assert main is not None
            breakouts = rooms.breakouts_of(main)
            assert [room.sequence for room in breakouts] == [1, 2]
            assert rooms.parent_of(breakouts[0]) == main
            assert rooms.parent_of(main) is None
            assert rooms.breakouts_of(breakouts[0]) == ()
            assert rooms.breakouts_of(NOWHERE) == breakouts
            assert rooms.breakouts_of(replace(NOWHERE, meeting_id="gone")) == ()
            server.meetings = (meeting("physics"),)
            await rooms.look_again()
            assert rooms.breakouts_of(main) == ()
            assert rooms.parent_of(breakouts[0]) == main


class TestOpening:
    async def test_of_a_room_that_no_server_has_yet(self) -> None:
        one, two = Server("one"), Server("two")
        async with watching(one, two) as rooms:
            waiting = asyncio.create_task(rooms.opened(NOWHERE))
            await asyncio.sleep(POLL_S + 1)
            two.meetings = (meeting("physics", running=False),)
            await asyncio.sleep(POLL_S + 1)
            assert not waiting.done()
            two.meetings = (meeting("physics"),)
            assert (await waiting).server == "two"

    async def test_of_a_room_that_comes_back_on_another_server_with_another_number(self) -> None:
        one, two = Server("one", meeting("physics", running=False)), Server("two")
        async with watching(one, two) as rooms:
            (room,) = rooms.with_voice_bridge("123456789")
            waiting = asyncio.create_task(rooms.opened(room))
            one.meetings, two.meetings = (), (meeting("physics", "77777"),)
            opened = await waiting
            assert (opened.server, opened.voice_bridge) == ("two", "77777")

    async def test_is_not_that_of_a_namesake_while_the_rooms_own_server_lists_it(self) -> None:
        one = Server("one", meeting("physics", running=False))
        async with watching(one, Server("two", meeting("physics", "77777"))) as rooms:
            (room,) = rooms.with_voice_bridge("123456789")
            waiting = asyncio.create_task(rooms.opened(room))
            await asyncio.sleep(3 * POLL_S)
            assert not waiting.done()
            one.trouble = "timeout"
            assert (await waiting).server == "two"

    async def test_lets_a_thousand_in_at_once_and_nobody_stays_behind(self) -> None:
        server = Server("one", meeting("physics", running=False))
        async with watching(server) as rooms:
            waiting = [asyncio.create_task(rooms.opened(NOWHERE)) for _ in range(1000)]
            polls_began = time.process_time()
            await asyncio.sleep(20 * POLL_S)
            cost_s = time.process_time() - polls_began
            opened_at = now()
            server.meetings = (meeting("physics"),)
            rooms.learnt(told(HookKind.USER_JOINED))
            assert all(room.running for room in await asyncio.gather(*waiting))
            assert now() - opened_at <= 2
            assert not rooms._waiting
        # Twenty polls that open nothing wake none of them.
        assert cost_s < 1

    async def test_forgets_who_has_given_up(self) -> None:
        async with watching(Server("one")) as rooms:
            waiting = [asyncio.create_task(rooms.opened(NOWHERE)) for _ in range(3)]
            await asyncio.sleep(1)
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)
            assert not rooms._waiting


class TestStillRunning:
    async def found(self, rooms: Rooms) -> Room:
        room = rooms.by_meeting_id("physics")
        assert room is not None
        return room

    async def test_is_asked(self) -> None:
        server = Server("one", meeting("physics"))
        async with watching(server) as rooms:
            room = await self.found(rooms)
            await asyncio.sleep(3)
            assert await rooms.is_still_running(room) is True
            assert len(server.asked_at) == 2
            server.meetings = ()
            assert await rooms.is_still_running(room) is False

    async def test_is_not_told_by_an_answer_that_was_under_way(self) -> None:
        server = Server("one", meeting("physics"))
        async with watching(server) as rooms:
            room = await self.found(rooms)
            server.takes_s = 0.3
            await asyncio.sleep(3)
            looking = asyncio.create_task(rooms.look_again())
            await asyncio.sleep(0.1)
            asked = asyncio.create_task(rooms.is_still_running(room))
            await looking
            server.meetings = ()
            assert await asked is False

    async def test_is_asked_once_for_all_who_want_to_know(self) -> None:
        server = Server("one", meeting("physics"))
        async with watching(server) as rooms:
            room = await self.found(rooms)
            await asyncio.sleep(3)
            asked = [rooms.is_still_running(room) for _ in range(50)]
            assert set(await asyncio.gather(*asked)) == {True}
            assert len(server.asked_at) == 2

    async def test_is_unknown_while_the_server_does_not_answer(self) -> None:
        server = Server("one", meeting("physics"))
        async with watching(server) as rooms:
            room = await self.found(rooms)
            server.trouble = "http-server-error"
            assert await rooms.is_still_running(room) is None
            server.trouble, server.takes_s = None, 60
            began = now()
            assert await rooms.is_still_running(room) is None
            assert now() - began == pytest.approx(LOOK_WITHIN_S)

    async def test_is_not_another_meeting_of_the_same_room(self) -> None:
        server = Server("one", meeting("physics"))
        async with watching(server) as rooms:
            room = await self.found(rooms)
            server.meetings = (replace(meeting("physics"), internal_id="physics-2"),)
            assert await rooms.is_still_running(room) is False

    async def test_is_not_said_of_a_room_that_no_server_has(self) -> None:
        async with watching(Server("one")) as rooms:
            assert await rooms.is_still_running(NOWHERE) is False


class TestWebhooks:
    async def test_show_a_meeting_the_moment_it_is_created(self) -> None:
        server = Server("one")
        async with watching(server) as rooms:
            rooms.learnt(
                told(
                    HookKind.MEETING_CREATED,
                    meeting_name="Physics",
                    voice_bridge="123456789",
                    audio_bridge="livekit",
                    is_breakout=True,
                    parent_id="maths-1",
                    is_recorded=True,
                    timestamp_ms=1000,
                )
            )
            (room,) = rooms.with_voice_bridge("123456789")
            assert room == Room(
                "one",
                "physics",
                "Physics",
                "123456789",
                running=False,
                internal_id="physics-1",
                is_breakout=True,
                is_empty=True,
                parent_id="maths-1",
                is_recorded=True,
                audio_bridge="livekit",
                create_time=1000,
            )
            server.meetings = (meeting("physics"),)
            await rooms.look_again()
            (room,) = rooms.with_voice_bridge("123456789")
            assert (room.running, room.audio_bridge) == (True, "livekit")

    async def test_do_not_undo_what_is_known_when_a_meeting_is_created_again(self) -> None:
        async with watching(Server("one", meeting("physics"))) as rooms:
            rooms.learnt(
                told(HookKind.MEETING_CREATED, voice_bridge="55555", audio_bridge="livekit")
            )
            room = rooms.by_meeting_id("physics")
            assert room is not None
            assert (room.running, room.voice_bridge) == (True, "123456789")
            assert room.audio_bridge == "livekit"

    async def test_let_those_who_wait_in_the_moment_the_first_one_joins(self) -> None:
        server = Server("one", meeting("physics", running=False))
        async with watching(server) as rooms:
            (room,) = rooms.with_voice_bridge("123456789")
            waiting = asyncio.create_task(rooms.opened(room))
            await asyncio.sleep(3)
            rooms.learnt(told(HookKind.USER_JOINED))
            assert (await waiting).running
            assert now() == pytest.approx(3)

    async def test_take_a_meeting_away_the_moment_it_ends(self) -> None:
        async with watching(Server("one", meeting("physics"))) as rooms:
            rooms.learnt(replace(told(HookKind.MEETING_ENDED), internal_id="physics-0"))
            assert rooms.by_meeting_id("physics")
            rooms.learnt(told(HookKind.MEETING_ENDED))
            assert rooms.by_meeting_id("physics") is None
            assert rooms.with_voice_bridge("123456789") == ()

    async def test_are_understood_though_the_front_ends_id_was_forgotten(self) -> None:
        async with watching(Server("one", meeting("physics", running=False))) as rooms:
            event = told(HookKind.USER_JOINED)
            rooms.learnt(replace(event, meeting_id=""))
            room = rooms.by_meeting_id("physics")
            assert room is not None
            assert room.running

    async def test_count_who_is_heard_and_note_a_recording(self) -> None:
        async with watching(Server("one", meeting("physics"))) as rooms:

            def after(*kinds: HookKind) -> Room:
                for kind in kinds:
                    rooms.learnt(told(kind))
                room = rooms.by_meeting_id("physics")
                assert room is not None
                return room

            assert after().is_empty
            room = after(HookKind.VOICE_JOINED, HookKind.VOICE_JOINED)
            assert (room.is_empty, room.voice_participants) == (False, 2)
            assert after(*[HookKind.VOICE_LEFT] * 3).voice_participants == 0
            assert not after(HookKind.HAND_RAISED).is_recorded
            assert after(HookKind.RECORDING_STARTED).is_recorded

    @pytest.mark.parametrize(
        "event",
        [
            told(HookKind.USER_JOINED),
            told(HookKind.MEETING_CREATED),
            told(HookKind.MEETING_CREATED, meeting_id="", voice_bridge="123456789"),
        ],
    )
    async def test_that_say_too_little_have_the_server_asked_at_once(
        self, event: HookEvent
    ) -> None:
        server = Server("one")
        async with watching(server) as rooms:
            await asyncio.sleep(3)
            server.meetings = (meeting("physics"),)
            rooms.learnt(event)
            await asyncio.sleep(LOOK_GAP_S)
            assert rooms.by_meeting_id("physics")
            assert len(server.asked_at) == 2

    async def test_during_a_question_have_it_put_again(self) -> None:
        server = Server("one", meeting("physics"))
        async with watching(server) as rooms:
            server.takes_s = 1
            await asyncio.sleep(3)
            looking = asyncio.create_task(rooms.look_again())
            await asyncio.sleep(0.5)
            rooms.learnt(told(HookKind.MEETING_ENDED))
            await looking
            assert rooms.by_meeting_id("physics")  # by an answer that was older
            server.meetings = ()
            await asyncio.sleep(1.5)
            assert rooms.by_meeting_id("physics") is None

    async def test_of_unknown_meetings_that_ended_and_of_unknown_servers_are_nothing(self) -> None:
        server = Server("one")
        async with watching(server) as rooms:
            await asyncio.sleep(3)
            rooms.learnt(told(HookKind.MEETING_ENDED))
            rooms.learnt(replace(told(HookKind.USER_JOINED), server="elsewhere"))
            await asyncio.sleep(1)
            assert len(server.asked_at) == 1

    async def test_are_remembered_within_bounds(self) -> None:
        async with watching(Server("one")) as rooms:
            for number in range(MAX_AUDIO_BRIDGES + 5):
                event = told(HookKind.MEETING_CREATED, internal_id=f"m-{number}")
                rooms.learnt(replace(event, audio_bridge="livekit"))
            assert len(rooms._watchers["one"]._audio_bridges) == MAX_AUDIO_BRIDGES
