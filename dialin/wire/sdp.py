# SPDX-License-Identifier: GPL-3.0-or-later
"""Offer and answer (RFC 3264) for one audio stream: what we offer, and what we make of theirs.

One audio line is taken, all others are refused by port 0; the codec is the first of ours that
they have too. Ports, sessions and whether an address may be sent to are left to the callers;
the text itself is read and written in `description`, and what is encrypted by which keys is chosen
in `encryption`. Their names are to be had here as well.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dialin.errors import PeerError
from dialin.events import Codec
from dialin.wire.description import (
    DIRECTIONS,
    MAX_MEDIA,
    MAX_SDP_BYTES,
    Attribute,
    Direction,
    MalformedSdp,
    MediaDescription,
    RtpMap,
    SessionDescription,
    decimal,
)
from dialin.wire.encryption import (
    ALL_SUITES,
    Encryption,
    EncryptionIsOff,
    EncryptionRequired,
    EncryptionUnusable,
    NewKey,
    answering,
    choose_line,
    is_audio_over_rtp,
    keys_agreed,
    offering,
    offering_again,
)
from dialin.wire.sdes import SrtpKeys, Suite

__all__ = [
    "MAX_MEDIA",
    "MAX_SDP_BYTES",
    "Direction",
    "Encryption",
    "EncryptionIsOff",
    "EncryptionRequired",
    "EncryptionUnusable",
    "LocalMedia",
    "MalformedSdp",
    "MediaDescription",
    "NoCommonCodec",
    "RemoteMedia",
    "RtpMap",
    "SessionDescription",
    "SrtpKeys",
    "accept_answer",
    "answer",
    "offer",
    "offer_again",
]

CLOCK_HZ = 8000
"""Of PCMU, PCMA and, by an old mistake that stays, of G.722 (RFC 3551 §4.5.2)."""
PTIME_MS = 20
LONGEST_PTIME_MS = 200
EVENTS = "0-16"
"""RFC 4733 §2.4.1: the sixteen keys and hook flash."""

TELEPHONE_EVENT = RtpMap("TELEPHONE-EVENT", CLOCK_HZ, 1)
_MAP_OF_CODEC = {codec: RtpMap(codec.value, CLOCK_HZ, 1) for codec in Codec}
_STATIC = {str(codec.payload_type): _MAP_OF_CODEC[codec] for codec in Codec}

_MIRRORED: Mapping[Direction, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
_ON_HOLD: Mapping[Direction, Direction] = {
    "sendrecv": "sendonly",
    "sendonly": "sendonly",
    "recvonly": "inactive",
    "inactive": "inactive",
}


class NoCommonCodec(PeerError):
    """No audio, or none in a codec that we have: 488 is the answer."""


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Our end of the audio, as the description shall name it."""

    host: str
    """An address of ours, never a name."""
    rtp_port: int
    """RTCP is on the next one."""
    session_id: int
    """Random; the o= line holds nothing of the caller."""
    session_version: int
    """One more with each changed description of a session (RFC 3264 §8)."""

    @property
    def origin(self) -> str:
        """The value of o=."""
        family = "IP6" if ":" in self.host else "IP4"
        return f"- {self.session_id} {self.session_version} IN {family} {self.host}"


@dataclass(frozen=True, slots=True)
class RemoteMedia:
    """Their end of the audio, as negotiated. PEER-CONTROLLED: check the host before sending."""

    host: str
    """An address in canonical form; a name is refused, for nothing is looked up for a peer."""
    rtp_port: int
    """1-65535."""
    rtcp_port: int
    """From a=rtcp (RFC 3605), else the next port; 0 where there is none."""
    codec: Codec
    """The one codec of the call."""
    payload_type: int
    """Its number in their description."""
    telephone_event: int | None
    """The number for keys; None where they do not take any."""
    direction: Direction
    """In their words: "sendonly" means that they hold us."""
    ptime_ms: int
    """The packet length that they would like."""
    srtp: SrtpKeys | None = None
    """The keys of both directions; None where the audio is in the clear."""


def offer(
    local: LocalMedia,
    codecs: Sequence[Codec],
    *,
    telephone_event: int = 101,
    encryption: Encryption = Encryption.OFF,
    new_key: NewKey | None = None,
    suites: Sequence[Suite] = ALL_SUITES,
    opportunistic: bool = False,
) -> SessionDescription:
    """An offer of our codecs, best first, and of telephone events (RFC 3264 §5).

    `new_key` is where SRTP's keys come from, and `suites` are those we have, best first.
    `opportunistic`: in the clear rather than not at all, if encryption is but preferred.
    """
    formats = {str(codec.payload_type): _MAP_OF_CODEC[codec] for codec in codecs}
    formats[str(telephone_event)] = TELEPHONE_EVENT
    profile, keys = offering(encryption, suites, new_key, opportunistic=opportunistic)
    return _description(local, (_our_audio(local, profile, formats, keys, "sendrecv"),))


def offer_again(said: SessionDescription, current: SrtpKeys | None) -> SessionDescription:
    """What we said last as an offer in mid-call: every line in its place (RFC 3264 §8)."""
    media = tuple(_again(line, current) if line.port else line for line in said.media)
    return replace(said, media=media)


def answer(
    offer: SessionDescription,
    local: LocalMedia,
    codecs: Sequence[Codec],
    *,
    encryption: Encryption = Encryption.OFF,
    new_key: NewKey | None = None,
    suites: Sequence[Suite] = ALL_SUITES,
    current: SrtpKeys | None = None,
) -> tuple[SessionDescription, RemoteMedia]:
    """Our answer to their offer (RFC 3264 §6), and what it makes of their end.

    `new_key` and `suites` as for `offer`; `current` are the keys in use, if there are any. Raises
    NoCommonCodec, EncryptionRequired, or MalformedSdp for an address that is none.
    """
    theirs, crypto = choose_line(_audio(offer.media), encryption, suites)
    codec, payload_type = _common_codec(theirs, codecs)
    formats = {payload_type: _MAP_OF_CODEC[codec]}
    events = _format_of(theirs, TELEPHONE_EVENT)
    if events is not None:
        formats[events] = TELEPHONE_EVENT
    keys, lines = answering(crypto, new_key, current)
    remote = _remote(offer, theirs, codec, payload_type, events, keys)
    ours = _our_audio(local, theirs.protocol, formats, lines, _MIRRORED[remote.direction])
    media = tuple(ours if line is theirs else _refusal(line) for line in offer.media)
    return _description(local, media), remote


def accept_answer(offered: SessionDescription, answer: SessionDescription) -> RemoteMedia:
    """What their answer to our offer makes of their end.

    Raises NoCommonCodec, EncryptionUnusable, or MalformedSdp for an address that is none.
    """
    position, ours = next((at, line) for at, line in enumerate(offered.media) if line.port)
    theirs = _audio(answer.media[position : position + 1])[0]
    keys = keys_agreed(ours, theirs)
    # Numbers that an answer leaves unexplained keep the meaning that the offer gave them.
    meanings = tuple(line for line in ours.attributes if line[0] == "rtpmap")
    theirs = replace(theirs, attributes=theirs.attributes + meanings)
    for payload_type in theirs.formats:
        codec = _codec_of(theirs, payload_type)
        if codec is not None and _format_of(ours, _MAP_OF_CODEC[codec]) is not None:
            events = _format_of(theirs, TELEPHONE_EVENT)
            return _remote(answer, theirs, codec, payload_type, events, keys)
    raise NoCommonCodec("the answer holds no codec of the offer")


# Theirs


def _audio(media: Sequence[MediaDescription]) -> list[MediaDescription]:
    """The lines of which one may be taken; at least one."""
    audio = [line for line in media if is_audio_over_rtp(line)]
    if not audio:
        raise NoCommonCodec("no audio over RTP")
    return audio


def _common_codec(media: MediaDescription, codecs: Sequence[Codec]) -> tuple[Codec, str]:
    for codec in codecs:
        payload_type = _format_of(media, _MAP_OF_CODEC[codec])
        if payload_type is not None:
            return codec, payload_type
    raise NoCommonCodec("no codec in common")


def _format_of(media: MediaDescription, wanted: RtpMap) -> str | None:
    """The first of the media's numbers that stands for it."""
    return next((number for number in _numbers(media) if _map(media, number) == wanted), None)


def _codec_of(media: MediaDescription, payload_type: str) -> Codec | None:
    found = _map(media, payload_type)
    return next((codec for codec, rtpmap in _MAP_OF_CODEC.items() if rtpmap == found), None)


def _map(media: MediaDescription, payload_type: str) -> RtpMap | None:
    """What is written goes before what RFC 3551 §6 assigns."""
    return media.rtpmap(payload_type) or _STATIC.get(payload_type)


def _numbers(media: MediaDescription) -> Iterator[str]:
    """The formats that can be payload types at all."""
    for text in media.formats:
        number = decimal(text)
        if number is not None and number <= 127:
            yield text


def _remote(
    description: SessionDescription,
    media: MediaDescription,
    codec: Codec,
    payload_type: str,
    events: str | None,
    keys: SrtpKeys | None,
) -> RemoteMedia:
    host = _address(description.host_of(media))
    direction = description.direction_of(media)
    if ipaddress.ip_address(host).is_unspecified:  # hold as RFC 2543 had it (RFC 3264 §8.4)
        direction = _ON_HOLD[direction]
    return RemoteMedia(
        host=host,
        rtp_port=media.port,
        rtcp_port=_rtcp_port(media),
        codec=codec,
        payload_type=int(payload_type),
        telephone_event=None if events is None else int(events),
        direction=direction,
        ptime_ms=_ptime_ms(media),
        srtp=keys,
    )


def _address(host: str | None) -> str:
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        raise MalformedSdp("media without an address") from None
    if "%" in str(address):
        raise MalformedSdp("media at an address with a zone")
    return str(address)


def _rtcp_port(media: MediaDescription) -> int:
    """An address in a=rtcp is passed over: RTCP goes to the host that RTP goes to."""
    text = (media.attribute("rtcp") or "").partition(" ")[0]
    port = decimal(text) or media.port + 1
    return port if port <= 65535 else 0


def _ptime_ms(media: MediaDescription) -> int:
    value = decimal((media.attribute("ptime") or "").strip())
    return value if value and value <= LONGEST_PTIME_MS else PTIME_MS


# Ours


def _description(local: LocalMedia, media: tuple[MediaDescription, ...]) -> SessionDescription:
    return SessionDescription(origin=local.origin, connection=local.host, media=media)


def _our_audio(
    local: LocalMedia,
    protocol: str,
    formats: Mapping[str, RtpMap],
    keys: Sequence[Attribute],
    direction: Direction,
) -> MediaDescription:
    attributes = list(keys)
    for number, rtpmap in formats.items():
        if rtpmap == TELEPHONE_EVENT:
            attributes.append(("rtpmap", f"{number} telephone-event/{CLOCK_HZ}"))
            attributes.append(("fmtp", f"{number} {EVENTS}"))
        else:
            attributes.append(("rtpmap", f"{number} {rtpmap.encoding}/{rtpmap.clock_hz}"))
    attributes += [("ptime", str(PTIME_MS)), (direction, None)]
    return MediaDescription(
        kind="audio",
        port=local.rtp_port,
        protocol=protocol,
        formats=tuple(formats),
        attributes=tuple(attributes),
    )


def _again(media: MediaDescription, current: SrtpKeys | None) -> MediaDescription:
    gone = {"crypto", *DIRECTIONS}
    kept = tuple(line for line in media.attributes if line[0] not in gone)
    return replace(media, attributes=(*offering_again(current), *kept, ("sendrecv", None)))


def _refusal(media: MediaDescription) -> MediaDescription:
    """RFC 3264 §6: the port is zero, the formats are there because the grammar wants some."""
    return MediaDescription(media.kind, 0, media.protocol, media.formats)
