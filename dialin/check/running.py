# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the service runs on this machine, and how it says it is.

Asked over HTTP as a monitor would. This is one of the synchronous commands, so it may use
`requests`, which the service itself never does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import requests

from dialin.check.steps import Finding, fail, ok, warn

ANSWER_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Running:
    """What the service says of itself."""

    is_up: bool
    """Whether it answers at all."""
    readiness: dict[str, Any]
    """What `/readyz` says; empty if nothing."""


async def look_for_service(host: str, port: int) -> Running:
    """Ask the service that the settings describe whether it is there."""
    return await asyncio.to_thread(_ask, base_address(host, port))


def base_address(host: str, port: int) -> str:
    """Where this machine reaches the service's pages."""
    try:
        address = ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        address = ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def _ask(base: str) -> Running:
    with requests.Session() as session:
        session.trust_env = False  # a proxy would not reach this machine's loopback
        if _answer(session, f"{base}/healthz").get("status") != "ok":
            return Running(is_up=False, readiness={})
        return Running(is_up=True, readiness=_answer(session, f"{base}/readyz"))


def _answer(session: requests.Session, url: str) -> dict[str, Any]:
    """The object that a page answers with; empty for anything else."""
    try:
        answer = session.get(url, timeout=ANSWER_WITHIN_S, allow_redirects=False)
        told = answer.json()
    except requests.RequestException:
        return {}
    return told if isinstance(told, dict) else {}


def service_is_ready(running: Running) -> Finding:
    """What a caller who came now would meet."""
    if not running.is_up:
        return ok("It does not run, so its ports are tried as well.")
    troubles = [
        f"{part.get('name')} ({part.get('cause')})"
        for part in running.readiness.get("dependencies", ())
        if isinstance(part, dict) and not part.get("ok")
    ]
    if not running.readiness.get("accepting"):
        return warn(
            "It runs and takes no new calls: it is starting, or was told to stop.",
            "Wait, or start it again when its calls are over.",
        )
    if not running.readiness.get("ready"):
        return fail(
            f"It runs, and no caller could reach a meeting now: {', '.join(troubles)}.",
            "See the steps below.",
        )
    if troubles:
        return warn(f"It runs, but: {', '.join(troubles)}.", "See the steps below.")
    return ok("It runs and takes calls.")
