# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the media tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.media.world import World


@pytest.fixture
def worlds() -> Iterator[Callable[..., World]]:
    """Makes worlds as a test wants them, and ends them after it."""
    made: list[World] = []

    def make(**settings: object) -> World:
        world = World(**settings)  # type: ignore[arg-type]  # by field name
        made.append(world)
        return world

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    """A worker with four pairs of ports and no quarantine."""
    return worlds()
