# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller is told while something else goes on: the newest thing, and music in between.

Announcements never pile up: a new one takes the place of what is being said. What is worth saying
is decided by `visit` and `presence`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from dialin.line import Line
from dialin.race import race
from dialin.sounds import PromptId


class Announcer:
    """Speaks to one caller, beside whatever else is done for them."""

    def __init__(self, line: Line, *, has_music: bool = True) -> None:
        """`has_music`: whether who is kept waiting hears music, or silence."""
        self._line = line
        self._has_music = has_music
        self._keeps_waiting = False
        self._is_speaking = False
        self._announcements: deque[tuple[PromptId, ...]] = deque()
        self._interruption = asyncio.Event()

    def announce(self, *prompts: PromptId) -> None:
        """Say this at once, whatever is being said."""
        self._announcements.clear()
        self._announcements.append(prompts)
        self._interruption.set()

    def add(self, *prompts: PromptId) -> None:
        """Say this after what is being said."""
        self._announcements.append(prompts)
        self._interrupt_music()

    @contextmanager
    def keeping_waiting(self) -> Iterator[None]:
        """Play music while the block runs, and nothing is said."""
        self._keeps_waiting = True
        self._interrupt_music()
        try:
            yield
        finally:
            self._keeps_waiting = False
            self._interrupt_music()

    async def run(self) -> NoReturn:
        """Speak, until cancelled."""
        while True:
            self._interruption.clear()
            prompts = self._announcements.popleft() if self._announcements else ()
            self._is_speaking = bool(prompts)
            await race(self._interrupted(), self._sound(*prompts))

    async def _interrupted(self) -> None:
        await self._interruption.wait()

    async def _sound(self, *prompts: PromptId) -> None:
        """One announcement; or, if there is none, what is heard until there is one."""
        if prompts:
            await self._line.say(*prompts)
        elif self._keeps_waiting and self._has_music:
            await self._line.play_on(PromptId.MUSIC)
        else:
            await self._interruption.wait()

    def _interrupt_music(self) -> None:
        """What is said is not interrupted by this: the next is looked for when it has ended."""
        if not self._is_speaking:
            self._interruption.set()
