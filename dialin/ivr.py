# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller hears and presses: the PIN dialogue as a pure machine, and the line that plays it.

`PinEntry` knows no clock and no sound: keys and the time go in, an outcome comes out. `Line` plays
prompts in the caller's language and listens. What a PIN means is `pin`'s affair; what happens next
is `call`'s. Keys are the caller's secret: they are never logged and no repr shows them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Protocol

from dialin.events import Codec, Digit, DigitSource
from dialin.sounds import PromptId, Prompts

DIGITS = frozenset("0123456789")

SAME_PRESS_S = 1.0
"""A key told of in two ways within so long was pressed once: some gateways tell at its release."""
TRUST = (DigitSource.IN_BAND, DigitSource.INFO, DigitSource.RFC4733)
"""Ways to tell of a key. Once one has been used, those before it are not listened to."""


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


class PinEntry:
    """One go at the PIN prompt: (key or time-out, now) -> outcome, or None to go on listening."""

    def __init__(self, rules: PinRules, now: float) -> None:
        self._rules = rules
        self._digits = ""
        self._deadline = now + rules.think_s

    @property
    def deadline(self) -> float:
        """When `timed_out` is due."""
        return self._deadline

    def pressed(self, key: str, now: float) -> Entered | None:
        """A key was pressed: `#` ends, `*` starts afresh, letters mean nothing."""
        if key == "#" and self._digits:
            return Entered(self._digits)
        if key == "*":
            self._digits = ""
        elif key in DIGITS:
            self._digits += key
            if len(self._digits) >= self._rules.max_digits:
                return Entered(self._digits)
        may_be_complete = len(self._digits) >= self._rules.min_digits
        self._deadline = now + (self._rules.pause_s if may_be_complete else self._rules.think_s)
        return None

    def timed_out(self) -> Entered | NothingKeyed:
        """The deadline has passed."""
        return Entered(self._digits) if self._digits else NothingKeyed()


class Presses:
    """Tells two presses of a key from one that is told of in two ways."""

    def __init__(self) -> None:
        self._last: Digit | None = None
        self._at = 0.0

    def is_new(self, digit: Digit, now: float) -> bool:
        """Whether a digit is a press of its own."""
        last = self._last
        if last and TRUST.index(digit.source) < TRUST.index(last.source):
            return False
        is_same = last is not None and (last.source is not digit.source) and last.key == digit.key
        is_repeat = is_same and now - self._at < SAME_PRESS_S
        self._last, self._at = digit, now
        return not is_repeat


class Sounding(Protocol):
    """What the line needs of a media leg."""

    @property
    def digits(self) -> asyncio.Queue[Digit]:
        """Keys as they come. Caller-controlled."""

    async def play(self, clips: Sequence[Path], *, repeat: bool = False) -> None:
        """Play clips to the last frame; cancelling stops at a frame boundary."""


class Line:
    """One caller's ear and keypad."""

    def __init__(
        self,
        media: Sounding,
        prompts: Prompts,
        *,
        language: str,
        codec: Codec,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._media = media
        self._prompts = prompts
        self._language = language
        self._codec = codec
        self._clock = clock
        self._presses = Presses()

    def pressed(self, key: str) -> None:
        """A key came by SIP INFO. Caller-controlled."""
        if not self._media.digits.full():
            self._media.digits.put_nowait(Digit(key, DigitSource.INFO))

    async def say(self, *prompts: PromptId) -> None:
        """Play prompts one after another, to the last frame."""
        await self._media.play(
            [self._prompts.clip(prompt, self._language, self._codec) for prompt in prompts]
        )

    @asynccontextmanager
    async def saying(self, *prompts: PromptId) -> AsyncIterator[None]:
        """Play prompts while the block does its work; leave when both have finished."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.say(*prompts))
            yield

    async def ask_pin(self, rules: PinRules, *prompts: PromptId) -> Entered | NothingKeyed:
        """Ask for a PIN. The first key cuts the prompts off; keys pressed earlier count too."""
        first = await self._say_until_key(*prompts)
        entry = PinEntry(rules, self._clock())
        outcome = entry.pressed(first.key, self._clock()) if first else None
        while outcome is None:
            try:
                async with asyncio.timeout(max(0.0, entry.deadline - self._clock())):
                    digit = await self._next_key()
            except TimeoutError:
                return entry.timed_out()
            outcome = entry.pressed(digit.key, self._clock())
        return outcome

    async def _next_key(self) -> Digit:
        while not self._presses.is_new(digit := await self._media.digits.get(), self._clock()):
            pass
        return digit

    async def _say_until_key(self, *prompts: PromptId) -> Digit | None:
        """Play prompts until they end (None) or a key is pressed."""
        async with asyncio.TaskGroup() as tasks:
            sound = tasks.create_task(self.say(*prompts))
            key = tasks.create_task(self._next_key())
            await asyncio.wait({sound, key}, return_when=asyncio.FIRST_COMPLETED)
            sound.cancel()
            key.cancel()
        return None if key.cancelled() else key.result()
