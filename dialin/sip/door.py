# SPDX-License-Identifier: GPL-3.0-or-later
"""The listening socket of TLS: who knocks is looked at before a handshake costs us anything.

asyncio's own server would shake hands with everybody first. Strangers, and more connections than a
source may have, are closed here without a word. What is said once the handshake is done is left to
`tcp`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from typing import Protocol

from dialin.sip.addresses import BACKLOG, Listen, address_of, bound_socket
from dialin.sip.tls import HANDSHAKE_WITHIN_S, SHUTDOWN_WITHIN_S
from dialin.wire.flow import Flow

BATCH = 32
"""Connections taken before the loop may do something else."""
REST_S = 1.0
"""How long nobody is let in when the machine has nothing left for another connection."""


class House(Protocol):
    """What is behind the door."""

    def has_room(self, host: str, on_the_way: int) -> bool:
        """Whether one more from this address may come in, besides those on the way."""

    def new_guest(self) -> asyncio.Protocol:
        """Who takes a connection whose handshake is done."""

    def turned_away(self, flow: Flow, error: OSError) -> None:
        """A handshake failed."""


class Door:
    """One TLS address that we listen on."""

    def __init__(self, listen: Listen, context: ssl.SSLContext, house: House) -> None:
        """Raises OperatorError."""
        self._socket = bound_socket(listen)
        self._socket.listen(BACKLOG)
        self.address = address_of(self._socket, "TLS")
        """Where it listens, the real port included."""
        self._context = context
        self._house = house
        self._handshakes: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._open()

    def _open(self) -> None:
        self._loop.add_reader(self._socket, self._knocked)

    def _knocked(self) -> None:
        for _ in range(BATCH):
            try:
                sock, source = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no file descriptor left: they may wait outside
                self._loop.remove_reader(self._socket)
                self._rest = self._loop.call_later(REST_S, self._open)
                return
            self._look_at(sock, Flow("TLS", *source[:2]))

    def _look_at(self, sock: socket.socket, flow: Flow) -> None:
        if not self._house.has_room(flow.host, self._handshakes[flow.host]):
            sock.close()
            return
        sock.setblocking(False)
        self._handshakes[flow.host] += 1
        task = self._loop.create_task(self._shake_hands(sock, flow))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _shake_hands(self, sock: socket.socket, flow: Flow) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._house.new_guest,
                sock,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_WITHIN_S,
                ssl_shutdown_timeout=SHUTDOWN_WITHIN_S,
            )
        except OSError as error:
            self._house.turned_away(flow, error)
        finally:
            self._handshakes -= Counter({flow.host: 1})  # keeps no zeros

    async def close(self) -> None:
        """Let nobody in any more; handshakes under way are given up."""
        if self._rest:
            self._rest.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
