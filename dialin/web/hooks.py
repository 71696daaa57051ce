# SPDX-License-Identifier: GPL-3.0-or-later
"""`POST /hooks/bbb/{server}`: BBB servers tell what happens in their meetings (bbb-webhooks).

Believed is only what comes from the server's own addresses and bears its checksum. bbb-webhooks
posts again whatever is not taken, and forgets a hook in the end; but it takes a 401 for an answer
that no repeat would change. So that is what a post gets that can never be believed or read.

What an event means is left to `rooms` and `room_events`; who asks for events, to `hook_registrar`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol, TypeAlias

from aiohttp import hdrs, web

from dialin.web.source import Address, Network, client_of, read_address
from dialin.wire.bbbhooks import (
    MAX_HOOK_BYTES,
    HookEvent,
    MalformedHook,
    is_genuine,
    parse_hook,
)

log = logging.getLogger(__name__)

PATH = "/hooks/bbb/{server}"
BODY_WITHIN_S = 10.0
RESOLVE_WITHIN_S = 2.0
RESOLVED_FOR_S = 60.0
"""How long the addresses of a server's name are believed."""
SAY_EACH_S = 600.0
"""One kind of refusal of one server is logged so often."""
REPEATS_KNOWN = 4096
"""Posts that are recognised when they come again; bbb-webhooks repeats for five minutes."""
NO_REPEAT = HTTPStatus.UNAUTHORIZED
"""What bbb-webhooks takes for good (callback-emitter.js)."""

REFUSALS: Mapping[str, tuple[str, str]] = {
    "source": (
        "a webhook came from an address that is not the server's",
        "Set hook_sources of the server to where it posts from, or web.proxies to the proxy "
        "before this machine.",
    ),
    "checksum": (
        "a webhook does not bear the server's checksum",
        "Compare secret with `bbb-conf --secret`; see that web.base_url is the very address that "
        "the server posts to.",
    ),
    "too-large": ("a webhook is larger than 1 MiB", "See what the server posts."),
    "malformed": ("a webhook cannot be read", "See which version of bbb-webhooks the server has."),
}
"""Why a post is not taken: what is wrong, as a clause, and what an operator can do about it."""

Resolve: TypeAlias = Callable[[str], Awaitable[frozenset[Address]]]


class Tally(Protocol):
    """Who counts posts."""

    def hook_came(self, server: str, result: str) -> None:
        """`result` is taken, repeated, or one of REFUSALS."""


@dataclass(frozen=True, slots=True)
class HookServer:
    """One BBB server that posts."""

    host: str
    """Host of its url: its addresses are where it posts from, unless there are networks."""
    callback_url: str
    """The very address that it was told to post to, which is part of each checksum."""
    secret: str = field(repr=False)
    """The shared secret of its API."""
    sources: tuple[Network, ...] = ()
    """Networks that it posts from; empty for the addresses of its host."""


class HookReceiver:
    """Takes what BBB servers post."""

    def __init__(
        self,
        servers: Mapping[str, HookServer],
        *,
        learn: Callable[[HookEvent], None],
        tally: Tally,
        proxies: Sequence[Network] = (),
        resolve: Resolve | None = None,
    ) -> None:
        """`learn` is told each event, and must be quick. `proxies` are reverse proxies of ours."""
        self._servers = dict(servers)
        self._learn = learn
        self._tally = tally
        self._proxies = tuple(proxies)
        self._resolve = resolve or addresses_of
        self._resolved: dict[str, tuple[float, frozenset[Address]]] = {}
        self._resolving = asyncio.Lock()
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._said: dict[tuple[str, str], float] = {}

    def change(self, servers: Mapping[str, HookServer]) -> None:
        """Other servers from the next post on."""
        self._servers = dict(servers)
        self._resolved.clear()

    def add_to(self, app: web.Application) -> None:
        """Take posts there."""
        app.router.add_post(PATH, self.take)

    async def take(self, request: web.Request) -> web.Response:
        """Take a post: 204; 403 from elsewhere, 401 for what no repeat would mend."""
        name = request.match_info["server"]
        server = self._servers.get(name)
        if server is None:
            raise web.HTTPNotFound
        if not await self._is_from(request, server):
            self._refuse(name, "source")
            raise web.HTTPForbidden
        body = await _body(request)
        if body is None:
            return self._never(name, "too-large")
        if not _is_believed(request, server, body):
            return self._never(name, "checksum")
        if self._is_repeated(name, body):
            self._tally.hook_came(name, "repeated")
            return web.Response(status=HTTPStatus.NO_CONTENT)
        try:
            events = parse_hook(name, body, request.content_type)
        except MalformedHook:
            return self._never(name, "malformed")
        self._tally.hook_came(name, "taken")
        for event in events:
            self._learn(event)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _is_from(self, request: web.Request, server: HookServer) -> bool:
        client = client_of(request, self._proxies)
        if client is None:
            return False
        if server.sources:
            return any(client in network for network in server.sources)
        return client in await self._addresses(server.host)

    async def _addresses(self, host: str) -> frozenset[Address]:
        """The addresses of a server, by the operator's word; the last ones known if DNS fails."""
        async with self._resolving:  # a flood of posts asks once
            now = asyncio.get_running_loop().time()
            until, known = self._resolved.get(host, (now, frozenset()))
            if now >= until:
                known = await self._resolve(host) or known
                self._resolved[host] = now + RESOLVED_FOR_S, known
            return known

    def _is_repeated(self, server: str, body: bytes) -> bool:
        """Whether this very post has been taken before; each holds the time of its event."""
        digest = hashlib.sha256(server.encode() + b"\n" + body).digest()
        if digest in self._seen:
            return True
        self._seen[digest] = None
        if len(self._seen) > REPEATS_KNOWN:
            self._seen.popitem(last=False)
        return False

    def _never(self, server: str, cause: str) -> web.Response:
        self._refuse(server, cause)
        return web.Response(status=NO_REPEAT, headers={hdrs.WWW_AUTHENTICATE: "Checksum"})

    def _refuse(self, server: str, cause: str) -> None:
        """Count a refusal, and say it now and then."""
        self._tally.hook_came(server, cause)
        now = asyncio.get_running_loop().time()
        if now >= self._said.get((server, cause), now):
            self._said[server, cause] = now + SAY_EACH_S
            what, remedy = REFUSALS[cause]
            log.warning("BBB server %s: %s. %s", server, what, remedy)


async def _body(request: web.Request) -> bytes | None:
    """The body, None if it is too large; the limit is not the one of all other pages."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_HOOK_BYTES:
                    return None
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return bytes(body)


def _is_believed(request: web.Request, server: HookServer, body: bytes) -> bool:
    """Whether only the server can have made it: by its checksum, or by the secret itself, which
    bbb-webhooks sends where it is told to (`auth2_0`)."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer":
        given = token.strip().encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, server.secret.encode())
    return is_genuine(request.query.get("checksum", ""), server.callback_url, body, server.secret)


async def addresses_of(host: str) -> frozenset[Address]:
    """All addresses of a host; none if it does not resolve in time."""
    literal = read_address(host)
    if literal is not None:
        return frozenset({literal})
    try:
        async with asyncio.timeout(RESOLVE_WITHIN_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return frozenset()
    return frozenset(filter(None, (read_address(str(one[4][0])) for one in found)))


def callback_url(base_url: str, server: str) -> str:
    """Where a server posts to."""
    return f"{base_url.rstrip('/')}{PATH.format(server=server)}"
