# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a request comes from: by which client, through proxies of our own, from which site."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from aiohttp import web

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

LONGEST_FORWARDED = 500
"""Characters of X-Forwarded-For that are read."""


def client_of(request: web.Request, proxies: Sequence[Network]) -> Address | None:
    """The address that a request comes from; None for nobody knows.

    X-Forwarded-For is believed from proxies of our own only, and read from its end, since
    everything before what they added was written by the client.
    """
    address = read_address(request.remote or "")
    header = ",".join(request.headers.getall("X-Forwarded-For", []))[-LONGEST_FORWARDED:]
    hops = [part.strip() for part in header.split(",")]
    while address is not None and hops and any(address in network for network in proxies):
        address = read_address(hops.pop()) or address
    return address


def read_address(text: str) -> Address | None:
    """An address, one of IPv4 as such; None for what is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if address.version == 6 else address


def is_same_site(request: web.Request) -> bool:
    """Whether a form is one of ours, by the word of browsers that say so (Fetch Metadata)."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
