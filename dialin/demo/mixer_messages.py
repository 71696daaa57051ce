# SPDX-License-Identifier: GPL-3.0-or-later
"""What the conference asks of the mixing process and what it answers, as JSON over a socket pair.

Each command carries a number, and its answer the same one; a key press carries number 0. Both ends
are ours, so a message that cannot be read is a fault of ours and raises what it raises.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

MAX_MESSAGE_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Open:
    """Bind a port for a member who is about to come. Answer: Opened."""

    member: str
    """Chosen by the conference."""
    host: str
    """The local address to bind."""


@dataclass(frozen=True, slots=True)
class Join:
    """Let an opened member into a room, or change how it is reached. Answer: Done."""

    member: str
    """As opened."""
    room: str
    """Who has the same room hears each other."""
    host: str
    """Where the member's audio goes, and must come from."""
    port: int
    """As `host`."""
    codec: str
    """PCMU, PCMA or G722."""
    payload_type: int
    """Of the codec."""
    telephone_event: int
    """The payload type on which keys are heard; -1 for none."""
    rtcp_port: int = 0
    """Where the member's reports go, and must come from; 0 for nowhere."""
    srtp: dict[str, str] | None = field(default=None, repr=False)
    """SECRET. `suite`, and `send_key` and `receive_key` in Base64; None for RTP in the clear."""


@dataclass(frozen=True, slots=True)
class Hush:
    """Let what a member says, or what it would hear, not pass. Answer: Done."""

    member: str
    """Joined or not."""
    is_muted: bool
    """Whether nobody hears the member; what it says is listened to all the same."""
    is_deaf: bool
    """Whether the member hears silence."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Forget a member; one that is not there does no harm. Answer: Done."""

    member: str
    """As opened."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Ask what a member said and heard in the last second. Answer: Heard."""

    member: str
    """Joined already."""
    frequencies_hz: list[float]
    """The test tones to look for."""


@dataclass(frozen=True, slots=True)
class Play:
    """Let the chime play in a room, or stop it. Answer: Done."""

    room: str
    """With or without members."""
    plays: bool
    """Whether it shall play."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A port is bound."""

    port: int
    """The UDP port."""


@dataclass(frozen=True, slots=True)
class Done:
    """It is done."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What Listen asked for: peak amplitudes, in the order of the frequencies."""

    said_level: float
    """Root mean square of what the member said."""
    said: list[float]
    """The tones in it."""
    heard_level: float
    """Root mean square of what was sent to the member."""
    heard: list[float]
    """The tones in it."""
    reports: int
    """RTCP reports that the member has sent since it joined."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A command could not be carried out."""

    reason: str
    """For the log."""


@dataclass(frozen=True, slots=True)
class Key:
    """A member pressed a key. Unasked."""

    member: str
    """As opened."""
    key: str = field(repr=False)
    """One of 0-9, *, #, A-D; never logged."""


Command = Open | Join | Hush | Leave | Listen | Play
Answer = Opened | Done | Heard | Failed
Message = Command | Answer | Key

_KINDS = {
    kind.__name__: kind
    for kind in (Open, Join, Hush, Leave, Listen, Play, Opened, Done, Heard, Failed, Key)
}


def encode(number: int, message: Message) -> bytes:
    """One message as one datagram."""
    return json.dumps([number, type(message).__name__, asdict(message)]).encode()


def decode(data: bytes) -> tuple[int, Message]:
    """What `encode` made."""
    number, kind, fields = json.loads(data)
    return number, _KINDS[kind](**fields)
