# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin demo`: the whole service on loopback against the stand-ins of this package.

`main` runs it until a signal; with `call` it has the test phone place a call and tells the story,
see `story`. The service in the middle is the real one and knows nothing of the demo.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import click

from dialin import app
from dialin.demo.bbb import DemoBbb
from dialin.demo.conference import Conference, open_conference
from dialin.demo.showcase import issue_pins, rooms_to_show, welcome
from dialin.demo.story import tell
from dialin.registry import CallState, Registry
from dialin.settings import FOR_DEMO, Settings
from dialin.sip import Listen

NUMBER = "+493023125100"
"""The number of the demo, out of the range that Germany keeps for fiction."""
CHIMING_ROOM = "123456789"
LOOK_FOR_WAITERS_EVERY_S = 0.5
DRAIN_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class World:
    """What the service talks to, and the service."""

    bbb: DemoBbb
    conference: Conference
    service: app.Service
    link_secret: str = field(repr=False)
    """What links to room pages are signed with."""


def main(sip: str, http: str, token: str | None, call: bool, record: Path | None) -> int:
    """Run the demo. `sip` and `http` are HOST:PORT. Returns the exit status.

    Raises OperatorError where an address cannot be had.
    """
    return asyncio.run(demonstrate(sip, http, token, call=call, record=record))


async def demonstrate(
    sip: str, http: str, token: str | None, *, call: bool, record: Path | None
) -> int:
    """The demo from start to exit status."""
    async with demo_world(sip, http, token or secrets.token_urlsafe()) as world:
        if call:
            at = world.service.sip.addresses[0]
            return await tell(world.conference, world.service.registry, at, record)
        host, port = world.service.web_addresses[0]
        text = welcome(sip, f"{host}:{port}", token, world.link_secret)
        await app.until_told_to_stop(
            world.service, lambda: DRAIN_WITHIN_S, ready=lambda: click.echo(text)
        )
    return 0


@asynccontextmanager
async def demo_world(sip: str, http: str, token: str) -> AsyncIterator[World]:
    """Stand-ins and service, while the block runs."""
    link_secret = secrets.token_urlsafe()
    with TemporaryDirectory(prefix="dialin-demo-") as folder:
        await issue_pins(Path(folder))
        async with (
            open_conference(
                [Listen("UDP", "127.0.0.1", 0), Listen("TCP", "127.0.0.1", 0)]
            ) as conference,
            DemoBbb(members=conference.phone_callers, rooms=rooms_to_show()) as bbb,
        ):
            conference.tell(bbb.voice_changed)
            bbb.hang_up = conference.end
            await conference.play_chime(CHIMING_ROOM)
            settings = demo_settings(
                *(sip, http, token, bbb, conference.addresses[0]),
                service={"state_directory": folder},
                store={"keep": True},
                web={"link_secret": link_secret, **public_address(http)},
            )
            async with app.running(settings) as service, asyncio.TaskGroup() as tasks:
                usher = tasks.create_task(open_rooms_for_waiters(service.registry, bbb))
                yield World(bbb, conference, service, link_secret)
                usher.cancel()


async def open_rooms_for_waiters(registry: Registry, bbb: DemoBbb) -> None:
    """A host who sees callers wait, and opens the room a little later."""
    while True:
        for call in registry.snapshots():
            if call.state is CallState.WAITING and call.room:
                bbb.caller_waits(call.room)
        await asyncio.sleep(LOOK_FOR_WAITERS_EVERY_S)


def demo_settings(
    sip: str, http: str, token: str, bbb: DemoBbb, voice: Listen, /, **sections: dict[str, Any]
) -> Settings:
    """The settings an operator would write for this world; `sections` add to or replace some."""
    values: dict[str, Any] = {
        "service": {"name": "dialin demo", "max_calls": 250},
        "sip": {
            "listen": [{"transport": kind, **address_of(sip)} for kind in ("udp", "tcp")],
        },
        "trunks": {
            "demo": {
                "allowed_sources": ["127.0.0.0/8"],
                "number_from": ["fixed"],
                "numbers": [{"e164": NUMBER, "country": "DE"}],
                "region": "DE",
            }
        },
        "bbb_servers": {
            "demo": {
                "url": bbb.url,
                "secret": bbb.secret,
                "voice_host": voice.host,
                "voice_port": voice.port,
                "mute_keys": "rfc4733",
            }
        },
        "media": {"codecs": ["PCMA", "PCMU"]},
        "web": {**address_of(http), "token": token},
        "store": {"keep": False},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return Settings.model_validate(values, context=FOR_DEMO)


def public_address(http: str) -> dict[str, Any]:
    """Where BBB's stand-in posts what happens; nowhere if the port is not known beforehand."""
    return {"base_url": f"http://{http}"} if address_of(http)["port"] else {}


def address_of(text: str) -> dict[str, Any]:
    """HOST:PORT as the settings have it."""
    parts = urlsplit(f"//{text}")
    return {"host": parts.hostname, "port": parts.port}
