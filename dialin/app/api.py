# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings and the running parts to the API: who may ask, what is asked, what is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from dialin import selftest
from dialin.app.core import Core
from dialin.app.site import KnownRooms, SelfTestTally, make_facts, make_numbers
from dialin.links import LinkKey
from dialin.registry import CallSnapshot
from dialin.settings import Settings
from dialin.web.api import (
    Operation,
    RoomsDesk,
    Scope,
    StateDesk,
    Token,
    Tokens,
    call_operations,
    room_operations,
    state_operations,
)
from dialin.web.api.operation import written
from dialin.web.api.state import ServerShown, TrunkShown
from dialin.web.console import Console
from dialin.web.facts import PageFacts
from dialin.web.metrics import Metrics
from dialin.web.pages import Pages


def make_tokens(settings: Settings) -> Tokens:
    """Who may use the API."""
    return Tokens(tokens_of(settings), per_minute=settings.web.requests_per_minute)


def tokens_of(settings: Settings) -> list[Token]:
    """The token of `web`, which opens everything, and those by name."""
    everything = settings.web.token
    tokens = [Token("web", everything.get_secret_value())] if everything else []
    tokens += [
        Token(
            f"tokens.{name}", token.secret.get_secret_value(), frozenset(map(Scope, token.scopes))
        )
        for name, token in settings.tokens.items()
    ]
    return tokens


@dataclass(frozen=True, slots=True)
class Told:
    """The running parts that the API tells of."""

    settings: Callable[[], Settings]
    """Those in force."""
    core: Core
    known: KnownRooms
    tested: SelfTestTally


def make_operations(told: Told, state: StateDesk) -> Sequence[Operation]:
    """Everything that can be asked."""
    return (
        *call_operations(told.core.registry),
        *room_operations(make_rooms_desk(told)),
        *state_operations(state),
    )


def make_console(told: Told, state: StateDesk, tokens: Tokens) -> Console:
    """The operators' pages."""
    return Console(Pages(console_facts(told.settings())), tokens, state, told.core.registry)


def console_facts(settings: Settings) -> PageFacts:
    """What the console says. On a listener of its own it stands below no path of the world's."""
    facts = make_facts(settings)
    return facts if settings.web.public_port is None else replace(facts, root="")


def make_rooms_desk(told: Told) -> RoomsDesk:
    """Rooms, their PINs and links."""
    settings = told.settings()
    secret = settings.web.link_secret
    return RoomsDesk(
        finder=told.known,
        book=told.core.pins.static,
        calls=told.core.registry,
        numbers=lambda: make_numbers(told.settings()),
        key=LinkKey(secret.get_secret_value()) if secret else None,
        root=settings.web.root,
        link_days=settings.web.link_days,
    )


def make_state_desk(told: Told) -> StateDesk:
    """How everything does."""
    last = told.tested
    return StateDesk(
        name=lambda: told.settings().service.name,
        version=version("dialin"),
        calls=told.core.registry,
        max_calls=lambda: told.core.registry.max_calls,
        accepting=lambda: not told.core.registry.is_draining,
        trunks=lambda: trunks_shown(told),
        servers=lambda: servers_shown(told),
        recent_ends=lambda: told.core.registry.recent_ends,
        selftest=lambda: (last.last.at, last.last.ok) if last.last else None,
        wrong_pins=told.core.metrics.wrong_pins_last_hour,
        drain=told.core.registry.drain,
    )


def trunks_shown(told: Told) -> list[TrunkShown]:
    """Each trunk, and how it does."""
    settings, standings = told.settings(), told.core.registrations.standings
    calls = counted(told.core.registry.snapshots(), "trunk")

    def shown(name: str, mode: str, numbers: list[str]) -> TrunkShown:
        standing = standings.get(name)
        return TrunkShown(
            name=name,
            mode=mode,
            registered=standing.is_registered if standing else None,
            seconds_left=round(standing.seconds_left, 1) if standing else None,
            cause=standing.cause if standing else "",
            last_invite_at=last_invite(told.core.metrics, name),
            calls=calls[name],
            numbers=numbers,
        )

    trunks = [
        shown(name, trunk.mode, [number.e164 for number in trunk.numbers])
        for name, trunk in settings.trunks.items()
    ]
    if settings.selftest.pin and not settings.selftest.trunk:
        trunks.append(shown(selftest.TRUNK, "self-test", []))
    return trunks


def servers_shown(told: Told) -> list[ServerShown]:
    """Each BBB server, and how it does."""
    settings, calls = told.settings(), counted(told.core.registry.snapshots(), "server")
    mute_keys = {name: server.mute_keys for name, server in settings.bbb_servers.items()}
    return [
        ServerShown(
            name=server.name,
            ok=server.ok,
            cause=server.cause,
            last_ok_at=written(server.last_ok_at) if server.last_ok_at else None,
            meetings=server.meetings,
            webhooks=told.core.events.is_heard(server.name),
            mutes="bridge" if mute_keys.get(server.name, "off") == "off" else "bbb",
            calls=calls[server.name],
        )
        for server in told.core.rooms.servers
    ]


def last_invite(metrics: Metrics, trunk: str) -> str | None:
    """When a trunk last sent a call."""
    at = metrics.last_invite_at(trunk)
    return written(at) if at else None


def counted(calls: Sequence[CallSnapshot], what: str) -> Counter[str]:
    """How many calls each trunk, or each server, has."""
    return Counter(getattr(call, what) for call in calls)
