# SPDX-License-Identifier: GPL-3.0-or-later
"""The far end of a TLS connection on Python's own `ssl`: a client, and a server of any badness."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from contextlib import suppress
from pathlib import Path
from threading import Thread

from dialin.sip.tls import Certificate
from tests.fakes.authority import NAME
from tests.fakes.sip_peers import PATIENCE_S, TcpPeer, TcpServer


def client(authority: Path | None, certificate: Certificate | None = None) -> ssl.SSLContext:
    """A context of a client that trusts this authority; of one that trusts everybody, if None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(authority)
    if certificate:
        context.load_cert_chain(certificate.file, certificate.key_file)
    return context


def server(certificate: Certificate, *, asks: Path | None = None) -> ssl.SSLContext:
    """A context of a server without scruples: it shows whatever it is given.

    `asks` is the authority whose certificate clients have to show.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(certificate.file, certificate.key_file)
    if asks:
        context.load_verify_locations(asks)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def old_server(certificate: Certificate) -> ssl.SSLContext:
    """The same, from the time before TLS 1.2."""
    context = server(certificate)
    make_old(context)
    return context


def make_old(context: ssl.SSLContext) -> None:
    """Let a context speak nothing newer than TLS 1.1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1


async def connect(address: tuple[str, int], context: ssl.SSLContext, name: str = NAME) -> TcpPeer:
    """A TLS connection to an endpoint."""
    return TcpPeer(*await asyncio.open_connection(*address, ssl=context, server_hostname=name))


class TlsServer(TcpServer):
    """A listening socket that keeps each connection whose handshake is done."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    async def __aenter__(self) -> TlsServer:
        await self.listen(ssl=self._context)
        return self


class BlockingServer:
    """A server in a thread: unlike asyncio's it tells a client why a handshake fails.

    What clients say after the handshake is in `heard`.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = Thread(target=self._serve, name="blocking-server")
        self.port: int = self._socket.getsockname()[1]
        self.heard = bytearray()

    def __enter__(self) -> BlockingServer:
        self._thread.start()
        return self

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._socket.accept()
                plain.settimeout(PATIENCE_S)
                with plain, suppress(OSError):
                    self._hear(plain)

    def _hear(self, plain: socket.socket) -> None:
        with self._context.wrap_socket(plain, server_side=True) as encrypted:
            while data := encrypted.recv(65535):
                self.heard += data

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)
        self._socket.close()


class Eavesdropper:
    """Stands before a server and keeps every octet that a client sends, as it is on the wire."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.heard = bytearray()
        """Whatever clients sent."""
        self.far_ports: list[int] = []
        """Where they came from."""
        self.port = 0

    async def __aenter__(self) -> Eavesdropper:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, behind_writer]
        self.far_ports.append(writer.get_extra_info("peername")[1])
        for source, sink, ear in (
            (reader, behind_writer, self.heard),
            (behind_reader, writer, bytearray()),
        ):
            self._tasks.add(asyncio.create_task(self._pass_on(source, sink, ear)))

    @staticmethod
    async def _pass_on(
        source: asyncio.StreamReader, sink: asyncio.StreamWriter, ear: bytearray
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65535):
                ear += data
                sink.write(data)
        sink.close()

    def cut(self) -> None:
        """Reset what is connected now."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks)
