# SPDX-License-Identifier: GPL-3.0-or-later
"""The mixing process from outside: started, asked, killed, closed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest

from dialin.demo import mixer_process
from dialin.demo.mixer_messages import Done, Opened, encode
from dialin.demo.mixer_process import MixerLost, MixerProcess, Sound
from dialin.events import Codec
from dialin.wire import rtp
from dialin.wire.dtmf import event_packets
from dialin.wire.sdp import RemoteMedia


@pytest.fixture
async def mixer() -> AsyncIterator[MixerProcess]:
    async with await MixerProcess.start() as running:
        yield running


@pytest.fixture
def phone() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def end_of(phone: socket.socket) -> RemoteMedia:
    port = phone.getsockname()[1]
    return RemoteMedia("127.0.0.1", port, port + 1, Codec.PCMU, 0, 101, "sendrecv", 20)


async def test_a_member_joins_hears_the_chime_presses_a_key_and_leaves(
    mixer: MixerProcess, phone: socket.socket
) -> None:
    with phone:
        keys: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        mixer.on_key = lambda member, key: keys.put_nowait((member, key))
        await mixer.play_chime("72013")
        port = await mixer.open("a", "127.0.0.1")
        await mixer.join("a", "72013", end_of(phone), 101)
        loop = asyncio.get_running_loop()
        for _ in range(10):
            await loop.sock_recv(phone, 2048)
        sounds = await mixer.listen("a", [440, 1000])
        assert sounds.heard.has(440)
        assert not sounds.heard.has(1000)
        assert not sounds.said.has(440)
        packet = rtp.pack(
            event_packets("5", 100)[0],
            payload_type=101,
            marker=True,
            sequence=1,
            timestamp=2,
            ssrc=3,
        )
        phone.sendto(packet, ("127.0.0.1", port))
        assert await keys.get() == ("a", "5")
        await mixer.play_chime("72013", plays=False)
        await mixer.leave("a")
        with pytest.raises(MixerLost, match="no such member"):
            await mixer.listen("a", [440])


async def test_keys_may_be_heard_on_no_payload_type(
    mixer: MixerProcess, phone: socket.socket
) -> None:
    with phone:
        await mixer.open("a", "127.0.0.1")
        await mixer.join("a", "72013", end_of(phone), None)
        await mixer.listen("a", [])


async def test_a_killed_process_is_told_and_refuses_everything(mixer: MixerProcess) -> None:
    os.kill(mixer.pid, signal.SIGKILL)
    await mixer.lost
    with pytest.raises(MixerLost):
        await mixer.open("a", "127.0.0.1")
    await mixer.leave("a")


async def test_a_question_that_is_open_when_the_process_dies_is_answered(
    mixer: MixerProcess,
) -> None:
    os.kill(mixer.pid, signal.SIGSTOP)
    asking = asyncio.create_task(mixer.open("a", "127.0.0.1"))
    await asyncio.sleep(0)  # lets the question leave
    os.kill(mixer.pid, signal.SIGKILL)
    with pytest.raises(MixerLost):
        await asking


async def test_a_process_that_does_not_turn_is_not_waited_for(
    mixer: MixerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixer_process, "ANSWER_S", 0.05)
    monkeypatch.setattr(mixer_process, "LEAVE_S", 0.05)
    os.kill(mixer.pid, signal.SIGSTOP)
    with pytest.raises(MixerLost, match="does not answer"):
        await mixer.open("a", "127.0.0.1")
    await mixer.close()
    with pytest.raises(ProcessLookupError):
        os.kill(mixer.pid, 0)


async def test_closing_twice_does_no_harm(mixer: MixerProcess) -> None:
    await mixer.close()
    await mixer.close()


async def test_orders_that_nobody_waits_for(mixer: MixerProcess) -> None:
    mixer.hush("nobody", is_muted=True)
    await mixer.play_chime("72013")
    mixer._control.shutdown(socket.SHUT_WR)
    with pytest.raises(MixerLost, match="does not read"):
        mixer.hush("a", is_muted=True)
    await mixer.close()
    with pytest.raises(MixerLost, match="is gone"):
        mixer.hush("a", is_muted=True)


async def test_answers_nobody_waits_for_are_passed_over() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with theirs:
        mixer = MixerProcess(ours, cast("asyncio.subprocess.Process", None))
        asking = asyncio.create_task(mixer.open("a", "127.0.0.1"))
        await asyncio.sleep(0)  # lets the question leave
        for number, message in ((9, Done()), (1, Opened(5)), (1, Opened(6))):
            theirs.send(encode(number, message))
        assert await asking == 5
        ours.shutdown(socket.SHUT_RDWR)
        await mixer.lost


async def test_a_socket_that_fails_is_a_process_that_is_gone() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    mixer = MixerProcess(ours, cast("asyncio.subprocess.Process", None))
    mixer._read()  # nothing is there to be read
    theirs.close()
    assert mixer.lost.done()


def test_a_tone_is_there_or_not() -> None:
    sound = Sound(1000.0, {440: 600.0, 660: 100.0})
    assert sound.has(440)
    assert not sound.has(660)
    assert sound.has(660, least=50)
