# SPDX-License-Identifier: GPL-3.0-or-later
"""A caller's seat in a voice conference: what is said to it, by media, keys and signalling.

How a seat is taken is left to `way`, when a caller is muted to `call`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from dialin.bbb_voice.errors import call_errors
from dialin.bbb_voice.servers import KeyMethod
from dialin.media.engine import MediaLeg, MediaRefused
from dialin.negotiation import Negotiation
from dialin.sip import LegEnd, LegGone, OutgoingLeg, Refused

TELEPHONE_EVENT = 101
"""The only payload type on which BBB's FreeSWITCH profile hears keys (`rfc2833-pt 101`), whether
its answer says so or not."""
MUTE_KEYS = "*61"
"""What `config/freeswitch` binds to muting this one member."""
UNMUTE_KEYS = "*60"
"""What it binds to the contrary. Both say what is wanted and toggle nothing."""
PRESS_WITHIN_S = 5.0
"""Three keys take less than a second, or three answers from a server that is there."""


class Muted(Protocol):
    """What is needed of the caller's own media leg."""

    async def mute(self, on: bool) -> None:
        """Whether the bridged leg hears silence instead of the caller. Raises MediaRefused."""


class Microphone:
    """Whether the conference hears a caller: silence at once from here, and BBB told by keys."""

    def __init__(self, caller: Muted, press: Callable[[str], Awaitable[bool]] | None) -> None:
        """`press` sends keys to the conference and says whether they went; None: no keys do."""
        self._caller = caller
        self._press = press
        self._wishes = 0
        self._one_at_a_time = asyncio.Lock()

    async def mute(self, on: bool) -> bool:
        """Mute or unmute; whether BBB has been told of this wish or of a later one.

        Of several wishes at once the last one counts. A seat that is lost takes no harm.
        """
        self._wishes += 1
        wish = self._wishes
        with suppress(MediaRefused):
            await self._caller.mute(on)
        if self._press is None:
            return False
        async with self._one_at_a_time:
            if wish != self._wishes:
                return True  # whoever wished last waits behind us
            return await self._press(MUTE_KEYS if on else UNMUTE_KEYS)


class ConferenceLeg:
    """A caller's seat in a voice conference."""

    def __init__(
        self,
        media: MediaLeg,
        ended: asyncio.Future[LegEnd],
        sip: OutgoingLeg,
        audio: Negotiation,
        caller: MediaLeg,
        keys: KeyMethod = KeyMethod.OFF,
    ) -> None:
        self.media = media
        """The conference's side of the audio; sending already."""
        self.ended = ended
        """Set when the conference ends the leg, or the leg is lost."""
        self.sip = sip
        """The signalling side."""
        self.audio = audio
        """What is agreed with the conference."""
        self.keys = keys
        """How keys go to the conference."""
        self._microphone = Microphone(caller, self.press if self.can_mute_in_bbb else None)

    @property
    def can_mute_in_bbb(self) -> bool:
        """Whether BBB's list of users follows when a caller is muted here."""
        return self.keys is not KeyMethod.OFF

    async def mute(self) -> bool:
        """Let the conference hear silence, at once; whether BBB has been told as well.

        May be called while another mute or unmute is under way: the last wish counts.
        """
        return await self._microphone.mute(True)

    async def unmute(self) -> bool:
        """Let the conference hear the caller again; whether BBB has been told as well."""
        return await self._microphone.mute(False)

    async def press(self, keys: str) -> bool:
        """Press keys in the conference, by the server's method; whether they went.

        They do not where there is no method, or the seat is lost meanwhile.
        """
        if self.keys is KeyMethod.OFF:
            return False
        try:
            async with asyncio.timeout(PRESS_WITHIN_S):
                if self.keys is KeyMethod.INFO:
                    for key in keys:
                        await self.sip.send_info_digit(key)
                else:
                    await self.media.send_digits(keys, payload_type=TELEPHONE_EVENT)
        except (MediaRefused, LegGone, Refused, TimeoutError):
            return False
        return True

    async def follow(self) -> None:
        """Let what the conference's side changes in mid-call reach the media; ends with the leg.

        Raises CallError where that cannot be done.
        """
        with call_errors(), suppress(MediaRefused):  # a lost media leg says why in its `lost`
            while True:
                await self.audio.changed()

    async def leave(self) -> None:
        """Hang up and free the port. May be called again."""
        self.sip.hang_up()
        await self.media.close()
