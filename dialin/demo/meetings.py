# SPDX-License-Identifier: GPL-3.0-or-later
"""The meetings of one stand-in server, and what hosts, front ends and callers do to them.

Each change posts the events that bbb-webhooks would post. Who asks for changes over HTTP is left
to `bbb`; tests and the demo call them here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dialin.demo import hook_events
from dialin.demo.hook_events import HookEvent
from dialin.demo.rooms import HOST, DemoRoom, free_voice_bridge, now_ms
from dialin.demo.voice import Change, PhoneCaller, user_id_of


class Meetings:
    """All meetings of one server. A meeting id that is not known raises KeyError."""

    def __init__(self, rooms: Iterable[DemoRoom], emit: Callable[[HookEvent], None]) -> None:
        self.hang_up: Callable[[str], None] = lambda _voice_bridge: None
        """Ends a voice conference when its meeting is over; that of the conference stand-in."""
        self.names_phones = False
        """Whether a phone caller is told of by user-joined too, with its name: not by most BBBs."""
        self._emit = emit
        self._rooms: dict[str, DemoRoom] = {}
        self._latest_create_time = 0
        for room in rooms:
            self.add_room(room)

    # Meetings come and go

    def room(self, meeting_id: str) -> DemoRoom:
        """A meeting that this server knows."""
        return self._rooms[meeting_id]

    def add_room(self, room: DemoRoom) -> DemoRoom:
        """A front end creates a meeting; one of the same id is thereby replaced."""
        self._latest_create_time = max(now_ms(), self._latest_create_time + 1)
        room.create_time = self._latest_create_time
        room.start_time = room.create_time if room.running else 0
        self._rooms[room.meeting_id] = room
        self._emit(hook_events.meeting_created(room))
        return room

    def open_room(self, meeting_id: str) -> None:
        """Somebody joins the meeting by web: it runs."""
        room = self._rooms[meeting_id]
        room.running, room.start_time = True, now_ms()
        self._emit(hook_events.user_joined(room, HOST, "Demo host", role="MODERATOR"))

    def end_room(self, meeting_id: str) -> None:
        """The meeting is over, with its breakout rooms; it stays in the list, as ended."""
        room = self._rooms[meeting_id]
        if room.is_ended:
            return
        for other in self.breakouts_of(room):
            self.end_room(other.meeting_id)
        users = [*([HOST] if room.running else []), *room.guests]
        room.running, room.is_ended, room.is_recording = False, True, False
        room.guests.clear()
        self._emit(hook_events.meeting_ended(room))
        for user_id in users:  # bbb-webhooks makes these up when a meeting ends
            self._emit(hook_events.user_left(room, user_id))
        self.hang_up(room.voice_bridge)

    def forget_room(self, meeting_id: str) -> None:
        """The meeting is not listed any more, if it ever was."""
        self._rooms.pop(meeting_id, None)

    def restart_room(self, meeting_id: str, voice_bridge: str | None = None) -> DemoRoom:
        """A front end ends the meeting and starts it anew: another internal id, and another PIN.

        Without `voice_bridge` the PIN is five random digits, as Greenlight leaves it to BBB.
        """
        self.end_room(meeting_id)
        return self._again(self._rooms[meeting_id], voice_bridge, self)

    def move_room(
        self, meeting_id: str, server: Meetings, voice_bridge: str | None = None
    ) -> DemoRoom:
        """The meeting goes on on another server, with another internal id, and another PIN unless
        `voice_bridge` is the same; this one knows nothing of it any more."""
        self.end_room(meeting_id)
        room = self._rooms.pop(meeting_id)
        return self._again(room, voice_bridge, server)

    @staticmethod
    def _again(room: DemoRoom, voice_bridge: str | None, server: Meetings) -> DemoRoom:
        again = DemoRoom(
            room.meeting_id,
            room.name,
            voice_bridge or free_voice_bridge(server.voice_bridges()),
            dial_number=room.dial_number,
            recording=room.recording,
            audio_bridge=room.audio_bridge,
            metadata=dict(room.metadata),
        )
        server._latest_create_time = max(server._latest_create_time, room.create_time)
        server.add_room(again)
        server.open_room(again.meeting_id)
        return again

    def voice_bridges(self) -> set[str]:
        """The PINs of all meetings that are not over."""
        return {room.voice_bridge for room in self._rooms.values() if not room.is_ended}

    # Breakout rooms

    def breakouts_of(self, parent: DemoRoom) -> list[DemoRoom]:
        """The breakout rooms of a meeting that are not over."""
        return [
            room for room in self._rooms.values() if room.parent is parent and not room.is_ended
        ]

    def open_breakout(self, parent_id: str, sequence: int, name: str = "") -> DemoRoom:
        """A host opens a breakout room: its PIN is that of the meeting and its number."""
        parent = self._rooms[parent_id]
        room = DemoRoom(
            f"{parent.internal_id}-{sequence}",
            name or f"{parent.name} (Room {sequence})",
            f"{parent.voice_bridge}{sequence}",
            running=True,
            parent=parent,
            sequence=sequence,
            audio_bridge=parent.audio_bridge,
        )
        return self.add_room(room)

    def end_breakout(self, meeting_id: str) -> None:
        """A breakout room is over, by its time or by the host; the meeting goes on."""
        if self._rooms[meeting_id].parent is None:
            raise KeyError(meeting_id)
        self.end_room(meeting_id)

    # People

    def join_user(self, meeting_id: str, user_id: str, name: str) -> None:
        """Somebody joins by web."""
        room = self._rooms[meeting_id]
        room.guests[user_id] = name
        self._emit(hook_events.user_joined(room, user_id, name))

    def leave_user(self, meeting_id: str, user_id: str) -> None:
        """Somebody who had joined by web leaves."""
        room = self._rooms[meeting_id]
        del room.guests[user_id]
        self._emit(hook_events.user_left(room, user_id))

    def raise_hand(self, meeting_id: str, user_id: str, *, raised: bool = True) -> None:
        """Somebody's hand goes up or down, or a moderator takes it down."""
        room = self._rooms[meeting_id]
        external_id = self._external_id(room, user_id)
        self._emit(hook_events.hand_changed(room, user_id, raised=raised, external_id=external_id))

    def record(self, meeting_id: str, *, is_on: bool = True) -> None:
        """Somebody presses the record button."""
        room = self._rooms[meeting_id]
        room.is_recording = is_on
        self._emit(hook_events.recording_changed(room, is_on=is_on))

    def voice_changed(self, voice_bridge: str, caller: PhoneCaller, change: Change) -> None:
        """Something happened to a phone caller in a voice conference, as FreeSWITCH tells it."""
        room = self._with_voice_bridge(voice_bridge)
        if room is None:
            return
        user_id = user_id_of(caller)
        external_id = user_id if self.names_phones else ""
        match change:
            case Change.JOINED:
                if self.names_phones:
                    self._emit(hook_events.user_joined(room, user_id, caller.name, guest=True))
                self._emit(
                    hook_events.voice_enabled(
                        room, user_id, muted=caller.muted, external_id=external_id
                    )
                )
            case Change.LEFT:
                self._emit(hook_events.voice_disabled(room, user_id, external_id=external_id))
                if self.names_phones:
                    self._emit(hook_events.user_left(room, user_id))
            case Change.MUTED | Change.UNMUTED:
                self._emit(
                    hook_events.mute_changed(
                        room, user_id, muted=change is Change.MUTED, external_id=external_id
                    )
                )

    def _external_id(self, room: DemoRoom, user_id: str) -> str:
        is_named = self.names_phones or user_id == HOST or user_id in room.guests
        return user_id if is_named else ""

    def _with_voice_bridge(self, voice_bridge: str) -> DemoRoom | None:
        rooms = (room for room in self._rooms.values() if room.voice_bridge == voice_bridge)
        return next((room for room in rooms if not room.is_ended), None)
