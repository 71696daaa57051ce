# SPDX-License-Identifier: GPL-3.0-or-later
"""Provisional responses that must not be lost (RFC 3262), as the called and as the calling side."""

from __future__ import annotations

import pytest

from dialin.wire.agent_events import Answered, Ended, LegEnd, Progress, Replied
from dialin.wire.login import Login
from dialin.wire.message import Request, Response, parse
from dialin.wire.reliable import MAX_WAITING, rseq_of
from tests.wire.peers import ANSWER, CALLED, CONTACT, OFFER, Bench, Caller, Lines, answer_to

REQUIRED = ("Require", "100rel")


def ringing(bench: Bench, leg: str, status: int = 180, sdp: bytes | None = None) -> Response:
    """A provisional response of ours."""
    (sent,) = bench.take(bench.agent.provisional(leg, status, sdp, bench.now))
    assert isinstance(sent.message, Response)
    return sent.message


def prack(caller: Caller, to: Response, cseq: int, body: bytes = b"") -> bytes:
    """The caller's PRACK to a response."""
    caller.to_tag = to.to.tag
    rack = f"{to.headers.get('RSeq')} {to.cseq}"
    return caller.request("PRACK", cseq, [("RAck", rack)], body)


def statuses(messages: list[Request | Response]) -> list[int]:
    """The responses among messages."""
    return [message.status for message in messages if isinstance(message, Response)]


# A caller who requires it


def test_a_caller_who_requires_it_gets_its_ringing_reliably() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    response = ringing(bench, leg)
    assert response.headers.all("Require") == ("100rel",)
    assert 0 < int(response.headers.get("RSeq") or "") < 2**31
    assert response.contacts  # RFC 3262 §3: it makes a dialog
    assert statuses(bench.receive(prack(caller, response, 2))) == [200]
    assert bench.advance(50.0) == []


def test_a_caller_who_merely_could_gets_it_as_ever() -> None:
    bench = Bench()
    leg = bench.ring_in(Caller(), lines=[("Supported", "100rel")])
    response = ringing(bench, leg)
    assert "Require" not in response.headers
    assert "RSeq" not in response.headers
    assert bench.advance(50.0) == []


def test_it_is_repeated_after_twice_as_long_each_time_until_the_prack() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    response = ringing(bench, leg)
    sent = bench.advance(16.0)
    assert [at for at, _ in sent] == [0.5, 1.5, 3.5, 7.5, 15.5]
    assert {bytes(send.message) for _, send in sent} == {bytes(response)}
    assert statuses(bench.receive(prack(caller, response, 2))) == [200]
    assert bench.advance(40.0) == []


def test_without_a_prack_the_call_is_refused_after_32_seconds() -> None:
    bench = Bench()
    leg = bench.ring_in(Caller(), lines=[REQUIRED])
    ringing(bench, leg)
    last_at, last = bench.advance(32.0)[-1]
    assert isinstance(last.message, Response)
    assert (last_at, last.message.status) == (32.0, 504)
    assert bench.last() == Ended(leg, LegEnd("lost", 504, "no-ack"))
    assert bench.agent.legs == 0


def test_the_next_one_waits_for_the_prack_and_has_the_next_number() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    first = ringing(bench, leg)
    assert bench.take(bench.agent.provisional(leg, 183, ANSWER, bench.now)) == []
    ok, second = bench.receive(prack(caller, first, 2))
    assert statuses([ok, second]) == [200, 183]
    assert isinstance(second, Response)
    assert rseq_of(second) == (rseq_of(first) or 0) + 1
    assert second.body == ANSWER
    assert statuses(bench.receive(prack(caller, second, 3))) == [200]


def test_there_is_an_end_to_those_that_wait_and_the_latest_stays() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    response = ringing(bench, leg)
    for _ in range(MAX_WAITING + 3):
        bench.agent.provisional(leg, 180, None, bench.now)
    bench.agent.provisional(leg, 183, None, bench.now)
    seen = []
    for cseq in range(2, 2 + MAX_WAITING):
        _, following = bench.receive(prack(caller, response, cseq))
        assert isinstance(following, Response)
        response = following
        seen.append(response.status)
    assert seen == [180] * (MAX_WAITING - 1) + [183]


@pytest.mark.parametrize(
    "rack", ["9 1 INVITE", "{} 2 INVITE", "{} 1 UPDATE", "{}", "", "-1 1 INVITE", "x 1 INVITE"]
)
def test_a_prack_for_something_else_is_told_so(rack: str) -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    response = ringing(bench, leg)
    caller.to_tag = response.to.tag
    lines = [("RAck", rack.format(response.headers.get("RSeq")))]
    assert bench.status(caller.request("PRACK", 2, lines)) == 481
    assert statuses([send.message for _, send in bench.advance(0.5)]) == [180]


def test_a_second_prack_for_one_response_is_told_so() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    response = ringing(bench, leg)
    bench.receive(prack(caller, response, 2))
    assert bench.status(prack(caller, response, 3)) == 481


def test_the_answer_need_not_wait_for_the_prack_of_a_mere_ringing() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    response = ringing(bench, leg)
    (ok,) = bench.take(bench.agent.accept(leg, ANSWER, bench.now))
    assert isinstance(ok.message, Response)
    assert ok.message.status == 200
    assert statuses([send.message for _, send in bench.advance(0.5)]) == [200]  # no 180 any more
    assert statuses(bench.receive(prack(caller, response, 2))) == [200]
    assert bench.receive(caller.ack()) == []


def test_the_answer_waits_for_the_prack_of_early_media() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    response = ringing(bench, leg, 183, ANSWER)
    assert bench.take(bench.agent.accept(leg, ANSWER, bench.now)) == []
    ok, answer = bench.receive(prack(caller, response, 2))
    assert statuses([ok, answer]) == [200, 200]
    assert (ok.cseq.method, answer.cseq.method) == ("PRACK", "INVITE")
    assert bench.receive(caller.ack()) == []
    assert bench.advance(50.0) == []


def test_the_answer_waits_for_early_media_that_waits_itself() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    first = ringing(bench, leg)
    bench.agent.provisional(leg, 183, ANSWER, bench.now)
    assert bench.take(bench.agent.accept(leg, ANSWER, bench.now)) == []
    _, second = bench.receive(prack(caller, first, 2))
    assert isinstance(second, Response)
    assert statuses(bench.receive(prack(caller, second, 3))) == [200, 200]


def test_a_refusal_waits_for_nothing() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    ringing(bench, leg, 183, ANSWER)
    bench.agent.accept(leg, ANSWER, bench.now)
    (refusal,) = bench.take(bench.agent.reject(leg, 486, bench.now))
    assert isinstance(refusal.message, Response)
    assert refusal.message.status == 486
    assert bench.take(bench.agent.accept(leg, ANSWER, bench.now)) == []


def test_an_offer_in_a_prack_is_refused_and_the_response_is_acknowledged() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    response = ringing(bench, leg, 183, ANSWER)
    assert bench.status(prack(caller, response, 2, OFFER)) == 488
    assert bench.advance(40.0) == []
    assert bench.agent.legs == 1


def test_who_requires_it_and_wants_our_offer_gets_the_answer_alone() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, b"", [REQUIRED])
    assert bench.take(bench.agent.provisional(leg, 180, None, bench.now)) == []
    (ok,) = bench.take(bench.agent.accept(leg, ANSWER, bench.now))
    assert isinstance(ok.message, Response)
    assert ok.message.status == 200


def test_a_minute_later_it_is_said_again_reliably() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller, lines=[REQUIRED])
    response = ringing(bench, leg)
    bench.receive(prack(caller, response, 2))
    ((at, again),) = bench.advance(60.0)
    assert isinstance(again.message, Response)
    assert (at, rseq_of(again.message)) == (60.0, (rseq_of(response) or 0) + 1)


# Whom we call


def reliable(rseq: int | str, *lines: tuple[str, str]) -> Lines:
    """What a reliable provisional response says."""
    return [CONTACT, REQUIRED, ("RSeq", str(rseq)), *lines]


def the_prack(messages: list[Request | Response]) -> Request:
    """The one request that is sent."""
    (message,) = messages
    assert isinstance(message, Request)
    assert message.method == "PRACK"
    return message


def test_our_calls_say_that_we_can() -> None:
    _, invite = Bench().call_out()
    assert "100rel" in invite.headers.values("Supported")


def test_a_reliable_183_gets_its_prack_in_its_dialog() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    route = ("Record-Route", "<sip:203.0.113.5:5080;lr>")
    prack = the_prack(bench.receive(answer_to(invite, 183, reliable(7, route), OFFER), CALLED))
    assert prack.headers.all("RAck") == ("7 1 INVITE",)
    assert (str(prack.cseq), prack.to.tag, prack.call_id) == ("2 PRACK", "ct1", invite.call_id)
    assert prack.uri == "sip:conference@203.0.113.5:5070"
    assert prack.headers.values("Route") == ("<sip:203.0.113.5:5080;lr>",)
    assert bench.events == [Progress(leg, 183, OFFER)]
    assert bench.receive(answer_to(prack, 200), CALLED) == []
    ack, *_ = bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED)
    assert str(ack.cseq) == "1 ACK"
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert str(bye.message.cseq) == "3 BYE"


def test_a_prack_is_repeated_until_it_is_answered() -> None:
    bench = Bench()
    _, invite = bench.call_out()
    prack = the_prack(bench.receive(answer_to(invite, 180, reliable(1)), CALLED))
    sent = bench.advance(1.5)
    assert [bytes(send.message) for _, send in sent] == [bytes(prack)] * 2
    bench.receive(answer_to(prack, 200), CALLED)
    assert bench.advance(20.0) == []


def test_one_that_comes_again_gets_no_second_prack() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    data = answer_to(invite, 180, reliable(1))
    the_prack(bench.receive(data, CALLED))
    assert bench.receive(data, CALLED) == []
    assert bench.events == [Progress(leg, 180, None)]


def test_one_whose_predecessor_is_missing_is_not_acknowledged_yet() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    the_prack(bench.receive(answer_to(invite, 180, reliable(10)), CALLED))
    third = answer_to(invite, 183, reliable(12), OFFER)
    assert bench.receive(third, CALLED) == []
    second = the_prack(bench.receive(answer_to(invite, 181, reliable(11)), CALLED))
    assert second.headers.get("RAck") == "11 1 INVITE"
    assert the_prack(bench.receive(third, CALLED)).headers.get("RAck") == "12 1 INVITE"
    assert bench.events == [
        Progress(leg, 180, None),
        Progress(leg, 181, None),
        Progress(leg, 183, OFFER),
    ]


def test_each_fork_counts_for_itself() -> None:
    bench = Bench()
    _, invite = bench.call_out()
    one = the_prack(bench.receive(answer_to(invite, 180, reliable(5), tag="ct1"), CALLED))
    two = the_prack(bench.receive(answer_to(invite, 180, reliable(9), tag="ct2"), CALLED))
    assert [one.to.tag, two.to.tag] == ["ct1", "ct2"]
    assert [one.headers.get("RAck"), two.headers.get("RAck")] == ["5 1 INVITE", "9 1 INVITE"]


@pytest.mark.parametrize(
    "lines",
    [
        [CONTACT, ("RSeq", "1")],
        [CONTACT, REQUIRED],
        reliable("0"),
        reliable(2**31),
        reliable("one"),
    ],
)
def test_what_is_not_reliable_gets_none(lines: Lines) -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    assert bench.receive(answer_to(invite, 180, lines), CALLED) == []
    assert bench.events == [Progress(leg, 180, None)]


def test_100_is_never_reliable() -> None:
    bench = Bench()
    _, invite = bench.call_out()
    response = parse(answer_to(invite, 100, reliable(1)))
    assert isinstance(response, Response)
    assert rseq_of(response) is None


@pytest.mark.parametrize("status", [200, 481, 500])
def test_whatever_becomes_of_a_prack_the_call_goes_on(status: int) -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    prack = the_prack(bench.receive(answer_to(invite, 180, reliable(1)), CALLED))
    assert bench.receive(answer_to(prack, 100, tag=None), CALLED) == []
    assert bench.receive(answer_to(prack, status), CALLED) == []
    bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED)
    assert bench.last() == Answered(leg, OFFER)


def test_a_prack_that_nobody_answers_ends_no_call() -> None:
    bench = Bench()
    leg, invite = bench.call_out(answer_within_s=120.0)
    the_prack(bench.receive(answer_to(invite, 180, reliable(1)), CALLED))
    bench.advance(60.0)
    assert bench.told(Ended) == []
    bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED)
    assert bench.last() == Answered(leg, OFFER)


def test_a_prack_is_said_again_with_the_password() -> None:
    bench = Bench()
    challenge = ("Proxy-Authenticate", 'Digest realm="trunk", nonce="n1"')
    _, invite = bench.call_out(login=Login("user", "secret"))
    _, again = bench.receive(answer_to(invite, 407, [challenge]), CALLED)
    assert isinstance(again, Request)
    lines = [("Contact", "<sip:conference@203.0.113.5>"), *reliable(1)[1:]]
    prack = the_prack(bench.receive(answer_to(again, 183, lines, OFFER), CALLED))
    assert "Proxy-Authorization" in prack.headers
    assert prack.headers.get("RAck") == "1 2 INVITE"
    stale = ("Proxy-Authenticate", 'Digest realm="trunk", nonce="n2", stale=true')
    once_more = the_prack(bench.receive(answer_to(prack, 407, [stale]), CALLED))
    assert 'nonce="n2"' in (once_more.headers.get("Proxy-Authorization") or "")
    assert once_more.cseq.number == prack.cseq.number + 1


def test_our_cancel_is_not_held_up_by_a_reliable_response() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.take(bench.agent.hang_up(leg, bench.now))
    sent = bench.receive(answer_to(invite, 183, reliable(1), OFFER), CALLED)
    assert [message.cseq.method for message in sent] == ["CANCEL"]
    assert not any(isinstance(reply, Replied) for reply in bench.replies)
