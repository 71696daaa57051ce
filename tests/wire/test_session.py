# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens inside a dialog: BYE, re-INVITE, UPDATE, INFO, OPTIONS, PRACK, from either side."""

from __future__ import annotations

import pytest

from dialin.wire.agent_events import (
    Acknowledged,
    Ended,
    KeyPressed,
    LegEnd,
    Progress,
    Reanswered,
    Reoffer,
)
from dialin.wire.flow import Flow
from dialin.wire.message import Request, Response
from tests.wire.peers import (
    ANSWER,
    CALLED,
    CONTACT,
    NEW_OFFER,
    OFFER,
    TRUNK,
    Bench,
    Caller,
    answer_to,
    called_request,
)


def early(bench: Bench, caller: Caller) -> str:
    """A call that rings; the caller knows our tag."""
    leg = bench.ring_in(caller)
    (ringing,) = bench.take(bench.agent.provisional(leg, 180, None, bench.now))
    caller.to_tag = ringing.message.to.tag
    return leg


# BYE


def test_the_caller_hangs_up() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    assert bench.status(caller.request("BYE", 2)) == 200
    assert bench.last() == Ended(leg, LegEnd("peer", None, "bye"))
    assert bench.agent.legs == 0
    assert bench.status(caller.request("BYE", 3)) == 481


def test_we_hang_up_by_a_bye_to_the_contact() -> None:
    bench, caller = Bench(), Caller(contact="<sip:gw@192.0.2.10:5080>")
    leg = bench.talk_in(caller)
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(bye.message, Request)
    assert (bye.message.method, bye.message.uri) == ("BYE", "sip:gw@192.0.2.10:5080")
    assert bye.flow == Flow("UDP", "192.0.2.10", 5080)
    assert bye.message.from_.tag == caller.to_tag
    assert bye.message.to.tag == "ft1"
    assert bench.last() == Ended(leg, LegEnd("us", None, "bye"))
    bench.receive(answer_to(bye.message, 100, tag=None))
    assert bench.agent.legs == 1
    bench.receive(answer_to(bye.message, 200, tag=None))
    assert bench.agent.legs == 0


def test_hanging_up_twice_sends_one_bye() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    assert len(bench.agent.hang_up(leg, bench.now)) == 2  # the BYE and the Ended
    assert bench.agent.hang_up(leg, bench.now) == []


@pytest.mark.parametrize("status", [401, 407, 481, 408, 500])
def test_whatever_a_bye_is_answered_with_the_dialog_is_over(status: int) -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(bye.message, Request)
    assert bench.receive(answer_to(bye.message, status, tag=None)) == []
    assert bench.agent.legs == 0


def test_two_byes_that_cross_are_both_answered() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert bench.status(caller.request("BYE", 2)) == 200
    assert isinstance(bye.message, Request)
    bench.receive(answer_to(bye.message, 481, tag=None))
    assert len(bench.told(Ended)) == 1
    assert bench.agent.legs == 0


def test_other_requests_after_our_bye_are_481() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    bench.take(bench.agent.hang_up(leg, bench.now))
    assert bench.status(caller.request("OPTIONS", 2)) == 481


def test_a_request_out_of_order_is_500() -> None:
    bench, caller = Bench(), Caller()
    bench.talk_in(caller)
    assert bench.status(caller.request("OPTIONS", 9)) == 200
    assert bench.status(caller.request("BYE", 8)) == 500
    assert bench.told(Ended) == []


# OPTIONS, INFO, PRACK


def test_options_in_the_dialog_tells_what_we_can() -> None:
    bench, caller = Bench(), Caller()
    bench.talk_in(caller)
    response = bench.response(caller.request("OPTIONS", 2))
    assert response.status == 200
    assert "INVITE" in (response.headers.get("Allow") or "")
    assert response.headers.get("Accept") == "application/sdp"
    assert response.to.tag == caller.to_tag


def test_a_key_by_info() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    lines = [("Content-Type", "application/dtmf-relay")]
    assert bench.status(caller.request("INFO", 2, lines, b"Signal=4\r\nDuration=160\r\n")) == 200
    assert bench.last() == KeyPressed(leg, "4")
    assert "4" not in repr(KeyPressed("leg", "4"))


def test_a_repeated_info_is_one_key() -> None:
    bench, caller = Bench(), Caller()
    bench.talk_in(caller)
    info = caller.request("INFO", 2, [("Content-Type", "application/dtmf")], b"4")
    assert [bench.status(info), bench.status(info)] == [200, 200]
    assert len(bench.told(KeyPressed)) == 1


def test_an_info_without_body_is_a_sign_of_life() -> None:
    bench, caller = Bench(), Caller()
    bench.talk_in(caller)
    assert bench.status(caller.request("INFO", 2)) == 200


def test_an_info_about_something_else_is_415() -> None:
    bench, caller = Bench(), Caller()
    bench.talk_in(caller)
    lines = [("Content-Type", "application/media_control+xml")]
    response = bench.response(caller.request("INFO", 2, lines, b"<media_control/>"))
    assert response.status == 415
    assert response.headers.get("Accept") == "application/dtmf-relay, application/dtmf"


def test_a_prack_acknowledges_nothing() -> None:
    bench, caller = Bench(), Caller()
    early(bench, caller)
    assert bench.status(caller.request("PRACK", 2, [("RAck", "1 1 INVITE")])) == 481


# re-INVITE and UPDATE


def test_a_reinvite_is_answered_and_acknowledged() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    assert bench.receive(caller.invite(NEW_OFFER, 2)) == []
    assert bench.last() == Reoffer(leg, NEW_OFFER)
    (ok,) = bench.take(bench.agent.answer_reoffer(leg, ANSWER, bench.now))
    assert isinstance(ok.message, Response)
    assert (ok.message.status, ok.message.body) == (200, ANSWER)
    assert ok.message.contacts[0].uri_text == "sip:dialin@198.51.100.1:5060"
    assert [at for at, _ in bench.advance(1.6)] == [0.5, 1.5]
    bench.receive(caller.ack(2))
    assert bench.advance(60.0) == []
    assert len(bench.told(Acknowledged)) == 1


def test_a_reinvite_without_sdp_wants_our_offer_and_brings_the_answer_in_the_ack() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    bench.receive(caller.invite(b"", 2))
    assert bench.last() == Reoffer(leg, None)
    bench.take(bench.agent.answer_reoffer(leg, ANSWER, bench.now))
    bench.receive(caller.ack(2, NEW_OFFER))
    assert bench.last() == Reanswered(leg, NEW_OFFER)


def test_a_reinvite_that_nobody_likes_is_488_and_the_session_stays() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    bench.receive(caller.invite(NEW_OFFER, 2))
    (refused,) = bench.take(bench.agent.answer_reoffer(leg, None, bench.now))
    assert isinstance(refused.message, Response)
    assert refused.message.status == 488
    bench.receive(caller.ack_refusal(refused.message, 2))
    assert bench.advance(60.0) == []
    assert bench.status(caller.request("OPTIONS", 3)) == 200


def test_a_reinvite_moves_the_contact_only_when_it_is_accepted() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    caller.contact = "<sip:new@192.0.2.10:6000>"
    bench.receive(caller.invite(NEW_OFFER, 2))
    bench.take(bench.agent.answer_reoffer(leg, None, bench.now))
    bench.receive(caller.invite(NEW_OFFER, 3))
    bench.take(bench.agent.answer_reoffer(leg, ANSWER, bench.now))
    bench.receive(caller.ack(3))
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(bye.message, Request)
    assert bye.message.uri == "sip:new@192.0.2.10:6000"


def test_a_second_reinvite_before_the_first_is_answered_is_500_with_retry_after() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    bench.receive(caller.invite(NEW_OFFER, 2))
    response = bench.response(caller.invite(NEW_OFFER, 3))
    assert response.status == 500
    assert 0 <= int(response.headers.get("Retry-After") or -1) <= 10
    (ok,) = bench.take(bench.agent.answer_reoffer(leg, ANSWER, bench.now))
    assert isinstance(ok.message, Response)
    assert (ok.message.status, ok.message.cseq.number) == (200, 2)


def test_a_reinvite_before_the_first_is_answered_at_all_is_500() -> None:
    bench, caller = Bench(), Caller()
    early(bench, caller)
    response = bench.response(caller.invite(NEW_OFFER, 2))
    assert (response.status, "Retry-After" in response.headers) == (500, True)


def test_a_reinvite_while_our_offer_waits_for_its_answer_is_491() -> None:
    bench, caller = Bench(), Caller()
    bench.answer_in(caller, body=b"")
    assert bench.status(caller.invite(NEW_OFFER, 2)) == 491


def test_a_reinvite_that_overtakes_its_ack_stands_for_it() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.answer_in(caller)
    bench.receive(caller.invite(NEW_OFFER, 2))
    assert bench.events == [bench.events[0], Acknowledged(leg, None), Reoffer(leg, NEW_OFFER)]
    bench.take(bench.agent.answer_reoffer(leg, ANSWER, bench.now))
    bench.receive(caller.ack(1))  # late
    bench.receive(caller.ack(2))
    assert bench.advance(60.0) == []
    assert len(bench.told(Acknowledged)) == 1


def test_a_reinvite_can_be_cancelled_and_the_session_stays() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    bench.receive(caller.invite(NEW_OFFER, 2))
    cancel = caller.request("CANCEL", 2, branch=caller.branch)
    cancelled, terminated = bench.receive(cancel)
    assert isinstance(cancelled, Response)
    assert isinstance(terminated, Response)
    assert (cancelled.status, terminated.status) == (200, 487)
    assert bench.agent.answer_reoffer(leg, ANSWER, bench.now) == []
    assert bench.told(Ended) == []


def test_an_unacknowledged_reinvite_ends_the_call() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    bench.receive(caller.invite(NEW_OFFER, 2))
    bench.take(bench.agent.answer_reoffer(leg, ANSWER, bench.now))
    bench.advance(32.0)
    assert bench.last() == Ended(leg, LegEnd("lost", None, "no-ack"))


@pytest.mark.parametrize("method", ["BYE", "hang_up"])
def test_a_reinvite_that_waits_is_terminated_with_the_call(method: str) -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    bench.receive(caller.invite(NEW_OFFER, 2))
    if method == "BYE":
        bench.receive(caller.request("BYE", 3))
    else:
        bench.take(bench.agent.hang_up(leg, bench.now))
    finals = {
        (send.message.cseq.number, send.message.status)
        for _, send in bench.sent
        if isinstance(send.message, Response) and send.message.cseq.method == "INVITE"
    }
    assert finals == {(1, 200), (2, 487)}


def test_an_update_with_sdp_is_answered_without_an_ack() -> None:
    bench, caller = Bench(), Caller(contact="<sip:gw@192.0.2.10:6000>")
    leg = bench.talk_in(caller)
    lines = [("Contact", "<sip:gw@192.0.2.10:6001>")]
    assert bench.receive(caller.request("UPDATE", 2, lines, NEW_OFFER)) == []
    assert bench.last() == Reoffer(leg, NEW_OFFER)
    (ok,) = bench.take(bench.agent.answer_reoffer(leg, ANSWER, bench.now))
    assert isinstance(ok.message, Response)
    assert (ok.message.status, ok.message.body) == (200, ANSWER)
    assert bench.advance(60.0) == []
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(bye.message, Request)
    assert bye.message.uri == "sip:gw@192.0.2.10:6001"


@pytest.mark.parametrize("is_early", [True, False])
def test_an_update_without_sdp_moves_the_contact(is_early: bool) -> None:
    bench, caller = Bench(), Caller()
    leg = early(bench, caller) if is_early else bench.talk_in(caller)
    lines = [("Contact", "<sip:gw@192.0.2.10:6001>")]
    response = bench.response(caller.request("UPDATE", 2, lines))
    assert (response.status, len(response.contacts)) == (200, 1)
    assert bench.told(Reoffer) == []
    if is_early:
        bench.take(bench.agent.accept(leg, ANSWER, bench.now))
        bench.receive(caller.ack())
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(bye.message, Request)
    assert bye.message.uri == "sip:gw@192.0.2.10:6001"


def test_an_update_with_sdp_before_the_answer_is_500() -> None:
    bench, caller = Bench(), Caller()
    early(bench, caller)
    response = bench.response(caller.request("UPDATE", 2, (), NEW_OFFER))
    assert (response.status, "Retry-After" in response.headers) == (500, True)


# From the called side


def test_the_called_side_asks_everything_that_it_may_ask() -> None:
    bench = Bench()
    leg, invite, _ = bench.talk_out()
    branches = iter(f"z9hG4bKc{n}" for n in range(9))

    def ask(method: str, cseq: int, lines: list[tuple[str, str]], body: bytes = b"") -> bytes:
        return called_request(invite, method, cseq, lines, body, branch=next(branches))

    assert bench.status(ask("OPTIONS", 1, []), CALLED) == 200
    dtmf = [("Content-Type", "application/dtmf")]
    assert bench.status(ask("INFO", 2, dtmf, b"9"), CALLED) == 200
    assert bench.last() == KeyPressed(leg, "9")
    assert bench.status(ask("UPDATE", 3, [CONTACT]), CALLED) == 200
    bench.receive(ask("INVITE", 4, [CONTACT], NEW_OFFER), CALLED)
    assert bench.last() == Reoffer(leg, NEW_OFFER)
    (ok,) = bench.take(bench.agent.answer_reoffer(leg, ANSWER, bench.now))
    assert isinstance(ok.message, Response)
    assert ok.message.status == 200
    bench.receive(ask("ACK", 4, []), CALLED)
    assert bench.status(ask("BYE", 5, []), CALLED) == 200
    assert bench.last() == Ended(leg, LegEnd("peer", None, "bye"))
    assert bench.advance(100.0) == []
    assert (bench.agent.legs, bench.agent.transactions) == (0, 0)


def test_an_unacknowledged_answer_to_the_called_side_ends_the_call() -> None:
    bench = Bench()
    leg, invite, _ = bench.talk_out()
    bench.receive(called_request(invite, "INVITE", 1, [CONTACT], NEW_OFFER), CALLED)
    bench.take(bench.agent.answer_reoffer(leg, ANSWER, bench.now))
    bench.advance(32.0)
    assert bench.last() == Ended(leg, LegEnd("lost", None, "no-ack"))


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_while_our_invite_is_pending_is_491(method: str) -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 183, [CONTACT], OFFER), CALLED)
    assert bench.last() == Progress(leg, 183, OFFER)
    glare = called_request(invite, method, 1, [CONTACT], NEW_OFFER)
    assert bench.status(glare, CALLED) == 491
    assert bench.agent.answer_reoffer(leg, ANSWER, bench.now) == []


def test_the_dialog_goes_on_by_the_flow_of_the_latest_request() -> None:
    bench, caller = Bench(), Caller(transport="TCP", contact="<sip:a@192.0.2.10;transport=TCP>")
    old = Flow("TCP", "192.0.2.10", 40001, 1)
    new = Flow("TCP", "192.0.2.10", 40002, 2)
    bench.receive(caller.invite(), old)
    leg = bench.leg
    (ok,) = bench.take(bench.agent.accept(leg, ANSWER, bench.now))
    caller.to_tag = ok.message.to.tag
    bench.receive(caller.ack(), old)
    bench.receive(caller.request("OPTIONS", 2), new)
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert bye.flow == Flow("TCP", "192.0.2.10", 5060, 2)
    assert bye.flow != TRUNK


# REFER


def test_a_refer_is_405_and_the_call_goes_on() -> None:
    bench, caller = Bench(), Caller()
    bench.talk_in(caller)
    refer = caller.request("REFER", 2, [("Refer-To", "<sip:+4915738620594@192.0.2.10>")])
    response = bench.response(refer)
    assert response.status == 405
    assert "REFER" not in (response.headers.get("Allow") or "REFER")
    assert bench.told(Ended) == []
    assert bench.status(caller.request("OPTIONS", 3)) == 200
