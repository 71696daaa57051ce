# SPDX-License-Identifier: GPL-3.0-or-later
"""The risk of guessed PINs: printed, shown, and refused where it is too high."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import dialin.store
from dialin.app.pins import RISK_EVERY_S, Pins, opened_pins, store_file
from dialin.budgets import Limits, risk_24h
from dialin.errors import OperatorError
from dialin.rooms import Rooms
from dialin.settings import Settings
from dialin.web.metrics import Metrics
from tests.settings import SECRET
from tests.test_rooms import Server, meeting, watching

pytestmark = pytest.mark.looptime

GUESSABLE = meeting("physics", "12345")


@pytest.fixture(autouse=True)
def patience_with_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread takes real time, and the clock of these tests does not wait for it."""
    monkeypatch.setattr(dialin.store, "DONE_WITHIN_S", 1e9)
    monkeypatch.setattr(dialin.store, "WATCH_EVERY_S", 600.0)


def settings(**sections: Any) -> Settings:
    return Settings.model_validate(
        {
            "trunks": {"lab": {"allowed_sources": ["203.0.113.0/28"]}},
            "bbb_servers": {
                "main": {"url": "https://bbb.example.org/bigbluebutton/", "secret": SECRET}
            },
            "store": {"keep": False},
            **sections,
        }
    )


@asynccontextmanager
async def pins_with(
    rooms: Rooms, metrics: Metrics | None = None, **sections: Any
) -> AsyncIterator[Pins]:
    metrics = metrics or Metrics(version="0", trunks=[])
    async with (
        asyncio.TaskGroup() as tasks,
        opened_pins(settings(**sections), rooms, metrics, tasks) as pins,
    ):
        yield pins


def refusal(group: BaseExceptionGroup[BaseException]) -> OperatorError:
    (error,) = group.exceptions
    assert isinstance(error, OperatorError)
    return error


class TestAtTheStart:
    async def test_it_is_printed_and_shown(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        metrics = Metrics(version="0", trunks=[])
        async with watching(Server("one", meeting("physics"))) as rooms, pins_with(rooms, metrics):
            risk = risk_24h({9: 1}, Limits())
            assert metrics.registry.get_sample_value("dialin_pin_risk_24h") == risk
        (record,) = [one for one in caplog.records if one.name == "dialin.app.pins"]
        assert record.__dict__["in_24_h"] == "0.0015%"

    async def test_it_is_refused_where_it_is_too_high(self) -> None:
        async with watching(Server("one", GUESSABLE)) as rooms:
            with pytest.raises(BaseExceptionGroup) as refused:
                async with pins_with(rooms):
                    pytest.fail("it started")
        error = refusal(refused.value)
        assert error.cause.startswith("Somebody who guesses PINs for 24 hours")
        assert "a chance of 13.5%; pin.max_risk is 1.0%" in error.cause
        assert "pin.accept_risk" in error.remedy

    @pytest.mark.parametrize("accepts", [{"accept_risk": True}, {"max_risk": 0.2}])
    async def test_it_is_accepted_where_the_settings_say_so(self, accepts: dict[str, Any]) -> None:
        async with watching(Server("one", GUESSABLE)) as rooms, pins_with(rooms, pin=accepts):
            pass

    async def test_a_number_that_two_ways_lead_to_counts_once(self) -> None:
        async with watching(Server("one", meeting("physics"))) as rooms, pins_with(rooms) as pins:
            before = pins.risk.risk()
            await pins.static.create("physics", pin="123456789")
            assert pins.risk.risk() == before
            await pins.static.create("maths")
            assert pins.risk.risk() > before


class TestLater:
    async def test_it_is_warned_of_and_ends_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        server = Server("one")
        async with watching(server) as rooms, pins_with(rooms):
            await asyncio.sleep(RISK_EVERY_S / 2)
            server.meetings = (GUESSABLE,)
            await asyncio.sleep(3 * RISK_EVERY_S)
            assert caplog.text.count("a chance of 13.5%") == 1
            server.meetings = ()
            await asyncio.sleep(RISK_EVERY_S)
            server.meetings = (GUESSABLE,)
            await asyncio.sleep(RISK_EVERY_S)
            assert caplog.text.count("a chance of 13.5%") == 2


class TestParts:
    async def test_a_lobby_is_that_of_the_static_room(self) -> None:
        async with watching(Server("one")) as rooms, pins_with(rooms) as pins:
            await pins.static.create("physics", lobby=True)
            await pins.static.create("maths")
            lobbies = [pins.has_lobby(room) for room in ("physics", "maths", "art")]
            assert lobbies == [True, False, False]

    def test_the_store_is_in_the_state_directory(self, tmp_path: Path) -> None:
        kept = settings(service={"state_directory": tmp_path}, store={"keep": True})
        assert store_file(kept) == tmp_path / "dialin.db"
        assert store_file(settings()) is None

    async def test_limits_come_from_the_settings(self) -> None:
        limits = {
            "wrong_per_caller_per_hour": 4,
            "wrong_withheld_per_hour": 5,
            "slow_mode_above_per_hour": 60,
            "slow_mode_release_per_hour": 70,
        }
        async with watching(Server("one")) as rooms, pins_with(rooms, pin=limits) as pins:
            assert pins.desk._budgets.limits == Limits(4, 5, 60, 70)

    async def test_what_the_store_fails_at_is_counted(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("in the way")
        metrics = Metrics(version="0", trunks=[])
        state = {"state_directory": tmp_path / "state"}
        async with (
            watching(Server("one")) as rooms,
            pins_with(rooms, metrics, service=state, store={"keep": True}) as pins,
        ):
            assert pins.static.all() == ()
        count = metrics.registry.get_sample_value(
            "dialin_store_errors_total", {"cause": "cannot-open"}
        )
        assert count
