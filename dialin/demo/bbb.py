# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a BigBlueButton server's HTTP API, so that the demo and the tests need none.

Takes the documented calls, and those of bbb-webhooks. Phone callers are among its attendees because
it asks the voice conference who is in it; that conference is `demo.conference`, which this file
does not know. HTTP is left to `api_server`, XML to `bbb_answers`, what happens in meetings to
`meetings`, events to `webhooks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from dialin.demo.api_server import ApiServer, Fault
from dialin.demo.bbb_answers import SUCCESS, answer, created, failed, listed, meeting, running
from dialin.demo.meetings import Meetings
from dialin.demo.rooms import DemoRoom, demo_rooms, free_voice_bridge
from dialin.demo.voice import Member
from dialin.demo.webhooks import Webhooks
from dialin.wire.bbbxml import Checksum

__all__ = ["DemoBbb", "Fault", "Members"]

Members: TypeAlias = Callable[[str], Sequence[Member]]
"""Who is in the voice conference with this number."""

LATER_OPENS_AFTER_S = 20.0


class DemoBbb(ApiServer, Meetings):
    """The server, as an asynchronous context manager that listens while it is open."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        secret: str | None = None,
        members: Members = lambda voice_bridge: (),
        rooms: Iterable[DemoRoom] | None = None,
        later_opens_after_s: float = LATER_OPENS_AFTER_S,
        has_webhooks: bool = True,
        hook_algorithm: Checksum = "sha1",
        permanent_hooks: Sequence[str] = (),
        welcome_footer: str = "",
    ) -> None:
        """`has_webhooks`: whether bbb-webhooks is installed. `hook_algorithm` is its checksum.
        `welcome_footer` is `defaultWelcomeMessageFooter`.
        """
        ApiServer.__init__(self, host=host, port=port, secret=secret)
        self.webhooks = Webhooks(
            self.secret, algorithm=hook_algorithm, permanent_urls=permanent_hooks
        )
        """Who is told what happens, and how that fails."""
        self._has_webhooks = has_webhooks
        self._welcome_footer = welcome_footer
        self._members = members
        self._later_opens_after_s = later_opens_after_s
        self._openings: dict[str, asyncio.TimerHandle] = {}
        Meetings.__init__(self, demo_rooms() if rooms is None else rooms, self.webhooks.emit)

    async def __aenter__(self) -> Self:
        await self.webhooks.__aenter__()
        return await super().__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for opening in self._openings.values():
            opening.cancel()
        await super().__aexit__(kind, error, trace)
        await self.webhooks.__aexit__(kind, error, trace)

    def caller_waits(self, meeting_id: str) -> None:
        """A caller waits for this meeting: it opens some seconds after the first one does.

        One that is not known, or over, is then created as front ends do it: with any PIN.
        """
        room = self._rooms.get(meeting_id)
        if (room and room.running) or meeting_id in self._openings:
            return
        self._openings[meeting_id] = asyncio.get_running_loop().call_later(
            self._later_opens_after_s, self._begin, meeting_id
        )

    def _begin(self, meeting_id: str) -> None:
        del self._openings[meeting_id]
        room = self._rooms.get(meeting_id)
        if room is None or room.is_ended:
            name = room.name if room else meeting_id.title()
            self.add_room(DemoRoom(meeting_id, name, free_voice_bridge(self.voice_bridges())))
        self.open_room(meeting_id)

    def listed_meetings(self) -> list[tuple[DemoRoom, Sequence[Member]]]:
        """All meetings with their phone callers, as getMeetings has them."""
        rooms = () if self.fault is Fault.NO_MEETINGS else self._rooms.values()
        return [(room, self.callers_of(room)) for room in rooms]

    def callers_of(self, room: DemoRoom) -> Sequence[Member]:
        """The phone callers in a meeting."""
        return () if room.is_ended else self._members(room.voice_bridge)

    def perform(self, call: str, query: Mapping[str, str]) -> bytes:
        """The answer to one call whose checksum is right."""
        meeting_id = query.get("meetingID", "")
        room = self._rooms.get(meeting_id)
        match call:
            case "getMeetings":
                every = self.listed_meetings()
                return listed([("meeting", meeting(room, callers)) for room, callers in every])
            case "create" | "isMeetingRunning" | "getMeetingInfo" | "end" if not meeting_id:
                return failed("missingParamMeetingID", "You must specify a meeting ID.")
            case "create":
                return self._create(meeting_id, query)
            case "isMeetingRunning":
                return running(room is not None and room.running)
            case "getMeetingInfo" | "end" if room is None:
                return failed("notFound", "We could not find a meeting with that meeting ID.")
            case "getMeetingInfo" if room:
                return answer(SUCCESS, *meeting(room, self.callers_of(room)))
            case "end":
                self.end_room(meeting_id)
                message = "A request to end the meeting was sent."
                return answer(
                    SUCCESS, ("messageKey", "sentEndMeetingRequest"), ("message", message)
                )
            case _ if call.startswith("hooks/") and self._has_webhooks:
                return self.webhooks.perform(call, query)
            case _:
                return failed("unsupportedRequest", "This request is not supported.")

    def _create(self, meeting_id: str, query: Mapping[str, str]) -> bytes:
        room = self._rooms.get(meeting_id)
        if room is not None and not room.is_ended:
            return created(room, is_repeat=True)
        taken = self.voice_bridges()
        voice_bridge = query.get("voiceBridge") or free_voice_bridge(taken)
        if voice_bridge in taken:
            return failed("nonUniqueVoiceBridge", "The voice bridge is already in use.")
        room = DemoRoom(
            meeting_id,
            query.get("name", ""),
            voice_bridge,
            recording=query.get("record", "").lower() == "true",
            audio_bridge=query.get("audioBridge", "bbb-webrtc-sfu"),
            metadata={
                name.removeprefix("meta_"): value
                for name, value in query.items()
                if name.startswith("meta_")
            },
        )
        room.dial_number = query.get("dialNumber") or room.dial_number
        room.welcome_template = query.get("welcome", "") + self._welcome_footer
        return created(self.add_room(room), is_repeat=False)
