# SPDX-License-Identifier: GPL-3.0-or-later
"""Mixing frame by frame: everybody hears all others, nobody hears himself.

Only frames with sound in them are decoded, and all who are silent share one encoded mix, so a
large room with few talkers costs little. Sockets and time are left to `mixer`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import add, sub
from typing import TypeVar

from dialin.demo import g722
from dialin.events import Codec
from dialin.wire import g711, tone

FRAME = 160
"""Octets, and samples, of 20 ms at 8 kHz."""
QUIET_PEAK = 128
"""A frame whose samples all stay below is silence, or a line's own noise."""
START_OCTETS = 2 * FRAME
"""So much must have come before a member is heard: it evens out when packets arrive."""
MOST_OCTETS = 8 * FRAME
"""So much may wait; a member who sends faster than time passes is cut back to the start."""

CHIME_HZ = 440
CHIME_PEAK = 1600
CHIME_MS = 600
CHIME_EVERY_MS = 2400

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Law:
    """A codec as mixing needs it."""

    codec: Codec
    """Which it is."""
    decode: Callable[[bytes], array[int]]
    """Octets to samples."""
    encode: Callable[[Iterable[int]], bytes]
    """Samples to octets."""
    silence: bytes
    """One frame of it."""
    has_sound: Callable[[bytes], bool]
    """Whether anything can be heard in a frame; answered without decoding it."""


def law_of(codec: Codec) -> Law:
    """The law for one stream each way. That of G.722 keeps state, so it serves no second one."""
    return _G711.get(codec) or _g722()


def _g711(
    codec: Codec,
    decode: Callable[[bytes], array[int]],
    encode: Callable[[Iterable[int]], bytes],
    zero: int,
) -> Law:
    samples = decode(bytes(range(256)))
    loud = bytes(octet for octet in range(256) if abs(samples[octet]) >= QUIET_PEAK)

    def has_sound(frame: bytes) -> bool:
        return len(frame.translate(None, loud)) < len(frame)

    return Law(codec, decode, encode, bytes((zero,)) * FRAME, has_sound)


def _g722() -> Law:
    silence = bytes((g722.SILENCE,)) * FRAME
    decode, encode = g722.Decoder().decode, g722.Encoder().encode
    return Law(Codec.G722, decode, encode, silence, lambda frame: frame != silence)


_G711: Mapping[Codec, Law] = {
    Codec.PCMU: _g711(Codec.PCMU, g711.ulaw_decode, g711.ulaw_encode, g711.ULAW_SILENCE),
    Codec.PCMA: _g711(Codec.PCMA, g711.alaw_decode, g711.alaw_encode, g711.ALAW_SILENCE),
}


class Intake:
    """What has come from one member and waits for its turn: payloads in, frames out."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._is_flowing = False

    def put(self, payload: bytes) -> None:
        """Take a packet's payload, of any length."""
        self._waiting += payload
        if len(self._waiting) > MOST_OCTETS:
            del self._waiting[:-START_OCTETS]

    def take(self) -> bytes | None:
        """The next frame; None while there is too little."""
        wanted = FRAME if self._is_flowing else START_OCTETS
        self._is_flowing = len(self._waiting) >= wanted
        if not self._is_flowing:
            return None
        frame = bytes(self._waiting[:FRAME])
        del self._waiting[:FRAME]
        return frame


def mix(
    frames: Mapping[Key, tuple[Law, bytes]], extra: Sequence[array[int]] = ()
) -> dict[Key, bytes]:
    """What each member of a room hears, given what each says and what plays besides."""
    said = {key: law.decode(frame) for key, (law, frame) in frames.items() if law.has_sound(frame)}
    sources: list[Sequence[int]] = [*said.values(), *extra]
    total = _sum(sources)
    shared: dict[Law, bytes] = {}
    heard: dict[Key, bytes] = {}
    for key, (law, _) in frames.items():
        if key in said:
            others = list(map(sub, total, said[key])) if len(sources) > 1 else ()
            heard[key] = _encoded(law, others)
            continue
        if law not in shared:
            shared[law] = _encoded(law, total)
        heard[key] = shared[law]
    return heard


def _sum(sources: Sequence[Sequence[int]]) -> Sequence[int]:
    total: Sequence[int] = sources[0] if sources else ()
    for samples in sources[1:]:
        total = list(map(add, total, samples))
    return total


def _encoded(law: Law, samples: Sequence[int]) -> bytes:
    """Encode a sum, which may be louder than 16 bits can say; nothing at all is silence."""
    if not samples:
        return law.silence
    if isinstance(samples, array):
        return law.encode(samples)
    return law.encode(max(-32768, min(32767, sample)) for sample in samples)


class Chime:
    """A soft tone every few seconds, so that who is alone in a room hears that the line stands."""

    def __init__(self) -> None:
        sound = tone.sine(CHIME_HZ, CHIME_MS, amplitude=CHIME_PEAK)
        count = len(sound)
        fading = array("h", (sample * (count - i) // count for i, sample in enumerate(sound)))
        self._frames = [fading[at : at + FRAME] for at in range(0, count, FRAME)]
        self._every = CHIME_EVERY_MS // 20
        self._tick = 0

    def next_frame(self) -> array[int] | None:
        """The samples of the next 20 ms; None in the pause."""
        tick, self._tick = self._tick, (self._tick + 1) % self._every
        return self._frames[tick] if tick < len(self._frames) else None
