# SPDX-License-Identifier: GPL-3.0-or-later
"""`/healthz`: the process answers. `/readyz`: calls can be taken, and what stands in the way.

What readiness means is decided where the service is put together; here it is only told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from dialin.rooms import ServerHealth


class Servers(Protocol):
    """The live picture of all BBB servers."""

    @property
    def servers(self) -> Sequence[ServerHealth]:
        """Each of them."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that the service needs besides BBB servers, such as its SIP sockets."""

    name: str
    """What it is called in the settings, such as sip.listen."""
    ok: bool
    """Whether it works."""
    cause: str = ""
    """Why it does not, kebab-case; empty if it does."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether calls are taken."""

    accepting: bool
    """False before the start is complete, and from the moment of draining."""
    dependencies: tuple[Dependency, ...] = ()
    """All of them must work."""
    trunks: tuple[Dependency, ...] = ()
    """One of them must work: its callers could come in."""


def healthz() -> Handler:
    """Answers 200 as long as the event loop turns."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    return answer


def readyz(ready: Callable[[], Readiness], rooms: Servers) -> Handler:
    """Answers 200 if a caller who came now could reach a meeting, else 503; tells why."""

    async def answer(request: web.Request) -> web.Response:
        readiness, servers = ready(), rooms.servers
        trunks = readiness.trunks
        # One server that works is enough: the others' callers hear that theirs does not.
        is_ready = (
            readiness.accepting
            and all(dependency.ok for dependency in readiness.dependencies)
            and (not trunks or any(trunk.ok for trunk in trunks))
            and any(server.ok for server in servers)
        )
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        parts = [
            *(_told(part.name, part.ok, part.cause) for part in readiness.dependencies),
            *(_told(trunk.name, trunk.ok, trunk.cause) for trunk in trunks),
            *(_told(f"bbb_servers.{server.name}", server.ok, server.cause) for server in servers),
        ]
        body = {"ready": is_ready, "accepting": readiness.accepting, "dependencies": parts}
        return web.json_response(body, status=status)

    return answer


def _told(name: str, ok: bool, cause: str) -> dict[str, str | bool | None]:
    return {"name": name, "ok": ok, "cause": cause or None}
