# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the FreeSWITCH of a BBB server: takes SIP legs into voice conferences that mix.

It answers as BBB's profile and dialplan do, with `config/freeswitch/00_dialin.xml` installed: who
may call and what may be called, 183 before 200, which keys act, and whose name is shown. What it
agrees on is left to `freeswitch`, mixing to `mixer`, the meetings to `bbb`. Alone, for tests that
kill and restart it, see `conference_program`: `python -m dialin.demo.conference`.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from dialin.demo.bound_keys import BOUND, CALLER_CONTROLS, BoundKeys, Wish
from dialin.demo.callerid import CallerId, Kind, Reading, reading_of
from dialin.demo.freeswitch import Agreement, Dtmf
from dialin.demo.mixer_process import MixerLost, MixerProcess, Sounds
from dialin.demo.voice import Change, PhoneCaller
from dialin.errors import PeerError
from dialin.sip import IncomingLeg, LegGone, Listen, SipEndpoint
from dialin.wire.encryption import Encryption
from dialin.wire.message import Request
from dialin.wire.reason import Q850, ByeReason
from dialin.wire.uri import SipUri, parse_uri

ROOM = re.compile(r"[0-9]{5,11}")
"""What the dialplan takes for a conference (default/bbb_conference.xml)."""

UNAUTHORISED = 480
NOT_A_ROOM = 404
CALL_REJECTED = 603
NOT_ACCEPTABLE = 488
UNAVAILABLE = 503

NORMAL_CLEARING = ByeReason(Q850, 16, "NORMAL_CLEARING")
"""Of a member who is kicked, and of all when a conference ends (conference, mod_conference.c)."""
SYSTEM_SHUTDOWN = ByeReason("SIP", 701, "SYSTEM_SHUTDOWN")
"""Of all calls when FreeSWITCH is stopped (switch_core.c, mod_sofia.c); older ones say 501."""


@dataclass(slots=True)
class Member:
    """One leg in one conference."""

    leg: str
    """The SIP leg's id, and the mixer's name for the member."""
    number: int
    """FreeSWITCH's member id; BBB makes `v_<number>` of it."""
    room: str
    """The number that was called."""
    caller: CallerId
    """Who FreeSWITCH says it is."""
    reading: Reading
    """Who BBB takes it for."""
    muted: bool = False
    """Whether nobody hears the member."""
    deaf: bool = False
    """Whether the member hears nobody; only an old server's keys do that."""
    volume_keys: int = 0
    """How often a key has changed a volume; only on an old server."""
    keys: int = 0
    """How many keys came, by telephone event or INFO."""
    pressed: str = field(default="", repr=False)
    """Which keys, where the conference was told to keep them."""

    @property
    def as_phone_caller(self) -> PhoneCaller:
        """The member as BBB lists it."""
        return PhoneCaller(self.reading.name, self.caller.number, self.muted, self.number)


@dataclass(frozen=True, slots=True)
class Manner:
    """How the server is set up."""

    dtmf: Dtmf = "info"
    """The profile's `dtmf-type`."""
    is_authorised: Callable[[str], bool] = lambda _host: True
    """The dialplan's condition on the caller's address."""
    keeps_keys: bool = False
    """Whether `Member.pressed` says which keys came."""
    binds_keys: bool = True
    """Whether `*61` and `*60` are bound; without, it is a stock new server, where no key acts."""
    caller_controls: bool = False
    """An old server without `conference_controls=none`: keys act at once, and none is bound."""
    encryption: Encryption = Encryption.OFF
    """Whether SRTP is taken."""

    @property
    def bindings(self) -> dict[str, Wish]:
        """What keys do."""
        if self.caller_controls:
            return CALLER_CONTROLS
        return BOUND if self.binds_keys else {}


class Conference:
    """All voice conferences of the stand-in."""

    def __init__(self, mixer: MixerProcess, manner: Manner | None = None) -> None:
        self.addresses: tuple[Listen, ...] = ()
        """Where calls are taken."""
        self.refused: Counter[int] = Counter()
        """Calls refused, by status."""
        self.listeners: list[Callable[[Member, Change], None]] = []
        """Told of every change of a member, at once."""
        self._mixer = mixer
        self._calls: set[asyncio.Task[None]] = set()
        self._legs: dict[str, IncomingLeg] = {}
        self._manner = manner or Manner()
        self._members: dict[str, Member] = {}
        self._keys: dict[str, BoundKeys] = {}
        self._joined = 0
        self._is_stopped = False
        self._changed = asyncio.Event()
        mixer.on_key = self._key_pressed

    # What tests and the demo ask

    def members(self, room: str | None = None) -> tuple[Member, ...]:
        """Who is in a room, or in any, in the order of joining."""
        members = self._members.values()
        return tuple(member for member in members if room in (None, member.room))

    def phone_callers(self, room: str) -> list[PhoneCaller]:
        """Those whom BBB lists as phone callers: name, number, mute state, member id."""
        return [
            member.as_phone_caller
            for member in self.members(room)
            if member.reading.kind is Kind.PHONE
        ]

    def tell(self, told: Callable[[str, PhoneCaller, Change], None]) -> None:
        """Let BBB know what happens to phone callers: room, caller, change."""

        def tell(member: Member, change: Change) -> None:
            if member.reading.kind is Kind.PHONE:
                told(member.room, member.as_phone_caller, change)

        self.listeners.append(tell)

    async def until(self, is_so: Callable[[Conference], bool]) -> None:
        """Wait until something about the members is so; the caller sets the deadline."""
        while not is_so(self):
            self._changed.clear()
            await self._changed.wait()

    async def listen(self, member: Member, frequencies_hz: Sequence[float]) -> Sounds:
        """What a member said and heard in the last second. Raises MixerLost.

        What a muted member says is listened to as well; the others do not hear it.
        """
        return await self._mixer.listen(member.leg, frequencies_hz)

    async def play_chime(self, room: str, *, plays: bool = True) -> None:
        """A resident of a room, who chimes softly, so that a lone caller hears something."""
        await self._mixer.play_chime(room, plays=plays)

    # What a moderator, a meeting's end and an operator do; who has left takes no harm

    def mute(self, member: Member) -> None:
        """A moderator mutes a member: nobody hears it from the next frame on."""
        self._hush(member, is_muted=True, is_deaf=member.deaf)

    def unmute(self, member: Member) -> None:
        """A moderator unmutes a member."""
        self._hush(member, is_muted=False, is_deaf=member.deaf)

    def kick(self, member: Member) -> None:
        """A moderator removes a member: BYE with NORMAL_CLEARING."""
        self._hang_up(member, NORMAL_CLEARING)

    def end(self, room: str) -> None:
        """The meeting is over: whoever is in its conference is hung up on."""
        for member in self.members(room):
            self.kick(member)

    def shut_down(self, reason: ByeReason = SYSTEM_SHUTDOWN) -> None:
        """FreeSWITCH is stopped: all calls are ended, and no new ones are taken."""
        self._is_stopped = True
        for member in self.members():
            self._hang_up(member, reason)

    def _hang_up(self, member: Member, reason: ByeReason) -> None:
        if leg := self._legs.get(member.leg):
            leg.hang_up(reason)

    def _hush(self, member: Member, *, is_muted: bool, is_deaf: bool) -> None:
        if self._members.get(member.leg) is not member:
            return
        with suppress(MixerLost):
            self._mixer.hush(member.leg, is_muted=is_muted, is_deaf=is_deaf)
        member.muted, member.deaf = is_muted, is_deaf
        self._tell(member, Change.MUTED if is_muted else Change.UNMUTED)

    def _tell(self, member: Member, change: Change) -> None:
        for listener in self.listeners:
            listener(member, change)
        self._changed.set()

    # Calls

    def take(self, leg: IncomingLeg) -> None:
        """Take a call, or refuse it as the dialplan does."""
        status = self._refusal(leg)
        if status is not None:
            self._refuse(leg, status)
            return
        call = asyncio.get_running_loop().create_task(self._serve(leg))
        self._calls.add(call)
        call.add_done_callback(self._forget)

    def _forget(self, call: asyncio.Task[None]) -> None:
        if not call.cancelled() and call.exception() is None:
            self._calls.discard(call)  # a call that failed is kept for `settled` to raise

    async def settled(self) -> None:
        """Wait until all calls are over, and raise what should not have happened in them."""
        await asyncio.gather(*self._calls)

    def _refusal(self, leg: IncomingLeg) -> int | None:
        if self._is_stopped:
            return UNAVAILABLE
        if not self._manner.is_authorised(leg.flow.host):
            return UNAUTHORISED
        if not ROOM.fullmatch(room_called(leg.request)):
            return NOT_A_ROOM
        return CALL_REJECTED if CallerId.of(leg.request).is_rejected else None

    def _refuse(self, leg: IncomingLeg, status: int) -> None:
        self.refused[status] += 1
        leg.reject(status)
        self._changed.set()

    async def _serve(self, leg: IncomingLeg) -> None:
        """One call, from the INVITE to its end."""
        manner = self._manner
        try:
            port = await self._mixer.open(leg.id, leg.local_host)
            agreed = Agreement(leg.local_host, port, dtmf=manner.dtmf, encryption=manner.encryption)
            moved = _attend(leg, agreed)
            if leg.offer is None:
                await self._offer(leg, agreed)
            else:
                await self._answer(leg, agreed, leg.offer)
            await self._stay(leg, agreed, moved)
        except LegGone:
            pass  # it ended before it began
        except MixerLost:
            self._refuse(leg, UNAVAILABLE)
        except PeerError:
            self._refuse(leg, NOT_ACCEPTABLE)
        finally:
            self._forget_member(leg.id)
            leg.hang_up(NORMAL_CLEARING)
            await self._mixer.leave(leg.id)

    def _forget_member(self, leg: str) -> None:
        self._legs.pop(leg, None)
        self._keys.pop(leg, None)
        member = self._members.pop(leg, None)
        if member is not None:
            self._tell(member, Change.LEFT)

    async def _stay(self, leg: IncomingLeg, agreed: Agreement, moved: asyncio.Event) -> None:
        """Until the call ends, or the mixer does."""
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow(leg, agreed, moved))
            await asyncio.wait((leg.ended, self._mixer.lost), return_when=asyncio.FIRST_COMPLETED)
            following.cancel()

    async def _follow(self, leg: IncomingLeg, agreed: Agreement, moved: asyncio.Event) -> None:
        """Send to wherever the caller's side wants the audio by now."""
        with suppress(MixerLost):
            while True:
                await moved.wait()
                moved.clear()
                await self._seat(leg, agreed)

    async def _answer(self, leg: IncomingLeg, agreed: Agreement, offer: bytes) -> None:
        """183 with SDP, then 200, as `start_dtmf` in the dialplan has it; audio flows by then."""
        body = agreed.answer(offer)
        leg.progress(body)
        await self._join(leg, agreed)
        await leg.answer(body, headers=_identity(leg))

    async def _offer(self, leg: IncomingLeg, agreed: Agreement) -> None:
        """An INVITE without SDP gets our offer in the 200; the answer comes with the ACK."""
        answer = await leg.answer(agreed.offer(), headers=_identity(leg))
        agreed.accept(answer or b"")
        await self._join(leg, agreed)

    async def _join(self, leg: IncomingLeg, agreed: Agreement) -> None:
        room = room_called(leg.request)
        caller = CallerId.of(leg.request)
        self._joined += 1
        member = Member(leg.id, self._joined, room, caller, reading_of(caller.name))
        self._legs[leg.id], self._members[leg.id] = leg, member
        self._keys[leg.id] = BoundKeys(self._manner.bindings)
        leg.on_info_digit = lambda key: self._key_pressed(leg.id, key)
        await self._seat(leg, agreed)
        self._tell(member, Change.JOINED)

    async def _seat(self, leg: IncomingLeg, agreed: Agreement) -> None:
        room = room_called(leg.request)
        await self._mixer.join(leg.id, room, agreed.remote, agreed.keys_on)

    def _key_pressed(self, leg: str, key: str) -> None:
        """FreeSWITCH hears keys by telephone event and by INFO: by both, they count twice."""
        member = self._members.get(leg)
        if member is None:
            return
        member.keys += 1
        member.pressed += key if self._manner.keeps_keys else ""
        match self._keys[leg].press(key, asyncio.get_running_loop().time()):
            case Wish.MUTE:
                self.mute(member)
            case Wish.UNMUTE:
                self.unmute(member)
            case Wish.TOGGLE_MUTE:
                self._hush(member, is_muted=not member.muted, is_deaf=member.deaf)
            case Wish.TOGGLE_DEAF:
                self._hush(member, is_muted=not member.deaf, is_deaf=not member.deaf)
            case Wish.VOLUME:
                member.volume_keys += 1
        self._changed.set()


def _attend(leg: IncomingLeg, agreed: Agreement) -> asyncio.Event:
    """Answer re-INVITEs and UPDATEs; the event is set when one has changed what is agreed."""
    moved = asyncio.Event()

    def reoffered(offer: bytes | None) -> bytes | None:
        if offer is None:
            return agreed.offer()
        try:
            answer = agreed.answer(offer)
        except PeerError:
            return None
        moved.set()
        return answer

    def reanswered(answer: bytes) -> None:
        with suppress(PeerError):
            agreed.accept(answer)
            moved.set()

    leg.on_reoffer, leg.on_reanswer = reoffered, reanswered
    return moved


def _identity(leg: IncomingLeg) -> list[tuple[str, str]]:
    """FreeSWITCH tells the caller which extension took the call."""
    room = room_called(leg.request)
    return [("P-Asserted-Identity", f'"{room}" <sip:{room}@{leg.local_host}>')]


def room_called(invite: Request) -> str:
    """The user part of the request-URI, which the endpoint has read already."""
    uri = parse_uri(invite.uri)
    return uri.user or "" if isinstance(uri, SipUri) else ""


@asynccontextmanager
async def open_conference(
    listen: Sequence[Listen],
    *,
    dtmf: Dtmf = "info",
    is_authorised: Callable[[str], bool] = lambda _host: True,
    keeps_keys: bool = False,
    binds_keys: bool = True,
    caller_controls: bool = False,
    encryption: Encryption = Encryption.OFF,
) -> AsyncIterator[Conference]:
    """A conference that takes calls while it is open; the arguments are those of Manner.

    Ending it ends its calls by BYE.
    """
    manner = Manner(dtmf, is_authorised, keeps_keys, binds_keys, caller_controls, encryption)
    async with await MixerProcess.start() as mixer:
        conference = Conference(mixer, manner)
        endpoint = await SipEndpoint.open(
            listen,
            allow_source=lambda _host: True,
            on_call=conference.take,
            user_agent="FreeSWITCH-mod_sofia/1.10.12-release+git~stand-in",
        )
        conference.addresses = endpoint.addresses
        try:
            async with endpoint:
                yield conference
        finally:
            await conference.settled()


if __name__ == "__main__":
    from dialin.demo.conference_program import main

    main()
