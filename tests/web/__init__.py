# SPDX-License-Identifier: GPL-3.0-or-later
"""What the web side stands on, played by small stand-ins."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from dialin.registry import CallSnapshot, CallState, Order
from dialin.rooms import ServerHealth
from dialin.web import Metrics, Readiness, build_app
from dialin.web.api import Operation, Token, Tokens, call_operations
from dialin.web.console import Console

TOKEN = "t0ken-canary-Xq7Lw2Vb9Zr4"
EVERYTHING = Token("web", TOKEN)
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}

CALL = CallSnapshot(
    id="c0ffee",
    trunk="lab",
    number_called="+493012345678",
    started_at=datetime(2026, 11, 26, 6, 44, 1, 500_000, UTC),
    label="xxx-xxx-1234",
    state=CallState.IN_ROOM,
    room="demo",
    server="main",
    codec="G722",
    duration_s=12.5,
    packets_lost=3,
    jitter_ms=1.5,
)
ANSWERED_AT = datetime(2026, 11, 26, tzinfo=UTC)
WELL = ServerHealth("main", ok=True, last_ok_at=ANSWERED_AT, cause="", meetings=2)
ILL = ServerHealth("spare", ok=False, last_ok_at=None, cause="timeout", meetings=0)


@dataclass
class Calls:
    """A table of calls."""

    up: list[CallSnapshot] = field(default_factory=list)
    orders: list[tuple[str, Order]] = field(default_factory=list)

    def snapshots(self) -> list[CallSnapshot]:
        """What is in it."""
        return self.up

    def give(self, call_id: str, order: Order) -> bool:
        """Keep what was asked; a call named busy takes nothing."""
        if call_id == "busy":
            return False
        self.orders.append((call_id, order))
        return True


@dataclass
class Rooms:
    """A picture of BBB servers."""

    servers: list[ServerHealth] = field(default_factory=lambda: [WELL])


def app_with(
    *,
    calls: Calls | None = None,
    rooms: Rooms | None = None,
    readiness: Readiness | None = None,
    tokens: tuple[Token, ...] = (EVERYTHING,),
    operations: tuple[Operation, ...] | None = None,
    per_minute: int = 1000,
    console: Console | None = None,
    metrics: Metrics | None = None,
) -> web.Application:
    """The pages, with stand-ins where nothing is given."""
    return build_app(
        registry=calls or Calls(),
        rooms=rooms or Rooms(),
        ready=lambda: readiness or Readiness(accepting=True),
        tokens=Tokens(tokens, per_minute=per_minute),
        operations=call_operations(calls or Calls()) if operations is None else operations,
        console=console,
        metrics=metrics or Metrics(version="1.2.3", trunks=["lab"]),
    )
