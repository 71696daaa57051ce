# SPDX-License-Identifier: GPL-3.0-or-later
"""A test call out by a provider's trunk and back in: what is told of it, and how it went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dialin import trunk_call
from dialin.outside import Exit, Outside, listens_beside, outside_to
from dialin.own_phone import Line
from dialin.registry import CallState
from dialin.sip import Listen
from dialin.trunk_call import Wish, opened_calls, place
from dialin.wire.encryption import Encryption
from dialin.wire.login import Login
from dialin.wire.registration import Account
from tests.fakes.carrier import NUMBER, Carrier
from tests.fakes.registrar import PASSWORD, REALM, USER
from tests.world import TOKEN, World, whole_service

PIN = "123456789"


def way(carrier: Carrier, contact_user: str = "nobody", *, password: str = PASSWORD) -> Outside:
    """Out by the carrier, to the only number."""
    login = Login(USER, password, REALM)
    by = Exit(
        "lab",
        "127.0.0.1",
        carrier.port,
        carrier.transport,
        Line(USER, REALM, login, encryption=Encryption.OFF),
        Account(REALM, USER, login, contact_user),
    )
    return outside_to(NUMBER, by, [NUMBER])


@asynccontextmanager
async def registered(carrier: Carrier) -> AsyncIterator[World]:
    """A service that is registered with the carrier."""
    trunk: dict[str, Any] = {
        "mode": "register",
        "registrar": f"127.0.0.1:{carrier.port}",
        "domain": REALM,
        "username": USER,
        "password": PASSWORD,
        "transport": carrier.transport.lower(),
        "numbers": [{"e164": NUMBER}],
    }
    async with whole_service(trunks={"demo": trunk}) as world:
        await carrier.registered()
        await world.service.rooms.look_again()
        yield world


async def story(
    outside: Outside, *, base: str, pin: str = PIN, token: str = TOKEN
) -> tuple[bool, list[str]]:
    """What a call tells, and whether it went well."""
    told: list[str] = []
    listen = listens_beside([Listen(outside.by.transport, "127.0.0.1", 5060)], outside.by.transport)
    async with opened_calls(base, token) as calls:
        is_well = await place(
            outside, Wish(pin, 0.1), listen=listen, calls=calls, on_step=told.append
        )
    assert PIN not in str(told)
    assert PASSWORD not in str(told)
    return is_well, told


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_out_by_the_provider_back_in_and_into_the_room(transport: str) -> None:
    async with Carrier(transport=transport) as carrier, registered(carrier) as world:
        user = carrier.contacts[0].removeprefix("sip:").partition("@")[0]
        is_well, told = await story(way(carrier, user), base=world.http)
        assert told == [
            f"reached {transport} 127.0.0.1:{carrier.port}",
            "registered",
            "dialling",
            "answered",
            "prompt-heard",
            "keyed",
            "pin-accepted",
            "in-room",
            "hung-up",
        ]
        assert is_well
        assert (carrier.challenged, carrier.called) == (1, [NUMBER])
        await world.until(lambda: not world.service.registry.snapshots())


async def test_a_wrong_pin_does_not_lead_into_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_call, "IN_ROOM_WITHIN_S", 3.0)
    async with Carrier() as carrier, registered(carrier) as world:
        is_well, told = await story(way(carrier), base=world.http, pin="99999999999")
    assert not is_well
    assert told[1] == "not-registered"
    assert told[-3:] == ["keyed", "not-in-room", "hung-up"]


async def test_without_the_services_word_a_call_that_stays_up_is_all_that_is_known() -> None:
    async with Carrier() as carrier, registered(carrier) as world:
        is_well, told = await story(way(carrier), base=world.http, token="wrong")
    assert is_well
    assert told[-2:] == ["not-seen: the service's API does not answer here", "hung-up"]


async def test_without_a_pin_the_prompt_is_enough() -> None:
    async with Carrier() as carrier, registered(carrier) as world:
        is_well, told = await story(way(carrier), base=world.http, pin="")
        assert CallState.IN_ROOM not in {call.state for call in world.service.registry.snapshots()}
    assert is_well
    assert told[-2:] == ["prompt-heard", "hung-up"]
    assert "keyed" not in told


async def test_a_wrong_password_is_told_and_nobody_is_called() -> None:
    async with Carrier() as carrier:
        is_well, told = await story(way(carrier, password="wrong"), base="http://127.0.0.1:9")
    assert not is_well
    assert told == ["not reached: credentials-refused"]
    assert carrier.called == []


async def test_a_service_that_is_not_registered_is_not_reached_by_its_number() -> None:
    async with Carrier() as carrier:
        is_well, told = await story(way(carrier), base="http://127.0.0.1:9")
    assert not is_well
    assert told[1:] == ["not-registered", "dialling", "refused with 404"]
