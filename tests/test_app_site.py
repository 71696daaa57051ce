# SPDX-License-Identifier: GPL-3.0-or-later
"""What the public pages are told: of the settings, of rooms, and of how the service does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from dialin.app.site import (
    KnownRooms,
    SelfTestTally,
    condition_of,
    make_facts,
    make_numbers,
    trunk_encryption,
)
from dialin.rooms import Room, ServerHealth
from dialin.store import StaticRoom
from dialin.store.values import now_utc
from dialin.web.facts import TrunkEncryption, statement
from dialin.web.health import Dependency, Readiness
from dialin.web.language import words_of
from dialin.web.metrics import Metrics
from tests.settings import TOKEN, settings

PIN, BRIDGE = "987654321", "12345"
OWN = StaticRoom("demo", PIN, "Own name", True, now_utc())
MEETING = Room(
    server="main", meeting_id="demo", name="BBB's name", voice_bridge=BRIDGE, running=True
)
WELL = ServerHealth("main", ok=True, last_ok_at=None, cause="", meetings=0)
ILL = replace(WELL, ok=False, cause="timeout")
TLS = {"transport": "tls", "media_encryption": "require", "domain": "sip.example.org"}


@dataclass
class Picture:
    """BBB servers, and the PINs that rooms keep."""

    meeting: Room | None = None
    own: StaticRoom | None = None
    servers: tuple[ServerHealth, ...] = (WELL,)

    def by_meeting_id(self, meeting_id: str) -> Room | None:
        """The one meeting."""
        return self.meeting

    def get(self, meeting_id: str) -> StaticRoom | None:
        """The one room."""
        return self.own


def known(meeting: Room | None, own: StaticRoom | None) -> KnownRooms:
    picture: Any = Picture(meeting, own)
    return KnownRooms(picture, picture)


def test_a_room_of_which_nothing_is_known_is_none() -> None:
    assert known(None, None).find("demo") is None


def test_a_rooms_own_pin_comes_before_the_meetings() -> None:
    found = known(MEETING, OWN).find("demo")

    assert found
    assert (found.pin, found.pin_stays, found.running, found.lobby) == (PIN, True, True, True)
    assert found.name == "Own name"


def test_a_room_whose_meeting_is_not_there_has_its_pin_already() -> None:
    found = known(None, OWN).find("demo")

    assert found
    assert (found.pin, found.running) == (PIN, False)


def test_a_meeting_without_a_pin_of_its_own_has_the_one_that_bbb_gave_it() -> None:
    found = known(MEETING, None).find("demo")

    assert found
    assert (found.pin, found.pin_stays, found.lobby) == (BRIDGE, False, False)
    assert found.name == "BBB's name"


def test_a_room_without_a_name_has_the_meetings() -> None:
    found = known(MEETING, replace(OWN, name="")).find("demo")

    assert found
    assert found.name == "BBB's name"


def test_numbers_come_trunk_by_trunk_and_once_each() -> None:
    numbers = make_numbers(
        settings(
            {
                "trunks.lab.numbers": [
                    {"e164": "+493012345678", "languages": ["de", "en"], "label": "Berlin"},
                    {"e164": "+80012345678", "country": "DE", "toll_free": True},
                ],
                "trunks.spare.allowed_sources": ["198.51.100.0/28"],
                "trunks.spare.numbers": [
                    {"e164": "+493012345678"},
                    {"e164": "+4312345678", "language": "de"},
                ],
            }
        )
    )

    assert [number.e164 for number in numbers] == ["+493012345678", "+80012345678", "+4312345678"]
    assert [number.languages for number in numbers] == [("de", "en"), ("en",), ("de",)]
    assert numbers[0].label == "Berlin"
    assert (numbers[1].region, numbers[1].toll_free) == ("DE", True)


def test_the_pages_say_what_is_set() -> None:
    facts = make_facts(
        settings(
            {
                "service.name": "Phones",
                "label.template": "tel {digits}",
                "label.hidden": "Somebody {n}",
                "web.link_secret": TOKEN,
                "web.base_url": "https://example.org/phone/",
                "web.time_zone": "Europe/Berlin",
                "web.imprint_url": "https://example.org/imprint",
            }
        )
    )

    assert (facts.service, facts.label, facts.hidden_label) == ("Phones", "tel 1234", "Somebody 1")
    assert (facts.root, facts.prefix) == ("https://example.org/phone", "/phone")
    assert facts.zone.key == "Europe/Berlin"
    assert (facts.imprint_url, facts.privacy_url) == ("https://example.org/imprint", "")
    assert facts.consent_days is None


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({}, TrunkEncryption.WHERE_POSSIBLE),
        ({"trunks.lab.media_encryption": "off"}, TrunkEncryption.NEVER),
        ({f"trunks.lab.{key}": value for key, value in TLS.items()}, TrunkEncryption.ALWAYS),
        (
            {
                **{f"trunks.lab.{key}": value for key, value in TLS.items()},
                "trunks.spare.allowed_sources": ["198.51.100.0/28"],
            },
            TrunkEncryption.WHERE_POSSIBLE,
        ),
    ],
)
def test_what_is_promised_of_encryption_is_true_of_every_trunk(
    changes: dict[str, Any], promise: TrunkEncryption
) -> None:
    chosen = settings(changes)

    assert trunk_encryption(chosen) is promise
    said = list(statement(words_of("en"), make_facts(chosen)))
    assert words_of("en")(f"statement.{promise.value}") in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"privacy.require_consent": True}, "kept for 365 days"),
        ({"privacy.require_consent": True, "store.consent_days": 0}, "is not kept"),
    ],
)
def test_the_statement_tells_of_consent_where_it_is_asked_for(
    changes: dict[str, Any], said: str
) -> None:
    text = "\n".join(statement(words_of("en"), make_facts(settings(changes))))

    assert ("you are asked" in text) == bool(said)
    assert said in text


def test_the_statement_tells_what_is_shown_of_a_number() -> None:
    shown = "\n".join(statement(words_of("en"), make_facts(settings())))
    hidden = "\n".join(
        statement(words_of("en"), make_facts(settings({"privacy.hide_digits": True})))
    )

    assert "last four digits" in shown
    assert "No digit of your number is shown." in hidden
    assert "xxx-xxx-1234" not in hidden


TRUNK = Dependency("trunks.lab", ok=True)


@pytest.mark.parametrize(
    ("readiness", "servers", "is_ill", "is_draining"),
    [
        (Readiness(accepting=True), (WELL,), False, False),
        (Readiness(accepting=True), (ILL, WELL), False, False),
        (Readiness(accepting=True), (ILL,), True, False),
        (Readiness(accepting=False), (WELL,), False, True),
        (Readiness(accepting=True, trunks=(TRUNK,)), (WELL,), False, False),
        (Readiness(accepting=True, trunks=(replace(TRUNK, ok=False),)), (WELL,), True, False),
    ],
)
def test_the_service_is_ill_where_no_caller_could_reach_a_meeting(
    readiness: Readiness, servers: tuple[ServerHealth, ...], *, is_ill: bool, is_draining: bool
) -> None:
    picture: Any = Picture(servers=servers)
    condition = condition_of(readiness, picture, None)

    assert (condition.is_ill, condition.is_draining) == (is_ill, is_draining)


def test_the_last_self_test_is_remembered_and_counted() -> None:
    metrics = Metrics(version="1", trunks=[])
    tally = SelfTestTally(metrics, every_s=300)
    found = [tally.last]
    for outcome in ("no-audio", "success"):
        tally.selftest_ended(outcome, 1.0)
        found.append(tally.last)

    assert [test and test.ok for test in found] == [None, False, True]
    assert found[2]
    assert found[2].stale_after_s == 900
    assert sample(metrics.registry, "success") == 1


def sample(registry: CollectorRegistry, result: str) -> float | None:
    return registry.get_sample_value("dialin_selftest_runs_total", {"result": result})
