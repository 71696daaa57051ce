# SPDX-License-Identifier: GPL-3.0-or-later
"""Trunks whose registration is made from scratch when they have been silent for long.

Some providers keep a registration that they no longer send calls by, and only a clean new one
mends that. Taking it back would cut off callers who are on their way, so it is done while no call
is up, and only for trunks whose settings ask for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import NoReturn

from dialin.app.core import Core
from dialin.app.reload import Changeable
from dialin.settings.peers import TrunkSettings

log = logging.getLogger(__name__)

LOOK_EACH_S = 30.0


class Freshness:
    """When each trunk was registered from scratch, or sent a call."""

    def __init__(self, now: float) -> None:
        self._begun_at = now
        self._fresh_at: dict[str, float] = {}

    def was_heard(self, trunk: str, at: float) -> None:
        """The trunk has sent a call, or was registered anew."""
        self._fresh_at[trunk] = max(at, self._fresh_at.get(trunk, at))

    def stale(self, trunks: Mapping[str, TrunkSettings], now: float) -> Iterator[str]:
        """The trunks that have been silent for too long."""
        for name, trunk in trunks.items():
            limit_s = trunk.fresh_registration_s
            if limit_s is not None and now - self._fresh_at.get(name, self._begun_at) >= limit_s:
                yield name


async def keep_fresh(changeable: Changeable, core: Core) -> NoReturn:
    """Look after all trunks, until cancelled."""
    loop = asyncio.get_running_loop()
    freshness = Freshness(loop.time())
    heard = dict.fromkeys(changeable.settings.trunks)
    while True:
        await asyncio.sleep(LOOK_EACH_S)
        busy = {call.trunk for call in core.registry.snapshots()}
        for name in changeable.settings.trunks:
            last = core.metrics.last_invite_at(name)
            if name in busy or last != heard.get(name):
                freshness.was_heard(name, loop.time())
            heard[name] = last
        for name in [*freshness.stale(changeable.settings.trunks, loop.time())]:
            log.info("silent for long, so registering from scratch", extra={"trunk": name})
            await core.registrations.renew(name)
            freshness.was_heard(name, loop.time())
