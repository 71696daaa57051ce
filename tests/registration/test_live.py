# SPDX-License-Identifier: GPL-3.0-or-later
"""A trunk's task, the SIP endpoint and a registrar on loopback: real sockets, real seconds."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from dialin.names import Names
from dialin.registration import Provider, TrunkRegistration, way
from dialin.registration import trunk as trunk_module
from dialin.sip import LegEnd
from dialin.wire import registration as registration_machine
from dialin.wire.digest import Algorithm, parse_credentials
from dialin.wire.flow import Flow
from dialin.wire.login import Login
from dialin.wire.message import Response
from dialin.wire.registration import Account
from tests.fakes.dns import name_server
from tests.fakes.registrar import PASSWORD, REALM, USER, Fault, Registrar
from tests.sipbench import TCP4, UDP4, Bench, opened
from tests.wire.peers import ANSWER, OFFER, Caller

pytestmark = pytest.mark.usefixtures("hurried")

ACCOUNT = Account(REALM, USER, Login(USER, PASSWORD, REALM), "dialin-lab")


class Trunk:
    """A trunk's task and the endpoint that it uses."""

    def __init__(self, bench: Bench, registration: TrunkRegistration, heard: set[str]) -> None:
        self.bench = bench
        self.registration = registration
        self.heard = heard

    def standing(self) -> tuple[bool, str]:
        """Whether it is registered, and what is wrong."""
        standing = self.registration.standing
        return standing.is_registered, standing.cause

    async def stands(self, is_registered: bool, cause: str = "", within_s: float = 10.0) -> None:
        """Wait until it stands so."""
        async with asyncio.timeout(within_s):
            while self.standing() != (is_registered, cause):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is not listened to for as long as it is in the world; REGISTERs keep their pace."""
    monkeypatch.setattr(way, "ANSWER_WITHIN_S", 0.5)
    monkeypatch.setattr(registration_machine, "ANSWER_WITHIN_S", 2.0)


@asynccontextmanager
async def trunk(
    registrar: Registrar,
    transport: str = "UDP",
    account: Account = ACCOUNT,
    names: Names | None = None,
    **changes: object,
) -> AsyncIterator[Trunk]:
    """A trunk that registers with a registrar while the block runs."""
    heard: set[str] = set()

    def admit(flows: Sequence[Flow]) -> None:
        heard.update(flow.host for flow in flows)

    provider = Provider("lab", account, "127.0.0.1", registrar.port, transport)
    async with opened(UDP4, TCP4, allow_source=lambda host: host in heard) as bench:
        registration = TrunkRegistration(
            replace(provider, **changes),  # type: ignore[arg-type]  # each test names its own
            signalling=bench.sip,
            names=names or Names(),
            admit=admit,
            token=lambda bits: secrets.token_hex(bits // 8),
        )
        task = asyncio.create_task(registration.run())
        try:
            yield Trunk(bench, registration, heard)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def gaps(registrar: Registrar) -> list[float]:
    """The seconds between one REGISTER and the next."""
    return [later - sooner for (sooner, _), (later, _) in pairwise(registrar.registers)]


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_a_trunk_registers_and_takes_it_back(transport: str) -> None:
    async with Registrar() as registrar, trunk(registrar, transport) as lab:
        await lab.stands(True)
        (contact,) = registrar.contacts
        assert contact.startswith("sip:dialin-lab@127.0.0.1:")
        assert contact.endswith(";transport=tcp") is (transport == "TCP")
        (answer,) = registrar.answers
        assert parse_credentials(answer).algorithm is Algorithm.SHA_256
        assert 0 < lab.registration.standing.seconds_left <= 300
        await registrar.until(lambda: bool(registrar.others) or transport == "TCP")
        await lab.registration.leave()
        assert registrar.contacts == []
        assert all(gap >= 1.0 for gap in gaps(registrar))
        assert registrar.connections == (1 if transport == "TCP" else 0)


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_a_nat_is_learnt_from_the_challenge_and_told_in_the_contact(transport: str) -> None:
    async with Registrar(faults={"nat"}) as registrar, trunk(registrar, transport) as lab:
        await lab.stands(True)
        (contact,) = registrar.contacts
        # The port of a stream is the connection's, and nobody listens there.
        port = 40_000 if transport == "UDP" else lab.bench.address(transport)[1]
        assert contact.partition(";")[0] == f"sip:dialin-lab@198.51.100.7:{port}"
        assert len(registrar.registers) == 2  # the challenge has told already
        assert lab.registration.standing.reached_at == f"198.51.100.7:{port}"
        # The topmost Via stays true, so that the registrar goes on telling.
        assert {request.via.host for _, request in registrar.registers} == {"127.0.0.1"}


async def test_a_nat_that_moves_is_told_at_once_and_its_old_address_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trunk_module, "MOVES_EVERY_S", 1.0)
    async with Registrar(granted_s=4, faults={"nat"}) as registrar, trunk(registrar) as lab:
        await lab.stands(True)
        registrar.nat_port = 40_001
        # Seen at the refresh, mended a second later, and what was there before removed.
        await registrar.until(
            lambda: registrar.contacts == ["sip:dialin-lab@198.51.100.7:40001"], within_s=15.0
        )
        assert all(gap >= 0.99 for gap in gaps(registrar))


async def test_a_nat_that_never_rests_does_not_hurry_us_for_ever() -> None:
    async with Registrar(faults={"restless-nat"}) as registrar, trunk(registrar) as lab:
        await lab.stands(True)
        await asyncio.sleep(4.0)
        assert len(registrar.registers) == 2


async def test_calls_over_a_nat_name_the_outer_address() -> None:
    async with Registrar(faults={"nat"}) as registrar, trunk(registrar) as lab:
        await lab.stands(True)
        caller = Caller(sent_by=f"127.0.0.1:{registrar.port}")
        registrar.line().send(caller.invite(OFFER))
        call = await lab.bench.call()
        answering = asyncio.create_task(call.answer(ANSWER))
        while (response := await registrar.responses.get()).status < 200:
            pass
        assert response.contacts[0].uri_text == "sip:dialin@198.51.100.7:40000"
        caller.to_tag = response.to.tag
        registrar.line().send(caller.ack())
        await answering


@pytest.mark.parametrize(
    ("fault", "cause", "answers"),
    [
        ("forbidden", "forbidden", 0),
        ("busy", "overloaded", 0),
        ("broken", "server-error", 0),
        ("wrong-realm", "wrong-realm", 0),
        ("rogue", "challenge-from-elsewhere", 0),
        ("same-nonce", "credentials-refused", 1),
    ],
)
async def test_each_refusal_has_its_cause_and_nobody_gets_an_answer_too_many(
    fault: Fault, cause: str, answers: int
) -> None:
    async with Registrar(faults={fault}) as registrar, trunk(registrar) as lab:
        await lab.stands(False, cause)
        assert len(registrar.answers) == answers


async def test_a_wrong_password_is_refused_after_one_try() -> None:
    account = replace(ACCOUNT, login=Login(USER, "wrong", REALM))
    async with Registrar() as registrar, trunk(registrar, account=account) as lab:
        await lab.stands(False, "credentials-refused")
        assert len(registrar.answers) == 1
        assert lab.registration.standing.remedy.startswith("Correct username")


async def test_a_weak_algorithm_is_not_used_where_it_is_not_allowed() -> None:
    account = replace(ACCOUNT, login=Login(USER, PASSWORD, REALM, (Algorithm.SHA_256,)))
    async with (
        Registrar(algorithms=("MD5",)) as registrar,
        trunk(registrar, account=account) as lab,
    ):
        await lab.stands(False, "algorithm-not-allowed")
        assert registrar.answers == []


@pytest.mark.parametrize("fault", ["brief", "stale", "crowded", "rewritten"])
async def test_what_registrars_do_is_borne(fault: Fault) -> None:
    async with Registrar(faults={fault}) as registrar, trunk(registrar) as lab:
        await lab.stands(True)
        assert all(gap >= 1.0 for gap in gaps(registrar))


async def test_what_others_registered_is_removed_where_the_account_is_ours_alone() -> None:
    account = replace(ACCOUNT, is_ours_alone=True)
    async with Registrar(faults={"crowded"}) as registrar, trunk(registrar, account=account):
        await registrar.until(lambda: "crowded" not in registrar.faults)


async def test_a_registration_is_renewed_before_it_ends() -> None:
    async with Registrar(granted_s=2) as registrar, trunk(registrar) as lab:
        await registrar.until(lambda: len(registrar.registers) == 4)
        assert lab.standing() == (True, "")
        first, *renewals = registrar.answers
        assert [parse_credentials(one).nc for one in renewals] == ["00000002", "00000003"]
        assert {parse_credentials(one).nonce for one in renewals} == {
            parse_credentials(first).nonce
        }


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_a_registrar_that_dies_and_comes_back_knows_us_within_seconds(
    transport: str,
) -> None:
    async with Registrar() as registrar, trunk(registrar, transport, keepalive_s=1.0) as lab:
        await lab.stands(True)
        registrar.die()
        await lab.stands(False, "connection-refused" if transport == "TCP" else "no-answer")
        await asyncio.sleep(3)
        await registrar.open()
        await lab.stands(True, within_s=5.0)
        assert all(gap >= 1.0 for gap in gaps(registrar))


async def test_a_connection_that_goes_silent_is_noticed_and_replaced() -> None:
    async with Registrar() as registrar, trunk(registrar, "TCP", keepalive_s=1.0) as lab:
        await lab.stands(True)
        await asyncio.sleep(1.5)
        registrar.faults.add("silent")
        await lab.stands(False, "no-answer")
        registrar.faults.clear()
        await lab.stands(True, within_s=5.0)
        assert registrar.connections == 2


async def test_a_server_that_hangs_up_after_each_answer_is_not_run_after() -> None:
    async with Registrar(faults={"hangs-up"}) as registrar, trunk(registrar, "TCP"):
        await asyncio.sleep(5)
        # The challenge, the first registration, one at once, then after 2 s, then after 4 s.
        assert len(registrar.registers) <= 5


async def test_calls_come_by_the_registered_connection_and_outlive_it() -> None:
    async with Registrar() as registrar, trunk(registrar, "TCP") as lab:
        await lab.stands(True)
        line = registrar.line()
        caller = Caller(
            transport="TCP",
            sent_by=f"127.0.0.1:{registrar.port}",
            contact=f"<sip:caller@127.0.0.1:{registrar.port};transport=tcp>",
            uri=registrar.contacts[0],
        )
        line.send(caller.invite())
        leg = await lab.bench.call()
        answering = asyncio.create_task(leg.answer(ANSWER))
        ok = await next_response(registrar, 200)
        caller.to_tag = ok.to.tag
        line.send(caller.ack())
        await answering
        assert (leg.offer, registrar.connections) == (OFFER, 1)

        line.close()
        await registrar.until(lambda: registrar.connections == 2)
        await lab.stands(True)
        assert not leg.ended.done()
        leg.hang_up()
        await registrar.until(lambda: any(one.method == "BYE" for one in registrar.others))
        assert registrar.connections == 2
        assert await leg.ended == LegEnd("us", None, "bye")


async def test_the_far_end_may_hang_up_by_the_new_connection() -> None:
    async with Registrar() as registrar, trunk(registrar, "TCP") as lab:
        await lab.stands(True)
        caller = Caller(
            transport="TCP",
            sent_by=f"127.0.0.1:{registrar.port}",
            contact=f"<sip:caller@127.0.0.1:{registrar.port};transport=tcp>",
            uri=registrar.contacts[0],
        )
        registrar.line().send(caller.invite())
        leg = await lab.bench.call()
        answering = asyncio.create_task(leg.answer(ANSWER))
        caller.to_tag = (await next_response(registrar, 200)).to.tag
        registrar.line().send(caller.ack())
        await answering
        registrar.line().close()
        await lab.stands(True)
        await registrar.until(lambda: registrar.connections == 2)
        await registrar.registered()
        registrar.line().send(caller.request("BYE", 2))
        assert (await leg.ended).cause == "bye"


async def test_the_next_server_that_dns_names_takes_over() -> None:
    async with Registrar() as first, Registrar() as second, name_server() as dns:
        records = (f"1 1 {first.port} sip.test.", f"2 1 {second.port} sip.test.")
        dns.set(f"_sip._tcp.{REALM}", "SRV", *records)
        dns.set("sip.test", "A", "127.0.0.1")
        by_dns = Names(resolver=dns.resolver)
        async with trunk(first, "TCP", names=by_dns, host=REALM, port=None) as lab:
            await first.registered()
            assert second.registers == []
            first.die()
            await second.registered(within_s=5.0)
            await lab.stands(True)


async def test_a_connection_that_broke_is_replaced_under_the_same_name() -> None:
    instance = "urn:uuid:00000000-0000-5000-8000-000000000001"
    named = replace(ACCOUNT, instance=instance)
    async with Registrar() as registrar, trunk(registrar, "TCP", named) as lab:
        await lab.stands(True)
        before = len(registrar.registers)
        registrar.line().close()
        await registrar.until(lambda: len(registrar.registers) > before)
        await lab.stands(True)
        names = {
            (contact.params.get("+sip.instance"), contact.params.get("reg-id"))
            for _, request in registrar.registers
            for contact in request.contacts
        }
        assert names == {(f"<{instance}>", "1")}
        assert registrar.connections == 2


async def next_response(registrar: Registrar, status: int) -> Response:
    """The next response of a status."""
    async with asyncio.timeout(10):
        while (response := await registrar.responses.get()).status != status:
            pass
    return response


async def test_no_secret_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Registrar(faults={"stale"}) as registrar, trunk(registrar) as lab:
        await lab.stands(True)
        registrar.faults.add("forbidden")
        await lab.registration.leave()
        answers = [parse_credentials(value) for value in registrar.answers]
    written = "\n".join(str(vars(record)) for record in caplog.records)
    assert "registered" in written
    secrets_ = {PASSWORD, USER, *(one.nonce for one in answers), *(one.response for one in answers)}
    assert not [secret for secret in secrets_ if secret in written]
