# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole service as an operator sets it up for a provider, and that provider on loopback.

The service has `preset` and what the preset asks for. What leads to loopback is this: a name server
of the lab answers for the provider's names, ports that a preset names are the exchange's, its
certificate is signed by the lab's authority, and networks of a provider are addresses of 127/8.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dialin import providers as registering
from dialin.demo.conference import Member
from dialin.demo.mixing import CHIME_HZ
from dialin.events import Codec
from dialin.names import Names
from dialin.registry import CallState
from dialin.sip import Certificate
from dialin.wire import g711, tone
from tests.fakes.authority import Authority
from tests.fakes.dns import name_server
from tests.fakes.registrar import PASSWORD, Fault, Line
from tests.fakes.tls_peers import client, server
from tests.lab.exchange import Call, Exchange, Offer
from tests.lab.providers import CONTACT, SECOND, Form, Provider
from tests.peers.clips import Clips
from tests.peers.rtp import tone_frames
from tests.wire.peers import Caller
from tests.world import World, whole_service

ROOM = "123456789"
OURS = "sip.bridge.example"
"""The name that our own certificate is for."""
TALK_HZ, OTHER_HZ = 450, 1050
LOUD, FAINT = 2000.0, 200.0
NOW_FRAMES = 10


@dataclass(slots=True)
class Lab:
    """A provider, and a service that is its customer."""

    provider: Provider
    exchange: Exchange
    world: World
    line: Line
    """The way that calls take."""
    sent_by: str
    """What the provider writes into Via."""
    calls: int = 0

    def call(self, form: Form, offer: Offer | None = None) -> Call:
        """A call that has not begun."""
        self.calls += 1
        transport = self.provider.transport
        by_number = f"sip:{form.called}@{OURS};transport={transport.lower()}"
        uri = self.exchange.contacts[-1] if form.called is CONTACT else by_number
        text = Caller(
            transport=transport,
            sent_by=self.sent_by,
            call_id=f"lab-{self.calls}@{self.provider.name}",
            from_=f"{form.caller};tag=ft{self.calls}",
            to=f"<sip:{form.to}@{self.provider.name}.example>",
            uri=uri,
            contact=f"<sip:exchange@{self.sent_by};transport={transport.lower()}>",
        )
        return Call(self.exchange, self.line, text, offer or self.provider.offer, form.headers)

    async def in_room(self, call: Call) -> Member:
        """Key the PIN, and wait until the caller is where it leads."""
        await call.key(f"{ROOM}#")
        await self.world.until(self._is_in_room)
        [member] = self.world.conference.members(ROOM)
        return member

    def _is_in_room(self) -> bool:
        calls = self.world.service.registry.snapshots()
        return [call.state for call in calls] == [CallState.IN_ROOM]

    async def shown(self) -> dict[str, Any]:
        """The one call, as the API has it."""
        [call] = json.loads(await self.world.page("/api/v1/calls"))
        return dict(call)

    async def is_registered(self) -> bool:
        """Whether operators are told that it is."""
        page = (await self.world.page("/metrics")).decode()
        return 'dialin_trunk_registered{trunk="demo"} 1.0' in page

    async def room_hears(self, call: Call, member: Member) -> None:
        """Wait until the caller's voice is in the room, clearly and alone."""
        call.rtp.say(tone_frames(call.codec, TALK_HZ))

        async def is_heard() -> bool:
            said = (await self.world.conference.listen(member, (TALK_HZ, OTHER_HZ))).said
            return said.tones[TALK_HZ] > LOUD and said.tones[OTHER_HZ] < FAINT

        await self.world.until_true(is_heard)

    async def call_hears(self, call: Call) -> None:
        """Wait until the caller hears the room's chime."""
        await self.world.conference.play_chime(ROOM)
        await call.rtp.until(lambda: chime_in(call) > FAINT)

    async def is_over(self) -> None:
        """Wait until nothing is left of the call."""
        await self.world.until(lambda: not self.world.conference.members())
        await self.world.until(lambda: not self.world.service.registry.snapshots())


def chime_in(call: Call) -> float:
    """How loud the room's chime is in what the caller hears now."""
    decode = g711.alaw_decode if call.codec is Codec.PCMA else g711.ulaw_decode
    samples = decode(b"".join(call.rtp.audio[-NOW_FRAMES:]))
    return math.sqrt(2 * tone.power(samples, CHIME_HZ))


@asynccontextmanager
async def lab(
    provider: Provider, folder: Path, authority: Authority, *, faults: Iterable[Fault] = ()
) -> AsyncIterator[Lab]:
    """The provider and its customer, who can be called. `faults` are the registrar's."""
    async with customer(provider, folder, authority, faults=faults) as (exchange, world):
        line, sent_by = await way_in(provider, exchange, world, authority)
        yield Lab(provider, exchange, world, line, sent_by)


@asynccontextmanager
async def customer(
    provider: Provider,
    folder: Path,
    authority: Authority,
    *,
    faults: Iterable[Fault] = (),
    name: str | None = None,
) -> AsyncIterator[tuple[Exchange, World]]:
    """The same from the beginning. `name` is what a certificate says that is not the right one."""
    name = name or (provider.server if provider.registers else OURS)
    certificate = authority.issue(provider.name, names=f"DNS:{name}")
    exchange = Exchange(
        algorithms=provider.algorithms,
        granted_s=provider.granted_s,
        faults=set(faults),
        user=provider.user,
        realm=provider.realm,
        tls=server(certificate) if provider.is_tls else None,
        host="127.0.0.1" if provider.registers else SECOND,
    )
    async with exchange, name_server() as names:
        names.set(provider.server, "A", "127.0.0.1")
        service = f"_sip._{provider.transport.lower()}.{provider.server}"
        names.set(service, "SRV", f"0 0 {exchange.port} {provider.server}.")
        sections = {
            "trunks": {"demo": settings_of(provider, exchange.port, authority)},
            "sip": {} if provider.registers else listening(provider, certificate),
            **Clips(folder / "clips").settings,
        }
        with patch.object(registering, "Names", partial(Names, resolver=names.resolver)):
            async with whole_service(**sections) as world:
                yield exchange, world


async def way_in(
    provider: Provider, exchange: Exchange, world: World, authority: Authority
) -> tuple[Line, str]:
    """The way that calls take: where the customer has registered from, or to where he listens."""
    if provider.registers:
        await exchange.registered()
        return exchange.line(), f"127.0.0.1:{exchange.port}"
    tls = client(authority.file) if provider.is_tls else None
    return await exchange.connect(provider.transport, world.sip_port(provider.transport), tls, OURS)


def listening(provider: Provider, certificate: Certificate) -> dict[str, Any]:
    """The settings of SIP for calls that come without registration; UDP is for the conference."""
    transports = dict.fromkeys(("udp", provider.transport.lower()))
    files = {"tls_certificate": certificate.file, "tls_key": certificate.key_file}
    return {
        "listen": [{"transport": one, "host": "127.0.0.1", "port": 0} for one in transports],
        **({key: str(file) for key, file in files.items()} if provider.is_tls else {}),
    }


def settings_of(provider: Provider, port: int, authority: Authority) -> dict[str, Any]:
    """The trunk's settings: the preset, what it asks for, our number, and what leads here."""
    preset = provider.preset
    here = [f"{SECOND}/32"]
    answers = {
        "username": provider.user,
        "password": PASSWORD,
        "registrar": f"{provider.server}:{port}",
        "allowed_sources": here,
        "media_networks": here,
    }
    settings: dict[str, Any] = {key: answers[key] for key in preset.needs}
    settings |= {"preset": provider.name, "numbers": [{"e164": provider.number}]}
    if ":" in preset.trunk.get("registrar", ""):
        settings["registrar"] = answers["registrar"]
    if provider.is_tls and provider.registers:
        settings["tls_ca_file"] = str(authority.file)
    return settings | dict(provider.redirected)
