# SPDX-License-Identifier: GPL-3.0-or-later
"""What may become of a meeting of the stand-in, and the events that it makes."""

from __future__ import annotations

from typing import Any

import pytest

from dialin.demo.hook_events import HookEvent, event_id, recording_changed
from dialin.demo.meetings import Meetings
from dialin.demo.rooms import HOST, DemoRoom
from dialin.demo.voice import Change, PhoneCaller

ADA = PhoneCaller("xxx-xxx-0594", "700100200300", False, 7)


class Server(Meetings):
    """Meetings that keep their events, and say which conferences they end."""

    def __init__(self, *rooms: DemoRoom) -> None:
        self.events: list[HookEvent] = []
        self.ended: list[str] = []
        super().__init__(rooms, self.events.append)
        self.hang_up = self.ended.append
        self.events.clear()

    def told(self) -> list[str]:
        """The names of the events since the last time."""
        names = [event_id(event) for event in self.events]
        self.events.clear()
        return names

    def attributes(self) -> dict[str, Any]:
        """Those of the only event."""
        (event,) = self.events
        self.events.clear()
        attributes: dict[str, Any] = event["data"]["attributes"]
        return attributes


def weekly(**details: Any) -> DemoRoom:
    return DemoRoom("weekly", "Weekly", "72013", running=True, **details)


class TestLife:
    def test_a_meeting_is_created_with_all_that_a_telephone_needs(self) -> None:
        server = Server()
        room = server.add_room(weekly(recording=True, audio_bridge="livekit"))
        meeting = server.attributes()["meeting"]
        expected = {
            "internal-meeting-id": room.internal_id,
            "external-meeting-id": "weekly",
            "name": "Weekly",
            "is-breakout": False,
            "parent-id": "bbb-none",
            "record": True,
            "voice-conf": "72013",
            "dial-number": room.dial_number,
            "audioBridge": "livekit",
            "metadata": {},
        }
        assert {name: meeting[name] for name in expected} == expected

    def test_its_end_takes_users_breakout_rooms_and_callers_along(self) -> None:
        server = Server(weekly())
        server.join_user("weekly", "w_1", "Ada")
        server.open_breakout("weekly", 2)
        server.told()
        server.end_room("weekly")
        server.end_room("weekly")
        assert server.told() == [
            *("meeting-ended", "user-left"),
            *("meeting-ended", "user-left", "user-left"),
        ]
        assert server.ended == ["720132", "72013"]
        assert server.room("weekly").is_ended

    def test_started_anew_it_has_another_id_and_another_pin(self) -> None:
        server = Server(weekly())
        before = server.room("weekly")
        again = server.restart_room("weekly")
        assert again.running
        assert again.internal_id != before.internal_id
        assert again.voice_bridge != before.voice_bridge
        assert server.restart_room("weekly", "55555").voice_bridge == "55555"

    def test_it_may_move_to_another_server(self) -> None:
        one, other = Server(weekly()), Server()
        before = one.room("weekly")
        moved = one.move_room("weekly", other, "72013")
        assert (moved.voice_bridge, moved.meeting_id) == ("72013", "weekly")
        assert moved.internal_id != before.internal_id
        assert (one.told()[0], other.told()) == (
            "meeting-ended",
            ["meeting-created", "user-joined"],
        )
        with pytest.raises(KeyError):
            one.room("weekly")

    def test_it_may_be_forgotten(self) -> None:
        server = Server(weekly())
        server.forget_room("weekly")
        server.forget_room("weekly")
        with pytest.raises(KeyError):
            server.room("weekly")


class TestBreakouts:
    def test_have_the_pin_of_their_meeting_and_a_number(self) -> None:
        server = Server(weekly())
        room = server.open_breakout("weekly", 12)
        meeting = server.attributes()["meeting"]
        assert (room.voice_bridge, room.number) == ("7201312", "12")
        assert meeting["is-breakout"]
        assert meeting["parent-id"] == server.room("weekly").internal_id

    def test_end_without_their_meeting(self) -> None:
        server = Server(weekly())
        room = server.open_breakout("weekly", 1)
        server.end_breakout(room.meeting_id)
        assert server.ended == ["720131"]
        assert not server.room("weekly").is_ended
        assert server.breakouts_of(server.room("weekly")) == []
        with pytest.raises(KeyError):
            server.end_breakout("weekly")


class TestPhones:
    def test_of_whom_most_servers_give_no_name(self) -> None:
        server = Server(weekly())
        server.voice_changed("72013", ADA, Change.JOINED)
        assert server.attributes()["user"] == {
            "internal-user-id": "v_7",
            "external-user-id": "",
            "listening-only": False,
            "sharing-mic": True,
            "muted": False,
        }
        for change in (Change.MUTED, Change.UNMUTED, Change.LEFT):
            server.voice_changed("72013", ADA, change)
        assert server.told() == [
            "user-audio-muted",
            "user-audio-unmuted",
            "user-audio-voice-disabled",
        ]

    def test_of_whom_some_do(self) -> None:
        server = Server(weekly())
        server.names_phones = True
        server.voice_changed("72013", ADA, Change.JOINED)
        joined = server.events[0]["data"]["attributes"]["user"]
        assert (joined["name"], joined["internal-user-id"]) == ("xxx-xxx-0594", "v_7")
        assert server.told() == ["user-joined", "user-audio-voice-enabled"]
        server.voice_changed("72013", ADA, Change.MUTED)
        assert server.attributes()["user"]["external-user-id"] == "v_7"
        server.voice_changed("72013", ADA, Change.LEFT)
        assert server.told() == ["user-audio-voice-disabled", "user-left"]

    def test_in_a_conference_without_a_meeting_are_nobodys(self) -> None:
        server = Server(weekly())
        server.voice_changed("99998", ADA, Change.JOINED)
        server.end_room("weekly")
        server.told()
        server.voice_changed("72013", ADA, Change.LEFT)
        assert server.told() == []


class TestHandsAndRecording:
    @pytest.mark.parametrize(
        ("user_id", "external_id"), [("v_7", ""), (HOST, HOST), ("w_1", "w_1")]
    )
    def test_a_hand_goes_up_and_down(self, user_id: str, external_id: str) -> None:
        server = Server(weekly())
        server.join_user("weekly", "w_1", "Ada")
        server.told()
        for raised in (True, False):
            server.raise_hand("weekly", user_id, raised=raised)
            assert server.attributes()["user"] == {
                "internal-user-id": user_id,
                "external-user-id": external_id,
                "raise-hand": raised,
            }

    def test_recording_begins_and_stops(self) -> None:
        server = Server(weekly(recording=True))
        server.record("weekly")
        assert server.room("weekly").is_recording
        server.record("weekly", is_on=False)
        assert server.told() == ["meeting-recording-started", "meeting-recording-stopped"]

    def test_an_old_server_says_only_that_it_changed(self) -> None:
        event = recording_changed(weekly(), is_on=True, is_old=True)
        assert event_id(event) == "meeting-recording-changed"

    def test_who_leaves_is_told_of(self) -> None:
        server = Server(weekly())
        server.join_user("weekly", "w_1", "Ada")
        server.leave_user("weekly", "w_1")
        assert server.told() == ["user-joined", "user-left"]
        assert server.room("weekly").guests == {}
