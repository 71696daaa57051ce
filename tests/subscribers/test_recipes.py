# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation tells subscribers to do with a signature, done in their languages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dialin.web.api.posts import signature

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
SECRET = "subscriber-canary-7Kd2Wq"
BODY = '{"event":"joined","meeting_id":"Müller"}'


def recipe(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


def verdict(language: str, body: str, header: str, secret: str = SECRET) -> bool:
    """What the recipe says of a post."""
    given = ", ".join(json.dumps(one, ensure_ascii=False) for one in (body, header, secret))
    match language:
        case "python":
            body_bytes, *others = body.encode(), header, secret
            call = f"print(is_from_dialin({body_bytes!r}, {others[0]!r}, {others[1]!r}))"
            command = [sys.executable, "-c", f"{recipe(language)}\n{call}"]
        case "php":
            quoted = given.replace("$", r"\$")
            call = f"echo is_from_dialin({quoted}) ? 'True' : 'False';"
            command = ["php", "-r", f"{recipe(language)}\n{call}"]
        case _:
            call = f"puts from_dialin?({given}) ? 'True' : 'False'"
            command = ["ruby", "-Ku", "-e", f"{recipe(language)}\n{call}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    return {"True": True, "False": False}[done.stdout.strip()]


@pytest.mark.parametrize("language", ["python", "php", "ruby"])
def test_the_recipe_takes_what_is_from_us_and_nothing_else(language: str) -> None:
    if language != "python" and not shutil.which(language):
        pytest.skip(f"{language} is not installed")
    now = int(time.time())
    header = signature(SECRET, BODY.encode(), now)
    assert verdict(language, BODY, header)
    assert not verdict(language, BODY.replace("joined", "left"), header)
    assert not verdict(language, BODY, header, "another secret")
    assert not verdict(language, BODY, header.replace(f"t={now}", f"t={now + 1}"))
    assert not verdict(language, BODY, signature(SECRET, BODY.encode(), now - 600))
    assert not verdict(language, BODY, "")
    assert not verdict(language, BODY, header + ",v1=")


def test_the_documented_example_is_right() -> None:
    header = signature(SECRET, b'{"event":"joined"}', 1_800_000_000)
    assert f"\n{header}\n" in PAGE.read_text()
