# SPDX-License-Identifier: GPL-3.0-or-later
"""A SIP endpoint on loopback with its calls in a queue, for the tests of the signalling shell."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from unittest.mock import patch

import pytest

from dialin.sip import IncomingLeg, Listen, SipEndpoint, endpoint
from dialin.wire.timers import Timers
from tests.fakes.sip_peers import PATIENCE_S, TcpPeer, UdpPeer
from tests.wire.peers import OFFER, Caller

QUICK = Timers(t1_s=0.02, t2_s=0.08, t4_s=0.1)
"""64*T1 is 1.28 s."""
UDP4 = Listen("UDP", "127.0.0.1", 0)
TCP4 = Listen("TCP", "127.0.0.1", 0)
UDP6 = Listen("UDP", "::1", 0)
TCP6 = Listen("TCP", "::1", 0)


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")


class Bench:
    """One endpoint and the calls that came in."""

    def __init__(self, sip: SipEndpoint, calls: asyncio.Queue[IncomingLeg]) -> None:
        self.sip = sip
        self.calls = calls
        self._changed = asyncio.Event()
        self._settle = sip._settle
        sip._settle = self._settled  # type: ignore[method-assign]  # to see each change

    def _settled(self) -> None:
        self._settle()
        self._changed.set()

    def address(self, transport: str = "UDP") -> tuple[str, int]:
        """Where the endpoint listens."""
        found = next(at for at in self.sip.addresses if at.transport == transport)
        return found.host, found.port

    async def call(self) -> IncomingLeg:
        """The next call."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.calls.get()

    async def until(self, is_true: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Wait for a state of the endpoint: looked at after everything that happens to it."""
        async with asyncio.timeout(within_s):
            while not is_true():
                self._changed.clear()
                await self._changed.wait()

    async def in_step(self, peer: UdpPeer) -> None:
        """Wait until all that the peer has sent so far has been read."""
        call_id = f"step{next(_STEPS)}"
        peer.send(caller_at(peer, call_id=call_id).request("OPTIONS"), self.address())
        while f"Call-ID: {call_id}".encode() not in await peer.octets():
            pass


_STEPS = count()


@asynccontextmanager
async def opened(
    *listen: Listen,
    timers: Timers = QUICK,
    allow_source: Callable[[str], bool] = lambda _host: True,
    on_call: Callable[[IncomingLeg], None] | None = None,
    answer_options: bool = True,
) -> AsyncIterator[Bench]:
    """An endpoint for as long as the block lasts."""
    calls: asyncio.Queue[IncomingLeg] = asyncio.Queue()
    sip = await SipEndpoint.open(
        listen or (UDP4,),
        allow_source=allow_source,
        on_call=on_call or calls.put_nowait,
        timers=timers,
        answer_options=answer_options,
    )
    async with sip:
        try:
            yield Bench(sip, calls)
        finally:
            # No test's far end stays to answer the last BYEs.
            with patch.object(endpoint, "CLOSE_WITHIN_S", 0.0):
                await sip.close()


def caller_at(peer: UdpPeer | TcpPeer, **changes: str) -> Caller:
    """A caller whose Via and Contact name the peer's socket."""
    host = f"[{peer.host}]" if ":" in peer.host else peer.host
    transport = "UDP" if isinstance(peer, UdpPeer) else "TCP"
    defaults = {
        "transport": transport,
        "sent_by": f"{host}:{peer.port}",
        "contact": f"<sip:caller@{host}:{peer.port};transport={transport}>",
    }
    return Caller(**{**defaults, **changes})  # type: ignore[arg-type]  # texts, all of them


async def talking(bench: Bench, peer: UdpPeer, caller: Caller) -> IncomingLeg:
    """A call over UDP, answered and acknowledged."""
    peer.send(caller.invite(), bench.address())
    leg = await bench.call()
    answering = asyncio.create_task(leg.answer(OFFER))
    ok = await peer.response()
    caller.to_tag = ok.to.tag
    peer.send(caller.ack(), bench.address())
    await answering
    return leg
