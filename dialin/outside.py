# SPDX-License-Identifier: GPL-3.0-or-later
"""The way out by a provider's trunk and back in by a number of our own.

Whoever can make a bridge call any number can run up its owner's bill, so there is no way to any
other number: an `Outside` exists for a number of our own trunks only, and `outside_to` alone makes
one. Calling is left to `own_phone`, who may want to, to `selftest` and `trunk_call`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import phonenumbers

from dialin.errors import OperatorError
from dialin.names import NameNotFound, Names
from dialin.own_phone import Line
from dialin.sip import Listen
from dialin.wire.flow import Flow
from dialin.wire.registration import Account


class DialFormat(StrEnum):
    """How a provider wants the numbers written that are called through it."""

    PLUS = "plus"
    """`+4930…`"""
    BARE = "bare"
    """`4930…`"""
    DOUBLE_ZERO = "double-zero"
    """`004930…`"""
    NATIONAL = "national"
    """`030…`, as in the number's own country."""

    def write(self, e164: str) -> str:
        """A number in international form, as this wants it."""
        match self:
            case DialFormat.PLUS:
                return e164
            case DialFormat.BARE:
                return e164.removeprefix("+")
            case DialFormat.DOUBLE_ZERO:
                return f"00{e164.removeprefix('+')}"
        form = phonenumbers.PhoneNumberFormat.NATIONAL
        return re.sub("[^0-9]", "", phonenumbers.format_number(phonenumbers.parse(e164), form))


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
    dial_format: DialFormat = DialFormat.PLUS
    """How it wants numbers written."""


@dataclass(frozen=True, slots=True)
class Outside:
    """One number of our own, to be called by a trunk. Made by `outside_to` alone."""

    by: Exit
    """The trunk."""
    number: str
    """The number, E.164."""

    @property
    def dialled(self) -> str:
        """The number as the provider wants it."""
        return self.by.dial_format.write(self.number)

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
        by = replace(by, line=replace(by.line, caller=by.dial_format.write(number)))
    return Outside(by, number)
