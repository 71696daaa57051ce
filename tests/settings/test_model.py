# SPDX-License-Identifier: GPL-3.0-or-later
"""What the models take and what they refuse, setting by setting."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from dialin.events import Codec
from dialin.settings import FOR_DEMO, Settings
from dialin.settings.base import Section
from dialin.settings.problems import section_of
from tests.settings import SECRET, TOKEN, complaint, settings, with_values
from tests.settings.test_peer_checks import REGISTER


def test_a_trunk_and_a_server_are_all_that_must_be_set() -> None:
    defaults = settings()

    assert defaults.trunks["lab"].allowed_sources == (ip_network("203.0.113.0/28"),)
    assert defaults.trunks["lab"].numbers[0].e164 == "+493012345678"
    assert defaults.media.codecs == (Codec.G722, Codec.PCMA, Codec.PCMU)
    assert [(listen.transport, listen.port) for listen in defaults.sip.listen] == [
        ("udp", 5060),
        ("tcp", 5060),
    ]
    assert defaults.web.host == "127.0.0.1"


@pytest.mark.parametrize("section", ["trunks", "bbb_servers"])
def test_without_trunk_or_server_there_is_no_service(section: str) -> None:
    assert complaint({section: {}}).startswith(f"{section}: ")


def sections(section: type[BaseModel]) -> list[type[BaseModel]]:
    inner = [section_of(field) for field in section.model_fields.values()]
    return [section, *(part for found in inner if found for part in sections(found))]


@pytest.mark.parametrize("section", sections(Settings))
def test_every_section_is_frozen_strict_and_explained(section: type[BaseModel]) -> None:
    assert issubclass(section, Section)
    assert section.model_config["frozen"]
    assert section.model_config["extra"] == "forbid"
    assert section.model_config["hide_input_in_errors"]
    assert section.__doc__
    assert all(field.description or section_of(field) for field in section.model_fields.values())


def test_nothing_changes_after_the_start() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings().web.port = 1


@pytest.mark.parametrize(
    "path", ["extra", "web.extra", "trunks.lab.extra", "bbb_servers.main.extra", "sip.extra"]
)
def test_an_unknown_key_is_refused_on_every_level(path: str) -> None:
    assert complaint({path: 1}) == f"{path}: there is no such setting."


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("service.max_calls", 0),
        ("service.max_calls", 2001),
        ("service.languages", []),
        ("service.name", ""),
        ("sip.listen", []),
        ("trunks.lab.number_from", []),
        ("trunks.lab.allowed_sources", []),
        ("trunks.lab.caller_from", []),
        ("trunks.lab.region", "Germany"),
        ("bbb_servers.main.secret", ""),
        ("bbb_servers.main.voice_port", 0),
        ("bbb_servers.main.voice_host", "two words"),
        ("pin.tries", 6),
        ("pin.think_s", 9.9),
        ("pin.max_digits", 12),
        ("media.codecs", []),
        ("media.timeout_s", 0),
        ("log.level", "verbose"),
    ],
)
def test_a_value_outside_its_range_is_refused(path: str, value: object) -> None:
    assert complaint({path: value}).startswith(f"{path}")


@pytest.mark.parametrize("name", ["Lab", "my-trunk", "a__b", "", "_lab", "lab_", "x" * 33])
def test_a_table_name_that_no_environment_variable_can_spell_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(with_values({"trunks": {name: with_values({})["trunks"]["lab"]}}))


@pytest.mark.parametrize(
    "number", ["4930123456", "+0301234567", "+49 30 1234567", "+49", "+493o12"]
)
def test_our_numbers_are_e164(number: str) -> None:
    assert "should match pattern" in complaint({"trunks.lab.numbers": [{"e164": number}]})


def test_a_source_network_without_a_boundary_is_no_allow_list() -> None:
    assert "lets everybody in" in complaint({"trunks.lab.allowed_sources": ["0.0.0.0/0"]})
    assert "lets everybody in" in complaint({"trunks.lab.media_networks": ["::/0"]})


def test_a_network_is_written_without_host_bits() -> None:
    assert "not a valid IPv4 or IPv6 network" in complaint(
        {"trunks.lab.allowed_sources": ["203.0.113.5/28"]}
    )


def test_a_number_cannot_stand_twice_on_a_trunk() -> None:
    twice = [{"e164": "+493012345678"}, {"e164": "+493012345678", "label": "Berlin"}]

    assert "twice" in complaint({"trunks.lab.numbers": twice})


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pass@bbb.example.org/",
        "https://bbb.example.org/?checksum=1",
        "https://bbb.example.org/#x",
    ],
)
def test_a_server_address_holds_nothing_secret(url: str) -> None:
    assert "more than scheme, host, port and path" in complaint({"bbb_servers.main.url": url})


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://bbb.example.org/bigbluebutton/", "bbb.example.org"),
        ("http://[::1]:8090/bigbluebutton/api", "::1"),
    ],
)
def test_freeswitch_is_looked_for_where_the_api_is(url: str, host: str) -> None:
    assert settings({"bbb_servers.main.url": url}).bbb_servers["main"].voice_address == host


def test_freeswitch_can_be_elsewhere() -> None:
    server = settings({"bbb_servers.main.voice_host": "10.0.0.12"}).bbb_servers["main"]

    assert server.voice_address == "10.0.0.12"


def test_the_shortest_pin_is_not_longer_than_the_longest() -> None:
    assert complaint({"pin.min_digits": 7, "pin.max_digits": 6}).startswith("pin.min_digits: ")
    assert not complaint({"pin.min_digits": 6, "pin.max_digits": 6})


@pytest.mark.parametrize(
    ("setting", "template"),
    [
        ("label.template", "caller"),
        ("label.template", "{digits}{digits}"),
        ("label.template", "{digits}-bbbID-x_"),
        ("label.template", "{digits} ${x}"),
        ("label.template", "{digits} \u202e"),
        ("label.template", "{n}"),
        ("label.hidden", "{digits}"),
        ("label.hidden", "Telefon (unterdrückt) {n}"),
    ],
)
def test_a_label_cannot_say_what_bbb_would_misread(setting: str, template: str) -> None:
    assert "letters, digits, space" in complaint({setting: template})


def test_a_label_stays_short_with_any_count() -> None:
    assert not complaint({"label.template": "x" * 21 + "{digits}"})
    assert "longer than 32" in complaint({"label.template": "x" * 22 + "{digits}"})
    assert not complaint({"label.hidden": "x" * 25 + "{n}"})
    assert "longer than 32" in complaint({"label.hidden": "x" * 26 + "{n}"})


@pytest.mark.parametrize("template", ["{digits}", "000-{digits}", " x{digits}", "x {digits} "])
def test_a_label_is_a_name_and_no_bare_number(template: str) -> None:
    assert "a letter in it" in complaint({"label.template": template})


def test_prompts_of_ones_own_are_in_a_folder_that_exists(tmp_path: Path) -> None:
    assert not complaint({"ivr.prompt_folder": str(tmp_path)})
    assert "does not exist" in complaint({"ivr.prompt_folder": str(tmp_path / "missing")})


def test_a_codec_is_named_once_and_is_one_of_ours() -> None:
    assert "twice" in complaint({"media.codecs": ["PCMA", "PCMA"]})
    assert "PCMU" in complaint({"media.codecs": ["opus", "PCMA"]})


@pytest.mark.parametrize(
    ("first", "last", "setting"),
    [
        (10001, 14999, "media.rtp_first_port"),
        (10000, 15000, "media.rtp_first_port"),
        (20000, 10001, "media.rtp_last_port"),
    ],
)
def test_rtp_ports_come_in_pairs(first: int, last: int, setting: str) -> None:
    ports = {"media.rtp_first_port": first, "media.rtp_last_port": last}

    assert complaint(ports).startswith(f"{setting}: ")


def test_the_rtp_range_holds_both_legs_of_every_call() -> None:
    ports = {"media.rtp_first_port": 20000, "media.rtp_last_port": 20039}

    assert not complaint(ports | {"service.max_calls": 10})
    assert complaint(ports | {"service.max_calls": 11}).startswith("media.rtp_last_port: ")


@pytest.mark.parametrize(
    ("transport", "port", "is_refused"),
    [("udp", 10000, True), ("udp", 14999, True), ("udp", 15000, False), ("tcp", 10000, False)],
)
def test_sip_keeps_out_of_the_rtp_range(transport: str, port: int, is_refused: bool) -> None:
    listen = [{"transport": transport, "host": "127.0.0.1", "port": port}]

    assert complaint({"sip.listen": listen}).startswith("sip.listen: ") is is_refused


@pytest.mark.parametrize(
    ("networks", "is_refused"),
    [
        (["203.0.113.0/28"], True),
        (["198.51.100.0/24", "203.0.113.0/28"], True),
        (["203.0.113.8/29"], False),
        (["2001:db8::/32"], False),
    ],
)
def test_a_network_belongs_to_one_trunk(networks: list[str], is_refused: bool) -> None:
    said = complaint({"trunks.other": {"allowed_sources": networks}})

    assert said.startswith("trunks.other.allowed_sources: ") is is_refused


def test_a_server_stands_once() -> None:
    twin = {"url": "https://bbb.example.org/bigbluebutton/", "secret": "other"}

    assert complaint({"bbb_servers.twin": twin}).startswith("bbb_servers.twin.url: ")
    assert not complaint({"bbb_servers.twin": twin | {"url": "https://two.example.org/"}})


def test_numbers_speak_languages_that_the_service_has() -> None:
    french = [{"e164": "+33123456789", "language": "fr"}]

    assert complaint({"trunks.lab.numbers": french}).startswith("trunks.lab.numbers: ")
    assert not complaint({"trunks.lab.numbers": french, "service.languages": ["en", "fr"]})


def test_a_number_may_offer_several_languages() -> None:
    def offering(*languages: str, **more: str) -> str:
        number = {"e164": "+33123456789", "languages": list(languages), **more}
        return complaint({"trunks.lab.numbers": [number], "service.languages": ["en", "de"]})

    assert not offering("de", "en")
    assert offering("de", "fr").startswith("trunks.lab.numbers: ")
    assert "stands there twice" in offering("de", "en", "de")
    assert not offering("de", "en", language="de")
    assert "not the first of languages" in offering("de", "en", language="en")


@pytest.mark.parametrize("token", ["short", "a" * 40, "abcabcabcabcabcabcabcabc", ""])
def test_a_token_that_can_be_guessed_is_refused(token: str) -> None:
    assert complaint({"web.token": token}) == "web.token: the token can be guessed."


def test_a_long_random_token_is_taken() -> None:
    token = settings({"web.token": TOKEN}).web.token

    assert token
    assert token.get_secret_value() == TOKEN


def test_the_demo_takes_any_token_but_none_at_all() -> None:
    assert Settings.model_validate(with_values({"web.token": "abc"}), context=FOR_DEMO).web.token
    with pytest.raises(ValidationError):
        Settings.model_validate(with_values({"web.token": ""}), context=FOR_DEMO)


def test_workers_are_counted_or_left_to_the_service() -> None:
    assert settings().media.workers == "auto"
    assert settings({"media.workers": 3}).media.workers == 3
    with pytest.raises(ValidationError):
        settings({"media.workers": 0})


def test_an_advertised_address_is_an_address() -> None:
    assert settings({"sip.advertised_address": "198.51.100.7"}).sip.advertised_address == (
        ip_address("198.51.100.7")
    )
    assert complaint({"sip.advertised_address": "phone.example.org"})


def test_no_repr_shows_a_secret() -> None:
    shown = repr(settings({"web.token": TOKEN})) + str(settings({"web.token": TOKEN}))

    assert SECRET not in shown
    assert TOKEN not in shown


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
PATHS = [
    f"{section}.{key}"
    for section in (
        "service",
        "sip",
        "trunks.lab",
        "bbb_servers.main",
        "pin",
        "label",
        "media",
        "web",
    )
    for key in ("name", "listen", "numbers", "url", "tries", "template", "codecs", "token")
]


@given(st.dictionaries(st.sampled_from(PATHS), VALUES, max_size=4))
def test_whatever_stands_in_a_file_is_taken_or_refused_in_one_way(changes: dict[str, Any]) -> None:
    assert SECRET not in complaint(changes)


TLS = {"transport": "tls", "host": "0.0.0.0"}


def test_tls_has_a_port_of_its_own() -> None:
    server = {"bbb_servers.main.voice_transport": "tls"}
    assert settings(server).bbb_servers["main"].voice_port == 5061
    server["bbb_servers.main.voice_port"] = "5081"
    assert settings(server).bbb_servers["main"].voice_port == 5081


def test_calls_over_tls_need_a_certificate(tmp_path: Path) -> None:
    assert complaint({"sip.listen": [TLS]}).startswith("sip.tls_certificate: to take calls over")
    missing = {"sip.listen": [TLS], "sip.tls_certificate": str(tmp_path / "none.pem")}
    assert complaint(missing) == "sip.tls_certificate: there is no such file."
    file = tmp_path / "own.pem"
    file.touch()
    values = {
        "sip.listen": [TLS],
        "sip.tls_certificate": str(file),
        "sip.tls_key": str(file),
        "bbb_servers.main.voice_transport": "tls",
    }
    assert settings(values).sip.listen[0].port == 5061


@pytest.mark.parametrize("key", ["tls_certificate", "tls_key"])
def test_a_certificate_that_nobody_is_shown_is_a_mistake(tmp_path: Path, key: str) -> None:
    file = tmp_path / "own.pem"
    file.touch()
    assert complaint({f"sip.{key}": str(file)}).startswith(f"sip.{key}: there is a certificate")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, ""),
        ({"domain": "example.org"}, "example.org"),
        ({"registrar": "sip.example.org:5061", "domain": "example.org"}, "sip.example.org"),
        ({"registrar": "a.example.org", "outbound_proxy": "p.example.org"}, "p.example.org"),
    ],
)
def test_a_provider_has_to_prove_the_name_that_is_looked_up(
    changes: dict[str, object], name: str
) -> None:
    told = settings({f"trunks.lab.{key}": value for key, value in changes.items()})
    assert told.trunks["lab"].server_name == name


def test_where_we_register_calls_come_back_by_a_socket_that_there_is() -> None:
    udp = {"sip.listen": [{"transport": "udp", "host": "127.0.0.1"}]}
    said = complaint(REGISTER | udp | {"trunks.lab.transport": "tcp"})

    assert said == (
        "trunks.lab.transport: nothing in sip.listen takes the calls that would come by tcp."
    )
    for transport in ("udp", "tls"):
        assert complaint(REGISTER | udp | {"trunks.lab.transport": transport}) == ""
    assert complaint(udp | {"trunks.lab.transport": "tcp"}) == ""


def test_a_voice_server_is_called_from_a_socket_that_there_is() -> None:
    tls = {"sip.listen": [{"transport": "tcp", "host": "0.0.0.0"}]}
    said = complaint(tls | {"bbb_servers.main.voice_transport": "udp"})
    assert said.startswith("bbb_servers.main.voice_transport: nothing in sip.listen speaks udp")
    for transport in ("tcp", "tls"):
        assert complaint(tls | {"bbb_servers.main.voice_transport": transport}) == ""
