# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of callers: each ending has its prompts, heard to the last frame, and its reason.

The whole service runs; the caller and the conference are scripted, BBB's API is the stand-in.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest

from dialin.demo.bbb import DemoBbb, Fault
from dialin.events import Codec
from dialin.registry import CallState
from dialin.sip import Listen
from dialin.sounds import PACKAGE
from dialin.wire.bbbxml import sign
from dialin.wire.timers import Timers
from tests.calls.scene import BRISK, PIN, Scene, polling, scene
from tests.calls.talk import MOST_GAP_S, conversation
from tests.peers.clips import frames_of
from tests.peers.phone import Phone
from tests.world import serving

EVERY_CELL = True
UNKNOWN = "777888999"
LATER = "555666777"
ASKED = ("welcome", "enter-pin")
NUMBERS = {"en": "+493023125100", "de": "+493023125200"}
FAULTS = (Fault.HTTP_500, Fault.HTML, Fault.SILENT)
TALK_FRAMES = 3000
"""More than there is time to say while three callers are told of trouble."""
GIVES_UP = {"wait_for_conference_s": 0}
"""Settings of a service that waits for no conference."""
ROUNDS = 3
"""A gap that the machine makes is not there in every round; one that the service makes is."""


async def asked_for_pin(stage: Scene, phone: Phone) -> None:
    """Call, and listen until the service has asked."""
    assert await phone.dial() == 200
    await phone.hears(stage.clips, *ASKED)


async def in_room(stage: Scene, phone: Phone) -> None:
    """Call, and go into the room, which was empty."""
    await asked_for_pin(stage, phone)
    await phone.key(f"{PIN}#")
    await phone.hears(stage.clips, *ASKED, "joining", "alone")
    await stage.is_in(CallState.IN_ROOM)


async def create(bbb: DemoBbb, meeting_id: str, voice_bridge: str) -> None:
    """A host's front end creates a meeting."""
    query = urlencode({"meetingID": meeting_id, "name": meeting_id, "voiceBridge": voice_bridge})
    signed = f"{query}&checksum={sign('create', query, bbb.secret, 'sha256')}"
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{bbb.url}api/create?{signed}") as answer,
    ):
        assert "SUCCESS" in await answer.text()


# The PIN is found


@pytest.mark.diagonal
async def test_a_known_pin_leads_into_the_room_under_the_masked_name(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await in_room(stage, phone)
        seat = await stage.conference.seat()
        assert seat.reading.name == "xxx-xxx-0594"
        await phone.hang_up()
        await stage.is_over(left_room=1)
        assert seat.leg.ended.result().cause == "bye"


async def test_who_keys_while_being_greeted_hears_no_more_of_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await phone.dial()
        await phone.hears(stage.clips, "welcome…")
        await phone.key(f"{PIN}#")
        await phone.hears(stage.clips, "welcome…", "joining", "alone")
        await stage.is_in(CallState.IN_ROOM)
        await phone.hang_up()
        await stage.is_over(left_room=1)


async def test_who_comes_into_a_room_with_others_is_not_told_to_be_alone(tmp_path: Path) -> None:
    async with (
        scene(tmp_path, members=lambda _: [("Ada", "1", False)]) as stage,
        stage.phone() as phone,
    ):
        await asked_for_pin(stage, phone)
        await phone.key(f"{PIN}#")
        await stage.is_in(CallState.IN_ROOM)
        await phone.hears(stage.clips, *ASKED, "joining")
        await phone.hang_up()
        await stage.is_over(left_room=1)


async def test_the_spoken_prompts_are_played_bit_by_bit_in_each_language_and_codec() -> None:
    trunk = {
        "allowed_sources": ["127.0.0.0/8"],
        "numbers": [{"e164": number, "language": tongue} for tongue, number in NUMBERS.items()],
    }
    media = {"codecs": list(Codec)}
    async with (
        serving(Listen("UDP", "127.0.0.1", 9), trunks={"demo": trunk}, media=media) as served,
        asyncio.TaskGroup() as calls,
    ):
        for language, number in NUMBERS.items():
            for codec in Codec:
                phone = Phone(served.sip_port("udp"), called=number, codecs=[codec])
                calls.create_task(is_greeted(phone, language, codec))


async def is_greeted(phone: Phone, language: str, codec: Codec) -> None:
    clips = [PACKAGE / language / f"{prompt}.{codec.lower()}" for prompt in ASKED]
    greeting = b"".join(clip.read_bytes() for clip in clips)
    async with phone:
        assert await phone.dial() == 200
        await phone.rtp.until(lambda: greeting in b"".join(phone.rtp.audio), within_s=20)
        await phone.hang_up()


# The PIN is wrong


async def test_a_pin_that_is_wrong_three_times(tmp_path: Path) -> None:
    again = ("not-found", "try-again")
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await asked_for_pin(stage, phone)
        await phone.key("22222#")
        await phone.hears(stage.clips, *ASKED, *again)
        await phone.key("33333#")
        await phone.hears(stage.clips, *ASKED, *again, *again)
        await phone.key("44444#")
        await phone.is_hung_up_on()
        await phone.hears(stage.clips, *ASKED, *again, *again, "too-many-tries", "goodbye")
        await stage.is_over(wrong_pin=1)
        assert not stage.conference.messages


async def test_a_pin_whose_room_is_created_during_the_call(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await asked_for_pin(stage, phone)
        await phone.key(f"{UNKNOWN}#")
        await phone.hears(stage.clips, *ASKED, "not-found", "try-again")
        await create(stage.served.bbb, "fresh", UNKNOWN)
        stage.served.bbb.open_room("fresh")
        asked = stage.served.bbb.calls["getMeetings"]
        await phone.key(f"{UNKNOWN}#")
        await stage.is_in(CallState.IN_ROOM)
        # The next poll is an hour away: it was the look for this caller that found the room.
        assert stage.served.bbb.calls["getMeetings"] == asked + 1
        await phone.hang_up()
        await stage.is_over(left_room=1)


async def test_a_pin_of_two_rooms_leads_into_neither(tmp_path: Path) -> None:
    async with DemoBbb() as twin:
        server = {"url": twin.url, "secret": twin.secret, "voice_host": "127.0.0.1"}
        async with scene(tmp_path, twin=server) as stage, stage.phone() as phone:
            await asked_for_pin(stage, phone)
            await phone.key(f"{PIN}#")
            await phone.is_hung_up_on()
            await phone.hears(stage.clips, *ASKED, "ambiguous", "goodbye")
            await stage.is_over(ambiguous_pin=1)
            assert not stage.conference.messages


async def test_a_caller_who_keys_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, pin={"tries": 1, "think_s": 10}) as stage, stage.phone() as phone:
        await asked_for_pin(stage, phone)
        await phone.is_hung_up_on(within_s=15)
        await phone.hears(stage.clips, *ASKED, "goodbye")
        await stage.is_over(no_pin=1)


@pytest.mark.e2e
async def test_a_caller_who_keys_nothing_is_asked_three_times(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await asked_for_pin(stage, phone)
        await phone.is_hung_up_on(within_s=45)
        again = ("no-digits", "enter-pin")
        await phone.hears(stage.clips, *ASKED, *again, *again, "goodbye")
        await stage.is_over(no_pin=1)


# BBB's API has trouble


async def test_trouble_with_bbb_ends_some_calls_and_delays_no_other(tmp_path: Path) -> None:
    async with (
        scene(tmp_path, ivr={"wait_for_directory_s": 0}) as stage,
        stage.phone() as talker,
    ):
        await in_room(stage, talker)
        seat = await stage.conference.seat()
        gaps: list[float] = []
        while len(gaps) < ROUNDS and (not gaps or gaps[-1] > MOST_GAP_S):
            talk = conversation(f"round {len(gaps)}", talker.rtp, seat.rtp, TALK_FRAMES)
            for fault in FAULTS:
                stage.served.bbb.fault = fault
                await is_told_that_bbb_is_away(stage)
            for stream in talk:
                stream.stop()
                await stream.is_heard()
                assert stream.heard == stream.said
            gaps.append(max(stream.worst_gap_s for stream in talk))
        assert min(gaps) <= MOST_GAP_S, gaps
        await talker.hang_up()
        await stage.is_over(left_room=1, directory_down=len(gaps) * len(FAULTS))


async def is_told_that_bbb_is_away(stage: Scene) -> None:
    """One caller whose room could only be found if BBB answered."""
    async with stage.phone(number="+493012345678") as unlucky:
        await asked_for_pin(stage, unlucky)
        await unlucky.key(f"{UNKNOWN}#")
        await unlucky.is_hung_up_on()
        await unlucky.hears(stage.clips, *ASKED, "unreachable", "goodbye")


async def test_trouble_that_passes_costs_the_caller_neither_a_try_nor_the_keying(
    tmp_path: Path,
) -> None:
    async with (
        scene(tmp_path, pin={"tries": 1}) as stage,
        stage.phone() as phone,
    ):
        await asked_for_pin(stage, phone)
        await create(stage.served.bbb, "fresh", UNKNOWN)
        stage.served.bbb.open_room("fresh")
        stage.served.bbb.fault = Fault.HTTP_500
        await phone.key(f"{UNKNOWN}#")
        await phone.hears(stage.clips, *ASKED, "unreachable")
        stage.served.bbb.fault = None
        await stage.is_in(CallState.IN_ROOM)
        await phone.hang_up()
        await stage.is_over(left_room=1)


@pytest.mark.e2e
async def test_a_bbb_that_says_nothing_for_half_a_minute(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await asked_for_pin(stage, phone)
        stage.served.bbb.fault = Fault.SILENT
        await phone.key(f"{UNKNOWN}#")
        await phone.is_hung_up_on(within_s=60)
        heard = stage.clips.heard(phone.rtp.audio)
        assert heard[:2] == [*ASKED]
        assert set(heard[2:-1]) == {"unreachable"}
        assert heard[-1] == "goodbye"
        assert len(heard) > 10
        await stage.is_over(directory_down=1)


# The room has not begun


async def test_a_room_that_opens_while_the_caller_waits(tmp_path: Path) -> None:
    async with scene(tmp_path, pace=polling(0.5)) as stage, stage.phone() as phone:
        await asked_for_pin(stage, phone)
        await phone.key(f"{LATER}#")
        await phone.hears(stage.clips, *ASKED, "not-begun")
        await stage.is_in(CallState.WAITING)
        assert not stage.conference.messages
        stage.served.bbb.open_room("later")
        await stage.is_in(CallState.IN_ROOM)
        await phone.hears(stage.clips, *ASKED, "not-begun", "joining", "alone")
        await phone.hang_up()
        await stage.is_over(left_room=1)


async def test_a_room_that_does_not_open(tmp_path: Path) -> None:
    async with scene(tmp_path, ivr={"wait_for_room_s": 1}) as stage, stage.phone() as phone:
        await asked_for_pin(stage, phone)
        await phone.key(f"{LATER}#")
        await phone.is_hung_up_on()
        await phone.hears(stage.clips, *ASKED, "not-begun", "waited-too-long", "goodbye")
        await stage.is_over(waited_too_long=1)


# The conference has trouble


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (480, "conference_refused"),
        (404, "conference_refused"),
        (603, "conference_refused"),
        (503, "conference_unreachable"),
    ],
)
async def test_a_conference_that_refuses(tmp_path: Path, status: int, reason: str) -> None:
    async with scene(tmp_path, ivr=GIVES_UP) as stage, stage.phone() as phone:
        stage.conference.refuses_with = status
        await asked_for_pin(stage, phone)
        await phone.key(f"{PIN}#")
        await phone.is_hung_up_on()
        heard = stage.clips.heard(phone.rtp.audio)
        # How much of it was played depends on how fast the conference is.
        assert [prompt for prompt in heard if prompt != "joining…"] == [
            *ASKED,
            "unreachable",
            "goodbye",
        ]
        await stage.is_over(**{reason: 1})


async def test_a_conference_that_lets_ring_is_given_up_and_told_so(tmp_path: Path) -> None:
    async with scene(tmp_path, ivr=GIVES_UP) as stage, stage.phone() as phone:
        stage.conference.lets_ring = True
        await asked_for_pin(stage, phone)
        await phone.key(f"{PIN}#")
        await phone.is_hung_up_on()
        await phone.hears(stage.clips, *ASKED, "joining", "unreachable", "goodbye")
        assert (await stage.conference.rings()).ended.result().cause == "cancel"
        await stage.is_over(conference_unreachable=1)


async def test_a_conference_that_is_not_there(tmp_path: Path) -> None:
    nobody = Listen("UDP", "127.0.0.77", 5060)
    async with scene(tmp_path, voice=nobody, ivr=GIVES_UP) as stage, stage.phone() as phone:
        await asked_for_pin(stage, phone)
        await phone.key(f"{PIN}#")
        await phone.is_hung_up_on()
        await phone.hears(stage.clips, *ASKED, "joining", "unreachable", "goodbye")
        await stage.is_over(conference_unreachable=1)


@pytest.mark.diagonal
async def test_a_meeting_that_ends(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await in_room(stage, phone)
        stage.served.bbb.end_room("demo")
        (await stage.conference.seat()).hang_up()
        await phone.is_hung_up_on()
        await phone.hears(stage.clips, *ASKED, "joining", "alone", "meeting-ended", "goodbye")
        await stage.is_over(meeting_ended=1)


@pytest.mark.e2e
async def test_a_conference_that_falls_silent(tmp_path: Path) -> None:
    async with (
        scene(tmp_path, media={"conference_timeout_s": 4}, ivr=GIVES_UP) as stage,
        stage.phone() as phone,
    ):
        await in_room(stage, phone)
        await phone.is_hung_up_on()
        await phone.hears(stage.clips, *ASKED, "joining", "alone", "unreachable", "goodbye")
        await stage.is_over(conference_media_lost=1)
        assert (await stage.conference.seat()).leg.ended.result().cause == "bye"


# The caller goes


async def test_a_caller_who_gives_up_before_the_answer(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        phone.invite()
        phone.cancel()  # both wait in the service's socket: it has not answered yet
        assert (await asyncio.wait_for(phone.final, 5)).status == 487
        await stage.is_over(cancelled=1)
        assert not phone.rtp.datagrams


async def test_a_caller_who_never_acknowledges_the_answer_is_sent_no_sound(tmp_path: Path) -> None:
    async with (
        scene(tmp_path, pace=replace(BRISK, timers=Timers(t1_s=0.02))) as stage,
        stage.phone(acknowledges=False) as phone,
    ):
        assert await phone.dial() == 200
        await phone.is_hung_up_on()
        await stage.is_over(no_ack=1)
        assert phone.answers > 3
        assert not phone.rtp.datagrams


async def test_a_caller_who_goes_while_being_asked(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await phone.dial()
        await stage.is_in(CallState.PIN)
        await phone.hang_up()
        await stage.is_over(hung_up_early=1)


async def test_a_caller_who_goes_while_waiting(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await asked_for_pin(stage, phone)
        await phone.key(f"{LATER}#")
        await stage.is_in(CallState.WAITING)
        await phone.hang_up()
        await stage.is_over(hung_up_early=1)


async def test_a_caller_who_goes_while_the_conference_rings(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        stage.conference.lets_ring = True
        await asked_for_pin(stage, phone)
        await phone.key(f"{PIN}#")
        ringing = await stage.conference.rings()
        await stage.is_in(CallState.JOINING)
        await phone.hang_up()
        await stage.is_over(hung_up_early=1)
        assert (await asyncio.wait_for(ringing.ended, 5)).cause == "cancel"


@pytest.mark.e2e
async def test_a_caller_who_falls_silent(tmp_path: Path) -> None:
    async with scene(tmp_path, media={"timeout_s": 5}) as stage, stage.phone() as phone:
        await in_room(stage, phone)
        seat = await stage.conference.seat()
        seat.rtp.say(frames_of("talk that goes on", 1000))
        phone.rtp.say()
        await phone.is_hung_up_on()
        await stage.is_over(media_lost=1)


async def test_a_caller_who_goes_while_being_told_goodbye(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await in_room(stage, phone)
        stage.served.bbb.end_room("demo")
        (await stage.conference.seat()).hang_up()
        await stage.is_in(CallState.ENDING)
        await phone.hang_up()
        await stage.is_over(meeting_ended=1)
