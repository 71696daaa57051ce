# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls through a server that wants a password: whom it is proved to, and whom it is not."""

from __future__ import annotations

import pytest

from dialin.wire.agent_events import Answered, Ended, LegEnd
from dialin.wire.digest import parse_credentials
from dialin.wire.flow import Flow
from dialin.wire.login import Login
from dialin.wire.message import Request
from tests.wire.peers import CALLED, CONTACT, OFFER, Bench, answer_to
from tests.wire.registrar_text import PASSWORD, REALM, ROGUE, digest

USER = "004930900123"
LOGIN = Login(USER, PASSWORD, REALM)
NEAR = ("Contact", "<sip:conference@203.0.113.5:5060>")


def challenged(bench: Bench) -> tuple[str, Request, list[object]]:
    """A call goes out and is challenged; what is sent then."""
    leg, invite = bench.call_out(login=LOGIN)
    return leg, invite, list(bench.receive(answer_to(invite, 407, proxy("n1")), CALLED))


def proxy(nonce: str) -> list[tuple[str, str]]:
    """A proxy's challenge."""
    return list(digest(nonce, name="Proxy-Authenticate"))


def proofs(bench: Bench) -> list[tuple[str, str, str]]:
    """Whom every answer to a challenge was sent to: method, host, nonce."""
    found = []
    for _, send in bench.sent:
        for name in ("Authorization", "Proxy-Authorization"):
            for value in send.message.headers.all(name):
                assert isinstance(send.message, Request)
                nonce = parse_credentials(value).nonce
                found.append((send.message.method, send.flow.host, nonce))
    return found


def test_a_challenged_invite_is_acknowledged_and_sent_again() -> None:
    bench = Bench()
    leg, first, [ack, again] = challenged(bench)
    assert isinstance(ack, Request)
    assert isinstance(again, Request)
    assert (ack.method, ack.cseq.number) == ("ACK", 1)
    assert (again.method, again.cseq.number, again.body) == ("INVITE", 2, first.body)
    assert (again.call_id, again.from_.tag) == (first.call_id, first.from_.tag)
    assert again.via.branch != first.via.branch
    credentials = parse_credentials(again.headers.get("Proxy-Authorization") or "")
    assert (credentials.username, credentials.uri, credentials.nonce) == (USER, first.uri, "n1")
    [ack] = bench.receive(answer_to(again, 200, [NEAR], OFFER), CALLED)
    assert bench.last() == Answered(leg, OFFER)
    assert isinstance(ack, Request)
    assert str(ack.cseq) == "2 ACK"
    assert ack.headers.get("Proxy-Authorization") == again.headers.get("Proxy-Authorization")


def test_an_early_dialog_of_the_challenged_invite_is_forgotten() -> None:
    bench = Bench()
    _, invite = bench.call_out(login=LOGIN)
    bench.receive(answer_to(invite, 183, [CONTACT], OFFER, tag="early"), CALLED)
    bench.receive(answer_to(invite, 407, proxy("n1")), CALLED)
    assert bench.agent._core.dialogs == {}


def test_the_second_invite_can_be_cancelled() -> None:
    bench = Bench()
    leg, _, [_, again] = challenged(bench)
    assert isinstance(again, Request)
    assert bench.take(bench.agent.hang_up(leg, bench.now)) == []
    [cancel] = bench.receive(answer_to(again, 180, [CONTACT]), CALLED)
    assert isinstance(cancel, Request)
    assert str(cancel.cseq) == "2 CANCEL"
    assert cancel.via.branch == again.via.branch


def test_a_call_that_was_given_up_is_not_sent_again() -> None:
    bench = Bench()
    leg, invite = bench.call_out(login=LOGIN)
    bench.receive(answer_to(invite, 100), CALLED)
    bench.take(bench.agent.hang_up(leg, bench.now))
    sent = bench.receive(answer_to(invite, 407, proxy("n1")), CALLED)
    assert [one.method for one in sent if isinstance(one, Request)] == ["ACK"]


def test_a_wrong_password_is_tried_once() -> None:
    bench = Bench()
    leg, _, [_, again] = challenged(bench)
    assert isinstance(again, Request)
    bench.receive(answer_to(again, 407, proxy("n2")), CALLED)
    assert bench.last() == Ended(leg, LegEnd("peer", 407, "rejected"))
    assert [nonce for _, _, nonce in proofs(bench)] == ["n1"]


@pytest.mark.parametrize(
    ("came", "realm"),
    [(ROGUE, REALM), (CALLED, "evil.example"), (Flow("UDP", CALLED.host, 9), REALM)],
)
def test_a_rogue_who_challenges_gets_nothing(came: Flow, realm: str) -> None:
    bench = Bench()
    leg, invite = bench.call_out(login=LOGIN)
    bench.receive(answer_to(invite, 401, digest("n1", realm=realm)), came)
    assert bench.last() == Ended(leg, LegEnd("peer", 401, "rejected"))
    assert proofs(bench) == []


def test_without_a_login_a_challenge_is_a_refusal() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 401, digest("n1")), CALLED)
    assert bench.last() == Ended(leg, LegEnd("peer", 401, "rejected"))
    assert proofs(bench) == []


def talking(bench: Bench, contact: tuple[str, str] = NEAR) -> str:
    """A call that was challenged, answered and acknowledged."""
    leg, _, [_, again] = challenged(bench)
    assert isinstance(again, Request)
    bench.receive(answer_to(again, 200, [contact], OFFER), CALLED)
    return leg


def test_a_bye_to_the_same_server_bears_its_answer() -> None:
    bench = Bench()
    leg = talking(bench)
    [bye] = bench.take(bench.agent.hang_up(leg, bench.now))
    value = bye.message.headers.get("Proxy-Authorization") or ""
    assert parse_credentials(value).nc == "00000002"
    assert isinstance(bye.message, Request)
    assert bye.message.cseq.number == 3
    assert bench.receive(answer_to(bye.message, 200), CALLED) == []
    assert bench.agent.legs == 0


def test_a_challenged_bye_is_said_again_once() -> None:
    bench = Bench()
    leg = talking(bench)
    [bye] = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(bye.message, Request)
    [again] = bench.receive(answer_to(bye.message, 407, proxy("n2")), CALLED)
    assert isinstance(again, Request)
    assert (again.method, again.cseq.number) == ("BYE", 4)
    assert proofs(bench)[-1] == ("BYE", CALLED.host, "n2")
    assert bench.receive(answer_to(again, 407, proxy("n3")), CALLED) == []
    assert bench.agent.legs == 0


@pytest.mark.parametrize("came", [ROGUE, CALLED])
def test_a_server_that_has_not_challenged_the_invite_gets_nothing_for_the_bye(came: Flow) -> None:
    bench = Bench(may_send_to=lambda _host: True)
    leg = talking(bench, ("Contact", "<sip:elsewhere@203.0.113.66:5060>"))
    [bye] = bench.take(bench.agent.hang_up(leg, bench.now))
    assert (bye.flow.host, isinstance(bye.message, Request)) == (ROGUE.host, True)
    assert isinstance(bye.message, Request)
    assert bench.receive(answer_to(bye.message, 407, proxy("n2")), came) == []
    assert {host for _, host, _ in proofs(bench)} == {CALLED.host}
    assert bench.agent.legs == 0


def refresh(bench: Bench, allow: str) -> Request:
    """A call that was challenged, and whose session is ours to refresh: the first refresh."""
    timed = [("Supported", "timer"), ("Session-Expires", "120;refresher=uac"), ("Allow", allow)]
    _, _, [_, again] = challenged(bench)
    assert isinstance(again, Request)
    bench.receive(answer_to(again, 200, [NEAR, *timed], OFFER), CALLED)
    [(_, send)] = bench.advance(60.0)
    assert isinstance(send.message, Request)
    return send.message


@pytest.mark.parametrize(("allow", "method"), [("UPDATE", "UPDATE"), ("INVITE", "INVITE")])
def test_a_challenged_refresh_is_sent_again_and_keeps_the_session(allow: str, method: str) -> None:
    bench = Bench()
    first = refresh(bench, allow)
    assert (first.method, first.cseq.number) == (method, 3)
    *_, again = bench.receive(answer_to(first, 407, proxy("n2")), CALLED)
    assert isinstance(again, Request)
    assert (again.method, again.cseq.number, again.body) == (method, 4, first.body)
    assert again.via.branch != first.via.branch
    assert proofs(bench)[-1] == (method, CALLED.host, "n2")
    body = OFFER if method == "INVITE" else b""
    sent = bench.receive(answer_to(again, 200, [NEAR, ("Session-Expires", "120")], body), CALLED)
    proved = again.headers.get("Proxy-Authorization")
    assert [ack.headers.get("Proxy-Authorization") for ack in sent] == [proved] * bool(body)
    bench.advance(119.0)
    assert bench.told(Ended) == []


def test_the_ack_of_a_refresh_tells_no_other_server_the_answer() -> None:
    bench = Bench(may_send_to=lambda _host: True)
    first = refresh(bench, "INVITE")
    assert first.headers.get("Proxy-Authorization")
    elsewhere = ("Contact", "<sip:elsewhere@203.0.113.66:5060>")
    timed = ("Session-Expires", "120;refresher=uac")
    [ack] = bench.receive(answer_to(first, 200, [elsewhere, timed], OFFER), CALLED)
    assert bench.sent[-1][1].flow.host == ROGUE.host
    assert "Proxy-Authorization" not in ack.headers


def test_a_bye_that_crosses_the_answer_to_a_refresh_lends_its_proof_to_no_ack() -> None:
    bench = Bench()
    first = refresh(bench, "INVITE")
    leg = next(iter(bench.agent._core.legs))
    [bye] = bench.take(bench.agent.hang_up(leg, bench.now))
    assert bye.message.headers.get("Proxy-Authorization")
    [ack] = bench.receive(answer_to(first, 200, [NEAR], OFFER), CALLED)
    assert isinstance(ack, Request)
    assert (ack.method, ack.headers.get("Proxy-Authorization")) == ("ACK", None)


def test_a_refresh_whose_password_is_refused_is_a_refusal_like_any_other() -> None:
    bench = Bench()
    first = refresh(bench, "UPDATE")
    [again] = bench.receive(answer_to(first, 407, proxy("n2")), CALLED)
    assert isinstance(again, Request)
    assert bench.receive(answer_to(again, 407, proxy("n3")), CALLED) == []
    [(at, later), *_] = bench.advance(100.0)
    assert isinstance(later.message, Request)
    assert (later.message.method, at > 60.0) == ("UPDATE", True)
    assert "n3" not in {nonce for _, _, nonce in proofs(bench)}


def test_who_calls_is_at_home_with_the_provider() -> None:
    bench = Bench()
    _, invite = bench.call_out(from_domain="provider.example", from_user="+493023125100")
    assert invite.from_.uri_text == "sip:+493023125100@provider.example"
    _, invite = bench.call_out(from_domain="2001:db8::5", from_user="us")
    assert invite.from_.uri_text == "sip:us@[2001:db8::5]"
