# SPDX-License-Identifier: GPL-3.0-or-later
"""What a relayed packet costs the media worker, beside rtpengine in user space, in one run.

    python -m bench.relay [--calls 50,200] [--rounds 6] [--seconds 2] [--audio plain,srtp]

A call has two legs of 50 packets a second each way. CPU time is what the scheduler has counted for
all threads of the process under test, loopback's soft interrupts included, divided by the packets
that arrived. Both engines run on the same machine at the same time and take turns, and only the
one under test has calls: gate on the ratio, never on the microseconds.

With SRTP both legs are encrypted, each with keys and a suite of its own, so that each packet has to
be opened and sealed again. rtpengine offers one side's key to the other, and passes packets through
where that is taken; here the other side takes another suite.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import re
import secrets
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.ng import Ng, rtpengine
from dialin.events import Codec
from dialin.media.embedded import EmbeddedEngine
from dialin.media.engine import LegSettings, MediaLeg
from dialin.wire.sdes import SrtpKeys, Suite

HOST = "127.0.0.1"
OUR_PORTS = (20000, 23999)
THEIR_PORTS = (24000, 27999)
TARGET_RATIOS = {"plain": 0.9}
"""Of plain audio only: two passes of libsrtp a packet are for the record."""
PRIORITY = -12

SUITES = (Suite.AES_CM_128_HMAC_SHA1_80, Suite.AES_CM_128_HMAC_SHA1_32)
"""Of a call's one side and of its other."""

Ports = list[int]
LegKeys = dict[str, str]
"""`suite`, and `send` and `receive` in base64, as the far end has it."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls that are up: where to send, with which keys, and how they end."""

    targets: list[Ports]
    keys: list[list[LegKeys]]
    end: Callable[[], Awaitable[None]]


Relay = Callable[[int, Ports], Awaitable[Calls]]


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

    async def run(self, calls: Calls, seconds: float, pid: int | None) -> dict[str, float]:
        """Load the targets; the generator's figures, and the CPU time of `pid` meanwhile."""
        assert self._process.stdin
        order = {"targets": calls.targets, "keys": calls.keys, "seconds": seconds}
        self._process.stdin.write(json.dumps(order) + "\n")
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


def ours(engine: EmbeddedEngine, *, encrypted: bool) -> Relay:
    """Calls through the media worker."""

    async def open_leg(port: int, beside: MediaLeg | None, keys: LegKeys | None) -> MediaLeg:
        leg = await engine.open(host=HOST, allowed=["127.0.0.0/8"], beside=beside)
        settings = LegSettings(HOST, port, port + 1, Codec.PCMU, 0, 101, False)
        await leg.configure(replace(settings, srtp=_ours_of(keys) if keys else None))
        await leg.start()
        return leg

    async def relay(calls: int, ports: Ports) -> Calls:
        pairs, keys = [], []
        for _ in range(calls):
            of_call = [_new_keys(suite) for suite in SUITES] if encrypted else [None, None]
            one = await open_leg(ports[0], None, of_call[0])
            other = await open_leg(ports[1], one, of_call[1])
            await engine.bridge(one, other)
            pairs.append((one, other))
            keys.append([each for each in of_call if each])

        async def end() -> None:
            for leg in (leg for pair in pairs for leg in pair):
                await leg.close()

        targets = [[one.rtp_port, other.rtp_port] for one, other in pairs]
        return Calls(targets, keys if encrypted else [], end)

    return relay


def _new_keys(suite: Suite) -> LegKeys:
    length = suite.key_bytes + suite.salt_bytes
    keys = {way: base64.b64encode(secrets.token_bytes(length)) for way in ("send", "receive")}
    return {"suite": suite.value} | {way: key.decode() for way, key in keys.items()}


def _ours_of(theirs: LegKeys) -> SrtpKeys:
    """The same keys, as our end has them."""
    return SrtpKeys(
        Suite(theirs["suite"]),
        send_key=base64.b64decode(theirs["receive"]),
        receive_key=base64.b64decode(theirs["send"]),
    )


def _sdp(port: int, tag: str = "1", keys: LegKeys | None = None) -> str:
    lines = ["v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0"]
    lines += [f"m=audio {port} RTP/{'SAVP' if keys else 'AVP'} 0 101"]
    lines += ["a=rtpmap:101 telephone-event/8000"]
    if keys:
        lines += [f"a=crypto:{tag} {keys['suite']} inline:{keys['send']}"]
    return "\r\n".join([*lines, ""])


def _port_of(answer: dict[str, Any]) -> int:
    media = next(line for line in answer["sdp"].splitlines() if line.startswith("m=audio"))
    return int(media.split()[1])


def _crypto_of(answer: dict[str, Any], suite: Suite) -> tuple[str, str]:
    """The tag and the key that rtpengine has of a suite."""
    found = re.search(rf"^a=crypto:(\d+) {suite} inline:([\w+/=]+)", answer["sdp"], re.M)
    assert found, answer["sdp"]
    return found[1], found[2]


def theirs(ng: Ng, *, encrypted: bool) -> Relay:
    """Calls through rtpengine."""

    def plain(call: dict[str, Any], ports: Ports) -> tuple[Ports, list[LegKeys]]:
        towards_b = _port_of(ng.ask("offer", sdp=_sdp(ports[0]), **call))
        towards_a = _port_of(ng.ask("answer", sdp=_sdp(ports[1]), to_tag="b", **call))
        return [towards_a, towards_b], []

    def secured(call: dict[str, Any], ports: Ports) -> tuple[Ports, list[LegKeys]]:
        a, b = map(_new_keys, SUITES)
        offer = ng.ask("offer", sdp=_sdp(ports[0], keys=a), DTLS="off", **call)
        tag, b["receive"] = _crypto_of(offer, SUITES[1])
        answer = ng.ask("answer", sdp=_sdp(ports[1], tag, b), to_tag="b", DTLS="off", **call)
        _, a["receive"] = _crypto_of(answer, SUITES[0])
        return [_port_of(answer), _port_of(offer)], [a, b]

    async def relay(calls: int, ports: Ports) -> Calls:
        targets, keys = [], []
        for number in range(calls):
            call: dict[str, Any] = {"call_id": f"call-{number}", "from_tag": "a", "ICE": "remove"}
            at, of_call = secured(call, ports) if encrypted else plain(call, ports)
            targets.append(at)
            keys.append(of_call)

        async def end() -> None:
            for number in range(calls):
                ng.ask("delete", call_id=f"call-{number}", from_tag="a", delete_delay=0)

        return Calls(targets, keys if encrypted else [], end)

    return relay


async def direct(calls: int, ports: Ports) -> Calls:
    """No relay: what the way through the kernel takes by itself."""

    async def end() -> None:
        pass

    return Calls([ports[::-1]] * calls, [], end)


Results = dict[tuple[int, str, str], list[dict[str, float]]]
"""What was measured, by the number of calls, plain or SRTP, and who relayed."""


async def compare(calls: list[int], rounds: int, seconds: float, audio: list[str]) -> bool:
    """Run everything, print the table, and say whether the target is met."""
    load = Load()
    results: Results = defaultdict(list)
    with rtpengine(*THEIR_PORTS) as (their_pid, ng):
        async with EmbeddedEngine(
            workers=1, port_range=OUR_PORTS, quarantine_s=0.0, media_timeout_s=30
        ) as engine:
            (our_pid,) = engine.worker_pids
            relays: list[tuple[str, str, Relay, int | None]] = [("plain", "direct", direct, None)]
            for kind in audio:
                encrypted = kind == "srtp"
                relays += [
                    (kind, "dialin", ours(engine, encrypted=encrypted), our_pid),
                    (kind, "rtpengine", theirs(ng, encrypted=encrypted), their_pid),
                ]
            for number in range(rounds):
                for count in calls:
                    for kind, name, relay, pid in relays if number % 2 else reversed(relays):
                        up = await relay(count, load.ports)
                        results[count, kind, name].append(await load.run(up, seconds, pid))
                        await up.end()
    load.close()
    return report(results, calls, audio)


def report(results: Results, calls: list[int], audio: list[str]) -> bool:
    """Print what was measured; whether the ratio is good enough everywhere."""
    print(f"load of the machine {os.getloadavg()[0]:.1f}")
    print(
        "calls  audio  relay      us/packet median [min-max]    loss      p50 us   p99 us   max us"
    )
    good = True
    for count in calls:
        for (_, kind, name), runs in sorted(
            (key, runs) for key, runs in results.items() if key[0] == count
        ):
            cost = [run["us_per_packet"] for run in runs]
            middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(
                f"{count:5}  {kind:5}  {name:9}  {median_cost(runs):8.2f}"
                f" [{min(cost):6.2f}-{max(cost):6.2f}]        {middle['loss']:7.3%}"
                f"  {middle['p50_us']:8.0f} {middle['p99_us']:8.0f} {middle['max_us']:8.0f}"
            )
        for kind in audio:
            our_cost, their_cost = (
                median_cost(results[count, kind, name]) for name in ("dialin", "rtpengine")
            )
            ratio = our_cost / their_cost
            target = TARGET_RATIOS.get(kind)
            good = good and (target is None or ratio <= target)
            aim = f"target {target}" if target else "no target"
            print(f"{count:5}  {kind:5}  ratio dialin/rtpengine {ratio:.2f} ({aim})")
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
    parser.add_argument("--audio", default="plain,srtp", help="plain, srtp, or both with a comma")
    options = parser.parse_args()
    with contextlib.suppress(PermissionError):
        os.nice(PRIORITY)  # for all processes started from here, so that other load disturbs less
    calls = [int(count) for count in options.calls.split(",")]
    audio = options.audio.split(",")
    sys.exit(0 if asyncio.run(compare(calls, options.rounds, options.seconds, audio)) else 1)


if __name__ == "__main__":
    main()
