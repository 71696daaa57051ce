# SPDX-License-Identifier: GPL-3.0-or-later
"""The service calls itself: into the room if all is well, and else it says what is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dialin import selftest
from dialin.app import parts
from dialin.errors import OperatorError
from dialin.events import Codec
from dialin.media.embedded import EmbeddedEngine
from dialin.outside import Outside
from dialin.own_phone import listens_for, opened_phone
from dialin.registry import CallSnapshot
from dialin.selftest import Outcome, Plan, SelfTest, opened_selftest, own_address
from dialin.sip import IncomingLeg, Listen, SipEndpoint
from dialin.wire import sdp
from dialin.wire.flow import Flow
from tests.fakes.carrier import NUMBER, Carrier
from tests.fakes.registrar import PASSWORD, REALM, USER
from tests.settings import complaint, settings
from tests.settings.test_peer_checks import REGISTER
from tests.world import Served, whole_service

PIN = "123456789"


class Figures:
    """A tally that keeps what it is told."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.told = asyncio.Event()

    def selftest_ended(self, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.ended.append(outcome)
        self.told.set()


@asynccontextmanager
async def media() -> AsyncIterator[EmbeddedEngine]:
    """A media plane for the phone alone."""
    async with EmbeddedEngine(
        workers=1,
        port_range=(43000, 43099),
        quarantine_s=0.0,
        media_timeout_s=30,
        latch="sdp",
    ) as engine:
        yield engine


async def figure(world: Served, name: str) -> float:
    """One figure of the metrics page."""
    page = (await world.page("/metrics")).decode()
    lines = [line for line in page.splitlines() if line.startswith(name)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


async def test_a_service_that_works_reaches_its_test_room_by_itself() -> None:
    async with whole_service(selftest={"pin": PIN, "every_s": 3600}) as world:
        success = 'dialin_selftest_runs_total{result="success"}'

        async def is_tested() -> bool:
            return await figure(world, success) == 1.0

        await world.until_true(is_tested, within_s=30)
        assert await figure(world, "dialin_selftest_last_success_timestamp_seconds") > 1e9
        assert await figure(world, "dialin_selftest_duration_seconds_count") == 1.0
        await world.until(lambda: not world.service.registry.snapshots())
        async with asyncio.timeout(10):
            await world.conference.until(lambda it: not it.members())
        assert PIN not in (await world.page("/metrics")).decode()


async def test_an_advertised_address_does_not_stand_in_the_way() -> None:
    async with whole_service(
        selftest={"pin": PIN}, sip={"advertised_address": "198.51.100.7"}
    ) as world:
        await world.until(lambda: bool(world.conference.members("123456789")), within_s=30)


async def test_a_room_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "IN_ROOM_WITHIN_S", 3.0)
    async with whole_service(selftest={"pin": "99999999999"}) as world:

        async def is_told() -> bool:
            return await figure(world, 'dialin_selftest_runs_total{result="not-in-room"}') == 1.0

        await world.until_true(is_told, within_s=50)
        assert await figure(world, "dialin_selftest_last_success_timestamp_seconds") == 0.0


async def test_without_a_pin_nothing_calls_and_no_door_is_open_for_it() -> None:
    assert parts.selftest_plan(settings(), _NO_SIP) is None
    assert [trunk.name for trunk in parts.make_trunks(settings())] == ["lab"]


_NO_SIP: Any = None


def test_the_tests_own_trunk_is_this_machine_only() -> None:
    *_, trunk = parts.make_trunks(settings({"selftest.pin": PIN}))
    assert trunk.name == selftest.TRUNK
    assert trunk.from_source("127.0.0.1")
    assert not trunk.from_source("127.0.0.2")


@pytest.mark.parametrize(
    ("first", "last", "beside"),
    [(10000, 14999, (15000, 15039)), (60000, 65535, (59960, 59999)), (1024, 65495, (65496, 65535))],
)
def test_the_phone_has_ports_beside_those_of_callers(
    first: int, last: int, beside: tuple[int, int]
) -> None:
    assert parts.ports_beside(first, last) == beside


@pytest.mark.parametrize("pin", ["1234", "123456789012", "12a45", "١٢٣٤٥"])
def test_a_pin_is_five_to_eleven_digits(pin: str) -> None:
    told = complaint({"selftest.pin": pin})
    assert told == "selftest.pin: a PIN has 5 to 11 digits."


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ([Listen("TCP", "0.0.0.0", 5060), Listen("UDP", "0.0.0.0", 5070)], "UDP 127.0.0.1:5070"),
        ([Listen("TCP", "::", 5060)], "TCP [::1]:5060"),
        ([Listen("UDP", "192.0.2.1", 5060)], "UDP 192.0.2.1:5060"),
    ],
)
def test_the_service_is_called_where_it_listens(listen: list[Listen], expected: str) -> None:
    assert str(own_address(listen)) == expected


def test_a_service_that_takes_tls_only_cannot_call_itself() -> None:
    with pytest.raises(OperatorError, match="udp or tcp"):
        own_address([Listen("TLS", "0.0.0.0", 5061)])


def test_a_plan_shows_no_pin() -> None:
    assert PIN not in repr(Plan(Flow("UDP", "127.0.0.1", 5060), "dialin", PIN, 1.0))


# A door that fails, by name


class BadDoor:
    """A service that takes calls and does something else with them."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, leg: IncomingLeg) -> None:
        if self._what == "busy":
            leg.reject(503)
        else:
            self._tasks.add(asyncio.create_task(self._answer(leg)))

    async def _answer(self, leg: IncomingLeg) -> None:
        offer = sdp.SessionDescription.parse(leg.offer or b"")
        local = sdp.LocalMedia("127.0.0.1", 9, 1, 1)
        answer, _ = sdp.answer(offer, local, [Codec.PCMA])
        await leg.answer(b"nonsense" if self._what == "nonsense" else bytes(answer))
        if self._what == "hangs-up":
            leg.hang_up()


async def outcome(what: str) -> tuple[Outcome, Figures]:
    """What a self-test says of such a door."""
    figures = Figures()
    async with (
        await SipEndpoint.open(
            [Listen("UDP", "127.0.0.1", 0)],
            allow_source=lambda _host: True,
            on_call=BadDoor(what).take,
        ) as door,
        media() as engine,
    ):
        at = door.addresses[0]
        plan = Plan(Flow("UDP", at.host, at.port), "dialin", PIN, 3600)
        calls: list[CallSnapshot] = []
        async with opened_selftest(plan, engine, calls=lambda: calls, tally=figures) as test:
            return await test.call(), figures


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "PROMPT_WITHIN_S", 0.1)
    monkeypatch.setattr(selftest, "IN_ROOM_WITHIN_S", 0.1)


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("busy", Outcome.REFUSED),
        ("silent", Outcome.NO_AUDIO),
        ("nonsense", Outcome.FAILED),
    ],
)
async def test_each_way_to_fail_has_a_word(what: str, expected: Outcome) -> None:
    found, figures = await outcome(what)
    assert found is expected
    assert figures.ended == [expected.value]


class Line:
    """A call that is up, as far as the test wants it."""

    def __init__(self, *, is_over: bool) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.pressed = ""
        if is_over:
            self.ended.set_result(None)

    async def hears(self, within_s: float) -> bool:
        return True

    async def press(self, keys: str) -> None:
        self.pressed += keys


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("is_over", [True, False])
async def test_a_call_that_ends_or_waits_before_the_room_has_not_reached_it(is_over: bool) -> None:
    nobody: Any = None
    plan = Plan(Flow("UDP", "127.0.0.1", 9), "dialin", PIN, 3600)
    test = SelfTest(nobody, plan, calls=list, tally=Figures())
    line: Any = Line(is_over=is_over)
    assert await test._follow(line) is Outcome.NOT_IN_ROOM
    assert line.pressed == f"{PIN}#"


async def test_nobody_answers() -> None:
    with pytest.MonkeyPatch.context() as patch:
        figures = Figures()
        nowhere = Flow("UDP", "127.0.0.1", 9)
        plan = Plan(nowhere, "dialin", PIN, 3600)
        async with media() as engine, opened_phone(listens_for(nowhere), engine) as phone:
            patch.setattr(phone, "calling", _quick(phone.calling))
            test = SelfTest(phone, plan, calls=list, tally=figures)
            running = asyncio.create_task(test.run())
            await asyncio.wait_for(figures.told.wait(), 10)
            running.cancel()
            await asyncio.wait([running])
    assert figures.ended == ["not-answered"]


def _quick(calling: Any) -> Any:
    return lambda *arguments, **_: calling(*arguments, answer_within_s=0.2)


# Out by a trunk

BY_TRUNK = REGISTER | {"selftest.pin": PIN, "selftest.trunk": "lab"}


def test_a_test_by_a_trunk_opens_no_door_on_this_machine() -> None:
    made = settings(BY_TRUNK)
    assert [trunk.name for trunk in parts.make_trunks(made)] == ["lab"]
    plan = parts.selftest_plan(made, _NO_SIP)
    assert plan
    assert isinstance(plan.door, Outside)
    assert (plan.number, plan.door.by.host) == ("+493012345678", "sip.example.org")
    assert PIN not in repr(plan)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"selftest.trunk": "nobody"}, "selftest.trunk: there is no trunk nobody."),
        (
            {"selftest.number": "+4915738620594"},
            "selftest.number: by a trunk, only numbers of your own trunks are called.",
        ),
        (
            {"trunks.lab.numbers": []},
            "selftest.number: by a trunk, only numbers of your own trunks are called.",
        ),
    ],
)
def test_a_test_by_a_trunk_comes_back_to_us(changes: dict[str, object], told: str) -> None:
    assert complaint(BY_TRUNK | changes) == told


def test_a_trunk_that_takes_no_calls_is_no_way_for_a_test() -> None:
    told = complaint({"selftest.pin": PIN, "selftest.trunk": "lab"})
    assert told == "selftest.trunk: trunk lab names no server that takes calls."


async def test_out_by_the_provider_back_in_and_into_the_test_room() -> None:
    async with Carrier() as carrier:
        trunk = {
            "mode": "register",
            "registrar": f"127.0.0.1:{carrier.port}",
            "domain": REALM,
            "username": USER,
            "password": PASSWORD,
            "numbers": [{"e164": NUMBER}],
        }
        test = {"pin": PIN, "trunk": "demo", "every_s": 10}
        async with whole_service(trunks={"demo": trunk}, selftest=test) as world:
            success = 'dialin_selftest_runs_total{result="success"}'

            async def is_tested() -> bool:
                return await figure(world, success) == 1.0

            await world.until_true(is_tested, within_s=50)
            assert set(carrier.called) == {NUMBER}
