# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the FreeSWITCH of a BBB server: takes SIP legs into voice conferences that mix.

It answers as BBB's profile and dialplan do: who may call and what may be called, 183 before 200,
which payload type keys are heard on, and whose name is shown. Mixing is left to `mixer`, the
meetings to `bbb`. Alone, for tests that kill and restart it: `python -m dialin.demo.conference`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from dialin.demo.callerid import CallerId, Kind, Reading, reading_of
from dialin.demo.mixer_process import MixerLost, MixerProcess, Sounds
from dialin.errors import PeerError
from dialin.events import Codec
from dialin.sip import IncomingLeg, LegGone, Listen, SipEndpoint
from dialin.wire import sdp
from dialin.wire.message import Request
from dialin.wire.sdp import MediaDescription, RemoteMedia, SessionDescription
from dialin.wire.uri import SipUri, parse_uri

ROOM = re.compile(r"[0-9]{5,11}")
"""What the dialplan takes for a conference (default/bbb_conference.xml)."""
KEYS_ON = 101
"""BBB's profile: `rfc2833-pt 101`."""
CODECS = (Codec.PCMU, Codec.PCMA, Codec.G722)
FOREIGN_HOST = "203.0.113.5"
"""What o= says instead of c=, as FreeSWITCH behind a NAT does."""

UNAUTHORISED = 480
NOT_A_ROOM = 404
CALL_REJECTED = 603
NOT_ACCEPTABLE = 488
NO_MIXER = 503

Dtmf = Literal["info", "rfc2833"]
"""The profile's `dtmf-type`. BBB's is info: telephone-event is not answered, yet heard on 101."""


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
    keys: int = 0
    """How many keys came, by telephone event or INFO."""
    pressed: str = field(default="", repr=False)
    """Which keys, where the conference was told to keep them."""


class Conference:
    """All voice conferences of the stand-in."""

    def __init__(
        self,
        mixer: MixerProcess,
        *,
        dtmf: Dtmf = "info",
        is_authorised: Callable[[str], bool] = lambda _host: True,
        keeps_keys: bool = False,
    ) -> None:
        self.addresses: tuple[Listen, ...] = ()
        """Where calls are taken."""
        self.refused: Counter[int] = Counter()
        """Calls refused, by status."""
        self._mixer = mixer
        self._calls: set[asyncio.Task[None]] = set()
        self._legs: dict[str, IncomingLeg] = {}
        self._dtmf = dtmf
        self._is_authorised = is_authorised
        self._keeps_keys = keeps_keys
        self._members: dict[str, Member] = {}
        self._joined = 0
        self._changed = asyncio.Event()
        mixer.on_key = self._key_pressed

    # What tests and the demo ask

    def members(self, room: str | None = None) -> tuple[Member, ...]:
        """Who is in a room, or in any, in the order of joining."""
        members = self._members.values()
        return tuple(member for member in members if room in (None, member.room))

    def phone_callers(self, room: str) -> list[tuple[str, str, bool]]:
        """Name, number and mute state of those whom BBB lists as phone callers."""
        return [
            (member.reading.name, member.caller.number, False)
            for member in self.members(room)
            if member.reading.kind is Kind.PHONE
        ]

    async def until(self, is_so: Callable[[Conference], bool]) -> None:
        """Wait until something about the members is so; the caller sets the deadline."""
        while not is_so(self):
            self._changed.clear()
            await self._changed.wait()

    async def listen(self, member: Member, frequencies_hz: Sequence[float]) -> Sounds:
        """What a member said and heard in the last second. Raises MixerLost."""
        return await self._mixer.listen(member.leg, frequencies_hz)

    async def play_chime(self, room: str, *, plays: bool = True) -> None:
        """A resident of a room, who chimes softly, so that a lone caller hears something."""
        await self._mixer.play_chime(room, plays=plays)

    def end(self, room: str) -> None:
        """The meeting is over: whoever is in its conference is hung up on."""
        for member in self.members(room):
            self._legs[member.leg].hang_up()

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
        if not self._is_authorised(leg.flow.host):
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
        try:
            port = await self._mixer.open(leg.id, leg.local_host)
            if leg.offer is None:
                await self._offer(leg, port)
            else:
                await self._answer(leg, port, leg.offer)
            await asyncio.wait((leg.ended, self._mixer.lost), return_when=asyncio.FIRST_COMPLETED)
        except LegGone:
            pass  # it ended before it began
        except MixerLost:
            self._refuse(leg, NO_MIXER)
        except PeerError:
            self._refuse(leg, NOT_ACCEPTABLE)
        finally:
            self._members.pop(leg.id, None)
            self._legs.pop(leg.id, None)
            self._changed.set()
            leg.hang_up()
            await self._mixer.leave(leg.id)

    async def _answer(self, leg: IncomingLeg, port: int, offer: bytes) -> None:
        """183 with SDP, then 200, as `start_dtmf` in the dialplan has it; audio flows by then."""
        offered = SessionDescription.parse(offer)
        if self._dtmf == "info":
            offered = without_telephone_events(offered)
        answer, remote = sdp.answer(offered, _local_media(leg, port), CODECS)
        body = bytes(as_freeswitch(answer))
        leg.progress(body)
        await self._join(leg, remote)
        await leg.answer(body, headers=_identity(leg))

    async def _offer(self, leg: IncomingLeg, port: int) -> None:
        """An INVITE without SDP gets our offer in the 200; the answer comes with the ACK."""
        offer = sdp.offer(_local_media(leg, port), CODECS, telephone_event=KEYS_ON)
        answer = await leg.answer(bytes(as_freeswitch(offer)), headers=_identity(leg))
        await self._join(leg, sdp.accept_answer(offer, SessionDescription.parse(answer or b"")))

    async def _join(self, leg: IncomingLeg, remote: RemoteMedia) -> None:
        keys_on = KEYS_ON if self._dtmf == "info" else remote.telephone_event
        room = room_called(leg.request)
        caller = CallerId.of(leg.request)
        self._joined += 1
        self._legs[leg.id] = leg
        self._members[leg.id] = Member(leg.id, self._joined, room, caller, reading_of(caller.name))
        leg.on_info_digit = lambda key: self._key_pressed(leg.id, key)
        await self._mixer.join(leg.id, room, remote, keys_on)
        self._changed.set()

    def _key_pressed(self, leg: str, key: str) -> None:
        """FreeSWITCH hears keys by telephone event and by INFO: by both, they count twice."""
        member = self._members.get(leg)
        if member is not None:
            member.keys += 1
            member.pressed += key if self._keeps_keys else ""
            self._changed.set()


def _local_media(leg: IncomingLeg, port: int) -> sdp.LocalMedia:
    return sdp.LocalMedia(leg.local_host, port, secrets.randbits(31), 1)


def _identity(leg: IncomingLeg) -> list[tuple[str, str]]:
    """FreeSWITCH tells the caller which extension took the call."""
    room = room_called(leg.request)
    return [("P-Asserted-Identity", f'"{room}" <sip:{room}@{leg.local_host}>')]


def room_called(invite: Request) -> str:
    """The user part of the request-URI, which the endpoint has read already."""
    uri = parse_uri(invite.uri)
    return uri.user or "" if isinstance(uri, SipUri) else ""


def without_telephone_events(offered: SessionDescription) -> SessionDescription:
    """What BBB's profile sees of an offer: no telephone-event that it could answer."""
    return replace(offered, media=tuple(map(_without_telephone_events, offered.media)))


def _without_telephone_events(media: MediaDescription) -> MediaDescription:
    kept = tuple(
        (name, value)
        for name, value in media.attributes
        if name != "rtpmap" or "telephone-event" not in (value or "").lower()
    )
    return replace(media, attributes=kept)


def as_freeswitch(description: SessionDescription) -> SessionDescription:
    """The same media in FreeSWITCH's manner: another address in o=, and a=rtcp."""
    fields = description.origin.split()
    media = tuple(
        replace(line, attributes=(*line.attributes, ("rtcp", str(line.port))))
        if line.port
        else line
        for line in description.media
    )
    return replace(
        description,
        origin=f"FreeSWITCH {fields[1]} {fields[2]} IN IP4 {FOREIGN_HOST}",
        session_name="FreeSWITCH",
        media=media,
    )


@asynccontextmanager
async def open_conference(
    listen: Sequence[Listen],
    *,
    dtmf: Dtmf = "info",
    is_authorised: Callable[[str], bool] = lambda _host: True,
    keeps_keys: bool = False,
) -> AsyncIterator[Conference]:
    """A conference that takes calls while it is open. Ending it ends its calls by BYE."""
    async with await MixerProcess.start() as mixer:
        conference = Conference(
            mixer, dtmf=dtmf, is_authorised=is_authorised, keeps_keys=keeps_keys
        )
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


async def _serve_alone(listen: Sequence[Listen], dtmf: Dtmf, chimes: Sequence[str]) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with open_conference(listen, dtmf=dtmf) as conference:
        for room in chimes:
            await conference.play_chime(room)
        for address in conference.addresses:
            sys.stdout.write(f"{address.transport} {address.host} {address.port}\n")
        sys.stdout.flush()
        await stopped.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT; says on standard output where it listens."""
    parser = argparse.ArgumentParser(prog="python -m dialin.demo.conference")
    parser.add_argument("--sip", default="127.0.0.1:5080", metavar="HOST:PORT")
    parser.add_argument("--dtmf", choices=("info", "rfc2833"), default="info")
    parser.add_argument("--chime", action="append", default=[], metavar="ROOM")
    options = parser.parse_args(arguments)
    host, _, port = options.sip.rpartition(":")
    listen = [Listen(transport, host.strip("[]"), int(port)) for transport in ("UDP", "TCP")]
    asyncio.run(_serve_alone(listen, options.dtmf, options.chime))


if __name__ == "__main__":
    main()
