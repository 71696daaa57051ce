# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboard and alert rules ask for figures that there are, by labels that those have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dialin.media.engine import LegStatistics
from dialin.registration import Standing
from dialin.registry import CallState
from dialin.sip.counters import SipCounters
from dialin.web import Metrics
from tests.web import CALL, WELL, Calls, Rooms, app_with
from tests.web.conftest import Visit

CONFIG = Path(__file__).parent.parent.parent / "config"
DASHBOARD = CONFIG / "grafana" / "dialin.json"
RULES = CONFIG / "prometheus" / "dialin.rules.yml"
FIGURE = re.compile(r"(dialin_[a-z0-9_]+)(?:\{([^}]*)\})?")
LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
EVERYWHERE = {"instance", "le"}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """What is asked for, and where."""
    for panel in panels():
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@pytest.fixture
async def figures(visit: Visit) -> dict[str, set[str]]:
    """The labels of each figure that the service gives."""
    metrics = Metrics(version="1", trunks=["lab"])
    sip = SipCounters()
    sip.requests["INVITE"] += 1
    metrics.watch_sip(sip)
    metrics.watch_certificates(lambda: {"tls.pem": 1.0})
    metrics.watch_risk(lambda: 0.001)
    metrics.watch_trunks(lambda: {"lab": Standing(is_registered=True, seconds_left=60)})
    metrics.selftest_ended("success", 1)
    metrics.store_failed("disk-full")
    metrics.subscriber_posted("lms", "dropped")
    metrics.pin_keyed("found")
    metrics.bbb_asked("main", "ok")
    metrics.call_came("lab")
    metrics.stage_ended(CallState.PIN, 1)
    metrics.leg_ended("trunk", LegStatistics())
    client = await visit(app_with(metrics=metrics, calls=Calls([CALL]), rooms=Rooms([WELL])))
    page = await (await client.get("/metrics")).text()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_every_figure_that_is_asked_for_is_given_with_these_labels(
    figures: dict[str, set[str]],
) -> None:
    for where, expression in expressions():
        asked = FIGURE.findall(expression)
        assert asked, where
        for name, selector in asked:
            assert name in figures, f"{where}: {name}"
            labels = set(LABEL.findall(selector)) - EVERYWHERE
            assert labels <= figures[name], f"{where}: {name} by {labels}"


async def test_what_is_grouped_by_is_a_label(figures: dict[str, set[str]]) -> None:
    for where, expression in expressions():
        known = set().union(*(figures[name] for name, _ in FIGURE.findall(expression)))
        for labels in re.findall(r"\bby \(([^)]*)\)", expression):
            names = {label.strip() for label in labels.split(",")} - EVERYWHERE
            assert names <= known, f"{where}: {names}"


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)


def test_every_alert_says_what_to_do() -> None:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert set(rule["annotations"]) == {"summary", "remedy"}
            assert rule["labels"]["severity"] in ("warning", "critical")
