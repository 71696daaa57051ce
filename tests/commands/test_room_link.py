# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin room link` prints links that open the page and nothing else."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from click.testing import CliRunner, Result

from dialin.__main__ import cli
from dialin.commands.privacy import LANGUAGES
from dialin.errors import OperatorError
from dialin.links import LinkKey, Right, RoomLink
from dialin.web.language import SPOKEN
from tests.settings import SECRET, TOKEN

DAY_S = 86400
TOML = f"""
[trunks.lab]
allowed_sources = ["203.0.113.0/28"]
[bbb_servers.main]
url = "https://bbb.example.org/bigbluebutton/"
secret = "{SECRET}"
[web]
"""


def link(folder: Path, web: str, *arguments: str) -> Result:
    file = folder / "dialin.toml"
    file.write_text(TOML + web)
    file.chmod(0o640)
    return CliRunner().invoke(cli, ["room", "link", *arguments, "--config", str(file)])


SIGNING = f'link_secret = "{TOKEN}"\nbase_url = "https://dialin.example.org/phone/"\n'


def read(printed: str) -> RoomLink:
    parts = urlsplit(printed.strip())
    room = unquote(parts.path.rsplit("/", 1)[1])
    found = LinkKey(TOKEN).read(room, dict(parse_qsl(parts.query)), time.time())
    assert found
    return found


def test_a_link_is_for_guests_unless_said_and_lasts_as_long_as_the_settings_say(
    tmp_path: Path,
) -> None:
    result = link(tmp_path, f"{SIGNING}link_days = 3", "Müller &/1")
    found = read(result.stdout)

    assert result.stdout.startswith("https://dialin.example.org/phone/rooms/M%C3%BCller%20%26%2F1?")
    assert (found.meeting_id, found.right) == ("Müller &/1", Right.GUEST)
    assert found.expires == pytest.approx(time.time() + 3 * DAY_S, abs=60)


def test_a_hosts_link_with_a_life_of_its_own(tmp_path: Path) -> None:
    found = read(link(tmp_path, SIGNING, "demo", "--right", "host", "--days", "1").stdout)

    assert found.right is Right.HOST
    assert found.expires == pytest.approx(time.time() + DAY_S, abs=60)


def test_without_an_address_the_link_has_no_host_and_says_so(tmp_path: Path) -> None:
    result = link(tmp_path, f'link_secret = "{TOKEN}"', "demo")

    assert result.stdout.startswith("/rooms/demo?")
    assert "web.base_url" in result.stderr


def test_without_a_secret_the_remedy_is_told(tmp_path: Path) -> None:
    result = link(tmp_path, "", "demo")

    assert isinstance(result.exception, OperatorError)
    assert "web.link_secret" in str(result.exception)


def test_an_id_that_no_meeting_can_have_is_wrong_usage(tmp_path: Path) -> None:
    result = link(tmp_path, SIGNING, "x" * 256)

    assert result.exit_code == 2
    assert "no meeting can have this id" in result.stderr


def test_the_statement_speaks_what_the_pages_speak() -> None:
    assert LANGUAGES == SPOKEN


@pytest.mark.parametrize(("language", "word"), [("en", "Your number"), ("de", "Ihre Nummer")])
def test_the_privacy_statement_is_printed_in_each_language(
    tmp_path: Path, language: str, word: str
) -> None:
    file = tmp_path / "dialin.toml"
    file.write_text(f'{TOML}privacy_url = "https://example.org/privacy"')
    result = CliRunner().invoke(
        cli, ["privacy", "statement", "--language", language, "--config", str(file)]
    )

    assert word in result.stdout
    assert "xxx-xxx-1234" in result.stdout
    assert result.stdout.endswith("https://example.org/privacy\n")
