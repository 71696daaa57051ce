# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition root: reads the settings, builds every object, owns every task.

`run` is the service from start to exit status; `running` is the service as a block, for those who
bring their own end (the demo, tests). Nothing here knows how a call goes: see `call`.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable

from dialin.app.core import Pace
from dialin.app.reload import read_anew
from dialin.app.service import Service, running
from dialin.app.stopping import reloading, until_told_to_stop
from dialin.settings import Settings
from dialin.systemd import ServiceManager

__all__ = ["Pace", "Service", "run", "running", "until_told_to_stop"]

log = logging.getLogger(__name__)

NOBODY = ServiceManager({})
"""No service manager has started us."""


async def run(
    settings: Settings,
    *,
    load: Callable[[], Settings] | None = None,
    manager: ServiceManager = NOBODY,
) -> int:
    """Run the service until a signal ends it; returns the exit status.

    SIGTERM drains: new calls are refused, those that are up may finish. SIGINT, or a second
    SIGTERM, stops now. SIGHUP reads the settings anew by `load`. `manager` is told of all that.
    """
    # A core file would hold what no log may hold.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    async with running(settings) as service, asyncio.TaskGroup() as tasks:
        changeable = service.changeable

        async def reload() -> None:
            manager.reloading()
            await read_anew(load or (lambda: settings), changeable)
            manager.ready()

        log.info("ready", extra={"sip": " ".join(map(str, service.sip.addresses))})
        watch = tasks.create_task(manager.keep_watch(), name="signs of life")
        async with reloading(reload):
            await until_told_to_stop(
                service,
                lambda: changeable.settings.service.drain_timeout_s,
                ready=manager.ready,
                draining=manager.stopping,
            )
        watch.cancel()
    return 0
