# SPDX-License-Identifier: GPL-3.0-or-later
"""From two looks at the live calls to what has happened in between. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dialin.registry import CallSnapshot, CallState, WaitingFor
from dialin.web.api.posts import PostedEvent

Calls = Mapping[str, CallSnapshot]
"""Live calls by their ids."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that others may want to know."""

    event: PostedEvent
    meeting_id: str
    call: CallSnapshot
    """The call as it was then."""


def happenings(before: Calls, after: Calls) -> Iterator[Happening]:
    """What has happened, departures of a call before its arrivals elsewhere."""
    for call_id, call in before.items():
        if call_id not in after:
            yield from _left(call, None)
    for call_id, call in after.items():
        was = before.get(call_id)
        yield from _left(was, call)
        yield from _came(was, call)


def _left(was: CallSnapshot | None, call: CallSnapshot | None) -> Iterator[Happening]:
    room = _room(was)
    if was and room and room != _room(call):
        yield Happening(PostedEvent.LEFT, room, was)


def _came(was: CallSnapshot | None, call: CallSnapshot) -> Iterator[Happening]:
    room, wait = _room(call), _wait(call)
    if room and room != _room(was):
        yield Happening(PostedEvent.JOINED, room, call)
    if wait and call.room and wait != _wait(was):
        yield Happening(PostedEvent.WAITING, call.room, call)
    if call.room and call.hand_raised != (was.hand_raised if was else False):
        yield Happening(PostedEvent.HAND, call.room, call)


def _room(call: CallSnapshot | None) -> str | None:
    """The meeting that a caller is in."""
    return call.room if call and call.state is CallState.IN_ROOM else None


def _wait(call: CallSnapshot | None) -> tuple[str | None, WaitingFor] | None:
    """Where a caller waits, and for what."""
    waits = call is not None and call.state is CallState.WAITING and call.waiting_for
    return (call.room, call.waiting_for) if call and waits else None
