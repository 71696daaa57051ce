# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts a call works with, as scripted stand-ins without sockets; time is the event loop's.

They keep the contracts of the real ones: `ended` and `lost` are set once, `play` takes as long as
its clips, closing twice is closing once. What they were asked to do is kept for the test to see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from dialin.bbb_voice import ConferenceLeg, KeyMethod
from dialin.budgets import Guesser
from dialin.caller import Caller
from dialin.events import CONFERENCE_UNREACHABLE, CallError, Codec, Digit, DigitSource
from dialin.media.engine import (
    LegSettings,
    LegStatistics,
    MediaLeg,
    MediaRefused,
    NoMediaPort,
)
from dialin.negotiation import Negotiation, Terms
from dialin.pin import Attempts, Outcome
from dialin.rooms import Room
from dialin.sip import LegEnd, LegGone
from dialin.sounds import TONE, TONES, PromptId
from dialin.wire import sdp
from dialin.wire.encryption import Encryption
from dialin.wire.flow import Flow
from dialin.wire.reason import NORMAL_CLEARING, ByeReason

CLIP_S = 2.0
"""What every prompt takes."""
KEY_S = 0.2
"""What every key takes."""

OFFER = bytes(sdp.offer(sdp.LocalMedia("192.0.2.9", 4000, 1, 1), [Codec.PCMA]))
"""A caller's offer: PCMA and telephone-event."""


class FakeLeg:
    """The trunk leg."""

    def __init__(self, offer: bytes | None = OFFER, *, ack_sdp: bytes | None = None) -> None:
        self.id = "call-1"
        self.offer = offer
        self.flow = Flow("UDP", "192.0.2.9", 5060)
        self.local_host = "192.0.2.1"
        self.ended: asyncio.Future[LegEnd] = asyncio.get_running_loop().create_future()
        self.answers: list[bytes] = []
        self.rejected: list[tuple[int, int | None, str | None]] = []
        self.hung_up = 0
        self._ack_sdp = ack_sdp
        self.on_reoffer: Callable[[bytes | None], bytes | None] = lambda offer: None
        self.on_reanswer: Callable[[bytes], None] = lambda answer: None
        self.on_info_digit: Callable[[str], None] = lambda key: None
        self.gone_before_ack: LegEnd | None = None
        self.told: ByeReason | None = None

    async def answer(self, sdp_bytes: bytes) -> bytes | None:
        self.answers.append(sdp_bytes)
        await asyncio.sleep(0.1)
        if self.gone_before_ack:
            self.ended.set_result(self.gone_before_ack)
            raise LegGone(self.gone_before_ack)
        return self._ack_sdp

    def reject(
        self, status: int, *, retry_after_s: int | None = None, warning: str | None = None
    ) -> None:
        self.rejected.append((status, retry_after_s, warning))

    def hang_up(self, reason: ByeReason = NORMAL_CLEARING) -> None:
        self.hung_up += 1
        self.told = self.told or reason
        if not self.ended.done():
            self.ended.set_result(LegEnd("us", None, "bye"))

    def caller_hangs_up(self) -> None:
        self.ended.set_result(LegEnd("peer", None, "bye"))


class FakeMedia:
    """One media leg."""

    def __init__(self, host: str = "192.0.2.1", rtp_port: int = 10000) -> None:
        self.host, self.rtp_port = host, rtp_port
        self.digits: asyncio.Queue[Digit] = asyncio.Queue(32)
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.settings: list[LegSettings] = []
        self.refuses: Exception | None = None
        self.started = False
        self.closed = 0
        self.heard: list[str] = []
        self.languages: list[str] = []
        self.bridged_with: FakeMedia | None = None
        self.pressed: list[tuple[str, int | None]] = []
        self.mutes: list[bool] = []
        self.plays_on = ""
        self.counts_for_s = 0.0
        self.has_no_volume = False
        self.volume_db = 0

    async def configure(self, settings: LegSettings) -> None:
        if self.refuses:
            raise self.refuses
        self.settings.append(settings)

    async def start(self) -> None:
        self.started = True

    async def play(self, clips: Sequence[Path], *, repeat: bool = False) -> None:
        if repeat:
            await self._play_on(*clips)
        for clip in clips:
            if self.lost.done():
                raise MediaRefused(self.lost.result())
            await asyncio.sleep(CLIP_S)
            self.heard.append(clip.stem)
            self.languages.append(clip.parent.name)

    async def _play_on(self, clip: Path) -> None:
        self.plays_on = clip.stem
        try:
            await asyncio.Event().wait()
        finally:
            self.plays_on = ""

    async def stop_playing(self) -> None:
        raise NotImplementedError

    async def send_digits(self, keys: str, *, payload_type: int | None = None) -> None:
        if self.lost.done():
            raise MediaRefused(self.lost.result())
        await asyncio.sleep(KEY_S * len(keys))
        self.pressed.append((keys, payload_type))

    async def mute(self, on: bool) -> None:
        if self.lost.done():
            raise MediaRefused(self.lost.result())
        self.mutes.append(on)

    async def set_volume(self, gain_db: int) -> None:
        if self.has_no_volume:
            raise MediaRefused("codec-has-no-volume")
        self.volume_db = gain_db

    async def statistics(self) -> LegStatistics:
        await asyncio.sleep(self.counts_for_s)
        return LegStatistics(packets_received=50, packets_lost=2, jitter_ms=1.26)

    async def close(self) -> None:
        self.closed += 1

    def keys(self, keys: str, source: DigitSource = DigitSource.RFC4733) -> None:
        for key in keys:
            self.digits.put_nowait(Digit(key, source))


class FakeEngine:
    """The media plane."""

    def __init__(self, leg: FakeMedia, *, is_full: bool = False) -> None:
        self.leg = leg
        self.is_full = is_full
        self.opened: list[tuple[str, tuple[str, ...]]] = []
        self.timeout_s: float | None = None

    async def open(
        self,
        *,
        host: str,
        allowed: Sequence[str],
        beside: Any = None,
        timeout_s: float | None = None,
    ) -> FakeMedia:
        if self.is_full:
            raise NoMediaPort("no port")
        self.timeout_s = timeout_s
        self.opened.append((host, tuple(allowed)))
        return self.leg

    async def bridge(self, a: FakeMedia, b: FakeMedia) -> None:
        a.bridged_with, b.bridged_with = b, a


class FakeVoice:
    """The way into the conferences."""

    def __init__(
        self,
        *refusals: Exception,
        joins_after_s: float = 0.3,
        keys: KeyMethod = KeyMethod.OFF,
        is_away: bool = False,
    ) -> None:
        self.refusals = list(refusals)
        """What comes of the first tries to join."""
        self.joins_after_s = joins_after_s
        self.keys = keys
        self.is_away = is_away
        """Whether nobody answers."""
        self.joined: list[dict[str, Any]] = []
        self.seats: list[FakeSeat] = []

    async def join(self, room: Room, **arguments: Any) -> ConferenceLeg:
        await asyncio.sleep(self.joins_after_s)
        if self.is_away:
            raise CallError(CONFERENCE_UNREACHABLE)
        if self.refusals:
            raise self.refusals.pop(0)
        self.joined.append({"room": room, **arguments})
        seat = FakeSeat()
        self.seats.append(seat)
        return ConferenceLeg(
            cast(Any, seat.media),
            seat.ended,
            cast(Any, seat),
            seat.audio,
            arguments["beside"],
            self.keys,
        )


class FakeSeat:
    """A seat in a conference, signalling and media."""

    def __init__(self) -> None:
        self.media = FakeMedia(rtp_port=10002)
        self.audio = Negotiation(
            cast(MediaLeg, self.media), "192.0.2.1", Terms((Codec.PCMA,), Encryption.OFF)
        )
        self.ended: asyncio.Future[LegEnd] = asyncio.get_running_loop().create_future()
        self.hung_up = 0

    def hang_up(self) -> None:
        self.hung_up += 1

    def bye(self, reason: ByeReason | None = NORMAL_CLEARING) -> None:
        """FreeSWITCH hangs up."""
        self.ended.set_result(LegEnd("peer", None, "bye", reason))


class FakeDesk:
    """Answers PINs by a table; an outcome may be a list that is used up one by one."""

    def __init__(self, answers: Callable[[str, Attempts], Awaitable[Outcome] | Outcome]) -> None:
        self._answers = answers
        self.asked: list[str] = []
        self.have_got_in: list[Guesser] = []
        self.is_slow = False

    def guesser(self, trunk: str, caller: Caller) -> Guesser:
        return Guesser(trunk, "them")

    def got_in(self, guesser: Guesser) -> None:
        self.have_got_in.append(guesser)

    def keeps_waiting(self, guesser: Guesser) -> bool:
        return self.is_slow

    async def find(self, pin: str, attempts: Attempts, guesser: Guesser) -> Outcome:
        self.asked.append(pin)
        outcome = self._answers(pin, attempts)
        return outcome if not isinstance(outcome, Awaitable) else await outcome


class FakeRooms:
    """Rooms that open when told, and are as the test says."""

    def __init__(self, *rooms: Room) -> None:
        self.opening: asyncio.Future[Room] = asyncio.get_running_loop().create_future()
        self.known = {room.meeting_id: room for room in rooms}
        self.goes_on: bool | None = True
        """What servers say when they are asked whether a meeting still runs."""
        self.asked = 0

    async def opened(self, room: Room) -> Room:
        return await asyncio.shield(self.opening)

    async def look_again(self) -> bool:
        self.asked += 1
        return True

    async def is_still_running(self, room: Room) -> bool | None:
        self.asked += 1
        return self.goes_on

    def by_meeting_id(self, meeting_id: str) -> Room | None:
        return self.known.get(meeting_id)

    def current(self, room: Room) -> Room | None:
        return self.known.get(room.meeting_id)

    def parent_of(self, room: Room) -> Room | None:
        known = self.known.values()
        return next((one for one in known if one.internal_id == room.parent_id != ""), None)

    def breakouts_of(self, room: Room) -> tuple[Room, ...]:
        known = self.known.values()
        return tuple(one for one in known if one.parent_id == room.internal_id != "")


class FakeTally:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.told.append((name, *arguments))


class FakeConsents:
    """Keeps what callers answered."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, bool]] = []

    async def record_consent(
        self, call_id: str, meeting_id: str, consented: bool, at: datetime
    ) -> None:
        self.kept.append((meeting_id, consented))


class FakePrompts:
    """Names every prompt in every language, without a file; what is no speech is in `tone`."""

    def __init__(self, *languages: str) -> None:
        self.languages = languages

    def clip(self, prompt: PromptId, language: str | None, codec: Codec) -> Path:
        folder = TONE if prompt in TONES else language or self.languages[0]
        return Path(folder, f"{prompt}.{codec.lower()}")
