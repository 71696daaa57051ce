# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls to us: from the INVITE to its final response."""

from __future__ import annotations

import pytest

from dialin.wire.agent_events import Acknowledged, Ended, IncomingCall, LegEnd
from dialin.wire.message import Request, Response
from tests.wire.peers import ANSWER, LOCAL, OFFER, TRUNK, Bench, Caller


def test_a_call_comes_in() -> None:
    bench, caller = Bench(), Caller()
    assert bench.receive(caller.invite()) == []
    (call,) = bench.told(IncomingCall)
    assert isinstance(call, IncomingCall)
    assert (call.offer, call.flow, call.local) == (OFFER, TRUNK, LOCAL)
    assert call.request.method == "INVITE"
    assert bench.agent.legs == 1


def test_a_call_without_sdp_wants_our_offer() -> None:
    bench = Bench()
    bench.ring_in(Caller(), body=b"")
    (call,) = bench.told(IncomingCall)
    assert isinstance(call, IncomingCall)
    assert call.offer is None


def test_the_caller_hears_100_when_the_answer_takes_its_time() -> None:
    bench = Bench()
    bench.ring_in(Caller())
    ((at, send),) = bench.advance(1.0)
    assert isinstance(send.message, Response)
    assert (at, send.message.status) == (0.2, 100)


def test_ringing_makes_an_early_dialog() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller)
    (ringing,) = bench.take(bench.agent.provisional(leg, 180, None, bench.now))
    assert isinstance(ringing.message, Response)
    assert ringing.message.status == 180
    assert len(ringing.message.to.tag or "") * 4 >= 64
    assert ringing.message.contacts[0].uri_text == "sip:dialin@198.51.100.1:5060"
    assert "Require" not in ringing.message.headers
    assert "Content-Type" not in ringing.message.headers


def test_early_media_comes_with_183() -> None:
    bench = Bench()
    leg = bench.ring_in(Caller())
    (progress,) = bench.take(bench.agent.provisional(leg, 183, ANSWER, bench.now))
    assert isinstance(progress.message, Response)
    assert (progress.message.status, progress.message.body) == (183, ANSWER)
    assert progress.message.content_type == "application/sdp"


def test_ringing_is_repeated_every_minute_so_that_no_proxy_gives_up() -> None:
    bench = Bench()
    leg = bench.ring_in(Caller())
    bench.take(bench.agent.provisional(leg, 180, None, bench.now))
    assert [at for at, _ in bench.advance(130.0)] == [60.0, 120.0]
    bench.take(bench.agent.reject(leg, 486, bench.now))
    later = [send.message for _, send in bench.advance(400.0)]
    assert {message.status for message in later if isinstance(message, Response)} == {486}


def test_early_media_is_repeated_as_early_media() -> None:
    bench = Bench()
    leg = bench.ring_in(Caller())
    bench.take(bench.agent.provisional(leg, 183, ANSWER, bench.now))
    ((_, again),) = bench.advance(60.0)
    assert isinstance(again.message, Response)
    assert (again.message.status, again.message.body) == (183, ANSWER)


@pytest.mark.parametrize("is_accepted", [True, False])
def test_nothing_is_repeated_once_the_call_is_answered(is_accepted: bool) -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller)
    bench.take(bench.agent.provisional(leg, 180, None, bench.now))
    if is_accepted:
        (ok,) = bench.take(bench.agent.accept(leg, ANSWER, bench.now))
        caller.to_tag = ok.message.to.tag
        bench.receive(caller.ack())
    else:
        (busy,) = bench.take(bench.agent.reject(leg, 486, bench.now))
        assert isinstance(busy.message, Response)
        bench.receive(caller.ack_refusal(busy.message))
    assert bench.advance(50.0) == []
    assert bench.agent.next_deadline() is None


def test_the_answer_is_a_200_with_our_sdp_contact_and_methods() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller)
    (ok,) = bench.take(bench.agent.accept(leg, ANSWER, bench.now, headers=[("X-Kept", "yes")]))
    assert isinstance(ok.message, Response)
    assert ok.flow == TRUNK
    assert (ok.message.status, ok.message.body) == (200, ANSWER)
    assert ok.message.content_type == "application/sdp"
    assert ok.message.contacts[0].uri_text == "sip:dialin@198.51.100.1:5060"
    assert "UPDATE" in (ok.message.headers.get("Allow") or "")
    assert ok.message.headers.get("Server") == "dialin"
    assert ok.message.headers.get("X-Kept") == "yes"
    assert ok.message.headers.get("Supported") == "100rel, timer"
    assert "Require" not in ok.message.headers


def test_ringing_and_answer_name_one_dialog() -> None:
    bench = Bench()
    leg = bench.ring_in(Caller())
    bench.take(bench.agent.provisional(leg, 180, None, bench.now))
    bench.take(bench.agent.accept(leg, ANSWER, bench.now))
    tags = {send.message.to.tag for _, send in bench.sent}
    assert len(tags) == 1


def test_the_ack_makes_the_session() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    assert bench.last() == Acknowledged(leg, None)
    assert bench.advance(100.0) == []


def test_the_ack_brings_the_answer_to_our_offer() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.answer_in(caller, body=b"")
    bench.receive(caller.ack(body=OFFER))
    assert bench.last() == Acknowledged(leg, OFFER)


def test_a_call_is_refused_with_the_reasons_given() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller)
    (busy,) = bench.take(bench.agent.reject(leg, 486, bench.now, headers=[("Retry-After", "7")]))
    assert isinstance(busy.message, Response)
    assert (busy.message.status, busy.message.headers.get("Retry-After")) == (486, "7")
    assert bench.last() == Ended(leg, LegEnd("us", 486, "rejected"))
    assert bench.agent.legs == 0
    bench.receive(caller.ack_refusal(busy.message))
    assert bench.advance(100.0) == []
    assert bench.agent.transactions == 0


def test_hanging_up_before_the_answer_declines() -> None:
    bench = Bench()
    leg = bench.ring_in(Caller())
    (declined,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(declined.message, Response)
    assert declined.message.status == 603
    assert bench.last() == Ended(leg, LegEnd("us", 603, "rejected"))


def test_a_call_is_answered_once() -> None:
    bench = Bench()
    leg = bench.answer_in(Caller())
    assert bench.agent.accept(leg, ANSWER, bench.now) == []
    assert bench.agent.reject(leg, 486, bench.now) == []
    assert bench.agent.provisional(leg, 180, None, bench.now) == []


def test_a_cancel_gives_200_and_487() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller)
    cancelled, terminated = bench.receive(caller.cancel())
    assert isinstance(cancelled, Response)
    assert isinstance(terminated, Response)
    assert (cancelled.status, str(cancelled.cseq)) == (200, "1 CANCEL")
    assert (terminated.status, str(terminated.cseq)) == (487, "1 INVITE")
    assert cancelled.to.tag == terminated.to.tag  # §9.2
    assert bench.last() == Ended(leg, LegEnd("peer", 487, "cancel"))
    assert bench.agent.legs == 0


def test_a_repeated_cancel_is_answered_again_and_changes_nothing() -> None:
    bench, caller = Bench(), Caller()
    bench.ring_in(caller)
    cancel = caller.cancel()
    bench.receive(cancel)
    assert bench.status(cancel) == 200
    assert len(bench.told(Ended)) == 1


def test_an_answer_after_the_cancel_goes_nowhere() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller)
    bench.receive(caller.cancel())
    assert bench.agent.accept(leg, ANSWER, bench.now) == []
    assert bench.agent.hang_up(leg, bench.now) == []


def test_a_cancel_that_crosses_the_200_is_too_late() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.answer_in(caller)
    assert bench.status(caller.cancel()) == 200
    assert bench.told(Ended) == []
    bench.receive(caller.ack())
    assert bench.last() == Acknowledged(leg, None)


def test_a_bye_before_the_answer_terminates_the_invite() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller)
    (ringing,) = bench.take(bench.agent.provisional(leg, 180, None, bench.now))
    caller.to_tag = ringing.message.to.tag
    gone, terminated = bench.receive(caller.request("BYE", 2))
    assert isinstance(gone, Response)
    assert isinstance(terminated, Response)
    assert (gone.status, gone.cseq.method) == (200, "BYE")
    assert (terminated.status, terminated.cseq.method) == (487, "INVITE")
    assert bench.last() == Ended(leg, LegEnd("peer", None, "bye"))


@pytest.mark.parametrize("lines", [[], [("Record-Route", "<sip:proxy.example.net;lr>")]])
def test_a_caller_without_contact_is_reached_by_its_from(lines: list[tuple[str, str]]) -> None:
    bench, caller = Bench(), Caller()
    bench.receive(caller.request("INVITE", 1, lines, OFFER))
    leg = bench.leg
    (ok,) = bench.take(bench.agent.accept(leg, ANSWER, bench.now))
    caller.to_tag = ok.message.to.tag
    bench.receive(caller.ack())
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(bye.message, Request)
    assert bye.message.uri == "sip:+493012345678@trunk.example.net"
    assert bye.flow == TRUNK
