# SPDX-License-Identifier: GPL-3.0-or-later
"""The meetings of the BBB stand-in: values, and which of them the demo has.

What may become of them is left to `bbb`, how they are written to `bbb_answers` and `hook_events`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dialin.wire.bbbhooks import NO_PARENT

HOST = "w_demohost"
"""Internal and external id of the web user who is in every room that runs."""
BBB_TEST_BRIDGE = "99999"
"""Never given to a meeting (`testVoiceBridge`)."""


@dataclass(slots=True)
class DemoRoom:
    """One meeting of the stand-in."""

    meeting_id: str
    """The front end's id."""
    name: str
    """What people call it."""
    voice_bridge: str
    """Its PIN."""
    running: bool = False
    """Whether somebody has joined."""
    is_ended: bool = False
    """Whether it is over; BBB lists it for a while longer."""
    parent: DemoRoom | None = None
    """For a breakout room, the room it belongs to."""
    dial_number: str = "+49 30 12345678"
    """What BBB would show as the number to call; nobody's."""
    create_time: int = 0
    """Milliseconds since 1970."""
    start_time: int = 0
    """Milliseconds since 1970; 0 before it begins."""
    recording: bool = False
    """Whether it was created with record=true: it may be recorded, or is."""
    is_recording: bool = False
    """Whether somebody has pressed the button."""
    audio_bridge: str = "bbb-webrtc-sfu"
    """`bbb-webrtc-sfu`, `livekit` or `freeswitch`."""
    sequence: int = 0
    """The number of a breakout room; 0 is what its PIN adds to that of its parent."""
    guests: dict[str, str] = field(default_factory=dict)
    """Web users besides the host: names by user id."""
    metadata: dict[str, str] = field(default_factory=dict)
    """What the front end gave as `meta_…`, without that."""
    welcome_template: str = ""
    """What web users are greeted with; may name number, PIN and meeting."""

    @property
    def internal_id(self) -> str:
        """BBB's own id: another one each time the meeting is created."""
        digest = hashlib.sha1(self.meeting_id.encode(), usedforsecurity=False).hexdigest()
        return f"{digest}-{self.create_time}"

    @property
    def parent_id(self) -> str:
        """Internal id of the room that a breakout room belongs to."""
        return self.parent.internal_id if self.parent else NO_PARENT

    @property
    def create_date(self) -> str:
        """`create_time` as BBB writes it for people."""
        created = datetime.fromtimestamp(self.create_time / 1000, UTC)
        return created.strftime("%a %b %d %H:%M:%S UTC %Y")

    @property
    def welcome(self) -> str:
        """What web users are greeted with (ParamsProcessorUtil, substituteKeywords)."""
        values = {"DIALNUM": self.dial_number, "CONFNUM": self.voice_bridge, "CONFNAME": self.name}
        text = self.welcome_template
        for name, value in values.items():
            text = text.replace(f"%%{name}%%", value)
        return text

    @property
    def number(self) -> str:
        """The number of a breakout room, as BBB writes it."""
        if self.sequence or self.parent is None:
            return str(self.sequence)
        return self.voice_bridge.removeprefix(self.parent.voice_bridge)


def demo_rooms() -> list[DemoRoom]:
    """The rooms of the demo: one that runs, its breakout room, and one that opens later."""
    demo = DemoRoom("demo", "Demo room", "123456789", running=True)
    breakout = DemoRoom("breakout", "Demo room (Room 1)", "1234567891", running=True, parent=demo)
    return [demo, breakout, DemoRoom("later", "Later", "555666777")]


def free_voice_bridge(taken: Collection[str]) -> str:
    """Five random digits, leading zeros and all (`defaultNumDigitsForTelVoice`)."""
    every = (f"{number:05d}" for number in range(100_000))
    return secrets.choice([one for one in every if one not in taken and one != BBB_TEST_BRIDGE])


def now_ms() -> int:
    """The time as BBB writes it."""
    return int(datetime.now(UTC).timestamp() * 1000)
