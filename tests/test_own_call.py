# SPDX-License-Identifier: GPL-3.0-or-later
"""A call with our own phone: what is told of it, and whether it went well."""

from __future__ import annotations

import asyncio
import socket

import pytest

from dialin import own_phone
from dialin.errors import OperatorError
from dialin.own_call import Script, place
from dialin.registry import CallState
from dialin.sip import IncomingLeg, Listen, SipEndpoint
from tests.world import whole_service

PIN = "123456789"
CALLER = "+4915738620594"


def script(keys: str = "", *, listen_s: float = 0.1) -> Script:
    return Script("dialin", CALLER, keys, listen_s)


async def test_a_call_into_a_room_is_told_step_by_step() -> None:
    async with whole_service() as world:
        await world.service.rooms.look_again()
        told: list[str] = []
        calling = asyncio.create_task(
            place(
                "127.0.0.1",
                world.sip_port("udp"),
                script(f"{PIN}#", listen_s=30),
                on_step=told.append,
            )
        )
        in_room = (CallState.IN_ROOM,)
        await world.until(
            lambda: tuple(call.state for call in world.service.registry.snapshots()) == in_room, 20
        )
        await world.service.sip.close()  # so the far end hangs up
        assert await calling
    assert told[:-1] == ["dialling", "answered", "sound-heard", "keyed", "peer-hung-up"]
    assert "packets came" in told[-1]
    assert PIN not in str(told)


async def test_a_call_that_is_over_is_hung_up_by_us() -> None:
    async with whole_service() as world:
        told: list[str] = []
        assert await place("localhost", world.sip_port("udp"), script(), on_step=told.append)
    assert told[:4] == ["dialling", "answered", "sound-heard", "hung-up"]


async def test_a_refusal_is_told() -> None:
    told: list[str] = []
    async with await SipEndpoint.open(
        [Listen("UDP", "127.0.0.1", 0)],
        allow_source=lambda _host: True,
        on_call=lambda leg: leg.reject(486),
    ) as door:
        port = door.addresses[0].port
        assert not await place("127.0.0.1", port, script(), on_step=told.append)
    assert told == ["dialling", "refused with 486"]


async def test_an_answer_that_makes_no_sense_is_told() -> None:
    told: list[str] = []
    tasks: set[asyncio.Task[bytes | None]] = set()

    def answer(leg: IncomingLeg) -> None:
        tasks.add(asyncio.create_task(leg.answer(b"nonsense")))

    async with await SipEndpoint.open(
        [Listen("UDP", "127.0.0.1", 0)], allow_source=lambda _host: True, on_call=answer
    ) as door:
        port = door.addresses[0].port
        assert not await place("127.0.0.1", port, script(), on_step=told.append)
    assert told[1].startswith("no call: ")


async def test_a_name_that_does_not_exist_is_the_operators_to_mend() -> None:
    with pytest.raises(OperatorError, match="unknown"):
        await place("no-such-host.invalid", 5060, script(), on_step=print)


@pytest.mark.parametrize("host", ["192.0.2.1", "198.51.100.7"])
async def test_no_other_machine_is_called(host: str) -> None:
    told: list[str] = []
    with pytest.raises(OperatorError):
        await place(host, 5060, script(), on_step=told.append)
    assert told == []


async def test_without_a_port_there_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        even = other.getsockname()[1] & ~1
        monkeypatch.setattr(own_phone, "PORTS", (even, even + 1))
        with pytest.raises(OperatorError, match="is free"):
            await place("127.0.0.1", 9, script(), on_step=lambda _step: None)
