# SPDX-License-Identifier: GPL-3.0-or-later
"""Which remote addresses media may go to: what SDP says is a stranger's word.

An unchecked `c=` line makes of a media server a cannon at third parties, or a mirror of its own
ports. Names are not looked up: only addresses are taken.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from dialin.media.engine import RemoteNotAllowed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_THIS_HOST = ipaddress.ip_network("0.0.0.0/8")
_LAST_PORT = 65535


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks as an operator writes them. Raises ValueError."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def permitted(host: str, port: int, *, local_host: str, allowed: Sequence[Network]) -> str:
    """The address in its usual spelling, if media may go there. Raises RemoteNotAllowed."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise RemoteNotAllowed("media address is no IP address") from None
    local = ipaddress.ip_address(local_host)
    if address.version != local.version:
        raise RemoteNotAllowed("media address of another family than ours")
    if not 0 < port <= _LAST_PORT:
        raise RemoteNotAllowed("media port out of range")
    if _is_nobody(address):
        raise RemoteNotAllowed("media address is no single host's")
    if address.is_loopback and not local.is_loopback:
        raise RemoteNotAllowed("media address is loopback")
    if not any(address in network for network in allowed):
        raise RemoteNotAllowed("media address outside the allowed networks")
    return str(address)


def _is_nobody(address: Address) -> bool:
    """Addresses that belong to nobody, to many, or to whatever wire we happen to be on."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return True  # no SDP needs them, and they would walk round the tests for IPv4
    return (
        address in _THIS_HOST
        or address.is_unspecified
        or address.is_multicast
        or address.is_link_local
        or address == ipaddress.IPv4Address("255.255.255.255")
    )
