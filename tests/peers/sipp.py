# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's sipp as callers: scenarios of `tests/sipp`, a caller's number for each call.

sipp sends the keys of its `dtmf_2833_*.pcap` through raw sockets. It has an address of its own, so
that its ports are nobody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.peers.process import free_port, needs, started

SCENARIOS = Path(__file__).parents[1] / "sipp"
TRANSPORTS = {"UDP": "u1", "TCP": "t1"}
"""One socket for all calls, as a trunk has it."""
HOSTS = {"UDP": "127.0.0.21", "TCP": "127.0.0.22"}
TOLD_AT_MOST = 3000
"""Characters of a failure."""

needs_sipp = needs("sipp", "sip-tester")


async def place_calls(
    scenario: str,
    target: tuple[str, int],
    transport: str,
    *,
    numbers: Sequence[str],
    rate: int,
    stay_s: float,
    folder: Path,
    within_s: float,
    keys: Mapping[str, object] | None = None,
) -> None:
    """One call from each number, `rate` a second; every one of them has to succeed.

    A scenario finds the number in [field0], how long to stay in its `<pause/>`, and each of `keys`
    under its name in brackets.
    """
    callers = _write_callers(folder, numbers)
    host = HOSTS[transport]
    command = [
        *("sipp", f"{target[0]}:{target[1]}", "-sf", str(SCENARIOS / f"{scenario}.xml")),
        *("-t", TRANSPORTS[transport], "-i", host, "-mi", host, "-p", str(free_port(host))),
        *("-inf", callers, "-m", str(len(numbers)), "-r", str(rate)),
        *("-d", str(round(stay_s * 1000)), "-nostdin"),
        *("-trace_err", "-error_file", "errors.log", "-deadcall_wait", "100"),
    ]
    for name, value in (keys or {}).items():
        command += ["-key", name, str(value)]
    screen = folder / "screen.log"
    async with started(*command, log=screen) as process, asyncio.timeout(within_s):
        await process.wait()
    assert process.returncode == 0, f"{_tail(folder / 'errors.log')}\n{_tail(screen)}"


def _write_callers(folder: Path, numbers: Sequence[str]) -> str:
    """The injection file, by its name in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    callers = folder / "callers.csv"
    callers.write_text("SEQUENTIAL\n" + "".join(f"{number};\n" for number in numbers))
    return callers.name


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-TOLD_AT_MOST:] if path.exists() else ""
