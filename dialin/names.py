# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a provider's servers are: NAPTR, SRV and address records (RFC 3263 §4, RFC 2782).

Only names out of the settings are looked up here, never one that a peer wrote. An answer is good
for as long as its records say. When no name server answers, the last good answer is used for a
day: a provider's servers rarely move, and a name server that is down must not take calls with it.
Which of several servers is asked, and when the next, is left to whoever looks them up.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from bisect import bisect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from random import SystemRandom
from typing import Final, cast

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdata
import dns.resolver
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from dialin.errors import DialinError
from dialin.wire.flow import DEFAULT_PORTS, Flow

QUERY_WITHIN_S: Final = 4.0
"""How long the name servers may take over one question."""
SHORTEST_TTL_S: Final = 5.0
"""No name is looked up more often."""
LONGEST_TTL_S: Final = 86400.0
HOSTS_TTL_S: Final = 60.0
"""For what the machine knows without DNS, such as its hosts file."""
AGAIN_AFTER_S: Final = 30.0
"""While no name server answers."""
LAST_GOOD_S: Final = 86400.0
"""How long an answer is used after the last time that it was given."""
MAX_FLOWS: Final = 16
"""Servers of one name."""
LEAST_WEIGHT: Final = 0.01
"""A weight of 0 is chosen seldom, not never (RFC 2782)."""

SERVICES: Final = {"UDP": b"SIP+D2U", "TCP": b"SIP+D2T", "TLS": b"SIPS+D2T"}
"""The services of NAPTR records (RFC 3263 §4.1)."""
PREFIXES: Final = {"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"}
"""Where SRV records stand when no NAPTR record says (RFC 3263 §4.1)."""

Records = Sequence[dns.rdata.Rdata]


class NameNotFound(DialinError):
    """No address is known for a name."""


class _NoAnswer(DialinError):
    """The name servers did not answer, or could not."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where the servers of a name are."""

    flows: tuple[Flow, ...]
    """In the order in which they are to be tried."""
    expires_at: float
    """When to look again, by the clock of `Names`."""


@dataclass(frozen=True, slots=True)
class _Known:
    """The latest good answer."""

    found: Found
    """What it was."""
    usable_until: float
    """When it is too old even if nobody has a newer one."""


class Names:
    """The names of providers' servers, and what is known of them."""

    def __init__(
        self,
        *,
        resolver: Callable[[], dns.asyncresolver.Resolver] = dns.asyncresolver.Resolver,
        clock: Callable[[], float] | None = None,
        random: Callable[[], float] | None = None,
        hosts: Callable[[str], Awaitable[Iterable[str]]] | None = None,
    ) -> None:
        """`resolver` is made anew for each search, as a machine's name servers change; `random`
        spreads load over servers; `hosts` knows addresses that no name server does."""
        self._resolver = resolver
        self._clock = clock or asyncio.get_running_loop().time
        self._random = random or SystemRandom().random
        self._hosts = hosts or _system_addresses
        self._known: dict[tuple[str, int | None, str], _Known] = {}

    async def find(self, host: str, port: int | None, transport: str) -> Found:
        """The servers of a name or address. Raises NameNotFound.

        With a port, or for an address, no SRV record is asked for (RFC 3263 §4.2).
        """
        if literal := _literal(host):
            flow = Flow(transport, literal, port or DEFAULT_PORTS[transport])
            return Found((flow,), float("inf"))
        key = host.lower(), port, transport
        known, now = self._known.get(key), self._clock()
        if known and now < known.found.expires_at:
            return known.found
        try:
            flows, ttl_s = await _Search(self._resolver, self._hosts).servers(
                host, port, transport, self._random
            )
        except (NameNotFound, _NoAnswer):
            if known is None or now >= known.usable_until:
                raise NameNotFound(f"{host} is unknown") from None
            found = replace(known.found, expires_at=now + AGAIN_AFTER_S)
            self._known[key] = replace(known, found=found)
            return found
        found = Found(flows, now + min(max(ttl_s, SHORTEST_TTL_S), LONGEST_TTL_S))
        self._known[key] = _Known(found, now + LAST_GOOD_S)
        return found


class _Search:
    """One search: its questions, and the shortest time that one of the answers is good for."""

    def __init__(
        self,
        resolver: Callable[[], dns.asyncresolver.Resolver],
        hosts: Callable[[str], Awaitable[Iterable[str]]],
    ) -> None:
        self._hosts = hosts
        self._ttl_s = LONGEST_TTL_S
        self._resolver: dns.asyncresolver.Resolver | None = None
        with suppress(dns.exception.DNSException):  # a machine without any name server
            self._resolver = resolver()

    async def servers(
        self, host: str, port: int | None, transport: str, random: Callable[[], float]
    ) -> tuple[tuple[Flow, ...], float]:
        """All servers in order, and for how long that is true."""
        places = [(host, port or DEFAULT_PORTS[transport])]
        if port is None and (services := await self._services(host, transport)):
            places = [(str(one.target).rstrip("."), one.port) for one in in_order(services, random)]
        addresses = await asyncio.gather(*(self._addresses(name) for name, _ in places))
        flows = tuple(
            Flow(transport, address, place[1])
            for place, found in zip(places, addresses, strict=True)
            for address in found
        )
        if not flows:
            raise NameNotFound("no address")
        return flows[:MAX_FLOWS], self._ttl_s

    async def _services(self, host: str, transport: str) -> list[SRV]:
        """The SRV records of a name; none where there are none."""
        owners = await self._owners(host, transport) or [f"{PREFIXES[transport]}.{host}"]
        for owner in owners:
            services = cast(Sequence[SRV], await self._ask(owner, "SRV"))
            if services:
                # RFC 2782: a target of "." says that the service is not offered here.
                offered = [one for one in services if one.target != dns.name.root]
                if not offered:
                    raise NameNotFound("not offered")
                return offered
        return []

    async def _owners(self, host: str, transport: str) -> list[str]:
        """Where NAPTR records say that the SRV records of our transport are.

        A name server that knows no NAPTR is no reason not to ask it for SRV.
        """
        try:
            records = cast(Sequence[NAPTR], await self._ask(host, "NAPTR"))
        except _NoAnswer:
            return []
        fitting = [
            record
            for record in records
            if record.flags.upper() == b"S" and record.service.upper() == SERVICES[transport]
        ]
        fitting.sort(key=lambda record: (record.order, record.preference))
        return [str(record.replacement) for record in fitting]

    async def _addresses(self, name: str) -> list[str]:
        """All addresses of a host, IPv4 first."""
        answers = await asyncio.gather(
            self._ask(name, "A"), self._ask(name, "AAAA"), return_exceptions=True
        )
        found = [
            record.to_text()
            for answer in answers
            if not isinstance(answer, BaseException)
            for record in answer
        ]
        if not found and (found := list(await self._hosts(name))):
            self._ttl_s = min(self._ttl_s, HOSTS_TTL_S)
        return found

    async def _ask(self, name: str, kind: str) -> Records:
        """The records of a kind; none where there are none. Raises _NoAnswer."""
        if self._resolver is None:
            raise _NoAnswer
        try:
            # An absolute name: the machine's own search domains have no say.
            answer = await self._resolver.resolve(
                dns.name.from_text(name), kind, lifetime=QUERY_WITHIN_S, search=False
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.exception.DNSException, OSError) as error:
            raise _NoAnswer from error
        self._ttl_s = min(self._ttl_s, answer.chaining_result.minimum_ttl)  # aliases included
        return list(answer)


def in_order(services: Iterable[SRV], random: Callable[[], float]) -> list[SRV]:
    """SRV records by priority, and within one at random by weight (RFC 2782)."""
    left = sorted(services, key=lambda one: one.priority)
    ordered = []
    while left:
        peers = [one for one in left if one.priority == left[0].priority]
        marks = list(accumulate(one.weight or LEAST_WEIGHT for one in peers))
        chosen = peers[bisect(marks, random() * marks[-1], hi=len(peers) - 1)]
        ordered.append(chosen)
        left.remove(chosen)
    return ordered


def _literal(host: str) -> str | None:
    """An IP address in its usual spelling, None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


async def _system_addresses(name: str) -> list[str]:
    """What the machine itself knows of a name."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(QUERY_WITHIN_S):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError):
        return []
    return [str(address[0]) for *_, address in found]
