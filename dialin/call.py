# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of one call, top to bottom.

A caller is answered, asked for a PIN, led into the room and kept there until somebody hangs up.
`Call.run` is that story; each step is a method below it, in order. A step that cannot go on raises
CallError with the EndReason; whoever hangs up meanwhile ends the story the same way. However it
ends, both legs go down, the ports are freed, and there is one log line and one count.

Protocol, media, sounds, PINs and rooms are the business of the modules this one imports.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from dialin.bbb_voice import BbbVoice, ConferenceLeg
from dialin.caller import RoomLabels
from dialin.errors import PeerError
from dialin.events import (
    AMBIGUOUS_PIN,
    BAD_OFFER,
    BUSY,
    CANCELLED,
    CONFERENCE_LOST,
    CONFERENCE_MEDIA_LOST,
    CONFERENCE_REFUSED,
    CONFERENCE_UNREACHABLE,
    DIRECTORY_DOWN,
    HUNG_UP_EARLY,
    INTERNAL_ERROR,
    LEFT_ROOM,
    MEDIA_LOST,
    MEDIA_WORKER_LOST,
    MEETING_ENDED,
    NO_ACK,
    NO_COMMON_CODEC,
    NO_COMMON_ENCRYPTION,
    NO_PIN,
    SESSION_EXPIRED,
    STOPPED,
    TRUNK_LOST,
    WAITED_TOO_LONG,
    WRONG_PIN,
    CallError,
    Codec,
    EndReason,
)
from dialin.ivr import Entered, GoBack, HideDigits, NothingKeyed, PinRules
from dialin.line import Line
from dialin.media.engine import (
    LEG_FAILED,
    WORKER_LOST,
    LegStatistics,
    MediaEngine,
    MediaLeg,
    MediaRefused,
    NoMediaPort,
)
from dialin.negotiation import Negotiation, Terms
from dialin.pin import (
    Ambiguous,
    Attempts,
    DirectoryDown,
    Found,
    Outcome,
    PinDesk,
    TooManyGuesses,
    UnknownPin,
)
from dialin.race import any_done, first_fault
from dialin.registry import CallRecord, CallState
from dialin.rooms import Room, Rooms
from dialin.sip import IncomingLeg, LegEnd, LegGone
from dialin.sounds import PromptId, Prompts
from dialin.trunk import Dialled
from dialin.wire import sdp
from dialin.wire.encryption import ALL_SUITES, Encryption
from dialin.wire.sdes import Suite

log = logging.getLogger(__name__)

FAREWELLS: dict[EndReason, tuple[PromptId, ...]] = {
    WRONG_PIN: (PromptId.TOO_MANY_TRIES, PromptId.GOODBYE),
    NO_PIN: (PromptId.GOODBYE,),
    AMBIGUOUS_PIN: (PromptId.AMBIGUOUS, PromptId.GOODBYE),
    DIRECTORY_DOWN: (PromptId.GOODBYE,),  # they have just been told why
    WAITED_TOO_LONG: (PromptId.WAITED_TOO_LONG, PromptId.GOODBYE),
    CONFERENCE_UNREACHABLE: (PromptId.UNREACHABLE, PromptId.GOODBYE),
    CONFERENCE_REFUSED: (PromptId.UNREACHABLE, PromptId.GOODBYE),
    CONFERENCE_LOST: (PromptId.UNREACHABLE, PromptId.GOODBYE),
    CONFERENCE_MEDIA_LOST: (PromptId.UNREACHABLE, PromptId.GOODBYE),
    MEETING_ENDED: (PromptId.MEETING_ENDED, PromptId.GOODBYE),
    BUSY: (PromptId.SERVICE_BUSY, PromptId.GOODBYE),
}
"""What a caller who is still there hears before we hang up."""

REFUSALS: dict[type[PeerError], tuple[int, EndReason, str]] = {
    sdp.NoCommonCodec: (488, NO_COMMON_CODEC, "no codec in common"),
    sdp.EncryptionIsOff: (488, NO_COMMON_ENCRYPTION, "encrypted audio is switched off here"),
    sdp.EncryptionUnusable: (488, NO_COMMON_ENCRYPTION, "SRTP by no key and suite known here"),
    sdp.EncryptionRequired: (488, NO_COMMON_ENCRYPTION, "audio must be encrypted: offer SRTP"),
    sdp.MalformedSdp: (400, BAD_OFFER, "the session description cannot be read"),
    PeerError: (488, BAD_OFFER, "the session description cannot be used"),
}
"""What a caller's side is told about SDP that leads to no call; the first that fits counts."""

WORDS: dict[type[Outcome], str] = {
    Found: "found",
    UnknownPin: "unknown",
    Ambiguous: "ambiguous",
    DirectoryDown: "directory-down",
    TooManyGuesses: "too-many-guesses",
}
"""What the metrics call each outcome of looking a PIN up."""

RETRY_AFTER_S = (5, 30)
"""What a refused call is asked to wait; spread, so that they do not all come back at once."""
FAREWELL_WITHIN_S = 20.0
MEASURE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How calls are treated, from the settings."""

    codecs: tuple[Codec, ...]
    """Codecs offered to callers, best first."""
    pin_rules: PinRules
    """How a PIN is keyed."""
    pin_tries: int
    """Wrong PINs a call may have."""
    wait_for_room_s: float
    """How long a caller may wait for a meeting that has not begun."""
    wait_for_directory_s: float
    """How long a caller with a PIN is kept while BBB's API does not answer."""
    remind_every_s: float
    """Pause between two spoken states while waiting."""
    hide_digits: bool = False
    """Whether labels show no digits at all."""
    advertised_host: str | None = None
    """The address trunks reach us at, where it is not the one we bind (NAT)."""
    suites: tuple[Suite, ...] = ALL_SUITES
    """What the media plane can encrypt with, best first."""


class Tally(Protocol):
    """Who counts what happens in calls. Nothing about a person."""

    def pin_keyed(self, result: str) -> None:
        """A PIN was looked up; `result` is kebab-case."""

    def leg_ended(self, leg: str, figures: LegStatistics) -> None:
        """A leg, `trunk` or `bbb`, ended with these figures."""


@dataclass(frozen=True, slots=True)
class House:
    """What every call works with; built once by `app`."""

    media: MediaEngine
    prompts: Prompts
    pins: PinDesk
    rooms: Rooms
    voice: BbbVoice
    labels: RoomLabels
    pseudonym_key: bytes
    """Keys the pseudonyms; lives in memory only."""
    policy: CallPolicy
    tally: Tally


class Call:
    """One call."""

    def __init__(
        self,
        leg: IncomingLeg,
        dialled: Dialled,
        record: CallRecord,
        house: House,
        *,
        media_networks: Sequence[str],
        encryption: Encryption,
    ) -> None:
        self._leg = leg
        self._dialled = dialled
        self._record = record
        self._house = house
        self._policy = house.policy
        self._guesser = house.pins.guesser(record.snapshot().trunk, dialled.caller)
        self._media_networks = tuple(media_networks) or (leg.flow.host,)
        self._encryption = encryption
        self._hides_digits = house.policy.hide_digits
        self._undo = AsyncExitStack()
        self._media: MediaLeg
        self._audio: Negotiation
        self._line: Line
        self._codec: Codec

    async def run(self) -> None:
        """From the INVITE to the last BYE."""
        async with self._undo:
            try:
                async with asyncio.TaskGroup() as tasks:
                    await self._answer()
                    tasks.create_task(self._until_the_caller_leaves())
                    tasks.create_task(self._follow())
                    tasks.create_task(self._measure())
                    room = await self._opened(await self._find_room())
                    async with self._seat_in(room) as seat:
                        await self._stay(seat)
            except* CallError as ended:
                self._record.reason = first_fault(ended).reason
            except* NoMediaPort:
                self._record.reason = BUSY
            except* MediaRefused as refused:
                self._record.reason = reason_for_silence(first_fault(refused).cause, MEDIA_LOST)
            except* Exception as fault:
                self._record.reason = INTERNAL_ERROR
                log.exception("a call failed", exc_info=fault)
                send_elsewhere(self._leg)  # where it is not answered yet
            was_answered = self._record.state is not CallState.GREETING
            self._record.is_now(CallState.ENDING)
            if was_answered:
                await self._take_leave()

    async def _answer(self) -> None:
        """Agree on media, send the 200, wait for the ACK; no RTP leaves before it."""
        self._undo.callback(self._leg.hang_up)
        try:
            self._media = await self._house.media.open(
                host=self._leg.local_host, allowed=self._media_networks
            )
        except NoMediaPort:
            send_elsewhere(self._leg)
            raise
        self._undo.push_async_callback(self._close_media)
        policy = self._policy
        terms = Terms(policy.codecs, self._encryption, policy.suites, in_band_digits=True)
        host = self._leg.local_host
        if self._leg.flow.host != host:  # a caller on this very machine has no NAT before it
            host = policy.advertised_host or host
        self._audio = Negotiation(self._media, host, terms)
        remote = await self._agree()
        self._show(remote)
        self._codec = remote.codec
        self._line = Line(
            self._media,
            self._house.prompts,
            language=self._dialled.language or self._house.prompts.languages[0],
            codec=remote.codec,
        )
        self._leg.on_info_digit = self._line.pressed
        await self._media.start()

    async def _close_media(self) -> None:
        self._house.tally.leg_ended("trunk", await self._media.statistics())
        await self._media.close()

    async def _agree(self) -> sdp.RemoteMedia:
        """Offer and answer, and with them the ACK."""
        try:
            return await self._audio.take_call(self._leg)
        except LegGone as gone:
            raise CallError(self._reason_for(gone.end)) from gone
        except PeerError as unusable:
            status, reason, warning = next(
                refusal for kind, refusal in REFUSALS.items() if isinstance(unusable, kind)
            )
            log.warning("offer refused with %d: %s", status, warning)
            self._leg.reject(status, warning=warning)
            raise CallError(reason) from unusable

    def _show(self, remote: sdp.RemoteMedia) -> None:
        self._record.speaks(remote.codec.value, encrypted=remote.srtp is not None)

    async def _find_room(self) -> Room:
        """Ask for the PIN until it names a room or the tries are used up."""
        self._record.is_now(CallState.PIN)
        attempts = Attempts(self._policy.pin_tries)
        silences = 0
        prompts: tuple[PromptId, ...] = (PromptId.WELCOME, PromptId.ENTER_PIN)
        while True:
            match await self._line.ask_pin(self._policy.pin_rules, *prompts):
                case NothingKeyed():
                    silences += 1
                    if silences >= self._policy.pin_tries:
                        raise CallError(NO_PIN)
                    prompts = (PromptId.NO_DIGITS, PromptId.ENTER_PIN)
                case Entered(pin):
                    if room := await self._room_for(pin, attempts):
                        return room
                    prompts = (PromptId.NOT_FOUND, PromptId.TRY_AGAIN)
                case HideDigits():
                    self._hides_digits = True
                    self._record.hides_digits()
                    prompts = (PromptId.DIGITS_HIDDEN, PromptId.ENTER_PIN)
                case GoBack():
                    prompts = (PromptId.ENTER_PIN,)

    async def _room_for(self, pin: str, attempts: Attempts) -> Room | None:
        """The room a PIN names, or None when the caller may try another.

        A BBB server that does not answer is not the caller's fault: no try is used up, and the PIN
        need not be keyed again.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._policy.wait_for_directory_s
        while True:
            outcome = await self._house.pins.find(pin, attempts, self._guesser)
            self._house.tally.pin_keyed(WORDS[type(outcome)])
            match outcome:
                case Found(room):
                    return room
                case UnknownPin():
                    return None
                case Ambiguous():
                    raise CallError(AMBIGUOUS_PIN)
                case TooManyGuesses():
                    raise CallError(WRONG_PIN)
                case DirectoryDown():
                    await self._line.say(PromptId.UNREACHABLE)
            if loop.time() >= give_up_at:
                raise CallError(DIRECTORY_DOWN)

    async def _opened(self, room: Room) -> Room:
        """The room once its meeting runs; until then the caller is told, waits, and is kept."""
        if room.running:
            return room
        self._record.enters(room=room.meeting_id, server=room.server, label=None)
        self._record.is_now(CallState.WAITING)
        try:
            async with asyncio.timeout(self._policy.wait_for_room_s), asyncio.TaskGroup() as tasks:
                reminder = tasks.create_task(self._remind())
                room = await self._house.rooms.opened(room)
                reminder.cancel()
        except TimeoutError as timeout:
            raise CallError(WAITED_TOO_LONG) from timeout
        return room

    async def _remind(self) -> None:
        prompt = PromptId.NOT_BEGUN
        while True:
            await self._line.say(prompt)
            await asyncio.sleep(self._policy.remind_every_s)
            prompt = PromptId.STILL_WAITING

    @asynccontextmanager
    async def _seat_in(self, room: Room) -> AsyncIterator[ConferenceLeg]:
        """A seat under the masked name, while the block runs; the caller hears of it."""
        self._record.is_now(CallState.JOINING)
        caller, labels = self._dialled.caller, self._house.labels
        label = labels.claim(room.key, caller, hide_digits=self._hides_digits)
        self._undo.callback(labels.release, room.key, label)
        self._record.enters(room=room.meeting_id, server=room.server, label=label)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._line.say(PromptId.JOINING))
            seat = await self._house.voice.join(
                room,
                label=label,
                pseudonym=caller.pseudonym(self._house.pseudonym_key, room.meeting_id),
                codec=self._codec,
                beside=self._media,
            )
            self._undo.push_async_callback(seat.leave)
        try:
            if room.is_empty:
                await self._line.say(PromptId.ALONE)
            yield seat
        finally:
            self._house.tally.leg_ended("bbb", await seat.media.statistics())
            await seat.leave()

    async def _stay(self, seat: ConferenceLeg) -> None:
        """Join the two legs' audio until the conference ends its leg."""
        await self._audio.ignore_tones()
        await self._house.media.bridge(self._media, seat.media)
        self._record.is_now(CallState.IN_ROOM)
        self._house.pins.got_in(self._guesser)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(seat.follow())
            await any_done(seat.ended, seat.media.lost)
            following.cancel()
        if seat.media.lost.done():
            raise CallError(reason_for_silence(seat.media.lost.result(), CONFERENCE_MEDIA_LOST))
        is_bye = seat.ended.result().by == "peer"
        raise CallError(MEETING_ENDED if is_bye else CONFERENCE_LOST)

    async def _until_the_caller_leaves(self) -> None:
        """Runs beside the story and ends it when the trunk leg is gone."""
        ended, lost = self._leg.ended, self._media.lost
        await any_done(ended, lost)
        if ended.done():
            raise CallError(self._reason_for(ended.result()))
        raise CallError(reason_for_silence(lost.result(), MEDIA_LOST))

    async def _follow(self) -> None:
        """Runs beside the story: what the caller's side changes in mid-call reaches the media."""
        try:
            while True:
                self._show(await self._audio.changed())
        except PeerError as unusable:
            raise CallError(BAD_OFFER) from unusable

    async def _measure(self) -> None:
        """Runs beside the story and keeps the figures that operators see."""
        while True:
            await asyncio.sleep(MEASURE_EVERY_S)
            figures = await self._media.statistics()
            self._record.measured(
                packets_lost=figures.packets_lost, jitter_ms=round(figures.jitter_ms, 1)
            )

    async def _take_leave(self) -> None:
        """Tell a caller who is still there why the call ends."""
        prompts = FAREWELLS.get(self._record.reason)
        if not prompts or self._leg.ended.done():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_WITHIN_S):
                try:
                    async with asyncio.TaskGroup() as tasks:
                        watch = tasks.create_task(self._until_the_caller_leaves())
                        await self._line.say(*prompts)
                        watch.cancel()
                except* (CallError, MediaRefused):
                    pass  # they did not wait to hear it

    def _reason_for(self, end: LegEnd) -> EndReason:
        """The trunk leg's end in the words of the story."""
        in_room = self._record.state is CallState.IN_ROOM
        match end.by, end.cause:
            case "peer", "cancel":
                return CANCELLED
            case "peer", _:
                return LEFT_ROOM if in_room else HUNG_UP_EARLY
            case _, "no-ack":
                return NO_ACK
            case _, "session-expired":
                return SESSION_EXPIRED
            case "us", _:
                return STOPPED
            case _:
                return TRUNK_LOST


def send_elsewhere(leg: IncomingLeg) -> None:
    """Refuse a call that cannot be taken now; the provider may try another way."""
    leg.reject(503, retry_after_s=random.randint(*RETRY_AFTER_S))  # noqa: S311 - only spreads load


def reason_for_silence(cause: str, silent_side: EndReason) -> EndReason:
    """Why a media leg was lost: something of ours failed, or nothing came from that side."""
    return {WORKER_LOST: MEDIA_WORKER_LOST, LEG_FAILED: INTERNAL_ERROR}.get(cause, silent_side)
