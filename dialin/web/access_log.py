# SPDX-License-Identifier: GPL-3.0-or-later
"""The access log: who asked for what, without personal data.

Addresses are shortened, and the path is the route's, never the client's: no query, no meeting id.
"""

from __future__ import annotations

import ipaddress
import logging

from aiohttp import hdrs, web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Handler

UNKNOWN = "-"
ROUTE = web.RequestKey("route", str)
V4_KEPT_BITS, V6_KEPT_BITS = 24, 48


class AccessLog(AbstractAccessLogger):
    """One line a request, for aiohttp's server."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Called by aiohttp when a response has been sent."""
        self.logger.info(
            "request",
            extra={
                "source": shortened(request.remote),
                "method": request.method if request.method in hdrs.METH_ALL else UNKNOWN,
                "route": request.get(ROUTE, UNKNOWN),
                "status": response.status,
                "seconds": round(time, 4),
            },
        )

    @property
    def enabled(self) -> bool:
        """Whether anybody would read it; aiohttp saves the work if not."""
        return self.logger.isEnabledFor(logging.INFO)


@web.middleware
async def note_route(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Remember which route a request matched; what is no HTTP never comes here."""
    resource = request.match_info.route.resource
    if resource:
        request[ROUTE] = resource.canonical
    return await handler(request)


def shortened(address: str | None) -> str:
    """The network of an address: /24 for IPv4, /48 for IPv6."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return UNKNOWN  # a UNIX socket has no address
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    bits = V4_KEPT_BITS if ip.version == 4 else V6_KEPT_BITS
    return str(ipaddress.ip_network(f"{ip}/{bits}", strict=False).network_address)
