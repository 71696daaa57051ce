# SPDX-License-Identifier: GPL-3.0-or-later
"""The service as a whole: it starts, takes and refuses calls at the door, drains and stops."""

from __future__ import annotations

import asyncio
import os
import signal
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import aiohttp
import pytest

from dialin import app
from dialin.__main__ import operator_errors
from dialin.app import door as front
from dialin.app import parts
from dialin.app.door import FrontDoor
from dialin.demo.bbb import Fault
from dialin.demo.run import demo_settings
from dialin.errors import OperatorError
from dialin.house import House
from dialin.providers import tls_target
from dialin.registry import Registry
from dialin.sip import Certificate, Listen, Refused, SipEndpoint, TlsTarget
from dialin.systemd import ServiceManager
from dialin.trunk import Trunk, Trunks
from dialin.wire.encryption import Encryption
from dialin.wire.flow import Flow
from dialin.wire.message import Request, parse
from dialin.wire.sdes import Suite
from tests.peers.clips import Clips
from tests.peers.phone import Phone
from tests.settings import UNSUPPORTED, settings
from tests.settings.test_peer_checks import REGISTER
from tests.world import (
    ANYWHERE,
    CALLER,
    TOKEN,
    Traces,
    World,
    settled,
    telephone,
    whole_service,
)
from tests.world import ring as dial


async def states(world: World) -> list[dict[str, Any]]:
    """What the API shows."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{world.http}/api/v1/calls") as answer,
    ):
        shown: list[dict[str, Any]] = await answer.json()
        return shown


async def metrics(world: World) -> str:
    """The metrics page."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{world.http}/metrics") as answer,
    ):
        return await answer.text()


async def test_a_call_is_taken_shown_without_its_number_and_gone_without_a_trace() -> None:
    async with whole_service() as world, telephone() as phone:
        await world.service.rooms.look_again()
        before = Traces.of(world)
        leg = await dial(phone, world)
        await leg.answered()
        [shown] = await states(world)
        assert shown["trunk"] == "demo"
        assert shown["state"] in ("greeting", "pin")
        assert CALLER[1:] not in str(shown)
        leg.hang_up()
        await asyncio.wait_for(leg.ended, 5)
        assert (await settled(world, before)).within(before)
        assert 'reason="hung-up-early",result="caller",trunk="demo"} 1.0' in await metrics(world)


async def test_the_service_ends_the_calls_that_are_up_when_it_stops() -> None:
    async with telephone() as phone:
        async with whole_service() as world:
            leg = await dial(phone, world)
            await leg.answered()
        end = await asyncio.wait_for(leg.ended, 5)
        assert (end.by, end.cause) == ("peer", "bye")


async def test_what_this_version_cannot_do_is_refused_before_anything_starts() -> None:
    with pytest.raises(OperatorError, match=r"trunks\.lab\.preset"):
        async with app.running(settings(UNSUPPORTED)):
            pytest.fail("the service has started")


@pytest.mark.parametrize(
    ("changes", "networks"),
    [
        ({}, ("203.0.113.0/28",)),
        ({"trunks.lab.media_networks": ["198.51.100.0/24"]}, ("198.51.100.0/24",)),
        (REGISTER, ("0.0.0.0/0", "::/0")),
        (REGISTER | {"trunks.lab.media_networks": ["198.51.100.0/24"]}, ("198.51.100.0/24",)),
    ],
)
def test_audio_comes_from_where_the_trunk_says_or_from_a_provider_we_log_in_with(
    changes: dict[str, Any], networks: tuple[str, ...]
) -> None:
    trunk = parts.make_trunk("lab", settings(changes).trunks["lab"])

    assert trunk.media_networks == networks


@pytest.mark.parametrize(
    ("changes", "trunk", "voice"),
    [
        ({}, Encryption.PREFER, Encryption.OFF),
        ({"bbb_servers.main.voice_transport": "tls"}, Encryption.PREFER, Encryption.PREFER),
        (
            {"bbb_servers.main.voice_allow_insecure_sdes": True},
            Encryption.PREFER,
            Encryption.PREFER,
        ),
        (
            {
                "trunks.lab.transport": "tls",
                "trunks.lab.media_encryption": "require",
                "bbb_servers.main.voice_transport": "tls",
                "bbb_servers.main.voice_encryption": "require",
            },
            Encryption.REQUIRE,
            Encryption.REQUIRE,
        ),
        (
            {
                "trunks.lab.media_encryption": "off",
                "bbb_servers.main.voice_transport": "tls",
                "bbb_servers.main.voice_encryption": "off",
            },
            Encryption.OFF,
            Encryption.OFF,
        ),
    ],
)
def test_the_settings_say_what_is_encrypted(
    changes: dict[str, Any], trunk: Encryption, voice: Encryption
) -> None:
    told = settings(changes)
    assert parts.make_trunk("lab", told.trunks["lab"]).encryption is trunk
    assert parts.make_voice_servers(told)["main"].encryption is voice
    assert parts.make_policy(told).suites == tuple(Suite)


def test_the_number_called_may_stand_in_a_header_of_the_providers_own() -> None:
    told = settings({"trunks.lab.number_from": ["request-uri", "header:X-DID"]}).trunks["lab"]
    request = parse(
        b"INVITE sip:account@bridge.example SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKa\r\n"
        b"From: <sip:anonymous@anonymous.invalid>;tag=1\r\n"
        b"To: <sip:account@bridge.example>\r\n"
        b"Call-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
        b"X-DID: 493012345678\r\nContent-Length: 0\r\n\r\n"
    )
    assert isinstance(request, Request)

    assert parts.make_trunk("lab", told).identify(request).number_called == "+493012345678"


async def test_a_number_that_is_not_ours_is_not_found() -> None:
    trunk = {
        "demo": {
            "allowed_sources": ["127.0.0.0/8"],
            "numbers": [{"e164": "+493023125100"}],
            "region": "DE",
        }
    }
    async with whole_service(trunks=trunk) as world, telephone() as phone:
        leg = await dial(phone, world, "+493023125999")
        with pytest.raises(Refused) as refused:
            await leg.answered()
        assert refused.value.status == 404
        assert 'reason="unknown-number",result="trunk",trunk="demo"} 1.0' in await metrics(world)
        ours = await dial(phone, world, "03023125100")
        await ours.answered()


async def test_one_call_too_many_is_asked_to_come_back() -> None:
    async with whole_service(service={"max_calls": 1}) as world, telephone() as phone:
        first = await dial(phone, world)
        await first.answered()
        second = await dial(phone, world)
        with pytest.raises(Refused) as refused:
            await second.answered()
        assert refused.value.status == 503
        assert len(await states(world)) == 1
        assert 'reason="busy",result="service",trunk="demo"} 1.0' in await metrics(world)


async def test_a_stranger_is_not_heard() -> None:
    trunk = {"demo": {"allowed_sources": ["192.0.2.0/24"]}}
    async with whole_service(trunks=trunk) as world, telephone() as phone:
        leg = await dial(phone, world)
        await asyncio.sleep(0.3)
        # 127.0.0.1 is the voice server's address: it is heard, and may not call.
        with pytest.raises(Refused) as refused:
            await leg.answered()
        assert refused.value.status == 403
    async with (
        whole_service(trunks=trunk, bbb_servers=SERVER_ELSEWHERE) as world,
        telephone() as phone,
    ):
        leg = await dial(phone, world)
        await asyncio.sleep(0.3)
        assert world.service.sip.counters.dropped_source >= 1
        assert not leg.ended.done()


SERVER_ELSEWHERE = {
    "demo": {"url": "http://127.0.0.1:9/bigbluebutton/", "secret": "s", "voice_host": "10.0.0.1"}
}


async def test_sigterm_lets_calls_finish_and_refuses_new_ones() -> None:
    async with whole_service() as world, telephone() as phone:
        first = await dial(phone, world)
        await first.answered()
        waiting = asyncio.create_task(app.until_told_to_stop(world.service, lambda: 30))
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        while not world.service.registry.is_draining:  # noqa: ASYNC110 - a signal is on its way
            await asyncio.sleep(0.01)
        second = await dial(phone, world)
        with pytest.raises(Refused) as refused:
            await second.answered()
        assert refused.value.status == 503
        assert not waiting.done()
        first.hang_up()
        await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_calls_with_a_word(
    second: signal.Signals, tmp_path: Path
) -> None:
    clips = Clips(tmp_path / "clips")
    async with whole_service(dtmf="info", **clips.settings) as world:
        async with Phone(world.sip_port("udp")) as phone:
            assert await phone.dial() == 200
            waiting = asyncio.create_task(app.until_told_to_stop(world.service, lambda: 600))
            await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.1)
            assert not waiting.done()
            os.kill(os.getpid(), second)
            await phone.is_hung_up_on()
            await asyncio.wait_for(waiting, 5)
            assert clips.heard(phone.rtp.audio)[-2:] == ["service-restarts", "goodbye"]
        assert (await world.ends()) == {"service/stopped": 1}


async def test_draining_ends_when_patience_does(tmp_path: Path) -> None:
    clips = Clips(tmp_path / "clips")
    async with whole_service(dtmf="info", **clips.settings) as world, telephone() as phone:
        leg = await dial(phone, world)
        await leg.answered()
        waiting = asyncio.create_task(app.until_told_to_stop(world.service, lambda: 0.2))
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(waiting, 10)
        assert len(world.service.registry) == 0


class Impatient(ServiceManager):
    """Ends the service once it is ready."""

    def ready(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


async def test_the_service_says_when_it_is_ready_and_ends_with_status_0() -> None:
    async with whole_service() as world:
        settings = demo_settings(
            ANYWHERE, ANYWHERE, TOKEN, world.bbb, world.conference.addresses[0]
        )
        status = await app.run(settings, manager=Impatient())
        assert status == 0


async def test_a_call_that_fails_in_our_hands_is_hung_up_and_the_next_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with whole_service() as world, telephone() as phone:
        with monkeypatch.context() as broken:
            broken.setattr(front, "Call", None)
            leg = await dial(phone, world)
            with pytest.raises(Refused) as refused:
                await leg.answered()
        assert refused.value.status == 503
        assert "a call failed" in caplog.text
        following = await dial(phone, world)
        await following.answered()


async def test_a_call_that_comes_before_the_house_stands_is_asked_to_come_back() -> None:
    async with whole_service() as world, telephone() as phone:
        door = FrontDoor(
            Trunks([Trunk("t", networks=["127.0.0.0/8"])]),
            world.service.registry,
            asyncio.TaskGroup(),
        )
        async with await SipEndpoint.open(
            [Listen("UDP", "127.0.0.1", 0)], allow_source=door.hears, on_call=door.take
        ) as early:
            port = early.addresses[0].port
            leg = await phone.invite(
                f"sip:1@127.0.0.1:{port}",
                Flow("UDP", "127.0.0.1", port),
                from_display="",
                from_user=CALLER,
                offer=b"",
            )
            with pytest.raises(Refused) as refused:
                await leg.answered()
            assert refused.value.status == 503


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("192.0.2.20", "203.0.113.9"),  # a provider
        ("10.0.0.12", None),  # a voice server, on our side of the NAT
        ("127.0.0.1", None),
        ("2001:db8::20", None),
        ("198.51.100.1", None),  # nobody
    ],
)
def test_providers_are_told_the_address_that_a_nat_gives_us(host: str, told: str | None) -> None:
    networks = ["192.0.2.0/24", "127.0.0.0/8", "2001:db8::/32", "10.0.0.0/8"]
    trunks = Trunks([Trunk("lab", networks=networks)])
    door = FrontDoor(trunks, cast(Registry, None), cast(asyncio.TaskGroup, None))
    voice = SimpleNamespace(knows=lambda host: host == "10.0.0.12")
    door.open(cast(House, SimpleNamespace(voice=voice)))
    assert parts.advertised_to(IPv4Address("203.0.113.9"), door, host) == told
    assert parts.advertised_to(None, door, host) is None


async def test_readiness_follows_bbb() -> None:
    async with whole_service() as world, aiohttp.ClientSession() as session:

        async def status() -> int:
            async with session.get(f"{world.http}/readyz") as answer:
                return answer.status

        async with asyncio.timeout(5):
            while await status() != 200:  # noqa: ASYNC110 - as a load balancer asks
                await asyncio.sleep(0.05)
        world.bbb.fault = Fault.HTTP_500
        await world.service.rooms.look_again()
        assert await status() == 503
        assert 'dialin_bbb_requests_total{result="http-server-error",server="demo"}' in (
            await metrics(world)
        )


async def test_a_port_that_is_taken_is_named() -> None:
    async with whole_service() as world:
        at = world.service.sip.addresses[0]
        taken = {"listen": [{"transport": "udp", "host": at.host, "port": at.port}]}
        failures: list[OperatorError] = []
        try:
            async with whole_service(sip=taken):
                pass
        except* OperatorError as group:
            failures.extend(operator_errors(group))
        assert [str(at.port) in failure.cause for failure in failures] == [True]


TLS_TRUNK = {"trunks.lab.transport": "tls", "trunks.lab.domain": "sip.example.net"}


def test_a_trunk_over_tls_proves_its_name_from_wherever_it_may_call() -> None:
    trusted: list[tuple[Any, ...]] = []
    sip = SimpleNamespace(trust=lambda *entry: trusted.append(entry))
    for changes in ({"trunks.lab.transport": "tls"}, {"trunks.lab.domain": "x"}, TLS_TRUNK):
        parts.trust_trunks(settings(changes), cast(Any, sip))
    assert trusted == [("203.0.113.0/28", 0, TlsTarget("sip.example.net"))]


def test_what_we_prove_ourselves_with_goes_with_tls_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "own.pem"
    file.touch()
    plain = {"transport": "udp", "host": "127.0.0.1"}
    told = settings(
        {
            "sip.listen": [plain, {**plain, "transport": "tls"}],
            "sip.tls_certificate": str(file),
            "trunks.lab.tls_client_certificate": str(file),
            "trunks.lab.tls_client_key": str(file),
            **TLS_TRUNK,
        }
    )
    own = Certificate(file)
    assert [at.certificate for at in parts.listen_addresses(told)] == [None, own]
    assert tls_target(told.trunks["lab"]).certificate == Certificate(file, file)


async def test_certificates_are_followed_and_what_goes_wrong_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parts, "CERTIFICATES_EVERY_S", 0)
    caplog.set_level("INFO")
    looks = [(), (Certificate(Path("/tls.pem")),), OperatorError("spoiled.", "Mend it."), KeyError]
    certificates = Mock(refresh=Mock(side_effect=looks))
    with pytest.raises(KeyError):
        await parts.follow_certificates(certificates)
    told = [(record.message, record.levelname) for record in caplog.records]
    assert told == [("certificate renewed", "INFO"), ("certificate not renewed", "WARNING")]
