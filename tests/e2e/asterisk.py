# SPDX-License-Identifier: GPL-3.0-or-later
"""Asterisk 22 with ConfBridge, in the place of BBB's FreeSWITCH: somebody else's conference server.

It runs in the chroot that `scripts/asterisk-rootfs` builds, on one loopback port (UDP and TCP) and,
with a certificate, on another one (TLS). It takes any call to 5 to 11 digits into the conference of
that number: 183 first, then 200, as BBB's dialplan does. `Asterisk.members` tells who is in a
conference, under which name and number.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dialin.sip import Certificate
from tests.peers.process import free_port

ROOTFS = Path(__file__).parents[2] / ".cache" / "asterisk"
HOST = "127.0.0.1"
FIRST_RTP_PORT, LAST_RTP_PORT = 30000, 30999
ROOM_LENGTHS = range(5, 12)
READY_WITHIN_S = 60.0
ANSWER_WITHIN_S = 10.0
STOP_WITHIN_S = 10.0

MODULES = (
    *("res_pjproject", "res_sorcery_config", "res_sorcery_memory", "res_sorcery_astdb"),
    *("res_timing_timerfd", "res_pjsip", "res_pjsip_session", "res_pjsip_sdp_rtp"),
    *("res_pjsip_rfc3326", "res_pjsip_dtmf_info", "res_pjsip_caller_id", "res_rtp_asterisk"),
    *("res_pjsip_endpoint_identifier_anonymous", "chan_pjsip", "pbx_config", "app_verbose"),
    *("app_confbridge", "bridge_softmix", "bridge_builtin_features", "format_wav", "format_pcm"),
    *("bridge_builtin_interval_features", "codec_ulaw", "codec_alaw", "codec_g722"),
    *("codec_resample", "func_callerid", "func_channel", "func_strings"),
    *("res_crypto", "res_srtp"),
    # chan_pjsip will not load without it.
    "res_pjsip_pubsub",
)

SETTINGS = {
    "asterisk.conf": """
        [directories]
        astetcdir => {etc}
        astmoddir => {modules}
        astvarlibdir => /var/lib/asterisk
        astdbdir => {etc}
        astkeydir => /var/lib/asterisk
        astdatadir => /usr/share/asterisk
        astagidir => /usr/share/asterisk/agi-bin
        astspooldir => {etc}
        astrundir => {etc}
        astlogdir => {etc}
        [options]
        nocolor = yes
    """,
    "modules.conf": "[modules]\nautoload = no\n{load}",
    "logger.conf": "[logfiles]\nmessages.log => notice,warning,error,verbose(3)\n",
    "rtp.conf": """
        [general]
        rtpstart = {first_rtp_port}
        rtpend = {last_rtp_port}
        icesupport = no
    """,
    "pjsip.conf": """
        [udp]
        type = transport
        protocol = udp
        bind = {host}:{port}
        [tcp]
        type = transport
        protocol = tcp
        bind = {host}:{port}
        {tls}
        [anonymous]
        type = endpoint
        context = conferences
        disallow = all
        allow = g722,alaw,ulaw
        dtmf_mode = rfc4733
        direct_media = no
        trust_id_inbound = yes
        send_pai = yes
        inband_progress = yes
        media_encryption = {media_encryption}
    """,
    "extensions.conf": """
        [conferences]
        {numbers}
        [enter]
        exten = _X!,1,Progress()
        same = n,Answer()
        same = n,ConfBridge(${{EXTEN}},room,member)
        same = n,Hangup()
    """,
    "confbridge.conf": """
        [general]
        [room]
        type = bridge
        internal_sample_rate = auto
        mixing_interval = 20
        [member]
        type = user
        quiet = yes
        announce_user_count = no
        announce_only_user = no
        music_on_hold_when_empty = no
        dsp_drop_silence = no
        denoise = no
        dtmf_passthrough = no
    """,
}

TLS_SETTINGS = """
[tls]
type = transport
protocol = tls
bind = {host}:{tls_port}
cert_file = {etc}/tls.pem
priv_key_file = {etc}/tls.key
method = tlsv1_2
"""
"""Without a method it speaks TLS 1.0 and nothing newer."""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a conference, as Asterisk sees it."""

    name: str
    """The caller-id name."""
    number: str
    """The caller-id number."""
    codec: str
    """The codec of the leg, in Asterisk's words: ulaw, alaw, g722."""


class Asterisk:
    """A running Asterisk."""

    def __init__(self, process: Process, folder: Path, port: int, tls_port: int) -> None:
        self._process = process
        self._folder = folder
        self.host = HOST
        """Where it listens."""
        self.port = port
        """Its SIP port, UDP and TCP."""
        self.tls_port = tls_port
        """Its port for SIP over TLS, if it has a certificate."""

    async def command(self, text: str) -> str:
        """What a command of Asterisk's own command line answers."""
        remote = await asyncio.create_subprocess_exec(
            *in_chroot(self._folder), "-rx", text, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        async with asyncio.timeout(ANSWER_WITHIN_S):
            output, _ = await remote.communicate()
        return output.decode()

    async def members(self, room: str) -> list[Member]:
        """Who is in a conference now."""
        channels = re.findall(r"^PJSIP/\S+", await self.command(f"confbridge list {room}"), re.M)
        return [await self._member(channel) for channel in channels]

    async def _member(self, channel: str) -> Member:
        shown = await self.command(f"core show channel {channel}")
        found = {
            key: re.search(rf"^ *{key}: (.*)$", shown, re.M)
            for key in ("Caller ID Name", "Caller ID", "NativeFormats")
        }
        values = [match[1].strip(" ()") if match else "" for match in found.values()]
        return Member(*values)

    async def hang_up(self, room: str) -> None:
        """Throw everybody out of a conference, as at the end of a meeting."""
        await self.command(f"confbridge kick {room} all")

    @property
    def log(self) -> str:
        """Everything that it has logged."""
        return (self._folder / "messages.log").read_text()

    async def stop(self) -> None:
        """End it, by its own process id."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def running_asterisk(
    certificate: Certificate | None = None, *, media_encryption: str = "no"
) -> AsyncIterator[Asterisk]:
    """Run Asterisk on free ports while the block runs; with a certificate it takes TLS as well.

    With `sdes` as media encryption it takes calls with SRTP only.
    """
    with (
        tempfile.TemporaryDirectory(prefix="dialin-", dir=ROOTFS / "tmp") as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
    ):
        folder, port, tls_port = Path(name), free_port(), free_port()
        write_settings(folder, port, tls_port if certificate else None, media_encryption)
        if certificate:
            (folder / "tls.pem").write_bytes(certificate.file.read_bytes())
            (folder / "tls.key").write_bytes(
                (certificate.key_file or certificate.file).read_bytes()
            )
        notify.bind(str(folder / "notify"))
        notify.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            *in_chroot(folder),
            "-f",
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            env=os.environ | {"NOTIFY_SOCKET": inside(folder / "notify")},
        )
        asterisk = Asterisk(process, folder, port, tls_port)
        try:
            await until_ready(notify)
            yield asterisk
        finally:
            await asterisk.stop()


async def until_ready(notify: socket.socket) -> None:
    """Wait until Asterisk tells its service manager that it is up (sd_notify(3))."""
    async with asyncio.timeout(READY_WITHIN_S):
        while b"READY=1" not in await asyncio.get_running_loop().sock_recv(notify, 4096):
            pass


def write_settings(
    folder: Path, port: int, tls_port: int | None, media_encryption: str = "no"
) -> None:
    """All files that Asterisk reads, and nothing that was there before."""
    (modules,) = ROOTFS.glob("usr/lib/*/asterisk/modules")
    values = {
        "etc": inside(folder),
        "modules": inside(modules),
        "load": "".join(f"load = {module}.so\n" for module in MODULES),
        "host": HOST,
        "port": port,
        "media_encryption": media_encryption,
        "tls": TLS_SETTINGS.format(host=HOST, tls_port=tls_port, etc=inside(folder))
        if tls_port
        else "",
        "numbers": "\n".join(
            f"exten = _{'X' * length},1,Goto(enter,${{EXTEN}},1)" for length in ROOM_LENGTHS
        ),
        "first_rtp_port": FIRST_RTP_PORT,
        "last_rtp_port": LAST_RTP_PORT,
    }
    for name, text in SETTINGS.items():
        lines = (line.strip() for line in text.format(**values).splitlines())
        (folder / name).write_text("\n".join(lines) + "\n")


def in_chroot(folder: Path) -> list[str]:
    """The beginning of every command line."""
    return ["chroot", str(ROOTFS), "/usr/sbin/asterisk", "-C", f"{inside(folder)}/asterisk.conf"]


def inside(path: Path) -> str:
    """A path as it is called in the chroot."""
    return f"/{path.relative_to(ROOTFS)}"


@pytest.fixture
async def asterisk() -> AsyncIterator[Asterisk]:
    """An Asterisk of the test's own."""
    if os.geteuid() != 0:
        pytest.skip("Asterisk runs in a chroot, which needs root")
    if not (ROOTFS / "ready").exists():
        pytest.skip("scripts/asterisk-rootfs has not been run")
    async with running_asterisk() as running:
        yield running
