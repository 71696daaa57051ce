# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of one call, top to bottom.

A caller is answered, asked for a language and a PIN, and led from room to room until somebody hangs
up. `Call.run` is that story; each step is a method below it, in order. A step that cannot go on
raises CallError with the EndReason; whoever hangs up meanwhile ends the story the same way. However
it ends, both legs go down, the ports are freed, and there is one log line and one count.

One visit to one room is told by `visit`, the caller's own side by `caller_leg`. Protocol, media,
sounds, PINs and rooms are the business of the modules below.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import NoReturn

from dialin.caller_leg import CallerLeg, reason_for_silence, send_elsewhere
from dialin.events import (
    AMBIGUOUS_PIN,
    BUSY,
    CONFERENCE_LOST,
    CONFERENCE_MEDIA_LOST,
    CONFERENCE_REFUSED,
    CONFERENCE_UNREACHABLE,
    DIRECTORY_DOWN,
    ENDED_BY_OPERATOR,
    INTERNAL_ERROR,
    MEDIA_LOST,
    MEETING_ENDED,
    NO_CONSENT,
    NO_PIN,
    REFUSED_BY_HOST,
    REMOVED,
    STOPPED,
    WAITED_TOO_LONG,
    WRONG_PIN,
    CallError,
    EndReason,
)
from dialin.house import House
from dialin.line import Line
from dialin.media.engine import MediaRefused, NoMediaPort
from dialin.pin_prompt import PinPrompt
from dialin.race import first_fault
from dialin.registry import CallRecord, CallState, HangUp
from dialin.rooms import Room
from dialin.sip import IncomingLeg
from dialin.sounds import PromptId
from dialin.trunk import Dialled
from dialin.visit import GoTo, Visit
from dialin.visitor import Visitor
from dialin.wire.encryption import Encryption
from dialin.wire.reason import bye_reason

log = logging.getLogger(__name__)

EARLY_KEYS = 32
"""Kept of those that come by INFO in the same breath as the ACK: one tap dials the PIN, too."""

FAREWELLS: dict[EndReason, tuple[PromptId, ...]] = {
    WRONG_PIN: (PromptId.TOO_MANY_TRIES, PromptId.GOODBYE),
    NO_PIN: (PromptId.GOODBYE,),
    AMBIGUOUS_PIN: (PromptId.AMBIGUOUS, PromptId.GOODBYE),
    DIRECTORY_DOWN: (PromptId.GOODBYE,),  # they have just been told why
    WAITED_TOO_LONG: (PromptId.WAITED_TOO_LONG, PromptId.GOODBYE),
    REFUSED_BY_HOST: (PromptId.REFUSED_BY_HOST, PromptId.GOODBYE),
    NO_CONSENT: (PromptId.GOODBYE,),
    CONFERENCE_UNREACHABLE: (PromptId.UNREACHABLE, PromptId.GOODBYE),
    CONFERENCE_REFUSED: (PromptId.UNREACHABLE, PromptId.GOODBYE),
    CONFERENCE_LOST: (PromptId.UNREACHABLE, PromptId.GOODBYE),
    CONFERENCE_MEDIA_LOST: (PromptId.UNREACHABLE, PromptId.GOODBYE),
    MEETING_ENDED: (PromptId.MEETING_ENDED, PromptId.GOODBYE),
    REMOVED: (PromptId.REMOVED, PromptId.GOODBYE),
    ENDED_BY_OPERATOR: (PromptId.GOODBYE,),
    STOPPED: (PromptId.SERVICE_RESTARTS, PromptId.GOODBYE),
    BUSY: (PromptId.SERVICE_BUSY, PromptId.GOODBYE),
}
"""What a caller who is still there hears before we hang up."""

FAREWELL_WITHIN_S = 20.0


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
        self._dialled = dialled
        self._record = record
        self._house = house
        self._leg = CallerLeg(
            leg, record, house, media_networks=media_networks, encryption=encryption
        )
        self._undo = AsyncExitStack()
        self._visitor: Visitor
        self._prompt: PinPrompt
        self._visit: Visit | None = None

    async def run(self) -> None:
        """From the INVITE to the last BYE."""
        async with self._undo:
            try:
                async with asyncio.TaskGroup() as tasks:
                    await self._answer()
                    tasks.create_task(self._leg.until_gone())
                    tasks.create_task(self._leg.follow())
                    tasks.create_task(self._leg.measure())
                    tasks.create_task(self._obey())
                    await self._choose_language()
                    aim = GoTo(await self._find_room())
                    while True:
                        aim = await self._lead_to(aim)
            except* CallError as ended:
                self._record.reason = first_fault(ended).reason
            except* NoMediaPort:
                self._record.reason = BUSY
            except* MediaRefused as refused:
                self._record.reason = reason_for_silence(first_fault(refused).cause, MEDIA_LOST)
            except* Exception as fault:
                self._record.reason = INTERNAL_ERROR
                log.exception("a call failed", exc_info=fault)
                send_elsewhere(self._leg.sip)  # where it is not answered yet
            was_answered = self._record.state is not CallState.GREETING
            self._record.is_now(CallState.ENDING)
            if was_answered:
                await self._take_leave()
            self._leg.sip.hang_up(bye_reason(self._record.reason))

    async def _answer(self) -> None:
        """Take the call, and give the caller an ear and a keypad."""
        leg, house, dialled = self._leg, self._house, self._dialled
        early = deque[str](maxlen=EARLY_KEYS)
        leg.sip.on_info_digit = early.append
        await leg.answer(self._undo)
        line = Line(
            leg.media,
            house.prompts,
            language=dialled.language or house.prompts.languages[0],
            codec=leg.codec,
            clock=asyncio.get_running_loop().time,
        )
        for key in early:
            line.pressed(key)
        leg.sip.on_info_digit = line.pressed
        self._visitor = Visitor(
            caller=dialled.caller,
            leg=leg,
            line=line,
            record=self._record,
            guesser=house.pins.guesser(self._record.trunk, dialled.caller),
            hides_digits=house.policy.hide_digits,
        )
        self._prompt = PinPrompt(self._visitor, house)
        await leg.media.start()

    async def _choose_language(self) -> None:
        """Let the caller choose, where the number that they called has several languages."""
        line, languages = self._visitor.line, self._dialled.languages
        if len(languages) > 1:
            await line.choose_language(languages)
        self._record.hears(line.language)

    async def _find_room(self) -> Room:
        """Ask for the PIN; who knows it need not listen."""
        self._record.is_now(CallState.PIN)
        can_hide = not self._visitor.hides_digits and bool(self._dialled.caller.digits_shown)
        asks = self._house.policy.asks_to_hide and can_hide
        hint = (PromptId.ASK_TO_HIDE,) if asks else ()
        return await self._prompt.room(PromptId.WELCOME, *hint, PromptId.ENTER_PIN)

    async def _lead_to(self, aim: GoTo) -> GoTo:
        """Visit one room; returns where to next."""
        self._visit = Visit(aim, self._visitor, self._house)
        try:
            elsewhere = await self._visit.run()
        finally:
            self._visit = None
        if isinstance(elsewhere, GoTo):
            return elsewhere
        return GoTo(await self._another_room(elsewhere.room))

    async def _another_room(self, room: Room) -> Room:
        """Ask for another room's PIN; if nothing comes of it, it is back to the former one."""
        self._record.is_now(CallState.PIN)
        try:
            return await self._prompt.room(PromptId.WHICH_ROOM, from_room=room)
        except CallError:
            return self._prompt.as_it_is_now(room)

    async def _obey(self) -> NoReturn:
        """Runs beside the story: what hosts and operators ask for reaches whom it is for."""
        while True:
            order = await self._record.next_order()
            if isinstance(order, HangUp):
                raise CallError(STOPPED if order.service_stops else ENDED_BY_OPERATOR)
            if self._visit:
                self._visit.give(order)

    async def _take_leave(self) -> None:
        """Tell a caller who is still there why the call ends."""
        prompts = FAREWELLS.get(self._record.reason)
        if not prompts or self._leg.sip.ended.done():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_WITHIN_S):
                try:
                    async with asyncio.TaskGroup() as tasks:
                        watch = tasks.create_task(self._leg.until_gone())
                        await self._visitor.line.say(*prompts)
                        watch.cancel()
                except* (CallError, MediaRefused):
                    pass  # they did not wait to hear it
