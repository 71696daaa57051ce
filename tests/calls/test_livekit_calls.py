# SPDX-License-Identifier: GPL-3.0-or-later
"""A caller into a meeting whose audio is LiveKit's, from outside: to a scripted livekit-sip."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dialin.app import Pace
from dialin.demo.rooms import DemoRoom
from tests.peers.clips import Clips
from tests.peers.conference import ScriptedConference, scripted_conference
from tests.peers.livekit import livekit, told_too_much
from tests.peers.phone import Phone
from tests.peers.process import free_port
from tests.world import Served, serving

PIN = "314159265"
NUMBER = "+4915738620594"
LABEL = "xxx-xxx-0594"
SELDOM = Pace(poll_s=3600, quarantine_s=0.5)
"""Which bridge a meeting has, no poll tells."""
PATIENCE_S = 10.0


async def keyed(served: Served, clips: Clips, phone: Phone) -> None:
    """Call, and key the PIN of the one room there is."""
    assert await phone.dial() == 200
    await phone.hears(clips, "welcome", "enter-pin", within_s=PATIENCE_S)
    await phone.key(f"{PIN}#")


@pytest.mark.parametrize("audio_bridge", ["livekit", "bbb-webrtc-sfu"])
async def test_the_caller_is_where_the_meetings_audio_is(tmp_path: Path, audio_bridge: str) -> None:
    clips, port = Clips(tmp_path / "clips"), free_port()
    async with livekit([PIN]) as peer, scripted_conference() as freeswitch:
        at = peer.address
        way = {"livekit_host": at.host, "livekit_port": at.port, "livekit_transport": "udp"}
        sections = {
            **clips.settings,
            "web": {"port": port, "base_url": f"http://127.0.0.1:{port}"},
            "media": {"conference_timeout_s": 3600},
        }
        async with serving(
            freeswitch.address, rooms=[], pace=SELDOM, voice_settings=way, **sections
        ) as served:
            await served.until(lambda: bool(served.bbb.webhooks.hooks))
            served.bbb.add_room(DemoRoom("modern", "Modern", PIN, audio_bridge=audio_bridge))
            served.bbb.open_room("modern")
            with_audio: ScriptedConference = peer if audio_bridge == "livekit" else freeswitch
            without = freeswitch if audio_bridge == "livekit" else peer
            async with Phone(served.sip_port("udp"), number=NUMBER) as phone:
                await keyed(served, clips, phone)
                seat = await with_audio.seat()
                assert not told_too_much(seat)
                assert not without.messages
                if audio_bridge == "livekit":
                    assert [one.name for one in peer.participants()] == [f"Phone {LABEL}"]
                await phone.key("*6")
                async with asyncio.timeout(PATIENCE_S):
                    while not served.service.registry.snapshots()[0].muted:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                await asyncio.sleep(1.0)  # keys would have come by now
                assert bool(seat.keys_by_events + seat.keys_by_info) is (audio_bridge != "livekit")
                assert NUMBER[-10:].encode() not in with_audio.everything_received()
                await phone.hang_up()
            await served.until(lambda: not len(served.service.registry))
