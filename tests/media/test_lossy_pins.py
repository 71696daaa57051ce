# SPDX-License-Identifier: GPL-3.0-or-later
"""PINs by the thousand through a network that loses, doubles and delays, into a media worker.

Packets reach a leg's socket; the keys are those that the worker tells the service. The network is
the same each time: its seed is in the name of each test. Keys by INFO are in
`tests/test_lossy_info.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import pytest

from dialin.events import Codec
from dialin.media.messages import CloseLeg, Counted
from dialin.wire import dtmf, g711, rtp
from tests.media.world import FRAME_S, LegAtWork, World
from tests.wire.test_tones import key_tones

LOSS, DOUBLED = 0.1, 0.2
JITTER_S = 0.06
FRAME = 160
PIN_DIGITS = 9
FEW, MANY = 30, 1000
SILENCE = bytes([g711.ALAW_SILENCE])
EVENTS_ON = 101
LEAST_TONE = 102
"""Samples of a tone, within one packet, that a detector needs to name it (see `wire/tones`)."""


@dataclass(frozen=True)
class Sent:
    """A packet on its way."""

    at: float
    sequence: int
    timestamp: int
    payload: bytes
    payload_type: int = Codec.PCMA.payload_type
    marker: bool = False


def network(packets: Sequence[Sent], draw: Random) -> list[tuple[float, Sent]]:
    """What arrives, and when: 10 % are lost, 20 % of the others come twice, all are late."""
    arrivals = [
        (packet.at + draw.uniform(0, JITTER_S), packet)
        for packet in packets
        if draw.random() >= LOSS
        for _ in range(2 if draw.random() < DOUBLED else 1)
    ]
    return sorted(arrivals, key=lambda arrival: arrival[0])


def pins(count: int, draw: Random) -> Iterator[str]:
    for _ in range(count):
        yield "".join(draw.choices("0123456789", k=PIN_DIGITS)) + "#"


def hear(
    world: World, arrivals: Sequence[tuple[float, Sent]], *, in_band_digits: bool = False
) -> str:
    """The keys that a new leg is told of."""
    leg = world.leg(
        codec=Codec.PCMA,
        payload_type=Codec.PCMA.payload_type,
        in_band_digits=in_band_digits,
    )
    began = world.now
    for at, packet in arrivals:
        world.now = began + at
        deliver(leg, packet)
    world.ask(lambda request: CloseLeg(request, leg.number), Counted)
    return world.digits()


def deliver(leg: LegAtWork, packet: Sent) -> None:
    leg.send_raw(
        rtp.pack(
            packet.payload,
            payload_type=packet.payload_type,
            marker=packet.marker,
            sequence=packet.sequence & 0xFFFF,
            timestamp=packet.timestamp,
            ssrc=leg.far.ssrc,
        )
    )


# By telephone event


def events(pin: str, draw: Random) -> list[Sent]:
    """The packets of a PIN by RFC 4733, with silence between keys."""
    packets: list[Sent] = []
    frame, sequence = 0, draw.randrange(65000, 65536)
    for key in pin:
        payloads = dtmf.event_packets(key, draw.choice((40, 60, 100, 240)))
        for place, payload in enumerate(payloads):
            stamp, at = FRAME * frame, FRAME_S * (frame + place)
            packets.append(Sent(at, sequence, stamp, payload, EVENTS_ON, place == 0))
            sequence += 1
        frame += len(payloads)
        for _ in range(draw.randint(3, 12)):
            packets.append(Sent(FRAME_S * frame, sequence, FRAME * frame, SILENCE * FRAME))
            sequence, frame = sequence + 1, frame + 1
    return packets


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.e2e)])
@pytest.mark.parametrize("seed", [4733])
def test_every_pin_by_telephone_event_is_right(world: World, count: int, seed: int) -> None:
    draw = Random(seed)  # noqa: S311 - a network that loses the same packets each time
    for pin in pins(count, draw):
        assert hear(world, network(events(pin, draw), draw)) == pin


# By tone


@cache
def tone(key: str, on_ms: int) -> bytes:
    samples = key_tones(key, on_ms=on_ms, off_ms=0, low_dbm0=-10, high_dbm0=-8)
    return g711.alaw_encode(round(sample) for sample in samples)


@dataclass(frozen=True)
class Tones:
    """The packets of a PIN by tones, and where in them each key is."""

    packets: list[Sent]
    spans: list[tuple[int, int]]
    """The first sample of each tone, and the one behind the last."""

    @classmethod
    def of(cls, pin: str, on_ms: int, off_ms: int, draw: Random) -> Tones:
        """A phone's keys begin anywhere within a packet."""
        audio, spans = SILENCE * draw.randrange(10 * FRAME, 11 * FRAME), []
        for key in pin:
            sound = tone(key, on_ms)
            spans.append((len(audio), len(audio) + len(sound)))
            audio += sound + SILENCE * (8 * off_ms)
        audio += SILENCE * 10 * FRAME
        first = draw.randrange(65000, 65536)
        packets = [
            Sent(FRAME_S * number, first + number, at, audio[at : at + FRAME])
            for number, at in enumerate(range(0, len(audio) - FRAME, FRAME))
        ]
        return cls(packets, spans)

    def has_lost_a_key(self, arrivals: Sequence[tuple[float, Sent]]) -> bool:
        """Whether of some tone nothing has come that is long enough to be named."""
        came = {packet.timestamp for _, packet in arrivals}
        return not all(self._has_come(span, came) for span in self.spans)

    @staticmethod
    def _has_come(span: tuple[int, int], came: set[int]) -> bool:
        began, ended = span
        return any(
            min(ended, at + FRAME) - max(began, at) >= LEAST_TONE
            for at in range(began // FRAME * FRAME, ended, FRAME)
            if at in came
        )


def keyed(
    world: World, count: int, on_ms: int, off_ms: int, seed: int
) -> tuple[list[tuple[str, str]], int]:
    """PINs that were heard wrong, though something of each key had come; and how many lost one."""
    draw = Random(seed)  # noqa: S311 - as above
    wrong, hopeless = [], 0
    for pin in pins(count, draw):
        sent = Tones.of(pin, on_ms, off_ms, draw)
        arrivals = network(sent.packets, draw)
        heard = hear(world, arrivals, in_band_digits=True)
        assert len(heard) <= len(pin), "a key came twice"
        if heard == pin:
            continue
        if sent.has_lost_a_key(arrivals):
            hopeless += 1
        else:
            wrong.append((pin, heard))
    return wrong, hopeless


@pytest.mark.parametrize("seed", [1, 24])
@pytest.mark.parametrize(("on_ms", "off_ms"), [(100, 100), (65, 65)])
def test_a_few_pins_by_tone_are_right(world: World, on_ms: int, off_ms: int, seed: int) -> None:
    assert keyed(world, FEW, on_ms, off_ms, seed) == ([], 0)


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("on_ms", "seed", "most_hopeless"), [(100, 1, 0), (100, 24, 1), (65, 1, 10)]
)
def test_a_thousand_pins_by_tone_are_right_where_anything_came_of_each_key(
    world: World, on_ms: int, seed: int, most_hopeless: int
) -> None:
    """With 100 ms, which gateways send, four to six packets have a tone; one is enough.

    With 65 ms, the least that 3GPP TS 26.114 (annex G.2) allows, there are three or four, and of
    about one PIN in 100 a tone has left no trace.
    """
    wrong, hopeless = keyed(world, MANY, on_ms, on_ms, seed)
    print(f"{on_ms} ms, seed {seed}: {len(wrong)} wrong, {hopeless} lost a key")  # noqa: T201
    assert not wrong
    assert hopeless <= most_hopeless
