# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin status` and `dialin drain` against a service that runs."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dialin.commands.status import drain as drain_command
from dialin.commands.status import page, status, table
from tests.world import TOKEN, World, whole_service

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
CALL: dict[str, Any] = {
    "label": "xxx-xxx-1234",
    "state": "waiting",
    "waiting_for": "host",
    "muted": True,
    "hand_raised": True,
    "room": "de\x1b[2Jmo\u202e",
    "trunk": "lab",
    "duration_s": 3700.0,
    "codec": "PCMA",
    "encrypted": True,
    "packets_lost": 3,
    "jitter_ms": 1.6,
}
TOLD: dict[str, Any] = {
    "service": {
        "name": "Dial-in",
        "version": "1.2.3",
        "accepting": True,
        "calls": {"waiting": 1, "in_room": 0},
        "max_calls": 50,
        "selftest_at": "2026-11-26T11:58:00+00:00",
        "selftest_ok": True,
        "recent_ends": [
            {
                "at": "2026-11-26T11:59:30+00:00",
                "trunk": "lab",
                "result": "success",
                "reason": "left-room",
                "duration_s": 63.0,
            }
        ],
    },
    "trunks": [
        {
            "name": "lab",
            "mode": "register",
            "registered": True,
            "seconds_left": 55.0,
            "cause": "",
            "last_invite_at": None,
            "calls": 1,
        },
        {
            "name": "other",
            "mode": "register",
            "registered": False,
            "seconds_left": 0.0,
            "cause": "wrong-password",
            "last_invite_at": "2026-11-23T12:00:00+00:00",
            "calls": 0,
        },
    ],
    "servers": [
        {
            "name": "main",
            "ok": False,
            "cause": "timeout",
            "meetings": 0,
            "webhooks": True,
            "mutes": "bbb",
            "calls": 1,
        },
    ],
    "calls": [CALL],
}


def settings_of(world: World, folder: Path, token: str = TOKEN) -> Path:
    """A file of settings that leads to a running service."""
    port = world.service.web_addresses[0][1]
    file = folder / "dialin.toml"
    file.write_text(
        f"""
[trunks.demo]
allowed_sources = ["127.0.0.0/8"]
[bbb_servers.demo]
url = "http://127.0.0.1/bigbluebutton/"
secret = "the-secret-of-a-server"
[web]
port = {port}
token = "{token}"
"""
    )
    file.chmod(0o600)
    return file


@pytest.fixture
def long_token(monkeypatch: pytest.MonkeyPatch) -> str:
    """A token that the settings take, and the service of the tests as well."""
    token = "t0ken-of-the-tests-Xq7Lw2Vb9Zr4"
    monkeypatch.setattr("tests.world.TOKEN", token)
    return token


async def invoke(command: Any, *arguments: str | Path) -> Result:
    """Run a command beside the loop that serves it."""
    return await asyncio.to_thread(CliRunner().invoke, command, list(map(str, arguments)))


async def test_everything_is_shown(tmp_path: Path, long_token: str) -> None:
    async with whole_service() as world:
        file = settings_of(world, tmp_path, long_token)
        shown = await invoke(status, "--config", file)
        assert shown.exit_code == 0, shown.output
        assert "takes calls" in shown.output
        assert "calls: 0 of 250 (none)" in shown.output
        assert "demo" in shown.output

        as_json = await invoke(status, "--config", file, "--json")
        assert set(json.loads(as_json.output)) == {"service", "trunks", "servers", "calls"}

        drained = await invoke(drain_command, "--config", file, "--wait")
        assert drained.exit_code == 0, drained.output
        assert world.service.registry.is_draining
        shown = await invoke(status, "--config", file)
        assert "DRAINS" in shown.output


async def test_what_is_in_the_way_is_told_with_a_remedy(tmp_path: Path, long_token: str) -> None:
    async with whole_service() as world:
        wrong = settings_of(world, tmp_path, long_token[::-1])
        refused = await invoke(status, "--config", wrong)
        assert "does not take web.token" in str(refused.exception)
        file = settings_of(world, tmp_path, long_token)
    gone = await invoke(status, "--config", file)
    assert "does not answer" in str(gone.exception)
    assert long_token not in str(gone.exception)
    file.write_text(file.read_text().replace(f'token = "{long_token}"', ""))
    unset = await invoke(status, "--config", file)
    assert "web.token is not set" in str(unset.exception)


async def test_watching_and_json_do_not_go_together() -> None:
    assert (await invoke(status, "--watch", "--json")).exit_code == 2


def test_a_page_says_what_matters() -> None:
    text = "\n".join(page(TOLD, NOW))
    for part in (
        "Dial-in, dialin 1.2.3: takes calls",
        "calls: 1 of 50 (1 waiting)",
        "self-test: reached its room 2 min ago",
        "for 55 s",
        "NO: wrong-password",
        "never",
        "3 d ago",
        "timeout",
        "waiting for host, muted, hand up",
        "PCMA encrypted",
        "62 min",
        "success/left-room",
        "30 s ago",
    ):
        assert part in text, part


def test_what_hosts_wrote_does_nothing_to_the_terminal() -> None:
    text = "\n".join(page(TOLD, NOW))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_columns_are_as_wide_as_they_need_to_be_and_no_wider_than_they_may() -> None:
    assert list(table(("A", "B"), [("x" * 50, 1)])) == [
        "A" + " " * 33 + "B",
        "x" * 31 + "…  1",
    ]


async def test_watching_shows_it_again_and_again(
    tmp_path: Path, long_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Twice:
        """Ctrl-C at the second pause."""

        pauses = 0

        def wait(self, _seconds: float) -> None:
            self.pauses += 1
            if self.pauses == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr("dialin.commands.status.Event", Twice)
    async with whole_service() as world:
        file = settings_of(world, tmp_path, long_token)
        watched = await invoke(status, "--config", file, "--watch")
    assert watched.output.count("takes calls") == 2
    assert watched.output.count("\x1b[H\x1b[2J") == 2
