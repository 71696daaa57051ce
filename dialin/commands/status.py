# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin status` and `dialin drain`: how the service does, on a terminal, and its way out.

What is shown comes from the API, so it holds no phone number. What hosts wrote is made fit for a
terminal here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import click

from dialin.commands.service_api import ServiceApi
from dialin.commands.usual import config_option, loaded_from
from dialin.web.meeting_name import shown_name

PARTS = ("service", "trunks", "servers", "calls")
LONGEST_CELL = 32
ENDS_SHOWN = 10
WAIT_S = 2.0
CLEAR = "\x1b[H\x1b[2J"
"""Cursor home, and the screen empty (ECMA-48)."""
DASH = "-"


@click.command()
@config_option
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option("--every-s", type=click.FloatRange(1, 3600), default=2.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print what the API says.")
def status(file: Path | None, *, watch: bool, every_s: float, as_json: bool) -> None:
    """Show how the running service does: trunks, servers, calls, how the last ones ended."""
    if watch and as_json:
        raise click.UsageError("--watch is for people, --json for programs.")
    with ServiceApi(loaded_from(file).settings) as service:
        if not watch:
            told = {part: service.get(part) for part in PARTS}
            click.echo(json.dumps(told, indent=2) if as_json else "\n".join(page(told)))
            return
        # Ctrl-C ends it; nothing else sets the event.
        ended = Event()
        while True:
            lines = page({part: service.get(part) for part in PARTS})
            click.echo(CLEAR + "\n".join(lines), color=True)
            ended.wait(every_s)


@click.command()
@config_option
@click.option("--wait", is_flag=True, help="Return when the last call has ended.")
def drain(file: Path | None, *, wait: bool) -> None:
    """Let the running service take no more calls; those that are up go on.

    Only a restart ends it. `systemctl stop` drains as well, and then ends the service.
    """
    with ServiceApi(loaded_from(file).settings) as service:
        service.post("service/drain")
        while wait and (up := len(service.get("calls"))):
            click.echo(f"{up} calls are up.")
            Event().wait(WAIT_S)
    click.echo("The service takes no more calls.")


def page(told: Mapping[str, Any], now: datetime | None = None) -> Iterator[str]:
    """Everything, as lines."""
    at = now or datetime.now(UTC)
    yield from _service(told["service"], at)
    yield ""
    yield from table(
        ("TRUNK", "MODE", "REGISTERED", "LAST CALL", "CALLS"),
        [
            (
                trunk["name"],
                trunk["mode"],
                _registered(trunk),
                _ago(trunk["last_invite_at"], at),
                trunk["calls"],
            )
            for trunk in told["trunks"]
        ],
    )
    yield ""
    yield from table(
        ("SERVER", "API", "MEETINGS", "WEBHOOKS", "MUTES IN", "CALLS"),
        [
            (
                server["name"],
                "ok" if server["ok"] else server["cause"],
                server["meetings"],
                "yes" if server["webhooks"] else "no",
                server["mutes"],
                server["calls"],
            )
            for server in told["servers"]
        ],
    )
    yield ""
    yield from table(
        ("CALLER", "STATE", "ROOM", "TRUNK", "FOR", "CODEC", "LOST", "JITTER"),
        [_call(call) for call in told["calls"]],
    )
    ends = told["service"]["recent_ends"][:ENDS_SHOWN]
    if ends:
        yield ""
        yield from table(
            ("ENDED", "TRUNK", "HOW", "AFTER"),
            [
                (
                    _ago(end["at"], at),
                    end["trunk"],
                    f"{end['result']}/{end['reason']}",
                    _span(end["duration_s"]),
                )
                for end in ends
            ],
        )


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Columns as wide as they need to be."""
    cells = [[_cell(value) for value in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _service(service: Mapping[str, Any], now: datetime) -> Iterator[str]:
    calls = {state: count for state, count in service["calls"].items() if count}
    states = ", ".join(f"{count} {state}" for state, count in calls.items()) or "none"
    accepts = "takes calls" if service["accepting"] else "DRAINS, takes no calls"
    yield f"{_cell(service['name'])}, dialin {service['version']}: {accepts}"
    yield f"calls: {sum(calls.values())} of {service['max_calls']} ({states})"
    if service["selftest_at"] is not None:
        result = "reached its room" if service["selftest_ok"] else "FAILED"
        yield f"self-test: {result} {_ago(service['selftest_at'], now)}"


def _registered(trunk: Mapping[str, Any]) -> str:
    if trunk["registered"] is None:
        return DASH
    return f"for {_span(trunk['seconds_left'])}" if trunk["registered"] else f"NO: {trunk['cause']}"


def _call(call: Mapping[str, Any]) -> Sequence[Any]:
    marks = [
        call["state"] + (f" for {call['waiting_for']}" if call["waiting_for"] else ""),
        *(["muted"] if call["muted"] else []),
        *(["hand up"] if call["hand_raised"] else []),
    ]
    return (
        call["label"] or DASH,
        ", ".join(marks),
        call["room"] or DASH,
        call["trunk"],
        _span(call["duration_s"]),
        f"{call['codec'] or DASH}{' encrypted' if call['encrypted'] else ''}",
        call["packets_lost"],
        f"{call['jitter_ms']:.0f} ms",
    )


def _ago(text: str | None, now: datetime) -> str:
    """How long ago a time of the API was."""
    if text is None:
        return "never"
    return f"{_span(max(0.0, (now - datetime.fromisoformat(text)).total_seconds()))} ago"


def _span(seconds: float) -> str:
    """A time span in the largest unit that fits."""
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _cell(value: object) -> str:
    """A value fit for a terminal: hosts write meeting ids, and a terminal obeys what it reads."""
    text = shown_name(str(value))
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"
