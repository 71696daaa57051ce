# SPDX-License-Identifier: GPL-3.0-or-later
"""Which challenges are answered, and how often."""

from __future__ import annotations

import pytest

from dialin.wire.digest import Algorithm, Credentials, parse_credentials
from dialin.wire.flow import Flow
from dialin.wire.login import MAX_NONCES, Login, Prover, Unanswerable
from dialin.wire.message import Headers, Request
from tests.wire.peers import Lines
from tests.wire.registrar_text import PASSWORD, REALM, REGISTRAR, ROGUE, TWIN, digest, response

USER = "004915738620594"
URI = "sip:provider.example"
REQUEST = Request(
    "REGISTER",
    URI,
    Headers(
        (
            ("Via", "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK1"),
            ("From", f"<{URI}>;tag=f1"),
            ("To", f"<{URI}>"),
            ("Call-ID", "c1"),
            ("CSeq", "1 REGISTER"),
        )
    ),
)


class Account:
    """A prover, its challenges and its answers."""

    def __init__(
        self,
        *,
        realm: str | None = None,
        algorithms: tuple[Algorithm, ...] = (
            Algorithm.SHA_512_256,
            Algorithm.SHA_256,
            Algorithm.MD5,
        ),
    ) -> None:
        self.prover = Prover(Login(USER, PASSWORD, realm, algorithms), lambda bits: "c" * 16)

    def take(
        self,
        lines: Lines,
        *,
        status: int = 401,
        asked: Flow = REGISTRAR,
        came: Flow | None = None,
    ) -> None:
        """A challenge comes."""
        self.prover.take(response(REQUEST, status, lines), asked=asked, came=came or asked)

    def refusal(self, lines: Lines, *, asked: Flow = REGISTRAR, came: Flow | None = None) -> str:
        """Why a challenge is not answered; nothing is said to anybody then."""
        with pytest.raises(Unanswerable) as refused:
            self.take(lines, asked=asked, came=came)
        assert self.answers() == ()
        assert self.answers(came or asked) == ()
        return refused.value.cause

    def answers(self, flow: Flow = REGISTRAR) -> tuple[tuple[str, str], ...]:
        """The headers of the next request to a server."""
        return self.prover.headers("REGISTER", URI, flow)

    def credentials(self, flow: Flow = REGISTRAR) -> Credentials:
        """The one answer that the next request bears."""
        ((_, value),) = self.answers(flow)
        return parse_credentials(value)


def test_nothing_is_proved_to_those_who_have_not_asked() -> None:
    account = Account()
    assert account.answers() == ()
    account.take(digest())
    assert account.answers(TWIN) == ()
    assert account.answers(ROGUE) == ()
    assert account.credentials().nonce == "n1"


@pytest.mark.parametrize(
    ("status", "asking", "answering"),
    [
        (401, "WWW-Authenticate", "Authorization"),
        (407, "Proxy-Authenticate", "Proxy-Authorization"),
    ],
)
def test_each_challenge_is_answered_where_the_rfc_says(
    status: int, asking: str, answering: str
) -> None:
    account = Account()
    account.take(digest(name=asking), status=status)
    ((name, _),) = account.answers()
    assert name == answering


def test_a_proxy_and_a_registrar_are_answered_side_by_side() -> None:
    account = Account()
    account.take(digest("p1", name="Proxy-Authenticate", realm="proxy"), status=407)
    account.take(digest("r1"))
    values = dict(account.answers())
    assert {name: parse_credentials(value).nonce for name, value in values.items()} == {
        "Proxy-Authorization": "p1",
        "Authorization": "r1",
    }


@pytest.mark.parametrize(
    ("offered", "allowed", "taken"),
    [
        (("MD5", "SHA-256"), tuple(Algorithm), Algorithm.SHA_256),
        (("MD5", "SHA-256", "SHA-512-256"), tuple(Algorithm), Algorithm.SHA_512_256),
        (("MD5",), tuple(Algorithm), Algorithm.MD5),
        (("SHA-256", "MD5"), (Algorithm.MD5,), Algorithm.MD5),
    ],
)
def test_the_strongest_algorithm_that_is_allowed_is_used(
    offered: tuple[str, ...], allowed: tuple[Algorithm, ...], taken: Algorithm
) -> None:
    account = Account(algorithms=allowed)
    account.take(digest(algorithms=offered))
    assert account.credentials().algorithm is taken


def test_md5_can_be_ruled_out() -> None:
    account = Account(algorithms=(Algorithm.SHA_256,))
    assert account.refusal(digest(algorithms=("MD5",))) == "algorithm-not-allowed"


@pytest.mark.parametrize(
    "lines",
    [(), [("WWW-Authenticate", "Digest nonce=")], [("WWW-Authenticate", 'Digest realm="x"')]],
)
def test_a_challenge_that_cannot_be_read_is_not_answered(lines: Lines) -> None:
    assert Account().refusal(lines) == "malformed-challenge"


def test_other_schemes_are_no_reason_to_give_the_password_away() -> None:
    basic = [("WWW-Authenticate", f'Basic realm="{REALM}"')]
    assert Account().refusal(basic) == "algorithm-not-allowed"
    account = Account()
    account.take([*basic, *digest()])
    assert account.credentials().nonce == "n1"


def test_only_the_configured_realm_is_answered() -> None:
    account = Account(realm=REALM)
    assert account.refusal(digest(realm="provider.example.evil")) == "wrong-realm"
    account.take([*digest("n8", realm="other", algorithms=["SHA-256"]), *digest("n9")])
    assert (account.credentials().realm, account.credentials().nonce) == (REALM, "n9")


@pytest.mark.parametrize(
    "came", [ROGUE, TWIN, Flow("UDP", "192.0.2.20", 5061), Flow("TCP", "192.0.2.20", 5060)]
)
def test_a_challenge_from_elsewhere_is_not_answered(came: Flow) -> None:
    assert Account(realm=REALM).refusal(digest(), came=came) == "challenge-from-elsewhere"


def test_a_nonce_that_was_accepted_is_used_on_and_counted() -> None:
    account = Account()
    account.take(digest())
    counts = []
    for _ in range(17):
        counts.append(account.credentials().nc)
        account.prover.begin()
    assert counts[:2] == ["00000001", "00000002"]
    assert counts[16] == "00000011"


def test_a_wrong_password_is_tried_once() -> None:
    account = Account()
    account.take(digest("n1"))
    account.answers()
    assert account.refusal(digest("n2")) == "credentials-refused"


def test_a_stale_nonce_is_replaced_once() -> None:
    account = Account()
    account.take(digest("n1"))
    account.answers()
    account.take(digest("n2", stale=True))
    assert account.credentials().nonce == "n2"
    assert account.refusal(digest("n3", stale=True)) == "credentials-refused"


def test_a_nonce_that_grew_old_between_two_attempts_is_replaced_whatever_the_server_calls_it() -> (
    None
):
    account = Account()
    account.take(digest("n1"))
    account.answers()
    account.prover.begin()
    account.answers()
    account.take(digest("n2"))
    assert account.credentials().nonce == "n2"


def test_a_nonce_whose_answer_was_refused_is_never_answered_again() -> None:
    account = Account()
    account.take(digest("n1"))
    account.answers()
    assert account.refusal(digest("n1")) == "credentials-refused"
    account.prover.begin()
    assert account.refusal(digest("n1")) == "nonce-repeated"
    account.take(digest("n2"))
    assert account.credentials().nonce == "n2"


def test_a_server_that_calls_its_nonce_stale_may_repeat_it() -> None:
    account = Account()
    account.take(digest("n1"))
    account.answers()
    account.take(digest("n1", stale=True))
    assert account.credentials().nc == "00000002"


def test_what_one_server_accepted_is_not_held_against_it_by_another() -> None:
    account = Account()
    account.take(digest("n1"))
    account.answers()
    account.prover.begin()
    account.take(digest("t1"), asked=TWIN)
    account.answers(TWIN)
    account.prover.begin()
    account.take(digest("n1"))
    assert account.credentials().nc == "00000002"


def test_no_server_fills_the_memory() -> None:
    account = Account()
    for number in range(MAX_NONCES + 3):
        account.prover.begin()
        account.take(digest(f"n{number}"))
        account.answers()
    assert len(account.prover._nonces) == MAX_NONCES


def test_neither_name_nor_password_shows() -> None:
    login = Login(USER, PASSWORD)
    assert USER not in repr(login)
    assert PASSWORD not in repr(login)
