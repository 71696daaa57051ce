# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a BigBlueButton server's HTTP API, so that the demo and the tests need none.

Takes the documented calls, verifies checksums as BBB does, and can be told to fail, by name.
Phone callers are among its attendees because it asks the voice conference who is in it; that
conference is `demo.conference`, which this file does not know. The XML is left to
`demo.bbb_answers`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from types import TracebackType
from typing import TypeAlias

from aiohttp import web

from dialin.demo.bbb_answers import (
    SUCCESS,
    DemoRoom,
    Member,
    answer,
    created,
    failed,
    listed,
    meeting,
    now_ms,
    running,
)
from dialin.wire.bbbxml import CHECKSUMS, Checksum, sign

Members: TypeAlias = Callable[[str], Sequence[Member]]
"""Who is in the voice conference with this number."""

LATER_OPENS_AFTER_S = 20.0
SLOW_S = 4.0
"""What the slow fault takes: less than the client's limit, more than a caller waits."""

_CHECKSUM_BY_LENGTH: Mapping[int, Checksum] = {
    2 * hashlib.new(name, usedforsecurity=False).digest_size: name for name in CHECKSUMS
}


class Fault(StrEnum):
    """The ways in which the server can be told to fail."""

    HTTP_500 = "http-500"
    HTML = "html"
    EMPTY = "empty"
    SILENT = "silent"
    SLOW = "slow"
    TRUNCATED = "truncated"
    REDIRECT = "redirect"
    DOCTYPE = "doctype"
    WRONG_CHECKSUM = "wrong-checksum"
    NO_MEETINGS = "no-meetings"


def demo_rooms() -> list[DemoRoom]:
    """The rooms of the demo: one that runs, its breakout room, and one that opens later."""
    demo = DemoRoom("demo", "Demo room", "123456789", running=True)
    breakout = DemoRoom("breakout", "Demo room (Room 1)", "1234567891", running=True, parent=demo)
    return [demo, breakout, DemoRoom("later", "Later", "555666777")]


class DemoBbb:
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
    ) -> None:
        self.secret = secret or secrets.token_hex(20)
        """The shared secret, for the client's settings."""
        self.url = ""
        """Where the API is, as `bbb-conf --secret` would print it; known once it listens."""
        self.fault: Fault | None = None
        """How every call fails from now on; None for not at all."""
        self.slow_s = SLOW_S
        """How long an answer takes under the slow fault."""
        self.calls: Counter[str] = Counter()
        """How often each call was made."""
        self._host, self._port = host, port
        self._members = members
        self._later_opens_after_s = later_opens_after_s
        self._rooms: dict[str, DemoRoom] = {}
        for room in demo_rooms() if rooms is None else rooms:
            self._add(room)
        self._openings: dict[str, asyncio.TimerHandle] = {}
        app = web.Application()
        app.router.add_route("*", "/bigbluebutton/api", self._version)
        app.router.add_route("*", "/bigbluebutton/api/{call}", self._serve)
        # No access log: it would hold signed queries.
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )

    async def __aenter__(self) -> DemoBbb:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/bigbluebutton/"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for opening in self._openings.values():
            opening.cancel()
        await self._runner.cleanup()

    def open_room(self, meeting_id: str) -> None:
        """Somebody joins the meeting by web: it runs."""
        room = self._rooms[meeting_id]
        room.running, room.start_time = True, now_ms()

    def end_room(self, meeting_id: str) -> None:
        """The meeting is over; it stays in the list, as ended."""
        room = self._rooms[meeting_id]
        room.running, room.is_ended = False, True

    def caller_waits(self, meeting_id: str) -> None:
        """A caller waits for this meeting: it opens some seconds after the first one does."""
        if self._rooms[meeting_id].running or meeting_id in self._openings:
            return
        self._openings[meeting_id] = asyncio.get_running_loop().call_later(
            self._later_opens_after_s, self.open_room, meeting_id
        )

    def _add(self, room: DemoRoom) -> None:
        room.create_time = now_ms()
        room.start_time = room.create_time if room.running else 0
        self._rooms[room.meeting_id] = room

    async def _version(self, _: web.Request) -> web.Response:
        return _xml(answer(SUCCESS, ("version", "2.0"), ("apiVersion", "2.0")))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = request.match_info["call"]
        self.calls[call] += 1
        if self.fault is Fault.SILENT:
            await asyncio.Event().wait()
        if self.fault is Fault.SLOW:
            await asyncio.sleep(self.slow_s)
        if self.fault in _CANNED:
            return _CANNED[self.fault]()
        if self.fault is Fault.WRONG_CHECKSUM or not self._is_signed(call, request):
            return _xml(failed("checksumError", "Checksums do not match"))
        body = self._perform(call, request.query)
        if self.fault is Fault.TRUNCATED:
            return await _cut_short(request, body)
        return _xml(body)

    def _is_signed(self, call: str, request: web.Request) -> bool:
        """The checksum is over the query as it was sent, less the checksum, wherever it stands."""
        parts = request.rel_url.raw_query_string.split("&")
        given = [part.partition("=")[2] for part in parts if part.startswith("checksum=")]
        algorithm = _CHECKSUM_BY_LENGTH.get(len(given[0])) if len(given) == 1 else None
        if algorithm is None:
            return False
        query = "&".join(part for part in parts if not part.startswith("checksum="))
        expected = sign(call, query, self.secret, algorithm)
        return hmac.compare_digest(given[0].encode(), expected.encode())

    def _perform(self, call: str, query: Mapping[str, str]) -> bytes:
        meeting_id = query.get("meetingID", "")
        room = self._rooms.get(meeting_id)
        match call:
            case "getMeetings":
                return self._get_meetings()
            case "create" | "isMeetingRunning" | "getMeetingInfo" | "end" if not meeting_id:
                return failed("missingParamMeetingID", "You must specify a meeting ID.")
            case "create":
                return self._create(meeting_id, query)
            case "isMeetingRunning":
                return running(room is not None and room.running)
            case "getMeetingInfo" | "end" if room is None:
                return failed("notFound", "We could not find a meeting with that meeting ID.")
            case "getMeetingInfo" if room:
                return answer(SUCCESS, *meeting(room, self._callers(room)))
            case "end":
                self.end_room(meeting_id)
                message = "A request to end the meeting was sent."
                return answer(
                    SUCCESS, ("messageKey", "sentEndMeetingRequest"), ("message", message)
                )
            case _:
                return failed("unsupportedRequest", "This request is not supported.")

    def _get_meetings(self) -> bytes:
        rooms = () if self.fault is Fault.NO_MEETINGS else self._rooms.values()
        return listed([("meeting", meeting(room, self._callers(room))) for room in rooms])

    def _create(self, meeting_id: str, query: Mapping[str, str]) -> bytes:
        room = self._rooms.get(meeting_id)
        if room is not None and not room.is_ended:
            return created(room, is_repeat=True)
        taken = {other.voice_bridge for other in self._rooms.values() if not other.is_ended}
        voice_bridge = query.get("voiceBridge") or _free_voice_bridge(taken)
        if voice_bridge in taken:
            return failed("nonUniqueVoiceBridge", "The voice bridge is already in use.")
        room = DemoRoom(meeting_id, query.get("name", ""), voice_bridge)
        room.dial_number = query.get("dialNumber", room.dial_number)
        self._add(room)
        return created(room, is_repeat=False)

    def _callers(self, room: DemoRoom) -> Sequence[Member]:
        return () if room.is_ended else self._members(room.voice_bridge)


def _free_voice_bridge(taken: set[str]) -> str:
    """Five random digits, leading zeros and all (`defaultNumDigitsForTelVoice`); 99999 is BBB's."""
    every = (f"{number:05d}" for number in range(99_999))
    return secrets.choice([one for one in every if one not in taken])


def _xml(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="text/xml", charset="utf-8")


async def _cut_short(request: web.Request, body: bytes) -> web.StreamResponse:
    """Announces the whole body, sends half of it, and hangs up."""
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    response.force_close()
    return response


_CANNED: Mapping[Fault | None, Callable[[], web.Response]] = {
    Fault.HTTP_500: lambda: web.Response(status=500, text="Internal Server Error"),
    Fault.HTML: lambda: web.Response(
        text="<!DOCTYPE html><html><body>Welcome to nginx!</body></html>", content_type="text/html"
    ),
    Fault.EMPTY: web.Response,
    Fault.REDIRECT: lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
    Fault.DOCTYPE: lambda: _xml(b"<!DOCTYPE r [<!ENTITY a 'b'>]><response>&a;</response>"),
}
