# SPDX-License-Identifier: GPL-3.0-or-later
"""The PIN dialogue: what a caller keys, and how the prompts give way."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.events import Codec, Digit, DigitSource
from dialin.ivr import Entered, Line, NothingKeyed, PinEntry, PinRules, Presses
from dialin.sounds import PromptId, Prompts

RULES = PinRules(min_digits=5, max_digits=11, pause_s=4.0, think_s=10.0)


def keyed(entry: PinEntry, keys: str, now: float = 0.0) -> Entered | None:
    outcome = None
    for key in keys:
        outcome = entry.pressed(key, now)
    return outcome


@pytest.mark.parametrize("pin", ["12345", "00000", "123456789", "12345678901"])
def test_a_pin_of_any_length_ends_with_the_hash_key(pin: str) -> None:
    assert keyed(PinEntry(RULES, 0.0), pin[:10] + "#") == Entered(pin[:10])


def test_the_longest_pin_needs_no_hash_key() -> None:
    assert keyed(PinEntry(RULES, 0.0), "12345678901") == Entered("12345678901")


def test_a_pause_of_four_seconds_ends_a_pin_that_may_be_complete() -> None:
    entry = PinEntry(RULES, 0.0)
    assert keyed(entry, "12345", now=7.0) is None
    assert entry.deadline == 11.0
    assert entry.timed_out() == Entered("12345")


def test_somebody_still_reading_the_pin_is_given_longer() -> None:
    entry = PinEntry(RULES, 0.0)
    keyed(entry, "1234", now=7.0)
    assert entry.deadline == 17.0


def test_a_breakout_rooms_longer_pin_wins_over_its_beginning() -> None:
    entry = PinEntry(RULES, 0.0)
    assert keyed(entry, "123456789", now=1.0) is None
    assert keyed(entry, "1#", now=4.9) == Entered("1234567891")


def test_star_starts_afresh() -> None:
    assert keyed(PinEntry(RULES, 0.0), "999*12345#") == Entered("12345")


def test_a_hash_key_before_any_digit_and_the_letter_keys_mean_nothing() -> None:
    entry = PinEntry(RULES, 0.0)
    assert keyed(entry, "##ABCD") is None
    assert entry.timed_out() == NothingKeyed()


def test_nothing_keyed_is_not_an_empty_pin() -> None:
    entry = PinEntry(RULES, 3.0)
    assert entry.deadline == 13.0
    assert entry.timed_out() == NothingKeyed()


def test_a_pin_is_in_no_repr() -> None:
    assert "12345" not in repr(Entered("12345"))


@given(st.lists(st.sampled_from("0123456789*#ABCD"), max_size=40))
def test_whatever_is_keyed_a_pin_is_1_to_11_digits_and_what_follows_the_last_star(
    keys: list[str],
) -> None:
    entry = PinEntry(RULES, 0.0)
    typed = ""
    for key in keys:
        outcome = entry.pressed(key, 0.0)
        typed = "" if key == "*" else typed + (key if key.isdigit() else "")
        if outcome:
            assert outcome == Entered(typed)
            assert 1 <= len(outcome.pin) <= 11
            return
    assert entry.timed_out() == (Entered(typed) if typed else NothingKeyed())


def told(*digits: tuple[str, DigitSource, float]) -> str:
    """The keys that count, of those told of by these ways at these times."""
    presses = Presses()
    return "".join(key for key, way, at in digits if presses.is_new(Digit(key, way), at))


INFO, EVENT, TONE = DigitSource.INFO, DigitSource.RFC4733, DigitSource.IN_BAND


def test_a_key_pressed_twice_counts_twice() -> None:
    for way in DigitSource:
        assert told(("5", way, 0.0), ("5", way, 0.1), ("5", way, 0.2)) == "555"


@pytest.mark.parametrize(("first", "second"), [(INFO, EVENT), (EVENT, INFO), (TONE, INFO)])
def test_a_key_told_of_in_two_ways_counts_once(first: DigitSource, second: DigitSource) -> None:
    pin = "1223"
    both = [((key, first, n), (key, second, n + 0.3)) for n, key in enumerate(pin)]
    assert told(*(digit for pair in both for digit in pair)) == pin


def test_the_next_press_by_a_better_way_counts() -> None:
    assert told(("5", INFO, 0.0), ("6", EVENT, 0.1)) == "56"
    assert told(("5", INFO, 0.0), ("5", EVENT, 1.0)) == "55"


class Handset:
    """A media leg as the line sees it: remembers what was played, each clip for a second."""

    def __init__(self, clip_s: float = 1.0) -> None:
        self.digits: asyncio.Queue[Digit] = asyncio.Queue()
        self.clip_s = clip_s
        self.played: list[str] = []
        self.finished: list[str] = []

    async def play(self, clips: Sequence[Path], *, repeat: bool = False) -> None:
        for clip in clips:
            self.played.append(clip.stem)
            await asyncio.sleep(self.clip_s)
            self.finished.append(clip.stem)

    def key(self, keys: str) -> None:
        for key in keys:
            self.digits.put_nowait(Digit(key, DigitSource.RFC4733))


LineMaker = Callable[[Handset], Line]


@pytest.fixture
def line_on() -> LineMaker:
    def make(handset: Handset) -> Line:
        prompts = Prompts(["en", "de"])
        loop = asyncio.get_running_loop()
        return Line(handset, prompts, language="en", codec=Codec.PCMA, clock=loop.time)

    return make


@pytest.mark.looptime
async def test_prompts_play_to_the_end_when_nobody_keys(line_on: LineMaker) -> None:
    handset = Handset()
    line = line_on(handset)
    outcome = await line.ask_pin(RULES, PromptId.WELCOME, PromptId.ENTER_PIN)
    assert outcome == NothingKeyed()
    assert handset.finished == ["welcome", "enter-pin"]
    assert asyncio.get_running_loop().time() == pytest.approx(12.0, abs=0.1)


@pytest.mark.looptime
async def test_the_first_key_cuts_the_prompt_off(line_on: LineMaker) -> None:
    handset = Handset()
    line = line_on(handset)
    loop = asyncio.get_running_loop()
    loop.call_later(0.5, handset.key, "12345#")
    assert await line.ask_pin(RULES, PromptId.WELCOME, PromptId.ENTER_PIN) == Entered("12345")
    assert handset.finished == []
    assert loop.time() == pytest.approx(0.5, abs=0.1)


@pytest.mark.looptime
async def test_one_tap_dialling_counts_however_fast_the_keys_come(line_on: LineMaker) -> None:
    handset = Handset()
    handset.key("123456789#")
    assert await line_on(handset).ask_pin(RULES, PromptId.WELCOME) == Entered("123456789")
    assert handset.digits.empty()


@pytest.mark.looptime
async def test_a_pause_after_the_last_digit_ends_the_pin(line_on: LineMaker) -> None:
    handset = Handset()
    handset.key("123456789")
    assert await line_on(handset).ask_pin(RULES, PromptId.WELCOME) == Entered("123456789")
    assert asyncio.get_running_loop().time() == pytest.approx(4.0, abs=0.1)


@pytest.mark.looptime
async def test_a_prompt_that_accompanies_work_is_heard_to_its_end(line_on: LineMaker) -> None:
    handset = Handset()
    async with line_on(handset).saying(PromptId.JOINING):
        await asyncio.sleep(0.1)
    assert handset.finished == ["joining"]


@pytest.mark.looptime
async def test_keys_by_info_make_a_pin_and_what_nobody_reads_is_lost(line_on: LineMaker) -> None:
    handset = Handset()
    handset.digits = asyncio.Queue(3)
    line = line_on(handset)
    for key in "12#9":
        line.pressed(key)
    assert await line.ask_pin(RULES, PromptId.WELCOME) == Entered("12")
    assert handset.digits.empty()


@pytest.mark.looptime
async def test_a_gateway_that_tells_of_each_key_twice_doubles_none(line_on: LineMaker) -> None:
    handset = Handset()
    line = line_on(handset)
    for key in "11223#":
        handset.key(key)
        line.pressed(key)
    assert await line.ask_pin(RULES, PromptId.WELCOME) == Entered("11223")
