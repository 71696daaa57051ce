# SPDX-License-Identifier: GPL-3.0-or-later
"""The path that a SIP message came by or goes by: a transport, the far address, a connection.

A value only. Sockets and connections belong to the shell; which flow a response takes is decided
in `dialin.wire.return_path`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dialin.wire.uri import bracketed

DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061}
"""The port where a Via or a URI names none (RFC 3261 §18.2.2, §19.1.2)."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One path to one far end."""

    transport: str
    """`UDP`, `TCP` or `TLS`."""
    host: str
    """The far IP address as text, IPv6 without brackets."""
    port: int
    """The far port."""
    connection: int = 0
    """The shell's number of the stream connection; 0 stands for none, or for any."""

    @property
    def is_reliable(self) -> bool:
        """Whether the transport repeats what is lost, so that no transaction has to."""
        return self.transport != "UDP"

    def includes(self, other: Flow) -> bool:
        """Whether `other` is this path; a connection of 0, on either side, is any connection."""
        return (self.transport, self.host, self.port) == (
            other.transport,
            other.host,
            other.port,
        ) and (self.connection == other.connection or 0 in (self.connection, other.connection))

    def __str__(self) -> str:
        return f"{self.transport} {bracketed(self.host)}:{self.port}"
