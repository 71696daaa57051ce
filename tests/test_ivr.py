# SPDX-License-Identifier: GPL-3.0-or-later
"""What keys mean: a PIN, a language, a command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.events import Digit, DigitSource
from dialin.ivr import (
    Chosen,
    Command,
    Entered,
    Entry,
    GoBack,
    HideDigits,
    LanguageMenu,
    NothingKeyed,
    PinEntry,
    PinRules,
    Presses,
    RoomKeys,
)

RULES = PinRules(min_digits=5, max_digits=11, pause_s=4.0, think_s=10.0)


def keyed(entry: PinEntry, keys: str, now: float = 0.0) -> Entry | None:
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


def test_star_three_alone_hides_the_digits_after_a_pause_or_the_hash_key() -> None:
    assert keyed(PinEntry(RULES, 0.0), "*3#") == HideDigits()
    assert keyed(PinEntry(RULES, 0.0), "9*3#") == HideDigits()
    entry = PinEntry(RULES, 0.0)
    assert keyed(entry, "*3", now=5.0) is None
    assert entry.deadline == 9.0
    assert entry.timed_out() == HideDigits()


def test_a_pin_that_begins_with_three_may_be_keyed_after_a_star() -> None:
    assert keyed(PinEntry(RULES, 0.0), "*31234#") == Entered("31234")
    assert keyed(PinEntry(RULES, 0.0), "3#") == Entered("3")


def test_star_alone_goes_back_where_there_is_somewhere_to_go_back_to() -> None:
    entry = PinEntry(RULES, 0.0, may_go_back=True)
    assert keyed(entry, "*", now=1.0) is None
    assert entry.deadline == 4.0
    assert entry.timed_out() == GoBack()
    entry = PinEntry(RULES, 0.0)
    assert keyed(entry, "*", now=1.0) is None
    assert entry.timed_out() == NothingKeyed()


def test_whoever_clears_a_wrong_digit_with_star_does_not_go_back() -> None:
    entry = PinEntry(RULES, 0.0, may_go_back=True)
    assert keyed(entry, "12*", now=1.0) is None
    assert entry.deadline == 11.0
    assert entry.timed_out() == NothingKeyed()


@given(st.lists(st.sampled_from("0123456789*#ABCD"), max_size=40))
def test_whatever_is_keyed_a_pin_is_1_to_11_digits_and_what_follows_the_last_star(
    keys: list[str],
) -> None:
    entry = PinEntry(RULES, 0.0)
    typed, starred = "", False
    for key in keys:
        outcome = entry.pressed(key, 0.0)
        typed = "" if key == "*" else typed + (key if key.isdigit() else "")
        starred = starred or key == "*"
        if outcome:
            break
    else:
        outcome = entry.timed_out()
    if isinstance(outcome, HideDigits):
        assert (typed, starred) == ("3", True)
    elif typed:
        assert outcome == Entered(typed)
        assert 1 <= len(typed) <= 11
    else:
        assert outcome == NothingKeyed()


LANGUAGES = ("de", "en", "fr")


@pytest.mark.parametrize(("key", "language"), [("1", "de"), ("2", "en"), ("3", "fr")])
def test_a_key_chooses_a_language_if_no_other_follows(key: str, language: str) -> None:
    menu = LanguageMenu(LANGUAGES, 0.0)
    assert menu.pressed(key, 2.0) is None
    assert menu.deadline == 3.5
    assert menu.timed_out() == Chosen(language)
    menu = LanguageMenu(LANGUAGES, 0.0)
    menu.pressed(key, 2.0)
    assert menu.pressed("#", 2.1) == Chosen(language)


def test_whoever_chooses_no_language_is_spoken_to_in_the_first() -> None:
    menu = LanguageMenu(LANGUAGES, 1.0)
    assert menu.deadline == 4.0
    assert menu.timed_out() == Chosen("de")


def test_a_pin_that_is_typed_ahead_chooses_no_language_and_loses_no_digit() -> None:
    menu = LanguageMenu(LANGUAGES, 0.0)
    assert menu.pressed("2", 0.1) is None
    assert menu.pressed("4", 0.2) == Chosen("de", typed_ahead="24")


@pytest.mark.parametrize("key", ["0", "4", "9", "*", "#"])
def test_a_key_that_is_no_choice_begins_a_pin(key: str) -> None:
    assert LanguageMenu(LANGUAGES, 0.0).pressed(key, 1.0) == Chosen("de", typed_ahead=key)


def test_what_was_typed_ahead_is_in_no_repr() -> None:
    assert "24" not in repr(Chosen("de", typed_ahead="24"))


@pytest.mark.parametrize(
    ("keys", "command"),
    [
        ("*6", Command.MICROPHONE), ("*9", Command.HAND), ("*5", Command.HAND),
        ("*1", Command.HELP), ("*#", Command.HEAD_COUNT), ("*0", Command.OTHER_ROOM),
        ("*3", Command.HIDE_DIGITS), ("*4", Command.QUIETER), ("*7", Command.LOUDER),
        ("**6", Command.MICROPHONE), ("*2", Command.UNKNOWN), ("*A", Command.UNKNOWN),
        ("6", None), ("#", None), ("*", None), ("*66", None),
    ],
)  # fmt: skip
def test_a_command_is_star_and_a_key(keys: str, command: Command | None) -> None:
    machine = RoomKeys()
    outcomes = [machine.pressed(key, 1.0) for key in keys]
    assert outcomes[-1] is command


def test_star_waits_three_seconds_for_its_key() -> None:
    machine = RoomKeys()
    machine.pressed("*", 10.0)
    assert machine.pressed("6", 12.9) is Command.MICROPHONE
    machine.pressed("*", 20.0)
    assert machine.pressed("6", 23.0) is None


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
