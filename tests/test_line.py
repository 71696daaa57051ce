# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller hears and keys: prompts that give way, languages, and music while they wait."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from dialin.announcer import Announcer
from dialin.events import Codec, Digit, DigitSource
from dialin.ivr import Entered, NothingKeyed, PinRules
from dialin.line import Line
from dialin.sounds import PromptId, Prompts
from tests.fakes.call_parts import FakePrompts

RULES = PinRules(min_digits=5, max_digits=11, pause_s=4.0, think_s=10.0)


class Handset:
    """A media leg as the line sees it: remembers what was played, each clip for a second."""

    def __init__(self, clip_s: float = 1.0) -> None:
        self.digits: asyncio.Queue[Digit] = asyncio.Queue()
        self.clip_s = clip_s
        self.played: list[str] = []
        self.finished: list[str] = []
        self.languages: list[str] = []

    async def play(self, clips: Sequence[Path], *, repeat: bool = False) -> None:
        while clips:
            await self._play_once(clips)
            if not repeat:
                return

    async def _play_once(self, clips: Sequence[Path]) -> None:
        for clip in clips:
            self.played.append(clip.stem)
            self.languages.append(clip.parent.name)
            await asyncio.sleep(self.clip_s)
            self.finished.append(clip.stem)

    def key(self, keys: str) -> None:
        for key in keys:
            self.digits.put_nowait(Digit(key, DigitSource.RFC4733))


pytestmark = pytest.mark.looptime
LineMaker = Callable[[Handset], Line]


@pytest.fixture
def line_on() -> LineMaker:
    def make(handset: Handset) -> Line:
        prompts = cast(Prompts, FakePrompts("en", "de"))
        loop = asyncio.get_running_loop()
        return Line(handset, prompts, language="en", codec=Codec.PCMA, clock=loop.time)

    return make


async def test_prompts_play_to_the_end_when_nobody_keys(line_on: LineMaker) -> None:
    handset = Handset()
    line = line_on(handset)
    outcome = await line.ask_pin(RULES, PromptId.WELCOME, PromptId.ENTER_PIN)
    assert outcome == NothingKeyed()
    assert handset.finished == ["welcome", "enter-pin"]
    assert asyncio.get_running_loop().time() == pytest.approx(12.0, abs=0.1)


async def test_the_first_key_cuts_the_prompt_off(line_on: LineMaker) -> None:
    handset = Handset()
    line = line_on(handset)
    loop = asyncio.get_running_loop()
    loop.call_later(0.5, handset.key, "12345#")
    assert await line.ask_pin(RULES, PromptId.WELCOME, PromptId.ENTER_PIN) == Entered("12345")
    assert handset.finished == []
    assert loop.time() == pytest.approx(0.5, abs=0.1)


async def test_one_tap_dialling_counts_however_fast_the_keys_come(line_on: LineMaker) -> None:
    handset = Handset()
    handset.key("123456789#")
    assert await line_on(handset).ask_pin(RULES, PromptId.WELCOME) == Entered("123456789")
    assert handset.digits.empty()


async def test_a_pause_after_the_last_digit_ends_the_pin(line_on: LineMaker) -> None:
    handset = Handset()
    handset.key("123456789")
    assert await line_on(handset).ask_pin(RULES, PromptId.WELCOME) == Entered("123456789")
    assert asyncio.get_running_loop().time() == pytest.approx(4.0, abs=0.1)


async def test_keys_by_info_make_a_pin_and_what_nobody_reads_is_lost(line_on: LineMaker) -> None:
    handset = Handset()
    handset.digits = asyncio.Queue(3)
    line = line_on(handset)
    for key in "12#9":
        line.pressed(key)
    assert await line.ask_pin(RULES, PromptId.WELCOME) == Entered("12")
    assert handset.digits.empty()


async def test_a_gateway_that_tells_of_each_key_twice_doubles_none(line_on: LineMaker) -> None:
    handset = Handset()
    line = line_on(handset)
    for key in "11223#":
        handset.key(key)
        line.pressed(key)
    assert await line.ask_pin(RULES, PromptId.WELCOME) == Entered("11223")


async def test_each_language_is_offered_in_itself(line_on: LineMaker) -> None:
    handset = Handset()
    line = line_on(handset)
    await line.choose_language(["de", "en"])
    assert handset.played == ["language-1", "language-2"]
    assert line.language == "de"
    assert asyncio.get_running_loop().time() == pytest.approx(5.0, abs=0.1)


async def test_the_language_that_is_chosen_is_spoken(line_on: LineMaker) -> None:
    handset = Handset()
    line = line_on(handset)
    asyncio.get_running_loop().call_later(0.5, handset.key, "2")
    await line.choose_language(["en", "de"])
    await line.say(PromptId.WELCOME)
    assert (line.language, handset.languages[-1]) == ("de", "de")


async def test_a_pin_dialled_by_one_tap_passes_the_offer_of_languages(line_on: LineMaker) -> None:
    handset = Handset()
    line = line_on(handset)
    handset.key("123456789#")
    await line.choose_language(["en", "de"])
    assert line.language == "en"
    assert await line.ask_pin(RULES, PromptId.WELCOME) == Entered("123456789")
    assert "welcome" not in handset.finished


class Told:
    """A caller who is told things for so long."""

    def __init__(self, line: Line, *, has_music: bool = True) -> None:
        self.announcer = Announcer(line, has_music=has_music)
        self._speaking = asyncio.create_task(self.announcer.run())

    async def for_s(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._speaking), seconds)

    async def stop(self) -> None:
        self._speaking.cancel()
        await asyncio.wait([self._speaking])


async def test_the_newest_announcement_takes_the_place_of_the_others(line_on: LineMaker) -> None:
    handset = Handset()
    told = Told(line_on(handset))
    told.announcer.announce(PromptId.HELP, PromptId.NOT_BEGUN)
    await told.for_s(0.5)
    told.announcer.announce(PromptId.MUTED)
    told.announcer.announce(PromptId.UNMUTED)
    await told.for_s(5)
    assert handset.finished == ["unmuted"]
    await told.stop()


async def test_what_is_added_waits_for_what_is_being_said(line_on: LineMaker) -> None:
    handset = Handset()
    told = Told(line_on(handset))
    told.announcer.announce(PromptId.JOINING)
    await told.for_s(0.5)
    told.announcer.add(PromptId.ALONE)
    await told.for_s(5)
    told.announcer.add(PromptId.RECORDED)
    await told.for_s(5)
    assert handset.finished == ["joining", "alone", "recorded"]
    await told.stop()


async def test_music_plays_while_a_caller_is_kept_waiting_and_nothing_is_said(
    line_on: LineMaker,
) -> None:
    handset = Handset()
    told = Told(line_on(handset))
    with told.announcer.keeping_waiting():
        await told.for_s(2.5)
        told.announcer.announce(PromptId.STILL_WAITING)
        await told.for_s(2.5)
    await told.for_s(5)
    assert handset.played == ["music"] * 3 + ["still-waiting"] + ["music"] * 2
    await told.stop()


async def test_without_music_there_is_silence(line_on: LineMaker) -> None:
    handset = Handset()
    told = Told(line_on(handset), has_music=False)
    with told.announcer.keeping_waiting():
        told.announcer.announce(PromptId.STILL_WAITING)
        await told.for_s(5)
    assert handset.played == ["still-waiting"]
    await told.stop()
