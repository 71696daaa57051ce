# SPDX-License-Identifier: GPL-3.0-or-later
"""What a relayed packet costs the media worker, beside rtpengine in user space, in one run.

    python -m bench.relay [--calls 50,200] [--rounds 6] [--seconds 2]

A call has two legs of 50 packets a second each way. CPU time is what the scheduler has counted for
all threads of the process under test, loopback's soft interrupts included, divided by the packets
that arrived. Both engines run on the same machine at the same time and take turns, and only the
one under test has calls: gate on the ratio, never on the microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.ng import Ng, rtpengine
from dialin.events import Codec
from dialin.media.embedded import EmbeddedEngine
from dialin.media.engine import LegSettings, MediaLeg

HOST = "127.0.0.1"
OUR_PORTS = (20000, 23999)
THEIR_PORTS = (24000, 27999)
TARGET_RATIO = 0.9
PRIORITY = -12

Ports = list[int]
Relay = Callable[[int, Ports], Awaitable[tuple[list[Ports], Callable[[], Awaitable[None]]]]]


class Load:
    """The generator's process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ports: Ports = json.loads(self._line())

    async def run(self, targets: list[Ports], seconds: float, pid: int | None) -> dict[str, float]:
        """Load the targets; the generator's figures, and the CPU time of `pid` meanwhile."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"targets": targets, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        await asyncio.to_thread(self._line)
        before_ns = cpu_ns(pid)
        await asyncio.to_thread(self._line)
        used_ns = cpu_ns(pid) - before_ns
        figures: dict[str, float] = json.loads(await asyncio.to_thread(self._line))
        figures["us_per_packet"] = used_ns / 1000 / max(1.0, figures["received"])
        figures["loss"] = 1 - figures["received"] / figures["sent"]
        return figures

    def close(self) -> None:
        """End the generator."""
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


def cpu_ns(pid: int | None) -> int:
    """The CPU time of all threads of a process, as the scheduler counts it."""
    if pid is None:
        return 0
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def ours(engine: EmbeddedEngine) -> Relay:
    """Calls through the media worker."""

    async def open_leg(port: int, beside: MediaLeg | None) -> MediaLeg:
        leg = await engine.open(host=HOST, allowed=["127.0.0.0/8"], beside=beside)
        await leg.configure(LegSettings(HOST, port, port + 1, Codec.PCMU, 0, 101, False))
        await leg.start()
        return leg

    async def relay(calls: int, ports: Ports) -> tuple[list[Ports], Callable[[], Awaitable[None]]]:
        pairs = []
        for _ in range(calls):
            one = await open_leg(ports[0], None)
            other = await open_leg(ports[1], one)
            await engine.bridge(one, other)
            pairs.append((one, other))

        async def end() -> None:
            for leg in (leg for pair in pairs for leg in pair):
                await leg.close()

        return [[one.rtp_port, other.rtp_port] for one, other in pairs], end

    return relay


def theirs(ng: Ng) -> Relay:
    """Calls through rtpengine."""

    def sdp(port: int) -> str:
        lines = ["v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0"]
        lines += [f"m=audio {port} RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", ""]
        return "\r\n".join(lines)

    def port_of(answer: dict[str, Any]) -> int:
        media = next(line for line in answer["sdp"].splitlines() if line.startswith("m=audio"))
        return int(media.split()[1])

    async def relay(calls: int, ports: Ports) -> tuple[list[Ports], Callable[[], Awaitable[None]]]:
        targets = []
        for number in range(calls):
            call: dict[str, Any] = {"call_id": f"call-{number}", "from_tag": "a", "ICE": "remove"}
            towards_b = port_of(ng.ask("offer", sdp=sdp(ports[0]), **call))
            towards_a = port_of(ng.ask("answer", sdp=sdp(ports[1]), to_tag="b", **call))
            targets.append([towards_a, towards_b])

        async def end() -> None:
            for number in range(calls):
                ng.ask("delete", call_id=f"call-{number}", from_tag="a", delete_delay=0)

        return targets, end

    return relay


async def direct(calls: int, ports: Ports) -> tuple[list[Ports], Callable[[], Awaitable[None]]]:
    """No relay: what the way through the kernel takes by itself."""

    async def end() -> None:
        pass

    return [ports[::-1]] * calls, end


async def compare(calls: list[int], rounds: int, seconds: float) -> bool:
    """Run everything, print the table, and say whether the target is met."""
    load = Load()
    results: dict[tuple[int, str], list[dict[str, float]]] = defaultdict(list)
    with rtpengine(*THEIR_PORTS) as (their_pid, ng):
        async with EmbeddedEngine(
            workers=1, port_range=OUR_PORTS, quarantine_s=0.0, media_timeout_s=30
        ) as engine:
            (our_pid,) = engine.worker_pids
            relays: list[tuple[str, Relay, int | None]] = [
                ("direct", direct, None),
                ("dialin", ours(engine), our_pid),
                ("rtpengine", theirs(ng), their_pid),
            ]
            for number in range(rounds):
                for count in calls:
                    for name, relay, pid in relays if number % 2 else reversed(relays):
                        targets, end = await relay(count, load.ports)
                        results[count, name].append(await load.run(targets, seconds, pid))
                        await end()
    load.close()
    return report(results, calls)


def report(results: dict[tuple[int, str], list[dict[str, float]]], calls: list[int]) -> bool:
    """Print what was measured; whether the ratio is good enough everywhere."""
    print("calls  relay      us/packet median [min-max]    loss      p50 us   p99 us   max us")
    good = True
    for count in calls:
        for name in ("direct", "dialin", "rtpengine"):
            runs = results[count, name]
            cost = [run["us_per_packet"] for run in runs]
            middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(
                f"{count:5}  {name:9}  {median_cost(runs):8.2f}"
                f" [{min(cost):6.2f}-{max(cost):6.2f}]        {middle['loss']:7.3%}"
                f"  {middle['p50_us']:8.0f} {middle['p99_us']:8.0f} {middle['max_us']:8.0f}"
            )
        ratio = median_cost(results[count, "dialin"]) / median_cost(results[count, "rtpengine"])
        good = good and ratio <= TARGET_RATIO
        print(f"{count:5}  ratio dialin/rtpengine {ratio:.2f} (target {TARGET_RATIO})")
    return good


def median_cost(runs: list[dict[str, float]]) -> float:
    """The middle of what a packet has cost."""
    return statistics.median(run["us_per_packet"] for run in runs)


def main() -> None:
    """Read the command line, and exit 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", default="50,200", help="numbers of calls, with commas")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    with contextlib.suppress(PermissionError):
        os.nice(PRIORITY)  # for all processes started from here, so that other load disturbs less
    calls = [int(count) for count in options.calls.split(",")]
    sys.exit(0 if asyncio.run(compare(calls, options.rounds, options.seconds)) else 1)


if __name__ == "__main__":
    main()
