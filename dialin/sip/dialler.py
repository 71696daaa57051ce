# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections from us: from which port they begin, and what the far end proves before they stand.

Without an address of ours to listen on, a far end reaches us by our own connection only, and knows
us by its port. So that port is known before the connection is, and is the same after it broke.
What is written to a connection, and when another is made, is left to `tcp`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import TypeVar

from dialin.errors import DialinError, OperatorError
from dialin.sip.addresses import Listen, bound_socket, family_of
from dialin.sip.faults import NOT_CONFIGURED, Fault, fault_of
from dialin.sip.tls import HANDSHAKE_WITHIN_S, SHUTDOWN_WITHIN_S, TrustBook
from dialin.wire.flow import Flow

CONNECT_WITHIN_S = 8.0
"""How long a connection may take to stand, its handshake included."""

Guest = TypeVar("Guest", bound=asyncio.Protocol)
Place = tuple[str, int]
"""Address and port."""


class NotConnected(DialinError):
    """A connection does not come to stand."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.cause)
        self.fault = fault
        """Why."""


class Dialler:
    """Makes connections to literal addresses: no resolver is asked."""

    def __init__(self, trusted: TrustBook) -> None:
        self._trusted = trusted
        self._own_ends: dict[Place, Place] = {}
        """Where our TLS connections to a peer begin, if we do not listen for it."""
        self._kept: dict[Place, socket.socket] = {}
        """Sockets at these ends for connections to come."""

    def own_end(self, flow: Flow, host: str) -> Place:
        """Where our TLS connection to this peer will begin, `host` being our address there.

        Raises OperatorError when there is no port left.
        """
        peer = (flow.host, flow.port)
        if peer not in self._own_ends:
            self._kept[peer] = bound_socket(Listen("TLS", host, 0))
            self._own_ends[peer] = self._kept[peer].getsockname()[:2]
        return self._own_ends[peer]

    async def connect(self, guest: Callable[[], Guest], flow: Flow) -> Guest:
        """A connection that stands, its far end proved where it is TLS. Raises NotConnected."""
        trusted = self._trusted.find(flow.host, flow.port)
        name = trusted.server_name if trusted else ""
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                if flow.transport == "TLS":
                    return await self._encrypted(guest, flow)
                loop = asyncio.get_running_loop()
                _, plain = await loop.create_connection(guest, flow.host, flow.port)
                return plain
        except OSError as error:  # TimeoutError and ssl.SSLError are such
            raise NotConnected(fault_of(error, server_name=name)) from error

    async def _encrypted(self, guest: Callable[[], Guest], flow: Flow) -> Guest:
        trusted = self._trusted.find(flow.host, flow.port)
        if trusted is None:
            raise NotConnected(NOT_CONFIGURED)
        _, encrypted = await asyncio.get_running_loop().create_connection(
            guest,
            sock=await self._reached(flow),
            ssl=trusted.context,
            server_hostname=trusted.server_name,
            ssl_handshake_timeout=HANDSHAKE_WITHIN_S,
            ssl_shutdown_timeout=SHUTDOWN_WITHIN_S,
        )
        return encrypted

    async def _reached(self, flow: Flow) -> socket.socket:
        """A socket that is connected, from the end that the peer knows if there is one."""
        peer = (flow.host, flow.port)
        sock = self._kept.pop(peer, None) or self._socket_at_own_end(peer)
        try:
            return await _connected(sock, peer)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL or peer not in self._own_ends:
                raise
        # The last connection from this port is not forgotten yet (RFC 9293 §3.6.1).
        del self._own_ends[peer]
        return await _connected(_any_socket(peer), peer)

    def _socket_at_own_end(self, peer: Place) -> socket.socket:
        if peer not in self._own_ends:
            return _any_socket(peer)
        try:
            return bound_socket(Listen("TLS", *self._own_ends[peer]))
        except OperatorError:  # somebody else has it by now
            del self._own_ends[peer]
            return _any_socket(peer)

    def close(self) -> None:
        """Give up the ports that were kept."""
        for sock in self._kept.values():
            sock.close()


def _any_socket(peer: Place) -> socket.socket:
    sock = socket.socket(family_of(peer[0]), socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


async def _connected(sock: socket.socket, peer: Place) -> socket.socket:
    """The socket, connected; closed if that fails."""
    try:
        await asyncio.get_running_loop().sock_connect(sock, peer)
    except BaseException:
        sock.close()
        raise
    return sock
