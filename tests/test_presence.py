# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller does in a room and what hosts do to them, and how true it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from dialin import events
from dialin.bbb_voice import KeyMethod
from dialin.pin import Found, Outcome
from dialin.presence import SETTLE_S
from dialin.registry import CallState, LowerHand, Mute, Unmute
from dialin.wire.bbbhooks import HookKind
from tests.fakes.call_parts import FakeVoice
from tests.fakes.call_scene import POLICY, ROOM, Scene, by_table, call

pytestmark = pytest.mark.looptime

LABEL = "xxx-xxx-0594"
ASKING = replace(POLICY, requires_consent=True)
RECORDED: Mapping[str, Outcome] = {"123456789": Found(replace(ROOM, is_recorded=True))}


def bbb_hears_keys() -> FakeVoice:
    """A server whose FreeSWITCH mutes by keys."""
    return FakeVoice(keys=KeyMethod.RFC4733)


async def in_room(scene: Scene) -> None:
    """In it, known to BBB, and with nothing left to say."""
    await scene.keys_pin_and_is_in()
    scene.bbb_lists(LABEL)
    await scene.hears("joining")


def pressed(scene: Scene) -> list[str]:
    """The keys that have reached the conference."""
    return [keys for keys, _ in scene.voice.seats[-1].media.pressed]


def is_shut(scene: Scene) -> bool:
    """Whether nothing of what the caller says leaves the media plane."""
    return scene.media.mutes[-1]


# Mute


async def test_star_six_mutes_and_unmutes_with_words_the_first_time_only() -> None:
    async with call() as scene:
        await in_room(scene)
        scene.media.keys("*6")
        await scene.hears("muted-tone", "muted")
        assert is_shut(scene)
        assert scene.record.snapshot().muted
        scene.media.keys("*6")
        await scene.hears("unmuted-tone", "unmuted")
        assert not is_shut(scene)
        assert not scene.record.snapshot().muted
        scene.media.keys("*6")
        await scene.hears("muted-tone")
        await asyncio.sleep(5)
        assert scene.media.heard[-1] == "muted-tone"
        assert not pressed(scene)


async def test_nothing_but_a_command_means_anything_and_no_key_reaches_the_conference() -> None:
    async with call() as scene:
        await in_room(scene)
        scene.media.keys("0123456789#ABCD6#")
        await asyncio.sleep(5)
        assert scene.media.heard == ["joining"]
        assert not pressed(scene)
        scene.media.keys("*2")
        await scene.hears("refused-tone")


async def test_bbb_is_told_by_its_keys_and_its_echo_is_no_host() -> None:
    async with call(voice=bbb_hears_keys()) as scene:
        await in_room(scene)
        scene.media.keys("*6")
        await scene.hears("muted-tone", "muted")
        assert pressed(scene) == ["*61"]
        scene.bbb_tells(HookKind.USER_MUTED)
        scene.media.keys("*6")
        await scene.hears("unmuted-tone", "unmuted")
        assert pressed(scene) == ["*61", "*60"]
        scene.bbb_tells(HookKind.USER_UNMUTED)
        await asyncio.sleep(5)
        assert scene.media.heard[-1] == "unmuted"


async def test_a_host_mutes_the_caller_is_told_and_star_six_unmutes() -> None:
    async with call(voice=bbb_hears_keys()) as scene:
        await in_room(scene)
        scene.bbb_tells(HookKind.USER_MUTED)
        await scene.hears("muted-by-host")
        assert scene.record.snapshot().muted
        assert is_shut(scene)
        scene.media.keys("*6")
        await scene.hears("unmuted-tone", "unmuted")
        assert pressed(scene) == ["*60"]
        assert not scene.record.snapshot().muted


async def test_a_host_unmutes() -> None:
    async with call(voice=bbb_hears_keys()) as scene:
        await in_room(scene)
        scene.bbb_tells(HookKind.USER_MUTED)
        await scene.hears("muted-by-host")
        scene.bbb_tells(HookKind.USER_UNMUTED)
        await scene.hears("unmuted-by-host")
        assert not scene.record.snapshot().muted
        assert not is_shut(scene)


async def test_who_is_muted_in_bbb_and_cannot_be_opened_from_here_is_not_told_otherwise() -> None:
    async with call() as scene:
        await in_room(scene)
        scene.bbb_tells(HookKind.USER_MUTED)
        await scene.hears("muted-by-host")
        scene.media.keys("*6")
        await scene.hears("refused-tone", "not-possible")
        assert scene.record.snapshot().muted


async def test_operators_mute_and_unmute() -> None:
    async with call(voice=bbb_hears_keys()) as scene:
        await in_room(scene)
        scene.order(Mute())
        await scene.hears("muted-by-host")
        assert pressed(scene) == ["*61"]
        scene.order(Mute())  # as it is
        scene.order(Unmute())
        await scene.hears("unmuted-by-host")
        assert pressed(scene) == ["*61", "*60"]


async def test_who_mutes_on_the_way_in_is_not_heard_for_a_frame() -> None:
    voice = bbb_hears_keys()
    voice.joins_after_s = 3
    async with call(voice=voice) as scene:
        scene.media.keys("123456789#")
        await scene.until(lambda: scene.record.state is CallState.JOINING)
        scene.media.keys("*6")
        await scene.in_room()
        assert scene.media.mutes == [True]
        await asyncio.sleep(SETTLE_S + 1)
        assert pressed(scene) == ["*61"]


async def test_who_is_muted_stays_muted_in_the_next_room() -> None:
    async with call(voice=bbb_hears_keys()) as scene:
        await in_room(scene)
        scene.media.keys("*6")
        await scene.hears("muted-tone", "muted")
        scene.media.keys("*0*")
        await scene.until(lambda: len(scene.voice.seats) == 2)
        await scene.in_room()
        await asyncio.sleep(SETTLE_S + 1)
        assert pressed(scene) == ["*61"]
        assert scene.record.snapshot().muted
        assert not any(muted is False for muted in scene.media.mutes[1:])


# Hand, help, heads, volume


@pytest.mark.parametrize("keys", ["*9", "*5"])
async def test_a_hand_goes_up_and_down(keys: str) -> None:
    async with call() as scene:
        await in_room(scene)
        scene.media.keys(keys)
        await scene.hears("hand-up-tone", "hand-up")
        assert scene.record.snapshot().hand_raised
        scene.media.keys(keys)
        await scene.hears("hand-down-tone", "hand-down")
        assert not scene.record.snapshot().hand_raised


async def test_a_host_lowers_a_hand() -> None:
    async with call() as scene:
        await in_room(scene)
        scene.media.keys("*9")
        await scene.hears("hand-up-tone", "hand-up")
        scene.order(LowerHand())
        await scene.hears("hand-lowered-by-host")
        scene.media.keys("*9")
        await scene.hears("hand-up-tone")
        scene.bbb_tells(HookKind.HAND_LOWERED)
        await scene.hears("hand-lowered-by-host")
        assert not scene.record.snapshot().hand_raised


async def test_help_is_cut_off_by_the_next_command() -> None:
    async with call() as scene:
        await in_room(scene)
        scene.media.keys("*1*4")
        await scene.hears("done-tone")
        assert "help" not in scene.media.heard
        scene.media.keys("*1")
        await scene.hears("help")


@pytest.mark.parametrize(
    ("people", "told"),
    [
        (0, ("alone-here",)),
        (7, ("here-before", "number-7", "here-after")),
        (21, ("here-before", "more-than-20", "here-after")),
    ],
)
async def test_star_hash_tells_how_many_are_here(people: int, told: tuple[str, ...]) -> None:
    async with call() as scene:
        await in_room(scene)
        scene.rooms.known["demo"] = replace(ROOM, voice_participants=people)
        scene.media.keys("*#")
        await scene.hears(*told)
        assert scene.rooms.asked == 1  # BBB is asked at that moment


async def test_the_room_can_be_made_louder_and_quieter_within_limits() -> None:
    async with call() as scene:
        await in_room(scene)
        scene.media.keys("*7*7*7*7")
        await scene.hears("done-tone")
        assert scene.media.volume_db == 12
        scene.media.keys("*7")
        await scene.hears("refused-tone")
        scene.media.keys("*4")
        await scene.hears("done-tone")
        assert scene.media.volume_db == 9


async def test_a_codec_without_a_volume_says_so() -> None:
    async with call() as scene:
        await in_room(scene)
        scene.media.has_no_volume = True
        scene.media.keys("*7")
        await scene.hears("refused-tone", "not-possible")


# Recording


async def test_who_comes_into_a_recorded_meeting_is_told() -> None:
    async with call(by_table(RECORDED)) as scene:
        await scene.keys_pin_and_is_in()
        await scene.hears("joining", "recorded")
        assert not scene.record.snapshot().muted


async def test_who_is_in_a_meeting_when_its_recording_begins_is_told() -> None:
    async with call() as scene:
        await in_room(scene)
        scene.bbb_tells(HookKind.RECORDING_STARTED)
        await scene.hears("recording-begun")
        scene.bbb_tells(HookKind.RECORDING_STOPPED)
        await asyncio.sleep(3)
        assert scene.media.heard[-1] == "recording-begun"


async def test_a_microphone_stays_shut_until_the_caller_agrees_to_be_recorded() -> None:
    async with call(by_table(RECORDED), policy=ASKING, voice=bbb_hears_keys()) as scene:
        await scene.keys_pin_and_is_in()
        assert scene.media.mutes == [True]
        assert scene.record.snapshot().muted
        await scene.hears("joining", "recorded", "ask-consent")
        await scene.hears("ask-consent", "ask-consent")
        scene.media.keys("*6")
        await scene.hears("ask-consent")
        scene.media.keys("5*1")
        await scene.hears("help")
        assert all(scene.media.mutes)
        scene.media.keys("1")
        await scene.hears("consent-given")
        assert not scene.record.snapshot().muted
        assert not is_shut(scene)
        assert pressed(scene) == ["*61", "*60"]
        assert scene.consents.kept == [("demo", True)]
        await asyncio.sleep(60)
        assert scene.media.heard[-1] == "consent-given"


async def test_a_host_cannot_open_what_waits_for_consent() -> None:
    async with call(by_table(RECORDED), policy=ASKING, voice=bbb_hears_keys()) as scene:
        await scene.keys_pin_and_is_in()
        scene.bbb_lists(LABEL)
        await scene.hears("ask-consent")
        await asyncio.sleep(10)
        scene.bbb_tells(HookKind.USER_UNMUTED)
        scene.order(Unmute())
        await asyncio.sleep(5)
        assert scene.record.snapshot().muted
        assert all(scene.media.mutes)
        assert pressed(scene) == ["*61", "*61"]


async def test_who_does_not_agree_leaves() -> None:
    async with call(by_table(RECORDED), policy=ASKING) as scene:
        await scene.keys_pin_and_is_in()
        scene.media.keys("2")
        assert await scene.ended() is events.NO_CONSENT
        assert scene.consents.kept == [("demo", False)]
        assert scene.media.heard[-1] == "goodbye"


async def test_who_has_agreed_is_not_asked_again_in_the_same_meeting() -> None:
    async with call(by_table(RECORDED), policy=ASKING) as scene:
        await scene.keys_pin_and_is_in()
        scene.media.keys("1")
        await scene.hears("consent-given")
        scene.bbb_tells(HookKind.RECORDING_STARTED)
        await scene.hears("recording-begun")
        assert not scene.record.snapshot().muted
        assert scene.consents.kept == [("demo", True)]


async def test_a_recording_that_begins_asks_for_consent_and_leaves_a_mute_as_it_was() -> None:
    async with call(policy=ASKING) as scene:
        await in_room(scene)
        scene.media.keys("*6")
        await scene.hears("muted-tone", "muted")
        scene.bbb_tells(HookKind.RECORDING_STARTED)
        await scene.hears("recording-begun", "ask-consent")
        scene.bbb_tells(HookKind.RECORDING_STARTED)
        scene.media.keys("1")
        await scene.hears("consent-given")
        assert scene.record.snapshot().muted
