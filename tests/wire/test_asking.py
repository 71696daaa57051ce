# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests outside any dialog: asked once, challenged, unanswered."""

from __future__ import annotations

import pytest

from dialin.wire.agent_events import LocalAddress, Replied, Unanswered
from dialin.wire.asking import Conversation, Enquiry
from dialin.wire.digest import parse_credentials
from dialin.wire.flow import Flow
from dialin.wire.login import Login
from dialin.wire.message import Request
from dialin.wire.timers import Timers
from tests.wire.peers import LOCAL, Bench, answer_to
from tests.wire.registrar_text import PASSWORD, REALM, REGISTRAR, ROGUE, digest

USER = "004915738620594"
URI = "sip:provider.example"
LOGIN = Login(USER, PASSWORD, REALM)


def ask(bench: Bench, flow: Flow = REGISTRAR, **changes: object) -> tuple[str, Request]:
    """A question goes out; returns its id and what is sent."""
    values = {"method": "OPTIONS", "uri": URI, "from_uri": "sip:us@198.51.100.1", "to_uri": URI}
    enquiry = Enquiry(**{**values, **changes})  # type: ignore[arg-type]  # each test names its own
    local = LocalAddress(flow.transport, LOCAL.host, LOCAL.port)
    enquiry_id, outputs = bench.agent.ask(enquiry, flow, local, bench.now)
    (sent,) = bench.take(outputs)
    assert isinstance(sent.message, Request)
    assert sent.flow == flow
    return enquiry_id, sent.message


def test_a_question_is_asked_in_the_words_of_the_rfc() -> None:
    _, asked = ask(Bench(user_agent="dialin/1"), headers=(("Accept", "application/sdp"),))
    assert (asked.method, asked.uri) == ("OPTIONS", URI)
    assert str(asked.to) == f"<{URI}>"
    assert asked.from_.uri_text == "sip:us@198.51.100.1"
    assert asked.from_.tag is not None
    assert str(asked.cseq) == "1 OPTIONS"
    assert asked.max_forwards == 70
    assert asked.via.params.has("rport")
    assert asked.headers.get("Accept") == "application/sdp"
    assert asked.headers.get("User-Agent") == "dialin/1"


def test_the_requests_of_a_conversation_bear_its_names() -> None:
    _, asked = ask(Bench(), conversation=Conversation("call-1", "tag-1"), cseq=7)
    assert (asked.call_id, asked.from_.tag, asked.cseq.number) == ("call-1", "tag-1", 7)


@pytest.mark.parametrize("status", [200, 302, 401, 404, 503])
def test_without_a_login_any_final_response_is_the_answer(status: int) -> None:
    bench = Bench()
    enquiry_id, asked = ask(bench)
    bench.receive(answer_to(asked, 100), REGISTRAR)
    assert bench.replies == []
    bench.receive(answer_to(asked, status), ROGUE)
    (reply,) = bench.replies
    assert isinstance(reply, Replied)
    assert (reply.enquiry, reply.response.status, reply.flow) == (enquiry_id, status, ROGUE)
    assert [at for at, _ in bench.advance(100)] == []
    assert bench.agent.transactions == 0


def test_a_challenge_is_met_by_a_new_request_of_the_same_conversation() -> None:
    bench = Bench()
    _, asked = ask(bench, login=LOGIN)
    (again,) = bench.receive(answer_to(asked, 401, digest("n1")), REGISTRAR)
    assert isinstance(again, Request)
    assert (again.call_id, again.from_.tag) == (asked.call_id, asked.from_.tag)
    assert again.cseq.number == asked.cseq.number + 1
    assert again.via.branch != asked.via.branch
    credentials = parse_credentials(again.headers.get("Authorization") or "")
    assert (credentials.nonce, credentials.uri, credentials.username) == ("n1", URI, USER)
    assert "Authorization" not in asked.headers
    bench.receive(answer_to(again, 200), REGISTRAR)
    (reply,) = bench.replies
    assert isinstance(reply, Replied)
    assert reply.response.status == 200


def test_a_wrong_password_is_told_after_one_try() -> None:
    bench = Bench()
    enquiry_id, asked = ask(bench, login=LOGIN)
    (again,) = bench.receive(answer_to(asked, 401, digest("n1")), REGISTRAR)
    assert isinstance(again, Request)
    assert bench.receive(answer_to(again, 401, digest("n2")), REGISTRAR) == []
    assert bench.replies == [Unanswered(enquiry_id, "credentials-refused")]


@pytest.mark.parametrize(
    ("realm", "came", "cause"),
    [(REALM, ROGUE, "challenge-from-elsewhere"), ("evil.example", REGISTRAR, "wrong-realm")],
)
def test_nobody_else_gets_an_answer(realm: str, came: Flow, cause: str) -> None:
    bench = Bench()
    enquiry_id, asked = ask(bench, login=LOGIN)
    assert bench.receive(answer_to(asked, 401, digest(realm=realm)), came) == []
    assert bench.replies == [Unanswered(enquiry_id, cause)]
    assert bench.advance(100) == []


def test_over_udp_a_question_is_repeated_and_given_up_in_time() -> None:
    bench = Bench()
    enquiry_id, _ = ask(bench, within_s=10.0)
    assert [at for at, _ in bench.advance(60)] == [0.5, 1.5, 3.5, 7.5]
    assert bench.replies == [Unanswered(enquiry_id, "no-answer")]
    assert bench.agent.transactions == 0
    assert bench.agent.next_deadline() is None


def test_a_question_can_have_a_pace_of_its_own() -> None:
    bench = Bench()
    ask(bench, within_s=8.0, timers=Timers(t1_s=1.0, t2_s=2.0))
    assert [at for at, _ in bench.advance(60)] == [1.0, 3.0, 5.0, 7.0]


def test_the_transaction_may_give_up_first() -> None:
    bench = Bench()
    enquiry_id, _ = ask(bench, within_s=100.0)
    bench.advance(32.0)
    assert bench.replies == [Unanswered(enquiry_id, "no-answer")]
    assert bench.agent.next_deadline() is None


def test_an_answer_that_comes_too_late_is_nobodys() -> None:
    bench = Bench()
    _, asked = ask(bench, within_s=1.0)
    bench.advance(2.0)
    bench.receive(answer_to(asked, 200), REGISTRAR)
    assert len(bench.replies) == 1
    assert bench.agent.strays == 1


def test_a_connection_that_breaks_is_told_at_once() -> None:
    bench = Bench()
    flow = Flow("TCP", "192.0.2.20", 5060)
    enquiry_id, _ = ask(bench, flow)
    bench.take(bench.agent.transport_failed(Flow("TCP", "192.0.2.20", 5060, 9), bench.now))
    assert bench.replies == [Unanswered(enquiry_id, "connection-failed")]
