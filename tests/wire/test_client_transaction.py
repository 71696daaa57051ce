# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 3261 figures 5 and 6 with RFC 6026: what each response does in each client state.

Timers are in `test_timers`; here the arrows that messages make.
"""

from __future__ import annotations

import pytest

from dialin.wire.client_transaction import (
    ClientInviteTransaction,
    ClientNonInviteTransaction,
    ClientTransaction,
)
from dialin.wire.flow import Flow
from dialin.wire.message import Request
from dialin.wire.timers import Timers
from dialin.wire.transaction_key import client_key
from dialin.wire.transaction_state import Deliver, Send, State, TimedOut

from .sip_samples import TCP, UDP, request, response

NOW = 1_000.0
ROUTED = request(
    extra=("Route: <sip:p1.example;lr>, <sip:p2.example;lr>", "Route: <sip:p3.example;lr>")
)


def client(sent: Request, flow: Flow = UDP, *statuses: int) -> ClientTransaction:
    """A transaction that has heard these responses."""
    kind = ClientInviteTransaction if sent.method == "INVITE" else ClientNonInviteTransaction
    transaction = kind(client_key(sent), sent, flow, Timers(), NOW)
    transaction.start()
    for status in statuses:
        transaction.receive(response(sent, status), flow, NOW)
    return transaction


HEARD = {
    "CALLING": (),
    "PROCEEDING": (180,),
    "ACCEPTED": (200,),
    "COMPLETED": (486,),
}
ARROWS = [
    # state, response, next state, what goes out
    ("CALLING", 100, "PROCEEDING", ["deliver"]),
    ("CALLING", 200, "ACCEPTED", ["deliver"]),
    ("CALLING", 302, "COMPLETED", ["ack", "deliver"]),
    ("CALLING", 699, "COMPLETED", ["ack", "deliver"]),
    ("PROCEEDING", 199, "PROCEEDING", ["deliver"]),
    ("PROCEEDING", 200, "ACCEPTED", ["deliver"]),
    ("PROCEEDING", 486, "COMPLETED", ["ack", "deliver"]),
    ("ACCEPTED", 180, "ACCEPTED", []),
    ("ACCEPTED", 200, "ACCEPTED", ["deliver"]),
    ("ACCEPTED", 486, "ACCEPTED", []),
    ("COMPLETED", 180, "COMPLETED", []),
    ("COMPLETED", 200, "COMPLETED", []),
    ("COMPLETED", 486, "COMPLETED", ["ack"]),
]


@pytest.mark.parametrize(("state", "status", "then", "what"), ARROWS)
def test_invite(state: str, status: int, then: str, what: list[str]) -> None:
    transaction = client(request(), UDP, *HEARD[state])
    assert transaction.state is State[state]
    came = response(request(), status)
    outputs = transaction.receive(came, UDP, NOW)
    assert transaction.state is State[then]
    assert ["ack" if isinstance(output, Send) else "deliver" for output in outputs] == what
    if "deliver" in what:
        assert outputs[-1] == Deliver(came, UDP, transaction.key)


NON_INVITE_HEARD = {"TRYING": (), "PROCEEDING": (100,), "COMPLETED": (200,)}
NON_INVITE_ARROWS = [
    ("TRYING", 100, "PROCEEDING", True),
    ("TRYING", 200, "COMPLETED", True),
    ("TRYING", 481, "COMPLETED", True),
    ("PROCEEDING", 183, "PROCEEDING", True),
    ("PROCEEDING", 200, "COMPLETED", True),
    ("PROCEEDING", 603, "COMPLETED", True),
    ("COMPLETED", 100, "COMPLETED", False),
    ("COMPLETED", 200, "COMPLETED", False),
    ("COMPLETED", 500, "COMPLETED", False),
]


@pytest.mark.parametrize(("state", "status", "then", "is_delivered"), NON_INVITE_ARROWS)
def test_any_other_request(state: str, status: int, then: str, is_delivered: bool) -> None:
    sent = request("BYE")
    transaction = client(sent, UDP, *NON_INVITE_HEARD[state])
    assert transaction.state is State[state]
    came = response(sent, status)
    expected = [Deliver(came, UDP, transaction.key)] if is_delivered else []
    assert transaction.receive(came, UDP, NOW) == expected
    assert transaction.state is State[then]


def test_over_a_stream_an_answer_is_the_end() -> None:
    transaction = client(request("BYE"), TCP, 200)
    assert transaction.state is State.TERMINATED
    assert transaction.deadline is None


class TestAckToARefusal:
    """RFC 3261 §17.1.1.3: by the transaction itself, from the INVITE and the response."""

    def test_it_copies_what_the_invite_and_the_response_say(self) -> None:
        (sent, _) = client(ROUTED).receive(response(ROUTED, 486, to_tag="refuser"), UDP, NOW)
        assert isinstance(sent, Send)
        assert sent.flow is UDP
        assert isinstance(sent.message, Request)
        assert bytes(sent.message).decode().splitlines() == [
            "ACK sip:bridge@198.51.100.7 SIP/2.0",
            "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK.6f2a",
            "Max-Forwards: 70",
            "Route: <sip:p1.example;lr>, <sip:p2.example;lr>",
            "Route: <sip:p3.example;lr>",
            "From: <sip:caller@192.0.2.1>;tag=from1",
            "To: <sip:bridge@198.51.100.7>;tag=refuser",
            "Call-ID: a84b4c76e66710@192.0.2.1",
            "CSeq: 1 ACK",
            "Content-Length: 0",
            "",
        ]

    def test_it_goes_where_the_invite_went(self) -> None:
        came_by = Flow("UDP", "203.0.113.1", 9)
        (sent, _) = client(request()).receive(response(request(), 486), came_by, NOW)
        assert isinstance(sent, Send)
        assert sent.flow is UDP


class TestCancelledInvite:
    """RFC 3261 §9.1: 64*T1 after the CANCEL the INVITE counts as cancelled."""

    def test_without_a_final_response_it_times_out(self) -> None:
        transaction = client(request(), UDP, 180)
        assert isinstance(transaction, ClientInviteTransaction)
        assert transaction.deadline is None
        transaction.cancelled(NOW + 5)
        assert transaction.fire(NOW + 36.999) == []
        assert transaction.fire(NOW + 37) == [TimedOut(transaction.key)]
        assert transaction.state is State.TERMINATED

    def test_further_ringing_does_not_prolong_it(self) -> None:
        transaction = client(request(), UDP, 180)
        assert isinstance(transaction, ClientInviteTransaction)
        transaction.cancelled(NOW)
        transaction.receive(response(request(), 183), UDP, NOW + 30)
        assert transaction.deadline == NOW + 32

    @pytest.mark.parametrize("statuses", [(), (200,), (486,)])
    def test_in_any_other_state_its_own_timers_go_on(self, statuses: tuple[int, ...]) -> None:
        transaction = client(request(), UDP, *statuses)
        assert isinstance(transaction, ClientInviteTransaction)
        before = transaction.deadline
        transaction.cancelled(NOW + 5)
        assert transaction.deadline == before


class TestTransportFailure:
    @pytest.mark.parametrize(
        ("method", "statuses"), [("INVITE", ()), ("INVITE", (180,)), ("BYE", ()), ("BYE", (100,))]
    )
    def test_a_request_without_an_answer_counts_as_503(
        self, method: str, statuses: tuple[int, ...]
    ) -> None:
        transaction = client(request(method), TCP, *statuses)
        assert transaction.transport_failed(NOW) == [TimedOut(transaction.key, status=503)]
        assert transaction.state is State.TERMINATED
        assert transaction.deadline is None

    @pytest.mark.parametrize(("method", "status"), [("INVITE", 200), ("INVITE", 486), ("BYE", 200)])
    def test_an_answered_request_is_not_touched(self, method: str, status: int) -> None:
        transaction = client(request(method), UDP, status)
        state, deadline = transaction.state, transaction.deadline
        assert transaction.transport_failed(NOW + 1) == []
        assert (transaction.state, transaction.deadline) == (state, deadline)
