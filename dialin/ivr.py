# SPDX-License-Identifier: GPL-3.0-or-later
"""What keys mean: the PIN, the language and the keys in a room, as pure machines.

A machine knows no clock and no sound: a key and the time go in, an outcome comes out. Playing and
listening is `line`'s, what a PIN means `pin`'s, what happens next `call`'s and `visit`'s affair.
Keys are the caller's secret: they are never logged and no repr shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from dialin.events import Digit, DigitSource

DIGITS = frozenset("0123456789")

SAME_PRESS_S = 1.0
"""A key told of in two ways within so long was pressed once: some gateways tell at its release."""
TRUST = (DigitSource.IN_BAND, DigitSource.INFO, DigitSource.RFC4733)
"""Ways to tell of a key. Once one has been used, those before it are not listened to."""

STAR_ALONE_S = 3.0
"""After `*` the next key belongs to it for so long."""
TYPED_AHEAD_S = 1.5
"""Two keys so close to each other are a PIN, and no choice of a language."""
CHOOSE_WITHIN_S = 3.0
"""How long a caller has after the languages were offered."""
HIDE = "3"
"""The key after `*` that hides the caller's digits; no PIN is as short."""


@dataclass(frozen=True, slots=True)
class PinRules:
    """How a PIN is keyed."""

    min_digits: int = 5
    """With fewer digits keyed the caller is given `think_s`, not `pause_s`, to go on."""
    max_digits: int = 11
    """The PIN is complete without `#` when it has so many digits (BBB's dialplan: 5 to 11)."""
    pause_s: float = 4.0
    """A pause this long ends a PIN that may be complete. Breakout rooms need it: their PIN is the
    main room's with one or two digits more."""
    think_s: float = 10.0
    """How long to wait for the first digit after the prompt."""


@dataclass(frozen=True, slots=True)
class Entered:
    """The caller has finished keying."""

    pin: str = field(repr=False)
    """Caller-controlled: 1 to `max_digits` ASCII digits, a string since leading zeros count."""


@dataclass(frozen=True, slots=True)
class NothingKeyed:
    """The caller was given time and keyed nothing."""


@dataclass(frozen=True, slots=True)
class HideDigits:
    """The caller wants a name without digits, and has keyed no PIN yet."""


@dataclass(frozen=True, slots=True)
class GoBack:
    """The caller wants to be where they were before they were asked."""


Entry: TypeAlias = Entered | NothingKeyed | HideDigits | GoBack
"""How one go at the PIN prompt ends."""


class PinEntry:
    """One go at the PIN prompt: (key or time-out, now) -> outcome, or None to go on listening."""

    def __init__(self, rules: PinRules, now: float, *, may_go_back: bool = False) -> None:
        """`may_go_back`: whether `*` alone means to go back."""
        self._rules = rules
        self._may_go_back = may_go_back
        self._digits = ""
        self._is_starred = False
        self._has_cleared = False
        self._deadline = now + rules.think_s

    @property
    def deadline(self) -> float:
        """When `timed_out` is due."""
        return self._deadline

    def pressed(self, key: str, now: float) -> Entry | None:
        """A key was pressed: `#` ends, `*` starts afresh, letters mean nothing."""
        if key == "#" and self._digits:
            return self._entry()
        if key == "*":
            self._has_cleared = self._has_cleared or bool(self._digits)
            self._is_starred, self._digits = True, ""
        elif key in DIGITS:
            self._digits += key
            if len(self._digits) >= self._rules.max_digits:
                return self._entry()
        self._deadline = now + self._patience_s()
        return None

    def timed_out(self) -> Entry:
        """The deadline has passed."""
        return self._entry()

    def _entry(self) -> Entry:
        if self._hides:
            return HideDigits()
        if self._goes_back:
            return GoBack()
        return Entered(self._digits) if self._digits else NothingKeyed()

    def _patience_s(self) -> float:
        if self._goes_back:
            return STAR_ALONE_S
        may_be_complete = self._hides or len(self._digits) >= self._rules.min_digits
        return self._rules.pause_s if may_be_complete else self._rules.think_s

    @property
    def _hides(self) -> bool:
        return self._is_starred and self._digits == HIDE

    @property
    def _goes_back(self) -> bool:
        """Whoever has cleared a PIN with `*` wants to key it again."""
        is_alone = self._is_starred and not self._digits and not self._has_cleared
        return self._may_go_back and is_alone


@dataclass(frozen=True, slots=True)
class Chosen:
    """The language a caller is spoken to in."""

    language: str
    """One of those that were offered."""
    typed_ahead: str = field(default="", repr=False)
    """Keys that were no choice: a PIN has begun. CALLER-CONTROLLED."""


class LanguageMenu:
    """The offer of languages: the first key `1`, `2`… chooses, and any other begins a PIN.

    A choice stands after a short pause, or `#`: a second key right behind it says that both begin a
    PIN, keyed by one tap or by somebody who knows the way; they are spoken to in the first
    language.
    """

    def __init__(self, languages: Sequence[str], now: float) -> None:
        """`languages` in the order of their keys, the default first."""
        self._languages = tuple(languages)
        self._key = ""
        self._deadline = now + CHOOSE_WITHIN_S

    @property
    def deadline(self) -> float:
        """When `timed_out` is due."""
        return self._deadline

    def pressed(self, key: str, now: float) -> Chosen | None:
        """A key was pressed."""
        if self._key and key == "#":
            return self.timed_out()
        if self._key or not self._offers(key):
            return Chosen(self._languages[0], typed_ahead=self._key + key)
        self._key = key
        self._deadline = now + TYPED_AHEAD_S
        return None

    def timed_out(self) -> Chosen:
        """The deadline has passed."""
        return Chosen(self._languages[int(self._key) - 1 if self._key else 0])

    def _offers(self, key: str) -> bool:
        return key in DIGITS and 1 <= int(key) <= len(self._languages)


class Command(Enum):
    """What a caller asks for by `*` and a key."""

    MICROPHONE = auto()
    """Mute, or unmute."""
    HAND = auto()
    """Raise the hand, or lower it."""
    HELP = auto()
    HEAD_COUNT = auto()
    """How many are here."""
    OTHER_ROOM = auto()
    HIDE_DIGITS = auto()
    QUIETER = auto()
    LOUDER = auto()
    UNKNOWN = auto()
    """`*` and a key without a meaning."""


COMMANDS: Mapping[str, Command] = {
    "6": Command.MICROPHONE,
    "9": Command.HAND,
    "5": Command.HAND,
    "1": Command.HELP,
    "#": Command.HEAD_COUNT,
    "0": Command.OTHER_ROOM,
    HIDE: Command.HIDE_DIGITS,
    "4": Command.QUIETER,
    "7": Command.LOUDER,
}
"""By the key after `*`; where other services agree, theirs."""


class RoomKeys:
    """The keys of a caller who waits or talks: (key, now) -> command, or None for none."""

    def __init__(self) -> None:
        self._starred_until = 0.0

    def pressed(self, key: str, now: float) -> Command | None:
        """A key was pressed: only `*` and one more, soon, mean anything."""
        if key == "*":
            self._starred_until = now + STAR_ALONE_S
            return None
        is_starred = now < self._starred_until
        self._starred_until = 0.0
        return COMMANDS.get(key, Command.UNKNOWN) if is_starred else None


class Presses:
    """Tells two presses of a key from one that is told of in two ways."""

    def __init__(self) -> None:
        self._last: Digit | None = None
        self._at = 0.0

    @property
    def are_tones(self) -> bool:
        """Whether the phone tells of its keys by tones in the voice, and in no other way."""
        return self._last is not None and self._last.source is DigitSource.IN_BAND

    def is_new(self, digit: Digit, now: float) -> bool:
        """Whether a digit is a press of its own."""
        last = self._last
        if last and TRUST.index(digit.source) < TRUST.index(last.source):
            return False
        is_same = last is not None and (last.source is not digit.source) and last.key == digit.key
        is_repeat = is_same and now - self._at < SAME_PRESS_S
        self._last, self._at = digit, now
        return not is_repeat
