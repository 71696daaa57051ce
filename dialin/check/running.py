# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the service runs on this machine, and how it says it is.

Asked over HTTP as a monitor would. This is one of the synchronous commands, so it may use
`requests`, which the service itself never does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from dialin.check.steps import Finding, fail, ok, warn
from dialin.events import NO_COMMON_CODEC, NO_COMMON_ENCRYPTION, EndReason

ANSWER_WITHIN_S = 3.0
OFFERS = {
    NO_COMMON_ENCRYPTION: (
        "refused with 488 because of how their audio is encrypted, or is not",
        "Let the provider send SRTP over TLS, or let media_encryption of this trunk be `prefer`.",
    ),
    NO_COMMON_CODEC: (
        "refused with 488 because no codec of theirs is one of ours",
        "Let the provider offer G.711 (PCMA or PCMU), and see media.codecs.",
    ),
}
"""What calls can have been refused for that a provider offers, and what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """What the service says of itself."""

    is_up: bool
    """Whether it answers at all."""
    readiness: dict[str, Any]
    """What `/readyz` says; empty if nothing."""
    ends: Mapping[tuple[str, EndReason], int] = field(default_factory=dict)
    """How calls have ended since it began, by trunk; empty if `/metrics` does not say."""


async def look_for_service(host: str, port: int) -> Running:
    """Ask the service that the settings describe whether it is there, and how it fares."""
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
        readiness = _answer(session, f"{base}/readyz")
        return Running(is_up=True, readiness=readiness, ends=_ends(session, f"{base}/metrics"))


def _answer(session: requests.Session, url: str) -> dict[str, Any]:
    """The object that a page answers with; empty for anything else."""
    try:
        answer = session.get(url, timeout=ANSWER_WITHIN_S, allow_redirects=False)
        told = answer.json()
    except requests.RequestException:
        return {}
    return told if isinstance(told, dict) else {}


def _ends(session: requests.Session, url: str) -> dict[tuple[str, EndReason], int]:
    """How calls have ended; empty if the page cannot be had or read."""
    try:
        answer = session.get(url, timeout=ANSWER_WITHIN_S, allow_redirects=False)
        answer.raise_for_status()
        samples = [
            sample
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == "dialin_calls_total"
        ]
        return {
            (
                sample.labels["trunk"],
                EndReason.parse(f"{sample.labels['result']}/{sample.labels['reason']}"),
            ): int(sample.value)
            for sample in samples
        }
    except (requests.RequestException, ValueError, KeyError):
        return {}


def offers_suit(running: Running, trunk: str) -> Iterator[Finding]:
    """What a trunk's calls have been refused for; nothing where none was."""
    for reason, (why, remedy) in OFFERS.items():
        if count := running.ends.get((trunk, reason), 0):
            calls = "1 call has" if count == 1 else f"{count} calls have"
            yield warn(f"Since the service began, {calls} been {why}.", remedy)


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
