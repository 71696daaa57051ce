# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service and a media worker say to each other: small frozen values, one a datagram.

The service sends commands, each with a request number; the worker repeats that number in its one
answer, and reports what happens on its legs in between. Both ends are ours, so JSON that does not
fit is a bug and ends the connection. Sockets, and what the values mean, are left to `worker` and
`process`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from dialin.errors import DialinError
from dialin.events import Codec, DigitSource
from dialin.wire.sdes import SrtpKeys, Suite

if TYPE_CHECKING:  # the worker process has no use for session descriptions
    from dialin.wire.sdp import RemoteMedia

MAX_MESSAGE_BYTES = 65536
"""A play command with some hundred clips; everything else is far smaller."""


class UnreadableMessage(DialinError):
    """The other end sent what is none of the messages below."""


class Cause(StrEnum):
    """Why a worker could not do what it was told."""

    NO_PORTS = "no-ports"
    ADDRESS_NOT_LOCAL = "address-not-local"
    NO_SUCH_LEG = "no-such-leg"
    NOT_CONFIGURED = "not-configured"
    UNREACHABLE = "unreachable"
    CLIP_UNUSABLE = "clip-unusable"
    NO_TELEPHONE_EVENT = "no-telephone-event"
    NOT_A_KEY = "not-a-key"
    CODECS_DIFFER = "codecs-differ"
    CODEC_HAS_NO_VOLUME = "codec-has-no-volume"
    LEG_FAILED = "leg-failed"


class CannotDo(DialinError):
    """A command that cannot be carried out, and harms nothing."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause
        """What the answer says."""


@dataclass(frozen=True, slots=True)
class LegSettings:
    """What offer and answer have settled for one leg."""

    remote_host: str
    """Where to send: an IP address, as the far end's SDP says. PEER-CONTROLLED until checked."""
    remote_rtp_port: int
    """The port that RTP goes to and, unless it is learnt, comes from."""
    remote_rtcp_port: int
    """The port that RTCP goes to and comes from; 0 for none."""
    codec: Codec
    """The one audio codec of the leg."""
    payload_type: int
    """The number that both ends use for the codec."""
    telephone_event: int | None
    """The number of RFC 4733 events; None when the far end takes none."""
    in_band_digits: bool
    """Listen for DTMF tones too. Works with G.711 only, and costs much more than anything else."""
    sends: bool = True
    """False while the far end holds us: no RTP goes out, and its silence is no fault."""
    srtp: SrtpKeys | None = None
    """The keys of both directions; None where the audio is in the clear."""

    @classmethod
    def toward(cls, remote: RemoteMedia, *, in_band_digits: bool) -> LegSettings:
        """The settings that follow from the far end's part of offer and answer."""
        return cls(
            remote_host=remote.host,
            remote_rtp_port=remote.rtp_port,
            remote_rtcp_port=remote.rtcp_port,
            codec=remote.codec,
            payload_type=remote.payload_type,
            telephone_event=remote.telephone_event,
            in_band_digits=in_band_digits,
            sends=remote.direction in ("sendrecv", "recvonly"),
            srtp=remote.srtp,
        )


@dataclass(frozen=True, slots=True)
class LegStatistics:
    """The counters of one leg since it was opened."""

    codec: Codec | None = None
    """None before the first settings."""
    packets_received: int = 0
    """RTP packets of the far end, telephone events among them."""
    packets_sent: int = 0
    """RTP packets that left: prompts, silence, keys and what the bridge forwards."""
    packets_lost: int = 0
    """Gaps in what was received; late packets close their gap again."""
    jitter_ms: float = 0.0
    """Interarrival jitter (RFC 3550 §6.4.1); the worker wakes in steps of some milliseconds."""
    dropped_source: int = 0
    """Packets of another sender: the wrong address while the source is learnt, the wrong SSRC."""
    malformed: int = 0
    """Datagrams that are neither RTP nor RTCP."""
    unexpected: int = 0
    """RTP of the far end with a payload type that was not agreed."""
    refused: int = 0
    """Times the far host said that nobody listens (ICMP)."""
    unsent: int = 0
    """Packets that the kernel did not take, or SRTP, which takes no sequence number twice."""
    srtp_failed: int = 0
    """Packets that SRTP did not authenticate: false, in the clear, or heard before."""


@dataclass(frozen=True, slots=True)
class Begin:
    """To a new worker, before anything else. Answered by Done."""

    request: int
    first_port: int
    """The first port of its range; RTP ports are even."""
    last_port: int
    """The last port of its range."""
    quarantine_s: float
    """How long a pair of ports rests after use."""
    media_timeout_s: float
    """Silence of the far end after which a leg is lost."""
    latch: str
    """Where media may come from: `sdp` (its address and port) or `same-ip` (port is learnt)."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """Let a pair of ports rest that the worker's predecessor used."""

    request: int
    host: str
    """The local address."""
    port: int
    """The RTP port."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with Done: the service asks whether the worker still turns."""

    request: int


@dataclass(frozen=True, slots=True)
class OpenLeg:
    """Bind a pair of ports. Answered by Opened."""

    request: int
    leg: int
    """The number that all later commands name the leg by."""
    host: str
    """The local address to bind."""
    media_timeout_s: float | None = None
    """Silence of the far end after which this leg is lost; None: what Begin says."""


@dataclass(frozen=True, slots=True)
class Configure:
    """Take or change the settings of a leg."""

    request: int
    leg: int
    settings: LegSettings


@dataclass(frozen=True, slots=True)
class Start:
    """RTP may leave from now on."""

    request: int
    leg: int


@dataclass(frozen=True, slots=True)
class Play:
    """Play clips instead of what the leg sends now. Done when the last frame left or it stopped."""

    request: int
    leg: int
    clips: tuple[str, ...]
    """Files of raw payload in the leg's codec."""
    repeat: bool


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Press keys (RFC 4733) instead of what the leg sends now. Done when the last one is up."""

    request: int
    leg: int
    keys: str = field(repr=False)
    payload_type: int | None = None
    """Of the events, where the far end hears another than it has agreed to."""


@dataclass(frozen=True, slots=True)
class StopPlaying:
    """Stop what Play or SendDigits began, at a frame; if `only` is given, only that request."""

    request: int
    leg: int
    only: int | None


@dataclass(frozen=True, slots=True)
class Join:
    """Let two legs hear each other."""

    request: int
    leg: int
    other: int


@dataclass(frozen=True, slots=True)
class Part:
    """Part two legs, if they are bridged with each other."""

    request: int
    leg: int
    other: int


@dataclass(frozen=True, slots=True)
class Mute:
    """Whether the bridge passes on what the leg's far end says."""

    request: int
    leg: int
    is_muted: bool


@dataclass(frozen=True, slots=True)
class SetVolume:
    """How loud the leg's far end hears the other leg."""

    request: int
    leg: int
    gain_db: int


@dataclass(frozen=True, slots=True)
class Count:
    """Answered by Counted."""

    request: int
    leg: int


@dataclass(frozen=True, slots=True)
class CloseLeg:
    """End a leg and let its ports rest. Answered by Counted, the last figures."""

    request: int
    leg: int


@dataclass(frozen=True, slots=True)
class Done:
    """A command was carried out."""

    request: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A command was not carried out."""

    request: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Opened:
    """A leg has its ports."""

    request: int
    rtp_port: int


@dataclass(frozen=True, slots=True)
class Counted:
    """The figures of a leg."""

    request: int
    statistics: LegStatistics


@dataclass(frozen=True, slots=True)
class DigitHeard:
    """A key was pressed at the far end."""

    leg: int
    key: str = field(repr=False)
    source: DigitSource


@dataclass(frozen=True, slots=True)
class LegLost:
    """Nothing more is to be expected of a leg's far end, or of the leg."""

    leg: int
    cause: str
    """`media-timeout` or `leg-failed`."""
    detail: str
    """For the log: what failed and where, without any value."""


Command = (
    Begin
    | SetAside
    | Ping
    | OpenLeg
    | Configure
    | Start
    | Play
    | SendDigits
    | StopPlaying
    | Join
    | Part
    | Mute
    | SetVolume
    | Count
    | CloseLeg
)
Answer = Done | Failed | Opened | Counted
Report = DigitHeard | LegLost
Message = Command | Answer | Report


class _Types:
    """Every message by its name, and how each kind of field is read back from JSON."""

    MESSAGES: ClassVar[dict[str, type[Any]]] = {
        kind.__name__: kind for kind in (*Command.__args__, *Answer.__args__, *Report.__args__)
    }
    READERS: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "int": int,
        "str": str,
        "bool": bool,
        "float": float,
        "float | None": lambda value: None if value is None else float(value),
        "int | None": lambda value: None if value is None else int(value),
        "tuple[str, ...]": lambda value: tuple(map(str, value)),
        "Cause": Cause,
        "Codec": Codec,
        "Codec | None": lambda value: None if value is None else Codec(value),
        "DigitSource": DigitSource,
        "Suite": Suite,
        "bytes": lambda value: base64.b64decode(value, validate=True),
        "SrtpKeys | None": lambda value: None if value is None else _build(SrtpKeys, value),
        "LegSettings": lambda value: _build(LegSettings, value),
        "LegStatistics": lambda value: _build(LegStatistics, value),
    }


def encode(message: Message) -> bytes:
    """One datagram. Raises ValueError when it would be too long."""
    data = json.dumps({"type": type(message).__name__, **_plain(message)}).encode()
    if len(data) > MAX_MESSAGE_BYTES:
        raise ValueError("message to or from a media worker too long")
    return data


def decode(data: bytes) -> Message:
    """Read what `encode` wrote. Raises UnreadableMessage for anything else."""
    try:
        values = json.loads(data)
        message: Message = _build(_Types.MESSAGES[values.pop("type")], values)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnreadableMessage("not a message of a media worker") from None
    return message


def _plain(value: Any) -> dict[str, Any]:
    return {each.name: _plain_value(getattr(value, each.name)) for each in fields(value)}


def _plain_value(value: Any) -> Any:
    if isinstance(value, LegSettings | LegStatistics | SrtpKeys):
        return _plain(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _build(kind: type[Any], values: dict[str, Any]) -> Any:
    readers = {each.name: _Types.READERS[str(each.type)] for each in fields(kind)}
    return kind(**{name: readers[name](value) for name, value in values.items()})
