# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as RFC 9457 problem documents, and the headers that every response carries.

No response repeats what a client sent or what an exception said.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

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


@web.middleware
async def errors_as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem document; stands around all that can fail."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        kept = {str(name): error.headers[name] for name in KEPT_HEADERS if name in error.headers}
        return problem(error.status, kept)
    except Exception:  # the edge of the service: whatever failed, the client gets a 500 and no more
        log.exception("a web request failed")
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR)


async def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal of aiohttp's, sent before the headers of any response go out."""
    response.headers.update(SECURITY_HEADERS)
