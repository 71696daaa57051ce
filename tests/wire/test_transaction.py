# SPDX-License-Identifier: GPL-3.0-or-later
"""The transaction layer as a call's messages see it: repeats, ACKs, CANCEL, forgeries, overload.

The machines, their timers, and random events in random order have tests of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.flow import Flow
from dialin.wire.message import Request, Response, parse
from dialin.wire.transaction import (
    Deliver,
    Finished,
    Send,
    TimedOut,
    Timers,
    TransactionKey,
    TransactionLayer,
)

from .sip_samples import BRANCH, TCP, UDP, ack, request, response
from .transaction_time import assert_nothing_is_left, run_down

NOW = 1_000.0
TORTURE = Path(__file__).parents[3] / "shared" / "data" / "sip-torture" / "rfc4475"
needs_torture = pytest.mark.skipif(not TORTURE.is_dir(), reason="no torture messages here")


@pytest.fixture
def layer() -> TransactionLayer:
    return TransactionLayer()


def begin(layer: TransactionLayer, received: Request, flow: Flow = UDP) -> TransactionKey:
    """Receive a request; the key that it is delivered with."""
    (delivered,) = layer.receive(received, flow, NOW)
    assert isinstance(delivered, Deliver)
    assert delivered.key is not None
    return delivered.key


class TestReceivedRequests:
    def test_an_invite_sent_ten_times_is_one_call(self, layer: TransactionLayer) -> None:
        outputs = [output for _ in range(10) for output in layer.receive(request(), UDP, NOW)]
        assert [output for output in outputs if isinstance(output, Deliver)] == [
            Deliver(request(), UDP, begin(TransactionLayer(), request()))
        ]
        assert len(layer) == 1

    def test_an_accepted_invite_that_is_repeated_is_no_new_call(
        self, layer: TransactionLayer
    ) -> None:
        layer.respond(begin(layer, request()), response(request(), 200), NOW)
        assert layer.receive(request(), UDP, NOW + 31) == []
        assert len(layer) == 1

    def test_the_core_sees_where_a_request_truly_came_from(self, layer: TransactionLayer) -> None:
        nat = Flow("UDP", "203.0.113.9", 40_001)
        (delivered,) = layer.receive(request(via_params=";rport"), nat, NOW)
        assert isinstance(delivered, Deliver)
        assert isinstance(delivered.message, Request)
        assert (delivered.message.via.received, delivered.message.via.rport) == (nat.host, nat.port)
        assert delivered.flow == nat

    def test_responses_take_the_way_back_of_rfc3581(self, layer: TransactionLayer) -> None:
        nat = Flow("UDP", "203.0.113.9", 40_001)
        key = begin(layer, request(via_params=";rport"), nat)
        busy = response(request(), 486)
        assert layer.respond(key, busy, NOW) == [Send(busy, nat)]

    def test_a_response_to_nothing_known_is_not_sent(self, layer: TransactionLayer) -> None:
        other = begin(TransactionLayer(), request())
        assert layer.respond(other, response(request(), 200), NOW) == []

    def test_over_a_stream_an_answered_request_is_done(self, layer: TransactionLayer) -> None:
        options = request("OPTIONS")
        key = begin(layer, options, TCP)
        ok = response(options, 200)
        assert layer.respond(key, ok, NOW) == [Send(ok, TCP), Finished(key)]
        assert_nothing_is_left(layer)

    def test_one_branch_for_everything_is_a_transaction_for_each_request(
        self, layer: TransactionLayer
    ) -> None:
        keys = {begin(layer, request(cseq=n, call_id=f"c{n}")) for n in range(5)}
        assert len(keys) == len(layer) == 5


class TestReceivedAcks:
    def test_to_a_refusal_it_is_absorbed(self, layer: TransactionLayer) -> None:
        key = begin(layer, request())
        layer.respond(key, response(request(), 486), NOW)
        assert layer.receive(ack(request()), UDP, NOW) == []
        assert layer.receive(ack(request()), UDP, NOW) == []
        assert run_down(layer) == [Finished(key)]

    def test_to_a_2xx_it_is_delivered_and_has_no_transaction(self, layer: TransactionLayer) -> None:
        layer.respond(begin(layer, request()), response(request(), 200), NOW)
        for branch in ("z9hG4bK.ack", BRANCH):  # its own, or by some peers the INVITE's
            acknowledgement = ack(request(), branch=branch)
            assert layer.receive(acknowledgement, UDP, NOW) == [Deliver(acknowledgement, UDP, None)]

    def test_a_refusal_without_an_ack_is_told(self, layer: TransactionLayer) -> None:
        key = begin(layer, request())
        layer.respond(key, response(request(), 486), NOW)
        assert run_down(layer)[-2:] == [TimedOut(key), Finished(key)]


class TestSentRequests:
    def test_a_response_reaches_the_core_with_the_key_of_its_request(
        self, layer: TransactionLayer
    ) -> None:
        key, sent = layer.request(request("BYE"), UDP, NOW)
        assert sent == [Send(request("BYE"), UDP)]
        ok = response(request("BYE"), 200)
        assert layer.receive(ok, UDP, NOW) == [Deliver(ok, UDP, key)]
        assert layer.receive(ok, UDP, NOW) == []
        assert layer.strays == 0

    def test_a_stray_response_is_dropped_and_counted(self, layer: TransactionLayer) -> None:
        assert layer.receive(response(request(), 200), UDP, NOW) == []
        assert layer.strays == 1
        assert_nothing_is_left(layer)

    def test_each_further_200_is_delivered_so_that_it_can_be_acknowledged(
        self, layer: TransactionLayer
    ) -> None:
        key, _ = layer.request(request(), UDP, NOW)
        for tag in ("one", "one", "another"):
            ok = response(request(), 200, to_tag=tag)
            assert layer.receive(ok, UDP, NOW) == [Deliver(ok, UDP, key)]

    @pytest.mark.parametrize("method", ["ACK", "INVITE"])
    def test_an_ack_or_a_branch_in_use_is_our_own_mistake(
        self, layer: TransactionLayer, method: str
    ) -> None:
        layer.request(request(), UDP, NOW)
        with pytest.raises(ValueError, match="branch"):
            layer.request(request(method), UDP, NOW)

    def test_a_request_can_have_timers_of_its_own(self, layer: TransactionLayer) -> None:
        layer.request(request("REGISTER"), UDP, NOW, timers=Timers(t1_s=1.0))
        layer.request(request("OPTIONS"), UDP, NOW)
        assert layer.next_deadline() == NOW + 0.5
        layer.fire(NOW + 0.5)
        assert layer.next_deadline() == NOW + 1.0

    def test_an_abandoned_request_is_not_repeated_and_its_answer_is_a_stray(
        self, layer: TransactionLayer
    ) -> None:
        key, _ = layer.request(request("OPTIONS"), UDP, NOW)
        assert layer.abandon(key) == [Finished(key)]
        assert layer.abandon(key) == []
        assert layer.next_deadline() is None
        assert layer.receive(response(request("OPTIONS"), 200), UDP, NOW) == []
        assert layer.strays == 1
        assert_nothing_is_left(layer)

    def test_a_cancelled_invite_without_an_answer_ends(self, layer: TransactionLayer) -> None:
        invite, _ = layer.request(request(), UDP, NOW)
        layer.receive(response(request(), 180), UDP, NOW)
        assert layer.next_deadline() is None
        cancel, _ = layer.request(request("CANCEL"), UDP, NOW + 60)
        layer.receive(response(request("CANCEL"), 200), UDP, NOW + 60)
        assert layer.fire(NOW + 65) == [Finished(cancel)]
        assert layer.next_deadline() == NOW + 92
        assert layer.fire(NOW + 92) == [TimedOut(invite), Finished(invite)]
        assert_nothing_is_left(layer)

    def test_a_cancel_of_an_invite_that_is_gone_is_sent_all_the_same(
        self, layer: TransactionLayer
    ) -> None:
        key, outputs = layer.request(request("CANCEL"), UDP, NOW)
        assert outputs == [Send(request("CANCEL"), UDP)]
        assert key.method == "CANCEL"

    def test_a_broken_connection_fails_what_was_sent_by_it(self, layer: TransactionLayer) -> None:
        lost, _ = layer.request(request("BYE", cseq=1), TCP, NOW)
        other = Flow("TCP", TCP.host, TCP.port, connection=8)
        layer.request(request("BYE", cseq=2), other, NOW)
        received = begin(layer, request("OPTIONS"), TCP)
        assert layer.transport_failed(TCP, NOW) == [TimedOut(lost, status=503), Finished(lost)]
        assert len(layer) == 2
        ok = response(request("OPTIONS"), 200)
        assert layer.respond(received, ok, NOW)[0] == Send(ok, TCP)


class TestCancel:
    def test_it_finds_its_invite_whether_or_not_that_is_answered(
        self, layer: TransactionLayer
    ) -> None:
        key = begin(layer, request())
        begin(layer, request("CANCEL"))
        assert layer.cancelled(request("CANCEL")) == key
        layer.respond(key, response(request(), 200), NOW)
        assert layer.cancelled(request("CANCEL")) == key

    def test_it_finds_nothing_once_the_invite_is_gone(self, layer: TransactionLayer) -> None:
        layer.respond(begin(layer, request()), response(request(), 200), NOW)
        run_down(layer)
        assert layer.cancelled(request("CANCEL")) is None

    def test_it_finds_no_other_request(self, layer: TransactionLayer) -> None:
        begin(layer, request("OPTIONS"))
        assert layer.cancelled(request("CANCEL")) is None


class TestMergedRequests:
    """RFC 3261 §8.2.2.2: one request that reaches us by two paths."""

    def test_the_second_copy_is_merged(self, layer: TransactionLayer) -> None:
        one, other = request(), request(branch="z9hG4bK.fork", sent_by="proxy.example")
        begin(layer, one)
        assert not layer.is_merged(one)
        begin(layer, other)
        assert layer.is_merged(other)

    @pytest.mark.parametrize(
        "change",
        [{"from_": "<sip:caller@x>;tag=2"}, {"call_id": "2"}, {"cseq": 2}, {"method": "OPTIONS"}],
        ids=str,
    )
    def test_another_request_is_not(self, layer: TransactionLayer, change: dict[str, Any]) -> None:
        begin(layer, request())
        other = request(**({"branch": "z9hG4bK.other"} | change))
        begin(layer, other)
        assert not layer.is_merged(other)

    def test_within_a_dialog_nothing_is(self, layer: TransactionLayer) -> None:
        in_dialog = "<sip:bridge@198.51.100.7>;tag=to1"
        begin(layer, request(to=in_dialog))
        other = request(to=in_dialog, branch="z9hG4bK.other")
        begin(layer, other)
        assert not layer.is_merged(other)

    def test_once_the_first_copy_is_gone_the_request_is_new(self, layer: TransactionLayer) -> None:
        layer.respond(begin(layer, request()), response(request(), 486), NOW)
        run_down(layer)
        other = request(branch="z9hG4bK.fork")
        assert not layer.is_merged(other)

    def test_the_first_copy_is_remembered_while_the_second_is_gone(
        self, layer: TransactionLayer
    ) -> None:
        begin(layer, request("OPTIONS"), TCP)
        second = request("OPTIONS", branch="z9hG4bK.fork")
        layer.respond(begin(layer, second, TCP), response(second, 482), NOW)
        assert layer.is_merged(request("OPTIONS", branch="z9hG4bK.third"))


@pytest.mark.parametrize("branch", [None, "1", "z9hG4bK"])
class TestRfc2543Peers:
    def test_a_call_that_is_refused(self, layer: TransactionLayer, branch: str | None) -> None:
        invite = request(branch=branch, from_="<sip:caller@192.0.2.1>")
        key = begin(layer, invite)
        assert layer.receive(invite, UDP, NOW) == [Send(response(invite, 100, to_tag=None), UDP)]
        layer.respond(key, response(invite, 486), NOW)
        acknowledgement = request(
            "ACK",
            branch=branch,
            from_="<sip:caller@192.0.2.1>",
            to="<sip:bridge@198.51.100.7>;tag=to1",
        )
        assert layer.receive(acknowledgement, UDP, NOW) == []
        assert run_down(layer) == [Finished(key)]

    def test_a_call_that_is_cancelled(self, layer: TransactionLayer, branch: str | None) -> None:
        key = begin(layer, request(branch=branch))
        assert layer.cancelled(request("CANCEL", branch=branch)) == key
        assert layer.cancelled(request("CANCEL", branch=branch, uri="sip:x@y.example")) is None

    def test_a_reinvite_that_is_refused(self, layer: TransactionLayer, branch: str | None) -> None:
        reinvite = request(branch=branch, to="<sip:bridge@198.51.100.7>;tag=to1", cseq=2)
        key = begin(layer, reinvite)
        layer.respond(key, response(reinvite, 488), NOW)
        assert layer.receive(ack(request(), branch=branch, cseq=2), UDP, NOW) == []
        assert run_down(layer) == [Finished(key)]

    def test_an_ack_with_the_wrong_to_tag_ends_nothing(
        self, layer: TransactionLayer, branch: str | None
    ) -> None:
        key = begin(layer, request(branch=branch))
        layer.respond(key, response(request(branch=branch), 486), NOW)
        assert layer.receive(ack(request(), branch=branch, to_tag="forged"), UDP, NOW) == []
        assert run_down(layer)[-2:] == [TimedOut(key), Finished(key)]


@needs_torture
@pytest.mark.parametrize("name", ["badbranch", "inv2543"])
def test_torture_messages_without_a_proper_branch_are_one_transaction(
    layer: TransactionLayer, name: str
) -> None:
    message = parse((TORTURE / f"{name}.dat").read_bytes())
    assert isinstance(message, Request)
    key = begin(layer, message)
    layer.receive(message, UDP, NOW)
    assert len(layer) == 1
    assert key.legacy is not None


IDENTIFIERS: dict[str, Any] = {
    "branch": st.text("abc", min_size=1).map(lambda tail: f"z9hG4bK.{tail}"),
    "sent_by": st.integers(1, 65_535).filter(lambda port: port != 5060).map("192.0.2.1:{}".format),
    "call_id": st.text("abc@.", min_size=1, max_size=30),
    "from_": st.text("abc", min_size=1).map(lambda tag: f"<sip:caller@192.0.2.1>;tag={tag}"),
    "cseq": st.integers(0, 2**31 - 1).filter(lambda number: number != 1),
}
FORGERIES = st.sampled_from(sorted(IDENTIFIERS)).flatmap(
    lambda name: st.builds(lambda value: {name: value}, IDENTIFIERS[name])
)


class TestForgeries:
    """Whoever does not know every identifier of a transaction does not reach it."""

    @given(FORGERIES)
    def test_a_forged_cancel_means_nothing(self, forgery: dict[str, Any]) -> None:
        layer = TransactionLayer()
        begin(layer, request())
        assert layer.cancelled(request("CANCEL", **forgery)) is None

    @given(FORGERIES | st.just({"to": "<sip:bridge@198.51.100.7>;tag=forged"}))
    def test_a_forged_ack_ends_no_refusal(self, forgery: dict[str, Any]) -> None:
        layer = TransactionLayer()
        key = begin(layer, request())
        layer.respond(key, response(request(), 486), NOW)
        right = {"to": "<sip:bridge@198.51.100.7>;tag=to1"}
        layer.receive(request("ACK", **(right | forgery)), UDP, NOW)
        assert run_down(layer)[-2:] == [TimedOut(key), Finished(key)]

    @given(FORGERIES, st.sampled_from(["INVITE", "BYE"]), st.sampled_from([100, 200, 486]))
    def test_a_forged_response_is_a_stray(
        self, forgery: dict[str, Any], method: str, status: int
    ) -> None:
        layer = TransactionLayer()
        layer.request(request(method), UDP, NOW)
        assert layer.receive(response(request(method, **forgery), status), UDP, NOW) == []
        assert layer.strays == 1

    def test_a_response_to_another_method_is_a_stray(self, layer: TransactionLayer) -> None:
        layer.request(request(), UDP, NOW)
        assert layer.receive(response(request("CANCEL"), 200), UDP, NOW) == []
        assert layer.strays == 1


class TestOverload:
    def full(self) -> TransactionLayer:
        layer = TransactionLayer(max_transactions=4)
        for number in range(4):
            begin(layer, request(call_id=f"call-{number}"))
        return layer

    def test_a_request_too_many_is_answered_503_and_not_remembered(self) -> None:
        layer = self.full()
        (sent,) = layer.receive(request(call_id="one-more"), UDP, NOW)
        assert isinstance(sent, Send)
        assert isinstance(sent.message, Response)
        assert sent.message.status == 503
        assert 5 <= int(sent.message.headers.get("Retry-After") or "") <= 30
        assert sent.message.to.tag
        assert (len(layer), layer.refused) == (4, 1)

    def test_each_repeat_of_it_gets_the_same_answer_by_the_way_back(self) -> None:
        layer = self.full()
        nat = Flow("UDP", "203.0.113.9", 40_001)
        late = request(call_id="one-more", via_params=";rport")
        first, second = (layer.receive(late, nat, NOW + n) for n in range(2))
        assert first == second
        (sent,) = first
        assert isinstance(sent, Send)
        assert sent.flow == nat
        assert isinstance(sent.message, Response)
        assert sent.message.via.rport == 40_001

    def test_answers_differ_from_call_to_call_so_that_not_all_come_back_at_once(self) -> None:
        layer = self.full()
        waits = set()
        for number in range(50):
            (sent,) = layer.receive(request(call_id=f"late-{number}"), UDP, NOW)
            assert isinstance(sent, Send)
            waits.add(sent.message.headers.get("Retry-After"))
        assert len(waits) > 10

    def test_a_repeat_of_what_is_known_is_no_request_too_many(self) -> None:
        layer = self.full()
        layer.receive(request(call_id="call-0"), UDP, NOW)
        assert layer.refused == 0

    def test_calls_can_end_when_none_can_begin(self) -> None:
        layer = self.full()
        bye = request("BYE", to="<sip:bridge@198.51.100.7>;tag=to1")
        (delivered,) = layer.receive(bye, UDP, NOW)
        assert isinstance(delivered, Deliver)
        assert layer.receive(request("CANCEL", call_id="call-0"), UDP, NOW) != []
        assert (layer.refused, len(layer)) == (1, 5)

    def test_a_cancel_is_taken_from_the_reserve_too(self) -> None:
        layer = self.full()
        begin(layer, request("CANCEL", call_id="call-0"))
        assert layer.refused == 0

    def test_our_own_requests_are_never_refused(self) -> None:
        layer = self.full()
        for number in range(10):
            layer.request(request("BYE", cseq=number), UDP, NOW)
        assert len(layer) == 14

    def test_room_comes_back_with_the_end_of_a_transaction(self) -> None:
        layer = TransactionLayer(max_transactions=1)
        key = begin(layer, request("OPTIONS"), TCP)
        layer.respond(key, response(request("OPTIONS"), 200), NOW)
        begin(layer, request("OPTIONS", cseq=2), TCP)
        assert layer.refused == 0


class TestTheClock:
    def test_transactions_fire_in_the_order_of_their_deadlines(
        self, layer: TransactionLayer
    ) -> None:
        for number, at in enumerate((2.0, 0.0, 1.0)):
            layer.request(request("OPTIONS", cseq=number), UDP, NOW + at)
        sent = layer.fire(NOW + 2.5)
        assert [output.message.cseq.number for output in sent if isinstance(output, Send)] == [
            1,
            2,
            0,
        ]

    def test_a_deadline_that_is_void_wakes_nobody(self, layer: TransactionLayer) -> None:
        layer.request(request(), UDP, NOW)
        layer.receive(response(request(), 180), UDP, NOW)
        assert layer.next_deadline() is None
        assert layer.fire(NOW + 100) == []
