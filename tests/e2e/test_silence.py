# SPDX-License-Identifier: GPL-3.0-or-later
"""A far end that is gone without a word: a firewall forgets it, a cable is cut."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dialin.sip import TlsTarget
from dialin.sip.tcp import PING
from dialin.wire.flow import Flow
from tests.fakes import tls_peers
from tests.fakes.authority import NAME, Authority
from tests.fakes.tls_peers import TlsServer
from tests.sipbench import opened
from tests.wire.peers import answer_to

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("iptables"), reason="needs root and iptables"
    ),
]

HOST = "127.0.0.1"
NOTICED_WITHIN_S = 30.0


@contextmanager
def nothing_arrives_at(port: int) -> Iterator[None]:
    """The kernel drops every segment to this port while the block runs."""
    rule = ["INPUT", "-i", "lo", "-p", "tcp", "--dport", str(port), "-j", "DROP"]
    subprocess.run(["iptables", "-I", *rule], check=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "-D", *rule], check=True)


async def test_a_provider_that_is_silent_is_noticed_by_what_it_does_not_acknowledge(
    tmp_path: Path,
) -> None:
    authority = Authority.made(tmp_path / "ca")
    context = tls_peers.server(authority.issue("good"))
    async with opened() as bench, TlsServer(context) as server:
        bench.sip.trust(HOST, server.port, TlsTarget(NAME, authority.file))
        flow = Flow("TLS", HOST, server.port)
        asking = asyncio.create_task(bench.sip.request("OPTIONS", f"sip:{NAME}", flow))
        peer = await server.accepted()
        peer.send(answer_to(await peer.request(), 200))
        await asking
        [connection] = bench.sip._tcp._by_number.values()
        with nothing_arrives_at(server.port):
            connection.send(PING)
            async with asyncio.timeout(NOTICED_WITHIN_S):
                await bench.sip.lost(connection.flow)
