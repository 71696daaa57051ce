# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of conftest.py, tried from outside: pytest in a process of its own on small suites."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LOST_TASK = """
import asyncio

async def fail():
    raise RuntimeError("lost")

async def test_it():
    asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(0.01)
"""

CALLBACK_FAILURE = """
import asyncio

async def test_it():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)
"""

FAILURE_IN_DEL = """
class Bad:
    def __del__(self):
        raise RuntimeError("in del")

def test_it():
    Bad()
"""

EXPECTED_FAILURE = """
import asyncio

async def test_it(unseen_failures):
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)
    assert "ZeroDivisionError" in unseen_failures[0]
    unseen_failures.clear()
"""

LEAKED_ENVIRONMENT = """
import os

def test_it():
    assert "DIALIN_SERVICE__NAME" not in os.environ
    assert "CREDENTIALS_DIRECTORY" not in os.environ
"""


def run_suite(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_sample.py").write_text(source)
    environment = os.environ | {
        "DIALIN_SERVICE__NAME": "leak",
        "CREDENTIALS_DIRECTORY": "/nonexistent",
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder)]
    plugins = ["-p", "pytest_asyncio.plugin", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *plugins, "--asyncio-mode=auto", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=50,
    )


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        pytest.param(LOST_TASK, "RuntimeError('lost')", id="a task nobody awaited"),
        pytest.param(CALLBACK_FAILURE, "ZeroDivisionError", id="a callback"),
        pytest.param(FAILURE_IN_DEL, "RuntimeError('in del')", id="a finaliser"),
    ],
)
def test_a_failure_nobody_saw_fails_the_test(tmp_path: Path, source: str, complaint: str) -> None:
    outcome = run_suite(tmp_path, source)

    assert outcome.returncode == 1, outcome.stdout
    assert "nobody looked at" in outcome.stdout
    assert complaint in outcome.stdout


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(EXPECTED_FAILURE, id="a failure provoked on purpose"),
        pytest.param(LEAKED_ENVIRONMENT, id="settings in the environment"),
    ],
)
def test_a_sound_test_passes(tmp_path: Path, source: str) -> None:
    outcome = run_suite(tmp_path, source)

    assert outcome.returncode == 0, outcome.stdout
