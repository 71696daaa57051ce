# SPDX-License-Identifier: GPL-3.0-or-later
"""All of it with other people's software: Kamailio the provider, Asterisk the conference, baresip
the caller, TLS and SRTP throughout. And what operators are told where something is wrong.

The service and `dialin check` read one settings file, as an operator has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dialin import app
from dialin.check import Result, Sheet, Step, check
from dialin.demo.bbb import DemoBbb
from dialin.registry import CallState
from dialin.settings import load
from dialin.sip import Certificate
from tests.e2e.asterisk import HOST, Asterisk, running_asterisk
from tests.e2e.test_asterisk import ROOM, members
from tests.fakes.authority import Authority
from tests.peers.baresip import Baresip, baresip, needs_baresip
from tests.peers.kamailio import (
    NUMBER,
    PASSWORD,
    REALM,
    USER,
    Kamailio,
    kamailio,
    needs_kamailio,
    needs_kamailio_tls,
)
from tests.peers.process import free_port
from tests.world import Served

pytestmark = [
    pytest.mark.e2e,
    needs_kamailio,
    needs_kamailio_tls,
    needs_baresip,
    pytest.mark.timeout(120),
]

CALLER = "+4915738620594"
SECRET = "s3cret-canary-of-the-conference"
TOKEN = "t0ken-canary-of-the-operator-8Kq"
TOLD_WITHIN_S = 15.0
REGISTERED = b'dialin_trunk_registered{trunk="lab"} 1.0'


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("good", names=f"DNS:localhost,IP:{HOST}", usage="serverAuth")


@dataclass(frozen=True, slots=True)
class Bad:
    """Something that is wrong, and what is said of it."""

    cause: str
    """The word for machines."""
    sentence: str
    remedy: str


EXPIRED = Bad(
    "certificate-expired", "certificate has expired", "Ask whoever runs the server to renew it"
)
OTHER_NAME = Bad(
    "certificate-wrong-name", "certificate is not for localhost", "Check registrar, outbound_proxy"
)
WRONG: dict[str, tuple[dict[str, Any], Bad]] = {
    "expired": ({"ends_in": timedelta(minutes=-1), "names": "DNS:localhost"}, EXPIRED),
    "other name": ({"names": "DNS:elsewhere.example.org"}, OTHER_NAME),
}


@dataclass(frozen=True, slots=True)
class Site:
    """What an operator has: a settings file, and servers that others run."""

    file: Path
    provider: Kamailio
    conference: Asterisk
    bbb: DemoBbb

    async def checked(self, *, trial_room: str | None = None) -> dict[str, Step]:
        """What `dialin check` finds, by step."""
        sheet = Sheet()
        await check(sheet, self.file, trial_room=trial_room)
        told = str(sheet.as_json())
        assert not [secret for secret in (PASSWORD, SECRET, TOKEN) if secret in told]
        return {step.step: step for step in sheet.steps}

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Served]:
        """The service, by the same file."""
        async with app.running(load(self.file).settings) as service:
            yield Served(self.bbb, service)


@asynccontextmanager
async def site(
    folder: Path,
    authority: Authority,
    certificate: Certificate,
    *,
    provider_shows: Certificate | None = None,
    conference_shows: Certificate | None = None,
    password: str = PASSWORD,
    voice_encryption: str = "require",
) -> AsyncIterator[Site]:
    """Everything but the service, while the block runs."""
    async with (
        kamailio(folder / "kamailio", certificate=provider_shows or certificate) as provider,
        running_asterisk(conference_shows or certificate, media_encryption="sdes") as conference,
        DemoBbb(secret=SECRET) as bbb,
    ):
        file = folder / "dialin.toml"
        file.write_text(f"""
[service]
max_calls = 4
state_directory = "{folder}"
[sip]
listen = [{{ transport = "udp", host = "{HOST}", port = {free_port()} }}]
[trunks.lab]
mode = "register"
transport = "tls"
registrar = "localhost:{provider.ports["tls"]}"
domain = "{REALM}"
realm = "{REALM}"
username = "{USER}"
password = "{password}"
digest_algorithms = ["sha-256"]
tls_ca_file = "{authority.file}"
media_encryption = "require"
media_networks = ["127.0.0.0/8"]
numbers = [{{ e164 = "{NUMBER}" }}]
number_from = ["request-uri", "to"]
[bbb_servers.main]
url = "{bbb.url}"
secret = "{SECRET}"
voice_host = "localhost"
voice_port = {conference.tls_port}
voice_transport = "tls"
voice_encryption = "{voice_encryption}"
voice_tls_ca_file = "{authority.file}"
[media]
codecs = ["PCMA", "PCMU"]
[web]
host = "{HOST}"
port = {free_port()}
token = "{TOKEN}"
""")
        file.chmod(0o600)
        yield Site(file, provider, conference, bbb)


async def registered(world: Served) -> None:
    async with asyncio.timeout(TOLD_WITHIN_S):
        while REGISTERED not in await world.page("/metrics"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)


def phone_at(folder: Path, *, encryption: str = "srtp-mand") -> Any:
    return baresip(folder / "phone", CALLER, hertz=450, transport="tls", encryption=encryption)


def number_at(provider: Kamailio) -> str:
    return f"sip:{NUMBER}@{HOST}:{provider.ports['tls']};transport=tls"


async def enter(world: Served, at: Site, phone: Baresip) -> None:
    """Call our number at the provider, key the PIN, and be in the conference."""
    await phone.dial(number_at(at.provider))
    await phone.press(f"{ROOM}#")
    [member] = await members(at.conference, ROOM, 1)
    assert member.name == "xxx-xxx-0594"
    calls = world.service.registry
    await world.until(lambda: [call.state for call in calls.snapshots()] == [CallState.IN_ROOM])
    assert all(call.encrypted for call in calls.snapshots())


@pytest.mark.parametrize("hangs_up", ["caller", "conference"])
async def test_a_call_from_the_provider_to_the_conference_and_its_end(
    tmp_path: Path,
    asterisk: Asterisk,
    authority: Authority,
    certificate: Certificate,
    hangs_up: str,
) -> None:
    async with (
        site(tmp_path, authority, certificate) as at,
        at.served() as world,
        phone_at(tmp_path) as phone,
    ):
        await registered(world)
        await enter(world, at, phone)
        if hangs_up == "caller":
            await phone.hang_up()
            await members(at.conference, ROOM, 0)
        else:
            await at.conference.hang_up(ROOM)
        # A caller is told in words why it is over.
        await world.until(lambda: not world.service.registry.snapshots(), within_s=30)
        await phone.tells("CALL_CLOSED")
        # Asterisk knows nothing of BBB's meeting, which goes on: its host has removed the caller.
        end = "left-room" if hangs_up == "caller" else "removed-by-host"
        assert await world.ends() == {f"success/{end}": 1}


async def test_where_all_is_well_the_check_says_so_with_and_without_the_service(
    tmp_path: Path, asterisk: Asterisk, authority: Authority, certificate: Certificate
) -> None:
    async with site(tmp_path, authority, certificate) as at:
        alone = await at.checked(trial_room=ROOM)
        async with at.served() as world:
            await registered(world)
            saved = list(at.provider.saved)
            beside = await at.checked(trial_room=ROOM)
            assert at.provider.saved == saved  # the registration is as it was
    for steps in (alone, beside):
        assert not [step for step in steps.values() if step.result is Result.FAIL]
        for name in ("name", "connection", "registration"):
            assert steps[f"trunks.lab {name}"].result is not Result.FAIL
        assert "by a trusted authority" in steps["trunks.lab connection"].cause or (
            "is right, and ends on" in steps["trunks.lab connection"].cause
        )
        assert "The password is right" in steps["trunks.lab registration"].cause
        assert "answers OPTIONS" in steps["bbb_servers.main voice"].cause
        assert "It let us in" in steps["bbb_servers.main trial call"].cause
    assert "1 contact registered" in beside["trunks.lab registration"].cause


async def logged(caplog: pytest.LogCaptureFixture, is_it: Callable[[dict[str, Any]], bool]) -> Any:
    """The first line of the log that is so, as soon as it is there."""
    async with asyncio.timeout(TOLD_WITHIN_S):
        while True:
            for record in caplog.records:
                if is_it(vars(record)):
                    return vars(record)
            await asyncio.sleep(0.05)


async def test_the_wrong_password(
    tmp_path: Path,
    asterisk: Asterisk,
    authority: Authority,
    certificate: Certificate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with site(tmp_path, authority, certificate, password="wr0ng") as at:
        found = (await at.checked())["trunks.lab registration"]
        async with at.served():
            line = await logged(caplog, lambda line: line.get("cause") == "credentials-refused")
        assert at.provider.saved == []
    assert found.result is Result.FAIL
    assert "credentials-refused" in found.cause
    assert line["msg"] == "not registered"
    assert found.remedy == line["remedy"]
    assert "Correct username, auth_username or password" in line["remedy"]


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_provider_whose_certificate_is_not_good(
    tmp_path: Path,
    asterisk: Asterisk,
    authority: Authority,
    certificate: Certificate,
    caplog: pytest.LogCaptureFixture,
    wrong: str,
) -> None:
    how, bad = WRONG[wrong]
    shown = authority.issue(f"provider-{bad.cause}", **how)
    async with site(tmp_path, authority, certificate, provider_shows=shown) as at:
        found = (await at.checked())["trunks.lab connection"]
        async with at.served():
            line = await logged(caplog, lambda line: line.get("cause") == bad.cause)
        assert at.provider.registers == []
    assert_told(found, line, bad)


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_conference_whose_certificate_is_not_good(
    tmp_path: Path,
    asterisk: Asterisk,
    authority: Authority,
    certificate: Certificate,
    caplog: pytest.LogCaptureFixture,
    wrong: str,
) -> None:
    how, bad = WRONG[wrong]
    shown = authority.issue(f"conference-{bad.cause}", **how)
    async with site(tmp_path, authority, certificate, conference_shows=shown) as at:
        found = (await at.checked())["bbb_servers.main voice"]
        caplog.clear()
        async with at.served() as world, phone_at(tmp_path) as phone:
            await registered(world)
            await phone.dial(number_at(at.provider))
            await phone.press(f"{ROOM}#")
            line = await logged(caplog, lambda line: line.get("cause") == bad.cause)
    assert_told(found, line, bad)


def assert_told(found: Step, line: dict[str, Any], bad: Bad) -> None:
    """That check and log say the same, and what to do."""
    assert found.result is Result.FAIL
    assert bad.sentence in found.cause
    assert bad.sentence in line["sentence"]
    assert bad.remedy in found.remedy
    assert found.remedy == line["remedy"]


async def test_a_plain_offer_of_the_provider(
    tmp_path: Path,
    asterisk: Asterisk,
    authority: Authority,
    certificate: Certificate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        site(tmp_path, authority, certificate) as at,
        at.served() as world,
        phone_at(tmp_path, encryption="") as phone,
    ):
        await registered(world)
        dialling = asyncio.create_task(phone.dial(number_at(at.provider)))
        closed = await phone.tells("CALL_CLOSED")
        dialling.cancel()
        assert closed["param"].startswith("488 ")
        await world.until(lambda: not world.service.registry.snapshots())
        assert await world.ends() == {"trunk/no-common-encryption": 1}
        found = (await at.checked())["trunks.lab offers"]
    assert "offer refused with 488: audio must be encrypted: offer SRTP" in caplog.text
    assert found.result is Result.WARN
    assert "1 call has been refused with 488" in found.cause
    assert "Let the provider send SRTP" in found.remedy


async def test_a_plain_offer_of_ours_to_the_conference(
    tmp_path: Path,
    asterisk: Asterisk,
    authority: Authority,
    certificate: Certificate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with site(tmp_path, authority, certificate, voice_encryption="off") as at:
        found = (await at.checked(trial_room=ROOM))["bbb_servers.main trial call"]
        caplog.clear()
        async with at.served() as world, phone_at(tmp_path) as phone:
            await registered(world)
            await phone.dial(number_at(at.provider))
            await phone.press(f"{ROOM}#")
            line = await logged(caplog, lambda line: line.get("status") == 488)
    assert found.result is Result.FAIL
    assert (line["cause"], line["remedy"]) == (found.cause, found.remedy)
    assert "voice_encryption" in found.remedy
