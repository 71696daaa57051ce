# SPDX-License-Identifier: GPL-3.0-or-later
"""`/api/v1/trunks`, `/servers`, `/service`: how everything does, and the order to drain.

What is well and what is not was found out elsewhere; here it is only told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from dialin.registry import CallState, Ended
from dialin.web.api.calls import LiveCalls
from dialin.web.api.operation import Asked, Operation, Shape, written
from dialin.web.api.tokens import Scope


class TrunkShown(Shape):
    """A provider's trunk."""

    name: str
    mode: str
    """`register`, `peer`, or `self-test`."""
    registered: bool | None
    """Whether the provider knows us; null where we do not register."""
    seconds_left: float | None
    """For how long, unless renewed."""
    cause: str
    """Why not, kebab-case; empty if it does."""
    last_invite_at: str | None
    """When it last sent a call."""
    calls: int
    """Calls that are up."""
    numbers: list[str]
    """Our numbers that ring there, E.164."""


class ServerShown(Shape):
    """A BBB server."""

    name: str
    ok: bool
    """Whether its API answered when it was last asked."""
    cause: str
    """Why not, kebab-case; empty if it did."""
    last_ok_at: str | None
    meetings: int
    webhooks: bool
    """Whether it tells us of changes at once."""
    mutes: str
    """`bbb`: its user list shows who has muted; `bridge`: only we know."""
    calls: int
    """Calls in its rooms, or on the way there."""


class EndShown(Shape):
    """A call that is over."""

    at: str
    trunk: str
    result: str
    reason: str
    duration_s: float


class ServiceShown(Shape):
    """The service as a whole."""

    name: str
    version: str
    accepting: bool
    """Whether new calls are taken; false while it drains."""
    calls: dict[str, int]
    """Calls that are up, by state."""
    max_calls: int
    recent_ends: list[EndShown]
    """The newest first; nothing about a person."""
    wrong_pins_last_hour: int
    """Over all trunks."""
    selftest_at: str | None
    """When the service last called itself; null for never."""
    selftest_ok: bool | None


@dataclass(frozen=True, slots=True)
class StateDesk:
    """Where the state of things is known."""

    name: Callable[[], str]
    version: str
    calls: LiveCalls
    max_calls: Callable[[], int]
    accepting: Callable[[], bool]
    trunks: Callable[[], Sequence[TrunkShown]]
    servers: Callable[[], Sequence[ServerShown]]
    recent_ends: Callable[[], Sequence[Ended]]
    selftest: Callable[[], tuple[datetime, bool] | None]
    """When the last self-test was, and whether it got through; None for none."""
    wrong_pins: Callable[[], int]
    """In the last hour."""
    drain: Callable[[], None]
    """Takes no new calls from now on."""

    def service(self) -> ServiceShown:
        """The service as a whole."""
        states = Counter(call.state for call in self.calls.snapshots())
        tested = self.selftest()
        return ServiceShown(
            name=self.name(),
            version=self.version,
            accepting=self.accepting(),
            calls={state.value: states[state] for state in CallState},
            max_calls=self.max_calls(),
            recent_ends=[end_shown(end) for end in self.recent_ends()],
            wrong_pins_last_hour=self.wrong_pins(),
            selftest_at=written(tested[0]) if tested else None,
            selftest_ok=tested[1] if tested else None,
        )


def state_operations(desk: StateDesk) -> tuple[Operation, ...]:
    """How everything does."""

    async def list_trunks(asked: Asked) -> Sequence[TrunkShown]:
        return list(desk.trunks())

    async def list_servers(asked: Asked) -> Sequence[ServerShown]:
        return list(desk.servers())

    async def show_service(asked: Asked) -> ServiceShown:
        return desk.service()

    async def drain(asked: Asked) -> None:
        desk.drain()

    return (
        Operation(
            "GET",
            "/api/v1/trunks",
            "listTrunks",
            "The providers' trunks and how each does.",
            Scope.ADMIN,
            list_trunks,
            gives=list[TrunkShown],
        ),
        Operation(
            "GET",
            "/api/v1/servers",
            "listServers",
            "The BigBlueButton servers and how each does.",
            Scope.ADMIN,
            list_servers,
            gives=list[ServerShown],
        ),
        Operation(
            "GET",
            "/api/v1/service",
            "showService",
            "The service as a whole.",
            Scope.ADMIN,
            show_service,
            gives=ServiceShown,
        ),
        Operation(
            "POST",
            "/api/v1/service/drain",
            "drainService",
            "Take no new calls from now on; those that are up go on. Only a restart ends it.",
            Scope.ADMIN,
            drain,
            status=HTTPStatus.ACCEPTED,
        ),
    )


def end_shown(end: Ended) -> EndShown:
    """A call that is over, as the API has it."""
    return EndShown(
        at=written(end.at),
        trunk=end.trunk,
        result=end.reason.result,
        reason=end.reason.reason,
        duration_s=round(end.duration_s, 1),
    )
