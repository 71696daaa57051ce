# SPDX-License-Identifier: GPL-3.0-or-later
"""Where settings come from, which place wins, and what is told about each."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from dialin.settings import Loaded, load
from dialin.settings.problems import SettingsError
from tests.settings import SECRET, TOKEN

TOML = f"""
[trunks.lab]
allowed_sources = ["203.0.113.0/28"]
numbers = [{{ e164 = "+493012345678" }}]

[bbb_servers.main]
url = "https://bbb.example.org/bigbluebutton/"
secret = "{SECRET}"

[web]
port = 8081
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dialin.toml"
    path.write_text(TOML)
    path.chmod(0o640)
    return path


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def refusal(file: Path | None) -> SettingsError:
    with pytest.raises(SettingsError) as refused:
        load(file)
    return refused.value


def secret_of(loaded: Loaded) -> str:
    return loaded.settings.bbb_servers["main"].secret.get_secret_value()


def test_a_file_is_enough(file: Path) -> None:
    loaded = load(file)

    assert loaded.settings.web.port == 8081
    assert loaded.origin(("web", "port")) == f"file {file}"
    assert loaded.origin(("trunks", "lab", "numbers", 0, "e164")) == f"file {file}"
    assert loaded.origin(("web", "host")) == "default"
    assert loaded.warnings == ()


def test_the_environment_comes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIALIN_WEB__PORT", "8082")
    loaded = load(file)

    assert loaded.settings.web.port == 8082
    assert loaded.origin(("web", "port")) == "environment variable DIALIN_WEB__PORT"
    assert loaded.settings.trunks["lab"].numbers[0].e164 == "+493012345678"


def test_a_secret_file_comes_before_the_environment(
    file: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIALIN_BBB_SERVERS__MAIN__SECRET", "from the environment")
    (secrets / "bbb_servers__main__secret").write_text("from the file\n")
    loaded = load(file)

    assert secret_of(loaded) == "from the file"
    assert loaded.origin(("bbb_servers", "main", "secret")) == (
        f"secret file {secrets / 'bbb_servers__main__secret'}"
    )


def test_everything_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TRUNKS__LAB__ALLOWED_SOURCES": "203.0.113.0/28, 2001:db8::/32",
        "TRUNKS__LAB__NUMBERS": '[{"e164": "+493012345678"}]',
        "BBB_SERVERS__MAIN__URL": "https://bbb.example.org/",
        "BBB_SERVERS__MAIN__SECRET": "12345678",
        "SERVICE__LANGUAGES": "de,en",
        "MEDIA": '{"workers": 2}',
    }.items():
        monkeypatch.setenv(f"DIALIN_{name}", value)
    loaded = load(None)

    assert loaded.settings.trunks["lab"].allowed_sources == (
        ip_network("203.0.113.0/28"),
        ip_network("2001:db8::/32"),
    )
    assert secret_of(loaded) == "12345678"
    assert loaded.settings.service.languages == ("de", "en")
    assert loaded.settings.media.workers == 2
    assert loaded.origin(("media", "workers")) == "environment variable DIALIN_MEDIA"


@pytest.mark.parametrize(
    ("variable", "setting", "remedy"),
    [
        ("DIALIN_SERVICE_NAME", "service_name", "Did you mean service.name?"),
        ("DIALIN_WEB__PROT", "web.prot", "Did you mean web.port?"),
        ("DIALIN_NONSENSE", "nonsense", "Here could stand: service, sip, trunks,"),
        ("DIALIN_", "", "Here could stand: service, sip, trunks,"),
    ],
)
def test_an_unknown_variable_is_an_error(
    file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, setting: str, remedy: str
) -> None:
    monkeypatch.setenv(variable, "x")
    (problem,) = refusal(file).problems

    assert problem.setting == setting
    assert problem.origin == f"environment variable {variable}"
    assert problem.cause == "there is no such setting."
    assert remedy in problem.remedy


def test_other_programs_variables_are_left_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIALINGTONE", "x")

    assert load(file).settings.web.port == 8081


def test_a_slip_in_a_secret_files_name_is_an_error(file: Path, secrets: Path) -> None:
    (secrets / "web__tokn").write_text(TOKEN)
    (problem,) = refusal(file).problems

    assert problem.remedy == "Did you mean web.token?"
    assert problem.origin == f"secret file {secrets / 'web__tokn'}"


def test_other_programs_secrets_are_named_and_left_unread(file: Path, secrets: Path) -> None:
    (secrets / "tls.key").write_bytes(b"\xff\xfe")
    (secrets / "folder").mkdir()
    loaded = load(file)

    assert loaded.warnings == (
        f"secret file {secrets / 'tls.key'} begins with no section's name and is not used.",
    )


def test_a_secret_that_is_no_text_is_an_error(file: Path, secrets: Path) -> None:
    (secrets / "web__token").write_bytes(b"\xff\xfe")

    assert "cannot be read as text" in str(refusal(file))


def test_a_secrets_folder_that_is_not_there_is_an_error(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "missing"))

    assert "$CREDENTIALS_DIRECTORY: the folder cannot be read: No such file" in str(refusal(file))


def test_a_missing_file_says_how_to_begin(tmp_path: Path) -> None:
    (problem,) = refusal(tmp_path / "missing.toml").problems

    assert problem.cause == "cannot be read: No such file or directory."
    assert "dialin config example" in problem.remedy


def test_a_broken_line_is_named_by_its_place_and_not_repeated(file: Path) -> None:
    file.write_text(f"{TOML}\ntoken = {TOKEN}\n")
    said = str(refusal(file))

    assert "is not TOML: " in said
    assert "at line 13" in said
    assert TOKEN not in said


def test_a_file_in_another_encoding_is_refused_without_its_bytes(file: Path) -> None:
    file.write_bytes(TOML.encode() + b"[service]\nname = '\xfc'\n")

    assert "is not TOML: it is not UTF-8. Mend the line." in str(refusal(file))


def test_secrets_in_a_file_for_everybody_are_worth_a_warning(file: Path) -> None:
    file.chmod(0o644)
    (warning,) = load(file).warnings

    assert warning.startswith("bbb_servers.main.secret stands in ")
    assert "chmod o=" in warning


def test_an_open_file_without_secrets_is_fine(file: Path, secrets: Path) -> None:
    file.write_text(TOML.replace(f'secret = "{SECRET}"', ""))
    file.chmod(0o644)
    (secrets / "bbb_servers__main__secret").write_text(SECRET)

    assert load(file).warnings == ()


def test_a_preset_lies_beneath_all_that_is_written(
    file: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(
        TOML.replace("[trunks.lab]", '[trunks.lab]\npreset = "easybell"\nusername = "0049301"')
    )
    file.chmod(0o640)
    monkeypatch.setenv("DIALIN_TRUNKS__LAB__EXPIRES_S", "120")
    (secrets / "trunks__lab__password").write_text(SECRET)
    loaded = load(file)
    trunk = loaded.settings.trunks["lab"]

    assert (trunk.registrar, trunk.transport) == ("secure.sip.easybell.de:5061", "tls")
    assert (trunk.expires_s, trunk.username) == (120, "0049301")
    assert trunk.allowed_sources == (ip_network("203.0.113.0/28"),)
    assert loaded.origin(("trunks", "lab", "registrar")) == "preset easybell"
    assert loaded.origin(("trunks", "lab", "expires_s")) == (
        "environment variable DIALIN_TRUNKS__LAB__EXPIRES_S"
    )
    assert loaded.origin(("trunks", "lab", "preset")) == f"file {file}"
    assert loaded.origin(("trunks", "lab", "domain")) == "default"


@pytest.mark.parametrize("preset", ['"sipgat"', "1", '["sipgate"]'])
def test_an_unknown_preset_is_an_error_that_names_those_there_are(file: Path, preset: str) -> None:
    file.write_text(TOML.replace("[trunks.lab]", f"[trunks.lab]\npreset = {preset}"))
    (problem,) = refusal(file).problems

    assert (problem.setting, problem.origin) == ("trunks.lab.preset", f"file {file}")
    if "sipgat" in preset and "[" not in preset:
        assert problem.cause == "there is no such preset."
        assert "easybell" in problem.remedy


def test_a_value_of_a_preset_that_does_not_fit_is_told_with_its_origin(file: Path) -> None:
    file.write_text(
        TOML.replace("[trunks.lab]", '[trunks.lab]\npreset = "twilio"\ntransport = "udp"')
    )
    (problem,) = refusal(file).problems

    assert (problem.setting, problem.origin) == ("trunks.lab.media_encryption", "preset twilio")


def test_what_is_no_table_of_trunks_is_an_error_with_its_origin(file: Path) -> None:
    file.write_text("trunks = 1\n[bbb_servers]\n")

    assert "trunks (file" in str(refusal(file))
    file.write_text("trunks.lab = 1\n[bbb_servers]\n")
    assert "trunks.lab (file" in str(refusal(file))


def test_a_list_replaces_a_list_and_a_table_joins_a_table(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIALIN_TRUNKS__LAB__ALLOWED_SOURCES", "198.51.100.0/24")
    monkeypatch.setenv("DIALIN_TRUNKS__OTHER", "{}")
    said = refusal(file)

    assert [problem.setting for problem in said.problems] == ["trunks.other.allowed_sources"]
    monkeypatch.delenv("DIALIN_TRUNKS__OTHER")
    assert load(file).settings.trunks["lab"].allowed_sources == (ip_network("198.51.100.0/24"),)


def test_a_value_in_place_of_a_table_is_an_error_with_its_origin(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIALIN_WEB", "8080")
    (problem,) = refusal(file).problems

    assert problem.setting == "web"
    assert problem.origin == "environment variable DIALIN_WEB"


def test_nothing_of_a_secret_is_told_when_it_is_in_the_wrong_place(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for section in (
        "WEB__PORT",
        "SERVICE__MAX_CALLS",
        "SIP__LISTEN",
        "LOG__LEVEL",
        "MEDIA__CODECS",
    ):
        monkeypatch.setenv(f"DIALIN_{section}", TOKEN)
    monkeypatch.setenv("DIALIN_TRUNKS__LAB__NUMBERS", f'[{{"e164": "{TOKEN}"}}]')
    monkeypatch.setenv("DIALIN_BBB_SERVERS__MAIN__URL", f"https://{TOKEN}:{TOKEN}@bbb.example.org/")
    said = refusal(file)

    assert len(said.problems) == 7
    assert TOKEN not in str(said)
    assert TOKEN not in repr(said.__context__)
    assert said.__cause__ is None


def test_the_environment_is_only_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIALIN_WEB__PORT", "8082")
    before = dict(os.environ)
    load(file)

    assert dict(os.environ) == before
