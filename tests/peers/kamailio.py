# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Kamailio as a provider: registrar, proxy, and somebody who calls the accounts.

It asks for a digest by SHA-256, keeps Contacts with the way that they came by, and sends a call for
one of its numbers to the account, by the connection that the account registered with and by no
other. Written for these tests; one process id ends it with all its children.
"""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dialin.sip import Certificate
from tests.fakes.sip_peers import UdpPeer
from tests.peers.process import end, free_port, needs
from tests.wire.peers import Caller

HOST = "127.0.0.1"
REALM = "provider.example"
USER, PASSWORD = "004930900123", "canary-Xq7Lw2Vb9Zr4"
NUMBER = "+493023125100"
LOOK_EVERY_S = 0.05
PATIENCE_S = 15.0

MODULES = tuple(Path("/usr/lib").glob("*/kamailio/modules"))
"""Where Debian puts them; none where it is not installed."""

needs_kamailio = needs("kamailio", "kamailio")
needs_kamailio_tls = pytest.mark.skipif(
    not any((modules / "tls.so").exists() for modules in MODULES),
    reason="needs Kamailio's TLS module (Debian: kamailio-tls-modules)",
)

CONFIG = """\
#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
alias="{realm}"
listen=udp:{host}:{port}
listen=tcp:{host}:{port}
{tls}
mpath="{modules}"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "nathelper.so"
modparam("auth", "algorithm", "SHA-256")
modparam("usrloc", "db_mode", 0)
modparam("registrar", "received_avp", "$avp(received)")
modparam("nathelper", "received_avp", "$avp(received)")
modparam("registrar", "max_expires", {longest_s})
modparam("registrar", "min_expires", 0)
modparam("xlog", "force_color", 0)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    force_rport();
    if (has_totag()) {{
        if (loose_route() || is_method("ACK")) {{ t_relay(); exit; }}
        sl_send_reply("404", "Not here");
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "Here"); exit; }}
    if (is_method("REGISTER")) {{
        xlog("L_ALERT", "test: register $TV(sn) $pr $ci $cs\\n");
        if (!pv_www_authenticate("{realm}", "{password}", "0")) {{
            www_challenge("{realm}", "1");
            exit;
        }}
        if ($au != $tU) {{ sl_send_reply("403", "Not yours"); exit; }}
        fix_nated_register();
        save("location");
        xlog("L_ALERT", "test: saved $TV(sn) $pr $hdr(Expires)\\n");
        exit;
    }}
    if (!is_method("INVITE")) {{ sl_send_reply("405", "Not here"); exit; }}
    record_route();
    # Who called by TCP or TLS is reached by that connection only.
    fix_nated_contact();
    $ru = "sip:{user}@{realm}";
    if (!lookup("location")) {{ sl_send_reply("480", "Nobody there"); exit; }}
    set_forward_no_connect();
    t_relay();
}}
"""
TLS = """\
enable_tls=yes
listen=tls:{host}:{tls_port}
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")
"""


@dataclass
class Kamailio:
    """A Kamailio that runs, or has been killed and may run again."""

    folder: Path
    ports: dict[str, int]
    """Where it listens, by transport."""

    def __post_init__(self) -> None:
        self._process: Process | None = None
        self._runs = 0

    @property
    def log(self) -> str:
        """All that it has said, in all its lives."""
        logs = sorted(self.folder.glob("kamailio-*.log"))
        return "".join(log.read_text(errors="replace") for log in logs)

    @property
    def registers(self) -> list[float]:
        """When REGISTERs came, challenged or not, repeats too."""
        return [float(at) for at in re.findall(r"test: register ([0-9.]+)", self.log)]

    @property
    def saved(self) -> list[tuple[float, str, int]]:
        """When a registration was taken, by which transport, for how many seconds."""
        found = re.findall(r"test: saved ([0-9.]+) (\w+) (\d+)", self.log)
        return [(float(at), transport, int(seconds)) for at, transport, seconds in found]

    async def until(self, is_true: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Wait until something is true of it."""
        async with asyncio.timeout(within_s):
            while not is_true():  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(LOOK_EVERY_S)

    async def start(self) -> None:
        """Run, and wait until it answers."""
        self._runs += 1
        log = self.folder / f"kamailio-{self._runs}.log"
        with log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *("kamailio", "-DD", "-E", "-f", self.folder / "kamailio.cfg", "-m", "32"),
                *("-M", "4", "-Y", self.folder, "-P", self.folder / "kamailio.pid"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        await self._answers()

    async def _answers(self) -> None:
        """Ask until an answer comes."""
        with UdpPeer(HOST) as asker:
            question = Caller(sent_by=f"{HOST}:{asker.port}", uri=f"sip:{REALM}").request("OPTIONS")
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    asker.send(question, (HOST, self.ports["udp"]))
                    if not await asker.is_quiet():
                        return

    async def stop(self) -> None:
        """End it, with all that it knew."""
        if self._process:
            await end(self._process)


@asynccontextmanager
async def kamailio(
    folder: Path, *, certificate: Certificate | None = None, longest_s: int = 300
) -> AsyncIterator[Kamailio]:
    """A Kamailio while the block runs; it grants `longest_s` at most."""
    ports = dict.fromkeys(("udp", "tcp"), free_port())
    tls = ""
    if certificate:
        ports["tls"] = free_port()
        tls = TLS.format(
            host=HOST,
            tls_port=ports["tls"],
            certificate=certificate.file,
            key=certificate.key_file or certificate.file,
        )
    _write(
        folder,
        CONFIG.format(
            host=HOST,
            port=ports["udp"],
            tls=tls,
            realm=REALM,
            user=USER,
            password=PASSWORD,
            longest_s=longest_s,
            modules=":".join(map(str, MODULES)),
        ),
    )
    provider = Kamailio(folder, ports)
    await provider.start()
    try:
        yield provider
    finally:
        await provider.stop()


def _write(folder: Path, config: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kamailio.cfg").write_text(config)
