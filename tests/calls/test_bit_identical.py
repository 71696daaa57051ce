# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the bridge comes out of it, bit by bit, in every codec and in both directions."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

from dialin.events import Codec
from dialin.registry import CallState
from dialin.wire import rtp
from tests.calls.scene import PIN, Scene, scene
from tests.calls.talk import conversation
from tests.peers.phone import Phone
from tests.peers.rtp import FRAME, RtpPeer

FRAMES = 500
"""Ten seconds."""


async def test_frames_cross_the_bridge_unchanged_in_each_codec(tmp_path: Path) -> None:
    async with (
        scene(tmp_path, media={"codecs": list(Codec)}) as stage,
        AsyncExitStack() as calls,
    ):
        phones = [await calls.enter_async_context(stage.phone(codecs=[codec])) for codec in Codec]
        for phone in phones:
            await enter(stage, phone)
        await stage.is_in(*[CallState.IN_ROOM] * len(phones))
        async with asyncio.TaskGroup() as talks:
            for number, (phone, codec) in enumerate(zip(phones, Codec, strict=True)):
                seat = await stage.conference.seat(number)
                assert phone.rtp.payload_type == codec.payload_type == seat.rtp.payload_type
                talks.create_task(frames_are_the_same(codec, phone.rtp, seat.rtp))
        for phone in phones:
            await phone.hang_up()
            assert is_one_stream(phone.rtp)
        await stage.is_over(left_room=len(phones))


async def enter(stage: Scene, phone: Phone) -> None:
    """Call, take the next seat, and listen until all prompts are over."""
    taken = len(stage.conference.seats)
    assert await phone.dial() == 200
    await phone.key(f"{PIN}#")
    await stage.conference.seat(taken)
    await phone.rtp.until(lambda: stage.clips.heard(phone.rtp.audio)[-1:] == ["alone"])


async def frames_are_the_same(codec: Codec, caller: RtpPeer, conference: RtpPeer) -> None:
    """Both say frames that occur nowhere else, and hear the other's: all, in order, unchanged."""
    for stream in conversation(codec, caller, conference, FRAMES):
        await stream.is_heard()
        assert len(stream.said) == FRAMES
        assert stream.heard == stream.said


def is_one_stream(listener: RtpPeer) -> bool:
    """Whether prompts, silence and conference came as one RTP stream without a break or a step
    back: sequence numbers follow each other, timestamps advance by whole frames."""
    headers = [packet.header for packet in listener.received]
    return len({header.ssrc for header in headers}) == 1 and all(
        after.sequence == rtp.uint16_add(before.sequence, 1)
        and rtp.uint32_newer(after.timestamp, before.timestamp)
        and rtp.uint32_add(after.timestamp, -before.timestamp) >= FRAME
        for before, after in pairwise(headers)
    )
