# SPDX-License-Identifier: GPL-3.0-or-later
"""One caller's ear and keypad: prompts are played in the caller's language, keys are listened for.

What keys mean is decided by the machines of `ivr`, what is said when by `call` and `visit`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Protocol, TypeVar

from dialin.events import Codec, Digit, DigitSource
from dialin.ivr import Entry, LanguageMenu, PinEntry, PinRules, Presses
from dialin.race import race
from dialin.sounds import LANGUAGE_CHOICES, PromptId, Prompts

Outcome = TypeVar("Outcome", covariant=True)


class Sounding(Protocol):
    """What the line needs of a media leg."""

    @property
    def digits(self) -> asyncio.Queue[Digit]:
        """Keys as they come. Caller-controlled."""

    async def play(self, clips: Sequence[Path], *, repeat: bool = False) -> None:
        """Play clips to the last frame; cancelling stops at a frame boundary."""


class Dialogue(Protocol[Outcome]):
    """A machine that is told of keys until it has an outcome."""

    @property
    def deadline(self) -> float:
        """When `timed_out` is due."""

    def pressed(self, key: str, now: float) -> Outcome | None:
        """A key was pressed; None to go on listening."""

    def timed_out(self) -> Outcome:
        """The deadline has passed."""


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
        self.language = language
        """What the caller is spoken to in."""
        self._media = media
        self._prompts = prompts
        self._codec = codec
        self._clock = clock
        self._presses = Presses()
        self._typed_ahead: deque[str] = deque()

    def pressed(self, key: str) -> None:
        """A key came by SIP INFO. Caller-controlled."""
        if not self._media.digits.full():
            self._media.digits.put_nowait(Digit(key, DigitSource.INFO))

    @property
    def keys_are_tones(self) -> bool:
        """Whether the caller's keys come as tones in the voice, and in no other way so far."""
        return self._presses.are_tones

    async def next_key(self) -> str:
        """Wait for a key. Caller-controlled."""
        if self._typed_ahead:
            return self._typed_ahead.popleft()
        while not self._presses.is_new(digit := await self._media.digits.get(), self._clock()):
            pass
        return digit.key

    def now(self) -> float:
        """The time by which keys are told apart."""
        return self._clock()

    async def say(self, *prompts: PromptId) -> None:
        """Play prompts one after another, to the last frame."""
        await self._media.play([self._clip(prompt) for prompt in prompts])

    async def play_on(self, prompt: PromptId) -> None:
        """Play a prompt again and again, until cancelled."""
        await self._media.play([self._clip(prompt)], repeat=True)

    async def choose_language(self, languages: Sequence[str]) -> None:
        """Offer languages, each in itself, and speak the one that is chosen from now on."""
        offers = [
            self._prompts.clip(prompt, language, self._codec)
            for prompt, language in zip(LANGUAGE_CHOICES, languages, strict=False)
        ]
        offered = languages[: len(offers)]
        chosen = await self._converse(offers, lambda now: LanguageMenu(offered, now))
        self.language = chosen.language
        self._typed_ahead.extend(chosen.typed_ahead)

    async def ask_pin(
        self, rules: PinRules, *prompts: PromptId, may_go_back: bool = False
    ) -> Entry:
        """Ask for a PIN. The first key cuts the prompts off; keys pressed earlier count too."""
        clips = [self._clip(prompt) for prompt in prompts]
        return await self._converse(
            clips, lambda now: PinEntry(rules, now, may_go_back=may_go_back)
        )

    async def _converse(
        self, clips: Sequence[Path], dialogue_at: Callable[[float], Dialogue[Outcome]]
    ) -> Outcome:
        """Play until a key is pressed, then let a machine listen until it has an outcome."""
        key = await race(self.next_key(), self._media.play(clips))
        dialogue = dialogue_at(self._clock())
        outcome = dialogue.pressed(key, self._clock()) if key else None
        while outcome is None:
            try:
                async with asyncio.timeout(max(0.0, dialogue.deadline - self._clock())):
                    key = await self.next_key()
            except TimeoutError:
                return dialogue.timed_out()
            outcome = dialogue.pressed(key, self._clock())
        return outcome

    def _clip(self, prompt: PromptId) -> Path:
        return self._prompts.clip(prompt, self.language, self._codec)
