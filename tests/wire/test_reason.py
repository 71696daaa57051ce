# SPDX-License-Identifier: GPL-3.0-or-later
"""Reason (RFC 3326): what peers say about why a call ended, and what we say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin import events
from dialin.events import EndReason
from dialin.wire.agent_events import Ended, LegEnd
from dialin.wire.message import Headers, Request
from dialin.wire.reason import MAX_TEXT, ByeReason, bye_reason, reason_in
from tests.wire.peers import CALLED, CONTACT, OFFER, Bench, Caller, answer_to, called_request

RESTARTING = ByeReason("Q.850", 41, "restarting")


def read(*values: str) -> ByeReason | None:
    """What a BYE with these Reason lines says."""
    headers = Headers(tuple(("Reason", value) for value in values))
    return reason_in(Request("BYE", "sip:a@192.0.2.1", headers))


# What is read


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('Q.850;cause=16;text="NORMAL_CLEARING"', ByeReason("Q.850", 16, "NORMAL_CLEARING")),
        ("q.850 ; cause = 31", ByeReason("Q.850", 31)),
        ('SIP;cause=501;text="SYSTEM_SHUTDOWN"', ByeReason("SIP", 501, "SYSTEM_SHUTDOWN")),
        ('FreeSWITCH;cause=701;text="X"', ByeReason("FREESWITCH", 701, "X")),
        ("SIP", ByeReason("SIP", None)),
        ("Q.850;cause=abc", ByeReason("Q.850", None)),
        ("Q.850;cause=1016", ByeReason("Q.850", None)),
        ("Q.850;cause", ByeReason("Q.850", None)),
        ('Q.850;cause=16;text="a\\"b\\\\c"', ByeReason("Q.850", 16, "abc")),
        ('SIP;text="Grüße\x01"', ByeReason("SIP", None, "Gre")),
    ],
)
def test_a_reason_is_read(value: str, reason: ByeReason) -> None:
    assert read(value) == reason


@pytest.mark.parametrize("value", ["", ";cause=16", "Q.850 cause=16", "Q.850;=", "Q.850;a;a", "ä"])
def test_what_cannot_be_read_says_nothing(value: str) -> None:
    assert read(value) is None


def test_no_header_says_nothing() -> None:
    assert read() is None


def test_of_several_reasons_the_telephone_networks_own_counts() -> None:
    assert read('SIP;cause=200;text="x", Q.850;cause=16') == ByeReason("Q.850", 16)
    assert read("SIP;cause=200", "Q.850;cause=17") == ByeReason("Q.850", 17)


def test_else_the_first_that_can_be_read_counts() -> None:
    assert read(";;", "SIP;cause=480", "X;cause=1") == ByeReason("SIP", 480)
    assert read("Q.850;text=none", "SIP;cause=480") == ByeReason("Q.850", None, "none")


def test_a_long_text_is_cut() -> None:
    reason = read(f'SIP;text="{"x" * 500}"')
    assert reason
    assert reason.text == "x" * MAX_TEXT


@given(st.text())
def test_reading_never_raises_and_what_was_read_can_be_written(value: str) -> None:
    reason = read(value)
    if reason:
        assert read(reason.header[1]) == reason


# What it means


@pytest.mark.parametrize(
    ("value", "is_normal", "is_shutdown"),
    [
        ('Q.850;cause=16;text="NORMAL_CLEARING"', True, False),
        ("Q.850;cause=31", True, False),
        ('SIP;cause=200;text="Call completed elsewhere"', True, False),
        ('SIP;cause=501;text="SYSTEM_SHUTDOWN"', False, True),
        ('freeswitch;cause=701;text="SYSTEM_SHUTDOWN"', False, True),
        ('SIP;cause=503;text="MANAGER_REQUEST"', False, True),
        ('Q.850;cause=41;text="NORMAL_TEMPORARY_FAILURE"', False, False),
        ("SIP;cause=501", False, False),
        ("SIP;cause=16", False, False),
    ],
)
def test_a_normal_clearing_is_told_from_a_shutdown(
    value: str, is_normal: bool, is_shutdown: bool
) -> None:
    reason = read(value)
    assert reason
    assert (reason.is_normal, reason.is_shutdown) == (is_normal, is_shutdown)


def test_only_q850_has_a_cause_of_the_telephone_network() -> None:
    assert ByeReason("Q.850", 16).q850 == 16
    assert ByeReason("SIP", 16).q850 is None


# What is written


@pytest.mark.parametrize("end", events.VOCABULARY, ids=str)
def test_every_end_of_a_call_can_be_told(end: EndReason) -> None:
    reason = bye_reason(end)
    assert reason.text == end.reason
    assert reason.q850 in range(1, 128)
    assert read(reason.header[1]) == reason


def test_the_causes_of_ends() -> None:
    assert bye_reason(events.LEFT_ROOM).header == ("Reason", 'Q.850;cause=16;text="left-room"')
    assert bye_reason(events.WRONG_PIN).is_normal
    assert bye_reason(events.CONFERENCE_UNREACHABLE).q850 == 41
    assert bye_reason(events.DRAINING).q850 == 42
    assert bye_reason(events.MEDIA_LOST).q850 == 102


# On the wire


def reason_of(message: object) -> str | None:
    """What a request of ours says."""
    assert isinstance(message, Request)
    return message.headers.get("Reason")


def test_our_bye_says_why() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now, RESTARTING))
    assert reason_of(bye.message) == 'Q.850;cause=41;text="restarting"'


def test_a_bye_without_further_words_is_a_normal_clearing() -> None:
    bench = Bench()
    leg, _, _ = bench.talk_out()
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    assert reason_of(bye.message) == 'Q.850;cause=16;text="Normal call clearing"'


def test_a_bye_that_waits_for_the_ack_says_why_too() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.answer_in(caller)
    assert bench.take(bench.agent.hang_up(leg, bench.now, RESTARTING)) == []
    (bye,) = bench.receive(caller.ack())
    assert reason_of(bye) == 'Q.850;cause=41;text="restarting"'


def test_a_bye_for_want_of_an_ack_says_so() -> None:
    bench, caller = Bench(), Caller()
    bench.answer_in(caller)
    byes = [
        send.message
        for _, send in bench.advance(32.0)
        if isinstance(send.message, Request) and send.message.method == "BYE"
    ]
    assert reason_of(byes[0]) == 'Q.850;cause=102;text="Recovery on timer expiry"'


def test_a_call_that_is_given_up_before_it_is_answered_is_refused_with_the_reason() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller)
    (refusal,) = bench.take(bench.agent.hang_up(leg, bench.now, RESTARTING))
    assert refusal.message.headers.get("Reason") == 'Q.850;cause=41;text="restarting"'


def test_our_cancel_says_why() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    (cancel,) = bench.take(bench.agent.hang_up(leg, bench.now, RESTARTING))
    assert reason_of(cancel.message) == 'Q.850;cause=41;text="restarting"'
    # And if the answer has crossed it, so does the BYE.
    ack, bye = bench.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED)
    assert reason_of(ack) is None
    assert reason_of(bye) == 'Q.850;cause=41;text="restarting"'


def test_a_cancel_for_want_of_an_answer_says_so() -> None:
    bench = Bench()
    _, invite = bench.call_out(answer_within_s=20.0)
    bench.receive(answer_to(invite, 180, [CONTACT]), CALLED)
    ((_, cancel),) = bench.advance(20.0)
    assert reason_of(cancel.message) == 'Q.850;cause=19;text="No answer from user"'


def test_who_answers_second_hears_that_somebody_else_was_first() -> None:
    bench = Bench()
    _, invite, _ = bench.talk_out()
    _, bye = bench.receive(answer_to(invite, 200, [CONTACT], OFFER, tag="ct2"), CALLED)
    assert reason_of(bye) == 'SIP;cause=200;text="Call completed elsewhere"'


def test_who_answers_without_a_description_hears_that_it_does_not_fit() -> None:
    bench = Bench()
    _, invite = bench.call_out()
    _, bye = bench.receive(answer_to(invite, 200, [CONTACT]), CALLED)
    assert reason_of(bye) == 'Q.850;cause=88;text="Incompatible destination"'


def test_the_reason_of_a_bye_is_told() -> None:
    bench = Bench()
    leg, invite, _ = bench.talk_out()
    bye = called_request(invite, "BYE", lines=[("Reason", 'SIP;cause=501;text="SYSTEM_SHUTDOWN"')])
    assert bench.status(bye, CALLED) == 200
    said = ByeReason("SIP", 501, "SYSTEM_SHUTDOWN")
    assert bench.last() == Ended(leg, LegEnd("peer", None, "bye", said))


def test_the_reason_of_a_caller_is_told() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.talk_in(caller)
    assert bench.status(caller.request("BYE", 2, [("Reason", "Q.850;cause=16")])) == 200
    assert bench.last() == Ended(leg, LegEnd("peer", None, "bye", ByeReason("Q.850", 16)))


def test_a_cancel_because_somebody_else_has_answered_is_borne() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller)
    elsewhere = b'Reason: SIP;cause=200;text="Call completed elsewhere"\r\nContent-Length'
    ok, refusal = bench.receive(caller.cancel().replace(b"Content-Length", elsewhere, 1))
    assert [getattr(message, "status", None) for message in (ok, refusal)] == [200, 487]
    said = ByeReason("SIP", 200, "Call completed elsewhere")
    assert bench.last() == Ended(leg, LegEnd("peer", 487, "cancel", said))


def test_the_reason_of_a_refusal_is_told() -> None:
    bench = Bench()
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 486, [("Reason", "Q.850;cause=17")]), CALLED)
    assert bench.last() == Ended(leg, LegEnd("peer", 486, "rejected", ByeReason("Q.850", 17)))
