# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures for Prometheus: counts and durations, never anything about a person.

Labels are names from the settings or words of the program, so their number is bounded; no phone
number, PIN, Call-ID or meeting is ever one. Whoever counts calls a method here; what others count
already is read when somebody asks (`watch_calls`, `watch_sip`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

import prometheus_client
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dialin.events import VOCABULARY, EndReason
from dialin.media.engine import LegStatistics
from dialin.registration import Standing
from dialin.registry import CallState
from dialin.sip.counters import SipCounters
from dialin.web.api import LiveCalls
from dialin.web.health import Servers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LAG_EVERY_S = 1.0
HOUR_S = 3600.0
WRONG_PINS = frozenset({"unknown", "too-many-guesses"})
"""What the metrics call a PIN that leads nowhere."""
WRONG_PINS_KEPT = 10_000

STAGE_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 1800, 3600, 7200, 14400)
SELFTEST_BUCKETS = (1, 2, 3, 5, 8, 13, 20, 30, 60)
LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
JITTER_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16)


class Metrics:
    """All figures, in a registry of their own."""

    def __init__(self, *, version: str, trunks: Sequence[str]) -> None:
        cast(Callable[[], None], prometheus_client.disable_created_metrics)()
        self.version = version
        """Of the program."""
        self.registry = CollectorRegistry()
        """Where they stand; nothing else is in it."""
        self._trunks = tuple(trunks)
        self._invited_at: dict[str, datetime] = {}
        self._wrong_pins_at: deque[float] = deque(maxlen=WRONG_PINS_KEPT)
        Gauge(
            "dialin_build_info", "1, with the version.", ["version"], registry=self.registry
        ).labels(version).set(1)
        self._calls = self._counter(
            "dialin_calls", "Calls that ended.", "trunk", "result", "reason"
        )
        for trunk in trunks:
            for reason in VOCABULARY:
                self._calls.labels(trunk, reason.result, reason.reason)
        self._stages = self._histogram(
            "dialin_call_stage_duration_seconds", "Time in a stage.", STAGE_BUCKETS, "stage"
        )
        self._pins = self._counter("dialin_pin_attempts", "PINs keyed.", "result")
        self._store = self._counter("dialin_store_errors", "What the store failed at.", "cause")
        self._invites = Gauge(
            "dialin_trunk_last_invite_timestamp_seconds",
            "When the trunk last sent a call.",
            ["trunk"],
            registry=self.registry,
        )
        self._bbb = self._counter("dialin_bbb_requests", "BBB API requests.", "server", "result")
        self._hooks = self._counter("dialin_bbb_hooks", "Webhooks of BBB.", "server", "result")
        self._subscribers = self._counter(
            "dialin_subscriber_posts", "Posts to subscribers.", "subscriber", "result"
        )
        self._packets = self._counter("dialin_rtp_packets", "RTP packets.", "leg", "dir")
        self._lost = self._counter("dialin_rtp_lost", "RTP packets that did not come.", "leg")
        self._dropped = self._counter(
            "dialin_rtp_dropped", "Datagrams that were not played.", "leg", "reason"
        )
        self._jitter = self._histogram(
            "dialin_rtp_jitter_seconds", "Jitter at the end of a call.", JITTER_BUCKETS, "leg"
        )
        self._lag = self._histogram(
            "dialin_loop_lag_seconds", "How late the event loop was.", LAG_BUCKETS
        )

        self._selftests = self._counter("dialin_selftest_runs", "Calls to itself.", "result")
        self._selftest_at = Gauge(
            "dialin_selftest_last_success_timestamp_seconds",
            "When a call to itself last reached its room; 0 for never.",
            registry=self.registry,
        )
        self._selftest_took = self._histogram(
            "dialin_selftest_duration_seconds", "How long a call to itself took.", SELFTEST_BUCKETS
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def call_came(self, trunk: str) -> None:
        """A trunk sent an INVITE that begins a call."""
        self._invites.labels(trunk).set_to_current_time()
        self._invited_at[trunk] = datetime.now(UTC)

    def wrong_pins_last_hour(self) -> int:
        """How many wrong PINs were keyed in the last hour, over all trunks."""
        an_hour_ago = time.monotonic() - HOUR_S
        while self._wrong_pins_at and self._wrong_pins_at[0] < an_hour_ago:
            self._wrong_pins_at.popleft()
        return len(self._wrong_pins_at)

    def last_invite_at(self, trunk: str) -> datetime | None:
        """When a trunk last sent a call; None for not since the start."""
        return self._invited_at.get(trunk)

    def call_ended(self, trunk: str, reason: EndReason) -> None:
        """A call ended, or was refused."""
        self._calls.labels(trunk, reason.result, reason.reason).inc()

    def stage_ended(self, stage: CallState, seconds: float) -> None:
        """A call left a stage."""
        self._stages.labels(stage).observe(seconds)

    def pin_keyed(self, result: str) -> None:
        """A PIN was looked up; `result` is a word of the program, such as found."""
        self._pins.labels(result).inc()
        if result in WRONG_PINS:
            self._wrong_pins_at.append(time.monotonic())

    def store_failed(self, cause: str) -> None:
        """The store could not be used; `cause` is kebab-case."""
        self._store.labels(cause).inc()

    def bbb_asked(self, server: str, result: str) -> None:
        """A BBB server answered; `result` is ok or a cause, kebab-case."""
        self._bbb.labels(server, result).inc()

    def hook_came(self, server: str, result: str) -> None:
        """A BBB server posted an event; `result` is taken, repeated or why not, kebab-case."""
        self._hooks.labels(server, result).inc()

    def subscriber_posted(self, subscriber: str, result: str) -> None:
        """A subscriber was told something; `result` is taken, dropped or why not, kebab-case."""
        self._subscribers.labels(subscriber, result).inc()

    def selftest_ended(self, outcome: str, seconds: float) -> None:
        """A call to itself is over; `outcome` is success or what was wrong, kebab-case."""
        self._selftests.labels(outcome).inc()
        self._selftest_took.observe(seconds)
        if outcome == "success":
            self._selftest_at.set_to_current_time()

    def leg_ended(self, leg: str, figures: LegStatistics) -> None:
        """A leg (`trunk` or `bbb`) ended with these figures."""
        self._packets.labels(leg, "in").inc(figures.packets_received)
        self._packets.labels(leg, "out").inc(figures.packets_sent)
        self._lost.labels(leg).inc(figures.packets_lost)
        self._dropped.labels(leg, "other-source").inc(figures.dropped_source)
        self._dropped.labels(leg, "malformed").inc(figures.malformed)
        self._dropped.labels(leg, "payload-type").inc(figures.unexpected)
        self._dropped.labels(leg, "srtp").inc(figures.srtp_failed)
        self._jitter.labels(leg).observe(figures.jitter_ms / 1000)

    def watch_calls(self, calls: LiveCalls, rooms: Servers) -> None:
        """Show the live calls and the BBB servers whenever somebody asks."""
        self.registry.register(_Live(lambda: self._live(calls, rooms)))

    def watch_sip(self, counts: SipCounters) -> None:
        """Show what the SIP endpoint counted whenever somebody asks."""
        self.registry.register(_Live(lambda: _sip(counts)))

    def watch_certificates(self, expiries: Callable[[], Mapping[str, float]]) -> None:
        """Show when our own certificates expire whenever somebody asks."""
        self.registry.register(_Live(lambda: _certificates(expiries())))

    def watch_risk(self, risk: Callable[[], float]) -> None:
        """Show how likely it is that somebody guesses a PIN, whenever somebody asks."""
        self.registry.register(_Live(lambda: _risk(risk())))

    def watch_trunks(self, standings: Callable[[], Mapping[str, Standing]]) -> None:
        """Show whether trunks are registered whenever somebody asks."""
        self.registry.register(_Live(lambda: _trunks(standings())))

    async def watch_loop(self, every_s: float = LAG_EVERY_S) -> None:
        """Measure how late the event loop is, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + every_s
            await asyncio.sleep(every_s)
            self._lag.observe(max(0.0, loop.time() - due))

    def _live(self, calls: LiveCalls, rooms: Servers) -> Iterator[Metric]:
        active = dict.fromkeys(((trunk, state) for trunk in self._trunks for state in CallState), 0)
        for call in calls.snapshots():
            active[call.trunk, call.state] = active.get((call.trunk, call.state), 0) + 1
        family = GaugeMetricFamily(
            "dialin_calls_active", "Calls that are up.", labels=["trunk", "stage"]
        )
        for (trunk, state), count in active.items():
            family.add_metric([trunk, state], count)
        yield family
        up = GaugeMetricFamily("dialin_bbb_up", "Whether it answers.", labels=["server"])
        meetings = GaugeMetricFamily("dialin_bbb_meetings", "Its meetings.", labels=["server"])
        answered = GaugeMetricFamily(
            "dialin_bbb_last_answer_timestamp_seconds", "When it last answered.", labels=["server"]
        )
        for server in rooms.servers:
            up.add_metric([server.name], float(server.ok))
            meetings.add_metric([server.name], server.meetings)
            if server.last_ok_at:
                answered.add_metric([server.name], server.last_ok_at.timestamp())
        yield from (up, meetings, answered)


def _sip(counts: SipCounters) -> Iterator[Metric]:
    requests = CounterMetricFamily("dialin_sip_requests", "SIP requests.", labels=["method"])
    for method, count in counts.requests.items():
        requests.add_metric([method], count)
    dropped = CounterMetricFamily(
        "dialin_sip_dropped", "Messages and connections not dealt with.", labels=["reason"]
    )
    dropped.add_metric(["source-not-allowed"], counts.dropped_source)
    dropped.add_metric(["connection-refused"], counts.refused_connections)
    dropped.add_metric(["tls-handshake"], counts.failed_handshakes)
    dropped.add_metric(["connection-slow"], counts.slow_connections)
    dropped.add_metric(["malformed"], counts.malformed)
    dropped.add_metric(["stray-response"], counts.strays)
    dropped.add_metric(["unsent"], counts.unsent)
    yield from (requests, dropped)


def _certificates(expiries: Mapping[str, float]) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "dialin_tls_certificate_expiry_timestamp_seconds",
        "When a certificate of ours expires.",
        labels=["file"],
    )
    for file, at in expiries.items():
        family.add_metric([file], at)
    yield family


def _risk(chance: float) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "dialin_pin_risk_24h",
        "Chance that somebody who guesses for 24 hours gets into a room.",
        value=chance,
    )


def _trunks(standings: Mapping[str, Standing]) -> Iterator[Metric]:
    registered = GaugeMetricFamily(
        "dialin_trunk_registered", "Whether the provider knows us.", labels=["trunk"]
    )
    expires = GaugeMetricFamily(
        "dialin_trunk_registration_expires_timestamp_seconds",
        "Until when the provider knows us, unless renewed.",
        labels=["trunk"],
    )
    for name, standing in standings.items():
        registered.add_metric([name], float(standing.is_registered))
        if standing.is_registered:
            expires.add_metric([name], time.time() + standing.seconds_left)
    yield from (registered, expires)


class _Live(Collector):
    """Figures that are read when somebody asks."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Called by prometheus-client."""
        return self._read()


def metrics_page(metrics: Metrics) -> Handler:
    """`/metrics` in the text format that every Prometheus reads."""

    async def answer(request: web.Request) -> web.Response:
        body = prometheus_client.generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    return answer
