# SPDX-License-Identifier: GPL-3.0-or-later
"""The load balancer stand-in: one list of all servers' meetings, and PINs nobody asked for."""

from __future__ import annotations

import pytest

from dialin.demo.balancer import Balancer, DemoBalancer, scalelite_pin
from dialin.demo.bbb import DemoBbb
from dialin.demo.rooms import DemoRoom
from dialin.wire.bbbxml import Answer, parse_answer


def servers() -> list[DemoBbb]:
    return [DemoBbb(rooms=[DemoRoom("a", "A", "11111", running=True)]), DemoBbb(rooms=[])]


def ask(balancer: DemoBalancer, call: str, **query: str) -> Answer:
    return parse_answer(balancer.perform(call, query))


async def test_it_lists_all_meetings_and_no_server() -> None:
    both = servers()
    both[1].add_room(DemoRoom("b", "B", "22222"))
    balancer = DemoBalancer(both)
    assert [one.meeting_id for one in ask(balancer, "getMeetings").meetings] == ["a", "b"]
    assert b"erver" not in balancer.perform("getMeetings", {})


async def test_it_may_list_none() -> None:
    balancer = DemoBalancer(servers(), lists_meetings=False)
    assert ask(balancer, "getMeetings").message_key == "noMeetings"
    assert ask(balancer, "getMeetingInfo", meetingID="a").meetings[0].voice_bridge == "11111"


async def test_scalelite_gives_a_pin_that_follows_from_the_meeting() -> None:
    both = servers()
    balancer = DemoBalancer(both)
    made = ask(balancer, "create", meetingID="b", voiceBridge="72013", dialNumber="+49 30 1")
    pin = made.meetings[0].voice_bridge
    assert (len(pin), pin[0] != "0", pin == scalelite_pin("b", set())) == (9, True, True)
    assert both[0].room("b").dial_number == "+49 30 1"
    assert ask(balancer, "create", meetingID="b").message_key == "duplicateWarning"
    ask(balancer, "create", meetingID="c")
    assert both[1].room("c").voice_bridge == scalelite_pin("c", set())
    assert scalelite_pin("b", {pin}) != pin


async def test_scalelite_may_keep_a_wish_unless_another_meeting_has_it() -> None:
    balancer = DemoBalancer(servers(), uses_external_voice_bridge=True)
    made = ask(balancer, "create", meetingID="b", voiceBridge="720137201")
    assert made.meetings[0].voice_bridge == "720137201"
    made = ask(balancer, "create", meetingID="c", voiceBridge="720137201")
    assert made.meetings[0].voice_bridge == scalelite_pin("c", set())
    made = ask(balancer, "create", meetingID="d")
    assert made.meetings[0].voice_bridge == scalelite_pin("d", set())


async def test_scalelite_adds_parameters_and_replaces_others() -> None:
    both = servers()
    number = {"dialNumber": "+49 30 2"}
    adds = DemoBalancer(both, default_parameters=number)
    ask(adds, "create", meetingID="b", dialNumber="+49 30 1")
    ask(adds, "create", meetingID="c")
    replaces = DemoBalancer(both, override_parameters=number)
    ask(replaces, "create", meetingID="d", dialNumber="+49 30 1")
    rooms = {room.meeting_id: room for one in both for room, _ in one.listed_meetings()}
    assert [rooms[one].dial_number for one in "bcd"] == ["+49 30 1", "+49 30 2", "+49 30 2"]


async def test_b3lb_drops_pin_and_number() -> None:
    both = servers()
    balancer = DemoBalancer(both, kind=Balancer.B3LB)
    ask(balancer, "create", meetingID="b", voiceBridge="720137201", dialNumber="+49 30 1")
    room = both[0].room("b")
    assert (len(room.voice_bridge), room.dial_number) == (5, "+49 30 12345678")


async def test_a_meeting_is_found_wherever_it_is() -> None:
    both = servers()
    balancer = DemoBalancer(both)
    both[0].move_room("a", both[1], "11111")
    assert ask(balancer, "isMeetingRunning", meetingID="a").is_running
    assert not ask(balancer, "isMeetingRunning", meetingID="x").is_running
    assert ask(balancer, "end", meetingID="a").message_key == "sentEndMeetingRequest"
    assert ask(balancer, "end", meetingID="x").message_key == "notFound"


@pytest.mark.parametrize("call", ["join", "hooks/create"])
async def test_what_it_does_not_pass_on(call: str) -> None:
    assert ask(DemoBalancer(servers()), call, meetingID="a").message_key == "unsupportedRequest"


async def test_it_is_asked_over_http_with_its_own_secret() -> None:
    async with DemoBalancer(servers(), secret="of-the-balancer") as balancer:
        assert balancer.url.startswith("http://127.0.0.1:")
        assert balancer.secret == "of-the-balancer"
