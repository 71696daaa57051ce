# SPDX-License-Identifier: GPL-3.0-or-later
"""A SIP endpoint for the check: on ports of its own, beside the service and not in its way.

It listens on the addresses of the settings, so that far ends see the address that they would see
the service at. It hears those only that it asks something, and takes no calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from dialin.sip import IncomingLeg, Listen, SipEndpoint, TlsTarget
from dialin.wire.flow import Flow
from dialin.wire.timers import Timers


class Ways:
    """The ways to those who are asked something."""

    def __init__(self) -> None:
        """For `opened_ways`."""
        self.sip: SipEndpoint
        """The endpoint that asks."""
        self._hosts: set[str] = set()

    def hears(self, host: str) -> bool:
        """Whether this address is one that was asked."""
        return host in self._hosts

    def expect(self, flow: Flow, tls: TlsTarget | None) -> None:
        """Somebody is going to be asked there. Raises OperatorError where a file is unusable."""
        self._hosts.add(flow.host)
        if tls and flow.transport == "TLS":
            self.sip.trust(flow.host, flow.port, tls)


@asynccontextmanager
async def opened_ways(
    listen: Sequence[Listen], *, timers: Timers | None = None
) -> AsyncIterator[Ways]:
    """An endpoint on each of these addresses, with other ports. Raises OperatorError."""
    ways = Ways()
    own = dict.fromkeys(replace(at, port=0) for at in listen)
    async with await SipEndpoint.open(
        list(own), allow_source=ways.hears, on_call=_refuse, timers=timers, answer_options=False
    ) as ways.sip:
        yield ways


def _refuse(leg: IncomingLeg) -> None:
    leg.reject(480)
