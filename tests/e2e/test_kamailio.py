# SPDX-License-Identifier: GPL-3.0-or-later
"""Kamailio as the provider: register, take its calls, outlive its end and the end of connections.

The phone that calls through it is baresip's, so that nothing of ours stands on the other side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dialin.registry import CallState
from dialin.sip import Certificate
from tests.calls.test_baresip_calls import TONE, tone_is_heard
from tests.fakes.authority import Authority
from tests.peers.baresip import Baresip, baresip, needs_baresip
from tests.peers.clips import Clips
from tests.peers.kamailio import (
    HOST,
    NUMBER,
    PASSWORD,
    REALM,
    USER,
    Kamailio,
    kamailio,
    needs_kamailio,
    needs_kamailio_tls,
)
from tests.peers.process import needs, needs_raw_sockets
from tests.world import World, whole_service

pytestmark = [pytest.mark.e2e, needs_kamailio]

CALLER = "+4915738620594"
ROOM = "123456789"
TLS = pytest.param("tls", marks=needs_kamailio_tls)
TRANSPORTS = ("udp", "tcp", TLS)
OUTAGE_S = 60.0


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("kamailio", names="DNS:localhost")


def is_by_tls(request: pytest.FixtureRequest) -> bool:
    """Whether the test that runs is one over TLS."""
    callspec = getattr(request.node, "callspec", None)
    return callspec is not None and callspec.params.get("transport") == "tls"


@pytest.fixture
async def provider(
    tmp_path: Path, certificate: Certificate, request: pytest.FixtureRequest
) -> AsyncIterator[Kamailio]:
    shown = certificate if is_by_tls(request) else None
    async with kamailio(tmp_path / "kamailio", certificate=shown) as running:
        yield running


@asynccontextmanager
async def registering(
    provider: Kamailio,
    folder: Path,
    transport: str,
    *,
    authority: Authority | None = None,
    **changes: Any,
) -> AsyncIterator[World]:
    """The whole service with one trunk, at Kamailio."""
    trunk = {
        "mode": "register",
        "registrar": f"localhost:{provider.ports[transport]}",
        "domain": REALM,
        "transport": transport,
        "username": USER,
        "password": PASSWORD,
        "realm": REALM,
        "digest_algorithms": ["sha-256"],
        "media_networks": ["127.0.0.0/8"],
        "numbers": [{"e164": NUMBER}],
        "number_from": ["request-uri", "to"],
        "media_encryption": "off",
        **({"tls_ca_file": str(authority.file)} if authority and transport == "tls" else {}),
        **changes,
    }
    clips = Clips(folder / "clips")
    async with whole_service(trunks={"demo": trunk}, **clips.settings) as world:
        yield world


async def figure(world: World, name: str) -> float:
    """A figure of the trunk on the metrics page."""
    for family in text_string_to_metric_families((await world.page("/metrics")).decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels.get("trunk") == "demo":
                return float(sample.value)
    pytest.fail(f"no {name}")


async def registered(world: World, within_s: float = 15.0) -> None:
    """Wait until the service says that the trunk is registered."""
    async with asyncio.timeout(within_s):
        while not await figure(world, "dialin_trunk_registered"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def is_in_room(world: World) -> bool:
    return [call.state for call in world.service.registry.snapshots()] == [CallState.IN_ROOM]


async def call_in(world: World, provider: Kamailio, phone: Baresip) -> None:
    """Call our number at the provider, and go into the room."""
    await phone.dial(f"sip:{NUMBER}@{HOST}:{provider.ports['udp']}")
    await phone.press(f"{ROOM}#")
    await world.until(lambda: is_in_room(world))


def never_more_than_one_a_second(provider: Kamailio) -> bool:
    return all(later - sooner >= 0.99 for sooner, later in pairwise(provider.registers))


@pytest.mark.parametrize("transport", TRANSPORTS)
@needs_baresip
async def test_a_call_comes_by_the_registration_and_leads_into_the_room(
    tmp_path: Path, provider: Kamailio, authority: Authority, transport: str
) -> None:
    async with (
        registering(provider, tmp_path, transport, authority=authority) as world,
        baresip(tmp_path / "phone", CALLER, hertz=450) as phone,
    ):
        await registered(world)
        [(_, by, seconds)] = provider.saved
        assert (by, seconds) == (transport, 300)
        expires_at = await figure(world, "dialin_trunk_registration_expires_timestamp_seconds")
        assert expires_at - provider.saved[0][0] == pytest.approx(300, abs=5)
        await call_in(world, provider, phone)
        [member] = world.conference.members(ROOM)
        assert member.reading.name == "xxx-xxx-0594"
        await phone.hang_up()
        await world.until(lambda: not world.service.registry.snapshots())
        assert await world.ends() == {"success/left-room": 1}
    # The challenge, the registration, and on leaving the end of it.
    assert [seconds for _, _, seconds in provider.saved] == [300, 0]
    assert never_more_than_one_a_second(provider)


@pytest.mark.parametrize("transport", ["udp", TLS])
async def test_with_the_wrong_password_nothing_is_registered_and_the_operator_is_told(
    tmp_path: Path, provider: Kamailio, authority: Authority, transport: str
) -> None:
    async with registering(
        provider, tmp_path, transport, authority=authority, password="wrong"
    ) as world:
        await provider.until(lambda: len(provider.registers) >= 2)
        ready = await world.page("/readyz")
        async with asyncio.timeout(10):
            while b"credentials-refused" not in ready:
                ready = await world.page("/readyz")
        assert b'"ready": false' in ready
        await asyncio.sleep(5)
        assert len(provider.registers) == 2
    assert provider.saved == []


@needs_kamailio_tls
async def test_a_provider_that_cannot_prove_its_name_gets_no_register(
    tmp_path: Path, authority: Authority
) -> None:
    wrong = authority.issue("wrong", names="DNS:elsewhere.example.org")
    async with (
        kamailio(tmp_path / "kamailio", certificate=wrong) as provider,
        registering(provider, tmp_path, "tls", authority=authority) as world,
    ):
        ready = b""
        async with asyncio.timeout(10):
            while b"certificate-wrong-name" not in ready:
                ready = await world.page("/readyz")
        assert provider.registers == []


@pytest.mark.timeout(180)
@pytest.mark.parametrize("transport", TRANSPORTS)
@needs_baresip
async def test_a_provider_that_dies_for_a_minute_knows_us_again_and_calls_live_on(
    tmp_path: Path, provider: Kamailio, authority: Authority, transport: str
) -> None:
    async with (
        registering(
            provider, tmp_path, transport, authority=authority, keepalive_s=5, expires_s=60
        ) as world,
        baresip(tmp_path / "phone", CALLER, hertz=450) as phone,
    ):
        await registered(world)
        await call_in(world, provider, phone)
        await provider.stop()
        await asyncio.sleep(OUTAGE_S)
        assert await figure(world, "dialin_trunk_registered") == 0
        assert is_in_room(world)
        await provider.start()
        before = asyncio.get_running_loop().time()
        await registered(world, within_s=5.0)
        took_s = asyncio.get_running_loop().time() - before
        assert is_in_room(world)
        await phone.hang_up()  # by the Kamailio that knows nothing of the call but its routes
        await world.until(lambda: not world.service.registry.snapshots())
        assert await world.ends() == {"success/left-room": 1}
    assert never_more_than_one_a_second(provider)
    print(f"registered again after {took_s:.1f} s over {transport}")  # noqa: T201


@asynccontextmanager
async def nothing_gets_through(port: int) -> AsyncIterator[None]:
    """While the block runs, the kernel drops what goes to or from a TCP port, without a word."""
    drop = ["-j", "DROP"]
    async with filtered(*([side, str(port), *drop] for side in ("--sport", "--dport"))):
        yield


@asynccontextmanager
async def connections_are_reset(port: int) -> AsyncIterator[None]:
    """While the block runs, whatever goes to a TCP port is answered with a reset."""
    async with filtered(["--dport", str(port), "-j", "REJECT", "--reject-with", "tcp-reset"]):
        yield


@asynccontextmanager
async def filtered(*filters: list[str]) -> AsyncIterator[None]:
    """The kernel does this with TCP on loopback while the block runs."""
    rules = [["INPUT", "-i", "lo", "-p", "tcp", *each] for each in filters]
    for rule in rules:
        await iptables("-I", rule)
    try:
        yield
    finally:
        for rule in rules:
            await iptables("-D", rule)


async def iptables(action: str, rule: list[str]) -> None:
    process = await asyncio.create_subprocess_exec("iptables", "-w", action, *rule)
    assert await process.wait() == 0


@needs("iptables", "iptables")
@needs_raw_sockets
@needs_baresip
@pytest.mark.timeout(180)
async def test_a_connection_that_goes_dead_is_noticed_in_half_a_minute(
    tmp_path: Path, provider: Kamailio
) -> None:
    async with (
        registering(provider, tmp_path, "tcp") as world,
        baresip(tmp_path / "phone", CALLER, hertz=450) as phone,
    ):
        await registered(world)
        await call_in(world, provider, phone)
        async with nothing_gets_through(provider.ports["tcp"]):
            began = asyncio.get_running_loop().time()
            async with asyncio.timeout(30):
                while await figure(world, "dialin_trunk_registered"):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            noticed_s = asyncio.get_running_loop().time() - began
            await asyncio.sleep(15)
            assert is_in_room(world)
        await registered(world, within_s=8.0)
        assert is_in_room(world)
        await phone.hang_up()
        await world.until(lambda: not world.service.registry.snapshots())
    print(f"noticed after {noticed_s:.1f} s")  # noqa: T201


@needs("iptables", "iptables")
@needs_raw_sockets
@needs_baresip
@pytest.mark.parametrize("hangs_up", ["caller", "room"])
@pytest.mark.parametrize("transport", ["tcp", TLS])
async def test_a_connection_that_is_reset_ends_no_call_and_bye_takes_the_next_one(
    tmp_path: Path,
    provider: Kamailio,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    transport: str,
    hangs_up: str,
) -> None:
    async with (
        registering(provider, tmp_path, transport, authority=authority, keepalive_s=5) as world,
        baresip(tmp_path / "phone", CALLER, hertz=TONE) as phone,
    ):
        await registered(world)
        await call_in(world, provider, phone)
        [member] = world.conference.members(ROOM)
        await world.until_true(lambda: tone_is_heard(world.conference, member))
        known = len(provider.saved)
        caplog.clear()
        async with connections_are_reset(provider.ports[transport]):
            await world.until(lambda: bool({"not renewed", "not registered"} & {*caplog.messages}))
            assert is_in_room(world)
            assert await tone_is_heard(world.conference, member)
        began = asyncio.get_running_loop().time()
        await provider.until(lambda: len(provider.saved) > known, within_s=5.0)
        took_s = asyncio.get_running_loop().time() - began
        assert is_in_room(world)
        if hangs_up == "caller":
            await phone.hang_up()
        else:
            world.bbb.end_room("demo")
        await world.until(lambda: not world.service.registry.snapshots(), within_s=20)
        await phone.tells("CALL_CLOSED")
        end = "left-room" if hangs_up == "caller" else "meeting-ended"
        assert await world.ends() == {f"success/{end}": 1}
    assert never_more_than_one_a_second(provider)
    print(f"registered again {took_s:.1f} s after the reset over {transport}")  # noqa: T201
