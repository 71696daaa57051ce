# SPDX-License-Identifier: GPL-3.0-or-later
"""PINs by the thousand in INFO requests over UDP, which are lost, doubled and repeated.

Each way loses one message in ten and brings two of ten twice, some of them late: a key whose answer
is lost is sent again, and counts once. Keys in RTP are in `tests/media/test_lossy_pins.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random

import pytest

from dialin.sip import IncomingLeg
from dialin.wire.message import Response, parse
from dialin.wire.timers import Timers
from tests.fakes.sip_peers import UdpPeer
from tests.sipbench import Bench, caller_at, opened, talking

LOSS, DOUBLED = 0.1, 0.2
LATE_S = 0.03
TIMERS = Timers(t1_s=0.05)
"""The first repeat is after 50 ms, the last before 3.2 s."""
FEW, MANY = 30, 1000
AT_ONCE = 50
PIN_DIGITS = 9
BODIES: dict[str, Callable[[str], str]] = {
    "application/dtmf-relay": lambda key: f"Signal={key}\r\nDuration=160\r\n",
    "application/dtmf": lambda key: key,
}


class Network:
    """Loses, doubles and delays what passes."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self.lost = self.doubled = 0

    def pass_on(self, deliver: Callable[[], None]) -> None:
        """A message sets out."""
        if self._draw.random() < LOSS:
            self.lost += 1
            return
        twice = self._draw.random() < DOUBLED
        self.doubled += twice
        for _ in range(1 + twice):
            asyncio.get_running_loop().call_later(self._draw.uniform(0, LATE_S), deliver)


class Phone:
    """A caller who keys by INFO: one key after the other, each until it is answered."""

    def __init__(self, bench: Bench, network: Network, call_id: str) -> None:
        self._bench = bench
        self._network = network
        self._peer = UdpPeer()
        self._caller = caller_at(self._peer, call_id=call_id)
        self._answered: dict[int, int] = {}
        self._came = asyncio.Event()

    async def key(self, pin: str, leg: IncomingLeg, draw: Random) -> str:
        """Key a PIN; what the service hears of it."""
        heard: list[str] = []
        leg.on_info_digit = heard.append
        reading = asyncio.create_task(self._read())
        for cseq, key in enumerate(pin, start=2):
            kind = draw.choice(list(BODIES))
            body = BODIES[kind](key).encode()
            await self._ask(
                self._caller.request("INFO", cseq, [("Content-Type", kind)], body), cseq
            )
        await asyncio.sleep(2 * LATE_S)  # what comes twice comes now
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        self._peer.send(self._caller.request("BYE", len(pin) + 2), self._bench.address())
        self._peer.close()
        return "".join(heard)

    async def _ask(self, request: bytes, cseq: int) -> None:
        wait_s = TIMERS.t1_s
        async with asyncio.timeout(64 * TIMERS.t1_s):
            while cseq not in self._answered:
                self._network.pass_on(partial(self._send, request))
                self._came.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), wait_s)
                wait_s = min(2 * wait_s, TIMERS.t2_s)
        assert self._answered[cseq] == 200

    def _send(self, request: bytes) -> None:
        with suppress(OSError):  # late, and the phone is gone
            self._peer.send(request, self._bench.address())

    async def _read(self) -> None:
        while True:
            message = parse(await self._peer.octets())
            if isinstance(message, Response):
                self._network.pass_on(partial(self._take, message))

    def _take(self, response: Response) -> None:
        self._answered[response.cseq.number] = response.status
        self._came.set()

    async def call(self) -> IncomingLeg:
        """Call; nothing is lost before the call is up."""
        return await talking(self._bench, self._peer, self._caller)


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.e2e)])
@pytest.mark.parametrize("seed", [6086])
async def test_every_pin_by_info_is_right(count: int, seed: int) -> None:
    draw = Random(seed)  # noqa: S311 - a network, not a secret
    network = Network(draw)
    pins = ["".join(draw.choices("0123456789", k=PIN_DIGITS)) + "#" for _ in range(count)]
    async with opened(timers=TIMERS) as bench:
        for begin in range(0, count, AT_ONCE):
            several = pins[begin : begin + AT_ONCE]
            phones = [Phone(bench, network, f"{begin + at}@peer") for at in range(len(several))]
            legs = [await phone.call() for phone in phones]
            heard = await asyncio.gather(
                *(
                    phone.key(pin, leg, draw)
                    for phone, pin, leg in zip(phones, several, legs, strict=True)
                )
            )
            assert heard == several
    print(f"seed {seed}: {count} PINs, {network.lost} lost, {network.doubled} doubled")  # noqa: T201
    assert network.lost > count
    assert network.doubled > count
