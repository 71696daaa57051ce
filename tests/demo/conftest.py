# SPDX-License-Identifier: GPL-3.0-or-later
"""A conference stand-in that keeps the keys it hears, and somebody who can call it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from dialin.demo.conference import Conference, open_conference
from tests.demo.callers import LOOPBACK, Caller, calling


@pytest.fixture
async def conference() -> AsyncIterator[Conference]:
    async with asyncio.timeout(30), open_conference(LOOPBACK, keeps_keys=True) as running:
        yield running


@pytest.fixture
async def caller(conference: Conference) -> AsyncIterator[Caller]:
    async with calling(conference) as made:
        yield made
