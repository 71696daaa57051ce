# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether audio is encrypted, and with which keys: what is wanted here over what a peer offers.

Keys travel as a=crypto lines (RFC 4568 §7), in RTP/SAVP where encryption is a condition and in
RTP/AVP where it is a wish (RFC 8643). DTLS is not spoken. How a line is written is left to `sdes`,
codecs and addresses to `sdp`, and whether the signalling keeps the keys secret to the callers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from dialin.errors import PeerError
from dialin.wire.description import Attribute, MediaDescription
from dialin.wire.sdes import Crypto, MalformedCrypto, MasterKey, SrtpKeys, Suite

NewKey = Callable[[int], bytes]
"""Gives so many octets of a secret that was never given before."""

ALL_SUITES = tuple(Suite)

PLAIN_RTP = frozenset({"RTP/AVP", "RTP/AVPF"})
"""AVPF (RFC 4585) is AVP with earlier feedback, which nobody is obliged to send."""
SECURE_RTP = frozenset({"RTP/SAVP", "RTP/SAVPF"})
"""The same as SRTP (RFC 3711 §12, RFC 5124). With UDP/TLS before it the keys come by DTLS."""


class Encryption(StrEnum):
    """What is wanted of a leg's audio."""

    OFF = "off"
    PREFER = "prefer"
    REQUIRE = "require"


class EncryptionRequired(PeerError):
    """One side insists on SRTP and does not get it from the other: 488 is the answer.

    Raised as such where it is ours that insists, and the peer has nothing to do with SRTP.
    """


class EncryptionIsOff(EncryptionRequired):
    """They insist on SRTP, and here it is switched off."""


class EncryptionUnusable(EncryptionRequired):
    """SRTP is offered, but by no key, suite or parameter that we can use."""


def is_audio_over_rtp(line: MediaDescription) -> bool:
    """Whether a line offers audio that might be taken, encrypted or not."""
    protocol = line.protocol.upper()
    return line.kind == "audio" and line.port > 0 and (protocol in PLAIN_RTP or "SAVP" in protocol)


def choose_line(
    audio: Sequence[MediaDescription], encryption: Encryption, suites: Sequence[Suite]
) -> tuple[MediaDescription, Crypto | None]:
    """The audio line of an offer to take, and the best of its keys; None where it stays clear.

    The first line that can be encrypted goes before the first that is in the clear. `suites` are
    those we have, best first. Raises EncryptionRequired, for `audio` of one line or more.
    """
    if encryption is not Encryption.OFF:
        for line in audio:
            crypto = _best(line, suites)
            if crypto is not None:
                return line, crypto
    plain = [line for line in audio if line.protocol.upper() in PLAIN_RTP]
    if plain and encryption is not Encryption.REQUIRE:
        return plain[0], None
    raise _mismatch(audio, encryption)


def answering(
    theirs: Crypto | None, new_key: NewKey | None, current: SrtpKeys | None
) -> tuple[SrtpKeys | None, tuple[Attribute, ...]]:
    """The keys that follow from the line of theirs that was chosen, and the line that answers it.

    That line has their tag, their suite and our key (RFC 4568 §7.1.2). An offer that repeats the
    key in use changes nothing. Another key means that theirs is a new SRTP context, perhaps on
    another machine that knows nothing of ours (RFC 4568 §7.1.4), so ours begins anew as well.
    """
    if theirs is None:
        return None, ()
    (received,) = theirs.keys
    agreed = (theirs.suite, received.key_and_salt, received.mki)
    keys = current
    if keys is None or (keys.suite, keys.receive_key, keys.receive_mki) != agreed:
        send_key = _fresh(new_key, theirs.suite)
        keys = SrtpKeys(theirs.suite, send_key, received.key_and_salt, received.mki)
    return keys, (_line(theirs.tag, keys.suite, keys.send_key),)


def offering(
    encryption: Encryption,
    suites: Sequence[Suite],
    new_key: NewKey | None,
    *,
    opportunistic: bool,
) -> tuple[str, tuple[Attribute, ...]]:
    """The profile of our offer, and its a=crypto lines, best first (RFC 4568 §7.1.1).

    RTP/SAVP leaves no choice, as FreeSWITCH refuses a=crypto in RTP/AVP; who only prefers SRTP
    makes a second offer after a refusal. Where no second one can be made, the keys stand in
    RTP/AVP for the peer to take or to leave (RFC 8643 §3.1): `opportunistic`. Suites with short
    tags are not offered: whoever has one of them has its better brother.
    """
    if encryption is Encryption.OFF:
        return "RTP/AVP", ()
    offered = [suite for suite in suites if not suite.has_short_tag]
    lines = tuple(
        _line(tag, suite, _fresh(new_key, suite)) for tag, suite in enumerate(offered, start=1)
    )
    is_wish = encryption is Encryption.PREFER and opportunistic
    return "RTP/AVP" if is_wish else "RTP/SAVP", lines


def offering_again(current: SrtpKeys | None) -> tuple[Attribute, ...]:
    """The a=crypto line of an offer in mid-call: the key in use, and no other that might be
    mistaken for a change (RFC 4568 §7.1.4)."""
    return () if current is None else (_line(1, current.suite, current.send_key),)


def keys_agreed(ours: MediaDescription, theirs: MediaDescription) -> SrtpKeys | None:
    """The keys that their answer makes of our offer; None where the audio is in the clear.

    Their line names ours by its tag (RFC 4568 §7.1.3). Raises EncryptionUnusable where one of the
    two is for SRTP only and no key is agreed.
    """
    offered = {crypto.tag: crypto for crypto in _cryptos(ours)}
    for crypto in _cryptos(theirs):
        own = offered.get(crypto.tag)
        if own is not None and own.suite is crypto.suite and crypto.is_usable:
            (sent,), (received,) = own.keys, crypto.keys
            return SrtpKeys(own.suite, sent.key_and_salt, received.key_and_salt, received.mki)
    if not {ours.protocol.upper(), theirs.protocol.upper()} <= PLAIN_RTP:
        raise EncryptionUnusable("an answer as SRTP, or to SRTP, without a key that fits the offer")
    return None


def _cryptos(line: MediaDescription) -> Iterator[Crypto]:
    """The a=crypto lines that can be read; the others are as if they were not there."""
    for value in line.values("crypto"):
        try:
            yield Crypto.parse(value)
        except MalformedCrypto:
            continue


def _best(line: MediaDescription, suites: Sequence[Suite]) -> Crypto | None:
    """Of the lines that we can use, the one with the suite we like best, better without MKI."""
    if line.protocol.upper() not in PLAIN_RTP | SECURE_RTP:
        return None
    usable = [crypto for crypto in _cryptos(line) if crypto.is_usable and crypto.suite in suites]
    return min(
        usable,
        key=lambda crypto: (suites.index(crypto.suite), len(crypto.keys[0].mki)),
        default=None,
    )


def _mismatch(audio: Sequence[MediaDescription], encryption: Encryption) -> EncryptionRequired:
    if encryption is Encryption.OFF:
        return EncryptionIsOff("audio as SRTP only")
    if any("SAVP" in line.protocol.upper() or line.values("crypto") for line in audio):
        return EncryptionUnusable("audio as SRTP, by no means that are known here")
    return EncryptionRequired("audio in the clear only")


def _fresh(new_key: NewKey | None, suite: Suite) -> bytes:
    if new_key is None:
        raise TypeError("audio is encrypted with keys from new_key, and there is none")
    return new_key(suite.master_bytes)


def _line(tag: int, suite: Suite, key_and_salt: bytes) -> Attribute:
    return "crypto", str(Crypto(tag, suite, (MasterKey(key_and_salt),)))
