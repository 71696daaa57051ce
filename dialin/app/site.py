# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings to the public pages: what they say, whom they let in, where they look."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dialin.links import LinkKey
from dialin.registry import Registry
from dialin.rooms import Rooms
from dialin.settings import Settings
from dialin.static_rooms import StaticRooms
from dialin.web.app import build_site, serve
from dialin.web.facts import PageFacts, TrunkEncryption
from dialin.web.gate import Gate
from dialin.web.health import Readiness
from dialin.web.hooks import HookReceiver
from dialin.web.metrics import Metrics
from dialin.web.numbers import DialNumber
from dialin.web.room_view import Condition, LastTest, RoomFacts
from dialin.web.site import Site

STALE_AFTER_TESTS = 3
"""Self-tests that may be missing before the last one says nothing more."""
EXAMPLE_DIGITS = "1234"
LOOPBACK = "127.0.0.1"


class SelfTestTally:
    """Counts self-tests, and remembers the last one for the pages."""

    def __init__(self, metrics: Metrics, every_s: float) -> None:
        self._metrics = metrics
        self._stale_after_s = STALE_AFTER_TESTS * every_s
        self.last: LastTest | None = None
        """The last one; None before the first is over."""

    def selftest_ended(self, outcome: str, seconds: float) -> None:
        """A self-test is over; `outcome` is success or what was wrong."""
        self._metrics.selftest_ended(outcome, seconds)
        self.last = LastTest(datetime.now(UTC), outcome == "success", self._stale_after_s)


class KnownRooms:
    """Rooms with a PIN of their own, and meetings that some server has."""

    def __init__(self, rooms: Rooms, static: StaticRooms) -> None:
        self._rooms = rooms
        self._static = static

    def find(self, meeting_id: str) -> RoomFacts | None:
        """A room's own PIN comes before the one that BBB gave its meeting."""
        own, meeting = self._static.get(meeting_id), self._rooms.by_meeting_id(meeting_id)
        if own is None and meeting is None:
            return None
        return RoomFacts(
            meeting_id,
            name=(own.name if own else "") or (meeting.name if meeting else ""),
            pin=own.pin if own else (meeting.voice_bridge if meeting else ""),
            pin_stays=own is not None,
            running=meeting is not None and meeting.running,
            lobby=own is not None and own.lobby,
        )


def make_site(
    settings: Settings,
    registry: Registry,
    rooms: KnownRooms,
    *,
    condition: Callable[[], Condition],
) -> Site:
    """The public pages. Without a secret for links nobody can make one."""
    secret = settings.web.link_secret
    key = LinkKey(secret.get_secret_value() if secret else secrets.token_urlsafe())
    gate = Gate(key, proxies=[str(network) for network in settings.web.proxies])
    return Site(make_facts(settings), gate, rooms=rooms, calls=registry, condition=condition)


def make_facts(settings: Settings) -> PageFacts:
    """What the pages say that is set."""
    web, labels = settings.web, settings.label
    return PageFacts(
        service=settings.service.name,
        numbers=make_numbers(settings),
        languages=settings.service.languages,
        label=labels.template.replace("{digits}", EXAMPLE_DIGITS),
        hidden_label=labels.hidden.replace("{n}", "1"),
        hides_digits=settings.privacy.hide_digits,
        consent_days=settings.store.consent_days if settings.privacy.require_consent else None,
        encryption=trunk_encryption(settings),
        root=web.root,
        embed_origins=web.embed_origins,
        zone=ZoneInfo(web.time_zone),
        imprint_url=str(web.imprint_url or ""),
        privacy_url=str(web.privacy_url or ""),
    )


def make_numbers(settings: Settings) -> tuple[DialNumber, ...]:
    """All numbers, trunk by trunk; one that several trunks bring stands once."""
    numbers: dict[str, DialNumber] = {}
    for trunk in settings.trunks.values():
        for number in trunk.numbers:
            languages = number.spoken or settings.service.languages[:1]
            numbers.setdefault(
                number.e164,
                DialNumber(
                    number.e164,
                    country=number.country or "",
                    label=number.label,
                    languages=languages,
                    toll_free=number.toll_free,
                ),
            )
    return tuple(numbers.values())


def trunk_encryption(settings: Settings) -> TrunkEncryption:
    """What is true of every trunk."""
    trunks = settings.trunks.values()
    if all(trunk.media_encryption == "require" and trunk.transport == "tls" for trunk in trunks):
        return TrunkEncryption.ALWAYS
    if all(trunk.media_encryption == "off" for trunk in trunks):
        return TrunkEncryption.NEVER
    return TrunkEncryption.WHERE_POSSIBLE


@asynccontextmanager
async def served_apart(
    settings: Settings, site: Site, hooks: HookReceiver
) -> AsyncIterator[tuple[tuple[str, int], ...]]:
    """What the world may reach on a listener of its own while the block runs, if it has one.

    Gives the addresses bound. Raises OperatorError.
    """
    web = settings.web
    if web.public_port is None:
        yield ()
        return
    names = "web.public_host or web.public_port"
    host = web.public_host or LOOPBACK
    async with serve(build_site(site, hooks), host, web.public_port, settings=names) as addresses:
        yield addresses


def condition_of(readiness: Readiness, rooms: Rooms, tested: LastTest | None) -> Condition:
    """How the service does, for people: callers come in, and some server has meetings."""
    trunks = readiness.trunks
    return Condition(
        tested,
        is_ill=not any(server.ok for server in rooms.servers)
        or (bool(trunks) and not any(trunk.ok for trunk in trunks)),
        is_draining=not readiness.accepting,
    )
