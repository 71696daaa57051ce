# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a load balancer in front of BBB servers: one API, and no word of which server.

Scalelite gives each meeting a PIN of its own, b3lb leaves it to BBB; neither cares for the one that
a front end wants. The servers are stand-ins of `bbb`, called without HTTP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import count

from dialin.demo.api_server import ApiServer
from dialin.demo.bbb import DemoBbb
from dialin.demo.bbb_answers import failed, listed, meeting, running


class Balancer(StrEnum):
    """Whose habits."""

    SCALELITE = "scalelite"
    """`voiceBridge` is overridden by a PIN of nine digits that follows from the meeting's id."""
    B3LB = "b3lb"
    """`voiceBridge` and `dialNumber` are dropped: the PIN changes with each start."""


class DemoBalancer(ApiServer):
    """The balancer, as an asynchronous context manager that listens while it is open."""

    def __init__(
        self,
        servers: Sequence[DemoBbb],
        *,
        kind: Balancer = Balancer.SCALELITE,
        lists_meetings: bool = True,
        uses_external_voice_bridge: bool = False,
        default_parameters: Mapping[str, str] = {},
        override_parameters: Mapping[str, str] = {},
        host: str = "127.0.0.1",
        port: int = 0,
        secret: str | None = None,
    ) -> None:
        """`lists_meetings`: whether getMeetings is answered; Scalelite may have it switched off.

        The three others are Scalelite's USE_EXTERNAL_VOICE_BRIDGE, DEFAULT_CREATE_PARAMS and
        OVERRIDE_CREATE_PARAMS.
        """
        super().__init__(host=host, port=port, secret=secret)
        self.servers = list(servers)
        """Those that take meetings, in turn."""
        self._kind = kind
        self._lists_meetings = lists_meetings
        self._uses_external_voice_bridge = uses_external_voice_bridge
        self._defaults, self._overrides = default_parameters, override_parameters
        self._turn = count()

    def perform(self, call: str, query: Mapping[str, str]) -> bytes:
        """The answer to one call whose checksum is right."""
        meeting_id = query.get("meetingID", "")
        holder = self._holder_of(meeting_id)
        match call:
            case "getMeetings":
                every = [one for server in self.servers for one in server.listed_meetings()]
                shown = every if self._lists_meetings else []
                return listed([("meeting", meeting(room, callers)) for room, callers in shown])
            case "create":
                server = holder or self.servers[next(self._turn) % len(self.servers)]
                return server.perform(call, self._rewritten(meeting_id, query))
            case "isMeetingRunning" if holder is None:
                return running(False)
            case _ if holder is None:
                return failed("notFound", "We could not find a meeting with that meeting ID.")
            case "isMeetingRunning" | "getMeetingInfo" | "end":
                return holder.perform(call, query)
            case _:
                return failed("unsupportedRequest", "This request is not supported.")

    def _holder_of(self, meeting_id: str) -> DemoBbb | None:
        for server in self.servers:
            if any(room.meeting_id == meeting_id for room, _ in server.listed_meetings()):
                return server
        return None

    def _rewritten(self, meeting_id: str, query: Mapping[str, str]) -> dict[str, str]:
        if self._kind is Balancer.B3LB:
            dropped = {"voiceBridge", "dialNumber"}
            return {name: value for name, value in query.items() if name not in dropped}
        wanted, taken = query.get("voiceBridge", ""), self._taken(meeting_id)
        is_kept = self._uses_external_voice_bridge and wanted and wanted not in taken
        voice_bridge = wanted if is_kept else scalelite_pin(meeting_id, taken)
        return {**self._defaults, **query, **self._overrides, "voiceBridge": voice_bridge}

    def _taken(self, meeting_id: str) -> set[str]:
        return {
            room.voice_bridge
            for server in self.servers
            for room, _ in server.listed_meetings()
            if room.meeting_id != meeting_id and not room.is_ended
        }


def scalelite_pin(meeting_id: str, taken: set[str]) -> str:
    """Nine digits without a leading zero that follow from the meeting's id, as long as they are
    free (`VOICE_BRIDGE_LEN` 9)."""
    return next(pin for pin in _pins(meeting_id) if pin not in taken)


def _pins(meeting_id: str) -> Iterator[str]:
    for attempt in count():
        digest = hashlib.sha256(f"{meeting_id}{attempt or ''}".encode()).digest()
        yield str(100_000_000 + int.from_bytes(digest) % 900_000_000)
