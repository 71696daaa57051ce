# SPDX-License-Identifier: GPL-3.0-or-later
"""The mixing process as the conference sees it: commands that are awaited, keys that are told.

What the process does with a command is in `mixer`; who gives them is `conference`.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Self, TypeVar

from dialin.demo.mixer_messages import (
    MAX_MESSAGE_BYTES,
    Command,
    Done,
    Failed,
    Heard,
    Hush,
    Join,
    Key,
    Leave,
    Listen,
    Message,
    Open,
    Opened,
    Play,
    decode,
    encode,
)
from dialin.errors import DialinError
from dialin.wire.sdes import SrtpKeys
from dialin.wire.sdp import RemoteMedia

Expected = TypeVar("Expected", Opened, Done, Heard)

ANSWER_S = 5.0
"""How long a command may take; it takes a millisecond."""
LEAVE_S = 2.0
"""How long the process may take to end before it is killed."""


class MixerLost(DialinError):
    """The mixing process is gone, or refuses."""


@dataclass(frozen=True, slots=True)
class Sound:
    """One second of one member's audio in one direction."""

    level: float
    """Root mean square of the 16-bit samples."""
    tones: dict[float, float]
    """Peak amplitude of each frequency asked for."""

    def has(self, frequency_hz: float, *, least: float = 500.0) -> bool:
        """Whether a tone can be heard in it."""
        return self.tones[frequency_hz] >= least


@dataclass(frozen=True, slots=True)
class Sounds:
    """What a member said and heard in the last second."""

    said: Sound
    """From the member."""
    heard: Sound
    """To the member."""
    reports: int = 0
    """RTCP reports that the member has sent since it joined."""


class MixerProcess:
    """A running mixer."""

    def __init__(self, control: socket.socket, process: asyncio.subprocess.Process) -> None:
        self.on_key: Callable[[str, str], None] = lambda _member, _key: None
        """Called with member and key for each key press that came as a telephone event."""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Set when the process is gone, for whatever reason. Never raises."""
        self._control = control
        self._process = process
        self._numbers = count(1)
        self._pending: dict[int, asyncio.Future[Message]] = {}
        asyncio.get_running_loop().add_reader(control, self._read)

    @classmethod
    async def start(cls) -> Self:
        """Start the process; the caller closes it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            fd = theirs.fileno()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dialin.demo.mixer",
                str(fd),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[fd],
            )
        return cls(ours, process)

    @property
    def pid(self) -> int:
        """The process, for tests that kill it."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the process and wait until it is gone. May be called again."""
        self._hang_up()
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    # Commands, each of which raises MixerLost

    async def open(self, member: str, host: str) -> int:
        """Bind a port for a member; returns it."""
        return (await self._ask(Open(member, host), Opened)).port

    async def join(
        self, member: str, room: str, remote: RemoteMedia, telephone_event: int | None
    ) -> None:
        """Let an opened member into a room."""
        seat = Join(
            member=member,
            room=room,
            host=remote.host,
            port=remote.rtp_port,
            codec=remote.codec.value,
            payload_type=remote.payload_type,
            telephone_event=-1 if telephone_event is None else telephone_event,
            rtcp_port=remote.rtcp_port,
            srtp=_as_text(remote.srtp),
        )
        await self._ask(seat, Done)

    def hush(self, member: str, *, is_muted: bool, is_deaf: bool = False) -> None:
        """Let nobody hear a member, or it nobody; not waited for. One who has left takes no harm.

        Raises MixerLost.
        """
        if self.lost.done():
            raise MixerLost("the mixer is gone")
        try:
            self._control.send(encode(0, Hush(member, is_muted, is_deaf)))
        except OSError as error:
            raise MixerLost("the mixer does not read") from error

    async def leave(self, member: str) -> None:
        """Forget a member. Nobody minds when it, or the process, is gone already."""
        with suppress(MixerLost):
            await self._ask(Leave(member), Done)

    async def play_chime(self, room: str, *, plays: bool = True) -> None:
        """Let the chime play in a room, or stop it."""
        await self._ask(Play(room, plays), Done)

    async def listen(self, member: str, frequencies_hz: Sequence[float]) -> Sounds:
        """What a member said and heard in the last second."""
        answer = await self._ask(Listen(member, list(frequencies_hz)), Heard)
        return Sounds(
            Sound(answer.said_level, dict(zip(frequencies_hz, answer.said, strict=True))),
            Sound(answer.heard_level, dict(zip(frequencies_hz, answer.heard, strict=True))),
            answer.reports,
        )

    async def _ask(self, command: Command, expected: type[Expected]) -> Expected:
        if self.lost.done():
            raise MixerLost("the mixer is gone")
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        answer = self._pending[number] = loop.create_future()
        try:
            async with asyncio.timeout(ANSWER_S):
                await loop.sock_sendall(self._control, encode(number, command))
                result = await answer
        except (OSError, TimeoutError) as error:
            raise MixerLost("the mixer does not answer") from error
        finally:
            del self._pending[number]
        if not isinstance(result, expected):
            raise MixerLost(f"the mixer refused: {result}")
        return result

    def _read(self) -> None:
        try:
            data = self._control.recv(MAX_MESSAGE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        number, message = decode(data)
        if isinstance(message, Key):
            self.on_key(message.member, message.key)
        elif (answer := self._pending.get(number)) and not answer.done():
            answer.set_result(message)

    def _hang_up(self) -> None:
        """Nothing more will be said or heard."""
        if self.lost.done():
            return
        self.lost.set_result(None)
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_result(Failed("the mixer is gone"))


def _as_text(keys: SrtpKeys | None) -> dict[str, str] | None:
    if keys is None:
        return None
    return {
        "suite": keys.suite.value,
        "send_key": base64.b64encode(keys.send_key).decode(),
        "receive_key": base64.b64encode(keys.receive_key).decode(),
    }
