# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether each BigBlueButton server answers: its API, its clock, its FreeSWITCH.

Asked by the clients that the service uses, so that what works here works there. Nothing is
changed on a server: only a trial call, on request, takes a seat in a conference for a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp

from dialin.bbb_api import BbbApi, BbbUnavailable, api_address
from dialin.bbb_voice import BbbVoice, VoiceServer, address_of, refusal_for
from dialin.bbb_voice.servers import LIVEKIT
from dialin.check.local import counted
from dialin.check.steps import Finding, Sheet, fail, ok, warn
from dialin.check.ways import Ways
from dialin.errors import OperatorError
from dialin.events import CallError, Codec
from dialin.media.engine import MediaEngine, MediaLeg, NoMediaPort
from dialin.rooms import Room
from dialin.sip import Refused, RequestFailed
from dialin.wire.bbbxml import Meeting
from dialin.wire.flow import Flow
from dialin.wire.sdes import Suite
from dialin.wire.uri import bracketed

CLOCK_MAY_DIFFER_S = 60.0
CLOCK_WITHIN_S = 5.0
OPTIONS_WITHIN_S = 6.0
AUDIO_WITHIN_S = 5.0
LOOK_EVERY_S = 0.1
TRIAL_LABEL = "Test call"
TRIAL_PSEUDONYM = "100000000000001"
"""Nobody's number: pseudonyms of callers are drawn at random."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A call that is really placed."""

    room: str
    """Meeting id or PIN of the test room."""
    media: MediaEngine
    """Where its audio comes from."""
    codec: Codec
    """How it is coded."""
    suites: tuple[Suite, ...] = ()
    """What it can be encrypted with, best first."""


class ServerCheck:
    """The steps for one server."""

    def __init__(
        self,
        api: BbbApi,
        url: str,
        voice: VoiceServer,
        *,
        session: aiohttp.ClientSession,
        ways: Ways,
        trial: Trial | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = f"bbb_servers.{api.name}"
        self._api = api
        self._url = url
        self._voice = voice
        self._session = session
        self._ways = ways
        self._trial = trial
        self._clock = clock
        self._meetings: tuple[Meeting, ...] = ()

    async def run(self, sheet: Sheet) -> None:
        """Take all steps."""
        knows_rooms = await sheet.take(f"{self._name} API", self._api_answers())
        await sheet.take(f"{self._name} clock", self._clock_agrees())
        answers = await sheet.take(f"{self._name} voice", self._voice_answers())
        if self._trial and knows_rooms and answers:
            await sheet.take(f"{self._name} trial call", self._call(self._trial))

    async def _api_answers(self) -> Finding:
        try:
            self._meetings = await self._api.get_meetings()
        except BbbUnavailable as trouble:
            return fail(str(trouble).removesuffix(f" {trouble.remedy}"), trouble.remedy)
        running = sum(meeting.running for meeting in self._meetings)
        return ok(
            f"The secret is right; {counted(len(self._meetings), 'meeting')}, {running} running."
        )

    async def _clock_agrees(self) -> Finding:
        """By the Date of an answer (RFC 9110 §6.6.1), which is exact to a second."""
        no_date = "whether links and certificates are valid depends on clocks that agree."
        try:
            async with (
                asyncio.timeout(CLOCK_WITHIN_S),
                self._session.get(api_address(self._url), allow_redirects=False) as answer,
            ):
                theirs = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
        except (aiohttp.ClientError, TimeoutError):
            return warn("Nobody answers, so its clock is not known.", "Mend the API first.")
        except ValueError:
            return warn(
                f"It does not tell the time, so its clock is not known; {no_date}",
                "Let its web server send a Date header.",
            )
        ahead_s = theirs - self._clock()
        if abs(ahead_s) > CLOCK_MAY_DIFFER_S:
            which = "ahead of" if ahead_s > 0 else "behind"
            return warn(
                f"Its clock is {abs(ahead_s):.0f} s {which} ours.",
                "Let both machines keep time by NTP; `timedatectl` says whether they do.",
            )
        return ok(f"Its clock and ours differ by less than {CLOCK_MAY_DIFFER_S:g} s.")

    async def _voice_answers(self) -> Finding:
        """Any final answer to OPTIONS means that somebody is there (RFC 3261 §11)."""
        is_livekit = self._voice.bridge == LIVEKIT
        voice = self._voice.livekit if is_livekit and self._voice.livekit else self._voice
        whose, settings = ("livekit-sip", "livekit") if is_livekit else ("FreeSWITCH", "voice")
        at = f"{bracketed(voice.host)}:{voice.port} by {voice.transport}"
        try:
            host = await address_of(voice.host, voice.port)
        except CallError:
            return fail(
                f"The name {voice.host} does not resolve.",
                f"Correct {settings}_host, or url where it is not set, or mend the name server.",
            )
        flow = Flow(voice.transport, host, voice.port)
        self._ways.expect(flow, voice.tls)
        uri = f"sip:{bracketed(voice.host)}:{voice.port}"
        try:
            response = await self._ways.sip.request("OPTIONS", uri, flow, within_s=OPTIONS_WITHIN_S)
        except RequestFailed as failure:
            if fault := self._ways.sip.fault(flow):
                return fail(f"{at}: {fault.sentence}", fault.remedy)
            return fail(
                f"{whose} at {at} does not answer: {failure.cause}.",
                f"Check {settings}_host, {settings}_port and {settings}_transport, the firewall "
                "between the two machines, and on the server `sofia status` or livekit-sip.",
            )
        return ok(f"{whose} at {at} answers OPTIONS with {response.status}.")

    async def _call(self, trial: Trial) -> Finding:
        room = next(
            (
                meeting
                for meeting in self._meetings
                if trial.room in (meeting.meeting_id, meeting.voice_bridge)
            ),
            None,
        )
        if room is None:
            return warn("The test room is not on this server.", "Name one that is, or start it.")
        try:
            return await self._seat(trial, self._room(room))
        except CallError as error:
            if isinstance(refused := error.__cause__, Refused):
                refusal = refusal_for(refused.status)
                return fail(refusal.cause, refusal.remedy)
            return fail(
                f"The conference does not take the call: {error.reason.reason}.",
                "Allow this machine's address in FreeSWITCH's dial-in profile, as "
                "config/freeswitch says.",
            )
        except NoMediaPort as error:
            raise OperatorError(
                "There is no free port for the audio of a trial call.",
                "Widen media.rtp_first_port to rtp_last_port.",
            ) from error

    def _room(self, meeting: Meeting) -> Room:
        return Room(
            self._api.name, meeting.meeting_id, meeting.name, meeting.voice_bridge, meeting.running
        )

    async def _seat(self, trial: Trial, room: Room) -> Finding:
        """Take a seat, hear whether anything is sent there, and leave it. Raises CallError."""
        voice = BbbVoice(
            self._ways.sip, trial.media, {room.server: self._voice}, suites=trial.suites
        )
        async with AsyncExitStack() as undo:
            beside = await trial.media.open(host="127.0.0.1", allowed=["127.0.0.1"])
            undo.push_async_callback(beside.close)
            seat = await voice.join(
                room,
                label=TRIAL_LABEL,
                pseudonym=TRIAL_PSEUDONYM,
                codec=trial.codec,
                beside=beside,
            )
            undo.push_async_callback(seat.leave)
            if await _hears(seat.media):
                return ok("It let us in, and its audio comes.")
            return warn(
                f"It let us in, but no audio came within {AUDIO_WITHIN_S:g} s.",
                "Let the firewall pass UDP from the server to media.rtp_first_port to "
                "rtp_last_port; an empty conference may be silent too.",
            )


async def _hears(media: MediaLeg) -> bool:
    """Whether RTP comes; nobody tells when it does."""
    try:
        async with asyncio.timeout(AUDIO_WITHIN_S):
            while not (await media.statistics()).packets_received:  # noqa: ASYNC110 - as above
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        return False
    return True
