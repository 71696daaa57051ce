# SPDX-License-Identifier: GPL-3.0-or-later
"""Several trunks that log in, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from dialin.registration import Registrations, TrunkRegistration
from dialin.wire.flow import Flow
from tests.registration.fake_sip import FakeNames, FakeSip, Server
from tests.registration.test_trunk import PROVIDER, A, B

pytestmark = pytest.mark.looptime

C = Flow("UDP", "192.0.2.23", 5060)


def made(sip: FakeSip, name: str, flow: Flow) -> Callable[[], TrunkRegistration]:
    """What makes a trunk at a server of its own."""
    sip.servers[flow] = Server()
    return lambda: TrunkRegistration(
        replace(PROVIDER, trunk=name),
        signalling=sip,
        names=FakeNames(flow),
        admit=sip.admit,
        token=lambda bits: "ab" * (bits // 8),
    )


def registered(trunks: Registrations) -> list[str]:
    """The names of those that are."""
    return [name for name, standing in trunks.standings.items() if standing.is_registered]


async def test_each_trunk_stands_for_itself_and_all_leave() -> None:
    sip = FakeSip()
    trunks = Registrations({"one": made(sip, "one", A), "two": made(sip, "two", B)})
    sip.servers[B].status = 403
    assert not any(standing.is_registered for standing in trunks.standings.values())
    async with asyncio.TaskGroup() as tasks:
        trunks.start(tasks)
        await asyncio.sleep(5)
        stand = trunks.standings
        assert (stand["one"].is_registered, stand["two"].cause) == (True, "forbidden")
        await trunks.close()
    assert len(sip.servers[A].leaves) == 1


async def test_a_provider_that_does_not_answer_holds_nobody_up() -> None:
    sip = FakeSip()
    trunks = Registrations({"one": made(sip, "one", A), "two": made(sip, "two", B)})
    async with asyncio.TaskGroup() as tasks:
        trunks.start(tasks)
        await asyncio.sleep(5)
        sip.servers[B].is_there = False
        before = sip.now()
        await trunks.close()
        assert sip.now() - before == pytest.approx(3)
    assert len(sip.servers[A].leaves) == 1


async def test_a_fault_of_ours_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    sip = FakeSip()
    failures = iter([True, False])
    make = made(sip, "one", A)

    def make_poisoned() -> TrunkRegistration:
        trunk = make()
        if next(failures):
            trunk._servers = None  # type: ignore[assignment]  # the poison
        return trunk

    trunks = Registrations({"one": make_poisoned, "two": made(sip, "two", B)})
    async with asyncio.TaskGroup() as tasks:
        trunks.start(tasks)
        await asyncio.sleep(5)
        assert registered(trunks) == ["two"]
        await asyncio.sleep(60)
        assert registered(trunks) == ["one", "two"]
        await trunks.close()
    assert "a registration failed" in caplog.text


async def test_those_that_stay_are_not_touched_and_the_others_come_and_go() -> None:
    sip = FakeSip()
    stays, goes, comes = (made(sip, name, at) for name, at in (("s", A), ("g", B), ("c", C)))
    trunks = Registrations({"s": stays, "g": goes})
    async with asyncio.TaskGroup() as tasks:
        trunks.start(tasks)
        await asyncio.sleep(5)
        await trunks.change({"s": stays, "c": comes}, ["somebody else"])
        await asyncio.sleep(5)
        assert registered(trunks) == ["s", "c"]
        assert (len(sip.servers[A].registers), len(sip.servers[A].leaves)) == (1, 0)
        assert len(sip.servers[B].leaves) == 1
        await trunks.close()
    assert len(sip.servers[C].leaves) == 1


async def test_one_whose_settings_changed_leaves_and_comes_back_under_them() -> None:
    sip = FakeSip()
    trunks = Registrations({"one": made(sip, "one", A)})
    async with asyncio.TaskGroup() as tasks:
        trunks.start(tasks)
        await asyncio.sleep(5)
        await trunks.change({"one": made(sip, "one", B)}, ["one"])
        await asyncio.sleep(5)
        assert registered(trunks) == ["one"]
        assert len(sip.servers[A].leaves) == 1
        assert len(sip.servers[B].registers) == 1
        await trunks.close()


async def test_a_change_before_the_first_step_of_a_task_leaves_nothing_behind() -> None:
    sip = FakeSip()
    trunks = Registrations({"one": made(sip, "one", A)})
    async with asyncio.TaskGroup() as tasks:
        trunks.start(tasks)
        await trunks.change({}, [])
        await asyncio.sleep(5)
        assert not sip.servers[A].registers
        assert trunks.standings == {}
        await trunks.close()


async def test_what_changes_before_the_start_is_started_as_it_is_then() -> None:
    sip = FakeSip()
    trunks = Registrations({"one": made(sip, "one", A)})
    await trunks.change({"two": made(sip, "two", B)}, [])
    async with asyncio.TaskGroup() as tasks:
        trunks.start(tasks)
        await asyncio.sleep(5)
        assert registered(trunks) == ["two"]
        await trunks.close()
    assert not sip.servers[A].registers


async def test_without_such_trunks_there_is_nothing_to_do() -> None:
    trunks = Registrations({})
    async with asyncio.TaskGroup() as tasks:
        trunks.start(tasks)
        await trunks.close()
    assert trunks.standings == {}


async def test_a_registration_is_made_from_scratch_and_others_are_not_touched() -> None:
    sip = FakeSip()
    trunks = Registrations({"one": made(sip, "one", A), "two": made(sip, "two", B)})
    async with asyncio.TaskGroup() as tasks:
        trunks.start(tasks)
        await asyncio.sleep(5)
        await trunks.renew("one")
        await trunks.renew("nobody")
        await asyncio.sleep(5)
        assert registered(trunks) == ["one", "two"]
        assert (len(sip.servers[A].leaves), len(sip.servers[B].leaves)) == (1, 0)
        await trunks.close()
