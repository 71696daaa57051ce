# SPDX-License-Identifier: GPL-3.0-or-later
"""How the service is told to stop or to read its settings anew: by signals."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from dialin.app.service import Service
from dialin.race import race
from dialin.registry import HangUp, Registry

log = logging.getLogger(__name__)

GOODBYE_WITHIN_S = 8.0
"""How long callers may take to hear that the service restarts."""


@asynccontextmanager
async def reloading(reload: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """SIGHUP has `reload` called while the block runs; several that come meanwhile are one."""
    wanted = asyncio.Event()

    async def obey() -> None:
        while True:
            await wanted.wait()
            wanted.clear()
            await reload()

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        obeying = tasks.create_task(obey(), name="reload")
        loop.add_signal_handler(signal.SIGHUP, wanted.set)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            obeying.cancel()


async def until_told_to_stop(
    service: Service,
    drain_within_s: Callable[[], float],
    *,
    ready: Callable[[], None] | None = None,
    draining: Callable[[float], None] | None = None,
) -> None:
    """Wait for a signal, and after SIGTERM for the calls that are up.

    `ready` is called once signals are heeded, `draining` when no more calls are taken, with how
    long the others may go on.
    """
    stop, drain = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGTERM, lambda: stop.set() if drain.is_set() else drain.set())
    try:
        if ready is not None:
            ready()
        await race(stop.wait(), drain.wait())
        if not stop.is_set():
            service.registry.drain()
            within_s = drain_within_s()
            if draining is not None:
                draining(within_s)
            log.info("draining", extra={"calls": len(service.registry)})
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await race(service.registry.emptied(), stop.wait())
        log.info("stopping", extra={"calls": len(service.registry)})
        await say_goodbye(service.registry)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)


async def say_goodbye(registry: Registry) -> None:
    """Tell callers who are still there that the service restarts, and hang up; soon at any rate."""
    registry.drain()
    for call in registry.snapshots():
        registry.give(call.id, HangUp(service_stops=True))
    with suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE_WITHIN_S):
            await registry.emptied()
