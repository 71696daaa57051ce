# SPDX-License-Identifier: GPL-3.0-or-later
"""Guessing PINs: nothing is learnt by the clock, and not much by patience."""

from __future__ import annotations

import asyncio
import random
import statistics

import pytest

from dialin.budgets import Budgets, Guess, Guesser, Limits
from dialin.caller import Caller
from dialin.pin import (
    ANSWER_STEP_S,
    SLOW_EXTRA_S,
    Ambiguous,
    Attempts,
    DirectoryDown,
    Found,
    PinDesk,
    TooManyGuesses,
    UnknownPin,
)
from tests.test_pin import PIN, SOMEBODY, Directory, room
from tests.test_rooms import Server, meeting, now, watching

pytestmark = pytest.mark.looptime


class TestOneMoment:
    """Nobody hears by the clock what a PIN is, unless it leads into a room that runs."""

    async def took_s(
        self, desk: PinDesk, pin: str = PIN, who: Guesser = SOMEBODY, limit: int = 3
    ) -> float:
        began = now()
        await desk.find(pin, Attempts(limit), who)
        return now() - began

    async def test_of_a_running_room_is_at_once(self) -> None:
        assert await self.took_s(PinDesk(Directory(room()))) == 0

    @pytest.mark.parametrize("server_takes_s", [0.0, 0.1, 0.3, 0.9, 1.5])
    async def test_is_the_same_for_unknown_not_running_and_locked(
        self, server_takes_s: float
    ) -> None:
        server = Server("one", meeting("later", running=False))
        async with watching(server) as rooms:
            desk = PinDesk(rooms)
            guilty = Guesser("trunk", "guilty")
            for _ in range(10):
                await desk.find("55555", Attempts(), guilty)
            server.takes_s = server_takes_s
            moments: dict[str, list[float]] = {"unknown": [], "later": [], "locked": []}
            for attempt in range(20):
                await asyncio.sleep(0.37 * attempt)
                moments["later"].append(await self.took_s(desk))
                await asyncio.sleep(0.11)
                someone = Guesser("trunk", f"someone {attempt}")
                moments["unknown"].append(await self.took_s(desk, "55555", someone))
                await asyncio.sleep(0.23)
                moments["locked"].append(await self.took_s(desk, PIN, guilty))
        medians = [statistics.median(moment) for moment in moments.values()]
        assert max(medians) - min(medians) <= 0.02
        assert min(medians) >= 0.4
        assert max(medians) <= 2.0

    async def test_is_later_while_guesses_are_slowed_down(self) -> None:
        desk = PinDesk(Directory(), budgets=Budgets(Limits(slow_above=0)))
        assert await self.took_s(desk) == pytest.approx(ANSWER_STEP_S)
        assert await self.took_s(desk) == pytest.approx(ANSWER_STEP_S + SLOW_EXTRA_S)


class TestLocked:
    async def locked(self, directory: Directory, count: list[str]) -> PinDesk:
        desk = PinDesk(directory, count=count.append)
        for _ in range(10):
            await desk.find("55555", Attempts(), SOMEBODY)
        return desk

    async def test_answers_as_if_the_right_pin_were_wrong_and_looks_at_nothing(self) -> None:
        counted: list[str] = []
        desk = await self.locked(Directory(room()), counted)
        attempts = Attempts(2)
        assert await desk.find(PIN, attempts, SOMEBODY) == UnknownPin()
        assert await desk.find(PIN, attempts, SOMEBODY) == TooManyGuesses()
        assert counted == ["locked", "locked"]

    async def test_is_as_directory_down_for_whom_a_server_is_silent(self) -> None:
        directory = Directory(room())
        desk = await self.locked(directory, [])
        directory.complete = False
        assert await desk.find(PIN, Attempts(), SOMEBODY) == DirectoryDown()

    async def test_concerns_nobody_else(self) -> None:
        desk = await self.locked(Directory(room()), [])
        assert isinstance(await desk.find(PIN, Attempts(), Guesser("trunk", "ada")), Found)

    async def test_does_not_come_of_right_pins_shared_pins_and_silent_servers(self) -> None:
        counted: list[str] = []
        directory = Directory(room("a"), room("b"))
        desk = PinDesk(directory, count=counted.append)
        for _ in range(15):
            assert await desk.find(PIN, Attempts(), SOMEBODY) == Ambiguous()
        directory.known, directory.complete = (room(running=False),), False
        for _ in range(15):
            assert isinstance(await desk.find(PIN, Attempts(), SOMEBODY), Found)
            assert await desk.find("55555", Attempts(), SOMEBODY) == DirectoryDown()
        assert not counted


class TestHangingUp:
    async def test_before_the_answer_is_a_wrong_guess_all_the_same(self) -> None:
        counted: list[str] = []
        server = Server("one")
        async with watching(server) as rooms:
            server.takes_s = 0.4
            desk = PinDesk(rooms, count=counted.append)
            for _ in range(10):
                guess = asyncio.create_task(desk.find("55555", Attempts(), SOMEBODY))
                await asyncio.sleep(0.1)
                guess.cancel()
                await asyncio.wait([guess])
            assert not counted
            await desk.find("55555", Attempts(), SOMEBODY)
        assert counted == ["locked"]

    async def test_in_the_queue_uses_up_no_turn(self) -> None:
        budgets = Budgets(Limits(slow_above=0))
        desk = PinDesk(Directory(room()), budgets=budgets)
        await desk.find("55555", Attempts(), SOMEBODY)
        await desk.find("55555", Attempts(), Guesser("trunk", "first in slow mode"))
        due = budgets.release_at
        quitters = [
            asyncio.create_task(desk.find(PIN, Attempts(), Guesser("trunk", f"quitter {n}")))
            for n in range(50)
        ]
        await asyncio.sleep(0)
        honest = asyncio.create_task(desk.find(PIN, Attempts(), Guesser("trunk", "ada")))
        await asyncio.sleep(0)
        for quitter in quitters:
            quitter.cancel()
        assert isinstance(await honest, Found)
        assert now() == pytest.approx(due)


class TestSlowMode:
    async def test_leaves_one_try_a_call(self) -> None:
        counted: list[str] = []
        desk = PinDesk(
            Directory(room()), budgets=Budgets(Limits(slow_above=0)), count=counted.append
        )
        assert await desk.find("55555", Attempts(), SOMEBODY) == UnknownPin()
        assert await desk.find("55555", Attempts(), SOMEBODY) == TooManyGuesses()
        assert counted == ["slow"]
        desk.got_in(SOMEBODY)
        assert await desk.find("55555", Attempts(), SOMEBODY) == UnknownPin()

    async def test_ends_while_somebody_waits(self) -> None:
        budgets = Budgets(Limits(slow_above=0, slow_release=1))
        desk = PinDesk(Directory(room()), budgets=budgets)
        await desk.find("55555", Attempts(), SOMEBODY)
        await asyncio.sleep(600)
        await desk.find(PIN, Attempts(), Guesser("trunk", "takes the only turn"))
        assert isinstance(await desk.find(PIN, Attempts(), SOMEBODY), Found)
        assert now() == pytest.approx(4200, abs=10)

    async def test_counts_a_pin_that_a_silent_server_may_know_once(self) -> None:
        budgets = Budgets()
        desk, attempts = PinDesk(Directory(complete=False), budgets=budgets), Attempts()
        for _ in range(5):
            await desk.find(PIN, attempts, SOMEBODY)
        assert len(budgets.unanswered) == 1
        await desk.find("55555", attempts, SOMEBODY)
        assert len(budgets.unanswered) == 2


class TestGuesser:
    async def test_is_the_same_from_call_to_call_and_says_nothing(self) -> None:
        desk = PinDesk(Directory())
        ada, again = Caller.parse("+4915738620594", region=None), "004915738620594"
        who = desk.guesser("trunk", ada)
        assert desk.guesser("trunk", Caller.parse(again, region=None)) == who
        assert who.identity
        assert len(who.identity) == 16
        assert who.identity != PinDesk(Directory()).guesser("trunk", ada).identity
        assert desk.guesser("trunk", Caller.withheld()) == Guesser("trunk")

    async def test_is_one_for_the_service_that_calls_itself(self) -> None:
        desk = PinDesk(Directory(), own_trunk="self-test")
        assert desk.guesser("self-test", Caller.withheld()) == Guesser("self-test", "self-test")
        assert desk.guesser("trunk", Caller.withheld()) == Guesser("trunk")

    async def test_is_remembered_over_one_change_of_the_key(self) -> None:
        desk = PinDesk(Directory())
        ada = Caller.parse("+4915738620594", region=None)
        first = desk.guesser("trunk", ada)
        await asyncio.sleep(86400)
        second = desk.guesser("trunk", ada)
        assert second.identity != first.identity
        assert second.former == first.identity
        await asyncio.sleep(2 * 86400)
        assert desk.guesser("trunk", ada).former is None


class Watched(Budgets):
    """Notes when guesses of bots are evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluated: list[float] = []

    def begin(self, guesser: Guesser, now: float) -> Guess | None:
        guess = super().begin(guesser, now)
        if guess and guesser.trunk == "bots":
            self.evaluated.append(now)
        return guess


class Siege:
    """Thirty lines that guess, each call under another forged number, among honest callers."""

    def __init__(self) -> None:
        self.budgets = Watched()
        self.desk = PinDesk(Directory(room()), budgets=self.budgets)
        self.rng = random.Random(7)  # noqa: S311 - the same siege each time
        self.refused = 0
        self.waited: list[float] = []

    async def bot(self, line: int) -> None:
        call = 0
        while True:
            call += 1
            await self.guess_three_times(Guesser("bots", f"bot {line} {call}"))

    async def guess_three_times(self, who: Guesser) -> None:
        attempts = Attempts(3)
        outcome = None
        while outcome != TooManyGuesses():
            await asyncio.sleep(3)
            wrong = str(self.rng.randrange(2 * 10**8, 10**9))
            outcome = await self.desk.find(wrong, attempts, who)

    async def honest(self, who: Guesser) -> None:
        """Somebody who now and then mistypes the PIN, and then keys it right."""
        attempts, began = Attempts(3), now()
        if self.rng.random() < 0.05:
            await self.desk.find("555555555", attempts, who)
            attempts = Attempts(3)  # calls again, where that was the last try
        if isinstance(await self.desk.find(PIN, attempts, who), Found):
            self.desk.got_in(who)
            self.waited.append(now() - began)
        else:
            self.refused += 1


class TestBots:
    async def test_evaluate_no_more_than_the_budget_and_lock_nobody_out(self) -> None:
        siege = Siege()
        regulars = [Guesser("trunk", f"regular {number}") for number in range(300)]
        for regular in regulars:
            siege.desk.got_in(regular)
        async with asyncio.TaskGroup() as calls:
            bots = [calls.create_task(siege.bot(line)) for line in range(30)]
            guests = []
            for number in range(1000):
                await asyncio.sleep(3.6)
                is_new = number % 20 == 0
                who = Guesser("trunk", f"new {number}") if is_new else regulars[number % 300]
                guests.append(calls.create_task(siege.honest(who)))
            evaluated = list(siege.budgets.evaluated)
            await asyncio.wait(guests)
            for bot in bots:
                bot.cancel()
        limits = Limits()
        assert limits.slow_above < len(evaluated) <= limits.slow_above + limits.slow_release + 2
        assert siege.refused <= 1
        assert len(siege.waited) == 1000 - siege.refused
        assert sum(waited_s < 1 for waited_s in siege.waited) > 900  # who was in before
        # Who was not has some thirty calls before, and twice so where the first PIN was mistyped.
        assert max(siege.waited) < 450
