# SPDX-License-Identifier: GPL-3.0-or-later
"""The quickstart as a newcomer follows it: its settings, secrets and commands, with stand-ins for
the provider and for BigBlueButton. Only addresses, ports and paths are put in their place.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from dialin.demo.bbb import DemoBbb
from dialin.demo.conference import open_conference
from dialin.sip import Listen
from tests.peers.process import free_port

pytestmark = pytest.mark.e2e

PAGE = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text()
DIALIN = Path(sys.executable).with_name("dialin")
PIN = "123456789"
WITHIN_S = 30.0


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


SECRET_FILES = re.findall(r"/dev/stdin /etc/dialin/secrets/(\w+)$", PAGE, re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody who types what the page says."""

    file: Path
    secrets: Path
    public: str
    """Where the public pages are."""

    async def types(self, command: str) -> tuple[int, str]:
        """Run a command of the page; gives its exit status and what it says."""
        _, _, words = command.partition("#")[0].partition("sudo -E dialin ")
        process = await asyncio.create_subprocess_exec(
            *(str(DIALIN), *shlex.split(words), "--config", str(self.file)),
            env={**os.environ, "CREDENTIALS_DIRECTORY": str(self.secrets)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()


@asynccontextmanager
async def newcomer(folder: Path) -> AsyncIterator[Newcomer]:
    """The settings of the page, with the stand-ins that they lead to."""
    secrets = folder / "secrets"
    secrets.mkdir()
    async with (
        open_conference([Listen("UDP", "127.0.0.1", 0)]) as conference,
        DemoBbb(members=conference.phone_callers) as bbb,
    ):
        conference.tell(bbb.voice_changed)
        await conference.play_chime(PIN)
        sip, web, public = free_port(), free_port(), free_port()
        voice = conference.addresses[0]
        text = blocks("toml")[0]
        for before, after in {
            '"https://bbb.example.org/bigbluebutton/"': f'"{bbb.url}"',
            'voice_host = "192.0.2.20"': f'voice_host = "{voice.host}"\nvoice_port = {voice.port}',
            '"https://dialin.example.org/"': f'"http://127.0.0.1:{public}/"',
            "public_port = 8081": f"public_port = {public}\nport = {web}",
            "[service]\n": f'[service]\nstate_directory = "{folder / "state"}"\n',
        }.items():
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        text += f'[sip]\nlisten = [{{ transport = "udp", host = "127.0.0.1", port = {sip} }}]\n'
        file = folder / "dialin.toml"
        file.write_text(text)
        file.chmod(0o640)
        for name in SECRET_FILES:
            secret = secrets / name
            secret.write_text(bbb.secret if name.startswith("bbb") else os.urandom(32).hex())
            secret.chmod(0o600)
        yield Newcomer(file, secrets, f"http://127.0.0.1:{public}")


@asynccontextmanager
async def running(who: Newcomer) -> AsyncIterator[None]:
    """The service, as the unit runs it."""
    process = await asyncio.create_subprocess_exec(
        *(str(DIALIN), "run", "--config", str(who.file)),
        env={**os.environ, "CREDENTIALS_DIRECTORY": str(who.secrets)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(WITHIN_S):
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(who.public):
                        break
                await asyncio.sleep(0.1)
        yield
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_a_newcomer_comes_from_the_settings_to_a_call_and_a_page(tmp_path: Path) -> None:
    commands = re.findall(r"^sudo -E dialin .*", PAGE, re.MULTILINE)
    fits, check, call, create, link, status = commands
    async with newcomer(tmp_path) as who:
        code, said = await who.types(fits)
        assert code == 0, said
        async with running(who):
            code, said = await who.types(f"{check} --json")
            assert code == 0, said
            results = {step["step"]: step["result"] for step in json.loads(said)["steps"]}
            assert results["bbb_servers.main API"] == "ok"
            assert results["bbb_servers.main voice"] == "ok"
            assert results["bbb_servers.main callback"] == "ok"
            code, said = await who.types(f"{call.partition('#')[0]} --listen-s 3")
            assert code == 0, said
            assert "answered" in said
            code, said = await who.types(create)
            assert code == 0, said
            pin = next(line for line in said.splitlines() if line.startswith("PIN")).split()[1]
            code, said = await who.types(link)
            page = URL(said.strip().splitlines()[-1], encoded=True)
            assert str(page).startswith(who.public)
            async with aiohttp.ClientSession() as session, asyncio.timeout(WITHIN_S):
                while True:  # the service sees new PINs every two seconds
                    async with session.get(page) as answer:
                        assert answer.status == 200
                        if pin in await answer.text():
                            break
                    await asyncio.sleep(0.5)
            code, said = await who.types(status)
            assert code == 0, said
