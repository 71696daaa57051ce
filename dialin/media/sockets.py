# SPDX-License-Identifier: GPL-3.0-or-later
"""What the standard library's sockets lack for media: an end of `connect`, and emptying.

Whom a socket talks to is left to `leg`, ports to `ports`.
"""

from __future__ import annotations

import ctypes
import os
import socket

PACKET_BYTES = 2048
"""More than any Ethernet frame carries; what fills it was longer and is not RTP of a phone call."""
MAX_STALE_PACKETS = 4096
"""More than a receive buffer holds."""

_AF_UNSPEC = bytes(16)
_libc = ctypes.CDLL(None, use_errno=True)


class Scratch:
    """One buffer for whatever packet is handled, and a view of each length made in advance."""

    __slots__ = ("packet", "views")

    def __init__(self) -> None:
        self.packet = bytearray(PACKET_BYTES)
        whole = memoryview(self.packet)
        self.views = [whole[:length] for length in range(PACKET_BYTES + 1)]


def disconnect(udp: socket.socket) -> None:
    """Let a connected socket hear everybody again; its port stays (connect(2), AF_UNSPEC)."""
    if _libc.connect(udp.fileno(), _AF_UNSPEC, len(_AF_UNSPEC)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def connect(udp: socket.socket, host: str, port: int) -> None:
    """Hear one address only, and forget what others have sent before.

    The kernel filters what comes from now on; what had come already is thrown away unread.
    """
    udp.connect((host, port))
    for _ in range(MAX_STALE_PACKETS):
        try:
            udp.recv(1)
        except BlockingIOError:
            return
        except OSError:
            continue  # an ICMP error that was waiting, see udp(7)
