# SPDX-License-Identifier: GPL-3.0-or-later
"""SRTP: whoever has the keys is heard and hears, and nobody else does anything."""

from __future__ import annotations

import hmac
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import shake_128
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from pylibsrtp import Error, Policy, Session

from dialin.events import Codec
from dialin.media import srtp
from dialin.media.messages import Configure, LegSettings, Play, SendDigits, decode, encode
from dialin.media.playout import SILENCE
from dialin.media.reports import FIRST_REPORT_S
from dialin.wire import rtcp, rtp
from dialin.wire.dtmf import event_packets
from dialin.wire.sdes import SrtpKeys, Suite
from tests.media.world import FRAME_S, Heard, LegAtWork, World, follows

SHA1_80, SHA1_32 = Suite.AES_CM_128_HMAC_SHA1_80, Suite.AES_CM_128_HMAC_SHA1_32
GCM_128, GCM_256 = Suite.AEAD_AES_128_GCM, Suite.AEAD_AES_256_GCM
PROFILES = {
    SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    SHA1_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    GCM_128: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    GCM_256: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
SPOKEN = SILENCE[Codec.PCMU]
FLOOD = 10_000


def session(suite: Suite, key: bytes, direction: int) -> Session:
    """A far end's own, with the widest window there is."""
    base = SHA1_80 if suite not in PROFILES else suite
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=PROFILES[base])
    policy.window_size = 0x7FFF
    if suite not in PROFILES:
        ffi = import_module("pylibsrtp._binding").ffi
        for part in (policy._policy.rtp, policy._policy.rtcp):
            words = ffi.cast("uint32_t *", ffi.addressof(part))
            words[0], words[1] = 5, 46
        ffi.cast("uint32_t *", ffi.addressof(policy._policy.rtp))[4] = suite.tag_bytes
    return Session(policy)


def new_keys(suite: Suite = SHA1_80, *, mki: bytes = b"", seed: int = 1) -> SrtpKeys:
    length = suite.master_bytes
    made = shake_128(bytes([seed])).digest(2 * length)
    return SrtpKeys(suite, made[:length], made[length:], mki)


@dataclass(slots=True)
class Secured:
    """A leg with SRTP, and both sessions of its far end."""

    leg: LegAtWork
    keys: SrtpKeys
    sends: Session
    receives: Session

    def send_report(self) -> None:
        """The far end sends an encrypted report, and the worker takes it."""
        report = rtcp.compound([rtcp.SenderReport(self.leg.far.ssrc, 1 << 40, 0, 1, 160, ())])
        self.leg.far.rtcp.sendto(self.sends.protect_rtcp(report), ("127.0.0.1", self.leg.port + 1))
        self.leg.world.take()


def secure(leg: LegAtWork, keys: SrtpKeys) -> Secured:
    """Give both ends of a leg these keys."""
    sends = session(keys.suite, keys.receive_key, Policy.SSRC_ANY_OUTBOUND)
    receives = session(keys.suite, keys.send_key, Policy.SSRC_ANY_INBOUND)
    leg.far.seal, leg.far.unseal = sends.protect, receives.unprotect
    leg.configure(srtp=keys)
    return Secured(leg, keys, sends, receives)


def secured(world: World, suite: Suite = SHA1_80, *, seed: int = 1, mki: bytes = b"") -> Secured:
    """A started leg with SRTP."""
    leg = world.leg(started=False)
    both = secure(leg, new_keys(suite, mki=mki, seed=seed))
    leg.start()
    world.advance(0.1)
    leg.far.heard(at_least=1)
    return both


def audio(packets: list[Heard]) -> list[bytes]:
    """What was said, less the silence of our own."""
    return [packet.payload for packet in packets if packet.payload != SPOKEN]


def speech(count: int) -> list[bytes]:
    made = shake_128(count.to_bytes(2)).digest(160 * count)
    return [made[each * 160 :][:160] for each in range(count)]


class TestSuites:
    def test_all_that_can_be_agreed_on_can_be_done_best_first(self) -> None:
        assert srtp.usable_suites() == tuple(Suite)

    @pytest.mark.parametrize(
        "break_it",
        [
            lambda policy, _suite: policy.nonsense,
            lambda _policy, _suite: None,
            lambda policy, _suite: setattr(policy, "ssrc_type", Policy.SSRC_UNDEFINED),
        ],
    )
    def test_aes_256_in_counter_mode_is_left_out_where_pylibsrtp_has_no_way_to_it(
        self, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[Policy, Suite], None]
    ) -> None:
        """Else keys of 256 bits would be taken, and 128 of them used."""
        monkeypatch.setattr(srtp, "_turn_to_aes_256", break_it)
        assert srtp.usable_suites.__wrapped__() == (GCM_256, GCM_128, SHA1_80, SHA1_32)


def counter_mode(key: bytes, counter: int, data: bytes) -> bytes:
    """AES in counter mode by OpenSSL, which knows nothing of SRTP."""
    cipher = f"-aes-{8 * len(key)}-ctr"
    command = ["openssl", "enc", cipher, "-K", key.hex(), "-iv", counter.to_bytes(16).hex()]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("suite", [suite for suite in Suite if not suite.is_aead])
def test_counter_mode_is_what_the_rfcs_say(suite: Suite) -> None:
    """RFC 3711 §4.1.1, §4.2.1 and §4.3, RFC 6188 §2 and §3, without libsrtp."""
    secret = new_keys(suite).send_key
    key, salt = secret[: suite.key_bytes], int.from_bytes(secret[suite.key_bytes :])

    def derived(label: int, length: int) -> bytes:
        return counter_mode(key, (salt ^ label << 48) << 16, bytes(length))

    ssrc, sequence = 0xDEADBEEF, 4711
    packet = rtp.pack(
        b"\x07" * 160, payload_type=0, marker=False, sequence=sequence, timestamp=5, ssrc=ssrc
    )
    counter = int.from_bytes(derived(2, 14)) << 16 ^ ssrc << 64 ^ sequence << 16
    sealed = packet[:12] + counter_mode(derived(0, suite.key_bytes), counter, packet[12:])
    tag = hmac.digest(derived(1, 20), sealed + bytes(4), "sha1")[: suite.tag_bytes]
    assert srtp.SendContext(suite, secret).protect(packet) == sealed + tag


@pytest.mark.parametrize("suite", Suite)
class TestEverySuite:
    def test_what_the_far_end_says_and_hears_is_right(self, world: World, suite: Suite) -> None:
        one, other = secured(world, suite).leg, world.leg()
        world.join(one, other)
        said, answered = speech(20), speech(21)
        for each in said:
            one.send(each)
        assert audio(other.far.heard(at_least=20)) == said
        for each in answered:
            other.send(each)
        heard = one.far.heard(at_least=21)
        assert audio(heard) == answered
        assert follows(heard)
        assert one.statistics().srtp_failed == 0

    def test_reports_are_encrypted_both_ways(self, world: World, suite: Suite) -> None:
        both = secured(world, suite)
        both.send_report()
        world.advance(FIRST_REPORT_S)
        [report] = both.leg.far.heard_reports(at_least=1)
        with pytest.raises(rtp.MalformedPacket):
            rtcp.parse_compound(report[:8] + bytes(len(report) - 8))
        ours, _ = rtcp.parse_compound(both.receives.unprotect_rtcp(report))
        assert isinstance(ours, rtcp.SenderReport)
        assert world.leg_of(both.leg).receiver.reporter.heard_at > 0
        assert both.leg.statistics().malformed == 0

    def test_a_key_identifier_of_theirs_is_passed_over(self, world: World, suite: Suite) -> None:
        mki = b"\x00\x01"
        both = secured(world, suite, mki=mki)
        leg, seal = both.leg, both.leg.far.seal
        tag_bytes = 0 if suite.is_aead else suite.tag_bytes

        def with_mki(packet: bytes) -> bytes:
            sealed = seal(packet)
            end = len(sealed) - tag_bytes
            return sealed[:end] + mki + sealed[end:]

        leg.far.seal = with_mki
        leg.send()
        figures = leg.statistics()
        assert (figures.packets_received, figures.srtp_failed) == (1, 0)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("other_suite", [SHA1_80, GCM_256, Suite.AES_256_CM_HMAC_SHA1_32])
def test_two_legs_with_different_keys_and_suites_say_the_same_bit_for_bit(
    world: World, other_suite: Suite, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(srtp, "works_in_place", lambda: in_place)
    one, other = secured(world).leg, secured(world, other_suite, seed=2).leg
    world.join(one, other)
    said = speech(600)  # more than a lane is granted at once
    for each in said:
        one.send(each)
    assert audio(other.far.heard(at_least=600)) == said
    assert (world.leg_of(one).receiver.left > 0) is in_place


class TestTheLane:
    def test_false_packets_that_fit_do_not_move_it(self, world: World) -> None:
        one, other = secured(world).leg, world.leg()
        world.join(one, other)
        for _ in range(3):
            one.send(b"\x01" * 160)
        other.far.heard(at_least=3)
        lane = world.leg_of(one).receiver
        left = lane.left
        true: list[bytes] = []
        seal = one.far.seal

        def spoil(packet: bytes) -> bytes:
            true.append(seal(packet))
            return true[-1][:-1] + bytes([true[-1][-1] ^ 1])

        one.far.seal = spoil
        one.send(b"\x02" * 160)
        assert (lane.left, one.statistics().srtp_failed) == (left, 1)
        assert other.far.heard() == []
        one.send_raw(true[0])
        assert (lane.left, one.statistics().packets_received) == (left - 1, 4)
        assert audio(other.far.heard(at_least=1)) == [b"\x02" * 160]

    def test_it_tells_how_much_left(self, world: World) -> None:
        one, other = secured(world).leg, secured(world, GCM_128, seed=2).leg
        world.join(one, other)
        before = world.leg_of(other).sender.stream.octets
        for _ in range(10):
            one.send()
        other.statistics()
        assert world.leg_of(other).sender.stream.octets == before + 10 * 160

    def test_it_takes_no_key_identifiers(self, world: World) -> None:
        one, other = secured(world, mki=b"\x07").leg, world.leg()
        world.join(one, other)
        for _ in range(3):
            one.send()
        assert world.leg_of(one).receiver.left == 0
        assert len(other.far.heard(at_least=3)) >= 3

    def test_it_seals_nothing_that_might_not_fit(self, world: World) -> None:
        one, other = world.leg(), secured(world).leg
        world.join(one, other)
        for _ in range(3):
            one.send(bytes(srtp.MAX_IN_PLACE_BYTES))
        assert world.leg_of(one).receiver.left > 0
        assert other.statistics().unsent == 3

    def test_a_sink_that_refuses_is_counted(self, world: World) -> None:
        one, other = secured(world).leg, world.leg()
        world.join(one, other)
        for _ in range(3):
            one.send()
        other.far.rtp.close()
        for _ in range(10):
            one.send()
        assert other.statistics().refused >= 4
        assert world.leg_of(one).receiver.left > 0

    def test_without_its_buffer_nothing_can_be_done_in_place(self) -> None:
        keys = new_keys()
        assert srtp.SendContext(keys.suite, keys.send_key).seal(172) == 0
        assert srtp.ReceiveContext(keys).open(182) == 0

    @pytest.mark.parametrize("binding", [SimpleNamespace(), SimpleNamespace(lib=None, ffi=None)])
    def test_without_pylibsrtps_private_parts_there_is_none(
        self, monkeypatch: pytest.MonkeyPatch, binding: SimpleNamespace
    ) -> None:
        assert srtp.works_in_place()
        monkeypatch.setattr(srtp, "import_module", lambda _name: binding)
        assert srtp.works_in_place.__wrapped__() is False


class TestWhatIsNotAuthentic:
    def test_a_flood_of_false_packets_is_counted_and_nothing_else(self, world: World) -> None:
        one, other = secured(world).leg, world.leg()
        world.join(one, other)
        one.send(b"\x01" * 160)
        other.far.heard(at_least=1)
        for number in range(FLOOD):
            one.send_raw(
                rtp.pack(
                    bytes(170),  # a tag in it would have to be zeros
                    payload_type=0,
                    marker=False,
                    sequence=rtp.uint16_add(one.far.sequence, number),
                    timestamp=one.far.timestamp,
                    ssrc=one.far.ssrc,
                )
            )
        assert audio(other.far.heard()) == []
        figures = one.statistics()
        assert (figures.srtp_failed, figures.packets_received) == (FLOOD, 1)
        one.send(b"\x02" * 160)
        assert audio(other.far.heard(at_least=1)) == [b"\x02" * 160]
        assert not world.reports

    def test_whatever_is_sent_again_is_heard_once(self, world: World) -> None:
        one, other = secured(world).leg, world.leg()
        world.join(one, other)
        sealed: list[bytes] = []
        seal = one.far.seal

        def keep(packet: bytes) -> bytes:
            sealed.append(seal(packet))
            return sealed[-1]

        one.far.seal = keep
        for each in speech(100):
            one.send(each)
        other.far.heard(at_least=100)
        for packet in sealed:
            one.send_raw(packet)
        assert audio(other.far.heard()) == []
        assert one.statistics().srtp_failed == 100

    @pytest.mark.parametrize(
        "packet",
        [
            rtp.pack(SPOKEN, payload_type=0, marker=False, sequence=1001, timestamp=0, ssrc=1),
            b"",
            b"\x80",
            bytes(11),
            b"\x80\x00" + bytes(1800),
            b"\x80\xc9\x00\x01" + bytes(4),
        ],
        ids=["plain", "empty", "short", "shorter", "long", "report"],
    )
    def test_what_is_no_srtp_is_not_heard(self, world: World, packet: bytes) -> None:
        leg = secured(world).leg
        leg.send_raw(packet)
        figures = leg.statistics()
        assert (figures.srtp_failed, figures.packets_received, figures.malformed) == (1, 0, 0)

    def test_a_plain_report_is_not_heard(self, world: World) -> None:
        leg = secured(world).leg
        report = rtcp.compound([rtcp.ReceiverReport(1, ())])
        leg.far.rtcp.sendto(report, ("127.0.0.1", leg.port + 1))
        world.take()
        assert leg.statistics().srtp_failed == 1
        assert world.leg_of(leg).receiver.reporter.heard_at < 0

    def test_false_packets_are_no_sign_of_life(self, worlds: Callable[..., World]) -> None:
        world = worlds(media_timeout_s=2.0)
        leg = secured(world).leg
        for _ in range(150):
            leg.send_raw(b"\x80\x00" + bytes(180))
            world.advance(FRAME_S)
        assert [type(report).__name__ for report in world.reports] == ["LegLost"]

    def test_false_packets_do_not_teach_the_source(self, worlds: Callable[..., World]) -> None:
        """Whoever knows the SSRC and the port sprays from the right address in perfect order."""
        world = worlds(latch="same-ip")
        leg = world.leg(started=False)
        keys = new_keys()
        moved, sprayer = world.far_end(ssrc=leg.far.ssrc), world.far_end(ssrc=leg.far.ssrc)
        moved.seal = session(keys.suite, keys.receive_key, Policy.SSRC_ANY_OUTBOUND).protect
        moved.unseal = session(keys.suite, keys.send_key, Policy.SSRC_ANY_INBOUND).unprotect
        leg.configure(srtp=keys)
        leg.start()
        world.advance(0.5)
        for _ in range(50):
            sprayer.send(leg.port)
            world.turn()
        assert leg.statistics().srtp_failed == 50
        for _ in range(6):
            moved.send(leg.port)
            world.take()
        world.advance(0.1)
        assert moved.heard(at_least=1)
        assert not sprayer.heard()

    def test_a_far_end_cannot_heap_up_contexts(self, world: World) -> None:
        leg = secured(world).leg
        for _ in range(srtp.MAX_SOURCES + 10):
            leg.far.ssrc += 1
            leg.send()
        assert leg.statistics().srtp_failed == 10
        leg.far.ssrc -= 20
        leg.send()
        assert leg.statistics().srtp_failed == 10


def test_the_wrap_of_sequence_numbers_loses_nothing_that_came(world: World) -> None:
    """RFC 3711 §3.3.1: the rollover counter goes on although packets round the wrap are lost."""
    one, other = secured(world).leg, world.leg()
    world.join(one, other)
    one.far.sequence = 65_200
    arrived = []
    for number, each in enumerate(speech(1000), start=65_201):
        if number % 20 == 3 or 65_530 <= number <= 65_546:
            one.far.sequence = rtp.uint16_add(one.far.sequence, 1)
        else:
            one.send(each)
            arrived.append(each)
    assert one.far.sequence < 1000
    assert audio(other.far.heard(at_least=len(arrived))) == arrived
    assert one.statistics().srtp_failed == 0


def test_our_own_wrap_is_decrypted_by_the_far_end(world: World) -> None:
    leg = secured(world).leg
    world.leg_of(leg).sender.stream.sequence = 65_530
    leg.far.heard()
    world.advance(0.4)
    heard = leg.far.heard(at_least=20)
    assert follows(heard)
    assert heard[-1].header.sequence < 100


def test_a_number_that_has_left_does_not_leave_again(world: World) -> None:
    """RFC 3711 §9.1: the key stream of one packet encrypts no other."""
    one, other = world.leg(), secured(world).leg
    world.join(one, other)
    one.send(b"\x01" * 160)
    one.far.repeat(one.port, b"\x02" * 160)
    world.take()
    assert audio(other.far.heard(at_least=1)) == [b"\x01" * 160]
    assert other.statistics().unsent == 1


class TestNewKeys:
    def test_settings_with_the_same_keys_change_nothing(self, world: World) -> None:
        both = secured(world)
        leg = both.leg
        leg.send()
        before = leg.far.heard(at_least=0)
        leg.configure(sends=True, telephone_event=96)
        leg.send()
        world.advance(0.1)
        after = leg.far.heard(at_least=1)
        assert follows(before + after)
        assert leg.statistics().srtp_failed == 0

    @pytest.mark.parametrize("suite", [SHA1_80, GCM_256])
    def test_a_new_key_in_mid_call_is_a_new_stream_and_the_old_one_is_dead(
        self, world: World, suite: Suite
    ) -> None:
        one, other = secured(world), world.leg()
        leg = one.leg
        world.join(leg, other)
        for each in speech(10):
            other.send(each)
        [*_, last] = leg.far.heard(at_least=10)
        former = leg.far.seal
        secure(leg, new_keys(suite, seed=7))
        said, answered = speech(11), speech(12)
        for each in answered:
            other.send(each)
        heard = leg.far.heard(at_least=12)
        assert audio(heard) == answered
        assert follows(heard)
        assert heard[0].header.ssrc != last.header.ssrc
        assert heard[0].header.timestamp != last.header.timestamp
        for each in said:
            leg.send(each)
        assert audio(other.far.heard(at_least=11)) == said
        leg.far.seal = former
        leg.send()
        assert leg.statistics().srtp_failed == 1

    def test_another_machine_with_a_new_key_is_heard_at_once(self, world: World) -> None:
        leg = secured(world).leg
        leg.send()
        leg.far.ssrc += 1
        secure(leg, new_keys(seed=8))
        leg.send()
        figures = leg.statistics()
        assert (figures.packets_received, figures.dropped_source) == (2, 0)

    def test_a_new_key_of_theirs_alone_leaves_ours_as_it_is(self, world: World) -> None:
        both = secured(world)
        leg, keys = both.leg, both.keys
        world.advance(0.1)
        before = leg.far.heard(at_least=1)
        theirs = new_keys(seed=9).receive_key
        leg.far.seal = session(keys.suite, theirs, Policy.SSRC_ANY_OUTBOUND).protect
        leg.configure(srtp=SrtpKeys(keys.suite, keys.send_key, theirs))
        leg.send()
        world.advance(0.1)
        assert follows(before + leg.far.heard(at_least=1))
        assert leg.statistics().srtp_failed == 0

    def test_a_call_can_become_encrypted_and_plain_again(self, world: World) -> None:
        one, other = world.leg(), world.leg()
        world.join(one, other)
        for each in speech(5):
            other.send(each)
        clear = one.far.heard(at_least=5)
        secure(one, new_keys())
        for each in speech(6):
            other.send(each)
        encrypted = one.far.heard(at_least=6)
        assert audio(encrypted) == speech(6)
        assert encrypted[0].header.ssrc != clear[0].header.ssrc
        one.far.seal = one.far.unseal = bytes
        one.configure(srtp=None)
        for each in speech(7):
            other.send(each)
        assert audio(one.far.heard(at_least=7)) == speech(7)

    def test_reports_count_what_left_with_the_new_ssrc(self, world: World) -> None:
        both = secured(world)
        leg = both.leg
        world.advance(0.2)
        leg.far.heard(at_least=1)
        again = secure(leg, new_keys(seed=4))
        world.advance(FIRST_REPORT_S)
        [report] = leg.far.heard_reports(at_least=1)
        [ours, _] = rtcp.parse_compound(again.receives.unprotect_rtcp(report))
        assert isinstance(ours, rtcp.SenderReport)
        heard = leg.far.heard(at_least=1)
        assert ours.ssrc == heard[0].header.ssrc
        assert 0 < ours.packets < len(heard)  # some came after the report
        assert ours.octets == 160 * ours.packets

    def test_a_leg_that_has_sent_nothing_can_change_its_keys(self, world: World) -> None:
        leg = world.leg(started=False)
        secure(leg, new_keys())
        secure(leg, new_keys(seed=2))
        leg.start()
        world.advance(0.1)
        assert follows(leg.far.heard(at_least=4))


class TestWhatALegSendsOfItsOwn:
    def test_prompts_and_keys_are_encrypted(self, world: World, tmp_path: Path) -> None:
        leg = secured(world).leg
        clip = tmp_path / "clip"
        clip.write_bytes(b"".join(speech(3)))
        world.order(lambda request: Play(request, leg.number, (str(clip),), repeat=False))
        world.advance(0.1)
        assert audio(leg.far.heard(at_least=3)) == speech(3)
        world.order(lambda request: SendDigits(request, leg.number, "5"))
        world.advance(0.5)
        events = [each for each in leg.far.heard(at_least=8) if each.header.payload_type == 101]
        assert [each.payload for each in events] == list(event_packets("5", 160, 8000))

    def test_keys_of_theirs_are_heard(self, world: World) -> None:
        leg = secured(world).leg
        leg.far.send(leg.port, b"\x05\x0a\x00\xa0", payload_type=101, marker=True)
        world.take()
        assert world.digits() == "5"

    def test_somebody_without_the_key_understands_nothing(self, world: World) -> None:
        leg = secured(world).leg
        leg.far.unseal = session(SHA1_80, bytes(30), Policy.SSRC_ANY_INBOUND).unprotect
        world.advance(0.1)
        with pytest.raises(Error, match="authentication"):
            leg.far.heard(at_least=1)


def test_keys_reach_the_worker_and_no_text(world: World) -> None:
    keys = new_keys(mki=b"\x07")
    settings = LegSettings("192.0.2.1", 4000, 4001, Codec.PCMA, 8, 101, False, srtp=keys)
    command = Configure(1, 1, settings)
    assert decode(encode(command)) == command
    for secret in (keys.send_key, keys.receive_key):
        assert repr(secret)[2:-1] not in repr(command)


def test_a_packet_too_long_to_encrypt_is_counted(world: World) -> None:
    one, other = world.leg(), secured(world).leg
    world.join(one, other)
    one.send(bytes(1400))
    assert other.statistics().unsent == 1
