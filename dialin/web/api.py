# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP API of operators: `/api/v1/calls`, behind a bearer token (RFC 6750).

Without a token in the settings there is no API. Nothing here knows a phone number.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from dialin.registry import CallSnapshot

PREFIX = "/api/"


class LiveCalls(Protocol):
    """The table of live calls."""

    def snapshots(self) -> Sequence[CallSnapshot]:
        """All of them, oldest first."""


def bearer(token: str | None) -> Middleware:
    """Middleware that lets nobody below `/api/` without the token: known paths and unknown ones."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(PREFIX):
            if not token:
                raise web.HTTPNotFound
            if not is_authorised(request.headers.get(hdrs.AUTHORIZATION, ""), token):
                raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: "Bearer"})
        return await handler(request)

    return check


def is_authorised(header: str, token: str) -> bool:
    """Whether an Authorization header holds the token; takes as long for any wrong one."""
    scheme, _, credentials = header.partition(" ")
    given = credentials.strip().encode("utf-8", "surrogateescape")
    return scheme.lower() == "bearer" and hmac.compare_digest(given, token.encode())


def calls(registry: LiveCalls) -> Handler:
    """`GET /api/v1/calls`: what operators may see of each live call."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response([shown(call) for call in registry.snapshots()])

    return answer


def shown(call: CallSnapshot) -> dict[str, str | bool | int | float | None]:
    """A call as the API has it; written out, so that a new field is shown on purpose only."""
    return {
        "id": call.id,
        "trunk": call.trunk,
        "number_called": call.number_called,
        "label": call.label,
        "state": call.state.value,
        "room": call.room,
        "server": call.server,
        "codec": call.codec,
        "encrypted": call.encrypted,
        "muted": call.muted,
        "started_at": call.started_at.isoformat(timespec="milliseconds"),
        "duration_s": call.duration_s,
        "packets_lost": call.packets_lost,
        "jitter_ms": call.jitter_ms,
    }
