# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings and the running parts to the API: who may ask, what is asked, what is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from dialin import selftest
from dialin.app.site import KnownRooms, SelfTestTally, make_facts, make_numbers
from dialin.links import LinkKey
from dialin.registration import Standing
from dialin.registry import CallSnapshot, Registry
from dialin.room_events import RoomEvents
from dialin.rooms import Rooms
from dialin.settings import Settings
from dialin.static_rooms import StaticRooms
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
from dialin.web.api.state import ServerShown, TrunkShown, written
from dialin.web.console import Console
from dialin.web.metrics import Metrics
from dialin.web.pages import Pages


def make_tokens(settings: Settings) -> Tokens:
    """Who may use the API: the token of `web`, which opens everything, and those by name."""
    everything = settings.web.token
    tokens = [Token("web", everything.get_secret_value())] if everything else []
    tokens += [
        Token(
            f"tokens.{name}", token.secret.get_secret_value(), frozenset(map(Scope, token.scopes))
        )
        for name, token in settings.tokens.items()
    ]
    return Tokens(tokens, per_minute=settings.web.requests_per_minute)


@dataclass(frozen=True, slots=True)
class Told:
    """The running parts that the API tells of."""

    registry: Registry
    rooms: Rooms
    known: KnownRooms
    static: StaticRooms
    events: RoomEvents
    metrics: Metrics
    standings: Callable[[], Mapping[str, Standing]]
    """How each trunk that registers stands."""
    tested: SelfTestTally


def make_operations(settings: Settings, told: Told, state: StateDesk) -> Sequence[Operation]:
    """Everything that can be asked."""
    return (
        *call_operations(told.registry),
        *room_operations(make_rooms_desk(settings, told)),
        *state_operations(state),
    )


def make_console(settings: Settings, told: Told, state: StateDesk, tokens: Tokens) -> Console:
    """The operators' pages. On a listener of their own they stand below no path of the world's."""
    facts = make_facts(settings)
    own = facts if settings.web.public_port is None else replace(facts, root="")
    return Console(Pages(own), tokens, state, told.registry)


def make_rooms_desk(settings: Settings, told: Told) -> RoomsDesk:
    """Rooms, their PINs and links."""
    secret, numbers = settings.web.link_secret, make_numbers(settings)
    return RoomsDesk(
        finder=told.known,
        book=told.static,
        calls=told.registry,
        numbers=lambda: numbers,
        key=LinkKey(secret.get_secret_value()) if secret else None,
        root=settings.web.root,
        link_days=settings.web.link_days,
    )


def make_state_desk(settings: Settings, told: Told) -> StateDesk:
    """How everything does."""
    last = told.tested
    return StateDesk(
        name=settings.service.name,
        version=version("dialin"),
        calls=told.registry,
        max_calls=lambda: settings.service.max_calls,
        accepting=lambda: not told.registry.is_draining,
        trunks=lambda: trunks_shown(settings, told),
        servers=lambda: servers_shown(settings, told),
        recent_ends=lambda: told.registry.recent_ends,
        selftest=lambda: (last.last.at, last.last.ok) if last.last else None,
        wrong_pins=told.metrics.wrong_pins_last_hour,
        drain=told.registry.drain,
    )


def trunks_shown(settings: Settings, told: Told) -> list[TrunkShown]:
    """Each trunk, and how it does."""
    standings, calls = told.standings(), told.registry.snapshots()
    shown = [
        TrunkShown(
            name=name,
            mode=trunk.mode,
            registered=standings[name].is_registered if name in standings else None,
            seconds_left=round(standings[name].seconds_left, 1) if name in standings else None,
            cause=standings[name].cause if name in standings else "",
            last_invite_at=last_invite(told.metrics, name),
            calls=counted(calls, "trunk")[name],
            numbers=[number.e164 for number in trunk.numbers],
        )
        for name, trunk in settings.trunks.items()
    ]
    if settings.selftest.pin and not settings.selftest.trunk:
        shown.append(
            TrunkShown(
                name=selftest.TRUNK,
                mode="self-test",
                registered=None,
                seconds_left=None,
                cause="",
                last_invite_at=last_invite(told.metrics, selftest.TRUNK),
                calls=counted(calls, "trunk")[selftest.TRUNK],
                numbers=[],
            )
        )
    return shown


def servers_shown(settings: Settings, told: Told) -> list[ServerShown]:
    """Each BBB server, and how it does."""
    calls = told.registry.snapshots()
    return [
        ServerShown(
            name=server.name,
            ok=server.ok,
            cause=server.cause,
            last_ok_at=written(server.last_ok_at) if server.last_ok_at else None,
            meetings=server.meetings,
            webhooks=told.events.is_heard(server.name),
            mutes="bridge" if settings.bbb_servers[server.name].mute_keys == "off" else "bbb",
            calls=counted(calls, "server")[server.name],
        )
        for server in told.rooms.servers
    ]


def last_invite(metrics: Metrics, trunk: str) -> str | None:
    """When a trunk last sent a call."""
    at = metrics.last_invite_at(trunk)
    return written(at) if at else None


def counted(calls: Sequence[CallSnapshot], what: str) -> Counter[str]:
    """How many calls each trunk, or each server, has."""
    return Counter(getattr(call, what) for call in calls)
