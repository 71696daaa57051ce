# SPDX-License-Identifier: GPL-3.0-or-later
"""The far ends of many calls, in a process of their own: sends RTP, and measures what comes back.

    python -m bench.load

First writes the ports of its two sockets, one for each side of all calls. Then, for each line on
standard input (`{"targets": [[port, port], …], "seconds": s}`), it sends 50 packets a second to
each target, in random phases, and writes `begin` and later one line of figures. A packet carries
the time it was sent; the time it arrived is the kernel's, so that reading may wait and is cheap.

With `"keys": [[{"suite": s, "send": key, "receive": key}, …], …]`, one for each target, keys in
base64, packets are SRTP: what is not authentic, or not in the clear again, is not counted.
"""

from __future__ import annotations

import base64
import json
import random
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pylibsrtp import Error, Policy, Session

HOST = "127.0.0.1"
FRAME_NS = 20_000_000
WARM_UP_S = 0.7
DRAIN_S = 0.3
LEAST_SLEEP_S = 0.0001
READ_EACH_NS = 2_000_000

SO_TIMESTAMPNS = 35
_HEADER = struct.Struct("!BBHII")
_STAMP = struct.Struct("!4sQ")
_TIMESPEC = struct.Struct("@qq")
MAGIC = b"load"
PACKET_BYTES = 172
PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
}

Change = Callable[[bytes], bytes]
"""Encrypts a packet or decrypts it."""


@dataclass(slots=True)
class Leg:
    """One far end."""

    udp: socket.socket
    target: tuple[str, int]
    due_ns: int
    packet: bytearray
    seal: Change | None
    sequence: int = 0
    timestamp: int = 0

    def send(self) -> None:
        """Send the next packet, and be due again one frame later."""
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp += 160
        struct.pack_into("!HI", self.packet, 2, self.sequence, self.timestamp)
        _STAMP.pack_into(self.packet, 12, MAGIC, time.time_ns())
        packet = self.seal(bytes(self.packet)) if self.seal else self.packet
        self.udp.sendto(packet, self.target)
        self.due_ns += FRAME_NS


@dataclass(slots=True)
class Figures:
    """What one run has shown."""

    sent: int = 0
    received: int = 0
    latencies_ns: list[int] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """For the line on standard output."""
        latencies = sorted(self.latencies_ns) or [0]
        return {
            "sent": self.sent,
            "received": self.received,
            "p50_us": latencies[len(latencies) // 2] / 1000,
            "p99_us": latencies[len(latencies) * 99 // 100] / 1000,
            "max_us": latencies[-1] / 1000,
        }


def _open() -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((HOST, 0))
    udp.setblocking(False)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return udp


def _legs(
    sockets: list[socket.socket], targets: list[list[int]], seals: dict[int, Change]
) -> list[Leg]:
    now = time.monotonic_ns()
    legs = []
    for ports in targets:
        for udp, port in zip(sockets, ports, strict=True):
            packet = bytearray(PACKET_BYTES)
            _HEADER.pack_into(packet, 0, 0x80, 0, 0, 0, random.getrandbits(32))
            phase = random.randrange(FRAME_NS)  # noqa: S311 - when, not a secret
            leg = Leg(udp, (HOST, port), now + phase, packet, seals.get(port))
            leg.sequence = random.getrandbits(15)
            legs.append(leg)
    return sorted(legs, key=lambda leg: leg.due_ns)


@dataclass(slots=True)
class Secrets:
    """How packets are encrypted, by the port that they go to and come from; empty in the clear."""

    seals: dict[int, Change] = field(default_factory=dict)
    unseals: dict[int, Change] = field(default_factory=dict)

    def open(self, packet: bytes, port: int) -> bytes:
        """A packet in the clear; nothing when it is not authentic."""
        unseal = self.unseals.get(port)
        try:
            return unseal(packet) if unseal else packet
        except Error:
            return b""


def _secrets(order: dict[str, Any]) -> Secrets:
    secrets = Secrets()
    for ports, keys in zip(order["targets"], order.get("keys") or (), strict=False):
        for port, of_leg in zip(ports, keys, strict=True):
            profile = PROFILES[of_leg["suite"]]
            send, receive = (base64.b64decode(of_leg[key]) for key in ("send", "receive"))
            secrets.seals[port] = Session(
                Policy(send, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
            ).protect
            secrets.unseals[port] = Session(
                Policy(receive, Policy.SSRC_ANY_INBOUND, srtp_profile=profile)
            ).unprotect
    return secrets


def _drain(
    sockets: list[socket.socket],
    secrets: Secrets,
    figures: Figures,
    since_ns: int = 0,
    until_ns: int = 0,
) -> None:
    """Read all there is, and count what was sent within the time that is measured."""
    for udp in sockets:
        try:
            while True:
                data, extra, _, source = udp.recvmsg(2048, 64)
                data = secrets.open(data, source[1])
                if data[12:16] != MAGIC or not extra:
                    continue
                _, sent_ns = _STAMP.unpack_from(data, 12)
                if since_ns <= sent_ns < until_ns:
                    seconds, nanoseconds = _TIMESPEC.unpack(extra[0][2])
                    figures.received += 1
                    figures.latencies_ns.append(seconds * 1_000_000_000 + nanoseconds - sent_ns)
        except BlockingIOError:
            pass


def _run(
    sockets: list[socket.socket], targets: list[list[int]], secrets: Secrets, seconds: float
) -> Figures:
    """Send for the warm-up and for the time that is measured."""
    legs = _legs(sockets, targets, secrets.seals)
    figures = Figures()
    since_ns = time.time_ns() + int(WARM_UP_S * 1e9)
    until_ns = since_ns + int(seconds * 1e9)
    begun = False
    read_at = index = 0
    while (wall := time.time_ns()) < until_ns:
        if not begun and wall >= since_ns:
            begun = True
            print("begin", flush=True)
        now = time.monotonic_ns()
        while (leg := legs[index]).due_ns <= now:  # all have one period: the order stays
            leg.send()
            figures.sent += begun
            index = (index + 1) % len(legs)
        if now >= read_at:
            _drain(sockets, secrets, figures, since_ns, until_ns)
            read_at = now + READ_EACH_NS
        idle_s = max(LEAST_SLEEP_S, (leg.due_ns - time.monotonic_ns()) / 1e9)
        time.sleep(idle_s)  # noqa: TID251 - the pace itself, no wait for something
    print("end", flush=True)
    time.sleep(DRAIN_S)  # noqa: TID251 - what is still on its way, if it comes at all
    _drain(sockets, secrets, figures, since_ns, until_ns)
    return figures


def main() -> None:
    """Serve runs until standard input ends."""
    sockets = [_open(), _open()]
    print(json.dumps([udp.getsockname()[1] for udp in sockets]), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        _drain(sockets, Secrets(), Figures())
        figures = _run(sockets, order["targets"], _secrets(order), order["seconds"])
        print(json.dumps(figures.summary()), flush=True)


if __name__ == "__main__":
    main()
