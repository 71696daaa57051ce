# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP over TCP and TLS: which connections there are, and one framer for each.

A connection is used for as long as it lives, in both directions: responses and the requests of a
dialog go back by the connection that the dialog came by. Over TLS nothing is written before the
handshake is done and the far end has proved its name. Cutting the stream into messages is done by
`dialin.wire.framing`; whom TLS believes is decided in `tls`, who may knock there in `door`, how
connections are made in `dialler`; what the messages mean is left to `endpoint`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, cast

from dialin.errors import OperatorError
from dialin.sip.addresses import BACKLOG, Listen, address_of, bound_socket
from dialin.sip.counters import SipCounters
from dialin.sip.dialler import Dialler, NotConnected
from dialin.sip.door import Door
from dialin.sip.faults import Faults, fault_of
from dialin.sip.tls import OwnCertificates, TrustBook, server_context
from dialin.wire.flow import Flow
from dialin.wire.framing import KeepAlive, StreamFramer
from dialin.wire.message import MalformedMessage

MESSAGE_WITHIN_S = 10.0
"""How long a message may take from its first octet to its last."""
MAX_CONNECTIONS_PER_SOURCE = 16
"""Connections that one address may hold open to us."""
MAX_CONNECTIONS = 512
"""Connections in all: a process usually has 1024 file descriptors, and calls want some."""
MAX_UNREAD_BYTES = 256 * 1024
"""What may wait for a peer that does not read."""
MAX_WAITING = 64
"""Messages that may wait for a connection to stand."""
MILLISECONDS = 1000
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER of no time at all (socket(7))."""
UNHEARD_WITHIN_S = 20
"""How long the kernel repeats what nobody acknowledges before the connection is dead."""
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


Peer = tuple[str, str, int]
"""Transport, address and port of a far end."""


def _peer(flow: Flow) -> Peer:
    return flow.transport, flow.host, flow.port


def _notice_silence(sock: socket.socket) -> None:
    """Let the kernel find out that a far end is gone without a word (RFC 5482)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_WITHIN_S * MILLISECONDS)


class Connection(asyncio.Protocol):
    """One TCP or TLS connection, ours or theirs."""

    def __init__(
        self, connections: Connections, number: int, transport: str, *, is_ours: bool
    ) -> None:
        self._connections = connections
        self._transport_name = transport
        self._framer = StreamFramer()
        self._number = number
        self.is_ours = is_ours
        """Whether we asked for it."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection is no more. Never raises."""
        self._deadline: asyncio.TimerHandle | None = None
        self._has_heard = False
        self._pongs: list[asyncio.Future[bool]] = []
        self._transport: asyncio.Transport
        self.flow: Flow
        """The path it stands for."""
        self.own_end: tuple[str, int]
        """Our address and port."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless its source has no business here."""
        self._transport = cast(asyncio.Transport, transport)
        host, port = transport.get_extra_info("peername")[:2]
        self.own_end = transport.get_extra_info("sockname")[:2]
        self.flow = Flow(self._transport_name, host, port, self._number)
        _notice_silence(transport.get_extra_info("socket"))
        self._transport.set_write_buffer_limits(high=MAX_UNREAD_BYTES)
        if not self._connections.admit(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on each message that is complete."""
        self._has_heard = True
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
        if self.is_ours and exc and not self._has_heard:
            # TLS 1.3 lets a client write before the server has judged its certificate.
            self._connections.faults.record(self.flow, fault_of(exc))
        self._connections.forget(self)

    def send(self, data: bytes) -> None:
        """Write one message."""
        self._transport.write(data)

    def close(self) -> None:
        """Close at once, unsent messages dropped."""
        self._transport.abort()

    def break_off(self) -> None:
        """Close by a reset, or the kernel would keep our port from the next connection a while."""
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self._transport.abort()


class Connections:
    """All stream connections, ours and theirs, and the sockets that new ones come by."""

    def __init__(self, listener: Listener, counters: SipCounters, numbers: Iterator[int]) -> None:
        self.listener = listener
        """Who is told what comes."""
        self.counters = counters
        """What is counted."""
        self.addresses: list[Listen] = []
        """Where we listen, real ports included."""
        self.certificates = OwnCertificates()
        """What we prove ourselves with by TLS."""
        self.trusted = TrustBook(self.certificates)
        """What those whom we connect to by TLS have to prove."""
        self.dialler = Dialler(self.trusted)
        """Who makes connections to them."""
        self.faults = Faults()
        """Why the last attempts failed."""
        self._numbers = numbers
        self._servers: list[asyncio.Server] = []
        self._doors: list[Door] = []
        self._by_number: dict[int, Connection] = {}
        self._by_peer: dict[Peer, Connection] = {}
        self._per_source: Counter[str] = Counter()
        self._connecting: dict[Peer, _Attempt] = {}
        self._is_closed = False
        self._all_gone = asyncio.Event()

    async def listen(self, listen: Listen) -> None:
        """Take connections at this address. Raises OperatorError."""
        if listen.transport == "TLS":
            self._open_door(listen)
            return
        sock = bound_socket(listen)
        self.addresses.append(address_of(sock, "TCP"))
        server = await asyncio.get_running_loop().create_server(
            partial(self._new_connection, "TCP", is_ours=False), sock=sock, backlog=BACKLOG
        )
        self._servers.append(server)

    def _open_door(self, listen: Listen) -> None:
        if listen.certificate is None:
            raise OperatorError(
                f"{listen} has no certificate.", "Name one, and its key, with the address."
            )
        context = server_context(listen.certificate)
        self.certificates.follow(listen.certificate, context)
        door = Door(listen, context, self)
        self._doors.append(door)
        self.addresses.append(door.address)

    def _new_connection(self, transport: str, *, is_ours: bool) -> Connection:
        return Connection(self, next(self._numbers), transport, is_ours=is_ours)

    # Who knocks at a door

    def has_room(self, host: str, on_the_way: int) -> bool:
        """Whether one more from this address may come in, besides those on the way."""
        has_room = self._is_welcome(host, on_the_way)
        if not has_room:
            self.counters.refused_connections += 1
        return has_room

    def new_guest(self) -> Connection:
        """A connection that came through a door."""
        return self._new_connection("TLS", is_ours=False)

    def turned_away(self, flow: Flow, error: OSError) -> None:
        """Somebody's handshake with us failed."""
        self.counters.failed_handshakes += 1
        self.faults.record(replace(flow, port=0), fault_of(error))

    def _is_welcome(self, host: str, on_the_way: int = 0) -> bool:
        has_share = self._per_source[host] + on_the_way < MAX_CONNECTIONS_PER_SOURCE
        has_share = has_share and len(self._by_number) < MAX_CONNECTIONS
        return has_share and self.listener.hears(host) and not self._is_closed

    def admit(self, connection: Connection) -> bool:
        """Whether the connection may stay: its source is allowed, and within its share."""
        flow = connection.flow
        if self._is_closed or not (connection.is_ours or self._is_welcome(flow.host)):
            self.counters.refused_connections += 1
            return False
        self._by_number[flow.connection] = connection
        if connection.is_ours or flow.transport == "TCP":
            # Who came to us by TLS has proved nothing, whatever port that came from: it gets
            # answers, and requests of its own dialogs.
            self._by_peer[_peer(flow)] = connection
        self._per_source[flow.host] += 1
        self.faults.clear(flow if connection.is_ours else replace(flow, port=0))
        return True

    def forget(self, connection: Connection) -> None:
        """The connection is gone; one that was never admitted leaves no trace."""
        flow = connection.flow
        if self._by_number.pop(flow.connection, None) is None:
            return
        if self._by_peer.get(_peer(flow)) is connection:
            del self._by_peer[_peer(flow)]
        self._per_source -= Counter({flow.host: 1})  # keeps no zeros
        if not self._is_closed:
            self.listener.connection_failed(flow)
        elif not self._by_number:
            self._all_gone.set()

    def send(self, data: bytes, flow: Flow) -> None:
        """Write to the flow's connection, or to one with that peer, or to a new one."""
        peer = _peer(flow)
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

    # Connections of ours

    def own_end(self, flow: Flow, host: str) -> tuple[str, int]:
        """Where our TLS connection to this peer begins or will begin, `host` being our address.

        It stays the same over reconnections. Raises OperatorError when there is no port left.
        """
        connection = self.find(flow)
        return connection.own_end if connection else self.dialler.own_end(flow, host)

    async def _connect(self, peer: Peer, attempt: _Attempt) -> None:
        flow = Flow(*peer)
        guest = partial(self._new_connection, flow.transport, is_ours=True)
        try:
            connection = await self.dialler.connect(guest, flow)
        except NotConnected as failure:
            self.faults.record(flow, failure.fault)
            self.counters.unsent += len(attempt.waiting)
            self.listener.connection_failed(flow)
            return
        finally:
            del self._connecting[peer]
        for data in attempt.waiting:
            connection.send(data)

    async def close(self) -> None:
        """Close everything, now; returns when nothing is left."""
        self._is_closed = True
        for server in self._servers:
            server.close()
        for door in self._doors:
            await door.close()
        attempts = [attempt.task for attempt in self._connecting.values() if attempt.task]
        for task in attempts:
            task.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        self.dialler.close()
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
