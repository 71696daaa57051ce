# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is let to a room page: whoever has a link, and whoever has none only so often.

A link that proves nothing is answered with one and the same 404, whatever is wrong with it. Too
many of them from one address are answered with 429. A link that is right is never held up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from ipaddress import ip_network

from aiohttp import hdrs, web

from dialin.links import LinkKey, RoomLink
from dialin.web.limits import Limit
from dialin.web.source import Network, client_of

FAILURES_A_MINUTE = 10
MINUTE_S = 60.0
V6_SITE_BITS = 64
"""Whoever has one address of IPv6 has 2^64 of them."""


class Gate:
    """Reads links, and keeps away who tries too many."""

    def __init__(
        self,
        key: LinkKey,
        *,
        proxies: Sequence[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        """`proxies` are networks of our own reverse proxies."""
        self.key = key
        """What links are made and read with."""
        self._proxies = tuple(ip_network(network) for network in proxies)
        self._failures = Limit(FAILURES_A_MINUTE, MINUTE_S)
        self._now = now

    def link_of(self, request: web.Request) -> RoomLink:
        """The link that a request came with. Raises HTTPNotFound or HTTPTooManyRequests."""
        link = self.key.read(request.match_info["meeting_id"], request.query, self._now())
        if link is None:
            raise self.refusal(request)
        return link

    def refusal(self, request: web.Request) -> web.HTTPException:
        """What somebody without a right is answered; counts it."""
        source = source_of(request, self._proxies)
        if wait_s := self._failures.wait_s(source):
            return web.HTTPTooManyRequests(headers={hdrs.RETRY_AFTER: str(wait_s)})
        self._failures.use(source)
        return web.HTTPNotFound()

    def seconds_left(self, link: RoomLink) -> float:
        """How long a link works yet."""
        return link.expires - self._now()


def source_of(request: web.Request, proxies: Sequence[Network]) -> str:
    """Whom a request comes from: an address of IPv4, a /64 of IPv6, or "" for nobody knows."""
    address = client_of(request, proxies)
    if address is None:
        return ""
    if address.version == 6:
        return str(ip_network((address, V6_SITE_BITS), strict=False))
    return str(address)
