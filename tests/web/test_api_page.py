# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about the API: complete, and its commands do what it says."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from dialin.web.api.posts import PostedEvent
from tests.world import TOKEN, whole_service

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


async def test_every_operation_and_event_has_its_line() -> None:
    async with whole_service() as world:
        document = json.loads(await world.page("/api/openapi.json"))
    rows = dict(
        re.findall(r"^\| `((?:GET|POST|PATCH|DELETE) \S+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
    )
    described = {
        f"{method.upper()} {path}": operation["description"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }
    assert set(rows) == set(described)
    for operation, scope in rows.items():
        assert f"`{scope}`" in described[operation]
    for event in PostedEvent:
        assert re.search(rf"^\| `{event}` \|", PAGE, re.MULTILINE)


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_commands_work_as_they_stand(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "service": {"state_directory": str(tmp_path)},
        "store": {"keep": True},
        "web": {"link_secret": "s3cret-of-the-links-Xq7Lw2Vb9Zr4"},
    }
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    async with whole_service(**sections) as world:
        script = commands.replace("http://127.0.0.1:8080", world.http).replace("the token", TOKEN)
        assert script.count("curl") == 5
        shell = await asyncio.create_subprocess_exec(
            *("sh", "-eu", "-c", script),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await shell.communicate()
    assert shell.returncode == 0, complained.decode()
    made, shown, links, rotated, calls = re.findall(r"\{.*?\}(?=[\{\[]|$)|\[\]", said.decode())
    assert json.loads(made)["pin"] == json.loads(shown)["pin"] != json.loads(rotated)["pin"]
    assert "right=host" in json.loads(links)["page"]
    assert json.loads(calls) == []
