# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as pages for people and as RFC 9457 problem documents for programs, and the headers that
every response carries.

No response repeats what a client sent or what an exception said.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

SECURITY_HEADERS: Mapping[str, str] = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    hdrs.SERVER: "dialin",
}

OWN_HEADERS = web.RequestKey("own_headers", dict[str, str | None])
"""Security headers that the answer to this request has instead of the usual ones; None: not."""
ErrorPage: TypeAlias = Callable[[web.Request, int, Mapping[str, str]], web.Response | None]
"""Makes the page for a status, with these headers; None where a problem document is wanted."""

KEPT_HEADERS = (hdrs.ALLOW, hdrs.WWW_AUTHENTICATE, hdrs.RETRY_AFTER)
"""What an error says to the client in headers; the rest of it is replaced by the document."""


def problem(
    status: int,
    headers: Mapping[str, str] | None = None,
    *,
    detail: str = "",
    errors: Sequence[Mapping[str, str]] = (),
) -> web.Response:
    """A problem document (RFC 9457 §4.2.1, about:blank), which says what the status says.

    `detail` says more; `errors` are places in the request's body (RFC 9457 §3, its example).
    """
    phrase = HTTPStatus(status)
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": phrase.phrase,
        "status": status,
        "detail": detail or phrase.description or phrase.phrase,
    }
    if errors:
        document["errors"] = list(errors)
    return web.Response(
        status=status,
        text=json.dumps(document),
        content_type=CONTENT_TYPE,
        headers=headers,
    )


def tell_errors(page: ErrorPage) -> Middleware:
    """Middleware that turns every error into a page or a document; stands around all that fails."""

    def told(request: web.Request, status: int, headers: Mapping[str, str]) -> web.StreamResponse:
        return page(request, status, headers) or problem(status, headers)

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < HTTPStatus.BAD_REQUEST:
                raise
            headers = error.headers
            kept = {str(name): headers[name] for name in KEPT_HEADERS if name in headers}
            return told(request, error.status, kept)
        except Exception:  # the edge of the service: whatever failed, the client gets a 500 only
            log.exception("a web request failed")
            return told(request, HTTPStatus.INTERNAL_SERVER_ERROR, {})

    return tell


errors_as_problems = tell_errors(lambda _request, _status, _headers: None)
"""The same where only programs ask."""


async def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal of aiohttp's, sent before the headers of any response go out."""
    headers: dict[str, str | None] = {**SECURITY_HEADERS, **request.get(OWN_HEADERS, {})}
    response.headers.update({name: value for name, value in headers.items() if value is not None})
