# SPDX-License-Identifier: GPL-3.0-or-later
"""What service managers and containers are given to run the service with."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dialin.settings.service import ServiceSettings
from dialin.settings.sources import values_of
from tests.settings import complaint

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "config" / "dialin.service"
COMPOSE = ROOT / "config" / "docker" / "compose.yaml"
DRAIN_S = ServiceSettings().drain_timeout_s
WORST_EXPOSURE = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def setting(name: str) -> str:
    """What the unit says."""
    match = re.search(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert match, name
    return match[1]


@needs_systemd
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "dialin.service"
    text, places = re.subn(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M)
    assert places == 1
    unit.write_text(text)
    verdict = analyze("verify", "--man=no", unit)
    assert (verdict.returncode, verdict.stderr) == (0, "")


@needs_systemd
def test_the_unit_leaves_the_service_little_to_do_harm_with() -> None:
    verdict = analyze("security", "--offline=true", "--no-pager", UNIT)
    match = re.search(r"Overall exposure level for \S+: ([0-9.]+)", verdict.stdout)
    assert match, verdict.stdout + verdict.stderr
    assert float(match[1]) <= WORST_EXPOSURE


def test_the_unit_waits_for_longer_than_calls_are_let_finish() -> None:
    assert float(setting("TimeoutStopSec")) > DRAIN_S


def test_the_container_is_given_longer_than_calls_are_let_finish() -> None:
    service = yaml.safe_load(COMPOSE.read_text())["services"]["dialin"]
    minutes = re.fullmatch(r"([0-9]+)m", service["stop_grace_period"])
    assert minutes
    assert int(minutes[1]) * 60 > DRAIN_S


@pytest.mark.parametrize(
    "name",
    [
        *yaml.safe_load(COMPOSE.read_text())["secrets"],
        *re.findall(r"^#LoadCredential=(\w+):", UNIT.read_text(), re.MULTILINE),
    ],
)
def test_secret_files_are_named_like_settings(name: str) -> None:
    values: Any = values_of(name, "s3cret-of-the-tests-Xq7Lw2Vb9Zr4")
    path: list[str] = []
    while isinstance(values, dict):
        [(key, values)] = values.items()
        path.append(key)
    section, *rest = path
    known = {"trunks": "lab", "bbb_servers": "main"}
    where = ".".join([section, *([known[section], *rest[1:]] if section in known else rest)])
    told = complaint({where: values})
    assert "no such setting" not in told, told


def test_what_the_image_is_made_of_is_there() -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert sources
    for source in sources:
        path = ROOT / source
        assert path.exists()
        names = [str(path.relative_to(ROOT)), *map(str, path.relative_to(ROOT).parents)]
        kept = [f"!{name}" for name in names] + ["!requirements/run.txt"]
        assert any(name in ignored for name in kept), source
