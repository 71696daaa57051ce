# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 4028 in the dialog, to the second: refreshes by either side, and the end without any."""

from __future__ import annotations

import pytest

from dialin.wire.agent_events import Ended, LegEnd, Reanswered, Reoffer
from dialin.wire.message import Request, Response
from dialin.wire.session_expires import Timekeeping
from tests.wire.peers import (
    ANSWER,
    CALLED,
    CONTACT,
    NEW_OFFER,
    OFFER,
    TRUNK,
    Bench,
    Caller,
    Lines,
    answer_to,
    called_request,
)

KNOWS = ("Supported", "timer")
CALLER_TAKES_UPDATE = ("Allow", "INVITE, ACK, BYE, UPDATE")
THEIRS = [KNOWS, ("Session-Expires", "120;refresher=uac")]
OURS = [KNOWS, ("Session-Expires", "120;refresher=uas")]
SHORTEST = [KNOWS, ("Session-Expires", "90;refresher=uas")]


def talk(bench: Bench, lines: Lines, *, timekeeping: Timekeeping | None = None) -> Caller:
    """A call to us that begins at once, at the time 0."""
    caller = Caller()
    leg = bench.ring_in(caller, lines=lines)
    wish = timekeeping or Timekeeping()
    (ok,) = bench.take(bench.agent.accept(leg, ANSWER, bench.now, timekeeping=wish))
    caller.to_tag = ok.message.to.tag
    assert bench.receive(caller.ack()) == []
    return caller


def answered(bench: Bench) -> Response:
    """The 200 to the first INVITE."""
    message = bench.sent[0][1].message
    assert isinstance(message, Response)
    return message


def next_request(bench: Bench, *, within_s: float = 10_000.0) -> tuple[float, Request]:
    """Let time pass until something is sent; returns when, and what."""
    while (deadline := bench.agent.next_deadline()) is not None and deadline <= within_s:
        if sent := bench.advance(deadline):
            at, send = sent[0]
            assert isinstance(send.message, Request)
            return at, send.message
    pytest.fail("nothing was sent")


def grant(bench: Bench, request: Request, lines: Lines = (), body: bytes = b"") -> None:
    """Answer a request of ours with 200."""
    bench.receive(answer_to(request, 200, [("Contact", "<sip:x@192.0.2.10>"), *lines], body))


# As the called side


def test_the_answer_says_who_refreshes_and_how_often() -> None:
    bench = Bench()
    talk(bench, THEIRS)
    headers = answered(bench).headers
    assert headers.get("Session-Expires") == "120;refresher=uac"
    assert headers.get("Require") == "timer"
    assert headers.get("Supported") == "100rel, timer"


def test_nobody_who_does_not_ask_gets_a_timer() -> None:
    bench = Bench()
    talk(bench, [KNOWS])
    assert "Session-Expires" not in answered(bench).headers
    assert bench.advance(100_000.0) == []


def test_422_for_an_interval_below_90_s() -> None:
    bench, caller = Bench(), Caller()
    response = bench.response(caller.invite(lines=[KNOWS, ("Session-Expires", "60")]))
    assert (response.status, response.headers.get("Min-SE")) == (422, "90")
    assert bench.events == []


@pytest.mark.parametrize(("interval_s", "bye_at"), [(90, 60.0), (96, 64.0), (120, 88.0)])
def test_a_caller_who_does_not_refresh_gets_a_bye_before_the_end(
    interval_s: int, bye_at: float
) -> None:
    bench = Bench()
    talk(bench, [KNOWS, ("Session-Expires", f"{interval_s};refresher=uac")])
    at, bye = next_request(bench)
    assert (at, bye.method) == (bye_at, "BYE")
    assert bench.last() == Ended(bench.leg, LegEnd("lost", None, "session-expired"))
    grant(bench, bye)
    assert bench.agent.legs == 0


def test_each_refresh_of_theirs_winds_the_timer_up_again() -> None:
    bench = Bench()
    caller = talk(bench, THEIRS)
    bench.advance(60.0)
    response = bench.response(caller.request("UPDATE", 2, THEIRS))
    assert response.headers.get("Session-Expires") == "120;refresher=uac"
    bench.advance(120.0)
    bench.receive(caller.invite(OFFER, 3, THEIRS))
    assert isinstance(bench.last(), Reoffer)
    (ok,) = bench.take(bench.agent.answer_reoffer(bench.leg, ANSWER, bench.now))
    assert ok.message.headers.get("Session-Expires") == "120;refresher=uac"
    bench.receive(caller.ack(3))
    assert next_request(bench)[0] == 120.0 + 88.0


def test_an_update_before_the_answer_starts_no_timer() -> None:
    bench, caller = Bench(), Caller()
    leg = bench.ring_in(caller)
    (ringing,) = bench.take(bench.agent.provisional(leg, 180, None, bench.now))
    caller.to_tag = ringing.message.to.tag
    assert "Session-Expires" not in bench.response(caller.request("UPDATE", 2, THEIRS)).headers


def test_we_refresh_at_half_time_by_a_re_invite_with_our_last_description() -> None:
    bench = Bench()
    talk(bench, OURS)
    at, invite = next_request(bench)
    assert (at, invite.method, invite.body) == (60.0, "INVITE", ANSWER)
    assert invite.headers.get("Session-Expires") == "120;refresher=uac"
    assert invite.headers.get("Supported") == "100rel, timer"
    assert "Min-SE" not in invite.headers
    assert invite.contacts
    assert invite.content_type == "application/sdp"


def test_a_re_invite_of_ours_is_acknowledged_as_often_as_it_is_answered() -> None:
    bench = Bench()
    talk(bench, OURS)
    _, invite = next_request(bench)
    bench.receive(answer_to(invite, 100, tag=None))
    ok = answer_to(invite, 200, [("Contact", "<sip:new@192.0.2.10:5099>"), *THEIRS], NEW_OFFER)
    for _ in range(2):
        (ack,) = bench.receive(ok)
        assert isinstance(ack, Request)
        assert (ack.method, ack.uri) == ("ACK", "sip:new@192.0.2.10:5099")
        assert ack.cseq.number == invite.cseq.number
    assert bench.told(Reanswered) == [Reanswered(bench.leg, NEW_OFFER)]
    at, again = next_request(bench)
    assert (at, again.method) == (120.0, "INVITE")


def test_a_peer_that_takes_update_is_not_bothered_with_an_offer() -> None:
    bench = Bench()
    talk(bench, [*OURS, CALLER_TAKES_UPDATE])
    at, update = next_request(bench)
    assert (at, update.method, update.body) == (60.0, "UPDATE", b"")
    assert update.content_type is None
    grant(bench, update, OURS, OFFER)
    assert bench.told(Reanswered) == []
    # Its answer to our request says `uas`: from now on it refreshes.
    assert next_request(bench)[1].method == "BYE"
    assert bench.now == 60.0 + 88.0


def test_a_2xx_without_a_word_of_timers_is_a_refresh_all_the_same() -> None:
    bench = Bench()
    talk(bench, OURS)
    grant(bench, next_request(bench)[1])
    assert bench.told(Reanswered) == []
    assert next_request(bench)[0] == 120.0


def test_a_description_that_cannot_be_read_is_no_matter() -> None:
    bench = Bench()
    talk(bench, OURS)
    _, invite = next_request(bench)
    bench.receive(answer_to(invite, 200, [("Content-Encoding", "gzip")], b"hello"))
    assert bench.told(Reanswered) == []
    assert next_request(bench)[0] == 120.0


@pytest.mark.parametrize("status", [408, 481])
def test_a_refresh_that_finds_no_dialog_ends_the_call(status: int) -> None:
    bench = Bench()
    talk(bench, OURS)
    _, invite = next_request(bench)
    bench.receive(answer_to(invite, status))
    assert bench.last() == Ended(bench.leg, LegEnd("lost", status, "session-expired"))
    assert bench.sent[-1][1].message.cseq.method == "BYE"


def test_a_refresh_that_nobody_answers_ends_the_call_after_64_t1() -> None:
    bench = Bench()
    talk(bench, [*OURS[:1], ("Session-Expires", "1800;refresher=uas"), CALLER_TAKES_UPDATE])
    bench.advance(900.0 + 31.9)
    assert bench.told(Ended) == []
    bench.advance(900.0 + 32.0)
    assert bench.last() == Ended(bench.leg, LegEnd("lost", 408, "session-expired"))


def test_a_refresh_that_only_ever_gets_a_100_does_not_hold_the_call_open() -> None:
    bench = Bench()
    talk(bench, SHORTEST)
    _, invite = next_request(bench)
    bench.receive(answer_to(invite, 100, tag=None))
    at, bye = next_request(bench)
    assert (at, bye.method) == (60.0, "BYE")
    grant(bench, bye)
    bench.advance(60.0 + 31.9)
    assert bench.agent.transactions == 1
    bench.advance(200.0)
    assert (bench.agent.transactions, bench.agent.next_deadline()) == (0, None)


def test_a_2xx_that_crosses_our_bye_is_acknowledged_and_changes_nothing() -> None:
    bench = Bench()
    talk(bench, OURS)
    _, invite = next_request(bench)
    leg = bench.leg
    (bye,) = bench.take(bench.agent.hang_up(leg, bench.now))
    (ack,) = bench.receive(answer_to(invite, 200, THEIRS, NEW_OFFER))
    assert isinstance(ack, Request)
    assert ack.method == "ACK"
    assert bench.told(Reanswered) == []
    assert isinstance(bye.message, Request)
    grant(bench, bye.message)
    assert bench.advance(1000.0) == []
    assert bench.agent.next_deadline() is None


def test_a_refusal_that_crosses_the_peers_bye_changes_nothing() -> None:
    bench = Bench()
    caller = talk(bench, OURS)
    _, invite = next_request(bench)
    assert bench.status(caller.request("BYE", 2)) == 200
    bench.receive(answer_to(invite, 487))
    bench.advance(1000.0)
    assert len(bench.told(Ended)) == 1
    assert (bench.agent.transactions, bench.agent.next_deadline()) == (0, None)


def test_a_refresh_that_times_out_after_the_bye_changes_nothing() -> None:
    bench = Bench()
    caller = talk(bench, OURS)
    next_request(bench)
    bench.advance(61.0)
    assert bench.status(caller.request("BYE", 2)) == 200
    bench.advance(1000.0)
    assert len(bench.told(Ended)) == 1
    assert (bench.agent.transactions, bench.agent.next_deadline()) == (0, None)


def test_a_way_that_breaks_is_tried_again() -> None:
    bench = Bench()
    talk(bench, SHORTEST)
    next_request(bench)
    assert bench.take(bench.agent.transport_failed(TRUNK, bench.now)) == []
    assert bench.told(Ended) == []
    at, again = next_request(bench)
    assert (at, again.method) == (52.5, "INVITE")


@pytest.mark.parametrize(("retry_after", "pause_s"), [("25", 25.0), ("5", 14.0), ("x", 14.0)])
def test_a_refusal_may_put_the_next_refresh_off(retry_after: str, pause_s: float) -> None:
    bench = Bench()
    talk(bench, OURS)
    at, invite = next_request(bench)
    assert at == 60.0
    bench.receive(answer_to(invite, 500, [("Retry-After", retry_after)]))
    again_at, again = next_request(bench)
    assert (again_at - at, again.method) == (pause_s, "INVITE")


def test_refused_refreshes_are_tried_again_in_half_the_time_that_is_left() -> None:
    bench = Bench()
    talk(bench, SHORTEST)
    tries = []
    while True:
        at, request = next_request(bench)
        if request.method == "BYE":
            break
        tries.append(at)
        bench.receive(answer_to(request, 500))
    assert tries == [45.0, 52.5, 56.25, 58.125, 59.125]
    assert at == 60.0
    assert bench.last() == Ended(bench.leg, LegEnd("lost", None, "session-expired"))


def test_after_422_the_refresh_goes_out_again_with_the_interval_that_was_asked_for() -> None:
    bench = Bench()
    talk(bench, OURS)
    _, invite = next_request(bench)
    *_, again = bench.receive(answer_to(invite, 422, [("Min-SE", "600")]))
    assert isinstance(again, Request)
    assert again.headers.get("Session-Expires") == "600;refresher=uac"
    assert again.headers.get("Min-SE") == "600"
    grant(bench, again)
    assert next_request(bench)[0] == 60.0 + 300.0


def test_a_422_that_asks_for_nothing_new_is_a_refusal() -> None:
    bench = Bench()
    talk(bench, SHORTEST)
    _, invite = next_request(bench)
    bench.receive(answer_to(invite, 422, [("Min-SE", "90")]))
    assert next_request(bench)[0] == 52.5


@pytest.mark.parametrize("status", [405, 501])
def test_a_peer_that_does_not_take_update_after_all_gets_a_re_invite(status: int) -> None:
    bench = Bench()
    talk(bench, [*OURS, CALLER_TAKES_UPDATE])
    _, update = next_request(bench)
    (invite,) = bench.receive(answer_to(update, status))
    assert isinstance(invite, Request)
    assert invite.method == "INVITE"
    bench.receive(answer_to(invite, status))
    assert next_request(bench)[0] == 60.0 + 14.0


def test_glare_is_met_by_a_491_and_a_later_try() -> None:
    bench = Bench()
    caller = talk(bench, OURS)
    _, invite = next_request(bench)
    assert bench.status(caller.invite(NEW_OFFER, 2)) == 491
    bench.receive(answer_to(invite, 491))
    at, _ = next_request(bench)
    assert 60.0 <= at <= 62.0  # RFC 3261 §14.1: the Call-ID is theirs


def test_no_re_invite_of_ours_crosses_one_of_theirs() -> None:
    bench = Bench()
    caller = talk(bench, OURS)
    bench.advance(59.0)
    bench.receive(caller.invite(NEW_OFFER, 2))
    sent = [send.message for _, send in bench.advance(70.0)]
    assert [message.status for message in sent if isinstance(message, Response)] == [100]
    assert len(sent) == 1
    bench.take(bench.agent.answer_reoffer(bench.leg, ANSWER, bench.now))
    assert bench.receive(caller.ack(2)) == []
    assert next_request(bench)[0] == 70.0 + 60.0


def test_a_refresh_of_ours_that_hangs_is_not_doubled() -> None:
    bench = Bench()
    caller = talk(bench, SHORTEST)
    _, invite = next_request(bench)
    bench.receive(answer_to(invite, 100, tag=None))
    bench.advance(46.0)
    assert bench.status(caller.request("UPDATE", 2, SHORTEST)) == 200
    at, bye = next_request(bench)
    assert (at, bye.method) == (46.0 + 60.0, "BYE")


def test_we_ask_a_caller_who_does_not_ask() -> None:
    bench = Bench()
    talk(bench, [], timekeeping=Timekeeping(asks_s=600))
    assert answered(bench).headers.get("Session-Expires") == "600;refresher=uas"
    assert "Require" not in answered(bench).headers
    assert next_request(bench)[0] == 300.0


# As the calling side


def called(bench: Bench, lines: Lines) -> tuple[str, Request]:
    """A call from us whose 200 has these headers."""
    leg, invite = bench.call_out()
    bench.receive(answer_to(invite, 200, [CONTACT, *lines], OFFER), CALLED)
    return leg, invite


def test_a_conference_that_refreshes_does_so_or_the_call_ends() -> None:
    bench = Bench()
    leg, invite = called(bench, OURS)
    bench.advance(60.0)
    response = bench.response(
        called_request(invite, "UPDATE", 1, [KNOWS, ("Session-Expires", "120;refresher=uac")]),
        CALLED,
    )
    assert response.headers.get("Session-Expires") == "120;refresher=uac"
    at, bye = next_request(bench)
    assert (at, bye.method) == (148.0, "BYE")
    assert bench.last() == Ended(leg, LegEnd("lost", None, "session-expired"))


def test_a_conference_that_leaves_it_to_us_is_refreshed() -> None:
    bench = Bench()
    called(bench, THEIRS)
    at, invite = next_request(bench)
    assert (at, invite.method, invite.body, invite.uri) == (
        60.0, "INVITE", ANSWER, "sip:conference@203.0.113.5:5070",
    )  # fmt: skip
    bench.receive(answer_to(invite, 491, tag=None), CALLED)
    at, _ = next_request(bench)
    assert 62.1 <= at <= 64.0  # RFC 3261 §14.1: the Call-ID is ours


def test_a_conference_without_timers_is_left_alone() -> None:
    bench = Bench()
    called(bench, [])
    assert bench.advance(100_000.0) == []
