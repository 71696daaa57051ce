# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are made from others are current, and what they promise together holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from dialin.presets import page
from dialin.settings.pages import example, reference
from dialin.settings.peers import TrunkSettings

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def normalised(requirement: str) -> str:
    """The name in a requirement, as package tools compare it (PEP 503)."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def pinned(file: str) -> dict[str, str]:
    """Each pinned package, with all its lines."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / "requirements" / file).read_text(), flags=re.MULTILINE)
    return {normalised(pin): pin for pin in re.split(r"\n(?=\S)", text.strip())}


def test_the_example_is_current() -> None:
    assert (ROOT / "config" / "dialin.example.toml").read_text() == example()


def test_the_reference_page_is_current() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == reference()


def test_the_page_of_trunks_is_current_between_its_marks() -> None:
    text = (ROOT / "docs" / "trunks.md").read_text()
    made = re.findall(
        r"^<!-- Made by .*?-->\n(.*?)^<!-- End ", text, flags=re.DOTALL | re.MULTILINE
    )

    assert made == [f"{page.trunks()}\n"]


def test_the_page_of_trunks_begins_with_a_trunk_that_is_complete_but_for_its_password() -> None:
    text = (ROOT / "docs" / "trunks.md").read_text()
    first = re.search(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert first
    trunk = tomllib.loads(first[1])["trunks"]["main"]

    assert TrunkSettings.model_validate({**trunk, "password": "x"}).numbers
    with pytest.raises(ValidationError, match="password"):
        TrunkSettings.model_validate(trunk)


@pytest.mark.parametrize("file", ["run.txt", "dev.txt"])
def test_every_dependency_is_pinned_by_version_and_hash(file: str) -> None:
    pins = pinned(file)
    wanted = {normalised(dependency) for dependency in PROJECT["project"]["dependencies"]}
    if file == "dev.txt":
        wanted |= {normalised(tool) for tool in PROJECT["dependency-groups"]["dev"]}

    assert wanted <= set(pins)
    for pin in pins.values():
        assert re.match(r"\S+==\S+", pin), pin
        assert "--hash=sha256:" in pin, pin


def test_what_runs_is_tested_in_the_same_version() -> None:
    tested = pinned("dev.txt")

    assert {name: pin for name, pin in tested.items() if name in pinned("run.txt")} == (
        pinned("run.txt")
    )


def test_every_source_file_tells_its_licence() -> None:
    files = [
        *ROOT.glob("dialin/**/*.py"),
        *ROOT.glob("tests/**/*.py"),
        *(file for file in ROOT.glob("scripts/**/*") if file.is_file()),
        ROOT / ".ci" / "run",
    ]
    without = [
        file
        for file in files
        if file.suffix in (".py", ".sh", "")
        and "SPDX-License-Identifier: GPL-3.0-or-later" not in file.read_text()[:300]
    ]

    assert without == []


def test_the_licence_is_the_gpl() -> None:
    text = (ROOT / "LICENSE").read_text()

    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "Version 3, 29 June 2007" in text
    assert PROJECT["project"]["license"] == "GPL-3.0-or-later"


@pytest.mark.parametrize(
    "page",
    [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))],
    ids=lambda page: page.name,
)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    broken = [
        link
        for link in links
        if not link.startswith(("http:", "https:", "mailto:")) and not (page.parent / link).exists()
    ]

    assert broken == []


def test_the_commands_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text()
    commands = re.findall(r"^scripts/\w+", text, flags=re.MULTILINE)

    assert len(commands) >= 2
    assert all((ROOT / command).stat().st_mode & 0o111 for command in commands)
