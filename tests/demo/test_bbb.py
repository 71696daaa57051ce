# SPDX-License-Identifier: GPL-3.0-or-later
"""The BBB stand-in: close enough to BBB that the real client, directory and PIN desk work on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from yarl import URL

from dialin.bbb_api import BbbApi, BbbUnavailable
from dialin.budgets import Guesser
from dialin.demo.bbb import LATER_OPENS_AFTER_S, DemoBbb, Fault
from dialin.demo.bbb_answers import written
from dialin.demo.rooms import DemoRoom, free_voice_bridge
from dialin.pin import Attempts, DirectoryDown, Found, PinDesk
from dialin.rooms import Rooms
from dialin.wire.bbbxml import CHECKSUMS, Answer, Checksum, Meeting, parse_answer, sign


@asynccontextmanager
async def client(bbb: DemoBbb, *, timeout_s: float = 5.0) -> AsyncIterator[BbbApi]:
    async with aiohttp.ClientSession() as session:
        yield BbbApi(session, name="demo", url=bbb.url, secret=bbb.secret, timeout_s=timeout_s)


async def meetings(bbb: DemoBbb) -> dict[str, Meeting]:
    async with client(bbb) as api:
        return {meeting.meeting_id: meeting for meeting in await api.get_meetings()}


async def get(bbb: DemoBbb, path: str) -> Answer:
    async with (
        aiohttp.ClientSession() as session,
        session.get(URL(f"{bbb.url}api{path}", encoded=True)) as response,
    ):
        return parse_answer(await response.read())


async def ask(bbb: DemoBbb, call: str, checksum: Checksum = "sha1", **query: str) -> Answer:
    text = urlencode(query, quote_via=quote)
    return await get(bbb, f"/{call}?{text}&checksum={sign(call, text, bbb.secret, checksum)}")


class TestRooms:
    async def test_are_those_that_the_demo_promises(self) -> None:
        async with DemoBbb() as bbb:
            found = await meetings(bbb)
        assert {name: (one.voice_bridge, one.running) for name, one in found.items()} == {
            "demo": ("123456789", True),
            "breakout": ("1234567891", True),
            "later": ("555666777", False),
        }

    async def test_tell_a_breakout_room_and_its_parent(self) -> None:
        async with DemoBbb() as bbb:
            found = await meetings(bbb)
        assert found["breakout"].is_breakout
        assert found["breakout"].parent_id == found["demo"].internal_id
        assert not found["demo"].is_breakout

    async def test_show_phone_callers_as_bbb_does(self) -> None:
        def members(voice_bridge: str) -> list[tuple[str, str, bool]]:
            return [("xxx-xxx-0594", "1000", False)] if voice_bridge == "123456789" else []

        async with DemoBbb(members=members) as bbb:
            found = await meetings(bbb)
        host, caller = found["demo"].attendees
        assert (host.role, host.is_phone, host.has_joined_voice) == ("MODERATOR", False, False)
        assert (caller.user_id, caller.full_name) == ("v_1", "xxx-xxx-0594")
        assert caller.is_phone
        assert caller.has_joined_voice
        assert found["later"].attendees == ()

    async def test_may_be_given(self) -> None:
        async with DemoBbb(rooms=[DemoRoom("a", "A & <B>", "00001")]) as bbb:
            found = await meetings(bbb)
        assert (found["a"].name, found["a"].voice_bridge) == ("A & <B>", "00001")

    async def test_of_which_there_are_none_are_no_meetings(self) -> None:
        async with DemoBbb(rooms=[]) as bbb:
            assert await ask(bbb, "getMeetings") == Answer(True, "noMeetings", False, ())


class TestOpening:
    def test_takes_twenty_seconds_in_the_demo(self) -> None:
        assert LATER_OPENS_AFTER_S == 20

    async def test_follows_the_first_caller_who_waits(self) -> None:
        async with DemoBbb(later_opens_after_s=0) as bbb:
            assert not (await meetings(bbb))["later"].running
            bbb.caller_waits("later")
            bbb.caller_waits("later")
            bbb.caller_waits("demo")
            later = (await meetings(bbb))["later"]
        assert later.running
        assert len(later.attendees) == 1
        assert not bbb._openings

    async def test_may_be_of_a_meeting_that_nobody_knows_yet(self) -> None:
        async with DemoBbb(later_opens_after_s=0) as bbb:
            bbb.end_room("demo")
            for meeting_id in ("weekly", "demo"):
                bbb.caller_waits(meeting_id)
            found = await meetings(bbb)
        assert found["weekly"].running
        assert len(found["weekly"].voice_bridge) == 5
        assert found["demo"].running
        assert found["demo"].voice_bridge != "123456789"

    async def test_does_not_come_when_the_demo_ends_before(self) -> None:
        async with DemoBbb(later_opens_after_s=60) as bbb:
            bbb.caller_waits("later")
        assert bbb._openings["later"].cancelled()

    async def test_may_be_had_at_once(self) -> None:
        async with DemoBbb() as bbb:
            bbb.open_room("later")
            assert (await meetings(bbb))["later"].running


class TestCalls:
    @pytest.mark.parametrize("checksum", CHECKSUMS)
    async def test_are_verified_by_every_checksum(self, checksum: Checksum) -> None:
        async with DemoBbb() as bbb:
            assert (await ask(bbb, "getMeetingInfo", checksum, meetingID="demo")).is_success

    @pytest.mark.parametrize(
        "path",
        [
            "/getMeetings",
            "/getMeetings?checksum=",
            "/getMeetings?checksum=" + "0" * 40,
            "/getMeetings?checksum=" + "0" * 64 + "&checksum=" + "0" * 64,
            "/getMeetings?checksum=" + "%C3%A4" * 40,
            "/getMeetings?checksum=short",
        ],
    )
    async def test_with_a_wrong_checksum_are_refused(self, path: str) -> None:
        async with DemoBbb() as bbb:
            assert (await get(bbb, path)).message_key == "checksumError"

    async def test_may_carry_their_checksum_anywhere(self) -> None:
        async with DemoBbb() as bbb:
            query = "meetingID=demo&a=b"
            checksum = sign("getMeetingInfo", query, bbb.secret, "sha512")
            path = f"/getMeetingInfo?meetingID=demo&checksum={checksum}&a=b"
            assert (await get(bbb, path)).meetings[0].voice_bridge == "123456789"

    async def test_are_counted(self) -> None:
        async with DemoBbb() as bbb:
            await meetings(bbb)
            await meetings(bbb)
        assert bbb.calls == {"getMeetings": 2}

    async def test_tell_the_version_without_a_checksum(self) -> None:
        async with DemoBbb() as bbb:
            assert (await get(bbb, "")).is_success

    async def test_for_one_meeting(self) -> None:
        async with DemoBbb() as bbb, client(bbb) as api:
            assert (await api.get_meeting_info("breakout")).is_breakout
            with pytest.raises(BbbUnavailable) as refused:
                await api.get_meeting_info("nowhere")
        assert refused.value.cause == "meeting-not-found"

    async def test_whether_a_meeting_runs(self) -> None:
        async with DemoBbb() as bbb:
            running = [
                (await ask(bbb, "isMeetingRunning", meetingID=name)).is_running
                for name in ("demo", "later", "nowhere")
            ]
        assert running == [True, False, False]

    async def test_without_a_meeting_id_are_refused(self) -> None:
        async with DemoBbb() as bbb:
            for call in ("create", "getMeetingInfo", "isMeetingRunning", "end"):
                assert (await ask(bbb, call)).message_key == "missingParamMeetingID"

    async def test_that_do_not_exist_are_refused(self) -> None:
        async with DemoBbb() as bbb:
            assert (await ask(bbb, "getRecordings")).message_key == "unsupportedRequest"


class TestCreateAndEnd:
    async def test_create_makes_a_room_that_has_not_begun(self) -> None:
        async with DemoBbb() as bbb:
            answer = await ask(
                bbb, "create", meetingID="x", name="X", voiceBridge="00042", dialNumber="+49 30 1"
            )
            found = (await meetings(bbb))["x"]
        assert answer.is_success
        assert answer.meetings[0].voice_bridge == "00042"
        assert (found.name, found.voice_bridge, found.dial_number) == ("X", "00042", "+49 30 1")
        assert not found.running
        assert found.create_time > 0

    async def test_create_draws_a_number_when_none_is_wished(self) -> None:
        async with DemoBbb() as bbb:
            answer = await ask(bbb, "create", meetingID="x")
        voice_bridge = answer.meetings[0].voice_bridge
        assert len(voice_bridge) == 5
        assert voice_bridge.isdigit()

    def test_a_drawn_number_is_free(self) -> None:
        taken = {f"{number:05d}" for number in range(99_999)} - {"00007"}
        assert free_voice_bridge(taken) == "00007"

    async def test_create_again_is_a_warning_and_changes_nothing(self) -> None:
        async with DemoBbb() as bbb:
            answer = await ask(bbb, "create", meetingID="demo", name="Y", voiceBridge="11111")
        assert answer.message_key == "duplicateWarning"
        assert answer.meetings[0].voice_bridge == "123456789"

    async def test_a_voice_bridge_is_given_once(self) -> None:
        async with DemoBbb() as bbb:
            answer = await ask(bbb, "create", meetingID="x", voiceBridge="123456789")
        assert (answer.is_success, answer.message_key) == (False, "nonUniqueVoiceBridge")

    async def test_an_ended_meeting_stays_listed_and_may_come_back(self) -> None:
        async with DemoBbb(members=lambda bridge: [("xxx-xxx-0594", "1", False)]) as bbb:
            before = (await meetings(bbb))["demo"]
            answer = await ask(bbb, "end", meetingID="demo")
            ended = (await meetings(bbb))["demo"]
            await ask(bbb, "create", meetingID="demo", voiceBridge="123456789")
            again = (await meetings(bbb))["demo"]
        assert answer.message_key == "sentEndMeetingRequest"
        assert (ended.is_ended, ended.running, ended.attendees) == (True, False, ())
        assert not again.is_ended
        assert again.internal_id.split("-")[0] == before.internal_id.split("-")[0]

    async def test_end_of_a_stranger_is_refused(self) -> None:
        async with DemoBbb() as bbb:
            assert (await ask(bbb, "end", meetingID="nowhere")).message_key == "notFound"

    @pytest.mark.parametrize("name", ["<![CDATA[x]]>", "a&b", "\x00\x08\ufffe", "\ud7ff"])
    def test_any_name_is_written_as_xml(self, name: str) -> None:
        assert parse_answer(
            written(
                (
                    "response",
                    [("returncode", "SUCCESS"), ("meetingID", "m"), ("meetingName", name)],
                )
            ).encode()
        ).is_success


class TestFaults:
    """What the bridge's client makes of each."""

    @pytest.mark.parametrize(
        ("fault", "cause"),
        [
            (Fault.HTTP_500, "http-server-error"),
            (Fault.HTML, "html-page"),
            (Fault.EMPTY, "empty-answer"),
            (Fault.SILENT, "timeout"),
            (Fault.SLOW, "timeout"),
            (Fault.TRUNCATED, "truncated"),
            (Fault.REDIRECT, "redirected"),
            (Fault.DOCTYPE, "doctype"),
            (Fault.WRONG_CHECKSUM, "checksum-error"),
        ],
    )
    async def test_is_seen_as_what_it_is(self, fault: Fault, cause: str) -> None:
        async with DemoBbb() as bbb:
            bbb.fault = fault
            async with client(bbb, timeout_s=0.2 if cause == "timeout" else 5.0) as api:
                with pytest.raises(BbbUnavailable) as refused:
                    await api.get_meetings()
        assert refused.value.cause == cause

    async def test_of_a_slow_server_is_bearable_if_short(self) -> None:
        async with DemoBbb() as bbb:
            bbb.fault, bbb.slow_s = Fault.SLOW, 0.01
            assert len(await meetings(bbb)) == 3

    async def test_of_a_server_that_forgot_its_meetings_is_a_success(self) -> None:
        async with DemoBbb() as bbb:
            bbb.fault = Fault.NO_MEETINGS
            assert await meetings(bbb) == {}

    @pytest.mark.parametrize("fault", [Fault.HTTP_500, Fault.HTML, Fault.SILENT])
    async def test_burns_no_try_and_is_over_when_it_is_over(self, fault: Fault) -> None:
        async with DemoBbb() as bbb, client(bbb, timeout_s=0.2) as api:
            rooms, attempts = Rooms([api], poll_s=60), Attempts()
            bbb.fault = fault
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(rooms.run())
                assert (
                    await PinDesk(rooms).find("123456789", attempts, Guesser("trunk"))
                    == DirectoryDown()
                )
                bbb.fault = None
                found = await PinDesk(rooms).find("123456789", attempts, Guesser("trunk"))
                watching.cancel()
        assert isinstance(found, Found)
        assert attempts.used == 0
