# SPDX-License-Identifier: GPL-3.0-or-later
"""Who takes which message: dialogs, CANCELs, merged and forged requests, strays, floods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from dialin.wire.agent_events import Acknowledged, Ended, IncomingCall
from dialin.wire.flow import Flow
from dialin.wire.message import MalformedMessage, Request, Response, parse
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
    octets,
)


def test_options_outside_a_dialog_are_told_that_we_are_there() -> None:
    response = Bench().response(Caller().request("OPTIONS"))
    assert response.status == 200
    assert response.headers.get("Allow") == (
        "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO"
    )
    assert response.headers.get("Accept") == "application/sdp"
    assert len(response.to.tag or "") * 4 >= 64


def test_options_are_told_when_no_calls_are_taken() -> None:
    bench = Bench()
    bench.agent.takes_calls = False
    assert bench.status(Caller().request("OPTIONS")) == 503


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "PRACK", "OPTIONS", "INVITE"])
def test_481_for_requests_in_a_dialog_that_there_is_not(method: str) -> None:
    bench = Bench()
    assert bench.status(Caller(to_tag="nobody").request(method, 1)) == 481
    assert bench.events == []


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "PRACK"])
def test_481_for_requests_that_need_a_dialog_and_name_none(method: str) -> None:
    assert Bench().status(Caller().request(method, 1)) == 481


def test_an_ack_to_nothing_is_dropped() -> None:
    assert Bench().receive(Caller(to_tag="nobody").ack()) == []


def test_481_for_a_cancel_without_its_invite() -> None:
    bench, caller = Bench(), Caller()
    caller.branch = "z9hG4bKunknown"
    assert bench.status(caller.cancel()) == 481


def test_a_cancel_with_another_branch_cancels_nothing() -> None:
    bench, caller = Bench(), Caller()
    bench.ring_in(caller)
    caller.branch = "z9hG4bKguessed"
    assert bench.status(caller.cancel()) == 481
    assert bench.told(Ended) == []


def test_482_for_the_copy_of_a_request_that_took_another_path() -> None:
    bench, caller = Bench(), Caller()
    bench.ring_in(caller)
    assert bench.status(caller.invite()) == 482
    assert len(bench.told(IncomingCall)) == 1


def test_482_for_a_call_of_our_own_that_was_sent_back_to_us() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    headers = invite.headers.prepend("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKproxy")
    assert bench.status(bytes(replace(invite, headers=headers))) == 482
    assert bench.told(IncomingCall) == []
    # A call that is over is nobody's loop any more, and another's Call-ID never was.
    bench.take(bench.agent.hang_up(leg, bench.now))
    assert len(bench.agent._core.calling) == 0
    assert bench.receive(Caller().invite()) == []


@pytest.mark.parametrize("hops", [0, 1])
def test_a_request_that_may_go_no_further_has_arrived(hops: int) -> None:
    bench, caller = Bench(), Caller()
    # RFC 3261 §16.3: 483 is for those who would pass it on.
    invite = caller.invite().replace(b"Max-Forwards: 70", b"Max-Forwards: %d" % hops)
    assert bench.receive(invite) == []
    assert len(bench.told(IncomingCall)) == 1
    options = (
        Caller(call_id="o").request("OPTIONS").replace(b"Max-Forwards: 70", b"Max-Forwards: 0")
    )
    assert bench.status(options) == 200


def test_what_we_send_may_go_through_seventy_hands() -> None:
    bench = Bench()
    _, invite, ack = bench.talk_out()
    assert (invite.max_forwards, ack.max_forwards) == (70, 70)


def test_refusals_carry_what_the_peer_needs() -> None:
    response = Bench().response(Caller().request("REGISTER"))
    assert response.status == 405
    assert "INVITE" in (response.headers.get("Allow") or "")


def test_responses_echo_what_came_octet_for_octet() -> None:
    caller = Caller(
        from_='"D\u00f6 \\"<sip:x@y>;tag=no\\"" <sip:+4930;p=1@t.example.net>;verstat=TN;tag=f+%t',
        call_id="a{b}<c>%25@x",
    )
    request = caller.request("OPTIONS", branch="z9hG4bK+a%20b")
    response = Bench().response(request)
    for name in ("From", "Call-ID", "CSeq"):
        assert response.headers.all(name) == parse(request).headers.all(name)
    assert response.via.branch == "z9hG4bK+a%20b"


def test_a_stray_response_is_counted_and_dropped() -> None:
    bench, other = Bench(), Bench()
    _, invite = other.call_out(from_user="1")
    assert bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED) == []
    assert (bench.agent.strays, bench.events) == (1, [])


def test_a_response_to_a_cancel_of_ours_interests_nobody() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    (cancel,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert isinstance(cancel.message, Request)
    assert bench.receive(answer_to(cancel.message, 200), CALLED) == []


def test_what_cannot_be_understood_is_answered_to_where_it_came_from() -> None:
    bench = Bench()
    data = octets("OPTIONS sip:a@b SIP/2.0", [("Via", "SIP/2.0/UDP victim.example.net")])
    with pytest.raises(MalformedMessage) as caught:
        parse(data)
    (send,) = bench.take(bench.agent.receive_malformed(caught.value, TRUNK))
    assert isinstance(send.message, Response)
    assert (send.message.status, send.flow) == (400, TRUNK)


def test_what_deserves_no_answer_gets_none() -> None:
    assert Bench().agent.receive_malformed(MalformedMessage("noise"), TRUNK) == []


def test_calls_that_nobody_acknowledges_do_not_pile_up() -> None:
    bench = Bench(max_half_open=3)
    callers = [Caller(call_id=f"call{number}") for number in range(5)]
    bench.answer_in(callers[0])
    bench.ring_in(callers[1])
    bench.ring_in(callers[2])
    refused = bench.response(callers[3].invite())
    assert (refused.status, "Retry-After" in refused.headers) == (503, True)
    bench.receive(callers[0].ack())  # one is a call now
    bench.ring_in(Caller(call_id="again"))
    bench.receive(callers[2].cancel())  # and one is gone
    bench.ring_in(callers[4])
    assert len(bench.told(IncomingCall)) == 5


@pytest.mark.parametrize(
    "line",
    [("m", "<sip:a@>"), ("Record-Route", "<sip:a@b:99999>"), ("Record-Route", "<<>>")],
)
def test_400_for_a_call_that_nothing_could_be_sent_back_to(line: tuple[str, str]) -> None:
    bench = Bench()
    assert bench.status(Caller().request("INVITE", 1, [line], OFFER)) == 400
    assert (bench.events, bench.agent.legs) == ([], 0)


def test_a_leg_that_is_gone_takes_no_harm() -> None:
    bench = Bench()
    agent = bench.agent
    assert agent.accept("gone", ANSWER, 0.0) == []
    assert agent.reject("gone", 486, 0.0) == []
    assert agent.provisional("gone", 180, None, 0.0) == []
    assert agent.hang_up("gone", 0.0) == []
    assert agent.answer_reoffer("gone", None, 0.0) == []


def test_a_leg_of_the_other_kind_cannot_be_answered() -> None:
    bench = Bench()
    leg, _ = bench.call_out()
    assert bench.agent.accept(leg, ANSWER, 0.0) == []


def test_an_idle_agent_waits_for_nothing() -> None:
    agent = Bench().agent
    assert agent.next_deadline() is None
    assert agent.fire(1e9) == []


def test_the_deadline_is_the_earliest_of_all() -> None:
    bench = Bench()
    bench.call_out()
    assert bench.agent.next_deadline() == 0.5  # timer A
    bench.ring_in(Caller())
    assert bench.agent.next_deadline() == 0.2  # the 100


FORGERIES = [
    {"call_id": "guessed"},
    {"to_tag": "guessed"},
    {"from_": '"Ada" <sip:+493012345678@trunk.example.net>;tag=guessed'},
    {"from_": '"Ada" <sip:+493012345678@trunk.example.net>'},
]


@pytest.mark.parametrize("changes", FORGERIES)
@pytest.mark.parametrize("method", ["BYE", "INVITE", "UPDATE", "INFO", "ACK", "OPTIONS"])
def test_a_request_with_one_wrong_identifier_belongs_to_no_call(
    method: str, changes: dict[str, Any]
) -> None:
    bench, caller = Bench(), Caller()
    bench.answer_in(caller)
    events = list(bench.events)
    forger = Caller(**{"to_tag": caller.to_tag, **changes})
    sent = bench.receive(forger.request(method, 2, body=NEW_OFFER if method == "INVITE" else b""))
    assert [getattr(message, "status", None) for message in sent] == (
        [] if method == "ACK" else [481]
    )
    assert bench.events == events
    bench.receive(caller.ack())
    assert isinstance(bench.last(), Acknowledged)


def assert_nothing_is_remembered(bench: Bench) -> None:
    """No table of the agent has an entry left."""
    core = bench.agent._core
    assert (core.legs, core.dialogs, core.half_open) == ({}, {}, set())
    assert (core.requesters, core.cancellable, len(core.alarms)) == ({}, {}, 0)


def test_a_call_each_way_leaves_no_entry_in_any_table() -> None:
    bench, caller = Bench(), Caller()
    bench.talk_in(caller)
    bench.receive(caller.request("BYE", 2))
    leg, _, _ = bench.talk_out()
    bench.take(bench.agent.hang_up(leg, bench.now))
    bench.advance(200.0)
    assert_nothing_is_remembered(bench)


class AnyOrder(RuleBasedStateMachine):
    """Whatever comes in whatever order: nothing raises, each leg ends once, nothing stays."""

    @initialize()
    def begin(self) -> None:
        self.bench = Bench()
        self.caller = Caller()
        self.cseq = 1
        self.leg = ""
        self.leg_out, self.invite_out = self.bench.call_out()
        self.cancel_out: Request | None = None
        self.requests_out: list[Request] = [self.invite_out]

    def keep(self, messages: list[Any]) -> None:
        """Remember what the far ends may answer."""
        for message in messages:
            if isinstance(message, Request) and message.method != "ACK":
                self.requests_out.append(message)
            elif isinstance(message, Response) and self.is_for_a_dialog(message):
                self.caller.to_tag = message.to.tag

    def is_for_a_dialog(self, response: Response) -> bool:
        """Whether the caller learns our tag from this."""
        is_dialogs = response.cseq.method == "INVITE" and 100 < response.status < 300
        return is_dialogs and response.call_id == self.caller.call_id

    def act(self, outputs: list[Any]) -> None:
        self.keep([send.message for send in self.bench.take(outputs)])

    def hear(self, data: bytes, flow: Flow = TRUNK) -> None:
        self.keep(self.bench.receive(data, flow))
        self.leg = next((e.leg for e in reversed(self.bench.told(IncomingCall))), "")

    @rule(lines=st.sampled_from([[], [("Require", "100rel")]]))
    def invite(self, lines: list[tuple[str, str]]) -> None:
        self.hear(self.caller.invite(cseq=self.cseq, lines=lines))

    @rule(back=st.integers(0, 2))
    def prack(self, back: int) -> None:
        self.cseq += 1
        numbers = [send.message.headers.get("RSeq") for _, send in self.bench.sent]
        rseq = ([number for number in numbers if number] or ["1"])[-1]
        rack = ("RAck", f"{rseq} {max(0, self.cseq - 1 - back)} INVITE")
        self.hear(self.caller.request("PRACK", self.cseq, [rack]))

    @rule(method=st.sampled_from(["INVITE", "UPDATE", "INFO", "OPTIONS", "PRACK", "BYE"]))
    def request(self, method: str) -> None:
        self.cseq += 1
        lines = [("Contact", self.caller.contact)]
        self.hear(self.caller.request(method, self.cseq, lines, OFFER))

    @rule(back=st.integers(0, 2))
    def ack(self, back: int) -> None:
        self.hear(self.caller.ack(max(0, self.cseq - back)))

    @rule()
    def cancel(self) -> None:
        self.hear(self.caller.cancel(self.cseq))

    @rule(
        wish=st.sampled_from(
            ["accept", "reject", "ring", "progress", "hang_up", "reoffer", "refuse"]
        )
    )
    def wish(self, wish: str) -> None:
        agent, now = self.bench.agent, self.bench.now
        for leg in (self.leg, self.leg_out):
            match wish:
                case "accept":
                    self.act(agent.accept(leg, ANSWER, now))
                case "reject":
                    self.act(agent.reject(leg, 486, now))
                case "ring":
                    self.act(agent.provisional(leg, 180, None, now))
                case "progress":
                    self.act(agent.provisional(leg, 183, ANSWER, now))
                case "hang_up":
                    self.act(agent.hang_up(leg, now))
                case "reoffer":
                    self.act(agent.answer_reoffer(leg, ANSWER, now))
                case "refuse":
                    self.act(agent.answer_reoffer(leg, None, now))

    @rule(
        pick=st.integers(0, 30),
        status=st.sampled_from([100, 180, 183, 200, 404, 487, 503]),
        tag=st.sampled_from(["ct1", "ct2", None]),
        body=st.sampled_from([b"", OFFER]),
        rseq=st.sampled_from([None, 1, 2]),
    )
    def respond(
        self, pick: int, status: int, tag: str | None, body: bytes, rseq: int | None
    ) -> None:
        request = self.requests_out[pick % len(self.requests_out)]
        lines = [CONTACT, *([("Require", "100rel"), ("RSeq", str(rseq))] if rseq else [])]
        self.hear(answer_to(request, status, lines, body, tag=tag), CALLED)

    @precondition(lambda self: self.bench.now < 500)
    @rule(seconds=st.sampled_from([0.1, 0.6, 5.0, 33.0]))
    def wait(self, seconds: float) -> None:
        self.keep([send.message for _, send in self.bench.advance(self.bench.now + seconds)])

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        bench = self.bench
        for leg in (self.leg, self.leg_out):
            self.act(bench.agent.hang_up(leg, bench.now))
        for call in bench.told(IncomingCall):
            self.act(bench.agent.hang_up(call.leg, bench.now))
        bench.advance(bench.now + 300.0)
        assert (bench.agent.legs, bench.agent.transactions) == (0, 0)
        assert bench.agent.next_deadline() is None
        assert_nothing_is_remembered(bench)
        ended = [event.leg for event in bench.told(Ended)]
        assert len(ended) == len(set(ended))
        assert set(ended) == {e.leg for e in bench.told(IncomingCall)} | {self.leg_out}


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAnyOrder = AnyOrder.TestCase
