# SPDX-License-Identifier: GPL-3.0-or-later
"""A leg as the service holds it: each method is a command to the worker that has the sockets.

Checks what SDP says before a worker sees it. What the commands do is in `leg`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from dialin.events import Digit
from dialin.media.addresses import Network, permitted
from dialin.media.engine import DIGITS_KEPT, MediaRefused, RemoteNotAllowed
from dialin.media.messages import (
    Answer,
    CloseLeg,
    Command,
    Configure,
    Count,
    Counted,
    DigitHeard,
    LegLost,
    LegSettings,
    LegStatistics,
    Mute,
    Play,
    SendDigits,
    SetVolume,
    Start,
    StopPlaying,
)
from dialin.media.process import WorkerProcess

logger = logging.getLogger(__name__)


class EmbeddedLeg:
    """Implements `engine.MediaLeg`."""

    def __init__(
        self,
        worker: WorkerProcess,
        number: int,
        *,
        host: str,
        rtp_port: int,
        allowed: Sequence[Network],
        is_own: Callable[[str, int], bool],
        on_close: Callable[[EmbeddedLeg], object],
    ) -> None:
        self.host = host
        self.rtp_port = rtp_port
        self.digits: asyncio.Queue[Digit] = asyncio.Queue(DIGITS_KEPT)
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.worker = worker
        self.number = number
        self._allowed = allowed
        self._is_own = is_own
        self._on_close = on_close
        self._is_closed = False
        self._statistics = LegStatistics()

    async def configure(self, settings: LegSettings) -> None:
        """Take or change what offer and answer have settled. Raises RemoteNotAllowed."""
        checked = self._checked(settings)
        await self.ask(lambda request: Configure(request, self.number, checked))

    async def start(self) -> None:
        """Send from now on."""
        await self.ask(lambda request: Start(request, self.number))

    async def play(self, clips: Sequence[Path], *, repeat: bool = False) -> None:
        """Play clips, and return when the last frame has left or something else is played."""
        paths = tuple(map(str, clips))
        await self._perform(lambda request: Play(request, self.number, paths, repeat))

    async def stop_playing(self) -> None:
        """Stop what is played, at a frame."""
        await self.ask(lambda request: StopPlaying(request, self.number, only=None))

    async def send_digits(self, keys: str, *, payload_type: int | None = None) -> None:
        """Press keys, and return when the last is up."""
        await self._perform(lambda request: SendDigits(request, self.number, keys, payload_type))

    async def mute(self, on: bool) -> None:
        """Whether the bridged leg hears silence instead of what this leg's far end says."""
        await self.ask(lambda request: Mute(request, self.number, on))

    async def set_volume(self, gain_db: int) -> None:
        """How much louder the bridged leg is heard. Raises MediaRefused."""
        await self.ask(lambda request: SetVolume(request, self.number, gain_db))

    async def statistics(self) -> LegStatistics:
        """The figures up to now, or up to the end."""
        with contextlib.suppress(MediaRefused):  # lost or closed: what was known last
            answer = await self.ask(lambda request: Count(request, self.number))
            self._statistics = cast(Counted, answer).statistics
        return self._statistics

    async def close(self) -> None:
        """End the leg; its ports rest."""
        if self._is_closed:
            return
        self._is_closed = True
        self._on_close(self)
        _, answer = self.worker.send(lambda request: CloseLeg(request, self.number))
        with contextlib.suppress(MediaRefused):  # the worker has lost it before
            self._statistics = cast(Counted, await answer).statistics

    def hear(self, digit: DigitHeard) -> None:
        """A key was pressed."""
        if not self.digits.full():
            self.digits.put_nowait(Digit(digit.key, digit.source))

    def lose(self, loss: LegLost) -> None:
        """Nothing more is to be expected."""
        if loss.detail:
            logger.error("media leg %d failed: %s", self.number, loss.detail)
        if not self.lost.done():
            self.lost.set_result(loss.cause)

    async def ask(self, make: Callable[[int], Command]) -> Answer:
        """Send a command, and wait for its answer. Raises MediaRefused."""
        if self._is_closed:
            raise MediaRefused("closed")
        _, answer = self.worker.send(make)
        return await answer

    async def _perform(self, make: Callable[[int], Command]) -> None:
        """Send a command that takes its time; when nobody waits for its end, it ends at once."""
        if self._is_closed:
            raise MediaRefused("closed")
        number, answer = self.worker.send(make)
        try:
            await answer
        except asyncio.CancelledError:
            self.worker.tell(lambda request: StopPlaying(request, self.number, only=number))
            raise

    def _checked(self, settings: LegSettings) -> LegSettings:
        """The settings with the remote address as the kernel spells it, if it may be used."""
        host = settings.remote_host
        ports = [settings.remote_rtp_port]
        if settings.remote_rtcp_port:
            ports.append(settings.remote_rtcp_port)
        for port in ports:
            host = permitted(host, port, local_host=self.host, allowed=self._allowed)
            if self._is_own(host, port):
                raise RemoteNotAllowed("media address is one of our own ports")
        return replace(settings, remote_host=host)
