# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for whichever of several things comes first, with nothing left running behind.

Tasks and futures only; deadlines are `asyncio.timeout`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Ended = TypeVar("Ended")
Fault = TypeVar("Fault", bound=BaseException)


async def race(*runners: Coroutine[Any, Any, Ended]) -> Ended:
    """Run all until one ends; the others are cancelled, and are over before this returns.

    Of several that end at once the one named first counts. What a runner raises is raised as it is,
    and not in a group.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(runner) for runner in runners]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            winner = next(task for task in running if task.done())
            for task in running:
                task.cancel()
    except BaseExceptionGroup as group:
        fault = first_fault(group)
        raise fault from fault.__cause__
    return winner.result()


async def any_done(*futures: asyncio.Future[Any]) -> None:
    """Wait until one of the futures is done. Cancels none of them."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def first_fault(group: BaseExceptionGroup[Fault]) -> Fault:
    """What was raised first, out of a group that may hold groups."""
    fault: BaseExceptionGroup[Fault] | Fault = group
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
