# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole service in a process of its own, for tools that bring their own event loop.

Says on standard output where its pages are, and ends when standard input does.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

from dialin.app import api
from dialin.web.api import Tokens
from tests.world import whole_service

PATIENT = partial(Tokens, wrong_per_minute=1_000_000)
"""Tools that try wrong tokens want to be told so each time."""


@contextmanager
def service() -> Iterator[str]:
    """The address of the pages of one that runs while the block does, and ends in good order."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.served"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout
        assert running.stdin
        yield running.stdout.readline().strip()
        running.stdin.close()
        assert running.wait(timeout=20) == 0


async def main() -> None:
    with tempfile.TemporaryDirectory() as state, patch.object(api, "Tokens", PATIENT):
        async with whole_service(
            web={
                "link_secret": "s3cret-of-the-links-Xq7Lw2Vb9Zr4",
                "requests_per_minute": 100_000,
            },
            service={"state_directory": state},
        ) as world:
            sys.stdout.write(f"{world.http}\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
