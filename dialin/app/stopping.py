# SPDX-License-Identifier: GPL-3.0-or-later
"""How the service is told to stop: signals, and the calls that may finish first."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress

from dialin.app.service import Service
from dialin.race import race

log = logging.getLogger(__name__)


async def until_told_to_stop(
    service: Service, drain_within_s: float, *, ready: Callable[[], None] | None = None
) -> None:
    """Wait for a signal, and after SIGTERM for the calls that are up.

    `ready` is called once signals are heeded.
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
            log.info("draining", extra={"calls": len(service.registry)})
            with suppress(TimeoutError):
                async with asyncio.timeout(drain_within_s):
                    await race(service.registry.emptied(), stop.wait())
        log.info("stopping", extra={"calls": len(service.registry)})
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)
