# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 3261 figures 7 and 8 with RFC 6026: what repeats, answers and ACKs do in each server state.

Timers are in `test_timers`; here the arrows that messages make.
"""

from __future__ import annotations

import pytest

from dialin.wire.message import Request
from dialin.wire.server_transaction import ServerInviteTransaction, ServerNonInviteTransaction
from dialin.wire.timers import Timers
from dialin.wire.transaction_key import server_key
from dialin.wire.transaction_state import Deliver, Send, State

from .sip_samples import UDP, ack, request, response

NOW = 1_000.0


def invite_server(state: str, invite: Request | None = None) -> ServerInviteTransaction:
    invite = invite or request()
    transaction = ServerInviteTransaction(server_key(invite), invite, UDP, Timers(), NOW)
    answers = {"PROCEEDING": (), "RINGING": (180,), "ACCEPTED": (200,)}.get(state, (486,))
    for status in answers:
        transaction.respond(response(invite, status), NOW)
    if state == "CONFIRMED":
        transaction.acknowledge(ack(invite), UDP, NOW)
    assert transaction.state is State["PROCEEDING" if state == "RINGING" else state]
    return transaction


def server(*statuses: int) -> ServerNonInviteTransaction:
    options = request("OPTIONS")
    transaction = ServerNonInviteTransaction(server_key(options), UDP, Timers(), NOW)
    for status in statuses:
        transaction.respond(response(options, status), NOW)
    return transaction


@pytest.mark.parametrize(
    ("state", "status", "then", "is_sent"),
    [
        ("PROCEEDING", 100, "PROCEEDING", True),
        ("PROCEEDING", 200, "ACCEPTED", True),
        ("PROCEEDING", 302, "COMPLETED", True),
        ("RINGING", 183, "PROCEEDING", True),
        ("RINGING", 200, "ACCEPTED", True),
        ("RINGING", 487, "COMPLETED", True),
        ("ACCEPTED", 180, "ACCEPTED", False),
        ("ACCEPTED", 200, "ACCEPTED", True),
        ("ACCEPTED", 486, "ACCEPTED", False),
        ("COMPLETED", 180, "COMPLETED", False),
        ("COMPLETED", 200, "COMPLETED", False),
        ("COMPLETED", 500, "COMPLETED", False),
        ("CONFIRMED", 180, "CONFIRMED", False),
        ("CONFIRMED", 200, "CONFIRMED", False),
        ("CONFIRMED", 500, "CONFIRMED", False),
    ],
)
def test_answers_to_an_invite(state: str, status: int, then: str, is_sent: bool) -> None:
    transaction = invite_server(state)
    answer = response(request(), status)
    assert transaction.respond(answer, NOW) == ([Send(answer, UDP)] if is_sent else [])
    assert transaction.state is State[then]


class TestRepeatOfAnInvite:
    @pytest.mark.parametrize(("state", "status"), [("RINGING", 180), ("COMPLETED", 486)])
    def test_the_latest_response_goes_out_again(self, state: str, status: int) -> None:
        (sent,) = invite_server(state).repeated()
        assert sent == Send(response(request(), status), UDP)

    @pytest.mark.parametrize("state", ["ACCEPTED", "CONFIRMED"])
    def test_it_is_absorbed(self, state: str) -> None:
        assert invite_server(state).repeated() == []

    def test_while_the_core_thinks_it_brings_the_100_forward(self) -> None:
        transaction = invite_server("PROCEEDING")
        trying = [Send(response(request(), 100, to_tag=None), UDP)]
        assert transaction.repeated() == trying
        assert transaction.deadline is None
        assert transaction.repeated() == trying


class TestAck:
    def test_it_ends_the_repeats_of_a_refusal(self) -> None:
        transaction = invite_server("COMPLETED")
        assert transaction.acknowledge(ack(request()), UDP, NOW + 1) == []
        assert transaction.state is State.CONFIRMED
        assert transaction.deadline == NOW + 6  # I only: G and H are off

    def test_with_another_to_tag_it_acknowledges_nothing(self) -> None:
        transaction = invite_server("COMPLETED")
        assert transaction.acknowledge(ack(request(), to_tag="forged"), UDP, NOW) == []
        assert transaction.state is State.COMPLETED

    def test_of_a_2xx_with_the_branch_of_the_invite_reaches_the_core(self) -> None:
        transaction = invite_server("ACCEPTED")
        acknowledgement = ack(request())
        assert transaction.acknowledge(acknowledgement, UDP, NOW) == [
            Deliver(acknowledgement, UDP, None)
        ]
        assert transaction.state is State.ACCEPTED

    @pytest.mark.parametrize("state", ["PROCEEDING", "RINGING", "CONFIRMED"])
    def test_anywhere_else_it_is_absorbed(self, state: str) -> None:
        transaction = invite_server(state)
        before = transaction.state
        assert transaction.acknowledge(ack(request()), UDP, NOW) == []
        assert transaction.state is before


@pytest.mark.parametrize(
    ("answered", "status", "then", "is_sent"),
    [
        ((), 100, "PROCEEDING", True),
        ((), 200, "COMPLETED", True),
        ((), 405, "COMPLETED", True),
        ((100,), 100, "PROCEEDING", True),
        ((100,), 200, "COMPLETED", True),
        ((100,), 405, "COMPLETED", True),
        ((200,), 100, "COMPLETED", False),
        ((200,), 200, "COMPLETED", False),
        ((200,), 405, "COMPLETED", False),
    ],
)
def test_answers_to_any_other_request(
    answered: tuple[int, ...], status: int, then: str, is_sent: bool
) -> None:
    transaction = server(*answered)
    answer = response(request("OPTIONS"), status)
    assert transaction.respond(answer, NOW) == ([Send(answer, UDP)] if is_sent else [])
    assert transaction.state is State[then]


@pytest.mark.parametrize(
    ("answered", "again"), [((), None), ((100,), 100), ((200,), 200), ((100, 481), 481)]
)
def test_a_repeat_of_any_other_request_gets_the_latest_response_again(
    answered: tuple[int, ...], again: int | None
) -> None:
    expected = [] if again is None else [Send(response(request("OPTIONS"), again), UDP)]
    assert server(*answered).repeated() == expected
