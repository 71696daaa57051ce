# SPDX-License-Identifier: GPL-3.0-or-later
"""A 2xx is repeated until its ACK comes, and the call is given up in the end (§13.3.1.4)."""

from __future__ import annotations

import pytest

from dialin.wire.agent_events import Acknowledged, Ended, IncomingCall, LegEnd
from dialin.wire.flow import Flow
from dialin.wire.message import Request, Response
from dialin.wire.timers import Timers
from tests.wire.peers import ANSWER, TRUNK, Bench, Caller, answer_to

TCP = Flow("TCP", "192.0.2.10", 41000, 7)


@pytest.mark.parametrize("flow", [TRUNK, TCP])
def test_a_200_is_sent_again_until_64_t1_and_then_a_bye(flow: Flow) -> None:
    bench, caller = Bench(), Caller(transport=flow.transport)
    bench.receive(caller.invite(), flow)
    leg = bench.leg
    bench.take(bench.agent.accept(leg, ANSWER, bench.now))
    *repeats, (bye_at, bye) = bench.advance(32.0)
    # T1, doubling up to T2, then every T2.
    assert [at for at, _ in repeats] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert {bytes(send.message) for _, send in repeats} == {bytes(bench.sent[0][1].message)}
    assert {send.flow for _, send in repeats} == {flow}
    assert isinstance(bye.message, Request)
    assert (bye_at, bye.message.method) == (32.0, "BYE")
    assert bench.last() == Ended(leg, LegEnd("lost", None, "no-ack"))
    assert bench.agent.legs == 1  # until the BYE is answered
    bench.receive(answer_to(bye.message, 481, tag=None), flow)
    assert bench.agent.legs == 0


def test_what_comes_after_the_call_was_given_up_changes_nothing() -> None:
    bench, caller = Bench(), Caller()
    bench.answer_in(caller)
    bench.advance(32.0)
    assert bench.receive(caller.ack()) == []  # the BYE is on its way already
    assert bench.status(caller.request("OPTIONS", 2)) == 481
    assert bench.status(caller.request("BYE", 3)) == 200
    assert len(bench.told(Ended)) == 1


def test_nothing_is_left_when_the_bye_is_not_answered_either() -> None:
    bench = Bench()
    bench.answer_in(Caller())
    bench.advance(200.0)
    assert (bench.agent.legs, bench.agent.transactions) == (0, 0)
    assert bench.agent.next_deadline() is None


def test_the_schedule_follows_the_timers() -> None:
    bench = Bench(timers=Timers(t1_s=0.1, t2_s=0.3))
    bench.answer_in(Caller())
    sent = [round(at, 3) for at, _ in bench.advance(1.0)]
    assert sent == [0.1, 0.3, 0.6, 0.9]


def test_a_repeated_invite_is_one_call_and_the_lost_200_comes_again() -> None:
    bench, caller = Bench(), Caller()
    invite = caller.invite()
    bench.receive(invite)
    bench.take(bench.agent.accept(bench.leg, ANSWER, bench.now))
    for _ in range(10):
        assert bench.receive(invite) == []  # RFC 6026: absorbed; the 200 has its own clock
    assert len(bench.told(IncomingCall)) == 1
    ((at, again),) = bench.advance(0.6)
    assert isinstance(again.message, Response)
    assert (at, again.message.status) == (0.5, 200)


def test_the_ack_ends_the_repeats() -> None:
    bench, caller = Bench(), Caller()
    bench.answer_in(caller)
    bench.advance(2.0)
    bench.receive(caller.ack())
    assert bench.advance(60.0) == []


def test_a_repeated_ack_is_told_once() -> None:
    bench, caller = Bench(), Caller()
    bench.talk_in(caller)
    bench.receive(caller.ack())
    assert len(bench.told(Acknowledged)) == 1


def test_an_ack_with_another_number_tag_or_call_id_is_none() -> None:
    bench, caller = Bench(), Caller()
    bench.answer_in(caller)
    bench.receive(caller.ack(cseq=2))
    bench.receive(Caller(to_tag="guessed").ack())
    bench.receive(Caller(to_tag=caller.to_tag, call_id="guessed").ack())
    assert bench.told(Acknowledged) == []
    bench.receive(caller.ack())
    assert len(bench.told(Acknowledged)) == 1


def test_an_ack_with_the_branch_of_its_invite_counts() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.answer_in(caller)
    bench.receive(caller.request("ACK", branch=caller.branch))
    assert bench.last() == Acknowledged(leg, None)


def test_an_ack_whose_body_is_no_sdp_has_no_answer() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.answer_in(caller, body=b"")
    bench.receive(caller.request("ACK", 1, [("Content-Type", "text/plain")], b"hello"))
    assert bench.last() == Acknowledged(leg, None)


def test_a_bye_of_ours_waits_for_the_ack() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.answer_in(caller)
    assert bench.take(bench.agent.hang_up(leg, bench.now)) == []
    assert bench.last() == Ended(leg, LegEnd("us", None, "bye"))
    assert [at for at, _ in bench.advance(1.0)] == [0.5]  # the 200, again
    (bye,) = bench.receive(caller.ack())
    assert isinstance(bye, Request)
    assert bye.method == "BYE"
    assert bench.told(Acknowledged) == []


def test_a_bye_of_ours_waits_no_longer_than_64_t1() -> None:
    bench = Bench()
    leg = bench.answer_in(Caller())
    bench.take(bench.agent.hang_up(leg, bench.now))
    bye_at, bye = bench.advance(32.0)[-1]
    assert isinstance(bye.message, Request)
    assert (bye_at, bye.message.method) == (32.0, "BYE")
    assert len(bench.told(Ended)) == 1


def test_a_bye_of_the_caller_before_its_ack_ends_the_repeats() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.answer_in(caller)
    assert bench.status(caller.request("BYE", 2)) == 200
    assert bench.last() == Ended(leg, LegEnd("peer", None, "bye"))
    assert bench.advance(100.0) == []
    assert bench.agent.legs == 0


def test_the_repeats_go_to_the_port_that_the_via_names() -> None:
    bench, caller = Bench(), Caller(sent_by="192.0.2.10:5062")
    bench.answer_in(caller)
    ((_, again),) = bench.advance(0.5)
    assert again.flow == Flow("UDP", "192.0.2.10", 5062)
