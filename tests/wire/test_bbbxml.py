# SPDX-License-Identifier: GPL-3.0-or-later
"""BBB's checksums and XML: what it writes, and everything it does not."""

from __future__ import annotations

import hashlib
import traceback
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.bbbxml import (
    CHECKSUMS,
    MAX_ANSWER_BYTES,
    Answer,
    Checksum,
    Hook,
    MalformedAnswer,
    parse_answer,
    sign,
)

GET_MEETINGS = b"""<response>
  <returncode>SUCCESS</returncode>
  <meetings>
    <meeting>
      <meetingName>Physics &amp; Maths</meetingName>
      <meetingID>physics</meetingID>
      <internalMeetingID>183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1335366476889</internalMeetingID>
      <createTime>1335366476889</createTime>
      <createDate>Wed Apr 25 15:07:56 UTC 2012</createDate>
      <voiceBridge>01234</voiceBridge>
      <dialNumber>613-555-1234</dialNumber>
      <attendeePW>ap</attendeePW>
      <moderatorPW>mp</moderatorPW>
      <running>true</running>
      <duration>0</duration>
      <hasUserJoined>true</hasUserJoined>
      <recording>false</recording>
      <hasBeenForciblyEnded>false</hasBeenForciblyEnded>
      <startTime>1335366478250</startTime>
      <endTime>0</endTime>
      <participantCount>2</participantCount>
      <voiceParticipantCount>1</voiceParticipantCount>
      <attendees>
        <attendee>
          <userID>w_abc</userID>
          <fullName>Ada</fullName>
          <role>MODERATOR</role>
          <isPresenter>true</isPresenter>
          <isListeningOnly>true</isListeningOnly>
          <hasJoinedVoice>false</hasJoinedVoice>
          <hasVideo>false</hasVideo>
          <clientType>HTML5</clientType>
          <customdata><meetingID>not this one</meetingID></customdata>
        </attendee>
        <attendee>
          <userID>v_12</userID>
          <fullName>xxx-xxx-0594</fullName>
          <role>DIAL-IN-USER</role>
          <isListeningOnly>false</isListeningOnly>
          <hasJoinedVoice>true</hasJoinedVoice>
          <clientType>DIAL-IN</clientType>
        </attendee>
      </attendees>
      <metadata><voiceBridge>99</voiceBridge></metadata>
      <isBreakout>false</isBreakout>
    </meeting>
    <meeting>
      <meetingName>Physics (Room 1)</meetingName>
      <meetingID>breakout-1</meetingID>
      <voiceBridge>012341</voiceBridge>
      <running>false</running>
      <recording>true</recording>
      <endTime>0</endTime>
      <isBreakout>true</isBreakout>
      <parentMeetingID>183f0bf3</parentMeetingID>
      <sequence>1</sequence>
    </meeting>
  </meetings>
</response>"""


def response(inside: str | bytes) -> bytes:
    body = inside.encode() if isinstance(inside, str) else inside
    return b"<response><returncode>SUCCESS</returncode>" + body + b"</response>"


def cause_of(data: bytes) -> str:
    with pytest.raises(MalformedAnswer) as refused:
        parse_answer(data)
    return refused.value.cause


class TestChecksums:
    @pytest.mark.parametrize("algorithm", CHECKSUMS)
    def test_is_over_call_query_and_secret(self, algorithm: Checksum) -> None:
        expected = hashlib.new(algorithm, b"getMeetingInfomeetingID=a%20b639259d4").hexdigest()
        assert sign("getMeetingInfo", "meetingID=a%20b", "639259d4", algorithm) == expected

    def test_is_the_one_of_bbbs_api_documentation(self) -> None:
        query = (
            "name=Test+Meeting&meetingID=abc123&attendeePW=111222&moderatorPW=333444"  # documented
        )
        secret = "639259d4-9dd8-4b25-bf01-95f9567eaf4b"
        assert sign("create", query, secret, "sha1") == "1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17"

    def test_counts_text_beyond_ascii_as_utf8(self) -> None:
        expected = hashlib.sha256("endgrüße".encode()).hexdigest()
        assert sign("end", "grü", "ße", "sha256") == expected


class TestGetMeetings:
    def test_reads_what_bbb_writes(self) -> None:
        answer = parse_answer(GET_MEETINGS)
        physics, breakout = answer.meetings
        assert answer.is_success
        assert answer.message_key == ""
        assert physics.meeting_id == "physics"
        assert physics.internal_id.endswith("-1335366476889")
        assert physics.name == "Physics & Maths"
        assert physics.dial_number == "613-555-1234"
        assert physics.create_time == 1335366476889
        assert physics.running
        assert not physics.is_ended
        assert not physics.is_breakout
        assert physics.parent_id == ""
        assert physics.sequence == 0
        assert not physics.is_recorded
        assert physics.voice_participants == 1
        assert breakout.is_breakout
        assert breakout.parent_id == "183f0bf3"
        assert breakout.sequence == 1
        assert breakout.is_recorded
        assert breakout.voice_participants == 0
        assert not breakout.running
        assert breakout.create_time == 0
        assert breakout.attendees == ()

    def test_keeps_the_leading_zero_of_a_voice_bridge(self) -> None:
        assert parse_answer(GET_MEETINGS).meetings[0].voice_bridge == "01234"

    def test_tells_phone_callers_from_web_users(self) -> None:
        web, phone = parse_answer(GET_MEETINGS).meetings[0].attendees
        assert (web.user_id, web.full_name, web.is_phone) == ("w_abc", "Ada", False)
        assert (web.is_listening_only, web.has_joined_voice) == (True, False)
        assert (phone.user_id, phone.full_name, phone.is_phone) == ("v_12", "xxx-xxx-0594", True)
        assert (phone.is_listening_only, phone.has_joined_voice) == (False, True)

    @pytest.mark.parametrize(
        ("role", "client_type"),
        [("VIEWER", "dial-in-user"), ("DIAL-IN-USER", ""), ("VIEWER", "VOICE-USER")],
    )
    def test_knows_the_phone_caller_of_each_release(self, role: str, client_type: str) -> None:
        inside = (
            f"<meetingID>m</meetingID><attendees><attendee><role>{role}</role>"
            f"<clientType>{client_type}</clientType></attendee></attendees>"
        )
        assert parse_answer(response(inside)).meetings[0].attendees[0].is_phone

    def test_leaves_out_a_meeting_without_an_id_and_keeps_the_others(self) -> None:
        inside = (
            "<meetings><meeting><meetingName>x</meetingName></meeting>"
            "<meeting><meetingID>m</meetingID></meeting></meetings>"
        )
        assert [one.meeting_id for one in parse_answer(response(inside)).meetings] == ["m"]

    @pytest.mark.parametrize(
        "mark",
        ["<hasBeenForciblyEnded>true</hasBeenForciblyEnded>", "<endTime>1335366478250</endTime>"],
    )
    def test_knows_an_ended_meeting_that_is_still_listed(self, mark: str) -> None:
        answer = parse_answer(response(f"<meetingID>m</meetingID>{mark}"))
        assert answer.meetings[0].is_ended

    def test_shows_neither_pins_nor_people_in_a_repr(self) -> None:
        text = repr(parse_answer(GET_MEETINGS))
        assert not any(word in text for word in ("01234", "Ada", "xxx-xxx", "w_abc", "v_12"))

    def test_of_an_idle_server_is_a_success_without_meetings(self) -> None:
        answer = parse_answer(response("<meetings/><messageKey>noMeetings</messageKey>"))
        assert answer == Answer(True, "noMeetings", False, ())


class TestOtherCalls:
    def test_get_meeting_info_has_its_meeting_in_the_response_itself(self) -> None:
        inside = "<meetingName>A</meetingName><meetingID>a</meetingID><running>true</running>"
        (meeting,) = parse_answer(response(inside)).meetings
        assert (meeting.name, meeting.running) == ("A", True)

    @pytest.mark.parametrize(("word", "expected"), [("true", True), ("false", False)])
    def test_is_meeting_running(self, word: str, expected: bool) -> None:
        answer = parse_answer(response(f"<running>{word}</running>"))
        assert (answer.is_running, answer.meetings) == (expected, ())

    @pytest.mark.parametrize(
        "inside",
        [
            "<messageKey>checksumError</messageKey><message>Nope</message>",
            "<errors><error><key>checksumError</key><message>Nope</message></error></errors>",
        ],
    )
    def test_a_refusal_gives_its_key(self, inside: str) -> None:
        answer = parse_answer(
            f"<response><returncode>FAILED</returncode>{inside}</response>".encode()
        )
        assert (answer.is_success, answer.message_key) == (False, "checksumError")

    @pytest.mark.parametrize("created", ["١٢٣", "1,335", "9" * 19, ""])
    def test_a_create_time_that_is_no_number_is_none(self, created: str) -> None:
        inside = f"<meetingID>m</meetingID><createTime>{created}</createTime>"
        assert parse_answer(response(inside)).meetings[0].create_time == 0


class TestHostileNames:
    @pytest.mark.parametrize("name", ["<!DOCTYPE x>", "<!DOCTYPE html><html>", "]]&gt;", "‮x​"])
    def test_a_meeting_may_be_called_anything(self, name: str) -> None:
        inside = f"<meetingID>m</meetingID><meetingName><![CDATA[{name}]]></meetingName>"
        assert parse_answer(response(inside)).meetings[0].name == name

    def test_a_control_character_in_one_name_does_not_hide_the_other_meetings(self) -> None:
        inside = (
            b"<meetings><meeting><meetingID>a</meetingID><meetingName>x\x08y\x00</meetingName>"
            b"</meeting><meeting><meetingID>b</meetingID></meeting></meetings>"
        )
        first, second = parse_answer(response(inside)).meetings
        assert (first.name, second.meeting_id) == ("x y", "b")

    @given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"])))
    def test_any_name_that_xml_can_hold_comes_back(self, name: str) -> None:
        inside = f"<meetingID>m</meetingID><meetingName>{escape(name)}</meetingName>"
        assert parse_answer(response(inside)).meetings[0].name == name.strip()


ENTITIES = "".join(
    f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' if level else '<!ENTITY a0 "ha">'
    for level in range(10)
)
QUADRATIC = f'<!DOCTYPE r [<!ENTITY a "{"x" * 50_000}">]>'


class TestEverythingElse:
    @pytest.mark.parametrize(
        ("data", "cause"),
        [
            (b"", "empty-answer"),
            (b" \r\n ", "empty-answer"),
            (b"x" * (MAX_ANSWER_BYTES + 1), "too-large"),
            (b"<html><body>It works!<br></body></html>", "html-page"),
            (b"<!DOCTYPE html><html><body>It works!</body></html>", "html-page"),
            (b"<!DOCTYPE html><html><body>It works!<br></body></html>", "html-page"),
            (b"Bad Gateway", "not-xml"),
            (b'{"returncode": "SUCCESS"}', "not-xml"),
            (b"\x00\x01\x02", "not-xml"),
            (b"<response><returncode>SUCCESS</returncode><meet", "not-xml"),
            (response(b"<meetingID>\xff\xfe</meetingID>"), "not-xml"),
            (response("<meetingID>&undefined;</meetingID>"), "not-xml"),
            (response("<meetingID>&#1;</meetingID>"), "not-xml"),
            (response("<a>" * 100_000 + "</a>" * 100_000), "not-xml"),
            (response("<meetingID>m</meetingID>").decode().encode("utf-16"), "not-xml"),
            (b"<rss/>", "not-bbb"),
            (b"<response><running>true</running></response>", "not-bbb"),
            (b"<response><returncode>MAYBE</returncode></response>", "not-bbb"),
            (b"<other><returncode>SUCCESS</returncode></other>", "not-bbb"),
            (b"<!DOCTYPE response>" + response(""), "doctype"),
            (b'<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd">' + response(""), "doctype"),
            (f"<!DOCTYPE r [{ENTITIES}]>".encode() + response("&a9;"), "doctype"),
            (f"<!DOCTYPE r [{ENTITIES}]>".encode() + response("<a b='&a9;'/>"), "doctype"),
            (QUADRATIC.encode() + response("&a;" * 20_000), "doctype"),
            (QUADRATIC.encode() + response(f"<a b='{'&a;' * 20_000}'/>"), "doctype"),
        ],
    )
    def test_is_refused_by_name(self, data: bytes, cause: str) -> None:
        assert cause_of(data) == cause

    def test_no_file_is_read_for_an_external_entity(self) -> None:
        document = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
        assert cause_of(document + response("<meetingID>&x;</meetingID>")) == "doctype"

    def test_a_refusal_does_not_repeat_what_it_refused(self) -> None:
        password = "open" + "sesame"
        with pytest.raises(MalformedAnswer) as refused:
            parse_answer(f"<response><returncode>SUCCESS</returncode><pw>{password}".encode())
        assert password not in "".join(traceback.format_exception(refused.value))
        assert refused.value.__context__ is None

    @given(st.binary(max_size=400))
    def test_the_parser_is_total(self, data: bytes) -> None:
        total(data)

    @given(st.integers(0, len(GET_MEETINGS)), st.integers(0, 40), st.binary(max_size=6))
    def test_the_parser_is_total_over_damaged_answers(
        self, start: int, length: int, patch: bytes
    ) -> None:
        total(GET_MEETINGS[:start] + patch + GET_MEETINGS[start + length :])


def total(data: bytes) -> None:
    try:
        answer = parse_answer(data)
    except MalformedAnswer:
        return
    assert all(meeting.meeting_id for meeting in answer.meetings)


class TestHooks:
    def test_a_new_hook_has_an_id(self) -> None:
        made = parse_answer(
            b"<response><returncode>SUCCESS</returncode><hookID>h-1</hookID>"
            b"<permanentHook>false</permanentHook><rawData>false</rawData></response>"
        )
        assert (made.hook_id, made.hooks, made.meetings) == ("h-1", (), ())

    def test_hooks_are_listed_with_what_they_tell(self) -> None:
        listed = parse_answer(
            b"<response><returncode>SUCCESS</returncode><hooks><hook><hookID>1</hookID>"
            b"<callbackURL><![CDATA[https://d.example.org/?a&b]]></callbackURL>"
            b"<meetingID><![CDATA[physics]]></meetingID><eventID>user-left,meeting-ended</eventID>"
            b"<permanentHook>false</permanentHook><rawData>true</rawData></hook>"
            b"<hook><hookID>2</hookID></hook></hooks></response>"
        )
        assert listed.hooks == (
            Hook(
                "1",
                "https://d.example.org/?a&b",
                "physics",
                frozenset({"user-left", "meeting-ended"}),
                True,
            ),
            Hook("2", "", "", frozenset(), False),
        )
