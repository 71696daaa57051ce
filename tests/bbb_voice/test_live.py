# SPDX-License-Identifier: GPL-3.0-or-later
"""Seats in conferences that really are there: by SIP and RTP to the stand-ins of both kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from dialin.bbb_voice import (
    BbbVoice,
    ConferenceLeg,
    Gone,
    KeyMethod,
    LiveKitTarget,
    VoiceServer,
    why_gone,
)
from dialin.demo.conference import SYSTEM_SHUTDOWN, Conference, open_conference
from dialin.demo.freeswitch import Dtmf
from dialin.events import Codec
from dialin.media.embedded import EmbeddedEngine
from dialin.media.engine import MEDIA_TIMEOUT, MediaLeg
from dialin.rooms import Room
from dialin.sip import Listen, SipEndpoint
from tests.peers.conference import ScriptedConference, scripted_conference
from tests.peers.livekit import livekit, told_too_much

LOOPBACK = Listen("UDP", "127.0.0.1", 0)
ROOM = Room("main", "demo", "Demo", "123456789", running=True)
LABEL, PSEUDONYM = "xxx-xxx-0594", "314159265358979"
WITHIN_S = 10.0
PORTS = (27000, 27039)


@dataclass(frozen=True, slots=True)
class Door:
    """What takes seats."""

    sip: SipEndpoint
    engine: EmbeddedEngine
    beside: MediaLeg

    async def join(
        self, server: VoiceServer, room: Room = ROOM, silence_s: float | None = None
    ) -> ConferenceLeg:
        """A seat for the one caller that there is."""
        return await BbbVoice(self.sip, self.engine, {"main": server}).join(
            room,
            label=LABEL,
            pseudonym=PSEUDONYM,
            codec=Codec.PCMA,
            beside=self.beside,
            silence_s=silence_s,
        )


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    engine = EmbeddedEngine(workers=1, port_range=PORTS, quarantine_s=0, media_timeout_s=30)
    async with (
        engine,
        await SipEndpoint.open(
            [LOOPBACK], allow_source=lambda _host: True, on_call=lambda leg: leg.reject(480)
        ) as sip,
    ):
        beside = await engine.open(host="127.0.0.1", allowed=["127.0.0.1"])
        yield Door(sip, engine, beside)


def server_at(at: Listen, keys: KeyMethod = KeyMethod.OFF) -> VoiceServer:
    return VoiceServer(at.host, at.port, "UDP", (f"{at.host}/32",), mute_keys=keys)


async def until_muted(conference: Conference, is_muted: bool) -> None:
    """Wait for what BBB's list of users says of the one caller."""
    async with asyncio.timeout(WITHIN_S):
        await conference.until(
            lambda it: [one.muted for one in it.phone_callers(ROOM.voice_bridge)] == [is_muted]
        )


@pytest.mark.parametrize("keys", [KeyMethod.RFC4733, KeyMethod.INFO])
@pytest.mark.parametrize("dtmf", ["info", "rfc2833"])
async def test_bbb_lists_a_caller_as_muted_and_unmuted(
    door: Door, keys: KeyMethod, dtmf: Dtmf
) -> None:
    async with open_conference([LOOPBACK], dtmf=dtmf) as conference:
        seat = await door.join(server_at(conference.addresses[0], keys))
        await until_muted(conference, False)
        assert await seat.mute()
        await until_muted(conference, True)
        assert await seat.unmute()
        await until_muted(conference, False)
        wishes = [seat.mute(), seat.unmute(), seat.mute()]
        assert await asyncio.gather(*wishes) == [True] * 3
        await until_muted(conference, True)
        await seat.leave()


async def test_without_a_method_bbb_hears_of_no_key(door: Door) -> None:
    async with open_conference([LOOPBACK], keeps_keys=True) as conference:
        seat = await door.join(server_at(conference.addresses[0]))
        assert not await seat.mute()
        (member,) = conference.members(ROOM.voice_bridge)
        assert not member.keys
        await seat.leave()


@asynccontextmanager
async def scripted() -> AsyncIterator[tuple[ScriptedConference, VoiceServer]]:
    async with scripted_conference() as conference:
        yield conference, server_at(conference.address)


async def test_a_conference_that_falls_silent_is_lost_within_seconds(door: Door) -> None:
    async with scripted() as (conference, server):
        seat = await door.join(server, silence_s=1.0)
        (await conference.seat()).fall_silent()
        async with asyncio.timeout(WITHIN_S):
            assert await seat.media.lost == MEDIA_TIMEOUT
        assert why_gone(None, True) is Gone.SERVER_LOST
        assert not seat.ended.done()
        await seat.leave()


async def test_a_conference_that_shuts_down_is_told_from_one_that_is_over(door: Door) -> None:
    async with scripted() as (conference, server):
        for reason, gone in ((SYSTEM_SHUTDOWN, Gone.SERVER_LOST), (None, Gone.REMOVED)):
            seat = await door.join(server)
            peer = await conference.seat(len(conference.seats) - 1)
            if reason:
                peer.hang_up(reason)
            else:
                peer.hang_up()
            async with asyncio.timeout(WITHIN_S):
                assert why_gone(await seat.ended, still_running=True) is gone
            await seat.leave()


async def test_livekit_shows_the_label_and_hears_no_key(door: Door) -> None:
    async with livekit([ROOM.voice_bridge]) as peer:
        at = peer.address
        server = replace(
            server_at(Listen("UDP", "127.0.0.9", 5060), KeyMethod.RFC4733),
            livekit=LiveKitTarget(at.host, at.port, "UDP", (f"{at.host}/32",)),
        )
        seat = await door.join(server, replace(ROOM, audio_bridge="livekit"))
        there = await peer.seat()
        assert not await seat.mute()
        (shown,) = peer.participants()
        assert (shown.name, shown.room, shown.muted) == (
            f"Phone {LABEL}",
            ROOM.voice_bridge,
            False,
        )
        assert not told_too_much(there)
        assert PSEUDONYM.encode() not in peer.everything_received()
        await seat.leave()
