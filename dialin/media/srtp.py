# SPDX-License-Identifier: GPL-3.0-or-later
"""SRTP (RFC 3711) for one leg: what leaves is encrypted, what comes is authenticated.

The cryptography is libsrtp's, through pylibsrtp. What fails to be authenticated is counted and is
nothing else: nobody learns of it, no source is taken from it, and no call ends by it. Which keys
there are is agreed in `dialin.wire.encryption`; packets are read and written elsewhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import ClassVar

from pylibsrtp import Error, Policy, Session

from dialin.wire.rtp import Buffer
from dialin.wire.sdes import SrtpKeys, Suite

WINDOW_PACKETS = 1024
"""How late a packet may come and still be told from a replay: 20 s of audio. RFC 3711 §3.3.2 wants
64 at least, and mobile networks deliver seconds at once."""
MAX_SOURCES = 64
"""SSRCs that one key may be used for: each has a context, which a far end must not heap up."""

MAX_IN_PLACE_BYTES = 1500
"""What is worked on in the buffer that packets pass through, which has room for a tag behind."""

_AES_ICM_256 = 5
"""libsrtp's SRTP_AES_ICM_256."""
_CIPHER, _KEY_BYTES, _TAG_BYTES = 0, 1, 4
"""Where its srtp_crypto_policy_t has them, in 32-bit words."""

_RTP_SSRC = slice(8, 12)
_RTCP_SSRC = slice(4, 8)
_SAMPLE_RTP = b"\x80\x00" + bytes(10) + bytes(160)
_SAMPLE_RTCP = b"\x80\xc9\x00\x01" + bytes(4)


@cache
def usable_suites() -> tuple[Suite, ...]:
    """What this machine's libsrtp does as it should, the suite we like best first."""
    return tuple(suite for suite in Suite if _does_a_round_trip(suite))


@cache
def works_in_place() -> bool:
    """Whether libsrtp can be called without pylibsrtp's copies; if not, all goes by copies."""
    suite = Suite.AES_CM_128_HMAC_SHA1_80
    key = bytes(suite.master_bytes)
    scratch = bytearray(_SAMPLE_RTP) + bytes(suite.tag_bytes)
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        sealed = SendContext(suite, key, scratch).seal(len(_SAMPLE_RTP))
        is_sealed = bytes(scratch) == SendContext(suite, key).protect(_SAMPLE_RTP)
        opened = ReceiveContext(SrtpKeys(suite, key, key), scratch).open(sealed)
        return is_sealed and scratch[:opened] == _SAMPLE_RTP
    return False


InPlace = Callable[[int], int]
"""Works on the packet of so many octets at the beginning of a buffer; gives its new length, or 0.

An error leaves what is in the buffer undefined.
"""


class SendContext:
    """Encrypts what leaves with one key."""

    def __init__(self, suite: Suite, key: bytes, scratch: bytearray | None = None) -> None:
        """`scratch` is what `seal` works in; without it there is no `seal`."""
        self._session = _session(suite, key, Policy.SSRC_ANY_OUTBOUND)
        self.seal: InPlace = _nothing_in_place
        if scratch is not None:
            self.seal = _in_place("srtp_protect", self._session, scratch)

    def protect(self, packet: bytes) -> bytes | None:
        """An RTP packet as SRTP; None where its sequence number was used before.

        The same number twice would be the same key stream twice (RFC 3711 §9.1).
        """
        return _attempt(self._session.protect, packet)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """A compound RTCP packet as SRTCP, which numbers packets itself."""
        return self._session.protect_rtcp(packet)


class ReceiveContext:
    """Authenticates and decrypts what was encrypted with one key."""

    def __init__(self, keys: SrtpKeys, scratch: bytearray | None = None) -> None:
        """`scratch` is what `open` works in; without it there is no `open`, nor with an MKI."""
        self._keys = keys
        self._session = _session(keys.suite, keys.receive_key, Policy.SSRC_ANY_INBOUND)
        self.open: InPlace = _nothing_in_place
        if scratch is not None:
            self.open = _in_place("srtp_unprotect", self._session, scratch)
        self._sources: set[bytes] = set()

    def unprotect(self, packet: Buffer) -> bytes | None:
        """The RTP packet in an SRTP packet; None if it is false, a replay or none at all."""
        sealed = self._keys.without_mki(bytes(packet))
        return self._open(self._session.unprotect, sealed, sealed[_RTP_SSRC])

    def unprotect_rtcp(self, packet: Buffer) -> bytes | None:
        """The same for SRTCP."""
        sealed = self._keys.without_mki(bytes(packet), is_rtcp=True)
        return self._open(self._session.unprotect_rtcp, sealed, sealed[_RTCP_SSRC])

    def _open(self, how: Callable[[bytes], bytes], sealed: bytes, source: bytes) -> bytes | None:
        is_new = source not in self._sources
        if is_new and len(self._sources) == MAX_SOURCES:
            return None
        packet = _attempt(how, sealed)
        if is_new and packet is not None:
            self._sources.add(source)
        return packet


class LegSrtp:
    """Both directions of one leg. Without keys, packets pass as they are."""

    def __init__(self, scratch: bytearray | None = None) -> None:
        """`scratch` is the buffer that the lane works in."""
        self._scratch = scratch if works_in_place() else None
        self.failed = 0
        """Packets of the far end, or of somebody else, that were not authentic."""
        self._keys: SrtpKeys | None = None
        self._sends: SendContext | None = None
        self._receives: ReceiveContext | None = None

    @property
    def is_on(self) -> bool:
        """Whether the leg's audio is encrypted."""
        return self._keys is not None

    @property
    def fits_lane(self) -> bool:
        """Whether packets may take the lane, by `open` and `seal`."""
        return self._keys is None or (self._scratch is not None and not self._keys.receive_mki)

    @property
    def tag_bytes(self) -> int:
        """How much longer RTP is on its way."""
        return self._keys.suite.tag_bytes if self._keys else 0

    def tune(self, keys: SrtpKeys | None) -> tuple[bool, bool]:
        """Take keys or none. Whether what leaves begins anew, and what comes.

        A context is kept as long as its key: one made anew would count from zero again, and encrypt
        with what has encrypted something else, or believe packets that have been heard.
        """
        former, self._keys = self._keys, keys
        sends_anew = keys is not None and _sending(keys) != _sending(former)
        receives_anew = keys is not None and _receiving(keys) != _receiving(former)
        if keys is None:
            self._sends = self._receives = None
        if keys is not None and sends_anew:
            self._sends = SendContext(keys.suite, keys.send_key, self._scratch)
        if keys is not None and receives_anew:
            self._receives = ReceiveContext(keys, self._scratch)
        return sends_anew, receives_anew

    def protect(self, packet: bytes) -> bytes | None:
        """An RTP packet as it leaves; None if it must not."""
        return self._sends.protect(packet) if self._sends else packet

    def protect_rtcp(self, packet: bytes) -> bytes:
        """An RTCP packet as it leaves."""
        return self._sends.protect_rtcp(packet) if self._sends else packet

    def unprotect(self, packet: memoryview) -> memoryview | None:
        """An RTP packet that is the far end's; None, and counted, if it is not authentic."""
        if self._receives is None:
            return packet
        return self._counted(self._receives.unprotect(packet))

    def unprotect_rtcp(self, packet: memoryview) -> memoryview | None:
        """The same for RTCP."""
        if self._receives is None:
            return packet
        return self._counted(self._receives.unprotect_rtcp(packet))

    def open(self, length: int) -> int:
        """`unprotect`, in place: the length that is left; 0, and counted, if not authentic."""
        if self._receives is None:
            return length
        opened = self._receives.open(length)
        self.failed += not opened
        return opened

    def seal(self, length: int) -> int:
        """`protect`, in place: the length that it has then; 0 if the packet must not leave."""
        return self._sends.seal(length) if self._sends else length

    def _counted(self, packet: bytes | None) -> memoryview | None:
        if packet is None:
            self.failed += 1
            return None
        return memoryview(packet)


class _Profiles:
    """What pylibsrtp calls the suites. It has no name for those of AES-256 in counter mode."""

    NAMED: ClassVar[dict[Suite, int]] = {
        Suite.AES_CM_128_HMAC_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
        Suite.AES_CM_128_HMAC_SHA1_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
        Suite.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
        Suite.AEAD_AES_256_GCM: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    }


def _session(suite: Suite, key: bytes, direction: int) -> Session:
    """A libsrtp session for one key and direction. Raises whatever a strange pylibsrtp may."""
    profile = _Profiles.NAMED.get(suite)
    policy = Policy(
        key=key,
        ssrc_type=direction,
        srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80 if profile is None else profile,
    )
    policy.window_size = WINDOW_PACKETS
    if profile is None:
        _turn_to_aes_256(policy, suite)
    return Session(policy)


def _in_place(name: str, session: Session, scratch: bytearray) -> InPlace:
    """One of libsrtp's functions, for a session and a buffer.

    pylibsrtp copies each packet twice and makes an object for its length. This calls the same
    function by its private names; `works_in_place` finds out whether they are still there.
    """
    binding = import_module("pylibsrtp._binding")
    function = getattr(binding.lib, name)
    pointer = session._srtp  # noqa: SLF001 - see above; what it points to lives as long as it
    packet, length = binding.ffi.from_buffer(scratch), binding.ffi.new("int *")

    def work(size: int) -> int:
        if size > MAX_IN_PLACE_BYTES:
            return 0
        length[0] = size
        return 0 if function(pointer[0], packet, length) else int(length[0])

    return work


def _nothing_in_place(_size: int) -> int:
    return 0


def _turn_to_aes_256(policy: Policy, suite: Suite) -> None:
    """Change a policy of AES-128 in counter mode (RFC 6188).

    pylibsrtp has no public way, so this writes where libsrtp's structure has the fields;
    `usable_suites` finds out whether that is still so. SRTCP keeps its tag of 80 bits.
    """
    ffi = import_module("pylibsrtp._binding").ffi
    parts = policy._policy  # noqa: SLF001 - see above
    for part, tag_bytes in ((parts.rtp, suite.tag_bytes), (parts.rtcp, None)):
        words = ffi.cast("uint32_t *", ffi.addressof(part))
        words[_CIPHER], words[_KEY_BYTES] = _AES_ICM_256, suite.master_bytes
        if tag_bytes:
            words[_TAG_BYTES] = tag_bytes


def _does_a_round_trip(suite: Suite) -> bool:
    """Whether a suite gives back what it was given, with the right tag, and minds the whole key."""
    key = bytes(suite.master_bytes)
    other = key[:-1] + b"\x01"
    with contextlib.suppress(Error, AttributeError, TypeError, ValueError):
        sends = SendContext(suite, key)
        receives = ReceiveContext(SrtpKeys(suite, key, receive_key=key))
        stranger = ReceiveContext(SrtpKeys(suite, key, receive_key=other))
        rtp, rtcp = sends.protect(_SAMPLE_RTP), sends.protect_rtcp(_SAMPLE_RTCP)
        return (
            rtp is not None
            and len(rtp) == len(_SAMPLE_RTP) + suite.tag_bytes
            and stranger.unprotect(rtp) is None
            and stranger.unprotect_rtcp(rtcp) is None
            and receives.unprotect(rtp) == _SAMPLE_RTP
            and receives.unprotect_rtcp(rtcp) == _SAMPLE_RTCP
        )
    return False


def _attempt(how: Callable[[bytes], bytes], packet: bytes) -> bytes | None:
    """What libsrtp makes of a packet; None if it refuses, or if it is too long for pylibsrtp."""
    try:
        return how(packet)
    except (Error, ValueError):
        return None


def _sending(keys: SrtpKeys | None) -> tuple[Suite, bytes] | None:
    return None if keys is None else (keys.suite, keys.send_key)


def _receiving(keys: SrtpKeys | None) -> tuple[Suite, bytes, bytes] | None:
    return None if keys is None else (keys.suite, keys.receive_key, keys.receive_mki)
