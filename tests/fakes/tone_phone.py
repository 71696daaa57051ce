# SPDX-License-Identifier: GPL-3.0-or-later
"""The audio side of a phone: says one tone without end, and keeps what it hears.

Each phone of a test has a tone of its own, so what another one hears proves who hears whom.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from dialin.events import Codec
from dialin.media.srtp import LegSrtp
from dialin.wire import g711, rtp, tone
from dialin.wire.dtmf import event_packets
from dialin.wire.sdes import SrtpKeys

FRAME = 160
FRAME_S = 0.02
_CODERS = {
    Codec.PCMU: (g711.ulaw_encode, g711.ulaw_decode),
    Codec.PCMA: (g711.alaw_encode, g711.alaw_decode),
}


class TonePhone:
    """One UDP socket that speaks RTP. Used as an asynchronous context manager."""

    def __init__(self, tone_hz: int, codec: Codec = Codec.PCMU, host: str = "127.0.0.1") -> None:
        """A tone in multiples of 50 Hz, so that each frame of 20 ms holds whole periods."""
        self.codec = codec
        self.tone_hz = tone_hz
        encode, self._decode = _CODERS[codec]
        self._frame = encode(tone.sine(tone_hz, 20))
        self._socket = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM
        )
        self._socket.setblocking(False)
        self._socket.bind((host, 0))
        self.host, self.port = self._socket.getsockname()[:2]
        self._sequence = 65530
        self._timestamp = 0
        self._talking: asyncio.Task[None] | None = None
        self._far_end = ("", 0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._talking:
            self._talking.cancel()
            await asyncio.wait((self._talking,))
        self._socket.close()

    def talk_to(self, host: str, port: int) -> None:
        """Say the tone to a far end from now on."""
        self._far_end = (host, port)
        self._talking = asyncio.get_running_loop().create_task(self._talk())

    async def _talk(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._send(self._frame, self.codec.payload_type, self._timestamp)
            self._timestamp = rtp.uint32_add(self._timestamp, FRAME)
            due += FRAME_S
            await asyncio.sleep(due - loop.time())

    def press(self, keys: str, payload_type: int = 101) -> None:
        """Press keys by telephone events, all at once."""
        for key in keys:
            self._timestamp = rtp.uint32_add(self._timestamp, 10 * FRAME)
            for payload in event_packets(key, 100):
                self._send(payload, payload_type, self._timestamp)

    def _send(self, payload: bytes, payload_type: int, timestamp: int) -> None:
        packet = rtp.pack(
            payload,
            payload_type=payload_type,
            marker=False,
            sequence=self._sequence,
            timestamp=timestamp,
            ssrc=self.port,
        )
        self._sequence = rtp.uint16_add(self._sequence, 1)
        self._socket.sendto(self._sealed(packet), self._far_end)

    def _sealed(self, packet: bytes) -> bytes:
        return packet

    def _opened(self, packet: bytes) -> bytes:
        return packet

    async def hear(self, frames: int = 25) -> list[int]:
        """The samples of the next packets that come."""
        loop = asyncio.get_running_loop()
        samples: list[int] = []
        for _ in range(frames):
            packet = self._opened(await loop.sock_recv(self._socket, 2048))
            samples += self._decode(packet[rtp.parse(packet).payload_offset :])
        return samples

    async def tones_heard(self, tones_hz: Iterable[int], *, settle: int = 15) -> set[int]:
        """Which tones are in the next half second, after `settle` packets to begin with.

        What has come before and waits in the socket is passed over: on a busy machine a second.
        """
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(2048)
        await self.hear(settle)
        samples = await self.hear()
        return {hertz for hertz in tones_hz if math.sqrt(2 * tone.power(samples, hertz)) > 2000}


class SrtpPhone(TonePhone):
    """The same with SRTP, once there are keys."""

    _srtp: LegSrtp

    def encrypt(self, keys: SrtpKeys) -> None:
        """Encrypt what is said, and hear nothing but what is authentic."""
        self._srtp = LegSrtp()
        self._srtp.tune(keys)

    def _sealed(self, packet: bytes) -> bytes:
        sealed = self._srtp.protect(packet)
        assert sealed is not None
        return sealed

    def _opened(self, packet: bytes) -> bytes:
        opened = self._srtp.unprotect(memoryview(packet))
        assert opened is not None
        return bytes(opened)
