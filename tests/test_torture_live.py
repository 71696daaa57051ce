# SPDX-License-Identifier: GPL-3.0-or-later
"""The torture messages of RFC 4475 and RFC 5118 against a running endpoint, octet by octet.

Each is sent over a real UDP socket; the final answer has to be one that `expectations.json` allows,
and a normal call has to work right after it. What the parser makes of them is tested beside it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dialin.sip import IncomingLeg
from dialin.wire.flow import Flow
from dialin.wire.message import MalformedMessage, Request, parse
from tests.fakes.sip_peers import QUIET_S, UdpPeer
from tests.sipbench import Bench, caller_at, opened, talking

MESSAGES = Path(__file__).parents[2] / "shared" / "data" / "sip-torture"

pytestmark = pytest.mark.skipif(
    not MESSAGES.is_dir(), reason="needs the torture messages in ../shared/data/sip-torture"
)


def expectations() -> dict[str, dict[str, Any]]:
    """What each message of RFC 4475 has to be answered with."""
    if not MESSAGES.is_dir():
        return {}
    found: dict[str, dict[str, Any]] = json.loads((MESSAGES / "expectations.json").read_text())[
        "rfc4475"
    ]
    return found


EXPECTATIONS = expectations()
RFC5118 = sorted(path.stem for path in MESSAGES.glob("rfc5118/*.dat"))


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """An endpoint that is busy for everybody but the caller of `works`."""
    # The messages name hosts and ports of their own; the answers are wanted here.
    for module in ("transaction", "accepted_invite"):
        monkeypatch.setattr(f"dialin.wire.{module}.return_flow", answered_where_it_came_from)
    calls: asyncio.Queue[IncomingLeg] = asyncio.Queue()

    def take(leg: IncomingLeg) -> None:
        if leg.request.call_id == "works":
            calls.put_nowait(leg)
        else:
            leg.reject(486)

    async with opened(on_call=take) as opened_bench:
        opened_bench.calls = calls
        yield opened_bench


def answered_where_it_came_from(_request: Request, flow: Flow) -> Flow:
    """As if each Via had asked for `rport`."""
    return flow


async def final_answer(peer: UdpPeer) -> bytes | None:
    """The next final response, None when none comes."""
    try:
        async with asyncio.timeout(4 * QUIET_S):
            while (data := await peer.octets()).startswith(b"SIP/2.0 1"):
                pass
    except TimeoutError:
        return None
    return data


def status_of(answer: bytes | None) -> int | None:
    """The status, read without our parser: what is refused may echo what cannot be parsed."""
    if answer is None:
        return None
    match = re.match(rb"SIP/2\.0 ([2-6][0-9]{2}) ", answer)
    assert match, answer[:60]
    return int(match[1])


def is_accepted(data: bytes) -> bool:
    """Whether our parser takes the message; where both can be defended, its own tests say why."""
    try:
        parse(data)
    except MalformedMessage:
        return False
    return True


async def works(bench: Bench) -> bool:
    """Whether a whole call, from INVITE to BYE, works now."""
    with UdpPeer() as peer:
        caller = caller_at(peer, call_id="works")
        leg = await talking(bench, peer, caller)
        peer.send(caller.request("BYE", 2), bench.address())
        assert (await peer.response()).status == 200
        return leg.ended.result().cause == "bye"


@pytest.mark.parametrize("name", sorted(EXPECTATIONS))
async def test_rfc_4475(bench: Bench, name: str) -> None:
    data = (MESSAGES / "rfc4475" / f"{name}.dat").read_bytes()
    with UdpPeer() as peer:
        peer.send(data, bench.address())
        answer = await final_answer(peer)
    expected = EXPECTATIONS[name]["answer"]
    if expected == "none":
        assert answer is None
    elif expected == "any" or (EXPECTATIONS[name]["parse"] == "either" and is_accepted(data)):
        assert status_of(answer) not in (None, 400)
    else:
        assert status_of(answer) in expected
    assert await works(bench)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("bext01", b"Unsupported: nothingSupportsThis, nothingSupportsThisEither"),
        ("invut", b"Accept: application/sdp"),
        ("sdp01", b"Accept: application/sdp"),
        ("cparam01", b"Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO"),
    ],
)
async def test_a_refusal_says_how_to_do_better(bench: Bench, name: str, header: bytes) -> None:
    with UdpPeer() as peer:
        peer.send((MESSAGES / "rfc4475" / f"{name}.dat").read_bytes(), bench.address())
        answer = await final_answer(peer)
    assert answer is not None
    assert header in answer.split(b"\r\n")


@pytest.mark.parametrize("name", RFC5118)
async def test_rfc_5118(bench: Bench, name: str) -> None:
    data = (MESSAGES / "rfc5118" / f"{name}.dat").read_bytes()
    head, _, body = data.partition(b"\r\n\r\n")
    # Three of them announce a body shorter than theirs (see the README beside them).
    head = re.sub(rb"(?<=Content-Length: )[1-9][0-9]*", b"%d" % len(body), head)
    with UdpPeer() as peer:
        peer.send(head + b"\r\n\r\n" + body, bench.address())
        status = status_of(await final_answer(peer))
    assert status is not None
    assert (status == 400) == (name == "ipv6-bad")
    assert await works(bench)


async def test_all_of_them_at_one_endpoint_leave_nothing_behind(bench: Bench) -> None:
    with UdpPeer() as peer:
        for path in sorted(MESSAGES.glob("*/*.dat")):
            peer.send(path.read_bytes(), bench.address())
        await bench.in_step(peer)
    assert await works(bench)
    await bench.until(lambda: (bench.sip.legs, bench.sip.transactions) == (0, 0))
