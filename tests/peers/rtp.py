# SPDX-License-Identifier: GPL-3.0-or-later
"""One far end of an audio stream: says what it is given, a frame every 20 ms, and keeps all that
comes, each packet with the kernel's own time of arrival.

It encodes and decodes nothing: frames are octets. SIP is left to `phone` and `conference`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat

from pylibsrtp import Policy, Session

from dialin.events import Codec
from dialin.wire import g711, rtcp, rtp, tone
from dialin.wire.dtmf import event_packets

FRAME = 160
FRAME_S = 0.02
KEY_MS = 40
PAUSE_FRAMES = 1
"""Between two keys: ten a second, as a dialling machine presses them."""
KEYS_ON = 101
PATIENCE_S = 10.0
SO_TIMESTAMPNS = 35
"""socket(7): each datagram comes with its time of arrival; Python has no name for it."""
_TIMESPEC = struct.Struct("qq")
_ENCODERS = {Codec.PCMU: g711.ulaw_encode, Codec.PCMA: g711.alaw_encode}


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet that came."""

    header: rtp.RtpHeader
    payload: bytes = field(repr=False)
    arrived_s: float
    """By the system's clock, as the kernel took it."""


def tone_frames(codec: Codec, hertz: int) -> Iterator[bytes]:
    """A sine without end, in multiples of 50 Hz: each frame holds whole periods."""
    return repeat(_ENCODERS[codec](tone.sine(hertz, 20)))


class RtpPeer:
    """One socket for RTP, and the one above it for RTCP."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._rtp, self._rtcp = _bound_pair(host)
        self.host, self.port = self._rtp.getsockname()[:2]
        self.payload_type = Codec.PCMA.payload_type
        """Of the audio."""
        self.received: list[Packet] = []
        """All RTP that came, keys included, in the order of arrival."""
        self.reports: list[bytes] = []
        """All RTCP that came."""
        self.datagrams: list[bytes] = []
        """All that came on either port, as it was."""
        self.sent_s: dict[bytes, float] = {}
        """When each frame left, by the system's clock; of equal frames the last one."""
        self.is_silent = True
        """Whether nothing is left to say."""
        self.seal: Callable[[bytes], bytes] = bytes
        """Encrypts an RTP packet that goes."""
        self.unseal: Callable[[bytes], bytes] = bytes
        """Decrypts one that comes; raises if that cannot be done."""
        self._loop = asyncio.get_running_loop()
        self._far_end: tuple[str, int] | None = None
        self._frames: Iterator[bytes] = iter(())
        self._keys: deque[tuple[bytes, bool] | None] = deque()
        self._sequence, self._timestamp, self._key_timestamp = 65500, 2**32 - 8000, 0
        self._changed = asyncio.Event()
        self._due = self._loop.time()
        self._beat_handle: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._rtp, self._read_rtp)
        self._loop.add_reader(self._rtcp, self._read_rtcp)

    def close(self) -> None:
        """Neither send nor receive any more."""
        if self._beat_handle:
            self._beat_handle.cancel()
        for each in (self._rtp, self._rtcp):
            if each.fileno() >= 0:
                self._loop.remove_reader(each)
                each.close()

    # What it says

    def send_to(self, host: str, port: int, payload_type: int) -> None:
        """Send to this far end from now on."""
        self.payload_type = payload_type
        self._far_end = (host, port)
        if self._beat_handle is None:
            self._due = self._loop.time()
            self._beat()

    def encrypt(self, send_key: bytes, receive_key: bytes) -> None:
        """Say and hear SRTP, by AES_CM_128_HMAC_SHA1_80; keys are those of RFC 4568."""
        self.seal = Session(Policy(send_key, Policy.SSRC_ANY_OUTBOUND)).protect
        self.unseal = Session(Policy(receive_key, Policy.SSRC_ANY_INBOUND)).unprotect

    def say(self, *frames: Iterable[bytes]) -> None:
        """Say frames from the next beat on, one iterable after the other, in place of others."""
        self._frames = chain(*frames)
        self.is_silent = False

    def press(self, keys: str) -> None:
        """Press keys (RFC 4733), one after the other; what is said waits."""
        for key in keys:
            payloads = event_packets(key, KEY_MS)
            self._keys.extend((payload, place == 0) for place, payload in enumerate(payloads))
            self._keys.extend([None] * PAUSE_FRAMES)

    async def pressed(self) -> None:
        """Wait until all keys are up again."""
        await self.until(lambda: not self._keys)

    def report(self, cname: str) -> None:
        """Send an RTCP report under this name."""
        assert self._far_end
        name = rtcp.SourceDescription(self.port, cname)
        host, port = self._far_end
        self._rtcp.sendto(rtcp.compound([rtcp.ReceiverReport(self.port), name]), (host, port + 1))

    def _beat(self) -> None:
        self._due += FRAME_S
        self._beat_handle = self._loop.call_at(self._due, self._beat)
        self._timestamp = rtp.uint32_add(self._timestamp, FRAME)
        if self._keys:
            self._send_key(self._keys.popleft())
        elif (frame := next(self._frames, None)) is not None:
            self.sent_s[frame] = time.time()
            self._send(frame, self.payload_type, self._timestamp)
        else:
            self.is_silent = True
        self._changed.set()

    def _send_key(self, part: tuple[bytes, bool] | None) -> None:
        if part is not None:
            payload, is_first = part
            if is_first:
                self._key_timestamp = self._timestamp
            self._send(payload, KEYS_ON, self._key_timestamp, marker=is_first)

    def _send(
        self, payload: bytes, payload_type: int, timestamp: int, *, marker: bool = False
    ) -> None:
        self._sequence = rtp.uint16_add(self._sequence, 1)
        packet = rtp.pack(
            payload,
            payload_type=payload_type,
            marker=marker,
            sequence=self._sequence,
            timestamp=timestamp,
            ssrc=self.port,
        )
        if self._far_end:
            self._rtp.sendto(self.seal(packet), self._far_end)

    # What it hears

    @property
    def audio(self) -> list[bytes]:
        """The payloads of the audio that came."""
        return [packet.payload for packet in self.audio_packets]

    @property
    def audio_packets(self) -> list[Packet]:
        """The packets of the audio that came."""
        return [one for one in self.received if one.header.payload_type == self.payload_type]

    async def until(self, is_so: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Wait until something is so; it is looked at whenever a packet comes or goes."""
        async with asyncio.timeout(within_s):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    async def reported(self) -> None:
        """Wait until an RTCP report has come."""
        await self.until(lambda: bool(self.reports))

    def _read_rtp(self) -> None:
        while True:
            try:
                datagram, ancillary, _, _ = self._rtp.recvmsg(2048, 64)
            except OSError:
                return  # nothing more, or nobody listens where we send
            self.datagrams.append(datagram)
            self._take(self.unseal(datagram), ancillary)

    def _take(self, datagram: bytes, ancillary: list[tuple[int, int, bytes]]) -> None:
        header = rtp.parse(datagram)
        seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
        payload = datagram[header.payload_offset :][: header.payload_length]
        self.received.append(Packet(header, payload, seconds + nanoseconds / 1e9))
        self._changed.set()

    def _read_rtcp(self) -> None:
        while True:
            try:
                report = self._rtcp.recv(2048)
            except OSError:
                return
            self.datagrams.append(report)
            self.reports.append(report)
            self._changed.set()


def _bound_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Sockets at an even port and the next; the kernel chooses until it fits."""
    while True:
        first, second = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        try:
            first.bind((host, 0))
            port = first.getsockname()[1]
            if port % 2 == 0:
                second.bind((host, port + 1))
                first.setblocking(False)
                second.setblocking(False)
                first.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                return first, second
        except OSError:
            pass
        first.close()
        second.close()
