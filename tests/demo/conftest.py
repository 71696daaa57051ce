# SPDX-License-Identifier: GPL-3.0-or-later
"""A conference stand-in that keeps the keys it hears, somebody who can call it, and a mixer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from dialin.demo.conference import Conference, open_conference
from dialin.demo.mixer import Mixer
from dialin.demo.mixer_messages import Leave
from tests.demo.callers import LOOPBACK, Caller, calling


@pytest.fixture
async def conference() -> AsyncIterator[Conference]:
    async with asyncio.timeout(30), open_conference(LOOPBACK, keeps_keys=True) as running:
        yield running


@pytest.fixture
async def caller(conference: Conference) -> AsyncIterator[Caller]:
    async with calling(conference) as made:
        yield made


@pytest.fixture
def still() -> Iterator[Mixer]:
    """A mixer whose time stands still: ticks and commands are called by hand."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        mixer = Mixer(theirs, clock=lambda: 0.0)
        yield mixer
        for name in list(mixer._members):
            mixer.carry_out(Leave(name))
