# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the voice conferences of a BBB server are, and how they are spoken to.

A meeting's audio runs on FreeSWITCH, or on LiveKit where its `audioBridge` says so; both take SIP
calls, each at a port of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from dialin.rooms import Room
from dialin.sip import TlsTarget
from dialin.wire.encryption import Encryption

LIVEKIT = "livekit"
"""What BBB calls that audio bridge."""
Bridge: TypeAlias = Literal["auto", "freeswitch", "livekit"]
"""What carries meetings' audio; `auto` leaves it to each of them."""

_UNSAFE = re.compile(r"[^A-Za-z0-9]+")


class KeyMethod(StrEnum):
    """How keys go to a conference. Never by two: FreeSWITCH would hear each key twice."""

    OFF = "off"
    """Not at all: what a key does there is not known."""
    RFC4733 = "rfc4733"
    """As telephone events, on the payload type that BBB's FreeSWITCH hears them on."""
    INFO = "info"
    """By SIP INFO."""


@dataclass(frozen=True, slots=True)
class VoiceTarget:
    """One SIP port that conferences are called at."""

    host: str
    """Host name or address, from the settings."""
    port: int
    """SIP port, 5060 on a stock BBB server."""
    transport: str
    """UDP, TCP or TLS."""
    media_networks: tuple[str, ...]
    """Networks its RTP may come from; empty: the signalling address alone."""
    encryption: Encryption = Encryption.OFF
    """Whether audio is SRTP."""
    tls: TlsTarget | None = None
    """What it has to prove; for TLS."""

    def from_user(self, label: str, pseudonym: str) -> str:
        """What stands in the From where a phone number would: FreeSWITCH bans callers by it."""
        return pseudonym

    @property
    def always_sends(self) -> bool:
        """Whether silence means that it is gone: FreeSWITCH sends noise where nobody speaks."""
        return True


@dataclass(frozen=True, slots=True)
class LiveKitTarget(VoiceTarget):
    """Where livekit-sip listens.

    It shows people the From's user part and not its display name (bigbluebutton#24262). A single
    key toggles mute (bbb-webrtc-sfu), which nobody can rely on, so no keys go there.
    """

    def from_user(self, label: str, pseudonym: str) -> str:
        """The label: LiveKit bans nobody by number."""
        return user_part(label)

    @property
    def always_sends(self) -> bool:
        """livekit-sip is not known to send where everybody is muted."""
        return False


@dataclass(frozen=True, slots=True)
class VoiceServer(VoiceTarget):
    """Where the FreeSWITCH of one BBB server listens, and its LiveKit."""

    mute_keys: KeyMethod = KeyMethod.OFF
    """How the two key sequences are sent that mute and unmute a caller in FreeSWITCH."""
    livekit: LiveKitTarget | None = None
    """Where meetings are called whose audio is LiveKit's; None where there is none."""
    bridge: Bridge = "auto"
    """What carries the meetings' audio; `auto`: what each meeting says."""

    def target_for(self, room: Room) -> VoiceTarget:
        """Where a room's conference is called. A meeting that does not say is FreeSWITCH's."""
        is_livekit = self.bridge == LIVEKIT or (
            self.bridge == "auto" and room.audio_bridge == LIVEKIT
        )
        return self.livekit if is_livekit and self.livekit else self

    def keys_for(self, room: Room) -> KeyMethod:
        """How the mute sequences are sent in a room's conference."""
        return self.mute_keys if self.target_for(room) is self else KeyMethod.OFF

    @property
    def targets(self) -> tuple[VoiceTarget, ...]:
        """All ports that rooms of this server may be called at."""
        return (self, self.livekit) if self.livekit else (self,)


def user_part(label: str) -> str:
    """A label as the user part of a SIP address: letters, digits and single hyphens.

    `xxx-xxx-0594 (2)` becomes `xxx-xxx-0594-2`. Labels of one room that differ stay different, as
    the number of a second caller is all that brackets are for.
    """
    return _UNSAFE.sub("-", label).strip("-")
