# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus reads a service that runs: every query of the dashboard gives an answer."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.served import service
from tests.media.world import free_ports
from tests.web.test_dashboard import RULES, panels

pytestmark = pytest.mark.e2e

WITHIN_S = 60.0
EMPTY_UNTIL_IT_HAPPENS = {
    "Registered",
    "Certificates end in",
    "Last good self-test",
    "Self-tests",
    "How calls end",
    "PINs keyed",
    "Since the last call came",
    "Packets lost on the way to us",
    "Jitter at the end of calls, p95",
    "Datagrams not played",
    "SIP requests",
    "Until the PIN is keyed",
    "Joining a room",
}
"""What has no figure in a service that nobody calls and that registers nowhere."""


@contextmanager
def prometheus(served: str, folder: Path) -> Iterator[str]:
    """The address of a Prometheus that reads this service, and our rules."""
    port = free_ports(1)[0]
    target = served.removeprefix("http://")
    config = folder / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n"
        f"rule_files: [{RULES}]\n"
        f"scrape_configs:\n  - job_name: dialin\n    static_configs: [{{targets: ['{target}']}}]\n"
    )
    with subprocess.Popen(
        [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    ) as running:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()
            running.wait(timeout=20)


def asked(address: str, what: str, **parameters: str) -> Any:
    """The data that Prometheus gives; None while it does not answer."""
    try:
        answer = requests.get(f"{address}/api/v1/{what}", params=parameters, timeout=10)
    except requests.ConnectionError:
        return None
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def until(address: str, expression: str) -> None:
    """Wait until an expression gives something."""
    deadline = time.monotonic() + WITHIN_S
    while not (asked(address, "query", query=expression) or {}).get("result"):
        assert time.monotonic() < deadline, expression
        time.sleep(0.5)  # noqa: TID251 - another process, which tells nobody


def test_every_query_of_the_dashboard_is_answered(tmp_path: Path) -> None:
    with service() as served, prometheus(served, tmp_path) as address:
        until(address, "dialin_build_info")
        until(address, "rate(dialin_bbb_requests_total[20s]) > 0")
        empty = set()
        for panel in panels():
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "20s")
                found = asked(address, "query", query=expression.replace("$instance", ".*"))
                if not found["result"]:
                    empty.add(panel["title"])
        assert empty <= EMPTY_UNTIL_IT_HAPPENS
        groups = asked(address, "rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) >= 11
        assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
        assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []


def test_alerts_fire_when_they_should() -> None:
    tested = subprocess.run(
        ["promtool", "test", "rules", Path(__file__).with_name("alerts.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
