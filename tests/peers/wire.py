# SPDX-License-Identifier: GPL-3.0-or-later
"""One SIP phone's way to the service: a UDP socket, or a TCP or TLS connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dialin.wire.framing import StreamFramer
from tests.fakes import tls_peers
from tests.fakes.authority import NAME
from tests.peers.cell import Cell


class Datagrams(asyncio.DatagramProtocol):
    """Each datagram is a message."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Something has come."""
        self._take(data)


class Stream(asyncio.Protocol):
    """Messages stand one behind the other."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._framer = StreamFramer()

    def data_received(self, data: bytes) -> None:
        """Something has come, whole messages or not."""
        for piece in self._framer.feed(data):
            if isinstance(piece, bytes):
                self._take(piece)


class Wire:
    """Sends messages to the service and takes its own."""

    def __init__(self, transport: asyncio.BaseTransport, send: Callable[[bytes], object]) -> None:
        self._transport = transport
        self.send = send
        """Sends one message."""
        self.port: int = transport.get_extra_info("sockname")[1]

    @classmethod
    async def to(
        cls, service: tuple[str, int], host: str, cell: Cell, take: Callable[[bytes], None]
    ) -> Wire:
        """A way from this address to the service, as the cell wants it."""
        loop, own = asyncio.get_running_loop(), (host, 0)
        if not cell.is_stream:
            datagrams, _ = await loop.create_datagram_endpoint(
                lambda: Datagrams(take), local_addr=own, remote_addr=service
            )
            return cls(datagrams, datagrams.sendto)
        tls = cell.transport == "tls" and cell.authority
        connection, _ = await loop.create_connection(
            lambda: Stream(take),
            *service,
            local_addr=own,
            ssl=tls_peers.client(tls.file) if tls else None,
            server_hostname=NAME if tls else None,
        )
        return cls(connection, connection.write)

    @property
    def is_open(self) -> bool:
        """Whether it was not closed yet."""
        return not self._transport.is_closing()

    def close(self) -> None:
        """Neither send nor take any more."""
        self._transport.close()
