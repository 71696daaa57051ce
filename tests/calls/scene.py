# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage of these tests: the whole service between callers and a conference that obey.

Prompts are those of `clips`, so that a caller's ear is a witness. What happens is up to the tests.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dialin.app import Pace
from dialin.demo.bbb import Members
from dialin.demo.rooms import DemoRoom
from dialin.registry import CallState
from dialin.sip import Listen
from tests.peers.cell import in_force
from tests.peers.clips import Clips
from tests.peers.conference import ScriptedConference, scripted_conference
from tests.peers.phone import Phone
from tests.world import Served, Traces, serving, settled

PIN = "123456789"
"""Of the room that runs."""
BRISK = Pace(poll_s=3600, quarantine_s=0.5, conference_answers_within_s=1.5)
"""No room is found by chance: after the first picture, only who asks is told."""
PATIENCE_S = 10.0
CONNECTION_ENDS = 2
"""File descriptors of a connection whose both ends are in this process."""
ANY_SILENCE = {"conference_timeout_s": 3600}
"""A scripted conference says nothing until it is told to."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a test can touch."""

    served: Served
    conference: ScriptedConference
    clips: Clips
    before: Traces
    phones: list[Phone] = field(default_factory=list)

    def phone(self, **details: Any) -> Phone:
        """A caller who has not called yet."""
        phone = Phone(self.served.sip_port(in_force().transport), **details)
        self.phones.append(phone)
        return phone

    async def is_in(self, *states: CallState) -> None:
        """Wait until the calls, from the oldest to the newest, are in these states."""
        await self.served.until(
            lambda: tuple(call.state for call in self.served.service.registry.snapshots()) == states
        )

    async def is_over(self, **ends: int) -> None:
        """Wait until no call is left; then these are the ways in which calls have ended.

        Keywords are reasons with underscores.
        """
        theirs = sum(phone.file_descriptors for phone in self.phones)
        theirs += self.conference.file_descriptors
        if in_force().is_stream:
            theirs += CONNECTION_ENDS  # to the conference, which is kept for the next call
        before = replace(self.before, file_descriptors=self.before.file_descriptors + theirs)
        left = await settled(self.served, before, within_s=PATIENCE_S)
        assert left.within(before), f"{left}, at most {before} expected"
        told = {reason_of(end): count for end, count in (await self.served.ends()).items()}
        assert told == ends, f"{told}, expected {ends}"


@asynccontextmanager
async def scene(
    folder: Path,
    *,
    pace: Pace = BRISK,
    members: Members = lambda _voice_bridge: (),
    rooms: Iterable[DemoRoom] | None = None,
    voice: Listen | None = None,
    twin: dict[str, Any] | None = None,
    **sections: dict[str, Any],
) -> AsyncIterator[Scene]:
    """The scene while the block runs; the service has its picture of the rooms.

    `voice` says that the conferences are elsewhere, `twin` has the settings of a second BBB server.
    """
    clips = Clips(folder / "clips")
    for name, section in {**clips.settings, "media": ANY_SILENCE}.items():
        sections[name] = {**section, **sections.get(name, {})}
    cell = in_force()
    sections["sip"] = {**cell.sip, **sections.get("sip", {})}
    sections["trunks"] = cell.trunks(sections.get("trunks", {}))
    if twin:
        sections["bbb_servers"] = {"twin": twin}
    async with (
        scripted_conference() as conference,
        serving(
            voice or conference.address,
            members=members,
            rooms=rooms,
            pace=pace,
            voice_settings=None if voice else cell.voice,
            **sections,
        ) as served,
    ):
        await served.service.rooms.look_again()
        yield Scene(served, conference, clips, Traces.of(served))


def reason_of(end: str) -> str:
    """`caller/no-pin` as a keyword: `no_pin`."""
    return end.partition("/")[2].replace("-", "_")


def polling(every_s: float) -> Pace:
    """The same, with BBB asked so often."""
    return replace(BRISK, poll_s=every_s)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many of the others do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
