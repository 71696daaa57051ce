# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP over TCP: listening, connecting, and one framer for each connection.

A connection is used for as long as it lives, in both directions: responses and the requests of a
dialog go back by the connection that the dialog came by. Cutting the stream into messages is done
by `dialin.wire.framing`; what the messages mean is left to `endpoint`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, cast

from dialin.sip.addresses import BACKLOG, Listen, address_of, bound_socket
from dialin.sip.counters import SipCounters
from dialin.wire.flow import Flow
from dialin.wire.framing import KeepAlive, StreamFramer
from dialin.wire.message import MalformedMessage

MESSAGE_WITHIN_S = 10.0
"""How long a message may take from its first octet to its last."""
CONNECT_WITHIN_S = 8.0
"""How long a connection may take to stand."""
MAX_CONNECTIONS_PER_SOURCE = 16
"""Connections that one address may hold open to us."""
MAX_UNREAD_BYTES = 256 * 1024
"""What may wait for a peer that does not read."""
MAX_WAITING = 64
"""Messages that may wait for a connection to stand."""
PING, PONG = b"\r\n\r\n", b"\r\n"
"""RFC 5626 §4.4.1: CRLF answers CRLF CRLF."""


class Listener(Protocol):
    """What the layer above does with what comes."""

    def hears(self, host: str) -> bool:
        """Whether this source may speak to us."""

    def receive(self, data: bytes, flow: Flow) -> None:
        """One whole message."""

    def receive_malformed(self, error: MalformedMessage, flow: Flow) -> None:
        """A stream that cannot be cut into messages any more."""

    def connection_failed(self, flow: Flow) -> None:
        """What was sent to this flow has not arrived, or cannot be answered by it any more."""


class Connection(asyncio.Protocol):
    """One TCP connection, ours or theirs."""

    def __init__(self, connections: Connections, number: int, *, is_ours: bool) -> None:
        self._connections = connections
        self._framer = StreamFramer()
        self._number = number
        self.is_ours = is_ours
        """Whether we asked for it."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection is no more. Never raises."""
        self._deadline: asyncio.TimerHandle | None = None
        self._pongs: list[asyncio.Future[bool]] = []
        self._transport: asyncio.Transport
        self.flow: Flow
        """The path it stands for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless its source has no business here."""
        self._transport = cast(asyncio.Transport, transport)
        host, port = transport.get_extra_info("peername")[:2]
        self.flow = Flow("TCP", host, port, self._number)
        self._transport.set_write_buffer_limits(high=MAX_UNREAD_BYTES)
        if not self._connections.admit(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on each message that is complete."""
        listener = self._connections.listener
        try:
            pieces = self._framer.feed(data)
        except MalformedMessage as error:
            # Nobody knows where the next message begins.
            listener.receive_malformed(error, self.flow)
            self._transport.close()
            return
        for piece in pieces:
            if isinstance(piece, KeepAlive):
                self._keep_alive(piece)
            else:
                listener.receive(piece, self.flow)
        self._watch(has_progressed=bool(pieces))

    def _keep_alive(self, ping_or_pong: KeepAlive) -> None:
        self._connections.counters.keep_alives += 1
        if ping_or_pong is KeepAlive.PING:
            self.send(PONG)
            return
        self._ponged(is_alive=True)

    async def ping(self) -> bool:
        """Send an empty line and wait for its answer: whether it came, or the connection went."""
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self.send(PING)
        return await pong

    def _ponged(self, *, is_alive: bool) -> None:
        pongs, self._pongs = self._pongs, []
        for pong in pongs:
            if not pong.done():  # who waited may have left
                pong.set_result(is_alive)

    def _watch(self, *, has_progressed: bool) -> None:
        """Give each unfinished message its own deadline; a byte now and then does not extend it."""
        if self._deadline and (has_progressed or not self._framer.pending_bytes):
            self._deadline.cancel()
            self._deadline = None
        if self._deadline is None and self._framer.pending_bytes:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(MESSAGE_WITHIN_S, self._give_up)

    def pause_writing(self) -> None:
        """The peer does not read what it asked for: no use in keeping more."""
        self._give_up()

    def _give_up(self) -> None:
        self._connections.counters.slow_connections += 1
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who wait for something by this connection."""
        if self._deadline:
            self._deadline.cancel()
        self._ponged(is_alive=False)
        self.gone.set_result(None)
        self._connections.forget(self)

    def send(self, data: bytes) -> None:
        """Write one message."""
        self._transport.write(data)

    def close(self) -> None:
        """Close at once, unsent messages dropped."""
        self._transport.abort()


class Connections:
    """All TCP connections, ours and theirs, and the sockets that new ones come by."""

    def __init__(self, listener: Listener, counters: SipCounters, numbers: Iterator[int]) -> None:
        self.listener = listener
        """Who is told what comes."""
        self.counters = counters
        """What is counted."""
        self.addresses: list[Listen] = []
        """Where we listen, real ports included."""
        self._numbers = numbers
        self._servers: list[asyncio.Server] = []
        self._by_number: dict[int, Connection] = {}
        self._by_peer: dict[tuple[str, int], Connection] = {}
        self._per_source: Counter[str] = Counter()
        self._connecting: dict[tuple[str, int], _Attempt] = {}
        self._is_closed = False
        self._all_gone = asyncio.Event()

    async def listen(self, listen: Listen) -> None:
        """Take connections at this address. Raises OperatorError."""
        sock = bound_socket(listen)
        self.addresses.append(address_of(sock, "TCP"))
        server = await asyncio.get_running_loop().create_server(
            partial(self._new_connection, is_ours=False), sock=sock, backlog=BACKLOG
        )
        self._servers.append(server)

    def _new_connection(self, *, is_ours: bool) -> Connection:
        return Connection(self, next(self._numbers), is_ours=is_ours)

    def admit(self, connection: Connection) -> bool:
        """Whether the connection may stay: its source is allowed, and within its share."""
        flow = connection.flow
        is_welcome = connection.is_ours or (
            self._per_source[flow.host] < MAX_CONNECTIONS_PER_SOURCE
            and self.listener.hears(flow.host)
        )
        if not is_welcome or self._is_closed:
            self.counters.refused_connections += 1
            return False
        self._by_number[flow.connection] = connection
        self._by_peer[flow.host, flow.port] = connection
        self._per_source[flow.host] += 1
        return True

    def forget(self, connection: Connection) -> None:
        """The connection is gone; one that was never admitted leaves no trace."""
        flow = connection.flow
        if self._by_number.pop(flow.connection, None) is None:
            return
        self._by_peer.pop((flow.host, flow.port), None)
        self._per_source -= Counter({flow.host: 1})  # keeps no zeros
        if not self._is_closed:
            self.listener.connection_failed(flow)
        elif not self._by_number:
            self._all_gone.set()

    def send(self, data: bytes, flow: Flow) -> None:
        """Write to the flow's connection, or to one with that peer, or to a new one."""
        peer = (flow.host, flow.port)
        if connection := self._by_number.get(flow.connection) or self._by_peer.get(peer):
            connection.send(data)
            return
        attempt = self._connecting.get(peer)
        if attempt is None:
            attempt = self._connecting[peer] = _Attempt()
            attempt.task = asyncio.get_running_loop().create_task(self._connect(peer, attempt))
        if len(attempt.waiting) < MAX_WAITING:
            attempt.waiting.append(data)
        else:
            self.counters.unsent += 1

    def find(self, flow: Flow) -> Connection | None:
        """The connection that a flow names by its number."""
        return self._by_number.get(flow.connection)

    async def _connect(self, peer: tuple[str, int], attempt: _Attempt) -> None:
        loop = asyncio.get_running_loop()
        factory = partial(self._new_connection, is_ours=True)
        connection: Connection | None = None
        try:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    # A literal address: asyncio asks no resolver.
                    _, connection = await loop.create_connection(factory, *peer)
        finally:
            del self._connecting[peer]
        if connection is None:
            self.counters.unsent += len(attempt.waiting)
            self.listener.connection_failed(Flow("TCP", *peer))
            return
        for data in attempt.waiting:
            connection.send(data)

    async def close(self) -> None:
        """Close everything, now; returns when nothing is left."""
        self._is_closed = True
        for server in self._servers:
            server.close()
        attempts = [attempt.task for attempt in self._connecting.values() if attempt.task]
        for task in attempts:
            task.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        for connection in self._by_number.values():
            connection.close()
        if self._by_number:
            await self._all_gone.wait()


@dataclass(slots=True)
class _Attempt:
    """A connection that does not stand yet."""

    task: asyncio.Task[None] | None = None
    """Who connects; kept so that it can be cancelled."""
    waiting: list[bytes] = field(default_factory=list)
    """What will be sent first."""
