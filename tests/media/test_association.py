# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose media a leg takes: SDP's address, in one mode its port only as hint, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from dialin.wire import dtmf, rtp
from tests.media.world import FRAME_S, FarEnd, LegAtWork, World

FOREIGN = b"\xbb" * 160


@pytest.fixture
def behind_nat(worlds: Callable[..., World]) -> World:
    """A worker that learns ports."""
    return worlds(latch="same-ip")


def sprayed(sprayer: FarEnd, leg: LegAtWork, packets: int = 20) -> None:
    """Somebody guesses the port and sends audio and keys, with numbers like a phone's."""
    key = dtmf.event_packets("9", 100)[0]
    for _ in range(packets):
        sprayer.send(leg.port, FOREIGN)
        sprayer.send(leg.port, key, payload_type=101)


def said_to(far: FarEnd) -> list[bytes]:
    return [packet.payload for packet in far.heard()]


class TestSdpMode:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
    def test_a_sprayer_before_and_after_is_neither_heard_nor_sent_to(
        self, world: World, host: str
    ) -> None:
        sprayer = world.far_end(host)
        leg = world.open()
        sprayed(sprayer, leg)
        leg.configure()
        sprayed(sprayer, leg)
        leg.start()
        other = world.leg()
        world.join(leg, other)
        for _ in range(50):
            sprayed(sprayer, leg, 3)
            leg.send(b"\x01" * 160)
            other.send(b"\x02" * 160)
            world.advance(FRAME_S)
        assert FOREIGN not in said_to(other.far)
        assert sprayer.heard() == []
        assert world.digits() == ""
        assert leg.statistics().packets_received == 50
        assert leg.far.heard(at_least=50)


@pytest.mark.parametrize("latch", ["sdp", "same-ip"])
def test_ipv6_works_like_ipv4(worlds: Callable[..., World], latch: str) -> None:
    world = worlds(latch=latch)
    leg = world.open("::1")
    leg.configure()
    leg.start()
    for _ in range(20):
        leg.send()
        world.advance(FRAME_S)
    assert leg.far.heard(at_least=20)
    assert leg.statistics().packets_received >= 14
    leg.configure(remote_rtp_port=world.far_end("::1").port)
    world.advance(0.1)


class TestSameIp:
    def learn(self, leg: LegAtWork, source: FarEnd, packets: int = 20) -> None:
        for _ in range(packets):
            source.send(leg.port)
            leg.world.advance(FRAME_S)

    def test_the_port_of_the_only_source_is_learnt(self, behind_nat: World) -> None:
        leg, translated = behind_nat.leg(), behind_nat.far_end(ssrc=7)
        self.learn(leg, translated, packets=30)
        assert translated.heard(at_least=5)
        assert leg.statistics().packets_received > 5
        leg.far.heard()
        behind_nat.advance(0.1)
        assert leg.far.heard() == []

    def test_sdps_own_port_is_kept_after_a_handful_of_packets(self, behind_nat: World) -> None:
        leg = behind_nat.leg()
        self.learn(leg, leg.far, packets=6)
        assert leg.statistics().packets_received >= 1

    def test_nothing_is_played_or_forwarded_while_the_source_is_learnt(
        self, behind_nat: World
    ) -> None:
        leg, other, translated = behind_nat.leg(), behind_nat.leg(), behind_nat.far_end(ssrc=7)
        behind_nat.join(leg, other)
        for _ in range(4):
            translated.send(leg.port, FOREIGN)
            behind_nat.advance(FRAME_S)
        assert FOREIGN not in said_to(other.far)

    def test_media_goes_to_sdps_port_while_the_source_is_learnt(self, behind_nat: World) -> None:
        leg = behind_nat.leg()
        behind_nat.advance(0.1)
        assert len(leg.far.heard(at_least=6)) == 6

    def test_another_address_is_never_learnt(self, behind_nat: World) -> None:
        leg, sprayer = behind_nat.leg(), behind_nat.far_end("127.0.0.2")
        self.learn(leg, sprayer, packets=100)
        self.learn(leg, leg.far)
        assert leg.statistics().dropped_source == 100
        assert sprayer.heard() == []
        assert leg.statistics().packets_received >= 15

    def test_a_sprayer_at_the_same_address_keeps_sdps_port_from_nothing(
        self, behind_nat: World
    ) -> None:
        leg = behind_nat.leg(started=False)
        other, sprayer = behind_nat.leg(), behind_nat.far_end(ssrc=0xBAD)
        behind_nat.join(leg, other)
        sprayed(sprayer, leg, 100)
        behind_nat.advance(1)
        leg.start()
        for _ in range(100):
            sprayed(sprayer, leg, 2)
            leg.far.send(leg.port, b"\x01" * 160)
            behind_nat.advance(FRAME_S)
        assert FOREIGN not in said_to(other.far)
        assert sprayer.heard() == []
        assert behind_nat.digits() == ""
        assert leg.statistics().packets_received > 80

    def test_between_two_sources_that_both_look_right_none_is_taken(
        self, behind_nat: World
    ) -> None:
        leg = behind_nat.leg()
        one, other = behind_nat.far_end(ssrc=1), behind_nat.far_end(ssrc=2)
        for _ in range(300):
            one.send(leg.port)
            other.send(leg.port)
            behind_nat.advance(FRAME_S)
        assert one.heard() == []
        assert other.heard() == []
        assert leg.statistics().packets_received == 0

    def test_after_five_seconds_sdps_port_is_taken_for_granted(self, behind_nat: World) -> None:
        leg, late = behind_nat.leg(), behind_nat.far_end(ssrc=7)
        behind_nat.advance(5.1)
        self.learn(leg, late)
        leg.send()
        assert late.heard() == []
        assert leg.statistics().packets_received == 1

    def test_a_source_with_random_numbers_is_none(self, behind_nat: World) -> None:
        leg, sprayer, random = behind_nat.leg(), behind_nat.far_end(), Random(1)  # noqa: S311
        for _ in range(200):
            sprayer.sequence, sprayer.ssrc = random.getrandbits(16), random.getrandbits(32)
            sprayer.send(leg.port)
            behind_nat.advance(FRAME_S)
        assert sprayer.heard() == []

    def test_what_is_no_rtp_of_the_codec_teaches_nothing(self, behind_nat: World) -> None:
        leg, strange = behind_nat.leg(), behind_nat.far_end()
        for _ in range(60):
            strange.send_raw(leg.port, b"rubbish")
            strange.send(leg.port, payload_type=18)
            behind_nat.advance(FRAME_S)
        assert strange.heard() == []
        assert leg.statistics().malformed == 60

    def test_a_flood_while_learning_does_not_crowd_the_source_out(self, behind_nat: World) -> None:
        leg, flood = behind_nat.leg(), behind_nat.far_end("127.0.0.2")
        for _ in range(10):
            for _ in range(50):
                flood.send(leg.port, b"")
            leg.far.send(leg.port)
            behind_nat.advance(FRAME_S)
        assert leg.statistics().packets_received >= 1

    def test_a_re_invite_to_a_new_address_learns_anew(self, behind_nat: World) -> None:
        leg, elsewhere = behind_nat.leg(), behind_nat.far_end(ssrc=5)
        self.learn(leg, leg.far)
        leg.configure(remote_rtp_port=elsewhere.port)
        translated = behind_nat.far_end(ssrc=6)
        self.learn(leg, translated, packets=30)
        assert translated.heard(at_least=5)

    def test_icmp_while_learning_is_counted(self, behind_nat: World) -> None:
        leg = behind_nat.leg()
        leg.far.rtp.close()
        behind_nat.advance(1)
        assert leg.statistics().packets_sent > 0  # unconnected: the kernel does not tell

    def test_a_truncated_run_begins_again(self, behind_nat: World) -> None:
        leg, translated = behind_nat.leg(), behind_nat.far_end(ssrc=7)
        behind_nat.advance(1)
        for _ in range(4):
            for _ in range(3):
                translated.send(leg.port)
            translated.sequence = rtp.uint16_add(translated.sequence, 5000)
            behind_nat.advance(FRAME_S)
        assert translated.heard() == []
