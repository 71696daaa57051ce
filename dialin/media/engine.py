# SPDX-License-Identifier: GPL-3.0-or-later
"""The media plane as all else sees it: legs that hear, play and are bridged with each other.

Whoever moves the packets implements these protocols: `embedded` with worker processes of our own,
others later. Signalling, and what a digit means, are left to the layers above.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from dialin.errors import DialinError, PeerError
from dialin.events import Digit
from dialin.media.messages import LegSettings, LegStatistics

__all__ = [
    "DIGITS_KEPT",
    "LEG_FAILED",
    "MEDIA_TIMEOUT",
    "WORKER_LOST",
    "LegSettings",
    "LegStatistics",
    "MediaEngine",
    "MediaLeg",
    "MediaRefused",
    "NoMediaPort",
    "RemoteNotAllowed",
]

DIGITS_KEPT = 32
"""More than any PIN; what is pressed beyond that is lost."""

MEDIA_TIMEOUT = "media-timeout"
"""Why a leg is lost: neither RTP nor RTCP for too long."""
WORKER_LOST = "worker-lost"
"""Why a leg is lost: the process that had it is gone."""
LEG_FAILED = "leg-failed"
"""Why a leg is lost: a bug of ours in what its worker did for it."""


class NoMediaPort(DialinError):
    """No leg can be opened now; one may be soon. The call is to be refused with Retry-After."""


class RemoteNotAllowed(PeerError):
    """SDP names an address that no media may go to or come from."""


class MediaRefused(DialinError):
    """What was asked of a leg cannot be done, or the leg is gone."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
        """Kebab-case, as `lost` or as `messages.Cause`."""


class MediaLeg(Protocol):
    """One RTP stream to one far end, and back.

    Whatever is asked of a leg that is lost or closed raises MediaRefused, except `statistics`,
    which gives the last figures known, and `close`.
    """

    @property
    def host(self) -> str:
        """The local address, for SDP."""

    @property
    def rtp_port(self) -> int:
        """The local port, for SDP; RTCP is one above."""

    @property
    def digits(self) -> asyncio.Queue[Digit]:
        """Keys as they come; a full queue loses the newest. Caller-controlled."""

    @property
    def lost(self) -> asyncio.Future[str]:
        """Why nothing more is to be expected, once that is so. Never raises."""

    async def configure(self, settings: LegSettings) -> None:
        """Take or change what offer and answer have settled. Raises RemoteNotAllowed."""

    async def start(self) -> None:
        """Send from now on: before the far end has acknowledged, no RTP leaves."""

    async def play(self, clips: Sequence[Path], *, repeat: bool = False) -> None:
        """Play raw clips in the leg's codec, and return when the last frame has left.

        Returns early when something else is played. Cancelling stops the sound at a frame.
        """

    async def stop_playing(self) -> None:
        """Stop what is played, at a frame; `play` returns."""

    async def send_digits(self, keys: str, *, payload_type: int | None = None) -> None:
        """Press keys (RFC 4733), and return when the last is up. Stops what is played.

        `payload_type`: what the far end hears events on, if not what it has agreed to.
        """

    async def mute(self, on: bool) -> None:
        """Whether the bridged leg hears silence instead of what this leg's far end says."""

    async def set_volume(self, gain_db: int) -> None:
        """How much louder this leg's far end hears the bridged leg; 0 for as it is.

        Raises MediaRefused with `codec-has-no-volume`: only G.711 can be scaled without decoding.
        """

    async def statistics(self) -> LegStatistics:
        """The figures up to now."""

    async def close(self) -> None:
        """End the leg; its ports rest. May be called again."""


class MediaEngine(Protocol):
    """Where legs come from."""

    async def open(
        self,
        *,
        host: str,
        allowed: Sequence[str],
        beside: MediaLeg | None = None,
        timeout_s: float | None = None,
    ) -> MediaLeg:
        """A leg on a local address. Raises NoMediaPort.

        `allowed`: the networks that media may come from and go to. `beside`: a leg that this one is
        to be bridged with later; only legs that were opened so can be. `timeout_s`: silence of the
        far end after which the leg is lost, if not the engine's.
        """

    async def bridge(self, a: MediaLeg, b: MediaLeg) -> None:
        """Let both hear each other; telephone events stay digits and are not passed on."""

    async def unbridge(self, a: MediaLeg, b: MediaLeg) -> None:
        """Part them, if they are bridged with each other."""

    async def close(self) -> None:
        """End all legs and whatever runs for them."""
