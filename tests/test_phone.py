# SPDX-License-Identifier: GPL-3.0-or-later
"""The test phone's day: it calls, hears, keys, talks, hangs up, and leaves nothing running."""

from __future__ import annotations

import re
import socket
import threading
import wave
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dialin.errors import OperatorError
from dialin.events import Codec
from dialin.phone import CallReport, HungUpBy, Step, place_call, stack
from dialin.phone.heard import FLOOR_DBOV, Recording, TimeLine
from dialin.phone.voice import RATE_HZ, keyed
from dialin.wire import g711
from dialin.wire.tone import sine
from dialin.wire.tones import ToneDigits
from tests.fakes.uas import Uas, UasScript

LOOPBACK = "127.0.0.1"
CANARY = "+4915738620594"
TONE_HZ = 440
QUARTER_S = 0.25


def ulaw_tone(duration_s: float, frequency_hz: float = TONE_HZ) -> bytes:
    return g711.ulaw_encode(sine(frequency_hz, duration_s * 1000))


def call(uas: Uas, user: str = "12345", **how: Any) -> CallReport:
    """A short call, unless told otherwise."""
    usual: dict[str, Any] = {"listen_s": QUARTER_S, "caller": CANARY}
    return place_call(LOOPBACK, uas.port, user, **usual | how)


@pytest.fixture(autouse=True)
def nothing_left_behind(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Every thread has ended and nothing was printed, whatever happened in the call."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before
    assert capfd.readouterr() == ("", "")


class TestAnsweredCall:
    def test_caller_hears_the_tone_and_hangs_up(self) -> None:
        with Uas(UasScript(voice=ulaw_tone(2))) as uas:
            report = call(uas, listen_s=1.0)
        assert report.answered_after_s is not None
        assert 0 < report.answered_after_s < 1
        assert report.refused_with is None
        assert report.hung_up_by is HungUpBy.US
        assert report.lasted_s == pytest.approx(1.0, abs=0.3)
        assert report.heard.received_s == pytest.approx(1.0, abs=0.3)
        assert report.heard.has_tone(TONE_HZ, 0.2, 0.8)
        assert not report.heard.has_tone(TONE_HZ + 200, 0.2, 0.8)
        assert report.steps == (Step.DIALLING, Step.ANSWERED, Step.SOUND_HEARD, Step.HUNG_UP)
        assert uas.methods() == ["INVITE", "ACK", "BYE"]

    def test_invite_offers_pcmu_alone_and_names_caller_and_called(self) -> None:
        with Uas() as uas:
            call(uas, "+493012345678")
        invite = uas.request("INVITE")
        assert invite.startswith(f"INVITE sip:+493012345678@{LOOPBACK} SIP/2.0\r\n")
        assert f"From: <sip:{CANARY}@{LOOPBACK}>;tag=" in invite
        assert re.findall(r"m=audio \d*[02468] (.*)\r", invite) == ["RTP/AVP 0"]
        assert "REGISTER" not in uas.methods()

    def test_ack_and_bye_are_sent_within_the_dialog(self) -> None:
        with Uas() as uas:
            call(uas)
        invite = uas.request("INVITE")
        local_tag = re.search(r"From: .*;tag=(\S+)", invite)
        call_id = re.search(r"Call-ID: .*", invite)
        assert local_tag
        assert call_id
        for method, number in (("ACK", 1), ("BYE", 2)):
            request = uas.request(method)
            assert request.startswith(f"{method} sip:room@127.0.0.1:{uas.port};transport=udp SIP")
            assert f";tag={uas.dialog_tag}\r\n" in request
            assert f"tag={local_tag[1]}\r\n" in request
            assert call_id[0] in request
            assert f"CSeq: {number} {method}\r\n" in request

    def test_bridge_hangs_up(self) -> None:
        with Uas(UasScript(hangs_up_after_s=0.1)) as uas:
            report = call(uas, listen_s=30)
        assert report.hung_up_by is HungUpBy.PEER
        assert report.steps[-1] is Step.PEER_HUNG_UP
        assert report.lasted_s < 5
        assert uas.methods() == ["INVITE", "ACK"]
        assert uas.responses[0].startswith("SIP/2.0 200 OK")

    def test_caller_hangs_up_when_told_to(self) -> None:
        enough = threading.Event()
        heard: list[Step] = []

        def notice(step: Step) -> None:
            heard.append(step)
            if step is Step.SOUND_HEARD:
                enough.set()

        with Uas(UasScript(voice=ulaw_tone(1))) as uas:
            report = call(uas, listen_s=30, on_step=notice, hang_up=enough)
        assert report.hung_up_by is HungUpBy.US
        assert report.lasted_s < 5
        assert tuple(heard) == report.steps

    def test_two_phones_at_once_hear_each_their_own_bridge(self) -> None:
        tones_hz = (440, 620)
        with ExitStack() as bridges, ThreadPoolExecutor() as callers:
            scripts = [UasScript(voice=ulaw_tone(1, tone_hz)) for tone_hz in tones_hz]
            calls = [callers.submit(call, bridges.enter_context(Uas(one))) for one in scripts]
            reports = [each.result() for each in calls]
        for report, own_hz, other_hz in zip(reports, tones_hz, reversed(tones_hz), strict=True):
            assert report.heard.has_tone(own_hz)
            assert not report.heard.has_tone(other_hz)

    def test_recording_is_kept_as_a_wav_file(self, tmp_path: Path) -> None:
        target = tmp_path / "heard.wav"
        with Uas(UasScript(voice=ulaw_tone(1))) as uas:
            report = call(uas, record=target)
        with wave.open(str(target), "rb") as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
            assert file.readframes(file.getnframes()) == report.heard.samples.tobytes()

    def test_an_error_in_the_callers_own_code_still_ends_the_call(self) -> None:
        def fail(step: Step) -> None:
            if step is Step.ANSWERED:
                raise LookupError(step)

        with Uas() as uas:
            with pytest.raises(LookupError):
                call(uas, on_step=fail)
            uas.wait_for("BYE")


class TestKeysAndTalk:
    def test_keys_arrive_as_tones_in_the_voice(self) -> None:
        keys = "159*0#"
        with Uas() as uas:
            report = call(uas, keys=keys, keys_after_s=0.1)
        listener = ToneDigits(Codec.PCMU)
        frames = (bytes(uas.heard[at : at + 160]) for at in range(0, len(uas.heard), 160))
        assert "".join(key for frame in frames for key in listener.feed(frame)) == keys
        assert report.keyed_at_s == pytest.approx(0.1 + len(keys) * 0.2)
        assert Step.KEYED in report.steps
        assert report.lasted_s >= 0.1 + len(keys) * 0.2 + QUARTER_S

    def test_talk_tone_follows_the_keys_and_the_bridge_hears_it(self) -> None:
        with Uas() as uas:
            report = call(uas, keys="1", keys_after_s=0, listen_s=1.0, talk_tone_hz=350)
        samples = g711.ulaw_decode(bytes(uas.heard))
        heard = Recording(samples, 0.0, None)
        assert not heard.has_tone(350, 0.0, 0.2)
        assert heard.has_tone(350, 0.4, 0.9)
        assert heard.tone_dbov(350, 0.4, 0.9) == pytest.approx(-13, abs=2)
        assert report.steps[2:5] == (Step.KEYED, Step.TALKING, Step.HUNG_UP)

    def test_nothing_is_keyed_when_the_bridge_hangs_up_first(self) -> None:
        with Uas(UasScript(hangs_up_after_s=0.0)) as uas:
            report = call(uas, keys="1", keys_after_s=20)
        assert report.keyed_at_s is None
        assert Step.KEYED not in report.steps

    def test_every_key_is_heard_as_itself(self) -> None:
        keys = "0123456789*#ABCD"
        signed = [(sample - 128) * 256 for sample in keyed(keys)]
        voice = g711.ulaw_encode(signed)
        listener = ToneDigits(Codec.PCMU)
        frames = (voice[at : at + 160] for at in range(0, len(voice), 160))
        assert "".join(key for frame in frames for key in listener.feed(frame)) == keys

    def test_comma_pauses_for_two_seconds(self) -> None:
        assert keyed(",1") == b"\x80" * 2 * RATE_HZ + keyed("1")

    def test_refused_keys_are_not_shown(self) -> None:
        with pytest.raises(ValueError, match="keys are") as caught:
            place_call(LOOPBACK, 9, "12345", keys="987654321x")
        assert "987654321" not in str(caught.value)

    def test_call_longer_than_pyvoip_can_count_is_refused(self) -> None:
        with pytest.raises(ValueError, match="1200 s at most"):
            place_call(LOOPBACK, 9, "12345", listen_s=1201)


class TestCallThatIsNotAnswered:
    @pytest.mark.parametrize("status", [302, 404, 407, 486, 503, 603])
    def test_refusal_is_acknowledged_and_reported(self, status: int) -> None:
        with Uas(UasScript(responses=(100, status))) as uas:
            report = call(uas)
        assert report.refused_with == status
        assert report.answered_after_s is None
        assert report.hung_up_by is HungUpBy.NOBODY
        assert report.steps == (Step.DIALLING, Step.REFUSED)
        ack = uas.request("ACK")
        assert ack.startswith(f"ACK sip:12345@{LOOPBACK} SIP/2.0")
        assert f";tag={uas.dialog_tag}\r\n" in ack
        assert uas.methods() == ["INVITE", "ACK"]

    @pytest.mark.parametrize("responses", [(), (100,), (100, 180), (183,)])
    def test_waiting_for_an_answer_has_an_end(self, responses: tuple[int, ...]) -> None:
        with Uas(UasScript(responses=responses)) as uas:
            report = call(uas, answer_within_s=0.2)
        assert report.steps == (Step.DIALLING, Step.NO_ANSWER)
        assert report.heard.received_s == 0
        assert uas.methods() == ["INVITE"]

    @pytest.mark.parametrize(
        "script",
        [
            UasScript(answer=("m=audio {rtp} RTP/UNKNOWN 0",)),
            UasScript(headers=()),
            UasScript(headers=("Contact: <{contact}>", "Subject:")),
        ],
        ids=["unknown-profile", "no-contact", "empty-header"],
    )
    def test_answer_that_pyvoip_cannot_read_is_no_answer(self, script: UasScript) -> None:
        with Uas(script) as uas:
            report = call(uas, answer_within_s=0.3)
        assert report.steps == (Step.DIALLING, Step.NO_ANSWER)
        assert "ACK" not in uas.methods()

    def test_own_address_must_be_one_of_this_machine(self) -> None:
        with pytest.raises(OperatorError, match=r"cannot use the address 192\.0\.2\.1"):
            place_call(LOOPBACK, 9, "12345", own_host="192.0.2.1")

    def test_bridge_must_be_reachable_from_it(self) -> None:
        with pytest.raises(OperatorError, match=r"cannot reach 192\.0\.2\.1"):
            place_call("192.0.2.1", 5060, "12345")

    def test_recording_must_have_a_place(self, tmp_path: Path) -> None:
        target = tmp_path / "nowhere" / "heard.wav"
        with Uas() as uas, pytest.raises(OperatorError, match=r"heard\.wav cannot be written"):
            call(uas, record=target)


class TestWhatPyVoipWouldStumbleOver:
    @pytest.mark.parametrize("responses", [(200,), (180, 200), (183, 200), (100, 180, 183, 200)])
    def test_answer_comes_in_any_company(self, responses: tuple[int, ...]) -> None:
        with Uas(UasScript(responses=responses)) as uas:
            report = call(uas)
        assert Step.ANSWERED in report.steps
        assert uas.methods() == ["INVITE", "ACK", "BYE"]

    def test_repeated_200_is_acknowledged_again(self) -> None:
        with Uas(UasScript(repeats_200=True, voice=ulaw_tone(1))) as uas:
            report = call(uas)
        assert uas.methods() == ["INVITE", "ACK", "ACK", "BYE"]
        assert report.steps.count(Step.ANSWERED) == 1
        assert report.heard.has_tone(TONE_HZ)

    def test_reinvite_is_answered_and_the_voice_goes_on(self) -> None:
        with Uas(UasScript(reinvites=True, voice=ulaw_tone(2))) as uas:
            report = call(uas, listen_s=0.6)
        assert uas.responses[0].startswith("SIP/2.0 200 OK")
        assert "m=audio" in uas.responses[0]
        assert report.heard.has_tone(TONE_HZ, 0.2, 0.5)

    def test_media_address_wins_over_the_sessions(self) -> None:
        answer = ("m=audio {rtp} RTP/AVP 0", "c=IN IP4 127.0.0.1", "a=rtcp-mux", "a=ptime:20")
        with Uas(UasScript(answer=answer, voice=ulaw_tone(1))) as uas:
            report = call(uas)
        assert report.heard.has_tone(TONE_HZ)
        assert len(uas.heard) > 0

    def test_answer_with_port_0_sends_nothing_and_warns_nobody(self) -> None:
        with Uas(UasScript(answer=("m=audio 0 RTP/AVP 0",))) as uas:
            report = call(uas)
        assert report.hung_up_by is HungUpBy.US
        assert len(uas.heard) == 0

    def test_bye_that_nobody_answers_is_not_waited_for_long(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dialin.phone.BYE_ANSWER_S", 0.1)
        with Uas(UasScript(answers_bye=False)) as uas:
            report = call(uas)
        assert report.hung_up_by is HungUpBy.US

    def test_rubbish_on_the_media_port_does_not_deafen(self) -> None:
        rubbish = (b"", b"\x80", b"\x00" * 40, bytes([0x80, 101]) + bytes(14))
        with Uas(UasScript(before_voice=rubbish, voice=ulaw_tone(1))) as uas:
            report = call(uas)
        assert report.heard.has_tone(TONE_HZ)

    def test_rtp_and_rtcp_ports_are_a_pair_nobody_else_has(self) -> None:
        rtp, rtcp = stack._bind_pair(LOOPBACK)
        with rtp, rtcp:
            assert rtp.getsockname()[1] % 2 == 0
            assert rtcp.getsockname()[1] == rtp.getsockname()[1] + 1

    def test_taken_neighbour_port_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stack, "_is_free", lambda *_: False)
        with pytest.raises(OperatorError, match="no pair of free ports"):
            place_call(LOOPBACK, 9, "12345")

    def test_port_is_free_until_somebody_binds_it(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.bind((LOOPBACK, 0))
            port = first.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
                assert not stack._is_free(second, LOOPBACK, port)
                with pytest.raises(OSError, match="assign"):
                    stack._is_free(second, "192.0.2.1", port)

    def test_hanging_up_after_the_bridge_did_sends_no_bye(self) -> None:
        with Uas(UasScript(hangs_up_after_s=0.0)) as uas:
            phone = stack.Phone((LOOPBACK, uas.port), CANARY, LOOPBACK)
            try:
                call = phone.call("12345")
                assert phone.next_news(5) == stack.Answered()
                assert phone.next_news(5) == stack.PeerHungUp()
                assert not call.hang_up()
            finally:
                phone.stop()
        assert "BYE" not in uas.methods()


def heard(*packets: tuple[int, int, bytes, float]) -> Recording:
    line = TimeLine()
    for ssrc, timestamp, payload, at_s in packets:
        line.add(ssrc, timestamp, payload, at_s)
    return line.recording()


LOUD = g711.ulaw_encode(sine(500, 20))
QUIET = bytes([g711.ULAW_SILENCE]) * 160


class TestTimeLine:
    def test_nothing_came(self) -> None:
        silence = TimeLine().recording()
        assert silence.samples == array("h")
        assert silence.first_sound_s is None
        assert silence.level_dbov() == FLOOR_DBOV
        assert silence.tone_dbov(440) == FLOOR_DBOV
        assert not silence.has_tone(440)
        assert silence.sounding_s() == 0

    def test_stream_begins_when_it_comes(self) -> None:
        recording = heard((1, 5000, LOUD, 0.5))
        assert len(recording.samples) == 4000 + 160
        assert recording.first_sound_s == 0.5
        assert recording.received_s == 0.02
        assert recording.level_dbov(0, 0.5) == FLOOR_DBOV
        assert recording.level_dbov(0.5) == pytest.approx(-15.3, abs=0.2)

    def test_packets_lie_where_their_timestamps_say_however_late_they_come(self) -> None:
        recording = heard((1, 0, QUIET, 0.0), (1, 320, LOUD, 0.09), (1, 160, QUIET, 0.1))
        assert len(recording.samples) == 480
        assert recording.first_sound_s == 0.04
        assert recording.level_dbov(0.04, 0.06) == pytest.approx(-15.3, abs=0.2)
        assert recording.level_dbov(0, 0.04) == FLOOR_DBOV

    def test_lost_packet_is_silence(self) -> None:
        recording = heard((1, 0, LOUD, 0.0), (1, 320, LOUD, 0.04))
        assert recording.sounding_s() == pytest.approx(0.04)
        assert len(recording.samples) == 480

    def test_timestamps_wrap(self) -> None:
        recording = heard((1, 2**32 - 160, LOUD, 0.0), (1, 0, LOUD, 0.02))
        assert len(recording.samples) == 320

    @pytest.mark.parametrize("packet", [(2, 0), (1, 80_000)], ids=["new-ssrc", "timestamp-jump"])
    def test_new_stream_is_laid_where_it_comes(self, packet: tuple[int, int]) -> None:
        recording = heard((1, 0, LOUD, 0.0), (*packet, LOUD, 1.0))
        assert len(recording.samples) == RATE_HZ + 160

    def test_what_belongs_before_the_answer_is_laid_at_the_answer(self) -> None:
        recording = heard((1, 160, LOUD, 0.0), (1, 0, QUIET, 0.01))
        assert len(recording.samples) == 160

    def test_speech_over_a_frequency_is_no_tone(self) -> None:
        notes = [sine(note_hz, 500, amplitude=900) for note_hz in (440, *range(500, 1200, 100))]
        chord = array("h", map(sum, zip(*notes, strict=True)))
        recording = Recording(chord, 0.5, 0.0)
        assert recording.tone_dbov(440) > -45
        assert not recording.has_tone(440)

    def test_faint_tone_is_no_tone(self) -> None:
        assert not Recording(sine(440, 500, amplitude=100), 0.5, None).has_tone(440)
