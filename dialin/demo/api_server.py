# SPDX-License-Identifier: GPL-3.0-or-later
"""BBB's HTTP API as a server: paths, checksums, and the ways in which it can be told to fail.

Which call gets which answer is left to those who inherit it: `bbb` and `balancer`.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import TracebackType
from typing import Self

from aiohttp import web

from dialin.demo.bbb_answers import SUCCESS, answer, failed
from dialin.wire.bbbxml import CHECKSUM_BY_LENGTH, sign
from dialin.wire.uri import bracketed

SLOW_S = 4.0
"""What the slow fault takes: less than the client's limit, more than a caller waits."""


class Fault(StrEnum):
    """The ways in which the server can be told to fail."""

    HTTP_500 = "http-500"
    HTML = "html"
    EMPTY = "empty"
    SILENT = "silent"
    SLOW = "slow"
    TRUNCATED = "truncated"
    REDIRECT = "redirect"
    DOCTYPE = "doctype"
    WRONG_CHECKSUM = "wrong-checksum"
    NO_MEETINGS = "no-meetings"


class ApiServer:
    """A server of the API, as an asynchronous context manager that listens while it is open."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, secret: str | None = None
    ) -> None:
        self.secret = secret or secrets.token_hex(20)
        """The shared secret, for the client's settings."""
        self.url = ""
        """Where the API is, as `bbb-conf --secret` would print it; known once it listens."""
        self.fault: Fault | None = None
        """How every call fails from now on; None for not at all."""
        self.slow_s = SLOW_S
        """How long an answer takes under the slow fault."""
        self.calls: Counter[str] = Counter()
        """How often each call was made."""
        self._host, self._port = host, port
        app = web.Application()
        app.router.add_route("*", "/bigbluebutton/api", self._version)
        app.router.add_route("*", "/bigbluebutton/api/{call:[a-zA-Z]+(/[a-z]+)?}", self._serve)
        # No access log: it would hold signed queries.
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{bracketed(host)}:{port}/bigbluebutton/"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    def perform(self, call: str, query: Mapping[str, str]) -> bytes:
        """The answer to one call whose checksum is right."""
        raise NotImplementedError

    async def _version(self, _: web.Request) -> web.Response:
        return _xml(answer(SUCCESS, ("version", "2.0"), ("apiVersion", "2.0")))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = request.match_info["call"]
        self.calls[call] += 1
        if self.fault is Fault.SILENT:
            await asyncio.Event().wait()
        if self.fault is Fault.SLOW:
            await asyncio.sleep(self.slow_s)
        if self.fault in _CANNED:
            return _CANNED[self.fault]()
        if self.fault is Fault.WRONG_CHECKSUM or not self._is_signed(call, request):
            return _xml(failed("checksumError", "Checksums do not match"))
        body = self.perform(call, request.query)
        if self.fault is Fault.TRUNCATED:
            return await _cut_short(request, body)
        return _xml(body)

    def _is_signed(self, call: str, request: web.Request) -> bool:
        """The checksum is over the query as it was sent, less the checksum, wherever it stands."""
        parts = request.rel_url.raw_query_string.split("&")
        given = [part.partition("=")[2] for part in parts if part.startswith("checksum=")]
        algorithm = CHECKSUM_BY_LENGTH.get(len(given[0])) if len(given) == 1 else None
        if algorithm is None:
            return False
        query = "&".join(part for part in parts if not part.startswith("checksum="))
        expected = sign(call, query, self.secret, algorithm)
        return hmac.compare_digest(given[0].encode(), expected.encode())


def _xml(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="text/xml", charset="utf-8")


async def _cut_short(request: web.Request, body: bytes) -> web.StreamResponse:
    """Announces the whole body, sends half of it, and hangs up."""
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    response.force_close()
    return response


_CANNED: Mapping[Fault | None, Callable[[], web.Response]] = {
    Fault.HTTP_500: lambda: web.Response(status=500, text="Internal Server Error"),
    Fault.HTML: lambda: web.Response(
        text="<!DOCTYPE html><html><body>Welcome to nginx!</body></html>", content_type="text/html"
    ),
    Fault.EMPTY: web.Response,
    Fault.REDIRECT: lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
    Fault.DOCTYPE: lambda: _xml(b"<!DOCTYPE r [<!ENTITY a 'b'>]><response>&a;</response>"),
}
