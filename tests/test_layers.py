# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom: the contracts in pyproject.toml hold, and each of them can break."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the source tree in a folder."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        timeout=55,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the source that a test may spoil."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "dialin",
        tmp_path / "dialin",
        ignore=lambda folder, names: [
            name for name in names if (Path(folder) / name).is_file() and not name.endswith(".py")
        ],
    )
    return tmp_path


def test_every_contract_is_kept() -> None:
    checked = lint(ROOT)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "0 broken" in checked.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        pytest.param("caller.py", "import dialin.rooms", "imports run downwards", id="upward"),
        pytest.param("trunk.py", "import dialin.rooms", "imports run downwards", id="sideways"),
        pytest.param("misc.py", "", "imports run downwards", id="a module without a layer"),
        pytest.param("wire/rtp.py", "import time", "reads no clock", id="a clock in the core"),
        pytest.param("wire/rtp.py", "import socket", "does no I/O", id="a socket in the core"),
        pytest.param("call.py", "import dialin.settings", "settings are read", id="settings"),
        pytest.param("call.py", "import pyVoIP", "pyVoIP is", id="pyVoIP in the service"),
        pytest.param("bbb_api.py", "import requests", "aiohttp only", id="a second HTTP client"),
        pytest.param("media/worker.py", "import asyncio", "no event loop", id="a loop in a worker"),
    ],
)
def test_each_contract_breaks_on_what_it_forbids(
    tree: Path, file: str, line: str, contract: str
) -> None:
    with (tree / "dialin" / file).open("a") as source:
        source.write(f"\n{line}\n")
    checked = lint(tree)

    assert checked.returncode == 1, checked.stdout + checked.stderr
    (broken,) = [row for row in checked.stdout.splitlines() if " BROKEN" in row]
    assert contract in broken
