# SPDX-License-Identifier: GPL-3.0-or-later
"""What the settings of a trunk make of its registration."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from dialin.app import parts
from dialin.errors import OperatorError
from dialin.outside import Outside
from dialin.providers import (
    ANYWHERE,
    contact_user,
    make_account,
    make_outside,
    make_provider,
    outgoing_encryption,
    readiness_of,
)
from dialin.registration import Standing
from dialin.wire.digest import Algorithm
from dialin.wire.encryption import Encryption
from tests.settings import settings
from tests.settings.test_peer_checks import REGISTER

FULL = REGISTER | {
    "trunks.lab.domain": "example.org",
    "trunks.lab.auth_username": "login",
    "trunks.lab.realm": "realm.example.org",
    "trunks.lab.expires_s": 600,
    "trunks.lab.digest_algorithms": ["sha-256"],
    "trunks.lab.single_registration": True,
    "trunks.lab.pause_after_refusal_s": 600,
    "trunks.lab.transport": "tcp",
    "trunks.lab.keepalive_s": 25,
    "trunks.lab.keepalive": "empty",
}


def test_an_account_is_what_the_operator_wrote() -> None:
    account = make_account(settings(FULL).trunks["lab"], "dialin-1")
    assert account.address_of_record == "sip:004930123456@example.org"
    assert account.domain_uri == "sip:example.org"
    assert (account.expires_s, account.is_ours_alone) == (600, True)
    assert account.pause_after_refusal_s == 600
    login = account.login
    assert (login.username, login.password) == ("login", "canary-of-the-trunk")
    assert (login.realm, login.algorithms) == ("realm.example.org", (Algorithm.SHA_256,))


def test_a_bridge_is_named_by_a_uuid_that_stays_the_same() -> None:
    account = make_account(settings(FULL).trunks["lab"], "dialin-1")
    assert account.instance == make_account(settings(FULL).trunks["lab"], "dialin-1").instance
    assert account.instance != make_account(settings(FULL).trunks["lab"], "dialin-2").instance
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        account.instance,
    )


@pytest.mark.parametrize(
    "changes", [{"trunks.lab.outbound": False}, {"trunks.lab.transport": "udp"}]
)
def test_a_bridge_is_not_named_where_that_is_no_use(changes: dict[str, object]) -> None:
    assert make_account(settings(FULL | changes).trunks["lab"], "dialin-1").instance == ""


@pytest.mark.parametrize(
    ("proxy", "routes"),
    [
        (None, ()),
        ("sip.example.org", ()),
        ("proxy.example.org", ("<sip:proxy.example.org;transport=tcp;lr>",)),
        ("[2001:db8::7]:5080", ("<sip:[2001:db8::7]:5080;transport=tcp;lr>",)),
    ],
)
def test_a_proxy_before_the_registrar_is_a_route(
    proxy: str | None, routes: tuple[str, ...]
) -> None:
    changes = {"trunks.lab.outbound_proxy": proxy} if proxy else {}
    made = settings(FULL | {"trunks.lab.registrar": "sip.example.org"} | changes)
    account = make_account(made.trunks["lab"], "dialin-1")
    assert account.routes == routes
    assert account.route_headers == tuple(("Route", route) for route in routes)


@pytest.mark.parametrize(
    ("changes", "server"),
    [
        ({}, ("sip.example.org", None)),
        ({"trunks.lab.registrar": "sip.example.org:5070"}, ("sip.example.org", 5070)),
        ({"trunks.lab.outbound_proxy": "[2001:db8::7]:5080"}, ("2001:db8::7", 5080)),
    ],
)
def test_the_server_is_the_registrar_or_the_proxy_before_it(
    changes: dict[str, object], server: tuple[str, int | None]
) -> None:
    provider = make_provider("lab", settings(FULL | changes).trunks["lab"], "dialin-1")
    assert (provider.host, provider.port) == server
    assert (provider.trunk, provider.transport) == ("lab", "TCP")
    assert (provider.keepalive_s, provider.is_asked_for_life) == (25, False)


def test_a_contact_is_the_same_after_a_restart_and_nobody_elses() -> None:
    here = contact_user("lab", settings(REGISTER))
    assert here == contact_user("lab", settings(REGISTER))
    assert re.fullmatch(r"dialin-[0-9a-f]{16}", here)
    listen = [{"transport": "udp", "host": "127.0.0.1", "port": 5099}]
    others = {
        contact_user("spare", settings(REGISTER)),
        contact_user("lab", settings(REGISTER | {"sip.listen": listen})),
    }
    assert len(others | {here}) == 3


def test_a_trunk_is_ready_when_calls_can_come_by_it() -> None:
    told = settings()
    [peer] = readiness_of(told, {})
    assert (peer.name, peer.ok, peer.cause) == ("trunks.lab", True, "")
    for standing, ok, cause in (
        (Standing(), False, "not-registered"),
        (Standing(cause="forbidden"), False, "forbidden"),
        (Standing(True, 200, "no-answer"), True, ""),
    ):
        [trunk] = readiness_of(told, {"lab": standing})
        assert (trunk.ok, trunk.cause) == (ok, cause)


def way_out(changes: Mapping[str, object], number: str | None = None) -> Outside:
    """The way out by the trunk of these settings."""
    return make_outside(settings(dict(changes)), "lab", number, suites=parts.MEDIA_SUITES)


def test_a_way_out_has_the_account_of_the_trunk_and_leads_to_its_first_number() -> None:
    way = way_out(
        FULL | {"sip.advertised_address": "198.51.100.7", "trunks.lab.dial_format": "bare"}
    )
    line = way.by.line
    assert way.number == "+493012345678"
    assert (way.by.host, way.by.port, way.by.transport) == ("sip.example.org", None, "TCP")
    assert (line.caller, line.domain) == ("004930123456", "example.org")
    assert line.login
    assert (line.login.username, line.login.realm) == ("login", "realm.example.org")
    assert (line.tls, line.encryption) == (None, Encryption.OFF)
    assert (line.media_networks, line.advertised_host) == (ANYWHERE, "198.51.100.7")
    assert way.dialled == "493012345678"
    assert way.by.account
    assert "canary" not in repr(way)
    assert "004930123456" not in repr(way)


def test_a_peers_way_out_is_its_proxy_if_it_has_one() -> None:
    with pytest.raises(OperatorError, match="outbound_proxy"):
        way_out({})
    way = way_out({"trunks.lab.outbound_proxy": "203.0.113.1:5070"})
    assert (way.by.host, way.by.port, way.by.line.domain) == ("203.0.113.1", 5070, "203.0.113.1")
    assert way.by.line.caller == way.number
    assert (way.by.account, way.by.line.login) == (None, None)
    assert way.by.line.media_networks == ("203.0.113.0/28",)


def test_a_way_out_by_tls_knows_what_the_server_has_to_prove() -> None:
    line = way_out(REGISTER | {"trunks.lab.transport": "tls"}).by.line
    assert line.tls
    assert line.tls.server_name == "sip.example.org"
    assert line.encryption is Encryption.PREFER


def test_no_way_out_leads_to_a_number_of_others() -> None:
    with pytest.raises(OperatorError, match="only numbers of our own"):
        way_out(FULL, "+4915738620594")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Encryption.OFF),
        ({"trunks.lab.allow_insecure_sdes": True}, Encryption.PREFER),
        (
            {"trunks.lab.allow_insecure_sdes": True, "trunks.lab.media_encryption": "require"},
            Encryption.REQUIRE,
        ),
        ({"trunks.lab.media_encryption": "off"}, Encryption.OFF),
    ],
)
def test_keys_are_offered_where_the_way_hides_them(
    changes: dict[str, object], expected: Encryption
) -> None:
    assert outgoing_encryption(settings(FULL | changes).trunks["lab"]) is expected
