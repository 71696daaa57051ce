# SPDX-License-Identifier: GPL-3.0-or-later
"""The generated descriptions: complete, true to the models, and silent about secrets."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from dialin.settings import Settings, load
from dialin.settings.pages import example, in_force, reference, schema, toml
from dialin.settings.problems import section_of
from tests.settings import SECRET, TOKEN


def keys_of(section: type[BaseModel]) -> set[str]:
    inner = [section_of(field) for field in section.model_fields.values()]
    return set(section.model_fields).union(*(keys_of(part) for part in inner if part))


def test_the_example_is_valid_as_it_stands() -> None:
    settings = Settings.model_validate(tomllib.loads(example()))

    assert settings.trunks["example"].numbers[0].e164 == "+493012345678"


def test_the_example_holds_every_setting() -> None:
    text = uncommented(example())

    assert keys_in(tomllib.loads(text)) - {"example"} == keys_of(Settings)


def test_what_the_example_leaves_out_is_valid_when_it_is_put_in(tmp_path: Path) -> None:
    values = tomllib.loads(uncommented(example()))
    values["ivr"]["prompt_folder"] = str(tmp_path)
    trunk, server = values["trunks"]["example"], values["bbb_servers"]["example"]
    certificate = tmp_path / "certificate.pem"
    certificate.write_text("")
    sip = values["sip"]
    plain = len(sip["listen"])
    sip["listen"].append({"transport": "tls", "host": "0.0.0.0"})
    for section, key in (
        (sip, "tls_certificate"),
        (sip, "tls_key"),
        (trunk, "tls_ca_file"),
        (trunk, "tls_client_certificate"),
        (trunk, "tls_client_key"),
        (server, "voice_tls_ca_file"),
    ):
        assert section[key].startswith("/etc/dialin/")
        section[key] = str(certificate)
    trunk["transport"] = server["voice_transport"] = "tls"

    taken = Settings.model_validate(values).sip.listen
    assert taken[:plain] == Settings.model_fields["sip"].default.listen
    assert taken[plain].port == 5061


def uncommented(text: str) -> str:
    return re.sub(r"^# (\[|[a-z0-9_]+ = )", r"\1", text, flags=re.MULTILINE)


def keys_in(values: object) -> set[str]:
    if isinstance(values, list):
        return set().union(*map(keys_in, values))
    if isinstance(values, dict):
        return set(values).union(*map(keys_in, values.values()))
    return set()


def test_the_example_shows_the_defaults() -> None:
    text = example()

    assert "\n# Port; 0 lets the system choose. (0 to 65535)\n# port = 8080\n" in text
    assert '\n# workers = "auto"\n' in text
    assert "\n# voice_in_clear = false\n" in text
    assert max(map(len, text.splitlines())) < 120


def test_the_reference_has_a_row_for_every_setting() -> None:
    page = reference()
    rows = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}

    assert rows | set(Settings.model_fields) == keys_of(Settings)
    assert "label" in rows  # of a number, although [label] is a table too
    assert "None |" not in page


@pytest.mark.parametrize(
    "row",
    [
        "| `port` | integer, 0 to 65535 | `8080` | Port; 0 lets the system choose. |",
        "| `token` | secret text | unset | Bearer token",
        "| `secret` | secret text | **required** | Shared secret",
        '| `workers` | integer or `auto` | `"auto"` | Worker processes.',
        '| `latch` | `sdp`, `same-ip` | `"sdp"` |',
        "| `url` | URL | **required** |",
        "| `allowed_sources` | list: network | unset |",
        "| `password` | secret text | unset | Password to log in with.",
        "| `session_timers` | `true` or `false` or integer | `true` |",
        "| `registrar` | text | unset |",
        "| `voice_in_clear` | `true` or `false` | `false` |",
        '| `listen` | list: table | `[{ transport = "udp", host = "0.0.0.0", port = 5060 }',
        '| `codecs` | list: `PCMU`, `PCMA`, `G722` | `["G722", "PCMA", "PCMU"]` |',
    ],
)
def test_the_reference_tells_kind_limits_and_default(row: str) -> None:
    assert f"\n{row}" in reference()


def test_the_schema_says_that_unknown_keys_are_errors() -> None:
    definition = json.loads(schema())

    assert definition["additionalProperties"] is False
    assert definition["$defs"]["WebSettings"]["properties"]["token"]["anyOf"][0]["writeOnly"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dialin.toml"
    path.write_text(f"""
        [trunks.lab]
        allowed_sources = ["203.0.113.0/28"]
        numbers = [{{ e164 = "+493012345678", label = 'say "Berlin"' }}]
        [bbb_servers.main]
        url = "https://bbb.example.org/"
        secret = "{SECRET}"
        [web]
        token = "{TOKEN}"
    """)
    return path


def test_what_is_in_force_is_toml_again(file: Path) -> None:
    values = tomllib.loads(in_force(load(file), with_origin=False))

    (number,) = values["trunks"]["lab"]["numbers"]
    assert (number["e164"], number["label"]) == ("+493012345678", 'say "Berlin"')
    assert values["media"]["timeout_s"] == 30
    assert values["bbb_servers"]["main"]["voice_in_clear"] is False
    assert values["service"]["languages"] == ["en", "de"]


def test_each_value_in_force_tells_its_origin(file: Path) -> None:
    lines = in_force(load(file), with_origin=True).splitlines()

    assert f'trunks.lab.allowed_sources = ["203.0.113.0/28"]  # file {file}' in lines
    assert "web.port = 8080  # default" in lines
    assert "# sip.advertised_address is unset  # default" in lines


def test_what_a_preset_knows_is_in_force_and_told_as_such(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIALIN_TRUNKS__LAB__PRESET", "sipgate")
    monkeypatch.setenv("DIALIN_TRUNKS__LAB__USERNAME", "1234567t0")
    monkeypatch.setenv("DIALIN_TRUNKS__LAB__PASSWORD", SECRET)
    monkeypatch.setenv("DIALIN_TRUNKS__LAB__REGION", "AT")
    lines = in_force(load(file), with_origin=True).splitlines()

    assert 'trunks.lab.registrar = "sipconnect.sipgate.de"  # preset sipgate' in lines
    assert 'trunks.lab.mode = "register"  # preset sipgate' in lines
    assert 'trunks.lab.region = "AT"  # environment variable DIALIN_TRUNKS__LAB__REGION' in lines
    assert "trunks.lab.expires_s = 300  # default" in lines
    assert SECRET not in "\n".join(lines)


def test_no_secret_is_shown(file: Path) -> None:
    shown = in_force(load(file), with_origin=True) + in_force(load(file), with_origin=False)

    assert SECRET not in shown
    assert TOKEN not in shown
    assert 'web.token = "**********"' in shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (1_800_000, "1800000"),
        (0.25, "0.25"),
        (600.0, "600"),
        (Path("/var/lib"), '"/var/lib"'),
        ("Zürich\n", '"Zürich\\n"'),
        ((), "[]"),
    ],
)
def test_a_value_is_written_as_toml(value: object, text: str) -> None:
    assert toml(value) == text
    assert tomllib.loads(f"key = {text}")
