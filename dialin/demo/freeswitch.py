# SPDX-License-Identifier: GPL-3.0-or-later
"""How FreeSWITCH under BBB's profile negotiates audio: offers, answers, and changes in mid-call.

Its manners are in here: telephone-event that is not answered, another address in `o=`, `a=rtcp`,
and SRTP that is taken in `RTP/SAVP` alone. When it answers, and what becomes of the audio, is
left to `conference`.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Literal

from dialin.errors import PeerError
from dialin.events import Codec
from dialin.media.srtp import usable_suites
from dialin.wire import sdp
from dialin.wire.encryption import Encryption
from dialin.wire.sdp import MediaDescription, RemoteMedia, SessionDescription

KEYS_ON = 101
"""BBB's profile: `rfc2833-pt 101`."""
CODECS = (Codec.PCMU, Codec.PCMA, Codec.G722)
FOREIGN_HOST = "203.0.113.5"
"""What o= says instead of c=, as FreeSWITCH behind a NAT does."""

Dtmf = Literal["info", "rfc2833"]
"""The profile's `dtmf-type`. BBB's is info: telephone-event is not answered, yet heard on 101."""


class CryptoInTheClear(PeerError):
    """Keys for SRTP in an `RTP/AVP` line: FreeSWITCH answers 488."""


class Agreement:
    """Our side of one leg's offers and answers."""

    def __init__(self, host: str, port: int, *, dtmf: Dtmf, encryption: Encryption) -> None:
        """`host` and `port` are where we hear RTP; RTCP on the next one."""
        self._local = sdp.LocalMedia(host, port, secrets.randbits(31), 1)
        self._dtmf = dtmf
        self._encryption = encryption
        self._said: SessionDescription | None = None
        self._remote: RemoteMedia | None = None

    @property
    def remote(self) -> RemoteMedia:
        """Their end; to be asked for when something has been agreed."""
        if self._remote is None:
            raise LookupError("nothing is agreed yet")
        return self._remote

    @property
    def keys_on(self) -> int | None:
        """The payload type that keys are heard on."""
        return KEYS_ON if self._dtmf == "info" else self.remote.telephone_event

    def answer(self, offer: bytes) -> bytes:
        """Our answer to their offer, the first or one in mid-call. Raises PeerError."""
        offered = SessionDescription.parse(offer)
        if any(map(_has_keys_in_the_clear, offered.media)):
            raise CryptoInTheClear("a=crypto in an RTP/AVP line")
        if self._dtmf == "info":
            offered = without_telephone_events(offered)
        current = self._remote
        answer, self._remote = sdp.answer(
            offered,
            self._local,
            CODECS if current is None else (current.codec,),
            encryption=self._encryption,
            new_key=secrets.token_bytes,
            suites=usable_suites(),
            current=current.srtp if current else None,
        )
        return self._say(answer)

    def offer(self) -> bytes:
        """Our offer, where they want it."""
        if self._said is not None and self._remote is not None:
            return self._say(sdp.offer_again(self._said, self._remote.srtp))
        return self._say(
            sdp.offer(
                self._local,
                CODECS,
                telephone_event=KEYS_ON,
                encryption=self._encryption,
                new_key=secrets.token_bytes,
                suites=usable_suites(),
                opportunistic=True,
            )
        )

    def accept(self, answer: bytes) -> None:
        """Take their answer to our offer. Raises PeerError."""
        if self._said is None:
            raise LookupError("nothing was offered")
        self._remote = sdp.accept_answer(self._said, SessionDescription.parse(answer))

    def _say(self, description: SessionDescription) -> bytes:
        """A description for the wire; its version is one more if it differs (RFC 3264 §8)."""
        if self._said is not None and description != self._said:
            self._local = replace(self._local, session_version=self._local.session_version + 1)
            description = replace(description, origin=self._local.origin)
        self._said = description
        return bytes(as_freeswitch(description))


def without_telephone_events(offered: SessionDescription) -> SessionDescription:
    """What BBB's profile sees of an offer: no telephone-event that it could answer."""
    return replace(offered, media=tuple(map(_without_telephone_events, offered.media)))


def _without_telephone_events(media: MediaDescription) -> MediaDescription:
    kept = tuple(
        (name, value)
        for name, value in media.attributes
        if name != "rtpmap" or "telephone-event" not in (value or "").lower()
    )
    return replace(media, attributes=kept)


def _has_keys_in_the_clear(media: MediaDescription) -> bool:
    return media.protocol.upper() == "RTP/AVP" and media.attribute("crypto") is not None


def as_freeswitch(description: SessionDescription) -> SessionDescription:
    """The same media in FreeSWITCH's manner: another address in o=, and a=rtcp."""
    fields = description.origin.split()
    rtcp = f" IN {fields[-2]} {description.connection}"
    media = tuple(
        replace(line, attributes=(*line.attributes, ("rtcp", f"{line.port + 1}{rtcp}")))
        if line.port
        else line
        for line in description.media
    )
    return replace(
        description,
        origin=f"FreeSWITCH {fields[1]} {fields[2]} IN IP4 {FOREIGN_HOST}",
        session_name="FreeSWITCH",
        media=media,
    )
