# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a caller for a PIN until it names a room, or the tries are used up.

What a PIN means is decided by `pin`, how it is keyed by `ivr`; where the caller is led is `call`'s
affair.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import NoReturn

from dialin.events import AMBIGUOUS_PIN, DIRECTORY_DOWN, NO_PIN, WRONG_PIN, CallError
from dialin.house import House
from dialin.ivr import Entered, GoBack, HideDigits, NothingKeyed
from dialin.pin import (
    Ambiguous,
    Attempts,
    DirectoryDown,
    Found,
    Outcome,
    TooManyGuesses,
    UnknownPin,
)
from dialin.race import race
from dialin.rooms import Room
from dialin.sounds import PromptId
from dialin.visitor import Visitor

WORDS: dict[type[Outcome], str] = {
    Found: "found",
    UnknownPin: "unknown",
    Ambiguous: "ambiguous",
    DirectoryDown: "directory-down",
    TooManyGuesses: "too-many-guesses",
}
"""What the metrics call each outcome of looking a PIN up."""

MAIN_ROOM = "0"
"""What a caller keys in place of a PIN to get from a breakout room to the main room."""


class PinPrompt:
    """Asks one caller; the tries are those of the whole call."""

    def __init__(self, visitor: Visitor, house: House) -> None:
        self._visitor = visitor
        self._line = visitor.line
        self._house = house
        self._policy = house.policy
        self._attempts = Attempts(house.policy.pin_tries)

    async def room(self, *prompts: PromptId, from_room: Room | None = None) -> Room:
        """The room that the caller wants to go to. Raises CallError when none comes of it.

        `from_room`: where `*` alone leads back to, and whose breakout rooms go by their numbers.
        """
        silences = 0
        while True:
            entry = await self._line.ask_pin(
                self._policy.pin_rules, *prompts, may_go_back=from_room is not None
            )
            match entry:
                case GoBack() if from_room:
                    return self.as_it_is_now(from_room)
                case Entered(keyed):
                    if room := self._neighbour(keyed, from_room) or await self._room_for(keyed):
                        return room
                    prompts = (PromptId.NOT_FOUND, PromptId.TRY_AGAIN)
                case HideDigits():
                    self._visitor.hides_digits = True
                    self._visitor.record.hides_digits()
                    prompts = (PromptId.DIGITS_HIDDEN, PromptId.ENTER_PIN)
                case NothingKeyed() | GoBack():
                    silences += 1
                    if silences >= self._policy.pin_tries:
                        raise CallError(NO_PIN)
                    prompts = (PromptId.NO_DIGITS, PromptId.ENTER_PIN)

    def as_it_is_now(self, room: Room) -> Room:
        """A meeting that ended meanwhile is not to be joined, but waited for."""
        return self._house.rooms.current(room) or replace(room, running=False)

    async def _room_for(self, pin: str) -> Room | None:
        """The room a PIN names, or None when the caller may try another.

        A BBB server that does not answer is not the caller's fault: no try is used up, and the PIN
        need not be keyed again.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._policy.wait_for_directory_s
        while True:
            outcome = await self._looked_up(pin)
            self._house.tally.pin_keyed(WORDS[type(outcome)])
            match outcome:
                case Found(room):
                    return room
                case UnknownPin():
                    return None
                case Ambiguous():
                    raise CallError(AMBIGUOUS_PIN)
                case TooManyGuesses():
                    raise CallError(WRONG_PIN)
                case DirectoryDown():
                    await self._line.say(PromptId.UNREACHABLE)
            if loop.time() >= give_up_at:
                raise CallError(DIRECTORY_DOWN)

    async def _looked_up(self, pin: str) -> Outcome:
        """What a PIN means; who has to wait for their turn hears music."""
        pins, guesser = self._house.pins, self._visitor.guesser
        finding = pins.find(pin, self._attempts, guesser)
        if self._policy.has_music and pins.keeps_waiting(guesser):
            return await race(finding, self._music())
        return await finding

    async def _music(self) -> NoReturn:
        while True:
            await self._line.play_on(PromptId.MUSIC)

    def _neighbour(self, keyed: str, room: Room | None) -> Room | None:
        """The breakout room of this number, or the main room, for who is in one of them."""
        if room is None or len(keyed) >= self._policy.pin_rules.min_digits:
            return None
        rooms = self._house.rooms
        main = rooms.parent_of(room) or room
        if keyed == MAIN_ROOM:
            return main
        return next(
            (other for other in rooms.breakouts_of(main) if other.sequence == int(keyed)), None
        )
