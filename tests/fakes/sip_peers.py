# SPDX-License-Identifier: GPL-3.0-or-later
"""The far end of a SIP socket: sends octets as told, keeps what comes.

It knows nothing of SIP; tests write the messages themselves.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from ssl import SSLContext
from types import TracebackType

from dialin.wire.framing import StreamFramer
from dialin.wire.message import Request, Response, parse

PATIENCE_S = 10.0
"""How long a test waits for what must come."""
QUIET_S = 0.05
"""How long nothing must come for a test to say that nothing comes."""


class UdpPeer:
    """A UDP socket on loopback."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, port))
        self.host, self.port = self._socket.getsockname()[:2]

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        """Send one datagram."""
        self._socket.sendto(data, to)

    async def octets(self) -> bytes:
        """The next datagram."""
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.get_running_loop().sock_recv(self._socket, 65535)

    async def request(self) -> Request:
        """The next message, which must be a request."""
        message = parse(await self.octets())
        assert isinstance(message, Request), message
        return message

    async def response(self) -> Response:
        """The next message, which must be a response."""
        message = parse(await self.octets())
        assert isinstance(message, Response), message
        return message

    async def is_quiet(self) -> bool:
        """Whether nothing comes for a moment."""
        try:
            async with asyncio.timeout(QUIET_S):
                await asyncio.get_running_loop().sock_recv(self._socket, 65535)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> UdpPeer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class TcpPeer:
    """One TCP connection, opened or accepted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._framer = StreamFramer()
        self._pieces: list[object] = []
        self.host, self.port = writer.get_extra_info("sockname")[:2]
        self.far_port: int = writer.get_extra_info("peername")[1]
        """The other end's port."""

    @classmethod
    async def connect(cls, host: str, port: int) -> TcpPeer:
        """Open a connection."""
        return cls(*await asyncio.open_connection(host, port))

    def send(self, data: bytes) -> None:
        """Write octets."""
        self._writer.write(data)

    @property
    def certificate_ends(self) -> str:
        """When the certificate ends that the other end has proved itself with."""
        return str(self._writer.get_extra_info("peercert")["notAfter"])

    async def raw(self) -> bytes:
        """Whatever comes next; empty at the end of the stream, however it ends."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._reader.read(65535)
        except ConnectionError:
            return b""

    async def piece(self) -> object:
        """The next message or keep-alive."""
        while not self._pieces:
            data = await self.raw()
            assert data, "the connection was closed"
            self._pieces += self._framer.feed(data)
        return self._pieces.pop(0)

    async def request(self) -> Request:
        """The next message, which must be a request."""
        piece = await self.piece()
        assert isinstance(piece, bytes)
        message = parse(piece)
        assert isinstance(message, Request), message
        return message

    async def response(self) -> Response:
        """The next message, which must be a response."""
        piece = await self.piece()
        assert isinstance(piece, bytes)
        message = parse(piece)
        assert isinstance(message, Response), message
        return message

    async def is_closed(self) -> bool:
        """Whether the stream ends without another octet."""
        return await self.raw() == b""

    def reset(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


class TcpServer:
    """A listening socket that keeps each connection it is given."""

    def __init__(self) -> None:
        self._accepted: asyncio.Queue[TcpPeer] = asyncio.Queue()
        self._peers: list[TcpPeer] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> TcpServer:
        await self.listen()
        return self

    async def listen(self, *, ssl: SSLContext | None = None) -> None:
        """Take connections, as TLS where there is a context."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0, ssl=ssl)
        self.port = self._server.sockets[0].getsockname()[1]

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = TcpPeer(reader, writer)
        self._peers.append(peer)
        self._accepted.put_nowait(peer)

    @property
    def count(self) -> int:
        """How many connections there have been."""
        return len(self._peers)

    async def accepted(self) -> TcpPeer:
        """The next connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._accepted.get()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server:
            self._server.close()
        for peer in self._peers:
            await peer.close()
