# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider's registrar on loopback, over UDP, TCP and TLS, with faults by name.

It asks for a digest, keeps Contacts, answers OPTIONS and empty lines, and can be made to refuse,
to stay silent, to cut connections, and to die and come back on its port. What it has been sent is
kept for the test to look at. It can call the Contacts that it keeps, by the way that they came.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Literal, Self, cast

from dialin.wire.digest import MalformedChallenge, parse_challenges, parse_credentials, verify
from dialin.wire.framing import KeepAlive, StreamFramer
from dialin.wire.message import Request, Response, parse
from tests.peers.process import free_port
from tests.wire.peers import Lines, answer_to

USER, PASSWORD, REALM = "004930900123", "canary-Xq7Lw2Vb9Zr4", "provider.example"

Fault = Literal[
    "silent",  # nothing is answered
    "no-pong",  # empty lines are not answered
    "no-options",  # OPTIONS is not answered
    "forbidden",  # 403
    "busy",  # 503 with Retry-After: 2
    "broken",  # 500
    "brief",  # 423 with Min-Expires: 600
    "stale",  # every answer is too old once
    "same-nonce",  # the nonce never changes, and no answer is right
    "wrong-realm",  # challenges for another realm
    "rogue",  # challenges come from another port
    "crowded",  # somebody else's Contact is listed too
    "rewritten",  # our Contact comes back with another address
    "nat",  # a NAT is seen in our place
    "restless-nat",  # one whose port is another each time
    "hangs-up",  # the connection is cut after each 200
]


class Line:
    """One way to one peer: a datagram's source, or a connection."""

    def __init__(self, send: Callable[[bytes], None], close: Callable[[], None]) -> None:
        self.send = send
        """Put octets on it."""
        self.close = close
        """Cut it; a datagram's source cannot be."""


@dataclass
class Registrar:
    """The registrar. `async with` runs it."""

    algorithms: tuple[str, ...] = ("MD5", "SHA-256")
    granted_s: int = 300
    port: int = 0
    user: str = USER
    """Who may log in."""
    realm: str = REALM
    """What it calls itself when it asks for a password."""
    tls: ssl.SSLContext | None = None
    """How connections are encrypted, if they are."""
    faults: set[Fault] = field(default_factory=set)
    registers: list[tuple[float, Request]] = field(default_factory=list)
    """Every REGISTER, with the loop's time; repeats too."""
    others: list[Request] = field(default_factory=list)
    """Every other request."""
    responses: asyncio.Queue[Response] = field(default_factory=asyncio.Queue)
    """Every response, to a request of ours."""
    connections: int = 0
    """How many there have been."""
    is_open: bool = False
    """Whether it is there."""
    service_route: str = ""
    """By which proxy it wants calls to come."""
    nat_port: int = 40_000
    """The port that a NAT gives us."""

    def __post_init__(self) -> None:
        self._nonces = count(1)
        self._nonce = ""
        self._changed = asyncio.Event()
        self._contacts: dict[str, Line] = {}
        self._lines: set[Line] = set()
        self._server: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._rogue: asyncio.DatagramTransport | None = None
        self._is_stale = False

    # Coming and going

    async def open(self) -> None:
        """Listen, on the port of before if there was one."""
        loop = asyncio.get_running_loop()
        self.port = self.port or free_port()
        self._server = await loop.create_server(
            lambda: Stream(self), "127.0.0.1", self.port, reuse_address=True, ssl=self.tls
        )
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: Datagrams(self), local_addr=("127.0.0.1", self.port)
        )
        self._rogue, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        self.is_open = True

    def die(self) -> None:
        """Stop listening and cut all connections, Contacts forgotten."""
        self.is_open = False
        if self._server:
            self._server.close()
        for transport in (self._udp, self._rogue):
            if transport:
                transport.close()
        for line in list(self._lines):
            line.close()
        self._contacts.clear()
        self._changed.set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.die()

    # What tests look at

    @property
    def contacts(self) -> list[str]:
        """The Contacts that are kept."""
        return list(self._contacts)

    @property
    def answers(self) -> list[str]:
        """Every Authorization that was sent here."""
        requests = [*(request for _, request in self.registers), *self.others]
        return [value for one in requests for value in one.headers.all("Authorization")]

    async def until(self, is_true: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait until something is true; looked at after all that happens here."""
        async with asyncio.timeout(within_s):
            while not is_true():
                self._changed.clear()
                await self._changed.wait()

    async def registered(self, within_s: float = 10.0) -> None:
        """Wait until somebody is."""
        await self.until(lambda: bool(self._contacts), within_s)

    # Calls

    def line(self) -> Line:
        """The way that the only Contact came by."""
        (line,) = self._contacts.values()
        return line

    # What comes

    def received(self, data: bytes, line: Line) -> None:
        """One message."""
        message = parse(data)
        if isinstance(message, Response):
            self.responses.put_nowait(message)
        elif message.method == "REGISTER":
            self.registers.append((asyncio.get_running_loop().time(), message))
            self._register(message, line)
        else:
            self.others.append(message)
            self._other(message, line)
        self._changed.set()

    def kept_alive(self, line: Line) -> None:
        """An empty line."""
        if not self.faults & {"silent", "no-pong"}:
            line.send(b"\r\n")

    def gone(self, line: Line) -> None:
        """A connection is no more."""
        self._lines.discard(line)
        self._changed.set()

    def came(self, line: Line) -> None:
        """A connection."""
        self._lines.add(line)
        self.connections += 1

    def _other(self, request: Request, line: Line) -> None:
        if "silent" in self.faults or (request.method == "OPTIONS" and "no-options" in self.faults):
            return
        if request.method in ("OPTIONS", "BYE"):
            line.send(answer_to(request, 200))

    def _register(self, request: Request, line: Line) -> None:
        if "silent" in self.faults:
            return
        status, lines = self._judge(request)
        if status == 200:
            self._keep(request, line)
            lines = [("Contact", value) for value in self._listed(request)]
            if self.service_route:
                lines.append(("Service-Route", self.service_route))
        if status == 401 and "rogue" in self.faults and self._rogue:
            via = request.via
            self._rogue.sendto(answer_to(request, status, lines), (via.host, via.port))
            return
        line.send(self._seen_through_nat(answer_to(request, status, lines)))
        if status == 200 and "hangs-up" in self.faults:
            line.close()

    def _seen_through_nat(self, answer: bytes) -> bytes:
        """Where the request came from, as it looks from here (RFC 3581 §4)."""
        if "restless-nat" in self.faults:
            self.nat_port += 1
        elif "nat" not in self.faults:
            return answer
        seen = b";received=198.51.100.7;rport=%d" % self.nat_port
        return answer.replace(b";rport", seen, 1)

    def _judge(self, request: Request) -> tuple[int, Lines]:
        refusals: dict[Fault, tuple[int, Lines]] = {
            "forbidden": (403, ()),
            "busy": (503, [("Retry-After", "2")]),
            "broken": (500, ()),
        }
        for fault, refusal in refusals.items():
            if fault in self.faults:
                return refusal
        if "brief" in self.faults and 0 < int(request.headers.get("Expires") or 0) < 600:
            return 423, [("Min-Expires", "600")]
        value = request.headers.get("Authorization")
        if value is None or not self._is_right(value):
            return 401, self._challenge(stale=False)
        self._is_stale = "stale" in self.faults and not self._is_stale
        if self._is_stale:
            return 401, self._challenge(stale=True)
        return 200, ()

    def _challenge(self, *, stale: bool) -> Lines:
        if "same-nonce" not in self.faults or not self._nonce:
            self._nonce = f"nonce-{next(self._nonces)}"
        realm = "elsewhere.example" if "wrong-realm" in self.faults else self.realm
        more = ", stale=true" if stale else ""
        return [
            (
                "WWW-Authenticate",
                f'Digest realm="{realm}", nonce="{self._nonce}", algorithm={one}, qop="auth"{more}',
            )
            for one in self.algorithms
        ]

    def _is_right(self, value: str) -> bool:
        if "same-nonce" in self.faults:
            return False
        try:
            credentials = parse_credentials(value)
        except MalformedChallenge:
            return False
        strongest = parse_challenges([self._challenge_of(credentials.nonce)])[0]
        return verify(
            credentials, strongest, username=self.user, password=PASSWORD, method="REGISTER"
        )

    def _challenge_of(self, nonce: str) -> str:
        """The strongest of the challenges: weaker answers are not taken."""
        algorithm = self.algorithms[-1]
        return f'Digest realm="{self.realm}", nonce="{nonce}", algorithm={algorithm}, qop="auth"'

    def _keep(self, request: Request, line: Line) -> None:
        for contact in request.contacts:
            if contact.params.get("expires") == "0":
                self._contacts.pop(contact.uri_text, None)
            else:
                self._contacts[contact.uri_text] = line

    def _listed(self, request: Request) -> list[str]:
        kept = [f"<{uri}>;expires={self.granted_s}" for uri in self._contacts]
        if "rewritten" in self.faults:
            kept = [value.replace("@127.0.0.1", "@203.0.113.77") for value in kept]
        if "crowded" in self.faults:
            removed = [one.uri_text for one in request.contacts if one.params.get("expires") == "0"]
            if "sip:phone@203.0.113.9" in removed:
                self.faults.discard("crowded")
            else:
                kept.append("<sip:phone@203.0.113.9>;expires=60")
        return kept


class Datagrams(asyncio.DatagramProtocol):
    """The UDP side."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Kept for the answers."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One datagram."""
        if data.strip(b"\r\n"):
            line = Line(lambda answer: self._transport.sendto(answer, addr), lambda: None)
            self._registrar.received(data, line)
        else:
            self._registrar.kept_alive(Line(lambda _pong: None, lambda: None))


class Stream(asyncio.Protocol):
    """One connection."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self._framer = StreamFramer()
        self.line: Line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Kept for the answers."""
        stream = cast(asyncio.Transport, transport)
        self.line = Line(stream.write, stream.abort)
        self._registrar.came(self.line)

    def data_received(self, data: bytes) -> None:
        """Some octets."""
        for piece in self._framer.feed(data):
            if isinstance(piece, KeepAlive):
                self._registrar.kept_alive(self.line)
            else:
                self._registrar.received(piece, self.line)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has gone."""
        with suppress(AttributeError):
            self._registrar.gone(self.line)
