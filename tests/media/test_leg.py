# SPDX-License-Identifier: GPL-3.0-or-later
"""A leg in a worker, from the far end's point of view: what arrives, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dialin.events import Codec
from dialin.media.messages import (
    Cause,
    CloseLeg,
    Configure,
    Counted,
    Done,
    Failed,
    LegLost,
    Play,
    SendDigits,
    Start,
    StopPlaying,
)
from dialin.media.playout import SILENCE
from dialin.wire import dtmf, rtcp
from tests.media.world import FRAME_S, LegAtWork, World, follows, steps

FRAMES = [bytes([number + 1]) * 160 for number in range(10)]


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """Ten frames that all differ."""
    path = tmp_path / "clip.pcmu"
    path.write_bytes(b"".join(FRAMES))
    return str(path)


def play(leg: LegAtWork, *clips: str, repeat: bool = False) -> int:
    """Begin to play; the request's number."""
    return leg.world.order(lambda request: Play(request, leg.number, clips, repeat))


class TestBeforeTheAck:
    def test_neither_rtp_nor_rtcp_leaves_before_start(self, world: World, clip: str) -> None:
        leg = world.leg(started=False)
        play(leg, clip)
        leg.send()
        world.advance(10)
        assert leg.far.heard() == []
        assert leg.far.heard_reports() == []

    def test_the_prompt_begins_when_the_leg_starts(self, world: World, clip: str) -> None:
        leg = world.leg(started=False)
        play(leg, clip)
        world.advance(1)
        leg.start()
        assert leg.far.heard(at_least=1)[0].payload == FRAMES[0]

    def test_a_second_start_changes_nothing(self, world: World) -> None:
        leg = world.leg()
        leg.start()
        world.advance(0.1)
        assert len(leg.far.heard(at_least=6)) == 6

    def test_a_leg_that_does_not_exist_does_not_start(self, world: World) -> None:
        answer = world.ask(lambda request: Start(request, 999), Failed)
        assert answer.cause is Cause.NO_SUCH_LEG

    def test_a_leg_without_settings_does_not_play(self, world: World, clip: str) -> None:
        leg = world.open()
        answer = world.ask(lambda request: Play(request, leg.number, (clip,), False), Failed)
        assert answer.cause is Cause.NOT_CONFIGURED


class TestPrompts:
    def test_a_frame_leaves_every_20_ms_and_the_first_has_the_marker(
        self, world: World, clip: str
    ) -> None:
        leg = world.leg(started=False)
        request = play(leg, clip)
        leg.start()
        arrivals = []
        for _ in range(150):
            arrivals += [(world.now, packet) for packet in leg.far.heard()]
            world.advance(0.002, step_s=0.002)
        packets = [packet for _, packet in arrivals][:10]
        times = [round(at - arrivals[0][0], 3) for at, _ in arrivals][:10]
        assert [packet.payload for packet in packets] == FRAMES
        assert [packet.header.marker for packet in packets] == [True] + 9 * [False]
        assert times == pytest.approx([index * FRAME_S for index in range(10)], abs=0.003)
        assert follows(packets)
        assert set(steps(packets)) == {160}
        assert world.answers[request] == Done(request)

    def test_done_is_told_when_the_last_frame_has_left_and_not_before(
        self, world: World, clip: str
    ) -> None:
        leg = world.leg(started=False)
        request = play(leg, clip)
        leg.start()
        world.advance(8 * FRAME_S)
        assert request not in world.answers
        world.advance(FRAME_S)
        assert world.answers[request] == Done(request)
        assert len(leg.far.heard(at_least=10)) == 10

    def test_silence_goes_on_after_the_prompt_without_a_break(
        self, world: World, clip: str
    ) -> None:
        leg = world.leg(started=False)
        play(leg, clip)
        leg.start()
        world.advance(0.3)
        packets = leg.far.heard(at_least=16)
        assert [packet.payload for packet in packets[10:]] == [SILENCE[Codec.PCMU]] * 6
        assert follows(packets)
        assert set(steps(packets)) == {160}

    def test_clips_follow_each_other_and_each_is_filled_up_to_a_frame(
        self, world: World, tmp_path: Path
    ) -> None:
        short, other = tmp_path / "short", tmp_path / "other"
        short.write_bytes(b"\x01" * 170)
        other.write_bytes(b"\x02" * 160)
        leg = world.leg(started=False)
        play(leg, str(short), str(other))
        leg.start()
        world.advance(0.04)
        payloads = [packet.payload for packet in leg.far.heard(at_least=3)]
        assert payloads == [b"\x01" * 160, b"\x01" * 10 + b"\xff" * 150, b"\x02" * 160]

    def test_music_repeats_until_it_is_stopped(self, world: World, clip: str) -> None:
        leg = world.leg(started=False)
        request = play(leg, clip, repeat=True)
        leg.start()
        world.advance(24 * FRAME_S)
        assert [p.payload for p in leg.far.heard(at_least=25)] == (FRAMES * 3)[:25]
        world.ask(lambda number: StopPlaying(number, leg.number, None))
        assert world.answers[request] == Done(request)
        world.advance(FRAME_S)
        assert leg.far.heard(at_least=1)[0].payload == SILENCE[Codec.PCMU]

    def test_stopping_an_earlier_prompt_leaves_the_later_one_alone(
        self, world: World, clip: str
    ) -> None:
        leg = world.leg()
        earlier = play(leg, clip)
        later = play(leg, clip)
        assert world.answers[earlier] == Done(earlier)
        world.ask(lambda number: StopPlaying(number, leg.number, earlier))
        assert later not in world.answers

    def test_nothing_to_play_is_done_at_once(self, world: World) -> None:
        leg = world.leg()
        request = play(leg)
        assert world.answers[request] == Done(request)

    def test_a_clip_that_is_missing_is_refused_and_harms_nothing(
        self, world: World, clip: str
    ) -> None:
        leg = world.leg()
        request = play(leg, clip + "-not")
        assert world.answers[request] == Failed(request, Cause.CLIP_UNUSABLE)
        world.advance(0.1)
        assert len(leg.far.heard(at_least=6)) == 6

    def test_a_worker_that_was_held_up_does_not_catch_up_in_a_burst(
        self, world: World, clip: str
    ) -> None:
        leg = world.leg(started=False)
        play(leg, clip)
        leg.start()
        world.now += 0.5
        world.turn()
        world.advance(0.1)
        packets = leg.far.heard(at_least=7)
        assert [packet.payload for packet in packets] == FRAMES[:7]
        assert steps(packets) == [4000] + 5 * [160]

    def test_closing_a_leg_ends_its_prompt(self, world: World, clip: str) -> None:
        leg = world.leg()
        request = play(leg, clip)
        world.ask(lambda number: CloseLeg(number, leg.number), Counted)
        assert world.answers[request] == Done(request)


class TestSilence:
    @pytest.mark.parametrize("codec", list(Codec))
    def test_a_started_leg_always_sends(self, world: World, codec: Codec) -> None:
        leg = world.leg(codec=codec, payload_type=codec.payload_type)
        world.advance(2)
        packets = leg.far.heard(at_least=101)
        assert {packet.payload for packet in packets} == {SILENCE[codec]}
        assert {packet.header.payload_type for packet in packets} == {codec.payload_type}
        assert set(steps(packets)) == {160}  # G.722 too: RFC 3551 §4.5.2

    def test_nothing_leaves_while_the_far_end_holds_us(self, world: World, clip: str) -> None:
        leg = world.leg(sends=False)
        request = play(leg, clip)
        world.advance(1)
        assert leg.far.heard() == []
        assert world.answers[request] == Done(request)
        leg.configure(sends=True)
        world.advance(0.1)
        assert leg.far.heard(at_least=5)

    def test_where_nobody_listens_is_counted_and_goes_on(self, world: World) -> None:
        leg = world.leg()
        leg.far.close()
        world.advance(1)
        figures = leg.statistics()
        assert figures.refused > 0
        assert figures.packets_sent > 0
        assert figures.packets_sent + figures.refused >= 50


class TestKeys:
    def test_a_key_is_one_event_with_one_timestamp_and_three_ends(self, world: World) -> None:
        leg = world.leg(started=False)
        request = world.order(lambda number: SendDigits(number, leg.number, "1#"))
        leg.start()
        world.advance(1)
        packets = leg.far.heard(at_least=51)
        assert follows(packets)
        events = [packet for packet in packets if packet.header.payload_type == 101]
        first = events[: len(events) // 2]
        parsed = [dtmf.parse_event(packet.payload) for packet in first]
        assert {event.event for event in parsed} == {1}
        assert [event.end for event in parsed[-4:]] == [False, True, True, True]
        assert [packet.header.marker for packet in first] == [True] + (len(first) - 1) * [False]
        assert len({packet.header.timestamp for packet in first}) == 1
        keys = dtmf.EventDigits()
        assert (
            "".join(
                filter(
                    None,
                    (
                        keys.feed(
                            p.header.ssrc, p.header.timestamp, p.header.marker, p.payload, 0.02 * at
                        )
                        for at, p in enumerate(events)
                    ),
                )
            )
            == "1#"
        )
        assert world.answers[request] == Done(request)

    def test_a_far_end_without_telephone_events_gets_none(self, world: World) -> None:
        leg = world.leg(telephone_event=None)
        request = world.order(lambda number: SendDigits(number, leg.number, "1"))
        assert world.answers[request] == Failed(request, Cause.NO_TELEPHONE_EVENT)

    def test_audio_after_a_key_is_later_by_as_long_as_the_key_took(self, world: World) -> None:
        leg = world.leg(started=False)
        world.order(lambda number: SendDigits(number, leg.number, "1"))
        leg.start()
        world.advance(0.4)
        packets = leg.far.heard(at_least=16)
        last_event = max(i for i, p in enumerate(packets) if p.header.payload_type == 101)
        gap = packets[last_event + 1].header.timestamp - packets[last_event].header.timestamp
        assert gap % 0xFFFFFFFF == pytest.approx(160 * (last_event + 1), abs=16)


class TestReports:
    def test_a_sender_report_and_a_random_name_leave_every_5_s(self, world: World) -> None:
        legs = [world.leg(), world.leg()]
        for _ in range(140):
            for leg in legs:
                leg.send()
            world.advance(FRAME_S)
        names = set()
        for leg in legs:
            (datagram,) = leg.far.heard_reports(at_least=1)
            report, name = rtcp.parse_compound(datagram)
            assert isinstance(report, rtcp.SenderReport)
            assert isinstance(name, rtcp.SourceDescription)
            assert report.packets > 100
            assert report.octets == 160 * report.packets
            (block,) = report.blocks
            assert block.ssrc == leg.far.ssrc
            assert block.lost == 0
            names.add(name.cname)
        assert len(names) == 2
        world.advance(10)
        assert len(legs[0].far.heard_reports(at_least=2)) == 2

    def test_a_leg_that_has_sent_nothing_gives_a_receiver_report(self, world: World) -> None:
        leg = world.leg(sends=False)
        world.advance(3)
        report, _ = rtcp.parse_compound(leg.far.heard_reports(at_least=1)[0])
        assert isinstance(report, rtcp.ReceiverReport)
        assert report.blocks == ()

    def test_the_far_ends_last_report_is_named_in_ours(self, world: World) -> None:
        leg = world.leg()
        leg.send()
        sent = rtcp.SenderReport(1, rtcp.ntp_time(77.5), 2, 3, 4)
        leg.far.rtcp.sendto(bytes(sent), ("127.0.0.1", leg.port + 1))
        world.take()
        world.advance(3)
        report, _ = rtcp.parse_compound(leg.far.heard_reports(at_least=1)[0])
        assert isinstance(report, rtcp.SenderReport)
        assert report.blocks[0].last_sender_report == sent.middle
        assert report.blocks[0].delay_since / 65536 == pytest.approx(2.5, abs=0.1)

    def test_a_far_end_that_offers_no_rtcp_gets_and_gives_none(self, world: World) -> None:
        leg = world.leg(remote_rtcp_port=0)
        leg.far.rtcp.sendto(b"rubbish", ("127.0.0.1", leg.port + 1))
        world.advance(10)
        assert leg.far.heard_reports() == []
        assert leg.statistics().malformed == 0

    def test_a_far_end_without_rtcp_does_no_harm(self, world: World) -> None:
        leg = world.leg()
        leg.far.rtcp.close()
        world.advance(20)
        assert leg.statistics().refused == 0

    @pytest.mark.parametrize("rubbish", [b"", b"\x80", b"\x00" * 40, b"\x80\xc8\xff\xff" * 4])
    def test_rubbish_on_the_rtcp_port_is_counted(self, world: World, rubbish: bytes) -> None:
        leg = world.leg()
        leg.far.rtcp.sendto(rubbish, ("127.0.0.1", leg.port + 1))
        world.take()
        assert leg.statistics().malformed == 1


class TestLife:
    def losses(self, world: World) -> list[LegLost]:
        return [report for report in world.reports if isinstance(report, LegLost)]

    def test_a_silent_far_end_is_lost_once_after_the_time_out(self, world: World) -> None:
        leg = world.leg()
        world.advance(29, step_s=0.5)
        assert self.losses(world) == []
        world.advance(60, step_s=0.5)
        assert self.losses(world) == [LegLost(leg.number, "media-timeout", "")]

    def test_a_leg_may_have_a_time_out_of_its_own(self, world: World) -> None:
        leg = world.open(media_timeout_s=4.0)
        leg.configure()
        leg.start()
        world.advance(3.9)
        assert self.losses(world) == []
        world.advance(1.2)
        assert self.losses(world) == [LegLost(leg.number, "media-timeout", "")]

    def test_rtp_is_a_sign_of_life(self, world: World) -> None:
        leg = world.leg()
        for _ in range(10):
            leg.send()
            world.advance(20, step_s=1)
        assert self.losses(world) == []

    def test_rtcp_alone_is_a_sign_of_life(self, world: World) -> None:
        leg = world.leg()
        for _ in range(10):
            leg.far.rtcp.sendto(bytes(rtcp.ReceiverReport(1)), ("127.0.0.1", leg.port + 1))
            world.take()
            world.advance(20, step_s=1)
        assert self.losses(world) == []

    def test_rtcp_on_the_rtp_port_is_a_sign_of_life_and_no_audio(self, world: World) -> None:
        leg = world.leg()
        for _ in range(10):
            leg.send_raw(bytes(rtcp.ReceiverReport(1)))
            world.advance(20, step_s=1)
        assert self.losses(world) == []
        assert leg.statistics().packets_received == 0

    def test_who_holds_us_may_be_silent_for_ever(self, world: World) -> None:
        leg = world.leg(sends=False)
        world.advance(600, step_s=1)
        assert self.losses(world) == []
        leg.configure(sends=True)
        world.advance(29, step_s=0.5)
        assert self.losses(world) == []
        world.advance(5, step_s=0.5)
        assert len(self.losses(world)) == 1

    def test_rubbish_is_no_sign_of_life(self, world: World) -> None:
        leg = world.leg()
        for _ in range(40):
            leg.send_raw(b"rubbish")
            world.advance(1, step_s=1)
        assert len(self.losses(world)) == 1


class TestFigures:
    def test_loss_is_counted_and_late_packets_close_their_gap(self, world: World) -> None:
        leg = world.leg()
        leg.send()
        leg.send(skip=3)
        assert leg.statistics().packets_lost == 3
        leg.far.sequence -= 2
        leg.send()
        assert leg.statistics().packets_lost == 2
        assert leg.statistics().packets_received == 3

    def test_duplicates_never_make_loss_negative(self, world: World) -> None:
        leg = world.leg()
        leg.send()
        for _ in range(3):
            leg.far.repeat(leg.port, bytes(160))
            world.take()
        assert leg.statistics().packets_lost == 0

    def test_jitter_is_that_of_the_arrivals(self, world: World) -> None:
        leg = world.leg()
        for index in range(200):
            world.now += 0.03 if index % 2 else 0.01
            leg.send()
        assert leg.statistics().jitter_ms == pytest.approx(10, abs=1)

    @pytest.mark.parametrize(
        "rubbish",
        [b"", b"\x80", bytes(12), b"\xff" * 11, b"\x40" * 40, b"\xbf\x00" + bytes(20), bytes(5000)],
    )
    def test_what_is_no_rtp_is_counted_and_never_raises(self, world: World, rubbish: bytes) -> None:
        leg = world.leg()
        leg.send_raw(rubbish)
        assert leg.statistics().malformed == 1

    def test_a_payload_type_nobody_agreed_on_is_counted(self, world: World) -> None:
        leg = world.leg()
        leg.send(payload_type=13)
        figures = leg.statistics()
        assert (figures.unexpected, figures.packets_received) == (1, 1)

    def test_an_unconfigured_leg_has_figures_too(self, world: World) -> None:
        leg = world.open()
        answer = world.ask(lambda request: CloseLeg(request, leg.number), Counted)
        assert answer.statistics.codec is None


class TestReInvite:
    def test_media_follows_to_a_new_port(self, world: World) -> None:
        leg, elsewhere = world.leg(), world.far_end(ssrc=77)
        leg.send()
        world.advance(0.1)
        leg.far.heard(at_least=6)
        leg.configure(remote_rtp_port=elsewhere.port, remote_rtcp_port=elsewhere.rtcp_port)
        world.advance(0.1)
        assert len(elsewhere.heard(at_least=5)) == 5
        assert leg.far.heard() == []
        elsewhere.send(leg.port)  # another SSRC, at once
        world.take()
        assert leg.statistics().packets_received == 2

    def test_what_the_former_address_sends_is_not_heard_any_more(self, world: World) -> None:
        leg, elsewhere = world.leg(), world.far_end()
        leg.far.send(leg.port)  # on its way while the re-INVITE is answered
        leg.configure(remote_rtp_port=elsewhere.port)
        leg.far.send(leg.port)
        world.advance(0.1)
        assert leg.statistics().packets_received == 0

    def test_a_new_codec_stops_what_is_played_in_the_old_one(self, world: World, clip: str) -> None:
        leg = world.leg()
        request = play(leg, clip)
        leg.configure(codec=Codec.PCMA, payload_type=8)
        assert world.answers[request] == Done(request)
        leg.far.heard()
        world.advance(FRAME_S)
        assert leg.far.heard(at_least=1)[0].payload == SILENCE[Codec.PCMA]

    def test_an_address_that_the_kernel_knows_no_way_to_is_refused_and_may_be_mended(
        self, world: World
    ) -> None:
        leg = world.leg()
        good, bad = leg.settings, replace(leg.settings, remote_host="192.0.2.1")
        answer = world.ask(lambda request: Configure(request, leg.number, bad), Failed)
        assert answer.cause is Cause.UNREACHABLE  # a leg bound to loopback does not get there
        world.ask(lambda request: Configure(request, leg.number, good))
        leg.send()
        assert leg.statistics().packets_received == 1

    def test_an_unchanged_session_changes_nothing(self, world: World, clip: str) -> None:
        leg = world.leg()
        leg.send()
        request = play(leg, clip)
        leg.configure()
        leg.send()
        assert request not in world.answers
        assert leg.statistics().packets_received == 2


def test_ptime_other_than_20_ms_is_heard(worlds: Callable[..., World]) -> None:
    world = worlds()
    for step in (80, 240, 480):
        leg = world.leg()
        for _ in range(20):
            leg.send(bytes(step), step=step)
        figures = leg.statistics()
        assert (figures.packets_received, figures.packets_lost) == (20, 0)
