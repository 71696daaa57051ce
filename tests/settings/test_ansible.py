# SPDX-License-Identifier: GPL-3.0-or-later
"""What the variables of an Ansible role become."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.errors import OperatorError
from dialin.settings import Settings
from dialin.settings.ansible import import_files, preset_of, translate

PASSWORD = "canary-of-the-provider-Xq7"
OLD = """\
bbb_hostname: bbb.example.org
bbb_dialin_enabled: true
bbb_dialin_provider_proxy: sipgate.de
bbb_dialin_provider_username: 158d43584d
bbb_dialin_provider_password: canary-of-the-provider-Xq7
bbb_dialin_provider_extension: '03023125100'
bbb_dialin_default_number: '+49 30 231-25 100'
bbb_dialin_mask_caller: true
bbb_dialin_default_play_and_get_digits: 5 5 3 7000 # conference/conf-pin.wav
bbb_dialin_overwrite_footer: true
"""
NEW = """\
bbb_hostname: "{{ ansible_fqdn }}"
bbb_dialin_enable: true
bbb_dialin_provider: sip.provider.example
bbb_dialin_provider_ip: 203.0.113.7
bbb_dialin_provider_username: account
bbb_dialin_provider_password: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  3132
bbb_dialin_provider_extension: 4930231251
bbb_dialin_pin_minlen: 5
bbb_dialin_pin_maxlen: 9
bbb_dialin_pin_timeout: 10000
bbb_dialin_pin_maxwait: 5000
bbb_dialin_pin_retries: 9
bbb_dialin_mask_caller: false
bbb_dialin_mask_digits: 3
bbb_dialin_mask_prefix: tel-
"""


def imported(tmp_path: Path, *texts: str) -> tuple[dict[str, Any], str]:
    """The settings that files of variables become, and the notes above them."""
    files = []
    for index, text in enumerate(texts):
        files.append(tmp_path / f"{index}.yml")
        files[-1].write_text(text)
    toml = import_files(files)
    notes = "".join(line for line in toml.splitlines(keepends=True) if line.startswith("#"))
    return tomllib.loads(toml), notes


def test_a_known_provider_gets_its_preset(tmp_path: Path) -> None:
    values, notes = imported(tmp_path, OLD)
    assert values["trunks"] == {
        "sipgate": {
            "preset": "sipgate",
            "username": "158d43584d",
            "region": "DE",
            "numbers": [{"e164": "+493023125100"}],
        }
    }
    assert values["bbb_servers"] == {"main": {"url": "https://bbb.example.org/bigbluebutton/"}}
    assert "trunks__sipgate__password" in notes
    assert "bbb_servers__main__secret" in notes
    assert "bbb_dialin_overwrite_footer: the welcome text" in notes


def test_what_the_newer_role_knows_becomes_settings(tmp_path: Path) -> None:
    values, notes = imported(tmp_path, NEW)
    assert values["trunks"]["provider"] == {
        "mode": "register",
        "registrar": "sip.provider.example",
        "allowed_sources": ["203.0.113.7/32"],
        "username": "account",
        "region": "DE",
        "numbers": [{"e164": "+4930231251"}],
    }
    assert values["pin"] == {"tries": 5, "pause_s": 5.0}
    assert values["label"] == {"template": "tel-{digits}"}
    for told in ("has no preset", "bbb_hostname", "always masks", "mask_digits", "pin_timeout"):
        assert told in notes


@pytest.mark.parametrize("text", [OLD, NEW])
def test_with_its_secrets_the_file_is_fine(tmp_path: Path, text: str) -> None:
    values, _ = imported(tmp_path, text)
    [trunk] = values["trunks"].values()
    trunk["password"] = "p4ssw0rd-of-the-account"
    values["bbb_servers"]["main"]["secret"] = "the-secret"
    Settings.model_validate(values)


def test_no_secret_gets_into_the_file(tmp_path: Path) -> None:
    for text in (OLD, NEW):
        values, notes = imported(tmp_path, text)
        assert PASSWORD not in notes + str(values)
        assert "VAULT" not in notes + str(values)


def test_later_files_win(tmp_path: Path) -> None:
    values, _ = imported(tmp_path, OLD, "bbb_dialin_provider_username: other\n")
    assert values["trunks"]["sipgate"]["username"] == "other"


@pytest.mark.parametrize(
    ("variables", "note"),
    [
        ({"enable": False}, "switched off"),
        ({"enable": True}, "No provider is told"),
        ({"provider": "{{ sip_provider }}"}, "bbb_dialin_provider is made by Ansible"),
        ({"provider_ip": "sip.example.org"}, "provider_ip is no address"),
        ({"default_number": "ask us"}, "default_number is no telephone number"),
        ({"default_number": "12"}, "default_number is no telephone number"),
        ({"pin_maxlen": 12}, "pin_maxlen: dialin takes PINs of 5 to 11 digits"),
        ({"pin_maxlen": 5}, "PINs of five digits can be guessed"),
        ({"pin_minlen": True}, "PINs of five digits can be guessed"),
        ({"provider": "a\nb]c"}, "a?b]c has no preset"),
    ],
)
def test_what_has_to_be_looked_at_is_told(variables: dict[str, Any], note: str) -> None:
    toml = translate({f"bbb_dialin_{name}": value for name, value in variables.items()})
    assert note in toml
    tomllib.loads(toml)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("a: [", "is not YAML"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("- a\n- b", "holds no variables"),
        ("[" * 5000, "is not YAML"),
        ("bbb_hostname: x", "no variable whose name begins"),
        ("#" * 1_100_000, "too large"),
        (None, "cannot be read"),
    ],
)
def test_files_that_hold_nothing_of_use_are_refused(
    tmp_path: Path, text: str | None, cause: str
) -> None:
    file = tmp_path / "vars.yml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(OperatorError, match=re.escape(cause)):
        import_files([file])


@pytest.mark.parametrize(
    ("provider", "preset"),
    [
        ("voip.easybell.de", "easybell"),
        ("sipgate.de:5060", "sipgate"),
        ("203.0.113.9", ""),
        ("not a host", ""),
        ("", ""),
    ],
)
def test_providers_are_known_by_their_domain(provider: str, preset: str) -> None:
    assert preset_of(provider) == preset


NAMES = st.sampled_from(
    [
        "enable",
        "provider",
        "provider_ip",
        "provider_username",
        "provider_extension",
        "pin_minlen",
        "pin_maxwait",
        "pin_retries",
        "mask_caller",
        "mask_digits",
        "mask_prefix",
        "footer",
    ]
)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary())


@given(st.dictionaries(NAMES, VALUES, min_size=1))
def test_whatever_stands_there_the_file_is_toml(variables: dict[str, Any]) -> None:
    tomllib.loads(translate({f"bbb_dialin_{name}": each for name, each in variables.items()}))
