# SPDX-License-Identifier: GPL-3.0-or-later
"""Where we listen, and which of our addresses a far end reaches us by.

Literal addresses only: no name is ever looked up here, so nothing that a peer writes into a
message can cause a DNS query.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from dialin.errors import OperatorError
from dialin.sip.tls import Certificate
from dialin.wire.agent_events import LocalAddress
from dialin.wire.flow import Flow
from dialin.wire.uri import bracketed

RECEIVE_BUFFER_BYTES = 4 * 2**20
"""Room for a burst while the loop is busy elsewhere; the kernel caps it at `net.core.rmem_max`."""
ANY_PORT = 9
"""A port for asking the routing table; nothing is sent to it."""
BACKLOG = 128
"""Connections that may wait to be accepted."""


@dataclass(frozen=True, slots=True)
class Listen:
    """One address that we take signalling on."""

    transport: str
    """`UDP`, `TCP` or `TLS`."""
    host: str
    """A literal IP address; `0.0.0.0` and `::` stand for all of ours."""
    port: int
    """The port; 0 lets the kernel choose."""
    certificate: Certificate | None = field(default=None, compare=False)
    """What we prove ourselves with; for TLS."""

    def __str__(self) -> str:
        return f"{self.transport} {bracketed(self.host)}:{self.port}"


def is_literal(host: str) -> bool:
    """Whether this is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def family_of(host: str) -> socket.AddressFamily:
    """The address family of a literal address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def is_unspecified(host: str) -> bool:
    """Whether the address stands for all of ours."""
    return ipaddress.ip_address(host).is_unspecified


def bound_socket(listen: Listen) -> socket.socket:
    """A non-blocking socket bound to the address. Raises OperatorError."""
    kind = socket.SOCK_DGRAM if listen.transport == "UDP" else socket.SOCK_STREAM
    sock = socket.socket(family_of(listen.host), kind)
    try:
        sock.setblocking(False)
        if sock.family == socket.AF_INET6:
            # IPv4 has sockets of its own, so that every source has one spelling only.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.bind((listen.host, listen.port))
    except OSError as error:
        sock.close()
        raise OperatorError(
            f"cannot listen on {listen}: {error.strerror}.",
            "Choose another address or port, or stop what uses it.",
        ) from error
    return sock


def address_of(sock: socket.socket, transport: str) -> Listen:
    """Where a bound socket listens, its real port included."""
    host, port = sock.getsockname()[:2]
    return Listen(transport, host, port)


class Routes:
    """Which of our addresses faces which far end."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def own_host(self, host: str) -> str:
        """Our address on the way to a far end. Raises OperatorError when there is no route."""
        return self._towards(host)

    def choose(self, listening: Iterable[Listen], flow: Flow) -> Listen:
        """The listening address that a flow is served from: the one on the route, or all of ours,
        or the first. Raises OperatorError when none has the transport and family."""
        family = family_of(flow.host)
        fitting = [
            address
            for address in listening
            if address.transport == flow.transport and family_of(address.host) == family
        ]
        if not fitting:
            raise OperatorError(
                f"nothing listens for {flow.transport} from addresses like {flow.host}.",
                "Add an address with this transport and family to sip.listen.",
            )
        host = self._towards(flow.host) if len(fitting) > 1 else ""
        rank = {True: 0, False: 1}
        return min(
            fitting,
            key=lambda address: (rank[address.host == host], rank[is_unspecified(address.host)]),
        )

    def reached_at(self, address: Listen, flow: Flow) -> LocalAddress:
        """What Via and Contact say to a far end. Raises OperatorError when there is no route."""
        host = self._towards(flow.host) if is_unspecified(address.host) else address.host
        return LocalAddress(flow.transport, host, address.port)

    def _towards(self, host: str) -> str:
        """By the kernel's routing table; nothing is sent."""
        if host not in self._known:
            with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
                try:
                    probe.connect((host, ANY_PORT))
                except OSError as error:
                    raise OperatorError(
                        f"there is no route to {host}: {error.strerror}.",
                        "Check the network, and the address in the settings.",
                    ) from error
                self._known[host] = probe.getsockname()[0]
        return self._known[host]
