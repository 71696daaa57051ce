# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP over UDP: one bound socket, read in bounded batches.

A reader callback with a `recvfrom` loop instead of asyncio's datagram transport, which costs four
times as much a packet and loses packets in a flood. A datagram from a source that is not allowed
is dropped here, before anybody looks at it. What the datagrams hold is left to `endpoint`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from dialin.sip.addresses import Listen, address_of, bound_socket, family_of
from dialin.sip.counters import SipCounters
from dialin.wire.flow import Flow

BATCH = 64
"""Datagrams read before the loop may do something else."""
MAX_DATAGRAM_BYTES = 65535


class UdpSocket:
    """One UDP address that we listen on and send from."""

    def __init__(
        self,
        listen: Listen,
        number: int,
        *,
        hears: Callable[[str], bool],
        receive: Callable[[bytes, Flow], None],
        counters: SipCounters,
    ) -> None:
        self._socket: socket.socket = bound_socket(listen)
        self.address = address_of(self._socket, "UDP")
        """Where it listens, the real port included."""
        self.family = family_of(self.address.host)
        """IPv4 or IPv6."""
        self._number = number
        self._hears = hears
        self._receive = receive
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        for _ in range(BATCH):
            try:
                data, source = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            except OSError:
                return  # nothing left; or an ICMP error about something that we sent
            if not self._hears(source[0]):
                self._counters.dropped_source += 1
                continue
            # The socket's number makes replies leave by the socket that the question came to.
            self._receive(data, Flow("UDP", source[0], source[1], self._number))

    def send(self, data: bytes, flow: Flow) -> None:
        """Send one datagram. What cannot be sent now is lost, as UDP may lose anything."""
        try:
            self._socket.sendto(data, (flow.host, flow.port))
        except OSError:
            self._counters.unsent += 1

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
