# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole check, from a file to its exit status, beside a service that runs and alone."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dialin import __main__ as command_line
from dialin import check as checking
from dialin import log
from dialin.check.steps import Sheet
from dialin.demo.bbb import DemoBbb, Fault
from dialin.demo.conference import open_conference
from dialin.settings import load
from dialin.sip import Listen
from tests.fakes.authority import Authority
from tests.fakes.registrar import PASSWORD, REALM, USER, Registrar
from tests.settings import TOKEN, UNSUPPORTED
from tests.world import World, whole_service

SECRET = "s3cret-canary-of-the-check"
RESULTS = {"ok", "warn", "fail"}


@pytest.fixture(autouse=True)
def logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "set_up", lambda **_: None)


def free_ports(kind: socket.SocketKind, number: int) -> list[int]:
    """Ports that nobody has."""
    held = [socket.socket(socket.AF_INET, kind) for _ in range(number)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports: list[int] = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def written(
    folder: Path,
    *,
    bbb: str,
    voice: int,
    registrar: int | None = None,
    http: int | None = None,
    secret: str = SECRET,
    listen: str = "",
    more: str = "",
) -> Path:
    """A settings file; `more` goes into [sip]."""
    [sip] = free_ports(socket.SOCK_DGRAM, 1)
    [web] = free_ports(socket.SOCK_STREAM, 1)
    login = (
        f"""
mode = "register"
registrar = "127.0.0.1:{registrar}"
domain = "{REALM}"
username = "{USER}"
password = "{PASSWORD}"
"""
        if registrar
        else ""
    )
    file = folder / "dialin.toml"
    file.write_text(f"""
[service]
max_calls = 2
[sip]
listen = [{{ transport = "udp", host = "127.0.0.1", port = {sip} }}{listen}]
{more}
[trunks.lab]
allowed_sources = ["127.0.0.0/16"]
{login}
[bbb_servers.main]
url = "{bbb}"
secret = "{secret}"
voice_host = "127.0.0.1"
voice_port = {voice}
[web]
port = {http or web}
token = "{TOKEN}"
""")
    file.chmod(0o600)
    return file


async def invoked(*arguments: object) -> Result:
    """The command line, in a thread as it has a loop of its own."""
    words = ["check", *(str(part) for part in arguments)]
    return await asyncio.to_thread(CliRunner().invoke, command_line.cli, words)


def told(result: Result) -> dict[str, dict[str, str]]:
    """The steps of the JSON answer by name; later ones of a name win."""
    answer: dict[str, Any] = json.loads(result.output)
    assert list(answer) == ["steps"]
    for step in answer["steps"]:
        assert list(step) == ["step", "result", "cause", "remedy"]
        assert all(isinstance(value, str) for value in step.values())
        assert step["result"] in RESULTS
        assert step["cause"]
        assert step["remedy"] or step["result"] != "fail"
    return {step["step"]: step for step in answer["steps"]}


@asynccontextmanager
async def stand_ins() -> AsyncIterator[tuple[DemoBbb, int]]:
    """A BBB server and the port of its voice conferences."""
    async with (
        open_conference([Listen("UDP", "127.0.0.1", 0)]) as conference,
        DemoBbb(secret=SECRET, members=conference.phone_callers) as bbb,
    ):
        yield bbb, conference.addresses[0].port


async def test_where_all_is_well_the_exit_status_is_0(tmp_path: Path) -> None:
    async with stand_ins() as (bbb, voice):
        file = written(tmp_path, bbb=bbb.url, voice=voice)
        result = await invoked("--config", file)
    assert result.exit_code == 0, result.output
    assert "settings ... ok: They can be used.\n" in result.output
    assert "bbb_servers.main API ... ok: The secret is right; " in result.output
    assert "service ... ok: It does not run" in result.output


async def test_where_something_fails_the_exit_status_is_1_and_the_remedy_is_told(
    tmp_path: Path,
) -> None:
    async with stand_ins() as (bbb, voice):
        bbb.fault = Fault.WRONG_CHECKSUM
        result = await invoked("--config", written(tmp_path, bbb=bbb.url, voice=voice))
    assert result.exit_code == 1
    assert "bbb_servers.main API ... fail: BBB server main: it does not accept" in result.output
    assert "\n    Compare the secret with `bbb-conf --secret`" in result.output


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--trial-call"], ["--config", "/"]])
async def test_wrong_usage_is_exit_status_2(arguments: list[str]) -> None:
    assert (await invoked(*arguments)).exit_code == 2


async def test_json_holds_every_step_and_no_secret(tmp_path: Path) -> None:
    async with stand_ins() as (bbb, voice), Registrar() as provider:
        file = written(tmp_path, bbb=bbb.url, voice=voice, registrar=provider.port)
        result = await invoked("--config", file, "--json", "--trial-call", "demo")
        assert not provider.contacts
    steps = told(result)
    assert steps["trunks.lab registration"]["cause"].startswith("The password is right")
    assert steps["bbb_servers.main trial call"]["result"] == "ok"
    assert {"settings", "files", "prompts", "service", "media ports", "open files"} <= set(steps)
    for secret in (SECRET, PASSWORD, TOKEN, USER):
        assert secret not in result.output


async def test_settings_that_cannot_be_used_are_told_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "dialin.toml"
    file.write_text("[web]\nport = 0.5\n[nonsense]\n")
    file.chmod(0o600)
    result = await invoked("--config", file, "--json")
    assert result.exit_code == 1
    answer = json.loads(result.output)
    assert {step["step"] for step in answer["steps"]} == {"settings"}
    assert any(f"web.port (file {file})" in step["cause"] for step in answer["steps"])
    assert any("nonsense" in step["cause"] for step in answer["steps"])


async def test_what_this_version_cannot_do_fails_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    async with stand_ins() as (bbb, voice):
        file = written(tmp_path, bbb=bbb.url, voice=voice)
        unsupported = "".join(
            f'{name.removeprefix("trunks.lab.")} = "{value}"\n'
            for name, value in UNSUPPORTED.items()
        )
        file.write_text(file.read_text().replace("[trunks.lab]\n", f"[trunks.lab]\n{unsupported}"))
        steps = told(await invoked("--config", file, "--json"))
    assert "trunks.lab.preset: Telekom CompanyFlex" in steps["settings"]["cause"]
    assert steps["bbb_servers.main API"]["result"] == "ok"


async def test_an_open_file_is_told_as_a_warning_and_as_a_failure(tmp_path: Path) -> None:
    async with stand_ins() as (bbb, voice):
        file = written(tmp_path, bbb=bbb.url, voice=voice)
        await asyncio.to_thread(file.chmod, 0o644)
        result = await invoked("--config", file)
    assert result.exit_code == 1
    assert "settings ... warn: web.token stands in" in result.output
    assert "files ... fail: " in result.output


async def test_secret_files_and_keys_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "bbb_servers__main__secret").write_text(SECRET)
    (secrets / "bbb_servers__main__secret").chmod(0o604)
    (secrets / "somebody_else").write_text("x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secrets))
    async with stand_ins() as (bbb, voice):
        result = await invoked("--config", written(tmp_path, bbb=bbb.url, voice=voice), "--json")
    steps = told(result)
    assert "bbb_servers__main__secret holds a secret" in steps["files"]["cause"]
    assert steps["settings"]["result"] == "warn"
    assert "somebody_else" in steps["settings"]["cause"]


async def test_our_own_certificate_and_its_key_are_looked_at(tmp_path: Path) -> None:
    own = Authority.made(tmp_path / "ca").issue("own")
    assert own.key_file
    own.key_file.chmod(0o644)
    async with stand_ins() as (bbb, voice):
        file = written(
            tmp_path,
            bbb=bbb.url,
            voice=voice,
            listen=', { transport = "tls", host = "127.0.0.1", port = 0 }',
            more=f'tls_certificate = "{own.file}"\ntls_key = "{own.key_file}"',
        )
        steps = told(await invoked("--config", file, "--json"))
    assert steps["sip.tls_certificate"]["result"] == "warn"
    assert str(own.key_file) in steps["files"]["cause"]


async def test_a_port_that_somebody_has_fails_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    async with stand_ins() as (bbb, voice):
        file = written(tmp_path, bbb=bbb.url, voice=voice)
        port = load(file).settings.sip.listen[0].port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", port))
            steps = told(await invoked("--config", file, "--json"))
    assert steps[f"sip.listen UDP 127.0.0.1:{port}"]["result"] == "fail"
    assert steps["bbb_servers.main voice"]["result"] == "ok"


async def test_addresses_that_are_not_ours_leave_nobody_to_be_asked(tmp_path: Path) -> None:
    async with stand_ins() as (bbb, voice):
        file = written(tmp_path, bbb=bbb.url, voice=voice)
        text = file.read_text().replace('host = "127.0.0.1", port', 'host = "192.0.2.1", port')
        file.write_text(text)
        steps = told(await invoked("--config", file, "--json"))
    assert steps["sip"]["result"] == "fail"
    assert "bbb_servers.main API" not in steps


async def beside(world: World, folder: Path) -> Sheet:
    """The check of a service that runs."""
    host, port = world.service.web_addresses[0]
    assert host == "127.0.0.1"
    [voice] = [at.port for at in world.conference.addresses if at.transport == "UDP"]
    file = written(folder, bbb=world.bbb.url, voice=voice, http=port, secret=world.bbb.secret)
    sheet = Sheet()
    await checking.check(sheet, file)
    return sheet


async def test_the_running_service_is_not_disturbed(tmp_path: Path) -> None:
    async with whole_service() as world:
        await world.service.rooms.look_again()
        before = world.service.sip.counters.requests.copy()
        sheet = await beside(world, tmp_path)
        assert world.service.sip.counters.requests == before
    steps = {step.step: step for step in sheet.steps}
    assert steps["service"].cause == "It runs and takes calls."
    assert "nothing was bound" in steps["ports"].cause
    assert "media ports" not in steps
    assert not sheet.has_failed
