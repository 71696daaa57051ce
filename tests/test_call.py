# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of one call: every way it can go, and what is left behind when it is over."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from dialin import events
from dialin.caller import Caller
from dialin.events import CallError, Codec, EndReason
from dialin.media.engine import NoMediaPort
from dialin.pin import Ambiguous, Attempts, DirectoryDown, Found, Outcome
from dialin.registry import CallState, HangUp, Mute
from dialin.sip import LegEnd
from tests.fakes.call_parts import FakeLeg, FakeMedia, FakeVoice
from tests.fakes.call_scene import CALLER, POLICY, ROOM, by_table, call

pytestmark = pytest.mark.looptime


async def test_a_caller_keys_a_pin_and_talks_until_they_hang_up() -> None:
    async with call() as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        [seat] = scene.voice.seats
        assert scene.media.bridged_with is seat.media
        snapshot = scene.record.snapshot()
        assert (snapshot.label, snapshot.room, snapshot.server, snapshot.codec) == (
            "xxx-xxx-0594", "demo", "bbb1", "PCMA",
        )  # fmt: skip
        scene.leg.caller_hangs_up()
        assert await scene.ended() is events.LEFT_ROOM
        assert (seat.hung_up, seat.media.closed, scene.media.closed) == (1, 1, 1)
        assert scene.leg.told
        assert scene.leg.told.text == "left-room"
        assert scene.desk.have_got_in


async def test_no_prompt_delays_who_has_keyed_a_pin() -> None:
    async with call() as scene:
        scene.media.keys("123456789#")
        await scene.until(lambda: scene.record.state is CallState.JOINING)
        asked_at = asyncio.get_running_loop().time()
        await scene.in_room()
        assert asyncio.get_running_loop().time() - asked_at < 0.5
        assert not scene.media.heard
        await scene.hears("joining")  # to its end, though the room has begun to hear them


async def test_keys_are_listened_for_in_the_voice_until_the_room_is_reached() -> None:
    async with call() as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        assert [settings.in_band_digits for settings in scene.media.settings] == [True, False]


async def test_no_packet_leaves_before_the_ack() -> None:
    async with call() as scene:
        await asyncio.sleep(0.05)
        assert scene.leg.answers
        assert not scene.media.started
        await asyncio.sleep(0.1)
        assert scene.media.started


async def test_media_may_come_from_the_trunks_networks_only() -> None:
    async with call() as scene:
        await asyncio.sleep(0.2)
        assert scene.engine.opened == [("192.0.2.1", ("192.0.2.0/24",))]


async def test_the_room_gets_label_and_pseudonym_and_never_the_number() -> None:
    async with call() as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        [joined] = scene.voice.joined
        assert joined["label"] == "xxx-xxx-0594"
        assert joined["pseudonym"] == CALLER.pseudonym(b"k" * 32, "demo")
        assert joined["codec"] is Codec.PCMA
        assert joined["beside"] is scene.media
        assert "15738620" not in str(joined)


async def test_an_operator_can_hide_the_digits_of_everybody() -> None:
    async with call(policy=replace(POLICY, hide_digits=True)) as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        assert scene.record.snapshot().label == "Phone caller 1"


async def test_a_pin_may_come_by_info() -> None:
    async with call() as scene:
        await scene.until(lambda: scene.media.started)
        for key in "123456789#":
            scene.leg.on_info_digit(key)
        await scene.in_room()
        assert scene.desk.asked == ["123456789"]


async def test_a_pin_may_come_by_info_in_the_same_breath_as_the_ack() -> None:
    async with call() as scene:
        await scene.until(lambda: bool(scene.leg.answers))
        for key in "123456789#":
            scene.leg.on_info_digit(key)
        assert not scene.media.started
        await scene.in_room()
        assert scene.desk.asked == ["123456789"]


async def test_two_wrong_pins_and_the_right_one() -> None:
    async with call() as scene:
        scene.media.keys("111111#")
        await scene.until(lambda: "try-again" in scene.media.heard)
        scene.media.keys("222222#")
        await scene.until(lambda: scene.media.heard.count("try-again") == 2)
        scene.media.keys("123456789#")
        await scene.in_room()
        await scene.hears("joining")
        assert scene.media.heard == ["not-found", "try-again"] * 2 + ["joining"]


async def test_who_waits_for_their_turn_to_be_looked_up_hears_music() -> None:
    turn = asyncio.Event()

    async def find() -> Outcome:
        await turn.wait()
        return Found(ROOM)

    async with call(lambda pin, attempts: find()) as scene:
        scene.desk.is_slow = True
        scene.media.keys("123456789#")
        await scene.until(lambda: scene.media.plays_on == "music")
        turn.set()
        await scene.in_room()
        assert not scene.media.plays_on


async def test_the_third_wrong_pin_ends_the_call() -> None:
    async with call() as scene:
        scene.media.keys("111111#222222#333333#444444#")
        assert await scene.ended() is events.WRONG_PIN
        assert scene.desk.asked == ["111111", "222222", "333333"]
        assert scene.media.heard == ["too-many-tries", "goodbye"]
        assert scene.leg.hung_up


async def test_whoever_keys_nothing_is_asked_three_times() -> None:
    async with call() as scene:
        assert await scene.ended() is events.NO_PIN
        assert scene.media.heard == [
            "welcome", "enter-pin", "no-digits", "enter-pin", "no-digits", "enter-pin", "goodbye",
        ]  # fmt: skip


async def test_a_pin_of_two_meetings_is_not_guessed() -> None:
    async with call(by_table({"123456789": Ambiguous()})) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.AMBIGUOUS_PIN
        assert scene.media.heard == ["ambiguous", "goodbye"]


async def test_a_caller_is_kept_while_bbb_does_not_answer_and_need_not_key_again() -> None:
    outcomes: list[Outcome] = [DirectoryDown(), DirectoryDown(), Found(ROOM)]
    async with call(lambda pin, attempts: outcomes.pop(0)) as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        assert scene.desk.asked == ["123456789"] * 3
        await scene.hears("unreachable", "unreachable", "joining")


async def test_patience_with_a_bbb_that_does_not_answer_ends() -> None:
    async with call(lambda pin, attempts: DirectoryDown()) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.DIRECTORY_DOWN
        assert scene.media.heard[-2:] == ["unreachable", "goodbye"]
        assert scene.desk.asked == ["123456789"] * scene.media.heard.count("unreachable")


async def test_a_caller_who_is_alone_is_told() -> None:
    async with call(by_table({"123456789": Found(replace(ROOM, is_empty=True))})) as scene:
        await scene.keys_pin_and_is_in()
        await scene.hears("joining", "alone")


async def test_a_conference_that_refuses_is_explained() -> None:
    async with call(voice=FakeVoice(CallError(events.CONFERENCE_REFUSED))) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.CONFERENCE_REFUSED
        assert scene.media.heard[-2:] == ["unreachable", "goodbye"]


async def test_when_the_meeting_ends_the_caller_is_told_before_the_line_goes_dead() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        await scene.hears("joining")
        scene.rooms.goes_on = False
        scene.voice.seats[0].bye()
        assert await scene.ended() is events.MEETING_ENDED
        assert scene.media.heard == ["joining", "meeting-ended", "goodbye"]
        assert scene.leg.hung_up


@pytest.mark.parametrize(
    ("cause", "reason"),
    [("worker-lost", events.MEDIA_WORKER_LOST), ("leg-failed", events.INTERNAL_ERROR)],
)
async def test_a_fault_of_our_media_ends_the_call(cause: str, reason: EndReason) -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.voice.seats[0].media.lost.set_result(cause)
        assert await scene.ended() is reason
        assert scene.voice.seats[0].hung_up


@pytest.mark.parametrize("state", [CallState.PIN, CallState.JOINING, CallState.WAITING])
async def test_whoever_hangs_up_before_the_room_leaves_nothing_behind(state: CallState) -> None:
    room = replace(ROOM, running=state is not CallState.WAITING)
    async with call(
        by_table({"123456789": Found(room)}), voice=FakeVoice(joins_after_s=9)
    ) as scene:
        if state is not CallState.PIN:
            scene.media.keys("123456789#")
        await scene.until(lambda: scene.record.state is state)
        scene.leg.caller_hangs_up()
        assert await scene.ended() is events.HUNG_UP_EARLY
        assert scene.media.closed
        assert not scene.voice.joined
        assert scene.media.heard in ([], ["welcome"])


async def test_a_seat_taken_while_the_caller_hangs_up_is_given_back() -> None:
    async with call(by_table({"123456789": Found(replace(ROOM, is_empty=True))})) as scene:
        scene.media.keys("123456789#")
        await scene.until(lambda: bool(scene.voice.seats))
        scene.leg.caller_hangs_up()
        await scene.ended()
        assert scene.voice.seats[0].hung_up
        assert scene.voice.seats[0].media.closed


async def test_two_with_the_same_digits_are_told_apart_and_the_name_is_free_again() -> None:
    async with call() as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        labels = scene.running.get_coro().cr_frame.f_locals["self"]._house.labels  # type: ignore[union-attr]
        assert labels.claim(ROOM.key, CALLER) == "xxx-xxx-0594 (2)"
        scene.leg.caller_hangs_up()
        await scene.ended()
        assert labels.claim(ROOM.key, CALLER) == "xxx-xxx-0594"


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (LegEnd("peer", None, "cancel"), events.CANCELLED),
        (LegEnd("us", None, "no-ack"), events.NO_ACK),
        (LegEnd("lost", None, "transport-lost"), events.TRUNK_LOST),
        (LegEnd("lost", 408, "session-expired"), events.SESSION_EXPIRED),
        (LegEnd("us", None, "bye"), events.STOPPED),
    ],
)
async def test_a_call_that_ends_before_its_ack(end: LegEnd, reason: EndReason) -> None:
    leg = FakeLeg()
    leg.gone_before_ack = end
    async with call(leg=leg) as scene:
        assert await scene.ended() is reason
        assert not scene.media.started
        assert scene.media.closed


async def test_silence_of_the_caller_ends_the_call() -> None:
    async with call() as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        scene.media.lost.set_result("media-timeout")
        assert await scene.ended() is events.MEDIA_LOST
        assert scene.leg.hung_up


async def test_a_dead_media_worker_is_not_the_callers_fault_even_while_a_prompt_plays() -> None:
    async with call() as scene:
        await asyncio.sleep(1.0)
        scene.media.lost.set_result("worker-lost")
        assert await scene.ended() is events.MEDIA_WORKER_LOST


async def test_without_a_free_port_the_provider_is_asked_to_try_again() -> None:
    async with call(is_full=True) as scene:
        assert await scene.ended() is events.BUSY
        [(status, retry_after_s, _)] = scene.leg.rejected
        assert status == 503
        assert retry_after_s is not None
        assert 5 <= retry_after_s <= 30


async def test_without_a_free_port_for_the_conference_the_caller_is_told() -> None:
    async with call(voice=FakeVoice(NoMediaPort("no port"))) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.BUSY
        assert scene.media.heard[-2:] == ["service-busy", "goodbye"]
        assert not scene.leg.rejected


async def test_a_fault_of_ours_ends_this_call_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(pin: str, attempts: Attempts) -> Outcome:
        raise ZeroDivisionError

    async with call(broken) as scene:
        scene.media.keys("123456789#")
        assert await scene.ended() is events.INTERNAL_ERROR
        assert "a call failed" in caplog.text
        assert "123456789" not in caplog.text
        assert scene.leg.hung_up


async def test_a_fault_of_ours_before_the_answer_lets_the_provider_try_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeMedia, "configure", None)
    async with call() as scene:
        assert await scene.ended() is events.INTERNAL_ERROR
        assert [status for status, *_ in scene.leg.rejected] == [503]


async def test_nobody_waits_for_a_farewell_that_nobody_hears() -> None:
    async with call() as scene:
        scene.media.keys("1#2#3#")
        await scene.until(lambda: scene.record.state is CallState.ENDING)
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(0.5)
        scene.leg.caller_hangs_up()
        assert await scene.ended() is events.WRONG_PIN
        assert asyncio.get_running_loop().time() - before < 1.0


async def test_what_the_line_is_like_is_shown_while_the_call_is_up_and_counted_at_its_end() -> None:
    async with call() as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        await asyncio.sleep(6)
        snapshot = scene.record.snapshot()
        assert (snapshot.packets_lost, snapshot.jitter_ms) == (2, 1.3)
        scene.leg.caller_hangs_up()
        await scene.ended()
        told = [(name, first) for name, first, *_ in scene.tally.told]
        assert ("pin_keyed", "found") in told
        assert told.count(("leg_ended", "trunk")) == 1
        assert told.count(("leg_ended", "bbb")) == 1


async def test_a_caller_hears_the_language_of_the_number_they_dialled() -> None:
    async with call(languages=("de",)) as scene:
        await scene.until(lambda: scene.media.heard == ["welcome", "enter-pin"])
        assert set(scene.media.languages) == {"de"}
        assert scene.record.snapshot().language == "de"


async def test_a_caller_chooses_one_of_several_languages() -> None:
    async with call(languages=("en", "de")) as scene:
        await scene.hears("language-1", "language-2")
        assert scene.media.languages == ["en", "de"]
        scene.media.keys("2")
        await scene.hears("welcome", "enter-pin")
        assert scene.media.languages[-2:] == ["de", "de"]
        assert scene.record.snapshot().language == "de"


async def test_a_pin_dialled_by_one_tap_passes_the_choice_of_languages() -> None:
    async with call(languages=("en", "de")) as scene:
        await scene.keys_pin_and_is_in()
        assert scene.desk.asked == ["123456789"]
        assert scene.record.snapshot().language == "en"


async def test_callers_may_hide_their_digits_before_they_key_a_pin() -> None:
    async with call() as scene:
        scene.media.keys("*3#")
        await scene.hears("digits-hidden", "enter-pin")
        await scene.keys_pin_and_is_in()
        snapshot = scene.record.snapshot()
        assert (snapshot.label, snapshot.digits_hidden) == ("Phone caller 1", True)
        assert not scene.desk.asked[1:]


async def test_callers_are_told_that_they_may_hide_their_digits_where_that_is_wished() -> None:
    async with call(policy=replace(POLICY, asks_to_hide=True)) as scene:
        await scene.hears("welcome", "ask-to-hide", "enter-pin")
    async with call(policy=replace(POLICY, asks_to_hide=True), caller=Caller.withheld()) as scene:
        await scene.hears("welcome", "enter-pin")
        assert "ask-to-hide" not in scene.media.heard


async def test_an_operator_ends_a_call() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.order(HangUp())
        assert await scene.ended() is events.ENDED_BY_OPERATOR
        assert scene.media.heard[-1] == "goodbye"


async def test_who_is_there_when_the_service_stops_is_told() -> None:
    async with call() as scene:
        await scene.keys_pin_and_is_in()
        scene.order(HangUp(service_stops=True))
        assert await scene.ended() is events.STOPPED
        assert scene.media.heard[-2:] == ["service-restarts", "goodbye"]


async def test_orders_that_make_no_sense_before_a_room_are_forgotten() -> None:
    async with call() as scene:
        await scene.until(lambda: scene.record.state is CallState.PIN)
        scene.order(Mute())
        await asyncio.sleep(0.1)
        await scene.keys_pin_and_is_in()
        await asyncio.sleep(1)
        assert not scene.record.snapshot().muted
