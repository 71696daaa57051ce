# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller does in a room, and what hosts do to them: microphone, hand, volume, consent.

Each change is made where it has to be true (the media, BBB's list, the registry) and told to the
caller: by a tone at once and, the first time in a call, in words. Which keys ask for it is `ivr`'s
affair; going to other rooms is left to `visit`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import NoReturn

from dialin.announcer import Announcer
from dialin.bbb_voice import ConferenceLeg
from dialin.events import NO_CONSENT, CallError
from dialin.house import House
from dialin.ivr import Command
from dialin.media.engine import MediaRefused
from dialin.room_events import RoomEvent
from dialin.rooms import Room
from dialin.sounds import PromptId, how_many
from dialin.visitor import Visitor
from dialin.wire.bbbhooks import HookKind

VOLUME_STEP_DB = 3
MOST_VOLUME_DB = 12
"""Twice as loud to most ears; more would clip speech."""
SETTLE_S = 1.0
"""FreeSWITCH knows a member that its keys can mute so long after it took the call."""
YES, NO = "1", "2"
"""The keys that answer whether one may be recorded."""


class Presence:
    """One caller in one room."""

    def __init__(self, room: Room, visitor: Visitor, announcer: Announcer, house: House) -> None:
        self._room = room
        self._visitor = visitor
        self._record = visitor.record
        self._mute = visitor.mute
        self._announcer = announcer
        self._house = house
        self._seat: ConferenceLeg | None = None
        self._has_hand_up = False
        self._asks_consent = asyncio.Event()
        self._was_muted_before = False

    # Taking a seat and leaving it

    async def sit_down(self, seat: ConferenceLeg, room: Room) -> None:
        """A seat is had, and the room hears nothing yet: not more than it should from now on."""
        self._seat, self._room = seat, room
        self._mute.sits_down()
        if self._needs_consent(room.is_recorded):
            self._shut_until_consent()
        await self._visitor.leg.media.mute(self._mute.is_muted)

    async def settle(self) -> None:
        """Let BBB know of a microphone that is shut, as soon as it can."""
        await asyncio.sleep(SETTLE_S)
        if self._mute.is_muted and not self._mute.is_held_by_bbb:
            await self._turn_microphone(muted=True)

    def get_up(self) -> None:
        """The seat is lost, or given back."""
        self._seat = None

    # What the caller asks for

    async def obey(self, command: Command) -> None:
        """Do what the caller's keys ask for."""
        match command:
            case Command.MICROPHONE:
                await self._toggle_microphone()
            case Command.HAND if self._seat:
                self._toggle_hand()
            case Command.HEAD_COUNT if self._seat:
                await self._count_heads()
            case Command.HELP:
                self._announcer.announce(PromptId.HELP)
            case Command.QUIETER:
                await self._turn_volume(-VOLUME_STEP_DB)
            case Command.LOUDER:
                await self._turn_volume(VOLUME_STEP_DB)
            case _:
                self._announcer.announce(PromptId.REFUSED_TONE)

    async def _toggle_microphone(self) -> None:
        muted = not self._mute.is_muted
        if self.awaits_consent:
            self._announcer.announce(PromptId.ASK_CONSENT)
        elif not muted and self._mute.is_held_by_bbb and not self._tells_bbb:
            self._confirm(PromptId.REFUSED_TONE, PromptId.NOT_POSSIBLE)
        else:
            tone = PromptId.MUTED_TONE if muted else PromptId.UNMUTED_TONE
            self._confirm(tone, PromptId.MUTED if muted else PromptId.UNMUTED)
            await self._turn_microphone(muted=muted)

    def _toggle_hand(self) -> None:
        self._has_hand_up = not self._has_hand_up
        self._record.raises_hand(self._has_hand_up)
        if self._has_hand_up:
            self._confirm(PromptId.HAND_UP_TONE, PromptId.HAND_UP)
        else:
            self._confirm(PromptId.HAND_DOWN_TONE, PromptId.HAND_DOWN)

    async def _count_heads(self) -> None:
        rooms = self._house.rooms
        await rooms.look_again()
        room = rooms.current(self._room) or self._room
        self._announcer.announce(*how_many(room.voice_participants))

    async def _turn_volume(self, by_db: int) -> None:
        volume_db = self._visitor.volume_db + by_db
        try:
            if abs(volume_db) > MOST_VOLUME_DB:
                self._announcer.announce(PromptId.REFUSED_TONE)
                return
            await self._visitor.leg.media.set_volume(volume_db)
        except MediaRefused:  # a codec that cannot be scaled; a leg that is lost says so itself
            self._confirm(PromptId.REFUSED_TONE, PromptId.NOT_POSSIBLE)
        else:
            self._visitor.volume_db = volume_db
            self._announcer.announce(PromptId.DONE_TONE)

    # What hosts and operators ask for

    async def host_mutes(self, *, muted: bool) -> None:
        """Mute or unmute, for a host."""
        if muted is not self._mute.is_muted and not self.awaits_consent:
            self._tell_who_did_it(muted=muted)
            await self._turn_microphone(muted=muted)

    def lower_hand(self) -> None:
        """Lower the hand, for a host."""
        if self._has_hand_up:
            self._has_hand_up = False
            self._record.raises_hand(False)
            self._announcer.announce(PromptId.HAND_LOWERED_BY_HOST)

    async def heed(self, event: RoomEvent) -> None:
        """Follow what BBB tells of the caller, or of the whole meeting."""
        match event.kind:
            case HookKind.USER_MUTED:
                await self._bbb_has_turned(muted=True)
            case HookKind.USER_UNMUTED:
                await self._bbb_has_turned(muted=False)
            case HookKind.HAND_LOWERED:
                self.lower_hand()
            case HookKind.RECORDING_STARTED:
                self._announcer.announce(PromptId.RECORDING_BEGUN)
                if self._needs_consent(True):
                    self._shut_until_consent()
                    await self._turn_microphone(muted=True)
            case _:
                pass

    async def _bbb_has_turned(self, *, muted: bool) -> None:
        if not self._mute.is_told(muted, self._now()):
            return
        if self.awaits_consent:
            await self._turn_microphone(muted=True)
            return
        self._record.is_muted(muted)
        await self._visitor.leg.media.mute(muted)
        self._tell_who_did_it(muted=muted)

    # Recording

    @property
    def awaits_consent(self) -> bool:
        """Whether the microphone is shut until the caller agrees to be recorded."""
        return self._asks_consent.is_set()

    async def keep_asking(self) -> NoReturn:
        """Ask whether the caller may be recorded, as long as that is open; until cancelled."""
        while True:
            await self._asks_consent.wait()
            self._announcer.add(PromptId.ASK_CONSENT)
            await asyncio.sleep(self._house.policy.remind_every_s)

    async def answer(self, key: str) -> None:
        """The caller has pressed a key while asked. Raises CallError for a no."""
        if key not in (YES, NO):
            return
        meeting_id, agrees = self._room.meeting_id, key == YES
        self._asks_consent.clear()
        keep = self._house.consents.record_consent
        await keep(self._record.id, meeting_id, agrees, datetime.now(UTC))
        if not agrees:
            raise CallError(NO_CONSENT)
        self._visitor.agreed_to.add(meeting_id)
        self._announcer.announce(PromptId.CONSENT_GIVEN)
        if not self._was_muted_before:
            await self._turn_microphone(muted=False)

    def _needs_consent(self, is_recorded: bool) -> bool:
        has_agreed = self._room.meeting_id in self._visitor.agreed_to
        return is_recorded and self._house.policy.requires_consent and not has_agreed

    def _shut_until_consent(self) -> None:
        if not self.awaits_consent:
            self._was_muted_before = self._mute.is_muted
            self._asks_consent.set()
        self._mute.turn(True, self._now(), tells_bbb=False)
        self._record.is_muted(True)

    # How it is done

    @property
    def _tells_bbb(self) -> bool:
        return self._seat is not None and self._seat.can_mute_in_bbb

    async def _turn_microphone(self, *, muted: bool) -> None:
        """At once from here, and then in BBB's list too."""
        self._mute.turn(muted, self._now(), tells_bbb=self._tells_bbb)
        self._record.is_muted(muted)
        if self._seat:
            await (self._seat.mute() if muted else self._seat.unmute())

    def _tell_who_did_it(self, *, muted: bool) -> None:
        self._announcer.announce(PromptId.MUTED_BY_HOST if muted else PromptId.UNMUTED_BY_HOST)

    def _confirm(self, tone: PromptId, words: PromptId) -> None:
        """A tone, and words the first time in a call."""
        heard = self._visitor.has_heard
        self._announcer.announce(tone, *({words} - heard))
        heard.add(words)

    def _now(self) -> float:
        return self._visitor.line.now()
