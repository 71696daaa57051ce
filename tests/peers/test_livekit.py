# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripted LiveKit and the scripted conference beneath it, called by the own endpoint."""

from __future__ import annotations

import asyncio

import pytest

from dialin.demo.conference import SYSTEM_SHUTDOWN
from dialin.sip import Refused
from dialin.wire.flow import Flow
from tests.demo.callers import LABEL, ROOM, WAIT_S, Caller, open_caller_endpoint
from tests.fakes.tone_phone import TonePhone
from tests.peers.conference import ScriptedConference
from tests.peers.livekit import livekit, told_too_much


def way_to(peer: ScriptedConference) -> Flow:
    return Flow("UDP", peer.address.host, peer.address.port)


async def test_it_shows_the_user_part_and_not_the_display_name() -> None:
    async with (
        livekit([ROOM]) as peer,
        await open_caller_endpoint() as endpoint,
        TonePhone(450) as ann,
    ):
        leg, _ = await Caller(endpoint, way_to(peer)).invite(ann, user="xxx-xxx-0594-2")
        await leg.answered()
        seat = await peer.seat()
        (shown,) = peer.participants()
        assert (shown.name, shown.room, shown.muted) == ("Phone xxx-xxx-0594-2", ROOM, False)
        assert shown.name not in repr(shown)
        assert told_too_much(seat) == []
        seat.hang_up(SYSTEM_SHUTDOWN)
        assert (await asyncio.wait_for(leg.ended, WAIT_S)).reason == SYSTEM_SHUTDOWN
        assert peer.participants() == []


@pytest.mark.parametrize("called", ["99998", ROOM[:-1], f"{ROOM}1"])
async def test_it_takes_no_call_to_a_meeting_it_does_not_know(called: str) -> None:
    async with (
        livekit([ROOM]) as peer,
        await open_caller_endpoint() as endpoint,
        TonePhone(450) as ann,
    ):
        leg, _ = await Caller(endpoint, way_to(peer)).invite(ann, called)
        with pytest.raises(Refused) as refused:
            await leg.answered()
        assert (refused.value.status, peer.refused) == (404, [called])


async def test_it_sees_an_identity_that_leaks_and_keys_that_toggle() -> None:
    async with (
        livekit([ROOM]) as peer,
        await open_caller_endpoint() as endpoint,
        TonePhone(450) as ann,
    ):
        caller = Caller(endpoint, way_to(peer))
        leg, _ = await caller.invite(
            ann, headers=[("P-Asserted-Identity", "<sip:+49@x>")], display=LABEL
        )
        await leg.answered()
        seat = await peer.seat()
        assert told_too_much(seat) == ["P-Asserted-Identity"]
        ann._far_end = (seat.rtp.host, seat.rtp.port)
        ann.press("*60")
        await seat.rtp.until(lambda: seat.keys_by_events == "*60")
        assert peer.participants()[0].muted
        seat._take_info("0")
        assert not peer.participants()[0].muted
        seat.fall_silent()
