# SPDX-License-Identifier: GPL-3.0-or-later
"""A media worker in the test's own thread, under a clock that the test moves, and far ends for it.

Sockets are real, on loopback. Time passes only in `World.advance` and `World.turn`, so that a test
of five minutes takes no longer than its packets do.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import TypeVar

from dialin.events import Codec
from dialin.media.leg import Leg
from dialin.media.messages import (
    MAX_MESSAGE_BYTES,
    Answer,
    Begin,
    Command,
    Configure,
    Count,
    Counted,
    DigitHeard,
    Done,
    Join,
    LegSettings,
    LegStatistics,
    Opened,
    OpenLeg,
    Report,
    Start,
    decode,
    encode,
)
from dialin.media.worker import Worker
from dialin.wire import rtp
from dialin.wire.rtp import RtpHeader

HOST = "127.0.0.1"
FRAME_S = 0.02
ARRIVES_WITHIN_S = 5.0

A = TypeVar("A", bound=Answer)


def free_ports(pairs: int, host: str = HOST) -> tuple[int, int]:
    """A range of so many pairs of ports that nobody has bound."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            first = probe.getsockname()[1] // 2 * 2 + 2
        last = first + 2 * pairs - 1
        if last < 65536 and all(_is_free(host, port) for port in range(first, last + 1)):
            return first, last


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def follows(packets: list[Heard]) -> bool:
    """Whether it is one stream: one SSRC, and each sequence number is next to the one before."""
    headers = [packet.header for packet in packets]
    return len({header.ssrc for header in headers}) == 1 and all(
        following.sequence == rtp.uint16_add(header.sequence, 1)
        for header, following in pairwise(headers)
    )


def steps(packets: list[Heard]) -> list[int]:
    """How far the timestamps go on from packet to packet."""
    stamps = [packet.header.timestamp for packet in packets]
    return [rtp.uint32_add(following, -stamp) for stamp, following in pairwise(stamps)]


@dataclass(frozen=True, slots=True)
class Heard:
    """One RTP packet that a far end has received."""

    header: RtpHeader
    payload: bytes
    source: tuple[str, int]


class FarEnd:
    """A phone or a conference: one RTP and one RTCP socket, and the stream it sends."""

    def __init__(self, host: str = HOST, *, ssrc: int = 0x0A0B0C0D, sequence: int = 1000) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.rtp = socket.socket(family, socket.SOCK_DGRAM)
        self.rtcp = socket.socket(family, socket.SOCK_DGRAM)
        for each in (self.rtp, self.rtcp):
            each.bind((host, 0))
            each.setblocking(False)
        self.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self.host = host
        self.ssrc = ssrc
        self.sequence = sequence
        self.timestamp = 50_000
        self.seal: Callable[[bytes], bytes] = bytes
        """What it does to a packet of RTP before it sends it."""
        self.unseal: Callable[[bytes], bytes] = bytes
        """What it does to what comes."""

    @property
    def port(self) -> int:
        return int(self.rtp.getsockname()[1])

    @property
    def rtcp_port(self) -> int:
        return int(self.rtcp.getsockname()[1])

    def send(
        self,
        port: int,
        payload: bytes = bytes(160),
        *,
        payload_type: int = 0,
        marker: bool = False,
        step: int = 160,
        skip: int = 0,
    ) -> None:
        """Send the next packet; `skip`: as if so many had been lost before it."""
        self.sequence = (self.sequence + 1 + skip) & 0xFFFF
        self.timestamp = (self.timestamp + step * (1 + skip)) & 0xFFFFFFFF
        self.repeat(port, payload, payload_type=payload_type, marker=marker)

    def repeat(
        self, port: int, payload: bytes, *, payload_type: int = 0, marker: bool = False
    ) -> None:
        """Send a packet with the numbers of the last one."""
        packet = rtp.pack(
            payload,
            payload_type=payload_type,
            marker=marker,
            sequence=self.sequence,
            timestamp=self.timestamp,
            ssrc=self.ssrc,
        )
        self.send_raw(port, self.seal(packet))

    def send_raw(self, port: int, datagram: bytes) -> None:
        self.rtp.sendto(datagram, ("::1" if ":" in self.host else HOST, port))

    def heard(self, at_least: int = 0) -> list[Heard]:
        """What has arrived since the last call; waits for as many as must come."""
        packets = list(self._drain())
        while len(packets) < at_least:
            ready, _, _ = select.select([self.rtp], [], [], ARRIVES_WITHIN_S)
            assert ready, f"{len(packets)} packets instead of {at_least}"
            packets += self._drain()
        return packets

    def heard_reports(self, at_least: int = 0) -> list[bytes]:
        """What has arrived on the RTCP port since the last call."""
        reports: list[bytes] = []
        while len(reports) < at_least:
            assert select.select([self.rtcp], [], [], ARRIVES_WITHIN_S)[0], "no report"
            reports.append(self.rtcp.recv(2048))
        try:
            while True:
                reports.append(self.rtcp.recv(2048))
        except BlockingIOError:
            return reports

    def _drain(self) -> Iterator[Heard]:
        try:
            while True:
                data, source = self.rtp.recvfrom(2048)
                data = self.unseal(data)
                header = rtp.parse(data)
                payload = data[header.payload_offset :][: header.payload_length]
                yield Heard(header, payload, source)
        except BlockingIOError:
            return

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


@dataclass(slots=True)
class LegAtWork:
    """A leg of the worker, and the far end it talks to."""

    world: World
    number: int
    port: int
    far: FarEnd
    settings: LegSettings

    def configure(self, **changes: object) -> None:
        """Take the settings with some changes."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]  # by name
        self.world.ask(lambda request: Configure(request, self.number, self.settings))

    def start(self) -> None:
        """Let it send."""
        self.world.ask(lambda request: Start(request, self.number))

    def statistics(self) -> LegStatistics:
        """Its figures."""
        return self.world.ask(lambda request: Count(request, self.number), Counted).statistics

    def send(
        self,
        payload: bytes = bytes(160),
        *,
        payload_type: int | None = None,
        marker: bool = False,
        step: int = 160,
        skip: int = 0,
    ) -> None:
        """The far end sends a packet, and the worker takes it."""
        number = self.settings.payload_type if payload_type is None else payload_type
        self.far.send(self.port, payload, payload_type=number, marker=marker, step=step, skip=skip)
        self.world.take()

    def send_raw(self, datagram: bytes) -> None:
        """The far end sends what need not be RTP, and the worker takes it."""
        self.far.send_raw(self.port, datagram)
        self.world.take()


@dataclass(slots=True)
class World:
    """A worker, and everything that a test needs round it."""

    ports: tuple[int, int] = field(default_factory=lambda: free_ports(4))
    quarantine_s: float = 0.0
    media_timeout_s: float = 30.0
    latch: str = "sdp"
    now: float = 1000.0
    reports: list[Report] = field(default_factory=list)
    """What the worker has told unasked."""
    answers: dict[int, Answer] = field(default_factory=dict)
    """What it has answered, by request."""
    service: socket.socket = field(init=False)
    worker: Worker = field(init=False)
    _requests: Iterator[int] = field(init=False, default_factory=lambda: count(1))
    _fars: list[FarEnd] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.service, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.service.setblocking(False)
        self.worker = Worker(theirs, clock=lambda: self.now, pause=lambda _: None)
        self.ask(
            lambda request: Begin(
                request, *self.ports, self.quarantine_s, self.media_timeout_s, self.latch
            )
        )

    def close(self) -> None:
        """The service goes, and the worker with it."""
        self.service.close()
        while not self.worker.is_over:
            self.worker.turn(0)
        self.worker.close()
        for far in self._fars:
            far.close()

    def turn(self) -> None:
        """Let the worker do what there is to do, if there is anything."""
        self.worker.turn(0)
        self._listen()

    def take(self) -> None:
        """Let the worker take what was sent to it, which must arrive."""
        ready, _, _ = select.select([self.worker._epoll], [], [], ARRIVES_WITHIN_S)
        assert ready, "the worker gets nothing"
        self.turn()

    def advance(self, seconds: float, *, step_s: float = FRAME_S) -> None:
        """Let time pass in steps of a frame."""
        for _ in range(round(seconds / step_s)):
            self.now += step_s
            self.turn()

    def order(self, make: Callable[[int], Command]) -> int:
        """Send a command that will be answered later; its request number."""
        request = next(self._requests)
        self.service.send(encode(make(request)))
        self.take()
        return request

    def ask(self, make: Callable[[int], Command], kind: type[A] = Done) -> A:  # type: ignore[assignment]
        """Send a command, and give its answer, which must be of that kind."""
        answer = self.answers.pop(self.order(make))
        assert isinstance(answer, kind), answer
        return answer

    def digits(self) -> str:
        """The keys that were heard since the last call, over all legs."""
        keys = "".join(report.key for report in self.reports if isinstance(report, DigitHeard))
        self.reports.clear()
        return keys

    def far_end(self, host: str = HOST, **how: int) -> FarEnd:
        """Somebody who sends and hears."""
        far = FarEnd(host, **how)
        self._fars.append(far)
        return far

    def open(self, host: str = HOST, media_timeout_s: float | None = None) -> LegAtWork:
        """A leg that the worker has no settings of."""
        number = next(self._requests)
        port = self.ask(
            lambda request: OpenLeg(request, number, host, media_timeout_s), Opened
        ).rtp_port
        far = self.far_end(host, ssrc=0xA000 + number)
        return LegAtWork(self, number, port, far, self.settings(far))

    def leg(self, *, started: bool = True, **changes: object) -> LegAtWork:
        """A leg with a far end of its own, configured and, unless told otherwise, started."""
        leg = self.open()
        leg.configure(**changes)
        if started:
            leg.start()
        return leg

    def join(self, one: LegAtWork, other: LegAtWork) -> None:
        """Bridge two legs."""
        self.ask(lambda request: Join(request, one.number, other.number))

    def settings(self, far: FarEnd) -> LegSettings:
        """Settings towards a far end."""
        return LegSettings(far.host, far.port, far.rtcp_port, Codec.PCMU, 0, 101, False)

    def leg_of(self, leg: LegAtWork) -> Leg:
        """The worker's own leg, for what no far end can bring about."""
        assert self.worker._switchboard
        return self.worker._switchboard._legs[leg.number]

    def _listen(self) -> None:
        try:
            while True:
                message = decode(self.service.recv(MAX_MESSAGE_BYTES))
                if isinstance(message, Answer):
                    self.answers[message.request] = message
                else:
                    assert isinstance(message, Report)
                    self.reports.append(message)
        except BlockingIOError:
            pass
