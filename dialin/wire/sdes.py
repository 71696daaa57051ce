# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of SRTP in session descriptions: the `a=crypto` line (RFC 4568, suites of 6188 and 7714).

A line is read with all it may hold: several master keys, their lifetimes and identifiers (MKI),
and session parameters. Whether we can do what it says is `is_usable`; whether we want to is left
to `encryption`, and SRTP itself to the media plane.

Lines are written by peers and hold secrets: no repr and no error shows a key.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from enum import StrEnum

from dialin.errors import PeerError

RTCP_TAG_BYTES = 10
"""Of SRTCP under AES-CM, whatever the suite says of RTP (RFC 4568 §6.2.2, RFC 6188 §3)."""
MAX_MKI_BYTES = 128
"""RFC 4568 §9.2."""

_KEY_PARAM = re.compile(
    r"""
    inline: (?P<key>[A-Za-z0-9+/]++) =*+
    (?: \| (?: 2\^(?P<exponent>[0-9]{1,2}) | (?P<packets>[0-9]{1,20}) ) )?   # the lifetime
    (?: \| (?P<mki>[0-9]{1,309}) : (?P<mki_bytes>[0-9]{1,3}) )?
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_TAG = re.compile(r"[0-9]{1,9}")
_HARMLESS = frozenset({"WSH", "FEC_ORDER"})
"""Session parameters that ask nothing of us (RFC 4568 §6.3): our replay window is wider than any
hint needs to be, and without FEC nothing is ordered. All others change what is encrypted,
authenticated or derived, in ways that libsrtp does not do or nobody should want."""


class MalformedCrypto(PeerError):
    """An a=crypto line that breaks the grammar, or whose suite or key method is not known here."""


class Suite(StrEnum):
    """The crypto-suites that are known here, the one that we like best first."""

    AEAD_AES_256_GCM = "AEAD_AES_256_GCM"
    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"
    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_256_CM_HMAC_SHA1_80 = "AES_256_CM_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_32 = "AES_CM_128_HMAC_SHA1_32"
    AES_256_CM_HMAC_SHA1_32 = "AES_256_CM_HMAC_SHA1_32"

    @property
    def is_aead(self) -> bool:
        """Whether the cipher authenticates as well (RFC 7714)."""
        return self.startswith("AEAD")

    @property
    def key_bytes(self) -> int:
        """Octets of the master key."""
        return 32 if "256" in self else 16

    @property
    def salt_bytes(self) -> int:
        """Octets of the master salt: 112 bits (RFC 3711 §8.2), or 96 (RFC 7714)."""
        return 12 if self.is_aead else 14

    @property
    def master_bytes(self) -> int:
        """Octets of key and salt together, as a line has them."""
        return self.key_bytes + self.salt_bytes

    @property
    def tag_bytes(self) -> int:
        """Octets of an RTP packet's authentication tag."""
        if self.is_aead:
            return 16
        return 4 if self.has_short_tag else 10

    @property
    def has_short_tag(self) -> bool:
        """Whether 32 bits are all that authenticates a packet."""
        return self.endswith("_32")


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One `inline:` key (RFC 4568 §6.1)."""

    key_and_salt: bytes = field(repr=False)
    """SECRET. As long as the suite's `master_bytes`."""
    lifetime: int | None = None
    """How many packets its owner will send with it, for the owner to count; None for as many as
    SRTP allows."""
    mki: bytes = b""
    """What the owner's packets carry to name the key; empty if they carry nothing."""

    def __str__(self) -> str:
        text = "inline:" + base64.b64encode(self.key_and_salt).decode()
        if self.lifetime is not None:
            text += f"|{_lifetime_text(self.lifetime)}"
        if self.mki:
            text += f"|{int.from_bytes(self.mki)}:{len(self.mki)}"
        return text


@dataclass(frozen=True, slots=True)
class Crypto:
    """One `a=crypto` line (RFC 4568 §4). PEER-CONTROLLED, unless `encryption` built it."""

    tag: int
    """Names the line; the answer to it has the same."""
    suite: Suite
    """How packets are encrypted and authenticated."""
    keys: tuple[MasterKey, ...]
    """One, as a rule."""
    session_params: tuple[str, ...] = field(default=(), repr=False)
    """As written; FEC_KEY among them would hold a secret."""

    @classmethod
    def parse(cls, text: str) -> Crypto:
        """Read an attribute's value. Raises MalformedCrypto, and nothing else."""
        tag, name, key_params, *session_params = (*text.split(), "", "", "")
        if not _TAG.fullmatch(tag):
            raise MalformedCrypto("a crypto line without a tag")
        suite = _suite(name)
        keys = tuple(_master_key(param, suite) for param in key_params.split(";"))
        return cls(int(tag), suite, keys, tuple(filter(None, session_params)))

    def __str__(self) -> str:
        """The attribute's value: with the keys, for the wire and for nothing else."""
        keys = ";".join(map(str, self.keys))
        return " ".join([str(self.tag), self.suite, keys, *self.session_params])

    @property
    def is_usable(self) -> bool:
        """Whether we can do all that the line asks.

        Not with several keys, between which a sender may change at any packet, and not with a
        session parameter that is unknown and must not be passed over (RFC 4568 §6.3.7).
        """
        return len(self.keys) == 1 and all(map(_is_harmless, self.session_params))


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What both ends have agreed on for one stream and back."""

    suite: Suite
    """The same in both directions."""
    send_key: bytes = field(repr=False)
    """SECRET, ours: master key and salt of what we send."""
    receive_key: bytes = field(repr=False)
    """SECRET, theirs: master key and salt of what we receive."""
    receive_mki: bytes = b""
    """What names the key in packets from them, as they said; empty if nothing does."""

    def without_mki(self, packet: bytes, *, is_rtcp: bool = False) -> bytes:
        """A packet from them less its MKI, which nothing authenticates and libsrtp need not see.

        It stands before the tag (RFC 3711 §3.1, §3.4), and behind all else with AEAD (RFC 7714).
        Some announce an MKI and then send none: what does not match stays.
        """
        if not self.receive_mki:
            return packet
        tag_bytes = RTCP_TAG_BYTES if is_rtcp else self.suite.tag_bytes
        end = len(packet) - (0 if self.suite.is_aead else tag_bytes)
        head, tag = packet[: max(0, end)], packet[max(0, end) :]
        return head.removesuffix(self.receive_mki) + tag


def _suite(name: str) -> Suite:
    try:
        return Suite(name)
    except ValueError:
        raise MalformedCrypto("a crypto-suite that is not known here") from None


def _master_key(text: str, suite: Suite) -> MasterKey:
    match = _KEY_PARAM.fullmatch(text)
    if match is None:
        raise MalformedCrypto("a key parameter that cannot be read")
    return MasterKey(
        _key_and_salt(match["key"], suite),
        _lifetime(match["exponent"], match["packets"]),
        _mki(match["mki"], match["mki_bytes"]),
    )


def _key_and_salt(text: str, suite: Suite) -> bytes:
    """Some peers leave the padding out (FreeSWITCH), so ours is put in its place."""
    try:
        secret = base64.b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise MalformedCrypto("a key that is not base64") from None
    if len(secret) != suite.master_bytes:
        raise MalformedCrypto("a key of the wrong length for its suite")
    return secret


def _lifetime(exponent: str | None, packets: str | None) -> int | None:
    """A longer life than SRTP allows is none the worse for it: no call lasts that long."""
    if exponent is not None:
        return 1 << int(exponent)
    if packets is None:
        return None
    if not int(packets):
        raise MalformedCrypto("a key for no packets")
    return int(packets)


def _lifetime_text(packets: int) -> str:
    exponent = packets.bit_length() - 1
    return f"2^{exponent}" if packets == 1 << exponent else str(packets)


def _mki(value: str | None, length: str | None) -> bytes:
    if value is None or length is None:
        return b""
    if not 1 <= int(length) <= MAX_MKI_BYTES:
        raise MalformedCrypto("an MKI of no length, or of too many octets")
    try:
        return int(value).to_bytes(int(length))
    except OverflowError:
        raise MalformedCrypto("an MKI longer than its length") from None


def _is_harmless(session_param: str) -> bool:
    """A leading minus lets whoever does not know the parameter pass it over (RFC 4568 §6.3.7)."""
    return session_param.startswith("-") or session_param.partition("=")[0] in _HARMLESS
