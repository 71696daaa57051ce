# SPDX-License-Identifier: GPL-3.0-or-later
"""What must fit together within a trunk and within a BigBlueButton server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settings import complaint, settings

REGISTER = {
    "trunks.lab.mode": "register",
    "trunks.lab.registrar": "sip.example.org",
    "trunks.lab.username": "004930123456",
    "trunks.lab.password": "canary-of-the-trunk",
    "trunks.lab.allowed_sources": [],
}
TLS = {"trunks.lab.transport": "tls"}
VOICE_TLS = {"bbb_servers.main.voice_transport": "tls"}


def without(key: str) -> dict[str, object]:
    return {path: value for path, value in REGISTER.items() if not path.endswith(f".{key}")}


def test_a_registration_needs_no_address_of_the_provider() -> None:
    trunk = settings(REGISTER).trunks["lab"]

    assert trunk.allowed_sources == ()
    assert trunk.expires_s == 300
    assert trunk.digest_algorithms == ("sha-512-256", "sha-256", "md5")


@pytest.mark.parametrize("key", ["registrar", "username", "password"])
def test_a_registration_needs_a_server_and_credentials(key: str) -> None:
    assert complaint(without(key)) == f"trunks.lab.{key}: registration needs {key} too."


def test_all_that_a_registration_lacks_is_told_at_once() -> None:
    said = complaint({"trunks.lab.mode": "register"})

    assert said == "trunks.lab.registrar: registration needs registrar, username, password too."


def test_our_address_at_the_provider_is_at_the_registrar_unless_told() -> None:
    assert settings(REGISTER).trunks["lab"].home_domain == "sip.example.org"
    told = REGISTER | {"trunks.lab.domain": "example.org"}
    assert settings(told).trunks["lab"].home_domain == "example.org"
    with_port = REGISTER | {"trunks.lab.registrar": "[2001:db8::7]:5061"}
    assert settings(with_port).trunks["lab"].home_domain == "2001:db8::7"
    assert settings().trunks["lab"].home_domain == ""


def test_we_log_in_as_who_we_are_unless_told() -> None:
    assert settings(REGISTER).trunks["lab"].login == "004930123456"
    told = REGISTER | {"trunks.lab.auth_username": "+49199@example.org"}
    assert settings(told).trunks["lab"].login == "+49199@example.org"
    assert settings().trunks["lab"].login == ""


def test_a_password_is_not_shown() -> None:
    assert "canary-of-the-trunk" not in repr(settings(REGISTER))


@pytest.mark.parametrize("name", ["", "two words", 'quo"te', "<angle>", "back\\slash", "ümlaut"])
def test_a_user_name_is_fit_for_a_header(name: str) -> None:
    assert complaint(REGISTER | {"trunks.lab.username": name}).startswith("trunks.lab.username: ")


def test_a_peer_is_known_by_its_networks() -> None:
    said = complaint({"trunks.lab.allowed_sources": []})

    assert said.startswith("trunks.lab.allowed_sources: a trunk that does not register is known by")


def test_an_algorithm_is_named_once() -> None:
    assert "twice" in complaint({"trunks.lab.digest_algorithms": ["md5", "md5"]})
    assert complaint({"trunks.lab.digest_algorithms": []})
    assert complaint({"trunks.lab.digest_algorithms": ["sha-1"]})


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_keys_of_promised_encryption_do_not_travel_in_the_clear(transport: str) -> None:
    trunk = {"trunks.lab.media_encryption": "require", "trunks.lab.transport": transport}
    server = {
        "bbb_servers.main.voice_encryption": "require",
        "bbb_servers.main.voice_transport": transport,
    }

    assert f"in the clear over {transport}" in complaint(trunk)
    assert complaint(trunk).startswith("trunks.lab.media_encryption: ")
    assert complaint(server).startswith("bbb_servers.main.voice_encryption: ")
    assert not complaint(trunk | {"trunks.lab.allow_insecure_sdes": True})
    assert not complaint(server | {"bbb_servers.main.voice_allow_insecure_sdes": True})


def test_keys_may_travel_over_tls() -> None:
    assert not complaint(TLS | {"trunks.lab.media_encryption": "require"})
    assert not complaint(VOICE_TLS | {"bbb_servers.main.voice_encryption": "require"})


@pytest.mark.parametrize("encryption", ["off", "prefer"])
def test_audio_in_the_clear_can_be_accepted(encryption: str) -> None:
    assert not complaint({"trunks.lab.media_encryption": encryption})
    assert not complaint({"bbb_servers.main.voice_encryption": encryption})


def test_certificates_are_files_that_exist(tmp_path: Path) -> None:
    there, missing = tmp_path / "ca.pem", tmp_path / "missing.pem"
    there.write_text("")

    assert not complaint(TLS | {"trunks.lab.tls_ca_file": str(there)})
    assert not complaint(VOICE_TLS | {"bbb_servers.main.voice_tls_ca_file": str(there)})
    for file in (missing, tmp_path):
        told = complaint(TLS | {"trunks.lab.tls_ca_file": str(file)})
        assert told == "trunks.lab.tls_ca_file: there is no such file."
        assert complaint(VOICE_TLS | {"bbb_servers.main.voice_tls_ca_file": str(file)})


@pytest.mark.parametrize("key", ["tls_ca_file", "tls_client_certificate", "tls_client_key"])
def test_certificates_are_for_tls(key: str, tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.write_text("")
    said = complaint({f"trunks.lab.{key}": str(file)})

    assert said == f'trunks.lab.{key}: certificates are for transport = "tls" only.'


def test_the_certificates_of_a_server_are_for_tls_too(tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.write_text("")

    assert "for voice_transport" in complaint({"bbb_servers.main.voice_tls_ca_file": str(file)})


@pytest.mark.parametrize("key", ["tls_client_certificate", "tls_client_key"])
def test_a_certificate_comes_with_its_key(key: str, tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.write_text("")
    both = dict.fromkeys(["trunks.lab.tls_client_certificate", "trunks.lab.tls_client_key"])

    assert "belong together" in complaint(TLS | {f"trunks.lab.{key}": str(file)})
    assert not complaint(TLS | dict.fromkeys(both, str(file)))


def test_a_fixed_number_is_one_of_the_trunks_numbers() -> None:
    fixed = {"trunks.lab.number_from": ["to", "fixed"]}

    assert not complaint(fixed)
    assert complaint(fixed | {"trunks.lab.numbers": []}).startswith("trunks.lab.number_from: ")


@pytest.mark.parametrize("source", ["diversion", "p-preferred-identity", "header:X-DID"])
def test_a_number_may_stand_in_any_header(source: str) -> None:
    assert not complaint({"trunks.lab.number_from": [source]})


@pytest.mark.parametrize("source", ["x-did", "header:", "header:X DID", "header:X\nY", "To"])
def test_a_header_is_named_as_one(source: str) -> None:
    assert complaint({"trunks.lab.number_from": [source]}).startswith("trunks.lab.number_from.0: ")


@pytest.mark.parametrize(("timers", "is_refused"), [(True, False), (1800, False), (89, True)])
def test_session_timers_are_on_off_or_seconds(timers: object, is_refused: bool) -> None:
    assert bool(complaint({"trunks.lab.session_timers": timers})) is is_refused


def test_audio_to_a_public_address_must_be_wanted() -> None:
    public = {"bbb_servers.main.voice_host": "8.8.8.8"}

    assert "public network unencrypted" in complaint(public)
    assert not complaint(public | {"bbb_servers.main.voice_in_clear": True})
    assert not complaint({"bbb_servers.main.voice_host": "10.0.0.12"})


def test_audio_that_must_be_encrypted_may_go_to_a_public_address() -> None:
    public = {"bbb_servers.main.voice_host": "8.8.8.8"} | VOICE_TLS

    assert not complaint(public | {"bbb_servers.main.voice_encryption": "require"})
    assert complaint(public | {"bbb_servers.main.voice_encryption": "prefer"})


def test_audio_to_the_public_address_of_the_api_must_be_wanted_too() -> None:
    assert "public network" in complaint({"bbb_servers.main.url": "https://8.8.8.8/"})
    assert "public network" in complaint({"bbb_servers.main.url": "https://[2a00:1450::1]/"})


# LiveKit


def test_the_way_to_livekit_is_that_to_freeswitch_unless_set() -> None:
    server = settings({"bbb_servers.main.voice_host": "10.0.0.12"}).bbb_servers["main"]
    assert (server.livekit_address, server.livekit_way, server.livekit_port) == (
        "10.0.0.12",
        "udp",
        5062,
    )
    own = {
        "bbb_servers.main.livekit_host": "10.0.0.13",
        "bbb_servers.main.livekit_transport": "tcp",
    }
    server = settings(own).bbb_servers["main"]
    assert (server.livekit_address, server.livekit_way) == ("10.0.0.13", "tcp")


def test_the_keys_of_livekits_audio_are_hidden_as_well() -> None:
    hidden = VOICE_TLS | {"bbb_servers.main.voice_encryption": "require"}
    udp = hidden | {"bbb_servers.main.livekit_transport": "udp"}
    assert complaint(udp).startswith("bbb_servers.main.livekit_transport: ")
    assert not complaint(udp | {"bbb_servers.main.bridge": "freeswitch"})
    assert not complaint(udp | {"bbb_servers.main.voice_allow_insecure_sdes": True})


def test_certificates_may_be_livekits(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("")
    ca = {"bbb_servers.main.voice_tls_ca_file": str(file)}
    assert not complaint(ca | {"bbb_servers.main.livekit_transport": "tls"})


def test_audio_to_a_livekit_elsewhere_crosses_no_public_network_by_mistake() -> None:
    public = {"bbb_servers.main.livekit_host": "8.8.8.8"}
    assert complaint(public).startswith("bbb_servers.main.livekit_host: callers' audio")
    assert not complaint(public | {"bbb_servers.main.bridge": "freeswitch"})
    assert not complaint(public | {"bbb_servers.main.voice_in_clear": True})
