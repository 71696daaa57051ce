# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign programs as peers: each runs while a block does, and none outlives it.

Only processes that were started here are ended, by their own ids. What the programs do is left to
`sipp` and `baresip`.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

FOR_PROGRAMS = range(31000, 32768)
"""Below those that the kernel chooses for others, as a rule (ip_local_port_range): a port that is
free when we look is not some connection's by the time that the program wants it."""
_given: set[int] = set()

LEAVE_S = 3.0
"""How long a program may take to end when it is told to."""


def needs(command: str, package: str) -> pytest.MarkDecorator:
    """Skip where a program is not installed."""
    return pytest.mark.skipif(
        shutil.which(command) is None, reason=f"needs {command} (Debian: {package})"
    )


def has_raw_sockets() -> bool:
    """Whether this process, and what it starts, may send packets that it made itself."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close()
    except PermissionError:
        return False
    return True


needs_raw_sockets = pytest.mark.skipif(
    not has_raw_sockets(), reason="needs raw sockets: run as root, or with CAP_NET_RAW"
)


@asynccontextmanager
async def started(*command: str | os.PathLike[str], log: Path) -> AsyncIterator[Process]:
    """A program of ours, with its output in `log`; it is over when the block is."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=output, stderr=STDOUT, cwd=log.parent
        )
    try:
        yield process
    finally:
        await end(process)


async def end(process: Process) -> None:
    """Ask it to go, and see that it does."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(LEAVE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def free_port(host: str = "127.0.0.1") -> int:
    """A port for a program that cannot tell which one it took: nobody has it, by UDP or TCP.

    Each is given once only.
    """
    while True:
        port = random.choice(FOR_PROGRAMS)  # noqa: S311 - a port, not a secret
        if port not in _given and _is_free(host, port):
            _given.add(port)
            return port


def _is_free(host: str, port: int) -> bool:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
    ):
        try:
            udp.bind((host, port))
            tcp.bind((host, port))
        except OSError:
            return False
    return True
