# SPDX-License-Identifier: GPL-3.0-or-later
"""One registration on a virtual clock: refresh, challenges, refusals, silence, leaving."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.agent_events import LocalAddress
from dialin.wire.asking import Enquiry
from dialin.wire.digest import Algorithm, parse_credentials
from dialin.wire.flow import Flow
from dialin.wire.login import Login
from dialin.wire.message import Headers, Request, Response
from dialin.wire.registration import LONGEST_RETRY_AFTER_S, NEVER, Account, Registration
from dialin.wire.registration_cause import Cause
from tests.wire.peers import Lines
from tests.wire.registrar_text import (
    HERE,
    PASSWORD,
    REALM,
    REGISTRAR,
    ROGUE,
    TWIN,
    digest,
    response,
)

USER = "004915738620594"
CONTACT = "dialin-1"
OURS = f"<sip:{CONTACT}@198.51.100.1:5060>"
OTHER = "<sip:phone@203.0.113.9>"


def account(**changes: object) -> Account:
    """Our account at the provider."""
    values = {
        "domain": REALM,
        "username": USER,
        "login": Login(USER, PASSWORD, REALM),
        "contact_user": CONTACT,
    }
    return Account(**{**values, **changes})  # type: ignore[arg-type]  # each test names its own


class Bench:
    """A registration and its clock."""

    def __init__(self, *, jitter: float = 0.0, longest_pause_s: float = 300, **changes: object):
        self.now = 0.0
        self.machine = Registration(
            account(**changes),
            token=lambda bits: "ab" * (bits // 8),
            jitter=lambda: jitter,
            now=self.now,
            longest_pause_s=longest_pause_s,
        )
        self.flow = REGISTRAR
        self.local = HERE
        self.sent: list[tuple[float, Request]] = []
        self.goes_on = False

    def wait(self) -> float:
        """Until the next REGISTER; how long that takes."""
        before, self.now = self.now, self.machine.due_at
        return self.now - before

    def send(self) -> Request:
        """The REGISTER that is due."""
        self.wait()
        enquiry = self.machine.register(self.flow, self.local, self.now)
        assert self.machine.due_at == NEVER
        self.sent.append((self.now, as_request(enquiry)))
        return self.sent[-1][1]

    def answer(
        self,
        status: int = 200,
        lines: Lines = (),
        *,
        came: Flow | None = None,
        others: bool = False,
    ) -> None:
        """What the registrar says."""
        self.now += 0.02
        read: Response = response(self.sent[-1][1], status, lines)
        self.goes_on = self.machine.answered(read, came or self.flow, self.now, others=others)

    def exchange(self, status: int = 200, lines: Lines = (), **more: object) -> Request:
        """One REGISTER and its answer."""
        request = self.send()
        self.answer(status, lines, **more)  # type: ignore[arg-type]  # each test names its own
        return request

    def fail(self, cause: Cause = Cause.NO_ANSWER, *, others: bool = False) -> None:
        """Silence."""
        self.send()
        self.now += 10
        self.machine.failed(cause, self.now, others=others)

    def register(self, granted: str = "300") -> None:
        """Until the provider knows us."""
        self.exchange(401, digest())
        self.exchange(200, [("Contact", f"{OURS};expires={granted}")])

    def standing(self) -> tuple[bool, Cause | None]:
        """Whether we are registered, and what is wrong."""
        return self.machine.is_registered(self.now), self.machine.cause


def as_request(enquiry: Enquiry) -> Request:
    """What an enquiry looks like to a registrar."""
    assert enquiry.conversation is not None
    head = (
        ("Via", "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK1"),
        ("From", f"<{enquiry.from_uri}>;tag={enquiry.conversation.from_tag}"),
        ("To", f"<{enquiry.to_uri}>"),
        ("Call-ID", enquiry.conversation.call_id),
        ("CSeq", f"{enquiry.cseq} {enquiry.method}"),
        *enquiry.headers,
    )
    return Request(enquiry.method, enquiry.uri, Headers(head))


def nonce_of(request: Request) -> str | None:
    """The nonce that a REGISTER answers."""
    value = request.headers.get("Authorization")
    return parse_credentials(value).nonce if value else None


def test_a_register_is_made_of_the_account() -> None:
    request = Bench().send()
    assert (request.method, request.uri) == ("REGISTER", f"sip:{REALM}")
    assert str(request.to) == f"<sip:{USER}@{REALM}>"
    assert request.from_.uri_text == f"sip:{USER}@{REALM}"
    assert request.headers.all("Contact") == (f"{OURS};expires=300",)
    assert request.headers.get("Expires") == "300"
    assert "Authorization" not in request.headers


def test_a_domain_may_be_an_ipv6_address() -> None:
    request = Bench(domain="2001:db8::5").send()
    assert request.uri == "sip:[2001:db8::5]"
    assert request.to.uri_text == f"sip:{USER}@[2001:db8::5]"


def test_a_user_name_that_is_no_user_part_is_escaped() -> None:
    request = Bench(username="+49 30@branch").send()
    assert request.to.uri_text == f"sip:+49%2030%40branch@{REALM}"


def test_a_challenge_is_answered_and_the_provider_knows_us() -> None:
    bench = Bench()
    first = bench.exchange(401, digest("n1"))
    second = bench.exchange(200, [("Contact", f"{OURS};expires=120")])
    assert nonce_of(first) is None
    assert nonce_of(second) == "n1"
    assert (second.call_id, second.from_.tag) == (first.call_id, first.from_.tag)
    assert second.cseq.number == first.cseq.number + 1
    assert bench.standing() == (True, None)
    assert bench.machine.registered_until == bench.now + 120
    bench.now += 120
    assert bench.standing() == (False, None)


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.5), (0.5, 0.65), (1.0, 0.8)])
def test_a_registration_is_renewed_at_half_to_four_fifths_of_its_time(
    jitter: float, share: float
) -> None:
    bench = Bench(jitter=jitter)
    bench.register("200")
    assert bench.wait() == pytest.approx(200 * share)


def test_a_renewal_uses_the_nonce_on_and_counts() -> None:
    bench = Bench()
    bench.register()
    renewal = bench.exchange(200, [("Contact", f"{OURS};expires=300")])
    credentials = parse_credentials(renewal.headers.get("Authorization") or "")
    assert (credentials.nonce, credentials.nc) == ("n1", "00000002")


@pytest.mark.parametrize("stale", [True, False])
def test_a_nonce_that_has_grown_old_is_replaced(stale: bool) -> None:
    bench = Bench()
    bench.register()
    bench.exchange(401, digest("n2", stale=stale))
    assert bench.standing() == (True, None)
    assert nonce_of(bench.exchange(200, [("Contact", OURS)])) == "n2"


def test_sha_256_is_taken_before_md5() -> None:
    bench = Bench()
    bench.exchange(401, digest(algorithms=("MD5", "SHA-256")))
    value = bench.send().headers.get("Authorization") or ""
    assert parse_credentials(value).algorithm is Algorithm.SHA_256


def test_a_proxy_may_ask_as_well() -> None:
    bench = Bench()
    bench.exchange(407, digest("p1", name="Proxy-Authenticate"))
    bench.exchange(401, digest("r1"))
    request = bench.exchange(200, [("Contact", OURS)])
    assert {"Authorization", "Proxy-Authorization"} <= {name for name, _ in request.headers.fields}
    assert bench.standing() == (True, None)


@pytest.mark.parametrize(
    ("lines", "came", "cause"),
    [
        (digest(realm="evil.example"), REGISTRAR, Cause.WRONG_REALM),
        (digest(), ROGUE, Cause.CHALLENGE_FROM_ELSEWHERE),
        (digest(algorithms=("SHA3",)), REGISTRAR, Cause.ALGORITHM_NOT_ALLOWED),
        ((), REGISTRAR, Cause.MALFORMED_CHALLENGE),
    ],
)
def test_a_challenge_that_is_not_ours_to_answer_is_reported(
    lines: Lines, came: Flow, cause: Cause
) -> None:
    bench = Bench()
    bench.exchange(401, lines, came=came)
    assert bench.standing() == (False, cause)
    assert nonce_of(bench.send()) is None


def test_a_wrong_password_is_sent_once_and_then_seldom() -> None:
    bench = Bench(jitter=1.0)
    pauses = []
    for attempt in range(8):
        bench.exchange(401, digest(f"a{attempt}"))
        bench.exchange(401, digest(f"b{attempt}"))
        assert bench.standing() == (False, Cause.CREDENTIALS_REFUSED)
        pauses.append(round(bench.wait()))
    assert pauses == [16, 32, 64, 128, 256, 300, 300, 300]


@pytest.mark.parametrize(("status", "at_least"), [(403, 600), (404, 600), (500, 0.5)])
def test_a_provider_that_locks_accounts_out_is_left_alone(status: int, at_least: float) -> None:
    bench = Bench(pause_after_refusal_s=600)
    bench.exchange(status)
    assert at_least <= bench.wait() <= 2 * at_least


def test_a_registrar_that_repeats_its_nonce_gets_one_answer() -> None:
    bench = Bench()
    for _ in range(6):
        bench.exchange(401, digest("same"))
    assert [nonce_of(request) for _, request in bench.sent].count("same") == 1
    assert bench.machine.cause is Cause.NONCE_REPEATED


def test_a_registrar_that_always_says_stale_gets_two_answers_an_attempt() -> None:
    bench = Bench()
    for number in range(3):
        bench.exchange(401, digest(f"n{number}", stale=True))
    assert [nonce_of(request) for _, request in bench.sent] == [None, "n0", "n1"]
    assert bench.machine.cause is Cause.CREDENTIALS_REFUSED


def test_no_server_gets_what_another_asked_for() -> None:
    bench = Bench()
    bench.register()
    bench.flow = TWIN
    bench.machine.moved(bench.now)
    assert nonce_of(bench.exchange(401, digest("t1"))) is None
    assert nonce_of(bench.exchange(200, [("Contact", OURS)])) == "t1"


def test_another_server_in_the_middle_of_an_attempt_has_refused_nothing() -> None:
    bench = Bench()
    bench.exchange(401, digest("n1"))
    bench.flow = TWIN
    bench.exchange(401, digest("t1"))
    assert bench.machine.cause is None
    assert nonce_of(bench.send()) == "t1"


def test_a_longer_time_is_asked_for_when_the_registrar_wants_it() -> None:
    bench = Bench()
    bench.exchange(423, [("Min-Expires", "1800")])
    request = bench.exchange(200, [("Contact", OURS)])
    assert request.headers.get("Expires") == "1800"
    assert request.headers.all("Contact") == (f"{OURS};expires=1800",)
    assert bench.machine.registered_until == bench.now + 1800


@pytest.mark.parametrize("wanted", ["300", "60", "9999999", "", "soon"])
def test_a_registrar_that_wants_nothing_new_is_not_asked_again_at_once(wanted: str) -> None:
    bench = Bench(jitter=1.0)
    bench.exchange(423, [("Min-Expires", wanted)])
    assert bench.standing() == (False, Cause.EXPIRES_REFUSED)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (302, Cause.REFUSED),
        (403, Cause.FORBIDDEN),
        (404, Cause.UNKNOWN_ACCOUNT),
        (408, Cause.SERVER_ERROR),
        (486, Cause.REFUSED),
        (500, Cause.SERVER_ERROR),
        (503, Cause.OVERLOADED),
        (603, Cause.REFUSED),
    ],
)
def test_each_refusal_has_its_cause_and_a_remedy(status: int, cause: Cause) -> None:
    bench = Bench()
    bench.exchange(status)
    assert bench.standing() == (False, cause)
    assert bench.machine.status == status
    assert bench.machine.remedy.endswith(".")


def test_all_causes_have_a_remedy_and_a_registration_has_none() -> None:
    assert all(cause.remedy for cause in Cause)
    bench = Bench()
    bench.register()
    assert bench.machine.remedy == ""


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_silence_is_answered_by_longer_and_longer_pauses(jitter: float) -> None:
    bench = Bench(jitter=jitter)
    pauses = []
    for _ in range(12):
        bench.fail()
        pauses.append(bench.machine.due_at - bench.now)
    share = (1 + jitter) / 2
    assert pauses[0] == 1.0
    assert pauses[4] == pytest.approx(16 * share)
    assert pauses[-1] == pytest.approx(300 * share)
    assert pauses == sorted(pauses)


def test_the_longest_pause_can_be_set() -> None:
    bench = Bench(jitter=1.0, longest_pause_s=30)
    for _ in range(40):
        bench.fail()
    assert bench.wait() == 30


@pytest.mark.parametrize(
    ("wanted", "pause"),
    [
        ("120", 120),
        ("18000;duration=3600", LONGEST_RETRY_AFTER_S),
        ("60 (in a meeting)", 60),
        ("tomorrow", 1),
    ],
)
def test_retry_after_is_kept_to(wanted: str, pause: float) -> None:
    bench = Bench()
    bench.exchange(503, [("Retry-After", wanted)])
    assert bench.wait() == pause


def test_not_all_come_back_at_the_moment_that_they_were_told() -> None:
    bench = Bench(jitter=1.0)
    bench.exchange(503, [("Retry-After", "100")])
    assert bench.wait() == pytest.approx(110)


@pytest.mark.parametrize(("status", "goes_on"), [(503, True), (500, True), (403, False)])
def test_the_next_server_is_asked_where_that_can_help(status: int, goes_on: bool) -> None:
    bench = Bench(jitter=1.0)
    bench.exchange(status, [("Retry-After", "40")], others=True)
    assert bench.goes_on is goes_on
    assert (bench.wait() == 1.0) is goes_on
    bench.exchange(200, [("Contact", OURS)], others=True)
    assert not bench.goes_on


def test_the_next_server_is_asked_after_silence_without_a_pause() -> None:
    bench = Bench(jitter=1.0)
    for _ in range(5):
        bench.fail(others=True)
    assert bench.wait() == 1.0


def test_a_sign_of_life_ends_the_pause() -> None:
    bench = Bench(jitter=1.0)
    for _ in range(8):
        bench.fail()
    bench.now += 3
    bench.machine.seen(bench.now)
    assert bench.wait() == 0
    bench.register()
    assert bench.standing() == (True, None)


def test_who_lives_and_does_not_answer_is_not_believed_again() -> None:
    bench = Bench(jitter=1.0)
    for _ in range(8):
        bench.fail()
    bench.machine.seen(bench.now + 3)
    bench.fail()
    bench.machine.seen(bench.now + 3)
    assert bench.wait() > 100
    bench.exchange(500)
    bench.fail()
    bench.machine.seen(bench.now + 3)
    assert bench.wait() == 3


def test_a_sign_of_life_changes_nothing_for_those_who_were_refused_or_registered() -> None:
    bench = Bench()
    bench.exchange(403)
    due_at = bench.machine.due_at
    bench.machine.seen(bench.now + 1)
    assert bench.machine.due_at == due_at
    bench.wait()
    bench.register()
    due_at = bench.machine.due_at
    bench.machine.seen(bench.now + 1)
    assert bench.machine.due_at == due_at


def test_a_lost_connection_is_registered_anew_at_once() -> None:
    bench = Bench()
    bench.register()
    bench.now += 40
    bench.machine.lost(Cause.CONNECTION_LOST, bench.now)
    assert bench.standing() == (False, Cause.CONNECTION_LOST)
    assert bench.wait() == 0
    bench.send()
    bench.machine.lost(Cause.CONNECTION_LOST, bench.now)
    assert bench.machine.due_at == NEVER
    bench.answer(200, [("Contact", OURS)])
    assert bench.standing() == (True, None)


def test_a_way_that_goes_as_soon_as_it_has_come_is_opened_later_and_later() -> None:
    bench = Bench()
    pauses = []
    for _ in range(12):
        bench.register()
        bench.now += 1.5
        bench.machine.lost(Cause.CONNECTION_LOST, bench.now)
        pauses.append(bench.machine.due_at - bench.now)
        bench.exchange(401, digest("n1", stale=True))
    assert [round(pause) for pause in pauses[:5]] == [0, 2, 4, 8, 16]
    assert pauses[-1] == 300
    bench.register()
    bench.now += 30
    bench.machine.lost(Cause.CONNECTION_LOST, bench.now)
    assert bench.wait() == 0


def test_a_renewal_that_fails_leaves_the_registration_as_it_is() -> None:
    bench = Bench()
    bench.register("300")
    until = bench.machine.registered_until
    bench.fail()
    assert bench.standing() == (True, Cause.NO_ANSWER)
    assert bench.machine.registered_until == until


def test_strangers_are_left_alone_unless_the_account_is_ours_alone() -> None:
    both = [("Contact", f"{OURS};expires=300, {OTHER};expires=60")]
    shared = Bench()
    shared.exchange(200, both)
    assert shared.machine.strangers == 1
    assert shared.send().headers.all("Contact") == (f"{OURS};expires=300",)

    alone = Bench(is_ours_alone=True)
    alone.exchange(200, both)
    assert alone.wait() == pytest.approx(1.0)
    assert alone.send().headers.all("Contact") == (f"{OURS};expires=300", f"{OTHER};expires=0")
    alone.answer(200, [("Contact", f"{OURS};expires=300")])
    assert alone.machine.strangers == 0
    assert alone.wait() > 100


def test_a_registrar_that_does_not_keep_us_has_not_registered_us() -> None:
    bench = Bench()
    bench.exchange(200, [("Contact", f"{OURS};expires=0")])
    assert bench.standing() == (False, Cause.NOT_KEPT)


def test_a_registrar_that_grants_a_second_is_asked_every_second() -> None:
    bench = Bench()
    bench.exchange(200, [("Contact", f"{OURS};expires=1")])
    assert bench.wait() == pytest.approx(1.0)


class TestLeaving:
    def test_the_registration_is_taken_back(self) -> None:
        bench = Bench()
        bench.register()
        bench.now += 30
        bench.machine.leave(bench.now)
        request = bench.exchange(200)
        assert request.headers.all("Contact") == (f"{OURS};expires=0",)
        assert request.headers.get("Expires") == "0"
        assert bench.standing() == (False, None)
        assert bench.machine.is_over

    def test_a_challenge_on_the_way_out_is_answered(self) -> None:
        bench = Bench()
        bench.register()
        bench.machine.leave(bench.now)
        bench.exchange(401, digest("n2"))
        assert not bench.machine.is_over
        assert nonce_of(bench.exchange(200)) == "n2"
        assert bench.machine.is_over

    def test_who_is_not_registered_just_goes(self) -> None:
        bench = Bench()
        bench.machine.leave(bench.now)
        assert bench.machine.is_over

    @pytest.mark.parametrize("status", [403, 423, 503])
    def test_a_refusal_is_not_argued_with(self, status: int) -> None:
        bench = Bench()
        bench.register()
        bench.machine.leave(bench.now)
        bench.exchange(status, [("Min-Expires", "60")])
        assert bench.machine.is_over

    def test_what_is_out_is_waited_for_and_then_taken_back(self) -> None:
        bench = Bench()
        bench.send()
        bench.machine.leave(bench.now)
        assert not bench.machine.is_over
        bench.answer(200, [("Contact", OURS)])
        assert bench.exchange(200).headers.get("Expires") == "0"
        assert bench.machine.is_over

    def test_nothing_brings_it_back(self) -> None:
        bench = Bench()
        bench.fail()
        bench.machine.leave(bench.now)
        bench.machine.seen(bench.now)
        bench.machine.moved(bench.now)
        bench.machine.lost(Cause.CONNECTION_LOST, bench.now)
        assert bench.machine.is_over


def test_an_answer_to_nothing_is_a_mistake_of_ours() -> None:
    bench = Bench()
    bench.send()
    bench.answer()
    with pytest.raises(ValueError, match="no REGISTER"):
        bench.answer()


def test_neither_number_nor_password_nor_proof_shows() -> None:
    bench = Bench()
    bench.exchange(401, digest("nonce-canary"))
    bench.wait()
    enquiry = bench.machine.register(bench.flow, bench.local, bench.now)
    assert "nonce-canary" in str(enquiry.headers)
    shown = repr((account(), enquiry))
    assert not [secret for secret in (USER, PASSWORD, "nonce-canary") if secret in shown]


FATES = st.sampled_from(["200", "401", "stale", "423", "403", "503", "silent", "lost", "seen"])


@given(fates=st.lists(FATES, max_size=40), jitter=st.floats(0, 1))
def test_whatever_happens_there_is_a_second_between_two_registers(
    fates: Sequence[str], jitter: float
) -> None:
    bench = Bench(jitter=jitter)
    for number, fate in enumerate(fates):
        match fate:
            case "200":
                bench.exchange(200, [("Contact", f"{OURS};expires=2")])
            case "401" | "stale":
                bench.exchange(401, digest(f"n{number}", stale=fate == "stale"))
            case "silent":
                bench.fail(others=number % 2 == 0)
            case "lost":
                bench.machine.lost(Cause.CONNECTION_LOST, bench.now)
            case "seen":
                bench.machine.seen(bench.now)
            case _:
                bench.exchange(int(fate), [("Min-Expires", str(400 + number))], others=True)
    times = [at for at, _ in bench.sent]
    assert all(after - before >= 1.0 for before, after in pairwise(times))


def test_a_contact_follows_our_address() -> None:
    bench = Bench()
    bench.register()
    bench.local = LocalAddress("UDP", "198.51.100.9", 5060)
    assert bench.send().headers.all("Contact") == (
        f"<sip:{CONTACT}@198.51.100.9:5060>;expires=300",
    )


# Proxies, and connections that break (RFC 3608, RFC 3327, RFC 5626)

INSTANCE = "urn:uuid:00000000-0000-5000-8000-000000000001"


def test_a_proxy_before_the_registrar_is_named_as_a_route() -> None:
    route = "<sip:proxy.example:5070;transport=tcp;lr>"
    request = Bench(routes=(route,)).send()
    assert request.headers.all("Route") == (route,)
    assert request.uri == f"sip:{REALM}"


def test_without_an_instance_nothing_is_said_of_it() -> None:
    request = Bench().send()
    assert request.headers.all("Supported") == ("path",)
    assert "reg-id" not in (request.headers.get("Contact") or "")


def test_the_bridge_and_its_connection_are_named() -> None:
    request = Bench(instance=INSTANCE).send()
    assert request.headers.all("Supported") == ("path, outbound",)
    (contact,) = request.contacts
    assert contact.params.get("+sip.instance") == f"<{INSTANCE}>"
    assert contact.params.get("reg-id") == "1"


def test_a_proxy_that_cannot_do_it_is_asked_as_ever() -> None:
    bench = Bench(instance=INSTANCE)
    bench.exchange(401, digest("n1"))
    bench.exchange(439)
    assert bench.wait() == pytest.approx(1.0)
    request = bench.exchange(200, [("Contact", OURS)])
    assert "reg-id" not in (request.headers.get("Contact") or "")
    assert bench.standing() == (True, None)


def test_439_where_nothing_was_named_is_a_refusal() -> None:
    bench = Bench()
    bench.exchange(439)
    assert bench.standing() == (False, Cause.REFUSED)


@pytest.mark.parametrize(("lines", "timer_s"), [([], None), ([("Flow-Timer", "15")], 15)])
def test_the_provider_may_want_signs_of_life_more_often(
    lines: list[tuple[str, str]], timer_s: int | None
) -> None:
    bench = Bench()
    bench.exchange(200, [("Contact", OURS), ("Path", "<sip:edge.example;lr>"), *lines])
    assert bench.machine.flow_timer_s == timer_s
    assert bench.standing() == (True, None)
