# SPDX-License-Identifier: GPL-3.0-or-later
"""A test call out by a provider's trunk and back in: what is told of it, and how it went."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dialin import trunk_call
from dialin.app import parts
from dialin.names import Names
from dialin.outside import Exit, Outside, listens_beside, outside_to
from dialin.own_phone import Line
from dialin.registry import CallState
from dialin.sip import IncomingLeg, Listen, SipEndpoint, TlsTarget
from dialin.trunk_call import TrunkCall, Wish, _users, opened_calls, place
from dialin.wire.encryption import Encryption
from dialin.wire.login import Login
from dialin.wire.message import Headers, Response
from dialin.wire.registration import Account
from tests.fakes.authority import Authority
from tests.fakes.carrier import NUMBER, Carrier
from tests.fakes.dns import name_server
from tests.fakes.registrar import PASSWORD, REALM, USER
from tests.fakes.tls_peers import server
from tests.world import TOKEN, World, whole_service

PIN = "123456789"
EXIT = Exit("lab", "192.0.2.1", 5060, "UDP", Line("us"))


def way(
    carrier: Carrier,
    contact_user: str = "nobody",
    *,
    password: str = PASSWORD,
    ca_file: Path | None = None,
) -> Outside:
    """Out by the carrier, to the only number; encrypted where there is an authority."""
    login = Login(USER, password, REALM)
    line = Line(USER, REALM, login)
    if carrier.tls:
        tls = TlsTarget("127.0.0.1", ca_file)
        line = replace(line, tls=tls, encryption=Encryption.REQUIRE, suites=parts.MEDIA_SUITES)
    by = Exit(
        "lab",
        "127.0.0.1",
        carrier.port,
        carrier.transport,
        line,
        Account(REALM, USER, login, contact_user),
    )
    return outside_to(NUMBER, by, [NUMBER])


@asynccontextmanager
async def registered(carrier: Carrier, **changes: str) -> AsyncIterator[World]:
    """A service that is registered with the carrier."""
    trunk: dict[str, Any] = {
        "mode": "register",
        "registrar": f"127.0.0.1:{carrier.port}",
        "domain": REALM,
        "username": USER,
        "password": PASSWORD,
        "transport": carrier.transport.lower(),
        "numbers": [{"e164": NUMBER}],
        **changes,
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


async def test_what_the_trunk_encrypts_the_test_call_encrypts(tmp_path: Path) -> None:
    authority = Authority.made(tmp_path / "ca")
    context = server(authority.issue("carrier", names="IP:127.0.0.1"))
    encrypted = {"media_encryption": "require", "tls_ca_file": str(authority.file)}
    async with (
        Carrier(transport="TLS", tls=context) as carrier,
        registered(carrier, **encrypted) as world,
    ):
        is_well, told = await story(way(carrier, ca_file=authority.file), base=world.http)
        assert carrier.through
        assert b"RTP/SAVP" in carrier.through.invite.body
        stranger = Authority.made(tmp_path / "stranger")
        _, refused = await story(way(carrier, ca_file=stranger.file), base=world.http)
    assert is_well
    assert told[-2:] == ["in-room", "hung-up"]
    assert len(refused) == 1
    assert refused[0].startswith("not reached: ")
    assert carrier.called == [NUMBER]


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


# How far it came


class Told:
    """A service that tells one thing after another of the calls to a number."""

    def __init__(self, *states: dict[str, str]) -> None:
        self._states = [*states]

    async def states(self, number: str) -> dict[str, str]:
        assert number == NUMBER
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]


class Up:
    """A call that is up, as far as the test wants it."""

    def __init__(self, *, is_over: bool = False) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.pressed = ""
        if is_over:
            self.ended.set_result(None)

    async def hears(self, within_s: float) -> bool:
        return True

    async def press(self, keys: str) -> None:
        self.pressed += keys


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_call, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(trunk_call, "IN_ROOM_WITHIN_S", 0.2)


async def followed(calls: Told, talk: Any) -> tuple[bool, list[str]]:
    """What is told of a call that is up."""
    told: list[str] = []
    nobody: Any = None
    call = TrunkCall(nobody, outside_to(NUMBER, EXIT, [NUMBER]), calls, told.append)
    call._before = {"other": "in_room"}
    return await call._follow(talk, Wish(PIN, 0.0)), told


@pytest.mark.usefixtures("brisk")
async def test_other_peoples_calls_are_not_taken_for_ours() -> None:
    is_well, told = await followed(Told({"other": "in_room", "ours": "pin"}), Up())
    assert not is_well
    assert told == ["prompt-heard", "keyed", "not-in-room", "hung-up"]


@pytest.mark.usefixtures("brisk")
async def test_each_step_is_told_once_and_in_turn() -> None:
    up = Up()
    is_well, told = await followed(
        Told({}, {"ours": "pin"}, {"ours": "waiting"}, {"ours": "joining"}, {"ours": "in_room"}), up
    )
    assert is_well
    assert told == ["prompt-heard", "keyed", "pin-accepted", "in-room", "hung-up"]
    assert up.pressed == f"{PIN}#"


@pytest.mark.usefixtures("brisk")
async def test_a_call_that_ends_before_the_room_has_not_reached_it() -> None:
    is_well, told = await followed(Told({}), Up(is_over=True))
    assert not is_well
    assert told[-2:] == ["not-in-room", "peer-hung-up"]


async def answered_by(what: str) -> list[str]:
    """What a call tells of a provider that knows us by our address and answers so."""
    tasks: set[asyncio.Task[bytes | None]] = set()

    def take(leg: IncomingLeg) -> None:
        if what == "nonsense":
            tasks.add(asyncio.create_task(leg.answer(b"nonsense")))
        else:
            leg.reject(603)

    async with await SipEndpoint.open(
        [Listen("UDP", "127.0.0.1", 0)], allow_source=lambda _host: True, on_call=take
    ) as sip:
        by = replace(EXIT, host="127.0.0.1", port=sip.addresses[0].port)
        _, told = await story(outside_to(NUMBER, by, [NUMBER]), base="http://127.0.0.1:9")
        return told[1:]


async def test_a_provider_without_registration_is_asked_whether_it_is_there() -> None:
    assert await answered_by("no") == ["dialling", "refused with 603"]


async def test_an_answer_that_makes_no_sense_is_told() -> None:
    *_, last = await answered_by("nonsense")
    assert last.startswith("no call: ")


@pytest.mark.parametrize("page", ['{"calls": []}', "not json", "[]"])
async def test_what_is_no_list_of_calls_tells_nothing(page: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="application/json")

    app_of_others = web.Application()
    app_of_others.router.add_get("/api/v1/calls", answer)
    async with (
        TestServer(app_of_others) as served,
        opened_calls(str(served.make_url("")), "") as it,
    ):
        assert await it.states(NUMBER) == ({} if page == "[]" else None)


def test_contacts_that_cannot_be_read_are_nobodys() -> None:
    lines = (("Contact", "<sip:us@192.0.2.1>, <tel:+493012345678>"),)
    assert _users(Response(200, "OK", Headers(lines))) == {"us"}
    assert _users(Response(200, "OK", Headers((("Contact", "<sip:a@>"),)))) == set()


async def test_calls_come_by_the_proxies_that_operator_and_registrar_name() -> None:
    proxy, core = "<sip:proxy.example;lr>", "<sip:core.example;lr>"
    async with Carrier(service_route=core) as carrier:
        outside = way(carrier)
        line = replace(outside.by.line, routes=(proxy,))
        account = replace(outside.by.account, routes=(proxy,))  # type: ignore[type-var]  # it has one
        by = replace(outside.by, line=line, account=account)
        outside = outside_to(NUMBER, by, [NUMBER])
        _, told = await story(outside, base="http://127.0.0.1:9")
    assert told[-1] == "refused with 404"  # nobody is registered
    assert {request.headers.all("Route") for _, request in carrier.registers} == {(proxy,)}
    assert {request.headers.all("Route") for request in carrier.invites} == {(proxy, core)}
    assert len(carrier.invites) == 2  # with the password, too


async def test_the_next_server_is_called_where_the_first_is_gone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as closed:
        closed.bind(("127.0.0.1", 0))
        gone = closed.getsockname()[1]
    async with Carrier(transport="TCP") as carrier, name_server() as dns:
        records = (f"1 1 {gone} sip.test.", f"2 1 {carrier.port} sip.test.")
        dns.set(f"_sip._tcp.{REALM}", "SRV", *records)
        dns.set("sip.test", "A", "127.0.0.1")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trunk_call, "Names", lambda: Names(resolver=dns.resolver))
            by = replace(way(carrier).by, host=REALM, port=None)
            _, told = await story(outside_to(NUMBER, by, [NUMBER]), base="http://127.0.0.1:9")
    assert told[0].startswith(f"not reached TCP 127.0.0.1:{gone}: nobody listens")
    assert told[1] == f"reached TCP 127.0.0.1:{carrier.port}"
    assert told[-1] == "refused with 404"
