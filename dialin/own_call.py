# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin call --phone own`: one call on our own stack, told step by step.

It calls over UDP and in the clear. What the phone can do is `own_phone`'s affair.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

from dialin.errors import OperatorError, PeerError
from dialin.media.engine import MediaRefused, NoMediaPort
from dialin.names import NameNotFound, Names
from dialin.own_phone import PORTS, Line, Talk, listens_for, opened_phone, own_media
from dialin.sip import LegGone, Refused
from dialin.sip.addresses import Routes, family_of
from dialin.wire.flow import Flow

SOUND_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Script:
    """What the caller does."""

    number: str
    """What is dialled."""
    caller: str = field(repr=False)
    """The number it is dialled from."""
    keys: str = field(repr=False)
    """Keys pressed once something is heard; a PIN may be among them."""
    listen_s: float
    """How long to stay after that."""


async def place(host: str, port: int, script: Script, *, on_step: Callable[[str], None]) -> bool:
    """Call, tell what happens, and hang up; returns whether anything was heard.

    Raises OperatorError.
    """
    flows = await _found(host, port)
    async with (
        own_media() as media,
        opened_phone(listens_for(flows[0]), media) as phone,
    ):
        on_step("dialling")
        try:
            async with phone.calling_any(script.number, flows, Line(script.caller)) as talk:
                on_step("answered")
                return await _follow(talk, script, on_step)
        except Refused as refused:
            on_step(f"refused with {refused.status}")
        except (LegGone, PeerError, MediaRefused) as gone:
            on_step(f"no call: {gone}")
        except NoMediaPort as error:
            raise OperatorError(
                f"no port of {PORTS[0]} to {PORTS[1]} is free.", "Stop what uses them."
            ) from error
    return False


async def _follow(talk: Talk, script: Script, on_step: Callable[[str], None]) -> bool:
    began = time.monotonic()
    was_heard = await talk.hears(SOUND_WITHIN_S)
    on_step("sound-heard" if was_heard else "nothing-heard")
    if script.keys:
        await talk.press(script.keys)
        on_step("keyed")
    with suppress(TimeoutError):
        async with asyncio.timeout(script.listen_s):
            await asyncio.shield(talk.ended)
    on_step("peer-hung-up" if talk.ended.done() else "hung-up")
    figures = await talk.media.statistics()
    on_step(
        f"Up for {time.monotonic() - began:.1f} s; {figures.packets_received} packets came, "
        f"{figures.packets_lost} were lost."
    )
    return was_heard


async def _found(host: str, port: int) -> tuple[Flow, ...]:
    """Where the service is. A provider that knows us by our address would take any number from
    here and charge for it, so this machine alone is called."""
    try:
        flows = (await Names().find(host, port, "UDP")).flows
    except NameNotFound:
        raise OperatorError(f"{host} is unknown.", "Correct --to.") from None
    if not all(map(_is_here, flows)):
        raise OperatorError(
            f"{host} is not this machine, and no other is called without --trunk.",
            "Name an address of this machine with --to, or a trunk with --trunk.",
        )
    return tuple(flow for flow in flows if family_of(flow.host) == family_of(flows[0].host))


def _is_here(flow: Flow) -> bool:
    return ip_address(flow.host).is_loopback or Routes().own_host(flow.host) == flow.host
