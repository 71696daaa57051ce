# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition root: reads the settings, builds every object, owns every task.

`run` is the service from start to exit status; `running` is the service as a block, for those who
bring their own end (the demo, tests). Nothing here knows how a call goes: see `call`.
"""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable

from dialin.app.service import Pace, Service, running
from dialin.app.stopping import until_told_to_stop
from dialin.settings import Settings

__all__ = ["Pace", "Service", "run", "running", "until_told_to_stop"]

log = logging.getLogger(__name__)


async def run(settings: Settings, *, ready: Callable[[], None] | None = None) -> int:
    """Run the service until a signal ends it; returns the exit status.

    SIGTERM drains: new calls are refused, those that are up may finish. SIGINT, or a second
    SIGTERM, stops now.
    """
    # A core file would hold what no log may hold.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    async with running(settings) as service:
        log.info("ready", extra={"sip": " ".join(map(str, service.sip.addresses))})
        await until_told_to_stop(service, settings.service.drain_timeout_s, ready=ready)
    return 0
