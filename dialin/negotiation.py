# SPDX-License-Identifier: GPL-3.0-or-later
"""What both ends of one leg have agreed on about its audio, from the first offer to the last.

Their offer is answered, or ours is made and their answer taken (RFC 3264). What they want changed
in mid-call, by re-INVITE or UPDATE, is answered at once, and the media leg learns of it when the
leg's owner asks for what has `changed`. The codec never changes: nothing here transcodes.

What may stand in an offer, and which keys SRTP gets, is the business of `wire.sdp`; when a leg is
called or answered, and what becomes of a failure, that of `call` and `bbb_voice`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from dialin.errors import PeerError
from dialin.events import Codec
from dialin.media.engine import LegSettings, MediaLeg, MediaRefused
from dialin.wire import sdp
from dialin.wire.encryption import ALL_SUITES, Encryption, NewKey
from dialin.wire.sdes import Suite

NOTHING_SAID = sdp.SessionDescription(origin="-")


@dataclass(frozen=True, slots=True)
class Terms:
    """What we are ready to agree on for a leg."""

    codecs: tuple[Codec, ...]
    """Best first."""
    encryption: Encryption
    """Whether audio is SRTP."""
    suites: tuple[Suite, ...] = ALL_SUITES
    """What the media plane can encrypt with, best first."""
    telephone_event: int = 101
    """The payload type of keys in our offers."""
    in_band_digits: bool = False
    """Whether to listen for keys as tones too."""


class Changeable(Protocol):
    """What is needed of a leg's signalling."""

    on_reoffer: Callable[[bytes | None], bytes | None]
    """Called with an offer in mid-call, None where they want ours; gives our SDP, or a refusal."""
    on_reanswer: Callable[[bytes], None]
    """Called with their answer to such an offer of ours."""


class Answerable(Changeable, Protocol):
    """What is needed of a call to us."""

    @property
    def offer(self) -> bytes | None:
        """Their SDP; None where they want ours."""

    async def answer(self, sdp: bytes) -> bytes | None:
        """Take the call; gives the SDP of their ACK."""


class Called(Changeable, Protocol):
    """What is needed of a call from us."""

    async def answered(self) -> bytes:
        """Their SDP, once they have taken the call."""

    async def early_media(self) -> bytes:
        """Their SDP from before that, whenever there is news of it."""


class Negotiation:
    """Our side of one leg's offers and answers."""

    def __init__(
        self, media: MediaLeg, host: str, terms: Terms, *, new_key: NewKey = secrets.token_bytes
    ) -> None:
        """`host` is what our descriptions name as our address; `new_key` gives SRTP its keys."""
        self._media = media
        self._terms = terms
        self._new_key = new_key
        self._local = sdp.LocalMedia(host, media.rtp_port, secrets.randbits(31), 1)
        self._said = NOTHING_SAID
        self._remote: sdp.RemoteMedia | None = None
        self._changes: asyncio.Queue[sdp.RemoteMedia] = asyncio.Queue()

    async def take_call(self, leg: Answerable) -> sdp.RemoteMedia:
        """Agree with a caller, which takes the call: by their offer, or else by ours.

        Raises PeerError where nothing can be agreed, and whatever `answer` raises.
        """
        self.attend(leg)
        if leg.offer is None:
            # Refused, it could not be made again: with SRTP as a wish, the keys are one as well.
            theirs = await leg.answer(self.offer(opportunistic=True))
            return await self.accept(theirs or b"")
        answer, self._remote = self._answer_to(leg.offer)
        await self._configure(self._remote)
        await leg.answer(answer)
        return self._remote

    async def agree(self, leg: Called) -> sdp.RemoteMedia:
        """Agree with whom we call, by their answer to the offer that the call was made with.

        An early answer (RFC 3960) configures the media leg at once, so that it is ready when the
        call is taken and loses nothing of what is sent from then on. The last answer has the last
        word. Who hears what comes before it is up to the leg's owner: nobody, unless he plays it.

        Raises PeerError where nothing can be agreed, and whatever `answered` raises.
        """
        self.attend(leg)
        following = asyncio.create_task(self._follow_early_media(leg))
        try:
            answer = await leg.answered()
        finally:
            following.cancel()
            await asyncio.wait((following,))
        return await self.accept(answer)

    async def _follow_early_media(self, leg: Called) -> None:
        while True:
            early = await leg.early_media()
            # An answer that cannot be used may yet be followed by one that can; and a media leg
            # that is gone is found out when the call is taken.
            with suppress(PeerError, MediaRefused):
                await self.accept(early)

    def offer(self, *, opportunistic: bool = False) -> bytes:
        """Our first offer. `opportunistic`: in the clear rather than not at all."""
        terms = self._terms
        return self._say(
            sdp.offer(
                self._local,
                terms.codecs,
                telephone_event=terms.telephone_event,
                encryption=terms.encryption,
                new_key=self._new_key,
                suites=terms.suites,
                opportunistic=opportunistic,
            )
        )

    async def accept(self, answer: bytes) -> sdp.RemoteMedia:
        """Take their answer to our offer. Raises PeerError."""
        self._remote = self._read_answer(answer)
        await self._configure(self._remote)
        return self._remote

    def attend(self, leg: Changeable) -> None:
        """Answer from now on what they offer in mid-call."""
        leg.on_reoffer = self._reoffered
        leg.on_reanswer = self._reanswered

    async def changed(self) -> sdp.RemoteMedia:
        """Wait for a change of theirs, and let the media leg know.

        Raises PeerError where media may not go to where they want it.
        """
        remote = await self._changes.get()
        await self._configure(remote)
        return remote

    async def ignore_tones(self) -> None:
        """Listen for no more keys in the voice: it costs more than all else in a bridged leg."""
        if self._remote and self._terms.in_band_digits:
            self._terms = replace(self._terms, in_band_digits=False)
            await self._configure(self._remote)

    async def _configure(self, remote: sdp.RemoteMedia) -> None:
        settings = LegSettings.toward(remote, in_band_digits=self._terms.in_band_digits)
        await self._media.configure(settings)

    def _answer_to(self, offer: bytes) -> tuple[bytes, sdp.RemoteMedia]:
        terms = self._terms
        description, remote = sdp.answer(
            sdp.SessionDescription.parse(offer),
            self._local,
            (self._remote.codec,) if self._remote else terms.codecs,
            encryption=terms.encryption,
            new_key=self._new_key,
            suites=terms.suites,
            current=self._remote.srtp if self._remote else None,
        )
        return self._say(description), remote

    def _read_answer(self, answer: bytes) -> sdp.RemoteMedia:
        return sdp.accept_answer(self._said, sdp.SessionDescription.parse(answer))

    def _reoffered(self, offer: bytes | None) -> bytes | None:
        """Their offer in mid-call; what cannot be taken leaves the session as it is."""
        if self._remote is None:
            return None  # it comes with their answer to ours, and that has to be read first
        if offer is None:
            return self._say(sdp.offer_again(self._said, self._remote.srtp))
        try:
            answer, remote = self._answer_to(offer)
        except PeerError:
            return None
        self._change_to(remote)
        return answer

    def _reanswered(self, answer: bytes) -> None:
        with suppress(PeerError):
            self._change_to(self._read_answer(answer))

    def _change_to(self, remote: sdp.RemoteMedia) -> None:
        """Whoever merely asks whether we are still there changes nothing (RFC 4028)."""
        before = self._remote
        if before and ipaddress.ip_address(remote.host).is_unspecified:
            # Hold as RFC 2543 had it names no address: theirs stays, and nothing is sent there.
            remote = replace(before, direction=remote.direction)
        if remote != before:
            self._remote = remote
            self._changes.put_nowait(remote)

    def _say(self, description: sdp.SessionDescription) -> bytes:
        """A description for the wire; its version is one more if it differs (RFC 3264 §8)."""
        if self._said is not NOTHING_SAID and description != self._said:
            version = self._local.session_version + 1
            self._local = replace(self._local, session_version=version)
            description = replace(description, origin=self._local.origin)
        self._said = description
        return bytes(description)
