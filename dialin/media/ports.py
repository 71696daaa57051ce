# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of UDP ports for RTP and RTCP: bound from a range, rested after use.

A pair that a call has used stays bound, deaf, until its quarantine is over, so that no later call
hears what the far end of an earlier one still sends. Then it is given up, and whoever gets the
number next gets fresh sockets. Whom the sockets talk to is left to `leg`.
"""

from __future__ import annotations

import errno
import random
import socket
from collections import deque
from dataclasses import dataclass

from dialin.media.messages import CannotDo, Cause

DSCP_EF = 0xB8
"""Expedited forwarding (RFC 3246), as the old TOS octet has it: what networks give voice."""
DEAF_BUFFER_BYTES = 1
"""The kernel makes its minimum of it, room for a packet or two: late media must not pile up."""

_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class PortPair:
    """Two bound, non-blocking sockets; RTCP is one port above RTP (RFC 3550 §11)."""

    host: str
    """The local address."""
    port: int
    """The RTP port, even."""
    rtp: socket.socket
    rtcp: socket.socket

    def deafen(self) -> None:
        """Keep the ports, and as little as possible of what arrives at them."""
        for each in (self.rtp, self.rtcp):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DEAF_BUFFER_BYTES)

    def close(self) -> None:
        """Give the ports up."""
        self.rtp.close()
        self.rtcp.close()


class PortPool:
    """The pairs of one range, on as many local addresses as are asked for."""

    def __init__(self, first: int, last: int, quarantine_s: float) -> None:
        self._ports = range(first + first % 2, last, 2)
        self._quarantine_s = quarantine_s
        self._free: dict[str, deque[int]] = {}
        self._resting: deque[tuple[float, PortPair]] = deque()

    def lease(self, host: str) -> PortPair:
        """A bound pair, the one that has been out of use the longest.

        Raises CannotDo: `no-ports`, or `address-not-local`.
        """
        free = self._free_on(host)
        for _ in range(len(free)):
            pair = _bind(host, free[0])
            if pair:
                free.popleft()
                return pair
            free.rotate(-1)  # somebody else's for now
        raise CannotDo(Cause.NO_PORTS)

    def give_back(self, pair: PortPair, now: float) -> None:
        """Let a pair rest that was leased."""
        pair.deafen()
        self._resting.append((now + self._quarantine_s, pair))

    def set_aside(self, host: str, port: int, now: float) -> None:
        """Let a pair rest that somebody before us has used; somebody else's is left alone."""
        free = self._free_on(host)
        if port in free and (pair := _bind(host, port)):
            free.remove(port)
            self.give_back(pair, now)

    def release(self, now: float) -> None:
        """Give up the pairs that have rested long enough."""
        while self._resting and self._resting[0][0] <= now:
            _, pair = self._resting.popleft()
            pair.close()
            self._free[pair.host].append(pair.port)

    def close(self) -> None:
        """Give up all pairs that rest; those on lease are closed by who holds them."""
        while self._resting:
            self._resting.popleft()[1].close()

    def _free_on(self, host: str) -> deque[int]:
        if host not in self._free:
            ports = list(self._ports)
            random.SystemRandom().shuffle(ports)  # nobody can aim at the next call's port
            self._free[host] = deque(ports)
        return self._free[host]


def _bind(host: str, port: int) -> PortPair | None:
    """Both sockets of a pair, or None when another program has one of the ports."""
    opened: list[socket.socket] = []
    try:
        opened.append(_socket(host, port))
        opened.append(_socket(host, port + 1))
    except OSError as failure:
        for each in opened:
            each.close()
        if failure.errno == errno.EADDRINUSE:
            return None
        if failure.errno in _OUT_OF_DESCRIPTORS:
            raise CannotDo(Cause.NO_PORTS) from None
        raise CannotDo(Cause.ADDRESS_NOT_LOCAL) from None
    return PortPair(host, port, *opened)


def _socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp.setblocking(False)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, DSCP_EF)
        else:
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_EF)
        udp.bind((host, port))
    except OSError:
        udp.close()
        raise
    return udp
