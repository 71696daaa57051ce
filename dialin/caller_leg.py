# SPDX-License-Identifier: GPL-3.0-or-later
"""The caller's side of a call: how it is taken, what its line is like, and how it ends.

A step that cannot go on raises CallError with the EndReason. What the caller hears and keys is left
to `line`, where they are led to `call` and `visit`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NoReturn

from dialin.errors import PeerError
from dialin.events import (
    BAD_OFFER,
    CANCELLED,
    HUNG_UP_EARLY,
    INTERNAL_ERROR,
    LEFT_ROOM,
    MEDIA_LOST,
    MEDIA_WORKER_LOST,
    NO_ACK,
    NO_COMMON_CODEC,
    NO_COMMON_ENCRYPTION,
    SESSION_EXPIRED,
    STOPPED,
    TRUNK_LOST,
    CallError,
    Codec,
    EndReason,
)
from dialin.house import House
from dialin.media.engine import LEG_FAILED, WORKER_LOST, MediaLeg, NoMediaPort
from dialin.negotiation import Negotiation, Terms
from dialin.race import any_done
from dialin.registry import CallRecord
from dialin.sip import IncomingLeg, LegEnd, LegGone
from dialin.wire import sdp
from dialin.wire.encryption import Encryption

log = logging.getLogger(__name__)

REFUSALS: dict[type[PeerError], tuple[int, EndReason, str]] = {
    sdp.NoCommonCodec: (488, NO_COMMON_CODEC, "no codec in common"),
    sdp.EncryptionIsOff: (488, NO_COMMON_ENCRYPTION, "encrypted audio is switched off here"),
    sdp.EncryptionUnusable: (488, NO_COMMON_ENCRYPTION, "SRTP by no key and suite known here"),
    sdp.EncryptionRequired: (488, NO_COMMON_ENCRYPTION, "audio must be encrypted: offer SRTP"),
    sdp.MalformedSdp: (400, BAD_OFFER, "the session description cannot be read"),
    PeerError: (488, BAD_OFFER, "the session description cannot be used"),
}
"""What a caller's side is told about SDP that leads to no call; the first that fits counts."""

RETRY_AFTER_S = (5, 30)
"""What a refused call is asked to wait; spread, so that they do not all come back at once."""
MEASURE_EVERY_S = 5.0


class CallerLeg:
    """The caller's signalling and audio."""

    media: MediaLeg
    """Its audio; there from `answer` on."""
    audio: Negotiation
    """What is agreed about it."""
    codec: Codec

    def __init__(
        self,
        sip: IncomingLeg,
        record: CallRecord,
        house: House,
        *,
        media_networks: Sequence[str],
        encryption: Encryption,
    ) -> None:
        """`media_networks` may send its audio; none: only where the signalling comes from."""
        self.sip = sip
        """The signalling."""
        self._record = record
        self._house = house
        self._media_networks = tuple(media_networks) or (sip.flow.host,)
        self._encryption = encryption

    async def answer(self, undo: AsyncExitStack) -> None:
        """Agree on media, send the 200, wait for the ACK; no RTP leaves before `media.start`."""
        undo.callback(self.sip.hang_up)
        try:
            self.media = await self._house.media.open(
                host=self.sip.local_host, allowed=self._media_networks
            )
        except NoMediaPort:
            send_elsewhere(self.sip)
            raise
        undo.push_async_callback(self._close_media)
        policy = self._house.policy
        terms = Terms(policy.codecs, self._encryption, policy.suites, in_band_digits=True)
        host = self.sip.local_host
        if self.sip.flow.host != host:  # a caller on this very machine has no NAT before it
            host = policy.advertised_host or host
        self.audio = Negotiation(self.media, host, terms)
        remote = await self._agree()
        self._show(remote)
        self.codec = remote.codec

    async def until_gone(self) -> NoReturn:
        """Runs beside the story and ends it when the leg is gone."""
        ended, lost = self.sip.ended, self.media.lost
        await any_done(ended, lost)
        if ended.done():
            raise CallError(self._reason_for(ended.result()))
        raise CallError(reason_for_silence(lost.result(), MEDIA_LOST))

    async def follow(self) -> NoReturn:
        """Runs beside the story: what the caller's side changes in mid-call reaches the media."""
        try:
            while True:
                self._show(await self.audio.changed())
        except PeerError as unusable:
            raise CallError(BAD_OFFER) from unusable

    async def measure(self) -> NoReturn:
        """Runs beside the story and keeps the figures that operators see."""
        while True:
            await asyncio.sleep(MEASURE_EVERY_S)
            figures = await self.media.statistics()
            self._record.measured(
                packets_lost=figures.packets_lost, jitter_ms=round(figures.jitter_ms, 1)
            )

    async def _close_media(self) -> None:
        try:
            self._house.tally.leg_ended("trunk", await self.media.statistics())
        finally:
            await self.media.close()

    async def _agree(self) -> sdp.RemoteMedia:
        """Offer and answer, and with them the ACK."""
        try:
            return await self.audio.take_call(self.sip)
        except LegGone as gone:
            raise CallError(self._reason_for(gone.end)) from gone
        except PeerError as unusable:
            status, reason, warning = next(
                refusal for kind, refusal in REFUSALS.items() if isinstance(unusable, kind)
            )
            log.warning("offer refused with %d: %s", status, warning)
            self.sip.reject(status, warning=warning)
            raise CallError(reason) from unusable

    def _show(self, remote: sdp.RemoteMedia) -> None:
        self._record.speaks(remote.codec.value, encrypted=remote.srtp is not None)

    def _reason_for(self, end: LegEnd) -> EndReason:
        """The leg's end in the words of the story."""
        match end.by, end.cause:
            case "peer", "cancel":
                return CANCELLED
            case "peer", _:
                return LEFT_ROOM if self._record.has_been_in_room else HUNG_UP_EARLY
            case _, "no-ack":
                return NO_ACK
            case _, "session-expired":
                return SESSION_EXPIRED
            case "us", _:
                return STOPPED
            case _:
                return TRUNK_LOST


def send_elsewhere(leg: IncomingLeg) -> None:
    """Refuse a call that cannot be taken now; the provider may try another way."""
    leg.reject(503, retry_after_s=random.randint(*RETRY_AFTER_S))  # noqa: S311 - only spreads load


def reason_for_silence(cause: str, silent_side: EndReason) -> EndReason:
    """Why a media leg was lost: something of ours failed, or nothing came from that side."""
    return {WORKER_LOST: MEDIA_WORKER_LOST, LEG_FAILED: INTERNAL_ERROR}.get(cause, silent_side)
