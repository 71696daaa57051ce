# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service manager is told, by the word of a socket that plays it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from time import CLOCK_MONOTONIC, clock_gettime_ns

import pytest

from dialin.systemd import ServiceManager


class Listener:
    """A manager's socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def told(self) -> list[str]:
        """What has come since the last call."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listening = Listener(tmp_path / "notify")
    yield listening
    listening.close()


def test_the_states_are_told_in_the_words_of_sd_notify(listener: Listener) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": str(listener.path)})
    manager.status("2 calls")
    manager.ready()
    manager.reloading()
    manager.stopping(12.5)

    status, ready, reloading, stopping = listener.told()
    assert (status, ready) == ("STATUS=2 calls", "READY=1")
    word, _, since = reloading.partition("\nMONOTONIC_USEC=")
    assert word == "RELOADING=1"
    assert abs(clock_gettime_ns(CLOCK_MONOTONIC) // 1000 - int(since)) < 60e6
    assert stopping == "STOPPING=1\nEXTEND_TIMEOUT_USEC=12500000"


def test_an_abstract_socket_is_reached() -> None:
    name = f"dialin-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind(f"\0{name}")
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert abstract.recv(100) == b"READY=1"


def test_without_a_manager_nothing_happens() -> None:
    ServiceManager({}).ready()


def test_a_manager_that_has_gone_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "cannot be told" in caplog.text


async def test_signs_of_life_come_twice_in_each_interval_while_all_is_well(
    listener: Listener,
) -> None:
    environment = {"NOTIFY_SOCKET": str(listener.path), "WATCHDOG_USEC": "200000"}
    is_well = True
    watch = asyncio.create_task(ServiceManager(environment).keep_watch(lambda: is_well))
    await asyncio.sleep(0.35)
    signs = listener.told()
    assert set(signs) == {"WATCHDOG=1"}
    assert len(signs) >= 2
    is_well = False
    await asyncio.sleep(0.15)
    listener.told()
    await asyncio.sleep(0.3)
    assert listener.told() == []
    watch.cancel()
    await asyncio.wait([watch])


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
    ],
)
async def test_nobody_who_looks_for_signs_of_life_gets_none(environment: dict[str, str]) -> None:
    await asyncio.wait_for(ServiceManager(environment).keep_watch(), 5)
