# SPDX-License-Identifier: GPL-3.0-or-later
"""What every test stands on: a clean environment, and a guard against failures nobody looks at.

An exception that only reaches the event loop's handler, or `sys.unraisablehook`, fails the test
during which it happened. Fixtures of one module's tests live beside those tests, not here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

# No deadline: several suites may share the machine, and slowness has tests of its own.
settings.register_profile("dev", max_examples=60, deadline=None)
settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("release", parent=settings.get_profile("ci"), max_examples=5000)
# `--hypothesis-profile NAME` still has the last word.
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure() -> None:
    """Say that the main thread has no loop yet, so that no plug-in makes one that nobody closes."""
    asyncio.set_event_loop(None)


# Prefixes and names that would let the machine's own set-up leak into a test.
_FOREIGN_PREFIXES = ("DIALIN_", "NOTIFY_")
_FOREIGN_NAMES = ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "WATCHDOG_USEC", "WATCHDOG_PID")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test starts without anything the service would read from its environment."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name in _FOREIGN_NAMES:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def level_of_the_log() -> Iterator[None]:
    """A service that sets how much is logged sets it for its own test only."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture(autouse=True)
def unseen_failures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What went wrong where no caller could see it; the test fails unless this is empty at its end.

    A test that provokes such a failure on purpose takes the fixture, checks what it holds and
    clears it.
    """
    failures: list[str] = []

    def record_loop_failure(loop: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
        failures.append(f"event loop: {context.get('message')}: {context.get('exception')!r}")

    def record_unraisable(unraisable: UnraisableHookArgs) -> None:
        failures.append(f"unraisable in {unraisable.object!r}: {unraisable.exc_value!r}")

    # On the class, so that loops a test makes for itself, in threads too, are guarded as well.
    monkeypatch.setattr(asyncio.BaseEventLoop, "call_exception_handler", record_loop_failure)
    monkeypatch.setattr(sys, "unraisablehook", record_unraisable)
    yield failures
    # Lost tasks and never-awaited coroutines of this test report when they are collected; they are
    # young, so the two young generations are enough.
    gc.collect(1)
    if failures:
        pytest.fail("\n".join(["nobody looked at:", *failures]))
