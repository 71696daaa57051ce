# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes in a call that is up, in every cell: hold, resume, another port, UPDATE, keys by
INFO, timed sessions. The same by Debian's sipp, over UDP and TCP, is in `test_sipp_midcall`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dialin.events import Codec
from dialin.registry import CallState
from dialin.wire import session_expires
from tests.calls.scene import PIN, Scene, scene
from tests.peers.phone import Phone
from tests.peers.rtp import RtpPeer, tone_frames

EVERY_CELL = True
TONE_HZ = 450
SHORTEST_S = 3
"""A session interval of which a test is over in seconds; RFC 4028 has 90."""
REFRESHES = 5
"""Past the end of the session that the call began with."""
SOME_FRAMES = 25
QUIET_S = 0.5
SDP = [("Content-Type", "application/sdp")]
RELAY = [("Content-Type", "application/dtmf-relay")]


async def talking(stage: Scene, phone: Phone) -> RtpPeer:
    """Call, go into the room, and let the conference talk; its audio."""
    assert await phone.dial() == 200
    await phone.key(f"{PIN}#")
    await stage.is_in(CallState.IN_ROOM)
    seat = await stage.conference.seat()
    seat.rtp.say(tone_frames(Codec.PCMA, TONE_HZ))
    await hears_more(phone.rtp)
    return seat.rtp


async def hears_more(listener: RtpPeer) -> None:
    """Wait until audio has come for half a second."""
    so_far = len(listener.received)
    await listener.until(lambda: len(listener.received) >= so_far + SOME_FRAMES)


@pytest.mark.diagonal
async def test_a_caller_holds_the_call_and_resumes_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        conference = await talking(stage, phone)
        held = await phone.ask("INVITE", phone.describe("inactive", version=2))
        assert held.status == 200
        assert b"a=inactive" in held.body
        await asyncio.sleep(QUIET_S / 5)  # what was on its way
        before = len(phone.rtp.received)
        await asyncio.sleep(QUIET_S)
        assert len(phone.rtp.received) == before
        await stage.is_in(CallState.IN_ROOM)
        resumed = await phone.ask("INVITE", phone.describe("sendrecv", version=3))
        assert resumed.status == 200
        assert b"a=inactive" not in resumed.body
        await hears_more(phone.rtp)
        await hears_more(conference)
        await phone.hang_up()
        await stage.is_over(left_room=1)


async def test_audio_follows_the_caller_to_another_port(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await talking(stage, phone)
        moved = RtpPeer()
        moved.unseal = phone.rtp.unseal
        moved.payload_type = phone.rtp.payload_type
        try:
            answer = await phone.ask("INVITE", phone.describe(port=moved.port, version=2))
            assert answer.status == 200
            await hears_more(moved)
            before = len(phone.rtp.received)
            await asyncio.sleep(QUIET_S)
            assert len(phone.rtp.received) == before
        finally:
            moved.close()
        await phone.hang_up()
        await stage.is_over(left_room=1)


async def test_an_offer_in_an_update_and_one_that_we_make(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        await talking(stage, phone)
        held = await phone.ask("UPDATE", phone.describe("inactive", version=2), SDP)
        assert held.status == 200
        assert b"a=inactive" in held.body
        resumed = await phone.ask("UPDATE", phone.describe(version=3), SDP)
        assert resumed.status == 200
        await hears_more(phone.rtp)
        nothing = await phone.ask("UPDATE")
        assert (nothing.status, nothing.body) == (200, b"")
        await hears_more(phone.rtp)
        await phone.hang_up()
        await stage.is_over(left_room=1)


@pytest.mark.diagonal
async def test_keys_by_info_are_a_pin(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.phone() as phone:
        assert await phone.dial() == 200
        for key in f"{PIN}#":
            body = f"Signal={key}\r\nDuration=160\r\n".encode()
            assert (await phone.ask("INFO", body, RELAY)).status == 200
        await stage.is_in(CallState.IN_ROOM)
        await phone.hang_up()
        await stage.is_over(left_room=1)


async def test_a_session_lives_while_it_is_refreshed_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_expires, "MIN_SE_S", SHORTEST_S)
    timed = [
        ("Supported", "timer"),
        ("Session-Expires", f"{SHORTEST_S};refresher=uac"),
        ("Min-SE", str(SHORTEST_S)),
    ]
    async with scene(tmp_path) as stage, stage.phone(headers=timed) as phone:
        assert await phone.dial() == 200
        for _ in range(REFRESHES):
            await asyncio.sleep(SHORTEST_S / 3)
            assert (await phone.ask("UPDATE", lines=timed)).status == 200
        await phone.is_hung_up_on()
        await stage.is_over(session_expired=1)
