# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's baresip as a phone: told what to do by its control connection and its key console.

It says a sine without end, and writes what it hears to a file. Its events tell what it thinks of
a call.
"""

from __future__ import annotations

import asyncio
import json
import socket
import wave
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.peers.process import free_port, needs, started

HOST = "127.0.0.1"
"""baresip takes its media address from the interface it is bound to."""
MODULES = "/usr/lib/baresip/modules"
READY_WITHIN_S = 10.0
PATIENCE_S = 10.0
KEY_S, PAUSE_S = 0.1, 0.08
RELEASE = b"\x04"
"""What its console takes for letting go of a key."""
CONFIG = """\
poll_method epoll
net_interface {host}
sip_listen {host}:0
call_max_calls 1
rtp_ports 20000-29999
audio_source ausine,{hertz}
audio_txmode poll
ausrc_srate 48000
ausrc_channels 2
audio_buffer 20-160
module_path {modules}
module g711.so
module g722.so
module ausine.so
module sndfile.so
module srtp.so
module ctrl_tcp.so
module cons.so
module_app account.so
module_app menu.so
ctrl_tcp_listen {host}:{control}
cons_listen {host}:{console}
snd_path {folder}
"""
ACCOUNT = (
    "<sip:{number}@{host};transport={transport}>;regint=0;audio_codecs={codec}/8000/1{encryption}\n"
)

needs_baresip = needs("baresip", "baresip-core")


class Baresip:
    """A running baresip."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        console_port: int,
        folder: Path,
    ) -> None:
        self.events: list[dict[str, Any]] = []
        """What it told, oldest first."""
        self._reader = reader
        self._writer = writer
        self._console_port = console_port
        self._folder = folder
        self._changed = asyncio.Event()

    async def dial(self, target: str) -> None:
        """Call, and wait until the call is up."""
        self._command("dial", target)
        await self.tells("CALL_ESTABLISHED")

    async def press(self, keys: str) -> None:
        """Press keys one after the other."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as finger:
            finger.connect((HOST, self._console_port))
            for key in keys:
                finger.send(key.encode())
                await asyncio.sleep(KEY_S)
                finger.send(RELEASE)
                await asyncio.sleep(PAUSE_S)

    async def hang_up(self) -> None:
        """End the call."""
        self._command("hangup", "")

    def heard(self) -> array[int]:
        """All that it heard in its one call, once that is over: samples at 8 kHz."""
        [recording] = self._folder.glob("dump-*-dec.wav")
        with wave.open(str(recording)) as opened:
            return array("h", opened.readframes(opened.getnframes()))

    async def tells(self, kind: str) -> dict[str, Any]:
        """Wait until it has told this kind of event."""

        def told() -> dict[str, Any] | None:
            return next((event for event in self.events if event.get("type") == kind), None)

        try:
            async with asyncio.timeout(PATIENCE_S):
                while (event := told()) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"baresip does not tell {kind}, but {self.events}")
        return event

    async def listen(self) -> None:
        """Keep what it tells, until the connection ends."""
        while length := await self._reader.readuntil(b":"):
            told = json.loads(await self._reader.readexactly(int(length[:-1])))
            await self._reader.readexactly(1)  # the comma of a netstring
            self.events.append(told)
            self._changed.set()

    def _command(self, command: str, parameters: str) -> None:
        text = json.dumps({"command": command, "params": parameters}).encode()
        self._writer.write(b"%d:%s," % (len(text), text))


@asynccontextmanager
async def baresip(
    folder: Path,
    number: str,
    *,
    hertz: int,
    codec: str = "PCMA",
    transport: str = "udp",
    encryption: str = "",
) -> AsyncIterator[Baresip]:
    """A phone with this number, while the block runs. Its files are in the folder.

    `encryption` is what it calls `mediaenc`: `srtp` (in RTP/AVP) or `srtp-mand` (RTP/SAVP).
    """
    control, console = free_port(), free_port()
    _write_files(
        folder,
        CONFIG.format(
            host=HOST,
            hertz=hertz,
            modules=MODULES,
            control=control,
            console=console,
            folder=folder,
        ),
        ACCOUNT.format(
            number=number,
            host=HOST,
            transport=transport,
            codec=codec,
            encryption=f";mediaenc={encryption}" if encryption else "",
        ),
    )
    async with started("baresip", "-f", str(folder), log=folder / "baresip.log") as process:
        reader, writer = await _connected(control, lambda: process.returncode is None)
        phone = Baresip(reader, writer, console, folder)
        listening = asyncio.create_task(phone.listen())
        try:
            yield phone
        finally:
            listening.cancel()
            await asyncio.wait((listening,))
            writer.close()


def _write_files(folder: Path, config: str, account: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").write_text(config)
    (folder / "accounts").write_text(account)


async def _connected(
    port: int, lives: Callable[[], bool]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The control connection, as soon as it can be had; nobody tells when."""
    async with asyncio.timeout(READY_WITHIN_S):
        while lives():
            try:
                return await asyncio.open_connection(HOST, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
    raise AssertionError("baresip has ended: see baresip.log")
