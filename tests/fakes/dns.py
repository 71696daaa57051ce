# SPDX-License-Identifier: GPL-3.0-or-later
"""A name server on loopback, with zones of a test's own and faults by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Fault = Literal["silent", "servfail", "garbage"]


class NameServer(asyncio.DatagramProtocol):
    """Answers for what it was told, NXDOMAIN for everything else."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        """What is wrong with it."""
        self.faulty_kinds: frozenset[str] | None = None
        """Which questions the fault is about; None for all."""
        self.asked: list[tuple[str, str]] = []
        """All questions, as (name, kind)."""
        self._zone: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self._transport: asyncio.DatagramTransport

    def set(self, name: str, kind: str, *values: str, ttl: int = 300) -> None:
        """The records of a name; none removes them."""
        key = f"{name}.", kind
        self._zone.pop(key, None)
        if values:
            self._zone[key] = ttl, list(values)

    def resolver(self) -> dns.asyncresolver.Resolver:
        """A resolver that asks this server only."""
        made = dns.asyncresolver.Resolver(configure=False)
        host, port = self._transport.get_extra_info("sockname")[:2]
        made.nameservers, made.port = [host], port
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Kept for the answers."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one question."""
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = str(question.name), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        is_faulty = self.faulty_kinds is None or kind in self.faulty_kinds
        fault = self.fault if is_faulty else None
        if fault == "silent":
            return
        if fault == "garbage":
            self._transport.sendto(data[:2] + b"\xff" * 40, addr)
            return
        response = dns.message.make_response(query)
        if fault == "servfail":
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._answer(response, name, kind)
        self._transport.sendto(response.to_wire(), addr)

    def _answer(self, response: dns.message.Message, name: str, kind: str) -> None:
        response.flags |= dns.flags.RA
        alias = self._zone.get((name, "CNAME"))
        if alias:
            response.answer.append(dns.rrset.from_text(name, alias[0], "IN", "CNAME", alias[1][0]))
            name = alias[1][0]
        if found := self._zone.get((name, kind)):
            response.answer.append(dns.rrset.from_text(name, found[0], "IN", kind, *found[1]))
        elif not any(known == name for known, _ in self._zone):
            response.set_rcode(dns.rcode.NXDOMAIN)


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    """A name server for as long as the block lasts."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
