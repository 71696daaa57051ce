# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoint of the check: hears only whom it asks, and takes no calls."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dialin.errors import OperatorError
from dialin.sip import TlsTarget
from dialin.wire.flow import Flow
from tests.check.parts import TCP4, UDP4, ways_from
from tests.fakes.sip_peers import UdpPeer
from tests.sipbench import caller_at
from tests.wire.peers import answer_to

NOBODY = TlsTarget("sip.example.net")


async def test_it_listens_on_the_same_addresses_by_other_ports() -> None:
    async with ways_from(UDP4, UDP4, TCP4) as ways:
        assert [(at.transport, at.host) for at in ways.sip.addresses] == [
            ("UDP", "127.0.0.1"),
            ("TCP", "127.0.0.1"),
        ]
        assert all(at.port not in (0, 5060) for at in ways.sip.addresses)


async def test_it_hears_only_whom_it_asks() -> None:
    async with ways_from(UDP4) as ways:
        with UdpPeer() as peer:
            flow = Flow("UDP", peer.host, peer.port)
            assert not ways.hears(peer.host)
            ways.expect(flow, NOBODY)
            asking = asyncio.create_task(ways.sip.request("OPTIONS", "sip:us", flow))
            asked = await peer.request()
            peer.send(
                answer_to(asked, 200), (ways.sip.addresses[0].host, ways.sip.addresses[0].port)
            )
            assert (await asking).status == 200


async def test_it_takes_no_calls_from_whom_it_asks() -> None:
    async with ways_from(UDP4) as ways:
        with UdpPeer() as peer:
            ways.expect(Flow("UDP", peer.host, peer.port), NOBODY)
            at = ways.sip.addresses[0]
            peer.send(caller_at(peer).invite(), (at.host, at.port))
            statuses = [(await peer.response()).status for _ in range(2)]
            assert 480 in statuses


async def test_authorities_that_cannot_be_read_are_the_operators_to_mend(tmp_path: Path) -> None:
    async with ways_from(UDP4) as ways:
        with pytest.raises(OperatorError, match="cannot be read"):
            ways.expect(
                Flow("TLS", "127.0.0.1", 5061), TlsTarget("sip.example.net", tmp_path / "gone.pem")
            )
