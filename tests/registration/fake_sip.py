# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers without sockets, on the event loop's virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from dialin.errors import OperatorError
from dialin.names import Found, NameNotFound
from dialin.sip import Fault, RequestFailed
from dialin.wire.agent_events import LocalAddress, Replied
from dialin.wire.asking import Conversation, Enquiry
from dialin.wire.flow import Flow
from tests.wire.peers import Lines
from tests.wire.registrar_text import response
from tests.wire.test_registration import as_request

REFUSED = Fault("connection-refused", "nobody listens there.", "Check the port.")
REPEATED_S = 2.0
"""How often a request is repeated, over UDP by us and over TCP by the kernel."""


@dataclass
class Server:
    """One server of a provider."""

    is_there: bool = True
    """Whether it answers at all."""
    refuses: bool = False
    """Whether, over TCP, a connection cannot even be made."""
    pongs: bool = True
    """Whether it answers empty lines."""
    answers_options: bool = True
    """Whether it answers OPTIONS."""
    status: int = 200
    """What it says to a REGISTER."""
    lines: Lines = ()
    """And with which headers."""
    granted_s: int = 300
    """For how long it keeps a Contact."""
    registers: list[float] = field(default_factory=list)
    """When REGISTERs came."""
    leaves: list[float] = field(default_factory=list)
    """When a registration was taken back."""
    options: list[float] = field(default_factory=list)
    """When OPTIONS came."""
    pings: list[float] = field(default_factory=list)
    """When empty lines came."""
    connection: int = 0
    """The number of the connection with it; 0 for none."""
    gone: asyncio.Future[None] | None = None
    """Done when that is gone."""


class FakeSip:
    """What the task needs of the SIP endpoint, with servers behind it."""

    def __init__(self) -> None:
        self.servers: dict[Flow, Server] = {}
        self.unreachable: set[str] = set()
        self.heard: set[str] = set()
        self.at_odds = False
        self.asked: list[Enquiry] = []
        self.seen_as: dict[str, tuple[str, int]] = {}
        self._numbers = count(7)

    def now(self) -> float:
        """The virtual time."""
        return asyncio.get_running_loop().time()

    def admit(self, flows: Sequence[Flow]) -> None:
        """What comes from these servers is heard."""
        if self.at_odds:
            raise OperatorError("two at once.", "Choose one.")
        self.heard |= {flow.host for flow in flows}

    def fault(self, flow: Flow) -> Fault | None:
        """Why there is no connection."""
        return REFUSED if self._server(flow).refuses else None

    def local_address(self, flow: Flow) -> LocalAddress:
        """Our address."""
        if flow.host in self.unreachable:
            raise OperatorError("no way.", "None.")
        seen_as = self.seen_as.get(flow.host)
        return LocalAddress(flow.transport, "198.51.100.1", 5060, seen_as=seen_as)

    def learn(self, flow: Flow, seen_as: tuple[str, int]) -> None:
        """A server sees us there."""
        self.seen_as[flow.host] = seen_as

    def _server(self, flow: Flow) -> Server:
        return self.servers[Flow(flow.transport, flow.host, flow.port)]

    async def ask(self, enquiry: Enquiry, flow: Flow) -> Replied:
        """Ask a server."""
        self.local_address(flow)
        assert flow.host in self.heard
        self.asked.append(enquiry)
        server = self._server(flow)
        seen = server.registers if enquiry.method == "REGISTER" else server.options
        if flow.is_reliable:
            if server.refuses:
                raise RequestFailed("connection-failed")
            if not server.connection:
                server.connection = next(self._numbers)
                server.gone = asyncio.get_running_loop().create_future()
        seen.append(self.now())
        is_options = enquiry.method == "OPTIONS"
        gives_up_at = self.now() + enquiry.within_s
        while not server.is_there or (is_options and not server.answers_options):
            await asyncio.sleep(min(REPEATED_S, gives_up_at - self.now()))
            if self.now() >= gives_up_at - 0.001:
                raise RequestFailed("no-answer")
        if is_options:
            return self._reply(enquiry, flow, server, 404, ())
        return self._register(enquiry, flow, server)

    def _register(self, enquiry: Enquiry, flow: Flow, server: Server) -> Replied:
        contact = dict(enquiry.headers)["Contact"]
        if contact.endswith("expires=0"):
            server.leaves.append(self.now())
            return self._reply(enquiry, flow, server, 200, ())
        lines = server.lines
        if server.status == 200:
            uri = contact.partition(";expires")[0]
            lines = [*lines, ("Contact", f"{uri};expires={server.granted_s}")]
        return self._reply(enquiry, flow, server, server.status, lines)

    def _reply(
        self, enquiry: Enquiry, flow: Flow, server: Server, status: int, lines: Lines
    ) -> Replied:
        named = replace(enquiry, conversation=enquiry.conversation or Conversation("c1", "t1"))
        read = response(as_request(named), status, lines)
        return Replied("e1", read, Flow(flow.transport, flow.host, flow.port, server.connection))

    async def ping(self, flow: Flow, within_s: float) -> bool:
        """An empty line."""
        server = self._server(flow)
        server.pings.append(self.now())
        if server.is_there and server.pongs and server.connection == flow.connection:
            return True
        assert server.gone is not None
        await asyncio.wait([server.gone], timeout=within_s)
        return False

    def poke(self, flow: Flow) -> None:
        """An empty datagram."""
        self._server(flow).pings.append(self.now())

    def lost(self, flow: Flow) -> asyncio.Future[None]:
        """Done when the connection is gone."""
        gone = self._server(flow).gone
        assert gone is not None
        return gone

    def drop(self, flow: Flow) -> None:
        """Close the connection."""
        server = self._server(flow)
        server.connection = 0
        if server.gone and not server.gone.done():
            server.gone.set_result(None)


class FakeNames:
    """What DNS says."""

    def __init__(self, *flows: Flow, ttl_s: float = float("inf")) -> None:
        self.flows = flows
        self.ttl_s = ttl_s
        self.asked: list[float] = []

    async def find(self, host: str, port: int | None, transport: str) -> Found:
        """The servers of a name."""
        now = asyncio.get_running_loop().time()
        self.asked.append(now)
        if not self.flows:
            raise NameNotFound(host)
        return Found(self.flows, now + self.ttl_s)
