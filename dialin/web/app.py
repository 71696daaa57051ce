# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the web side together and serve it. What each page says stands in its own module."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http import HttpProcessingError

from dialin.errors import OperatorError
from dialin.web.access_log import AccessLog, note_route
from dialin.web.api import (
    LiveCalls,
    Operation,
    Tokens,
    add_operations,
    guard,
    openapi_page,
)
from dialin.web.console import Console
from dialin.web.health import Readiness, Servers, healthz, readyz
from dialin.web.hooks import HookReceiver
from dialin.web.metrics import Metrics, metrics_page
from dialin.web.pages import add_static_files
from dialin.web.problem import add_security_headers, errors_as_problems, tell_errors
from dialin.web.site import Site

LARGEST_BODY_BYTES = 64 * 1024
CLOSE_WITHIN_S = 2.0


def build_app(
    *,
    registry: LiveCalls,
    rooms: Servers,
    ready: Callable[[], Readiness],
    tokens: Tokens,
    operations: Sequence[Operation],
    console: Console | None = None,
    metrics: Metrics,
    site: Site | None = None,
    hooks: HookReceiver | None = None,
) -> web.Application:
    """The operators' pages, and beside them what the world may reach if that has no listener of
    its own.

    While there is no token there is no API.
    """
    app = web.Application(
        middlewares=[
            note_route,
            tell_errors(site.error) if site else errors_as_problems,
            guard(tokens),
        ],
        client_max_size=LARGEST_BODY_BYTES,
    )
    app.on_response_prepare.append(add_security_headers)
    app.router.add_get("/healthz", healthz())
    app.router.add_get("/readyz", readyz(ready, rooms))
    app.router.add_get("/metrics", metrics_page(metrics))
    add_operations(app, operations)
    app.router.add_get("/api/openapi.json", openapi_page(operations, metrics.version))
    if console:
        console.add_to(app)
        if site is None:
            add_static_files(app)
    metrics.watch_calls(registry, rooms)
    if site:
        site.add_to(app)
    if hooks:
        hooks.add_to(app)
    return app


def build_site(site: Site, hooks: HookReceiver | None = None) -> web.Application:
    """What the world may reach alone, for a listener of its own."""
    app = web.Application(
        middlewares=[note_route, tell_errors(site.error)], client_max_size=LARGEST_BODY_BYTES
    )
    app.on_response_prepare.append(add_security_headers)
    site.add_to(app)
    if hooks:
        hooks.add_to(app)
    return app


def server_log() -> logging.Logger:
    """Where aiohttp logs faults; what is no HTTP is none, and its text is the client's."""
    log = logging.getLogger("dialin.web.server")
    if not log.filters:
        log.addFilter(lambda record: not is_bad_http(record))
    return log


def is_bad_http(record: logging.LogRecord) -> bool:
    """Whether a record tells of a request that is no HTTP."""
    error = record.exc_info[1] if record.exc_info else None
    return isinstance(error, HttpProcessingError)


@asynccontextmanager
async def serve(
    app: web.Application, host: str, port: int, *, settings: str = "web.host or web.port"
) -> AsyncIterator[tuple[tuple[str, int], ...]]:
    """Serve the pages while the block runs; gives the addresses bound. Raises OperatorError.

    `settings` names those that say where.
    """
    runner = web.AppRunner(
        app,
        access_log_class=AccessLog,
        access_log=logging.getLogger("dialin.web.access"),
        logger=server_log(),
        handle_signals=False,
        shutdown_timeout=CLOSE_WITHIN_S,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise OperatorError(
                f"The web server cannot listen on {host} port {port}: {error.strerror}.",
                f"Change {settings}, or stop what has the port.",
            ) from error
        yield tuple((bound[0], bound[1]) for bound in runner.addresses)
    finally:
        await runner.cleanup()
