# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls from us: ringing, answers, forks, refusals, giving up."""

from __future__ import annotations

import pytest

from dialin.wire.agent_events import Answered, Ended, KeyTaken, LegEnd, LocalAddress, Progress
from dialin.wire.flow import Flow
from dialin.wire.invite_client import Invitation
from dialin.wire.message import Request
from dialin.wire.uri import parse_uri
from tests.wire.peers import (
    ANSWER,
    CALLED,
    CONTACT,
    NEW_OFFER,
    OFFER,
    Bench,
    Caller,
    answer_to,
    called_request,
)


def methods(messages: list[object]) -> list[str]:
    """The methods of what was sent."""
    return [message.method for message in messages if isinstance(message, Request)]


def test_the_invite_is_made_of_the_invitation_and_our_address_alone() -> None:
    bench = Bench(user_agent="dialin/1")
    _, invite = bench.call_out(headers=(("X-Room", "12345"),))
    assert invite.uri == "sip:12345@203.0.113.5"
    assert str(invite.to) == "<sip:12345@203.0.113.5>"
    assert invite.from_.display == "xxx-xxx-5678"
    assert invite.from_.uri_text == "sip:712345678901234@198.51.100.1"
    assert invite.contacts[0].uri_text == "sip:dialin@198.51.100.1:5060"
    assert invite.body == ANSWER
    assert invite.max_forwards == 70
    assert invite.headers.get("User-Agent") == "dialin/1"
    assert invite.headers.get("X-Room") == "12345"
    assert str(invite.cseq) == "1 INVITE"
    assert invite.headers.all("Supported") == ("100rel, timer",)
    assert "Session-Expires" not in invite.headers
    assert "Require" not in invite.headers
    assert {name for name, _ in invite.headers.fields} == {
        "Via",
        "Max-Forwards",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Allow",
        "Supported",
        "User-Agent",
        "X-Room",
        "Content-Type",
    }


def test_identifiers_are_long_enough_not_to_be_guessed() -> None:
    _, invite = Bench().call_out()
    branch = invite.via.branch or ""
    assert branch.startswith("z9hG4bK")
    assert (len(branch) - 7) * 4 >= 128
    assert len(invite.call_id) * 4 >= 128
    assert len(invite.from_.tag or "") * 4 >= 64
    assert invite.via.params.has("rport")


def test_an_ipv6_address_of_ours_stands_in_brackets() -> None:
    bench = Bench()
    invitation = Invitation("sip:12345@[2001:db8::5]", "x", "7", ANSWER)
    local = LocalAddress("TCP", "2001:db8::1", 5060)
    _, outputs = bench.agent.invite(invitation, Flow("TCP", "2001:db8::5", 5060), local, 0.0)
    (send,) = bench.take(outputs)
    invite = send.message
    assert isinstance(invite, Request)
    assert invite.from_.uri_text == "sip:7@[2001:db8::1]"
    assert invite.contacts[0].uri_text == "sip:dialin@[2001:db8::1]:5060;transport=tcp"
    assert (invite.via.host, invite.via.transport) == ("2001:db8::1", "TCP")


def test_the_200_is_acknowledged_to_its_contact() -> None:
    bench = Bench()
    leg, invite, ack = bench.talk_out()
    assert bench.last() == Answered(leg, OFFER)
    assert (ack.method, ack.uri) == ("ACK", "sip:conference@203.0.113.5:5070")
    assert bench.sent[-1][1].flow == Flow("UDP", "203.0.113.5", 5070)
    assert str(ack.cseq) == "1 ACK"
    assert ack.to.tag == "ct1"
    assert ack.via.branch != invite.via.branch


def test_ack_and_bye_follow_the_route_set() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    routes = [("Record-Route", "<sip:203.0.113.5:5080;lr>"), ("Record-Route", "<sip:p2@x.y;lr>")]
    (ack,) = bench.receive(answer_to(invite, 200, [CONTACT, *reversed(routes)], OFFER), CALLED)
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    for request in (ack, bye.message):
        assert isinstance(request, Request)
        assert request.uri == "sip:conference@203.0.113.5:5070"
        assert request.headers.values("Route") == tuple(value for _, value in routes)
    assert [send.flow.port for _, send in bench.sent[1:]] == [5080, 5080]


def test_the_200_has_the_last_word_about_contact_and_routes() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    early = [("Contact", "<sip:early@203.0.113.5>"), ("Record-Route", "<sip:203.0.113.5:1;lr>")]
    bench.receive(answer_to(invite, 183, early, OFFER), CALLED)
    late = [CONTACT, ("Record-Route", "<sip:203.0.113.5:2;lr>")]
    bench.receive(answer_to(invite, 200, late, OFFER), CALLED)
    bench.take(bench.agent.hang_up(leg, bench.now))
    for _, send in bench.sent[1:]:
        assert isinstance(send.message, Request)
        assert send.message.uri == "sip:conference@203.0.113.5:5070"
        assert send.message.headers.values("Route") == ("<sip:203.0.113.5:2;lr>",)
        assert send.flow.port == 2


def test_a_repeated_200_is_acknowledged_again_in_the_same_words() -> None:
    bench = Bench()
    leg, invite, ack = bench.talk_out()
    bench.advance(3.0)
    (again,) = bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED)
    assert bytes(again) == bytes(ack)
    assert bench.told(Answered) == [Answered(leg, OFFER)]


def test_we_hang_up() -> None:
    bench = Bench()
    leg, _, _ = bench.talk_out()
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(bye.message, Request)
    assert (bye.message.method, str(bye.message.cseq)) == ("BYE", "2 BYE")
    assert bench.last() == Ended(leg, LegEnd("us", None, "bye"))


def test_the_dialog_lives_on_the_connection_that_the_answer_came_by() -> None:
    bench = Bench()
    leg, invite = bench.call_out(Flow("TCP", "203.0.113.5", 5060))
    connection = Flow("TCP", "203.0.113.5", 5060, 5)
    bench.receive(answer_to(invite, 180, [CONTACT]), connection)
    bench.receive(answer_to(invite, 200, [CONTACT], OFFER), connection)
    bench.take(bench.agent.hang_up(leg, bench.now))
    assert [send.flow.connection for _, send in bench.sent] == [0, 5, 5]


def test_a_repeated_200_after_the_bye_is_acknowledged_too() -> None:
    bench = Bench()
    leg, invite, ack = bench.talk_out()
    bench.take(bench.agent.hang_up(leg, bench.now))
    (again,) = bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED)
    assert bytes(again) == bytes(ack)


def test_a_183_with_sdp_and_then_the_200() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    assert bench.receive(answer_to(invite, 100, tag=None), CALLED) == []
    assert bench.events == []
    assert bench.receive(answer_to(invite, 183, [CONTACT], OFFER), CALLED) == []
    assert bench.events == [Progress(leg, 183, OFFER)]
    assert methods(list(bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED))) == ["ACK"]
    assert bench.last() == Answered(leg, OFFER)


def test_a_200_without_sdp_means_that_of_the_183() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 183, [CONTACT], OFFER), CALLED)
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    bench.receive(answer_to(invite, 200, [CONTACT]), CALLED)
    assert bench.last() == Answered(leg, OFFER)


def test_a_200_without_sdp_means_that_of_its_own_fork() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 183, [CONTACT], OFFER, tag="ct1"), CALLED)
    bench.receive(answer_to(invite, 183, [CONTACT], NEW_OFFER, tag="ct2"), CALLED)
    bench.receive(answer_to(invite, 200, [CONTACT], tag="ct1"), CALLED)
    assert bench.last() == Answered(leg, OFFER)


def test_a_200_without_sdp_whose_tag_was_changed_on_the_way_means_the_latest() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 183, [CONTACT], OFFER, tag="ct1"), CALLED)
    bench.receive(answer_to(invite, 200, [CONTACT], tag="ct9"), CALLED)
    assert bench.last() == Answered(leg, OFFER)


def test_the_sdp_of_the_200_has_the_last_word() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 183, [CONTACT], OFFER), CALLED)
    bench.receive(answer_to(invite, 200, [CONTACT], NEW_OFFER), CALLED)
    assert bench.last() == Answered(leg, NEW_OFFER)


@pytest.mark.parametrize(
    ("lines", "body"), [([], b""), ([("Content-Type", "text/plain")], b"hello")]
)
def test_a_200_without_any_sdp_is_acknowledged_and_ended(
    lines: list[tuple[str, str]], body: bytes
) -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    data = answer_to(invite, 200, [CONTACT, *lines], b"")
    if body:
        data = data.replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: 5\r\n\r\n" + body)
    assert methods(list(bench.receive(data, CALLED))) == ["ACK", "BYE"]
    assert bench.last() == Ended(leg, LegEnd("us", 200, "session-refused"))


def test_a_second_200_of_a_fork_is_acknowledged_and_ended() -> None:
    bench = Bench()
    _, invite, _ = bench.talk_out()
    other = ("Contact", "<sip:other@203.0.113.5:5090>")
    ack, bye = bench.receive(answer_to(invite, 200, [other], OFFER, tag="ct2"), CALLED)
    for request, method in ((ack, "ACK"), (bye, "BYE")):
        assert isinstance(request, Request)
        assert (request.method, request.uri) == (method, "sip:other@203.0.113.5:5090")
        assert request.to.tag == "ct2"
    assert bench.told(Ended) == []
    (again,) = bench.receive(answer_to(invite, 200, [other], OFFER, tag="ct2"), CALLED)
    assert bytes(again) == bytes(ack)
    # The call goes on where it was answered first.
    assert bench.agent.legs == 1
    assert bench.status(called_request(invite, "OPTIONS", tag="ct1"), CALLED) == 200


def test_a_fork_that_rang_first_and_answers_second_is_acknowledged_and_ended_too() -> None:
    bench = Bench()
    _, invite = bench.call_out()
    bench.receive(answer_to(invite, 180, [CONTACT], tag="ct1"), CALLED)
    bench.receive(answer_to(invite, 200, [CONTACT], OFFER, tag="ct2"), CALLED)
    sent = bench.receive(answer_to(invite, 200, [CONTACT], OFFER, tag="ct1"), CALLED)
    assert methods(list(sent)) == ["ACK", "BYE"]


def test_a_bye_of_the_fork_that_lost_does_not_end_the_call() -> None:
    bench = Bench()
    _, invite, _ = bench.talk_out()
    bench.receive(answer_to(invite, 200, [CONTACT], OFFER, tag="ct2"), CALLED)
    assert bench.status(called_request(invite, "BYE", tag="ct2"), CALLED) == 200
    assert bench.told(Ended) == []


def test_a_ringing_branch_of_a_fork_is_forgotten_when_another_answers() -> None:
    bench = Bench()
    _, invite = bench.call_out()
    bench.receive(answer_to(invite, 180, [CONTACT], tag="ct1"), CALLED)
    bench.receive(answer_to(invite, 180, [CONTACT], tag="ct2"), CALLED)
    bench.receive(answer_to(invite, 200, [CONTACT], OFFER, tag="ct2"), CALLED)
    assert bench.status(called_request(invite, "OPTIONS", tag="ct1"), CALLED) == 481
    options = called_request(invite, "OPTIONS", tag="ct2", branch="z9hG4bKc2")
    assert bench.status(options, CALLED) == 200


def test_there_is_an_end_to_the_forks_that_are_believed() -> None:
    bench = Bench()
    _, invite = bench.call_out()
    for number in range(20):
        bench.receive(answer_to(invite, 180, [CONTACT], tag=f"ct{number}"), CALLED)
    assert bench.receive(answer_to(invite, 200, [CONTACT], OFFER, tag="ct19"), CALLED) == []
    assert methods(
        list(bench.receive(answer_to(invite, 200, [CONTACT], OFFER, tag="ct7"), CALLED))
    ) == ["ACK"]


@pytest.mark.parametrize("status", [302, 401, 403, 404, 407, 480, 486, 488, 500, 503, 603])
def test_a_refusal_is_acknowledged_each_time_it_comes(status: int) -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    challenge = ("WWW-Authenticate", 'Digest realm="x", nonce="n"')
    refusal = answer_to(invite, status, [challenge])
    (ack,) = bench.receive(refusal, CALLED)
    assert isinstance(ack, Request)
    assert (ack.method, ack.via.branch) == ("ACK", invite.via.branch)
    assert "Authorization" not in ack.headers
    assert bench.last() == Ended(leg, LegEnd("peer", status, "rejected"))
    (again,) = bench.receive(refusal, CALLED)
    assert bytes(again) == bytes(ack)
    assert len(bench.events) == 1
    bench.advance(100.0)
    assert (bench.agent.legs, bench.agent.transactions) == (0, 0)


def test_a_phone_may_ring_longer_than_32_seconds() -> None:
    bench = Bench()
    leg, invite = bench.call_out(answer_within_s=120.0)
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    assert bench.advance(90.0) == []
    bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED)
    assert bench.last() == Answered(leg, OFFER)
    bench.advance(300.0)
    assert bench.told(Ended) == []


def test_the_call_is_cancelled_when_nobody_answers_in_time() -> None:
    bench = Bench()
    leg, invite = bench.call_out(answer_within_s=20.0)
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    ((at, cancel),) = bench.advance(20.0)
    assert isinstance(cancel.message, Request)
    assert (at, cancel.message.method) == (20.0, "CANCEL")
    assert bench.last() == Ended(leg, LegEnd("us", None, "no-answer"))


def test_nobody_is_there() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    sent = bench.advance(32.0)
    assert {bytes(send.message) for _, send in sent} == {bytes(invite)}
    assert bench.events == [Ended(leg, LegEnd("lost", 408, "transaction-timeout"))]
    assert (bench.agent.legs, bench.agent.transactions) == (0, 0)


def test_the_connection_breaks_before_the_answer() -> None:
    bench = Bench()
    flow = Flow("TCP", "203.0.113.5", 5060)
    leg, _ = bench.call_out(flow)
    bench.take(bench.agent.transport_failed(flow, bench.now))
    assert bench.events == [Ended(leg, LegEnd("lost", 503, "transport-lost"))]


def test_the_connection_breaks_after_the_answer_and_the_call_stays() -> None:
    bench = Bench()
    bench.talk_out()
    bench.take(bench.agent.transport_failed(CALLED, bench.now))
    assert bench.told(Ended) == []
    assert bench.agent.legs == 1


def test_giving_up_cancels_once_the_other_side_was_heard() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    assert methods([send.message for send in bench.take(bench.agent.hang_up(leg, 0.0))]) == []
    assert bench.events == [Ended(leg, LegEnd("us", None, "cancel"))]
    (cancel,) = bench.receive(answer_to(invite, 100, tag=None), CALLED)
    assert isinstance(cancel, Request)
    assert cancel.method == "CANCEL"
    # RFC 3261 §9.1: the same Request-URI, Call-ID, To, From, number and topmost Via.
    assert (cancel.uri, cancel.call_id, cancel.via) == (invite.uri, invite.call_id, invite.via)
    assert (str(cancel.to), str(cancel.from_)) == (str(invite.to), str(invite.from_))
    assert str(cancel.cseq) == "1 CANCEL"
    assert len(cancel.vias) == 1
    assert bench.receive(answer_to(invite, 180, [CONTACT]), CALLED) == []  # no second CANCEL
    assert bench.receive(answer_to(cancel, 200), CALLED) == []
    assert methods(list(bench.receive(answer_to(invite, 487), CALLED))) == ["ACK"]
    bench.advance(100.0)
    assert len(bench.events) == 1
    assert (bench.agent.legs, bench.agent.transactions) == (0, 0)


def test_a_cancel_that_nobody_follows_is_given_up_too() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    bench.take(bench.agent.hang_up(leg, bench.now))
    bench.advance(100.0)
    assert (bench.agent.legs, bench.agent.transactions) == (0, 0)
    assert len(bench.told(Ended)) == 1


def test_a_200_that_crosses_our_cancel_is_acknowledged_and_ended() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    (cancel,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(cancel.message, Request)
    ack, bye = bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED)
    assert methods([ack, bye]) == ["ACK", "BYE"]
    assert bench.receive(answer_to(cancel.message, 481), CALLED) == []
    assert isinstance(bye, Request)
    assert bench.receive(answer_to(bye, 200), CALLED) == []
    bench.advance(100.0)
    assert bench.told(Answered) == []
    assert (bench.agent.legs, bench.agent.transactions) == (0, 0)


def test_a_bye_before_the_answer_ends_the_call() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    gone, cancel = bench.receive(called_request(invite, "BYE"), CALLED)
    assert getattr(gone, "status", None) == 200
    assert methods([cancel]) == ["CANCEL"]
    assert bench.last() == Ended(leg, LegEnd("peer", None, "bye"))


def test_a_bye_while_our_cancel_is_under_way_is_answered() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    bench.take(bench.agent.hang_up(leg, bench.now))
    assert bench.status(called_request(invite, "BYE"), CALLED) == 200
    assert bench.told(Ended) == [Ended(leg, LegEnd("us", None, "cancel"))]


def test_a_200_after_a_bye_of_the_same_place_is_acknowledged() -> None:
    bench = Bench()
    _, invite = bench.call_out()
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    bench.receive(called_request(invite, "BYE"), CALLED)
    sent = bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED)
    assert methods(list(sent)) == ["ACK"]
    assert bench.agent.legs == 0


@pytest.mark.parametrize(
    "lines",
    [
        [("Contact", "<sip:a@>")],
        [],
        [CONTACT, ("Record-Route", "<<>>")],
        [CONTACT, ("Record-Route", "<sip:x:y:z>")],
    ],
)
def test_a_200_with_addresses_that_nobody_can_read_is_acknowledged_all_the_same(
    lines: list[tuple[str, str]],
) -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    (ack,) = bench.receive(answer_to(invite, 200, lines, OFFER), CALLED)
    assert isinstance(ack, Request)
    parse_uri(ack.uri)
    assert "Route" not in ack.headers
    assert bench.last() == Answered(leg, OFFER)


# Keys of ours


def test_a_key_goes_by_info_in_the_dialog() -> None:
    bench = Bench()
    leg, invite, ack = bench.talk_out()
    (sent,) = bench.take(bench.agent.send_key(leg, "*", bench.now))
    info = sent.message
    assert isinstance(info, Request)
    assert (info.method, info.uri, info.content_type) == (
        "INFO",
        ack.uri,
        "application/dtmf-relay",
    )
    assert info.body == b"Signal=*\r\nDuration=160\r\n"
    assert (info.call_id, info.to.tag) == (invite.call_id, ack.to.tag)
    assert info.cseq.number == invite.cseq.number + 1
    bench.receive(answer_to(info, 100, tag=None))
    assert not bench.told(KeyTaken)
    bench.receive(answer_to(info, 200, tag=None))
    assert bench.last() == KeyTaken(leg, 200)


@pytest.mark.parametrize("status", [401, 407, 415, 481, 503])
def test_a_key_that_is_refused_is_told_so_and_the_call_stays(status: int) -> None:
    bench = Bench()
    leg, _, _ = bench.talk_out()
    (sent,) = bench.take(bench.agent.send_key(leg, "6", bench.now))
    assert isinstance(sent.message, Request)
    assert not bench.receive(answer_to(sent.message, status, tag=None))
    assert bench.last() == KeyTaken(leg, status)
    assert bench.agent.legs == 1


def test_a_key_that_nobody_takes_is_told_so() -> None:
    bench = Bench()
    leg, _, _ = bench.talk_out()
    bench.take(bench.agent.send_key(leg, "6", bench.now))
    bench.advance(32.0)
    assert bench.last() == KeyTaken(leg, 408)


def test_of_a_key_nothing_is_told_once_the_call_is_over() -> None:
    bench = Bench()
    leg, _, _ = bench.talk_out()
    (sent,) = bench.take(bench.agent.send_key(leg, "6", bench.now))
    bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(sent.message, Request)
    bench.receive(answer_to(sent.message, 200, tag=None))
    assert not bench.told(KeyTaken)
    assert not bench.agent.send_key(leg, "6", bench.now)


def test_before_the_answer_a_key_has_nowhere_to_go() -> None:
    bench = Bench()
    leg, _ = bench.call_out()
    assert not bench.take(bench.agent.send_key(leg, "6", bench.now))
    assert bench.last() == KeyTaken(leg, 481)


def test_a_caller_is_sent_no_keys() -> None:
    bench = Bench()
    leg = bench.talk_in(Caller())
    assert not bench.agent.send_key(leg, "6", bench.now)


def test_a_route_goes_along_with_everything_of_the_invite() -> None:
    bench = Bench()
    routes = ("<sip:proxy.example;lr>", "<sip:core.example;lr>")
    leg, invite = bench.call_out(headers=tuple(("Route", value) for value in routes))
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    (cancel,) = bench.take(bench.agent.hang_up(leg, bench.now))
    (ack,) = bench.receive(answer_to(invite, 487), CALLED)
    for request in (invite, cancel.message, ack):
        assert request.headers.all("Route") == routes


@pytest.mark.parametrize(
    ("said", "seconds"), [("30 (too much to do)", 30), ("0", None), ("x", None)]
)
def test_when_the_called_side_wants_to_be_called_again_is_told(
    said: str, seconds: int | None
) -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 503, [("Retry-After", said)]), CALLED)
    assert bench.last() == Ended(leg, LegEnd("peer", 503, "rejected", None, seconds))
