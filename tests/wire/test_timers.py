# SPDX-License-Identifier: GPL-3.0-or-later
"""Every timer of RFC 3261 table 4 and RFC 6026, to the tick, on a virtual clock.

Timer C is a proxy's. `SCHEDULE` names each of the others, its default, and what it does; the test
shows that nothing happens a millisecond before, and the right thing at the tick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from dialin.wire.flow import Flow
from dialin.wire.message import Request
from dialin.wire.transaction import (
    Deliver,
    Finished,
    Output,
    Send,
    TimedOut,
    Timers,
    TransactionLayer,
)

from .sip_samples import TCP, UDP, ack, request, response

TICK_S = 0.001
START = 1_000.0


@pytest.mark.parametrize(
    ("name", "default_s"),
    [
        ("t1_s", 0.5),
        ("t2_s", 4.0),
        ("t4_s", 5.0),
        ("trying_s", 0.2),
        ("timer_a_s", 0.5),
        ("timer_b_s", 32.0),
        ("timer_e_s", 0.5),
        ("timer_f_s", 32.0),
        ("timer_g_s", 0.5),
        ("timer_h_s", 32.0),
        ("timer_l_s", 32.0),
        ("timer_m_s", 32.0),
    ],
)
def test_defaults_on_any_transport(name: str, default_s: float) -> None:
    assert getattr(Timers(), name) == default_s


@pytest.mark.parametrize(
    ("name", "udp_s"),
    [("timer_d_s", 32.0), ("timer_i_s", 5.0), ("timer_j_s", 32.0), ("timer_k_s", 5.0)],
)
def test_defaults_that_a_reliable_transport_makes_zero(name: str, udp_s: float) -> None:
    timer = getattr(Timers(), name)
    assert timer(is_reliable=False) == udp_s
    assert timer(is_reliable=True) == 0


def test_the_letters_follow_from_t1_t2_and_t4() -> None:
    timers = Timers(t1_s=0.1, t2_s=1.0, t4_s=2.0)
    assert timers.timer_a_s == timers.timer_e_s == timers.timer_g_s == 0.1
    assert timers.timer_b_s == timers.timer_f_s == timers.timer_h_s == pytest.approx(6.4)
    assert timers.timer_l_s == timers.timer_m_s == pytest.approx(6.4)
    assert timers.timer_d_s(is_reliable=False) == timers.timer_j_s(is_reliable=False)
    assert timers.timer_j_s(is_reliable=False) == pytest.approx(6.4)
    assert timers.timer_i_s(is_reliable=False) == timers.timer_k_s(is_reliable=False) == 2.0


# Scenarios: each brings a transaction into a state at START.


def client_waiting(method: str) -> Callable[[TransactionLayer, Flow], list[Output]]:
    def enter(layer: TransactionLayer, flow: Flow) -> list[Output]:
        return layer.request(request(method), flow, START)[1]

    return enter


def client_answered(method: str, status: int) -> Callable[[TransactionLayer, Flow], list[Output]]:
    def enter(layer: TransactionLayer, flow: Flow) -> list[Output]:
        layer.request(request(method), flow, START)
        return layer.receive(response(request(method), status), flow, START)

    return enter


def server_waiting(method: str) -> Callable[[TransactionLayer, Flow], list[Output]]:
    def enter(layer: TransactionLayer, flow: Flow) -> list[Output]:
        return layer.receive(request(method), flow, START)

    return enter


def server_answered(method: str, status: int) -> Callable[[TransactionLayer, Flow], list[Output]]:
    def enter(layer: TransactionLayer, flow: Flow) -> list[Output]:
        (delivered,) = layer.receive(request(method), flow, START)
        assert isinstance(delivered, Deliver)
        assert delivered.key is not None
        return layer.respond(delivered.key, response(request(method), status), START)

    return enter


def server_acknowledged(layer: TransactionLayer, flow: Flow) -> list[Output]:
    server_answered("INVITE", 486)(layer, flow)
    return layer.receive(ack(request()), flow, START)


@dataclass(frozen=True)
class Row:
    """What one state does when nobody says anything more."""

    name: str
    flow: Flow
    enter: Callable[[TransactionLayer, Flow], list[Output]]
    entering: str
    """What entering the state puts out."""
    firings: tuple[tuple[str, float, str], ...]
    """(timer, seconds after entering, what it does)."""


def times(timer: str, what: str, *at_s: float) -> tuple[tuple[str, float, str], ...]:
    return tuple((timer, seconds, what) for seconds in at_s)


A = (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)  # doubles
E = (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)  # doubles up to T2
E_PROCEEDING = (0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5)  # T2 from the first one on
FAILED = "timed out 408, finished"

SCHEDULE = [
    Row(
        "INVITE sent",
        UDP,
        client_waiting("INVITE"),
        "INVITE",
        (*times("A", "INVITE", *A), ("B", 32.0, FAILED)),
    ),
    Row("INVITE sent", TCP, client_waiting("INVITE"), "INVITE", times("B", FAILED, 32.0)),
    Row("INVITE sent, ringing", UDP, client_answered("INVITE", 180), "deliver 180", ()),
    Row("INVITE sent, ringing", TCP, client_answered("INVITE", 180), "deliver 180", ()),
    Row(
        "INVITE sent, refused",
        UDP,
        client_answered("INVITE", 486),
        "ACK, deliver 486",
        times("D", "finished", 32.0),
    ),
    Row(
        "INVITE sent, refused",
        TCP,
        client_answered("INVITE", 486),
        "ACK, deliver 486, finished",  # D is 0
        (),
    ),
    Row(
        "INVITE sent, accepted",
        UDP,
        client_answered("INVITE", 200),
        "deliver 200",
        times("M", "finished", 32.0),
    ),
    Row(
        "INVITE sent, accepted",
        TCP,
        client_answered("INVITE", 200),
        "deliver 200",
        times("M", "finished", 32.0),
    ),
    Row(
        "BYE sent",
        UDP,
        client_waiting("BYE"),
        "BYE",
        (*times("E", "BYE", *E), ("F", 32.0, FAILED)),
    ),
    Row("BYE sent", TCP, client_waiting("BYE"), "BYE", times("F", FAILED, 32.0)),
    Row(
        "BYE sent, 100 came",
        UDP,
        client_answered("BYE", 100),
        "deliver 100",
        (*times("E", "BYE", *E_PROCEEDING), ("F", 32.0, FAILED)),
    ),
    Row(
        "BYE sent, 100 came",
        TCP,
        client_answered("BYE", 100),
        "deliver 100",
        times("F", FAILED, 32.0),
    ),
    Row(
        "BYE sent, answered",
        UDP,
        client_answered("BYE", 200),
        "deliver 200",
        times("K", "finished", 5.0),
    ),
    Row(
        "BYE sent, answered",
        TCP,
        client_answered("BYE", 481),
        "deliver 481, finished",  # K is 0
        (),
    ),
    Row(
        "INVITE received",
        UDP,
        server_waiting("INVITE"),
        "deliver INVITE",
        times("100 Trying", "100", 0.2),
    ),
    Row(
        "INVITE received",
        TCP,
        server_waiting("INVITE"),
        "deliver INVITE",
        times("100 Trying", "100", 0.2),
    ),
    Row("INVITE received, ringing", UDP, server_answered("INVITE", 180), "180", ()),
    Row(
        "INVITE received, refused",
        UDP,
        server_answered("INVITE", 486),
        "486",
        (*times("G", "486", *E), ("H", 32.0, FAILED)),
    ),
    Row(
        "INVITE received, refused",
        TCP,
        server_answered("INVITE", 486),
        "486",
        times("H", FAILED, 32.0),
    ),
    Row(
        "INVITE received, refused, ACK came",
        UDP,
        server_acknowledged,
        "",
        times("I", "finished", 5.0),
    ),
    Row("INVITE received, refused, ACK came", TCP, server_acknowledged, "finished", ()),  # I is 0
    Row(
        "INVITE received, accepted",
        UDP,
        server_answered("INVITE", 200),
        "200",
        times("L", "finished", 32.0),
    ),
    Row(
        "INVITE received, accepted",
        TCP,
        server_answered("INVITE", 200),
        "200",
        times("L", "finished", 32.0),
    ),
    Row("OPTIONS received", UDP, server_waiting("OPTIONS"), "deliver OPTIONS", ()),
    Row("OPTIONS received, 100 sent", UDP, server_answered("OPTIONS", 100), "100", ()),
    Row(
        "OPTIONS received, answered",
        UDP,
        server_answered("OPTIONS", 200),
        "200",
        times("J", "finished", 32.0),
    ),
    Row(
        "OPTIONS received, answered",
        TCP,
        server_answered("OPTIONS", 200),
        "200, finished",  # J is 0
        (),
    ),
]


def describe(outputs: list[Output]) -> str:
    return ", ".join(map(_describe, outputs))


def _describe(output: Output) -> str:
    match output:
        case Send(message):
            return message.method if isinstance(message, Request) else str(message.status)
        case Deliver(message):
            what = message.method if isinstance(message, Request) else str(message.status)
            return f"deliver {what}"
        case TimedOut(status=status):
            return f"timed out {status}"
        case Finished():
            return "finished"


@pytest.mark.parametrize("row", SCHEDULE, ids=lambda row: f"{row.name} by {row.flow.transport}")
def test_nothing_happens_a_tick_before_and_the_right_thing_at_the_tick(row: Row) -> None:
    layer = TransactionLayer()
    assert describe(row.enter(layer, row.flow)) == row.entering
    for timer, at_s, what in row.firings:
        assert layer.next_deadline() == START + at_s, timer
        assert layer.fire(START + at_s - TICK_S) == [], timer
        assert describe(layer.fire(START + at_s)) == what, timer
    assert layer.next_deadline() is None
    ended = "finished" in row.entering or (row.firings and "finished" in row.firings[-1][2])
    assert len(layer) == (0 if ended else 1)


def test_the_table_names_every_timer_of_both_rfcs() -> None:
    named = {timer for row in SCHEDULE for timer, _, _ in row.firings}
    assert named == {*"ABDEFGHIJKLM", "100 Trying"}


def test_a_late_clock_repeats_once_and_not_once_for_each_repeat_it_missed() -> None:
    layer = TransactionLayer()
    layer.request(request(), UDP, START)
    assert describe(layer.fire(START + 10)) == "INVITE"
    assert layer.next_deadline() == START + 11


def test_a_clock_that_is_late_for_the_end_as_well_repeats_nothing() -> None:
    layer = TransactionLayer()
    layer.request(request(), UDP, START)
    assert describe(layer.fire(START + 40)) == FAILED


def test_other_timers_than_the_defaults_are_kept_to_the_tick() -> None:
    layer = TransactionLayer(Timers(t1_s=0.25, t2_s=0.5, t4_s=1.0))
    layer.request(request("OPTIONS"), UDP, START)
    for at_s in (0.25, 0.75, 1.25, 1.75):
        assert layer.next_deadline() == START + at_s
        assert describe(layer.fire(START + at_s)) == "OPTIONS"
    layer.receive(response(request("OPTIONS"), 200), UDP, START + 2)
    assert layer.next_deadline() == START + 3
    assert describe(layer.fire(START + 3)) == "finished"
