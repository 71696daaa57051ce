# SPDX-License-Identifier: GPL-3.0-or-later
"""The way out by a provider's trunk and back in by a number of our own.

Whoever can make a bridge call any number can run up its owner's bill, so there is no way to any
other number: an `Outside` exists for a number of our own trunks only, and `outside_to` alone makes
one. Calling is left to `own_phone`, who may want to, to `selftest` and `trunk_call`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from dialin.errors import OperatorError
from dialin.names import NameNotFound, Names
from dialin.own_phone import Line
from dialin.sip import Listen
from dialin.wire.flow import Flow
from dialin.wire.registration import Account


@dataclass(frozen=True, slots=True)
class Exit:
    """A trunk, as far as calls go out by it."""

    trunk: str
    """Its name in the settings."""
    host: str
    """The provider's server, or the proxy before it; empty if none is known."""
    port: int | None
    """Its port; None where DNS says."""
    transport: str
    """UDP, TCP or TLS."""
    line: Line
    """How that server is called."""
    account: Account | None = field(default=None, repr=False)
    """How we register with it; None if we do not."""


@dataclass(frozen=True, slots=True)
class Outside:
    """One number of our own, to be called by a trunk. Made by `outside_to` alone."""

    by: Exit
    """The trunk."""
    number: str
    """The number, E.164."""

    async def found(self, names: Names) -> tuple[Flow, ...]:
        """The provider's servers, in the order to try them in. Raises OperatorError."""
        host = self.by.host
        try:
            return (await names.find(host, self.by.port, self.by.transport)).flows
        except NameNotFound:
            raise OperatorError(
                f"{host} has no server for {self.by.transport}.",
                f"See `dialin check` for trunks.{self.by.trunk}.",
            ) from None


def listens_beside(service: Sequence[Listen], transport: str) -> tuple[Listen, ...]:
    """Where a phone listens that speaks like the service: at its addresses, by ports of its own.

    So a provider sees the address that it knows. For TLS it answers on our own connection.
    """
    if transport == "TLS":
        return ()
    beside = (replace(at, port=0) for at in service if at.transport == transport)
    return tuple(dict.fromkeys(beside)) or (Listen(transport, "0.0.0.0", 0),)  # noqa: S104 - as above


def outside_to(number: str, by: Exit, own_numbers: Collection[str]) -> Outside:
    """The way to a number. Raises OperatorError where it is not ours, or the trunk has no server.

    A trunk that says who we are by a number needs one that is ours: without a user name it is the
    called one.
    """
    if number not in own_numbers:
        raise OperatorError(
            "only numbers of our own trunks are called, and this is none.",
            f"Name one of these: {', '.join(sorted(own_numbers)) or 'the settings have none'}.",
        )
    if not by.host:
        raise OperatorError(
            f"trunks.{by.trunk} names no server that takes calls.",
            "Set its outbound_proxy to the provider's address for outgoing calls.",
        )
    if not by.line.caller:
        by = replace(by, line=replace(by.line, caller=number))
    return Outside(by, number)
