# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures: right, bounded, there from the start, and about nobody."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dialin.events import LEFT_ROOM, VOCABULARY, WRONG_PIN
from dialin.media.engine import LegStatistics
from dialin.registration import Standing
from dialin.registry import CallState
from dialin.sip.counters import SipCounters
from dialin.web import Metrics
from tests.web import ANSWERED_AT, CALL, ILL, WELL, Calls, Rooms, app_with
from tests.web.conftest import Visit


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="1.2.3", trunks=["lab", "other"])


def figure(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


async def test_the_page_is_text_that_prometheus_reads(visit: Visit, metrics: Metrics) -> None:
    client = await visit(app_with(metrics=metrics))
    response = await client.get("/metrics")
    names = {family.name for family in text_string_to_metric_families(await response.text())}

    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert {"dialin_build_info", "dialin_calls", "dialin_calls_active", "dialin_bbb_up"} <= names
    assert all(name.startswith("dialin_") for name in names)


def test_the_version_is_told(metrics: Metrics) -> None:
    assert figure(metrics, "dialin_build_info", version="1.2.3") == 1


def test_every_end_of_a_call_is_there_from_the_start(metrics: Metrics) -> None:
    for trunk in ("lab", "other"):
        for reason in VOCABULARY:
            labels = {"trunk": trunk, "result": reason.result.value, "reason": reason.reason}
            assert figure(metrics, "dialin_calls_total", **labels) == 0


def test_ends_of_calls_are_counted_by_trunk_and_reason(metrics: Metrics) -> None:
    metrics.call_ended("lab", LEFT_ROOM)
    metrics.call_ended("lab", LEFT_ROOM)
    metrics.call_ended("other", WRONG_PIN)

    left = {"result": "success", "reason": "left-room"}
    assert figure(metrics, "dialin_calls_total", trunk="lab", **left) == 2
    assert figure(metrics, "dialin_calls_total", trunk="other", **left) == 0
    wrong = {"result": "caller", "reason": "wrong-pin"}
    assert figure(metrics, "dialin_calls_total", trunk="other", **wrong) == 1


def test_live_calls_are_counted_by_trunk_and_stage(metrics: Metrics) -> None:
    calls = Calls([CALL, replace(CALL, id="2"), replace(CALL, id="3", state=CallState.PIN)])
    metrics.watch_calls(calls, Rooms())

    assert figure(metrics, "dialin_calls_active", trunk="lab", stage="in_room") == 2
    assert figure(metrics, "dialin_calls_active", trunk="lab", stage="pin") == 1
    assert figure(metrics, "dialin_calls_active", trunk="other", stage="pin") == 0
    calls.up = []
    assert figure(metrics, "dialin_calls_active", trunk="lab", stage="in_room") == 0


def test_each_bbb_server_is_up_or_down(metrics: Metrics) -> None:
    metrics.watch_calls(Calls(), Rooms([WELL, ILL]))

    assert figure(metrics, "dialin_bbb_up", server="main") == 1
    assert figure(metrics, "dialin_bbb_up", server="spare") == 0
    assert figure(metrics, "dialin_bbb_meetings", server="main") == 2
    last_answer = "dialin_bbb_last_answer_timestamp_seconds"
    assert figure(metrics, last_answer, server="main") == ANSWERED_AT.timestamp()
    assert figure(metrics, last_answer, server="spare") is None


def test_the_last_invite_of_a_trunk_has_its_time(metrics: Metrics) -> None:
    name = "dialin_trunk_last_invite_timestamp_seconds"
    assert figure(metrics, name, trunk="lab") is None
    metrics.call_came("lab")

    assert (figure(metrics, name, trunk="lab") or 0) > 1_700_000_000


def test_stages_pins_and_api_calls_are_counted(metrics: Metrics) -> None:
    metrics.stage_ended(CallState.PIN, 7.5)
    metrics.pin_keyed("unknown")
    metrics.bbb_asked("main", "timeout")
    metrics.hook_came("main", "taken")

    assert figure(metrics, "dialin_call_stage_duration_seconds_sum", stage="pin") == 7.5
    assert figure(metrics, "dialin_pin_attempts_total", result="unknown") == 1
    assert figure(metrics, "dialin_bbb_requests_total", server="main", result="timeout") == 1
    assert figure(metrics, "dialin_bbb_hooks_total", server="main", result="taken") == 1


def test_a_legs_figures_are_added_when_it_ends(metrics: Metrics) -> None:
    leg = LegStatistics(
        packets_received=100,
        packets_sent=90,
        packets_lost=4,
        jitter_ms=2.0,
        dropped_source=5,
        malformed=6,
        unexpected=7,
        srtp_failed=8,
    )
    metrics.leg_ended("trunk", leg)
    metrics.leg_ended("trunk", leg)

    assert figure(metrics, "dialin_rtp_packets_total", leg="trunk", dir="in") == 200
    assert figure(metrics, "dialin_rtp_packets_total", leg="trunk", dir="out") == 180
    assert figure(metrics, "dialin_rtp_lost_total", leg="trunk") == 8
    assert figure(metrics, "dialin_rtp_jitter_seconds_sum", leg="trunk") == 0.004
    dropped = {"other-source": 10, "malformed": 12, "payload-type": 14, "srtp": 16}
    for reason, count in dropped.items():
        assert figure(metrics, "dialin_rtp_dropped_total", leg="trunk", reason=reason) == count


def test_what_the_sip_endpoint_counted_is_shown_as_it_stands(metrics: Metrics) -> None:
    counters = SipCounters(1, 2, 3, 4, 5, 6, 7, 8, Counter(INVITE=8), Counter({200: 9}))
    metrics.watch_sip(counters)

    assert figure(metrics, "dialin_sip_requests_total", method="INVITE") == 8
    dropped = {
        "source-not-allowed": counters.dropped_source,
        "connection-refused": counters.refused_connections,
        "tls-handshake": counters.failed_handshakes,
        "connection-slow": counters.slow_connections,
        "malformed": counters.malformed,
        "stray-response": counters.strays,
        "unsent": counters.unsent,
    }
    for reason, count in dropped.items():
        assert figure(metrics, "dialin_sip_dropped_total", reason=reason) == count
    counters.requests["INVITE"] += 1
    assert figure(metrics, "dialin_sip_requests_total", method="INVITE") == 9


@pytest.mark.looptime
async def test_a_late_event_loop_is_noticed(metrics: Metrics) -> None:
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(metrics.watch_loop(every_s=1.0))
        await asyncio.sleep(10.5)
        watch.cancel()

    assert figure(metrics, "dialin_loop_lag_seconds_count") == 10
    assert figure(metrics, "dialin_loop_lag_seconds_bucket", le="0.01") == 10


async def test_nothing_personal_is_in_the_figures(visit: Visit, metrics: Metrics) -> None:
    call = replace(
        CALL, id="canary", number_called="canary", label="canary", room="canary", codec="canary"
    )
    client = await visit(app_with(metrics=metrics, calls=Calls([call])))
    text = await (await client.get("/metrics")).text()

    assert "canary" not in text
    assert not re.search(r'"[^"]*\d{5}[^"]*"', text)  # no label holds a number


def test_two_sets_of_figures_do_not_meet() -> None:
    one, two = Metrics(version="1", trunks=["lab"]), Metrics(version="1", trunks=["lab"])
    one.pin_keyed("found")

    assert figure(one, "dialin_pin_attempts_total", result="found") == 1
    assert figure(two, "dialin_pin_attempts_total", result="found") is None


def test_the_end_of_our_certificates_is_shown_as_it_is_now(metrics: Metrics) -> None:
    ends = {"/etc/dialin/tls.pem": 1_800_000_000.0}
    metrics.watch_certificates(lambda: ends)
    name = "dialin_tls_certificate_expiry_timestamp_seconds"

    assert figure(metrics, name, file="/etc/dialin/tls.pem") == 1_800_000_000
    ends["/etc/dialin/tls.pem"] += 1
    assert figure(metrics, name, file="/etc/dialin/tls.pem") == 1_800_000_001


def test_whether_a_trunk_is_registered_is_read_when_somebody_asks(metrics: Metrics) -> None:
    standings = {"lab": Standing(is_registered=True, seconds_left=120.0), "other": Standing()}
    metrics.watch_trunks(lambda: standings)
    expires = "dialin_trunk_registration_expires_timestamp_seconds"

    assert figure(metrics, "dialin_trunk_registered", trunk="lab") == 1
    assert figure(metrics, "dialin_trunk_registered", trunk="other") == 0
    assert figure(metrics, expires, trunk="lab") == pytest.approx(time.time() + 120, abs=5)
    assert figure(metrics, expires, trunk="other") is None
    del standings["lab"]
    assert figure(metrics, "dialin_trunk_registered", trunk="lab") is None


def test_calls_to_itself_are_counted_and_the_last_good_one_is_dated() -> None:
    metrics = Metrics(version="1", trunks=())

    def figure(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert figure("dialin_selftest_last_success_timestamp_seconds") == 0.0
    metrics.selftest_ended("not-in-room", 30.0)
    assert figure("dialin_selftest_runs_total", result="not-in-room") == 1.0
    assert figure("dialin_selftest_last_success_timestamp_seconds") == 0.0
    metrics.selftest_ended("success", 4.0)
    assert figure("dialin_selftest_runs_total", result="success") == 1.0
    assert (figure("dialin_selftest_last_success_timestamp_seconds") or 0.0) > 1e9
    assert figure("dialin_selftest_duration_seconds_sum") == 34.0
