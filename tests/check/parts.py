# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the check share: ways that give up soon, and a look at one step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dialin.check.steps import Sheet, Step
from dialin.check.ways import Ways, opened_ways
from dialin.sip import Listen
from dialin.wire.timers import Timers

UDP4 = Listen("UDP", "127.0.0.1", 5060)
TCP4 = Listen("TCP", "127.0.0.1", 5060)
QUICK = Timers(t1_s=0.01, t2_s=0.02, t4_s=0.02)
"""64*T1 is 0.64 s."""


@asynccontextmanager
async def ways_from(*listen: Listen) -> AsyncIterator[Ways]:
    """Ways that give up soon."""
    async with opened_ways(listen or (UDP4, TCP4), timers=QUICK) as ways:
        yield ways


def step(sheet: Sheet, name: str) -> Step:
    """The one step whose name ends so."""
    (found,) = (one for one in sheet.steps if one.step.endswith(name))
    return found


def looked_at(sheet: Sheet) -> list[str]:
    """What was looked at, in order, less the name of the trunk or server."""
    return [one.step.partition(" ")[2] for one in sheet.steps]
