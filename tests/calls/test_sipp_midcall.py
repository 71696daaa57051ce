# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's sipp in calls that are up: hold, resume, no offer, another port, UPDATE, INFO, timers.

The whole service answers, so that what it says of its audio is what its audio does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dialin.wire import session_expires
from tests.calls.scene import scene
from tests.calls.test_sipp_calls import numbers_of
from tests.peers.sipp import HOSTS, needs_sipp, place_calls

pytestmark = needs_sipp

CALLS = 20
FRAME_S = 0.02
SHORTEST_S = 3
"""A session interval of which the test is over in seconds; RFC 4028 has 90."""
FOLLOWS_WITHIN_S = 0.1


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
@pytest.mark.parametrize("scenario", ["reinvite-hold-resume", "reinvite-no-sdp", "update"])
async def test_twenty_callers_change_their_calls(
    tmp_path: Path, scenario: str, transport: str
) -> None:
    async with scene(tmp_path) as stage:
        await place_calls(
            scenario,
            ("127.0.0.1", stage.served.sip_port(transport.lower())),
            transport,
            numbers=numbers_of(CALLS),
            rate=CALLS,
            stay_s=0.0,
            folder=tmp_path,
            within_s=20.0,
        )
        await stage.is_over(hung_up_early=CALLS)


async def test_twenty_callers_key_their_pins_by_info(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        await place_calls(
            "call-pin-info",
            ("127.0.0.1", stage.served.sip_port("udp")),
            "UDP",
            numbers=numbers_of(CALLS),
            rate=CALLS,
            stay_s=3.0,
            folder=tmp_path,
            within_s=20.0,
        )
        await stage.is_over(left_room=CALLS)


async def test_calls_that_nobody_refreshes_end_and_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_expires, "MIN_SE_S", SHORTEST_S)
    async with scene(tmp_path) as stage:
        await place_calls(
            "session-timer-uac",
            ("127.0.0.1", stage.served.sip_port("udp")),
            "UDP",
            numbers=numbers_of(CALLS),
            rate=CALLS,
            stay_s=0.0,
            folder=tmp_path,
            within_s=20.0,
            keys={"interval": SHORTEST_S},
        )
        await stage.is_over(session_expired=CALLS)


@pytest.mark.parametrize(
    ("setting", "said"), [(True, None), (False, None), (600, "600;refresher=uas")]
)
async def test_an_operator_may_want_sessions_timed_that_callers_do_not(
    tmp_path: Path, setting: bool | int, said: str | None
) -> None:
    trunk = {"allowed_sources": ["127.0.0.0/8"], "session_timers": setting}
    async with scene(tmp_path, trunks={"demo": trunk}) as stage, stage.phone() as phone:
        assert await phone.dial() == 200
        assert phone.final.result().headers.get("Session-Expires") == said
        await phone.hang_up()


async def test_audio_follows_to_another_port_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        with ear() as first, ear() as second:
            await place_calls(
                "reinvite-port-change",
                ("127.0.0.1", stage.served.sip_port("udp")),
                "UDP",
                numbers=numbers_of(1),
                rate=1,
                stay_s=0.0,
                folder=tmp_path,
                within_s=20.0,
                keys={"first_port": first.port, "second_port": second.port},
            )
            # A second of each: the prompt is longer than that.
            assert len(first.heard_at) == pytest.approx(1.0 / FRAME_S, rel=0.25)
            assert len(second.heard_at) == pytest.approx(1.0 / FRAME_S, rel=0.25)
            assert 0.0 < second.heard_at[0] - first.heard_at[-1] < FOLLOWS_WITHIN_S
        await stage.is_over(hung_up_early=1)


class Ear:
    """A socket that notes when something arrives."""

    def __init__(self, ear: socket.socket) -> None:
        self._socket = ear
        self._loop = asyncio.get_running_loop()
        self.port: int = ear.getsockname()[1]
        self.heard_at: list[float] = []

    def hear(self) -> None:
        """Something has come."""
        self._socket.recv(2048)
        self.heard_at.append(self._loop.time())


@contextmanager
def ear() -> Iterator[Ear]:
    """An ear where sipp says that its audio is."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setblocking(False)
        bound.bind((HOSTS["UDP"], 0))
        hearing = Ear(bound)
        loop.add_reader(bound, hearing.hear)
        try:
            yield hearing
        finally:
            loop.remove_reader(bound)
