# SPDX-License-Identifier: GPL-3.0-or-later
"""The conference stand-in, called by the own endpoint and by sipp: who gets in, who hears whom."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from dialin.demo import conference as conference_module
from dialin.demo.callerid import Kind
from dialin.demo.conference import Conference, open_conference
from dialin.demo.freeswitch import Dtmf
from dialin.events import Codec
from dialin.sip import LegGone, Refused
from tests.demo.callers import (
    LABEL,
    LOOPBACK,
    OTHER_ROOM,
    PSEUDONYM,
    ROOM,
    WAIT_S,
    Caller,
    calling,
    open_caller_endpoint,
    way_to,
)
from tests.fakes.tone_phone import TonePhone


class TestWhoHearsWhom:
    async def test_two_in_one_room_hear_each_other_and_not_the_third_in_another(
        self, conference: Conference, caller: Caller
    ) -> None:
        tones = (450, 700, 1000)
        async with TonePhone(450) as ann, TonePhone(700, Codec.PCMA) as bob, TonePhone(1000) as cat:
            await caller.join(ann)
            await caller.join(bob)
            await caller.join(cat, OTHER_ROOM)
            async with asyncio.timeout(WAIT_S):
                heard = await asyncio.gather(*(p.tones_heard(tones) for p in (ann, bob, cat)))
            assert heard == [{700}, {450}, set()]
            members = conference.members(ROOM)
            said = [await conference.listen(member, tones) for member in members]
            assert [[hz for hz in tones if sounds.said.has(hz)] for sounds in said] == [
                [450],
                [700],
            ]
            assert [[hz for hz in tones if sounds.heard.has(hz)] for sounds in said] == [
                [700],
                [450],
            ]

    async def test_who_is_alone_hears_the_chime_of_a_resident(
        self, conference: Conference, caller: Caller
    ) -> None:
        await conference.play_chime(ROOM)
        async with TonePhone(1000) as phone:
            await caller.join(phone)
            async with asyncio.timeout(WAIT_S):
                while not any(abs(sample) > 500 for sample in await phone.hear()):
                    pass

    async def test_the_end_of_a_meeting_ends_its_calls_and_no_others(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(450) as ann, TonePhone(700) as bob:
            leg, _ = await caller.join(ann)
            other, _ = await caller.join(bob, OTHER_ROOM)
            conference.end(ROOM)
            assert (await asyncio.wait_for(leg.ended, WAIT_S)).by == "peer"
            await conference.until(lambda seen: len(seen.members()) == 1)
            assert not other.ended.done()

    async def test_hanging_up_leaves_the_room(self, conference: Conference, caller: Caller) -> None:
        async with TonePhone(450) as ann, TonePhone(700) as bob:
            leg, _ = await caller.join(ann)
            await caller.join(bob)
            leg.hang_up()
            async with asyncio.timeout(WAIT_S):
                await conference.until(lambda seen: len(seen.members(ROOM)) == 1)
                assert await bob.tones_heard((450,)) == set()

    async def test_closing_the_conference_ends_its_calls(self) -> None:
        async with await open_caller_endpoint() as endpoint, TonePhone(450) as phone:
            async with open_conference(LOOPBACK) as conference:
                leg, _ = await Caller(endpoint, way_to(conference)).join(phone)
            async with asyncio.timeout(WAIT_S):
                end = await leg.ended
            assert (end.by, end.cause) == ("peer", "bye")


class TestWhoIsShown:
    async def test_a_masked_caller_is_a_phone_caller(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(450) as phone:
            await caller.join(phone)
            await conference.until(lambda seen: bool(seen.members()))
            (member,) = conference.members()
            assert (member.caller.name, member.caller.number) == (LABEL, PSEUDONYM)
            assert (member.number, member.reading.kind) == (1, Kind.PHONE)
            assert conference.phone_callers(ROOM) == [(LABEL, PSEUDONYM, False, 1)]
            assert conference.phone_callers(OTHER_ROOM) == []

    @pytest.mark.parametrize(
        ("headers", "number"),
        [
            ([("P-Asserted-Identity", '"Ann" <sip:+4915738620594@x>')], "+4915738620594"),
            ([("Remote-Party-ID", '"Ann" <sip:+4915738620594@x>')], "+4915738620594"),
        ],
    )
    async def test_an_identity_that_leaks_is_seen(
        self,
        conference: Conference,
        caller: Caller,
        headers: list[tuple[str, str]],
        number: str,
    ) -> None:
        async with TonePhone(450) as phone:
            leg, _ = await caller.invite(phone, headers=headers)
            await leg.answered()
            await conference.until(lambda seen: bool(seen.members()))
            assert conference.phone_callers(ROOM) == [("Ann", number, False, 1)]

    @pytest.mark.parametrize(
        ("display", "kind"),
        [("w_x_1-bbbID-Ann", Kind.WEB_USER), ("GLOBAL_AUDIO_72013", Kind.INVISIBLE)],
    )
    async def test_a_name_that_takes_bbb_in_is_no_phone_caller(
        self, conference: Conference, caller: Caller, display: str, kind: Kind
    ) -> None:
        async with TonePhone(450) as phone:
            await caller.join(phone, display=display)
            await conference.until(lambda seen: bool(seen.members()))
            assert conference.members()[0].reading.kind is kind
            assert conference.phone_callers(ROOM) == []


class TestWhoGetsIn:
    @pytest.mark.parametrize(
        ("room", "display", "user", "status"),
        [
            ("1234", LABEL, PSEUDONYM, 404),
            ("123456789012", LABEL, PSEUDONYM, 404),
            ("dialin_mute", LABEL, PSEUDONYM, 404),
            (ROOM, "Anonymous", PSEUDONYM, 603),
            (ROOM, LABEL, "anonymous", 603),
        ],
    )
    async def test_the_dialplan_refuses(
        self,
        conference: Conference,
        caller: Caller,
        room: str,
        display: str,
        user: str,
        status: int,
    ) -> None:
        async with TonePhone(450) as phone:
            leg, _ = await caller.invite(phone, room, display=display, user=user)
            with pytest.raises(Refused) as refused:
                await leg.answered()
        assert refused.value.status == status
        assert conference.refused == {status: 1}

    async def test_an_unknown_source_is_told_480(self) -> None:
        async with (
            open_conference(LOOPBACK, is_authorised=lambda _host: False) as conference,
            calling(conference) as caller,
            TonePhone(450) as phone,
        ):
            leg, _ = await caller.invite(phone)
            with pytest.raises(Refused) as refused:
                await leg.answered()
        assert refused.value.status == 480

    async def test_no_common_codec_is_488(self, conference: Conference, caller: Caller) -> None:
        offer = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        leg = await caller.endpoint.invite(
            f"sip:{ROOM}@127.0.0.1",
            caller.flow,
            from_display=LABEL,
            from_user=PSEUDONYM,
            offer=offer + b"m=audio 9 RTP/AVP 18\r\n",
        )
        with pytest.raises(Refused) as refused:
            await leg.answered()
        assert refused.value.status == 488

    async def test_giving_up_early_does_no_harm(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(450) as phone:
            leg, _ = await caller.invite(phone)
            leg.hang_up()
            with pytest.raises(LegGone):
                await leg.answered()
            async with asyncio.timeout(WAIT_S):
                await conference.until(lambda seen: not seen.members())

    async def test_a_fault_of_ours_in_a_call_is_raised_at_the_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ZeroDivisionError):
            await self.call_that_fails(monkeypatch)

    @staticmethod
    async def call_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
        async with (
            open_conference(LOOPBACK) as conference,
            calling(conference) as caller,
            TonePhone(450) as phone,
        ):
            monkeypatch.setattr(conference_module, "Agreement", lambda *_, **__: 1 // 0)
            leg, _ = await caller.invite(phone)
            with pytest.raises(Refused):
                await leg.answered()

    async def test_a_lost_mixer_ends_calls_and_refuses_new_ones(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(450) as phone:
            leg, _ = await caller.join(phone)
            os.kill(conference._mixer.pid, signal.SIGKILL)
            async with asyncio.timeout(WAIT_S):
                assert (await leg.ended).cause == "bye"
            leg, _ = await caller.invite(phone)
            with pytest.raises(Refused) as refused:
                await leg.answered()
            assert refused.value.status == 503


class TestKeys:
    async def test_bbb_does_not_answer_telephone_events_and_hears_them_on_101(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(450) as phone:
            _, remote = await caller.join(phone)
            assert remote.telephone_event is None
            phone.press("*61")
            async with asyncio.timeout(WAIT_S):
                await conference.until(
                    lambda seen: any(member.keys == 3 for member in seen.members())
                )
            assert conference.members()[0].pressed == "*61"
            assert "*61" not in repr(conference.members()[0])

    async def test_bbb_ignores_them_on_another_payload_type(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(450) as phone:
            await caller.join(phone, telephone_event=96)
            phone.press("1", payload_type=96)
            phone.press("2", payload_type=101)
            async with asyncio.timeout(WAIT_S):
                await conference.until(lambda seen: any(member.keys for member in seen.members()))
            assert conference.members()[0].pressed == "2"

    async def test_with_dtmf_type_rfc2833_they_are_answered_and_echoed(self) -> None:
        dtmf: Dtmf = "rfc2833"
        async with (
            open_conference(LOOPBACK, dtmf=dtmf) as conference,
            calling(conference) as caller,
            TonePhone(450) as phone,
        ):
            _, remote = await caller.join(phone, telephone_event=96)
            assert remote.telephone_event == 96
            phone.press("5", payload_type=96)
            async with asyncio.timeout(WAIT_S):
                await conference.until(lambda seen: any(member.keys for member in seen.members()))
            member = conference.members()[0]
            assert (member.keys, member.pressed) == (1, "")  # counted, not kept

    async def test_a_key_of_somebody_who_left_is_nobodys(self, conference: Conference) -> None:
        conference._key_pressed("gone", "5")
        assert conference.members() == ()


SCENARIO = """<?xml version="1.0" encoding="us-ascii"?>
<scenario name="into a conference and out of it">
  <send retrans="500"><![CDATA[
    INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: "xxx-xxx-0594" <sip:700100@[local_ip]:[local_port]>;tag=[call_number]
    To: <sip:[service]@[remote_ip]:[remote_port]>
    Call-ID: [call_id]
    CSeq: 1 INVITE
    Contact: <sip:700100@[local_ip]:[local_port]>
    Max-Forwards: 70
    @TYPE@Content-Length: [len]

    @OFFER@]]></send>
  <recv response="100" optional="true"/>
  <recv response="183" optional="@EARLY@"/>
  <recv response="200" rrs="true"><action>
    <ereg regexp="P-Asserted-Identity: .72013. .sip:72013@" search_in="msg" check_it="true"
      assign_to="1"/>
  </action></recv>
  <Reference variables="1"/>
  <send><![CDATA[
    ACK [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: "xxx-xxx-0594" <sip:700100@[local_ip]:[local_port]>;tag=[call_number]
    To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
    Call-ID: [call_id]
    CSeq: 1 ACK
    Max-Forwards: 70
    @ACKTYPE@Content-Length: [len]

    @ANSWER@]]></send>
  <pause milliseconds="300"/>
  <send retrans="500"><![CDATA[
    BYE [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: "xxx-xxx-0594" <sip:700100@[local_ip]:[local_port]>;tag=[call_number]
    To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
    Call-ID: [call_id]
    CSeq: 2 BYE
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
  <recv response="200"/>
</scenario>
"""
SDP_LINES = (
    "v=0",
    "o=- 1 1 IN IP[local_ip_type] [local_ip]",
    "s=-",
    "c=IN IP[media_ip_type] [media_ip]",
    "t=0 0",
    "m=audio [media_port] RTP/AVP 0",
    "",
)


def free_port() -> int:
    """A port for a program that cannot be given 0."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.mark.skipif(shutil.which("sipp") is None, reason="sipp is not installed")
class TestSipp:
    @pytest.mark.parametrize("late", [False, True], ids=["offer", "late offer"])
    async def test_sipp_gets_in_and_out(
        self, conference: Conference, tmp_path: Path, late: bool
    ) -> None:
        body = "\n    ".join(SDP_LINES)
        content_type = "Content-Type: application/sdp\n    "
        filled = {
            "@TYPE@": "" if late else content_type,
            "@OFFER@": "" if late else body,
            "@EARLY@": "true" if late else "false",
            "@ACKTYPE@": content_type if late else "",
            "@ANSWER@": body if late else "",
        }
        text = SCENARIO
        for mark, value in filled.items():
            text = text.replace(mark, value)
        scenario = tmp_path / "call.xml"
        scenario.write_text(text)
        to = conference.addresses[0]
        process = await asyncio.create_subprocess_exec(
            *("sipp", f"{to.host}:{to.port}", "-sf", str(scenario), "-s", ROOM, "-m", "5"),
            *("-r", "20", "-i", "127.0.0.1", "-p", str(free_port()), "-mp", str(free_port())),
            *("-nostdin", "-timeout", "15"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == 0
        async with asyncio.timeout(WAIT_S):
            await conference.until(lambda seen: not seen.members())
        assert conference._joined == 5
