# SPDX-License-Identifier: GPL-3.0-or-later
"""A caller's way into a room, out of it and on to others: every turn that it can take."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from dialin import events
from dialin.events import CallError, DigitSource
from dialin.media.engine import NoMediaPort
from dialin.pin import Found
from dialin.registry import Admit, CallState, LowerHand, MoveTo, Refuse, WaitingFor
from dialin.rooms import Room
from dialin.sip import LegEnd
from dialin.wire.bbbhooks import HookKind
from dialin.wire.reason import ByeReason
from tests.fakes.call_parts import FakeVoice
from tests.fakes.call_scene import CALLER, POLICY, ROOM, Scene, by_table, call

pytestmark = pytest.mark.looptime

LATER = by_table({"123456789": Found(replace(ROOM, running=False))})
MAIN = replace(ROOM, internal_id="main-1")
BREAKOUT = Room(
    "bbb1", "breakout", "Room 1", "1234567891", running=True,
    internal_id="breakout-1", is_breakout=True, parent_id="main-1", sequence=1,
)  # fmt: skip
BOTH = by_table({"123456789": Found(MAIN), "1234567891": Found(BREAKOUT)})
FAILED = ByeReason("Q.850", 41, "NORMAL_TEMPORARY_FAILURE")


async def at(scene: Scene, state: CallState) -> None:
    await scene.until(lambda: scene.record.state is state)


def now() -> float:
    return asyncio.get_running_loop().time()


# Waiting for the room


async def test_an_early_caller_waits_and_goes_in_the_moment_the_meeting_begins() -> None:
    async with call(LATER) as scene:
        scene.media.keys("123456789#")
        await at(scene, CallState.WAITING)
        snapshot = scene.record.snapshot()
        assert (snapshot.room, snapshot.waiting_for) == ("demo", WaitingFor.ROOM)
        await scene.hears("not-begun")
        begun_at = now()
        scene.rooms.opening.set_result(replace(ROOM, voice_bridge="987654321"))
        await scene.in_room()
        assert now() - begun_at < 0.5
        assert scene.voice.joined[0]["room"].voice_bridge == "987654321"
        assert scene.record.snapshot().waiting_for is WaitingFor.NOTHING
        await scene.hears("not-begun", "joining")


async def test_who_waits_hears_music_and_the_state_every_45_seconds() -> None:
    async with call(LATER) as scene:
        scene.media.keys("123456789#")
        await scene.hears("not-begun")
        told_at = now()
        await asyncio.sleep(1)
        assert scene.media.plays_on == "music"
        await scene.hears("not-begun", "still-waiting")
        assert now() - told_at == pytest.approx(45, abs=0.2)
        await asyncio.sleep(1)
        assert scene.media.plays_on == "music"
        await scene.hears("still-waiting", "still-waiting")
        assert now() - told_at == pytest.approx(90, abs=0.2)


async def test_an_announcement_that_is_out_of_date_is_cut_off() -> None:
    async with call(LATER) as scene:
        scene.media.keys("123456789#")
        await at(scene, CallState.WAITING)
        await asyncio.sleep(0.5)
        scene.rooms.opening.set_result(ROOM)
        await scene.hears("joining")
        assert scene.media.heard == ["joining"]


async def test_waiting_has_an_end_that_is_explained() -> None:
    async with call(LATER) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.WAITED_TOO_LONG
        assert scene.media.heard[-2:] == ["waited-too-long", "goodbye"]
        assert now() == pytest.approx(600, abs=10)


async def test_the_keys_of_who_waits_are_alive() -> None:
    other = replace(ROOM, meeting_id="other", voice_bridge="555555555")
    table = {"123456789": Found(replace(ROOM, running=False)), "555555555": Found(other)}
    async with call(by_table(table), others=[other]) as scene:
        scene.media.keys("123456789#")
        await at(scene, CallState.WAITING)
        scene.media.keys("*1")
        await scene.hears("help")
        scene.media.keys("*3")
        await scene.hears("help", "digits-hidden")
        assert scene.record.snapshot().digits_hidden
        assert scene.record.snapshot().label == "Phone caller"
        scene.media.keys("*9")  # there is nobody yet to raise a hand before
        await scene.hears("refused-tone")
        scene.media.keys("*0")
        await scene.hears("which-room")
        await scene.keys_pin_and_is_in("555555555")
        snapshot = scene.record.snapshot()
        assert (snapshot.room, snapshot.label) == ("other", "Phone caller 1")


async def test_a_meeting_that_no_telephone_can_join_is_not_called() -> None:
    async with call(by_table({"123456789": Found(replace(ROOM, voice_bridge=""))})) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.CONFERENCE_REFUSED
        assert not scene.voice.joined


# The lobby


async def test_a_host_lets_a_caller_in() -> None:
    async with call(has_lobby=True) as scene:
        scene.media.keys("123456789#")
        await scene.hears("waiting-for-host")
        snapshot = scene.record.snapshot()
        assert (snapshot.waiting_for, snapshot.label) == (WaitingFor.HOST, "xxx-xxx-0594")
        assert not scene.voice.joined
        scene.order(Admit())
        await scene.in_room()
        await scene.hears("joining")


async def test_a_host_does_not_let_a_caller_in() -> None:
    async with call(has_lobby=True) as scene:
        scene.media.keys("123456789#")
        await at(scene, CallState.WAITING)
        scene.order(Refuse())
        assert await scene.ended() is events.REFUSED_BY_HOST
        assert scene.media.heard == ["refused-by-host", "goodbye"]
        assert not scene.voice.joined


async def test_a_host_may_let_a_caller_in_before_the_meeting_begins() -> None:
    async with call(LATER, has_lobby=True) as scene:
        scene.media.keys("123456789#")
        await at(scene, CallState.WAITING)
        scene.order(Admit())
        scene.order(Refuse())  # comes too late
        await asyncio.sleep(1)
        scene.rooms.opening.set_result(ROOM)
        await scene.in_room()
        assert "waiting-for-host" not in scene.media.heard


async def test_a_meeting_that_ends_before_the_host_decides_is_not_joined() -> None:
    async with call(has_lobby=True) as scene:
        scene.media.keys("123456789#")
        await at(scene, CallState.WAITING)
        scene.rooms.known.clear()
        scene.order(Admit())
        await scene.until(lambda: scene.record.snapshot().waiting_for is WaitingFor.ROOM)
        assert not scene.voice.joined
        scene.rooms.opening.set_result(ROOM)
        await scene.in_room()


async def test_who_was_let_in_is_not_kept_in_the_lobby_again() -> None:
    async with call(has_lobby=True) as scene:
        scene.media.keys("123456789#")
        await at(scene, CallState.WAITING)
        scene.order(Admit())
        await scene.in_room()
        scene.media.keys("*3")
        await scene.until(lambda: len(scene.voice.joined) == 2)


async def test_a_host_who_never_decides() -> None:
    async with call(has_lobby=True) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.WAITED_TOO_LONG
        assert scene.media.heard.count("waiting-for-host") == 14


# The conference is away


async def test_a_conference_that_does_not_answer_is_waited_for() -> None:
    async with call(voice=FakeVoice(is_away=True)) as scene:
        scene.media.keys("123456789#")
        await scene.hears("connecting")
        assert scene.record.snapshot().waiting_for is WaitingFor.CONFERENCE
        await asyncio.sleep(1)
        assert scene.media.plays_on == "music"
        scene.voice.is_away = False
        back_at = now()
        await scene.in_room()
        assert now() - back_at <= 6
        await scene.hears("joining")
        assert len(scene.voice.seats) == 1


async def test_a_conference_that_stays_away() -> None:
    async with call(voice=FakeVoice(is_away=True)) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.CONFERENCE_UNREACHABLE
        assert scene.media.heard[-2:] == ["unreachable", "goodbye"]
        assert now() == pytest.approx(300, abs=10)


async def test_without_a_free_port_for_the_conference_nothing_is_tried_again() -> None:
    full = FakeVoice(CallError(events.CONFERENCE_UNREACHABLE), NoMediaPort("no port"))
    async with call(voice=full) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.BUSY


async def test_a_fault_of_ours_while_coming_back_ends_the_call() -> None:
    voice = FakeVoice(*map(CallError, (events.CONFERENCE_UNREACHABLE, events.INTERNAL_ERROR)))
    async with call(voice=voice) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.INTERNAL_ERROR


@pytest.mark.parametrize("how", ["silence", "lost", "failed", "server gone"])
async def test_a_conference_that_is_lost_is_come_back_to_without_a_pin(how: str) -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        [seat] = scene.voice.seats
        match how:
            case "silence":
                seat.media.lost.set_result("media-timeout")
            case "lost":
                seat.ended.set_result(LegEnd("lost", None, "transport-lost"))
            case "failed":
                seat.bye(FAILED)
            case _:
                scene.rooms.goes_on = None
                seat.bye()
        await at(scene, CallState.WAITING)
        assert seat.hung_up
        assert seat.media.closed
        assert scene.record.snapshot().waiting_for is WaitingFor.CONFERENCE
        await scene.in_room()
        assert now() < 10
        await scene.hears("reconnected")
        assert [joined["label"] for joined in scene.voice.joined] == ["xxx-xxx-0594"] * 2
        assert scene.media.bridged_with is scene.voice.seats[1].media
        assert scene.desk.asked == ["123456789"]


async def test_who_waits_for_a_lost_conference_is_told_and_hears_music() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.voice.is_away = True
        scene.voice.seats[0].bye(FAILED)
        await scene.hears("connection-lost")
        await asyncio.sleep(1)
        assert scene.media.plays_on == "music"
        assert scene.record.snapshot().label == "xxx-xxx-0594"
        assert await scene.ended() is events.CONFERENCE_LOST
        assert scene.media.heard[-2:] == ["unreachable", "goodbye"]


async def test_a_caller_who_gives_up_on_a_lost_conference_has_left_the_room() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.voice.is_away = True
        scene.voice.seats[0].media.lost.set_result("media-timeout")
        await at(scene, CallState.WAITING)
        scene.leg.caller_hangs_up()
        assert await scene.ended() is events.LEFT_ROOM


async def test_a_meeting_that_ends_while_its_conference_is_away() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.voice.is_away = True
        scene.voice.seats[0].bye(FAILED)
        await at(scene, CallState.WAITING)
        scene.rooms.goes_on = False
        scene.rooms.known.clear()
        assert await scene.ended() is events.MEETING_ENDED


async def test_a_meeting_that_moves_while_its_conference_is_away() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.voice.is_away = True
        scene.voice.seats[0].bye(FAILED)
        await at(scene, CallState.WAITING)
        scene.rooms.goes_on = False
        scene.rooms.known["demo"] = moved = replace(ROOM, server="bbb2", voice_bridge="98765")
        scene.voice.is_away = False
        await scene.in_room()
        assert scene.voice.joined[1]["room"] is moved
        assert scene.record.snapshot().server == "bbb2"


async def test_a_try_that_hangs_is_given_up_for_the_next() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.voice.joins_after_s = 30
        scene.voice.seats[0].bye(FAILED)
        await at(scene, CallState.WAITING)
        await asyncio.sleep(8)
        scene.voice.joins_after_s = 0.3
        await scene.in_room()
        assert len(scene.voice.joined) == 2


# The meeting, or one's part in it, is over


@pytest.mark.parametrize("reason", [None, ByeReason("Q.850", 16)])
async def test_a_host_removes_a_caller(reason: ByeReason | None) -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.voice.seats[0].bye(reason)
        assert await scene.ended() is events.REMOVED
        assert scene.media.heard[-2:] == ["removed", "goodbye"]


async def test_bbb_may_take_a_moment_to_notice_that_a_meeting_is_over() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.voice.seats[0].bye()
        asyncio.get_running_loop().call_later(0.5, setattr, scene.rooms, "goes_on", False)
        assert await scene.ended() is events.MEETING_ENDED


async def test_a_webhook_tells_of_the_end_before_the_conference_does() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.bbb_tells(HookKind.MEETING_ENDED)
        assert await scene.ended() is events.MEETING_ENDED
        assert scene.voice.seats[0].hung_up


async def test_when_a_breakout_room_ends_the_caller_is_back_in_the_main_room() -> None:
    async with call(BOTH, others=[BREAKOUT]) as scene:
        scene.rooms.known["demo"] = MAIN
        await scene.keys_pin_and_is_in("1234567891")
        scene.rooms.goes_on = False
        scene.voice.seats[0].bye()
        await scene.until(lambda: len(scene.voice.joined) == 2)
        await scene.hears("breakout-ended")
        assert scene.voice.joined[1]["room"] is MAIN
        assert scene.record.snapshot().room == "demo"
        assert scene.desk.asked == ["1234567891"]


async def test_when_the_main_room_has_ended_too_there_is_nowhere_to_go() -> None:
    async with call(BOTH, others=[BREAKOUT]) as scene:
        scene.rooms.known["demo"] = replace(MAIN, running=False)
        await scene.keys_pin_and_is_in("1234567891")
        scene.bbb_tells(HookKind.MEETING_ENDED, room=BREAKOUT)
        assert await scene.ended() is events.MEETING_ENDED


# To another room


async def test_another_room_without_hanging_up() -> None:
    other = replace(ROOM, meeting_id="other", voice_bridge="555555555")
    table = by_table({"123456789": Found(ROOM), "555555555": Found(other)})
    async with call(table, others=[other]) as scene:
        await scene.keys_pin_and_is_in()
        scene.media.keys("*0")
        await scene.hears("which-room")
        assert scene.voice.seats[0].hung_up
        snapshot = scene.record.snapshot()
        assert (snapshot.state, snapshot.room, snapshot.label) == (CallState.PIN, None, None)
        await scene.keys_pin_and_is_in("555555555")
        assert scene.record.snapshot().room == "other"


async def test_who_hangs_up_while_their_seat_is_given_back_leaves_no_ghost() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        [seat] = scene.voice.seats
        seat.media.counts_for_s = 5
        scene.media.keys("*0")
        await asyncio.sleep(1)
        scene.leg.caller_hangs_up()
        assert await scene.ended() is events.LEFT_ROOM
        assert (seat.hung_up, seat.media.closed) == (1, 1)


async def test_star_alone_leads_back_to_the_room() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.media.keys("*0*")
        await scene.until(lambda: len(scene.voice.joined) == 2)
        await scene.in_room()
        assert scene.desk.asked == ["123456789"]


async def test_who_goes_back_to_a_meeting_that_has_ended_waits_for_it() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.rooms.known.clear()
        scene.media.keys("*0*")
        await scene.until(lambda: scene.record.snapshot().waiting_for is WaitingFor.ROOM)
        assert len(scene.voice.joined) == 1


async def test_wrong_pins_of_who_has_a_room_lead_back_to_it_and_count_for_the_whole_call() -> None:
    async with call() as scene:
        scene.media.keys("1#")
        await scene.hears("not-found", "try-again")
        await scene.keys_pin_and_is_in()
        scene.media.keys("*0")
        await scene.hears("which-room")
        scene.media.keys("222222#333333#")
        await scene.until(lambda: len(scene.voice.joined) == 2)
        assert scene.desk.asked == ["1", "123456789", "222222", "333333"]


async def test_who_keys_wrong_pins_while_their_meeting_ends_waits_for_it() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.rooms.known.clear()
        scene.media.keys("*01#2#3#")
        await scene.until(lambda: scene.record.snapshot().waiting_for is WaitingFor.ROOM)
        assert len(scene.voice.joined) == 1


async def test_who_keys_nothing_is_back_in_the_room() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.media.keys("*0")
        await scene.until(lambda: len(scene.voice.joined) == 2)
        assert scene.media.heard.count("no-digits") == 2


async def test_breakout_rooms_go_by_their_numbers() -> None:
    async with call(BOTH, others=[BREAKOUT]) as scene:
        scene.rooms.known["demo"] = MAIN
        await scene.keys_pin_and_is_in()
        scene.media.keys("*0")
        await scene.hears("which-room")
        scene.media.keys("1#")
        await scene.until(lambda: len(scene.voice.joined) == 2)
        assert scene.voice.joined[1]["room"] is BREAKOUT
        scene.media.keys("*0")
        await scene.hears("which-room")
        scene.media.keys("0#")
        await scene.until(lambda: len(scene.voice.joined) == 3)
        assert scene.voice.joined[2]["room"] is MAIN
        assert scene.desk.asked == ["123456789"]


async def test_an_operator_moves_a_caller() -> None:
    other = replace(ROOM, meeting_id="other", voice_bridge="555555555")
    async with call(others=[other]) as scene:
        await scene.keys_pin_and_is_in()
        scene.order(MoveTo("nowhere"))
        scene.order(MoveTo("other"))
        await scene.until(lambda: len(scene.voice.joined) == 2)
        await scene.hears("moved")
        assert scene.record.snapshot().room == "other"


async def test_digits_are_hidden_by_leaving_and_joining_under_another_name() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.media.keys("*3")
        await scene.until(lambda: len(scene.voice.joined) == 2)
        await scene.hears("digits-hidden")
        labels = [joined["label"] for joined in scene.voice.joined]
        assert labels == ["xxx-xxx-0594", "Phone caller 1"]
        assert scene.voice.seats[0].hung_up
        scene.media.keys("*3")  # there is nothing left to hide
        await scene.hears("digits-hidden", "digits-hidden")
        assert len(scene.voice.joined) == 2


async def test_an_order_that_makes_no_sense_is_not_obeyed() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.order(Admit())
        scene.order(Refuse())
        scene.order(LowerHand())
        await asyncio.sleep(5)
        assert scene.record.state is CallState.IN_ROOM
        assert scene.media.heard == ["joining"]


async def test_the_conference_is_lost_after_so_many_seconds_of_silence() -> None:
    async with call(policy=replace(POLICY, conference_silence_s=7.0)) as scene:
        await scene.keys_pin_and_is_in()
        assert scene.voice.joined[0]["silence_s"] == 7.0


async def test_nobody_is_listed_twice_while_coming_back() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.voice.seats[0].bye(FAILED)
        await scene.until(lambda: len(scene.voice.joined) == 2)
        assert CALLER.digits_shown in scene.voice.joined[1]["label"]
        assert "(2)" not in scene.voice.joined[1]["label"]


# Keys in the voice


@pytest.mark.parametrize("source", DigitSource)
async def test_keys_are_heard_in_the_voice_only_where_they_come_in_no_other_way(
    source: DigitSource,
) -> None:
    """Listening to a voice costs more than all else, so it ends where it brings nothing."""
    async with call(by_table({"123456789": Found(ROOM)})) as scene:
        scene.media.keys("123456789#", source)
        await scene.in_room()
        hears_tones = scene.media.settings[-1].in_band_digits
        assert hears_tones is (source is DigitSource.IN_BAND)
        scene.media.keys("*6", source)
        await scene.until(lambda: scene.record.snapshot().muted)
