# SPDX-License-Identifier: GPL-3.0-or-later
"""What the settings of a trunk make of its registration."""

from __future__ import annotations

import re

import pytest

from dialin.providers import contact_user, make_account, make_provider, readiness_of
from dialin.registration import Standing
from dialin.wire.digest import Algorithm
from tests.settings import settings
from tests.settings.test_peer_checks import REGISTER

FULL = REGISTER | {
    "trunks.lab.domain": "example.org",
    "trunks.lab.auth_username": "login",
    "trunks.lab.realm": "realm.example.org",
    "trunks.lab.expires_s": 600,
    "trunks.lab.digest_algorithms": ["sha-256"],
    "trunks.lab.single_registration": True,
    "trunks.lab.transport": "tcp",
    "trunks.lab.keepalive_s": 25,
    "trunks.lab.keepalive": "empty",
}


def test_an_account_is_what_the_operator_wrote() -> None:
    account = make_account(settings(FULL).trunks["lab"], "dialin-1")
    assert account.address_of_record == "sip:004930123456@example.org"
    assert account.domain_uri == "sip:example.org"
    assert (account.expires_s, account.is_ours_alone) == (600, True)
    login = account.login
    assert (login.username, login.password) == ("login", "canary-of-the-trunk")
    assert (login.realm, login.algorithms) == ("realm.example.org", (Algorithm.SHA_256,))


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
