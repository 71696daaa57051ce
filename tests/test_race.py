# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what comes first."""

import asyncio

import pytest

from dialin.race import any_done, first_fault, race

pytestmark = pytest.mark.looptime


class Runner:
    """Runs for so long; remembers whether it was let."""

    def __init__(self) -> None:
        self.was_cancelled = False

    async def run(self, seconds: float, result: str | Exception) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.was_cancelled = True
            await asyncio.sleep(1)  # to tidy up
            raise
        if isinstance(result, Exception):
            raise result
        return result


async def test_the_first_wins_and_the_others_are_over_when_it_is_told() -> None:
    slow, quick = Runner(), Runner()
    assert await race(slow.run(9, "slow"), quick.run(1, "quick")) == "quick"
    assert (slow.was_cancelled, quick.was_cancelled) == (True, False)
    assert asyncio.get_running_loop().time() == pytest.approx(2.0)


async def test_of_two_that_end_at_once_the_one_named_first_counts() -> None:
    assert await race(Runner().run(1, "one"), Runner().run(1, "other")) == "one"


async def test_what_a_runner_raises_is_raised_as_it_is() -> None:
    slow = Runner()
    with pytest.raises(ValueError, match="broken"):
        await race(slow.run(9, "slow"), race(Runner().run(1, ValueError("broken"))))
    assert slow.was_cancelled


async def test_whoever_cancels_a_race_cancels_all_runners() -> None:
    runner = Runner()
    racing = asyncio.create_task(race(runner.run(9, "slow")))
    await asyncio.sleep(1)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert runner.was_cancelled


async def test_futures_that_are_waited_for_are_left_alone() -> None:
    loop = asyncio.get_running_loop()
    one, other = loop.create_future(), loop.create_future()
    loop.call_later(1, one.set_result, None)
    await any_done(one, other)
    assert not other.done()


def test_the_first_fault_is_found_in_any_depth() -> None:
    fault = ValueError("first")
    group = ExceptionGroup("", [ExceptionGroup("", [fault, KeyError()]), KeyError()])
    assert first_fault(group) is fault
