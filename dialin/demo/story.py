# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of one call in the demo, told step by step: what a caller, a room and an operator see.

Each line is something that was seen, by somebody other than the service itself: by the phone, which
is a foreign SIP stack, or by the voice conference. The status is 0 only if all of it is true.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import click

from dialin import phone
from dialin.demo.conference import Conference, Member
from dialin.demo.mixing import CHIME_HZ
from dialin.registry import CallState, Registry
from dialin.sip import Listen

CALLER = "+491713920042"
"""Who calls, out of the range that Germany keeps for fiction."""
LABEL = "xxx-xxx-0042"
"""What the room may see of it."""
PIN = "123456789"
TALK_HZ = 620.0
KEYS_AFTER_S = 3.0
LISTEN_S = 40.0
JOINED_WITHIN_S = 15.0
LISTEN_FOR_S = 4
"""Longer than the pause between two chimes."""
SPOKEN_TO_S = 8.0
"""By then the service has said what it has to say to somebody who has come into the room."""
LOOK_EVERY_S = 0.1
GONE_WITHIN_S = 3.0
LOUD_ENOUGH = 500.0
"""Peak amplitude of a tone that is meant to be heard, in 16-bit samples."""


PHONE_STEPS = {
    phone.Step.ANSWERED: "the call was answered",
    phone.Step.SOUND_HEARD: "the caller hears the prompt",
}
"""What the phone tells while the call goes on."""


class Story:
    """Steps that were or were not seen."""

    def __init__(self) -> None:
        self.is_true = True
        """Whether everything told so far was so."""

    def saw(self, what: str, is_so: bool) -> None:
        """Tell one step."""
        self.is_true = self.is_true and is_so
        click.echo(f"  {'ok  ' if is_so else 'FAIL'}  {what}")


async def tell(conference: Conference, registry: Registry, at: Listen, record: Path | None) -> int:
    """Place a call to the service, tell what happens as it does, return the exit status."""
    story = Story()
    click.echo(f"A caller dials sip:dialin@{at.host}:{at.port} …")
    enough = threading.Event()
    calling = asyncio.create_task(call(at, record, story, enough))
    try:
        await watch(conference, registry, story)
    finally:
        enough.set()
        report = await calling
    for step, text in PHONE_STEPS.items():
        if step not in report.steps:
            story.saw(text, False)
    window = max(0.0, report.lasted_s - LISTEN_FOR_S)
    story.saw("the caller heard the chime", report.heard.has_tone(CHIME_HZ, window))
    is_gone = await came_true(conference, lambda: not conference.members(PIN), GONE_WITHIN_S)
    story.saw("after hanging up nobody is left in the room", is_gone and not len(registry))
    if record:
        click.echo(f"What the caller heard is in {record}.")
    click.echo("The call went as it should." if story.is_true else "The call did not go right.")
    return 0 if story.is_true else 1


async def call(
    at: Listen, record: Path | None, story: Story, enough: threading.Event
) -> phone.CallReport:
    """The phone's part; it runs in a thread of its own."""
    loop = asyncio.get_running_loop()

    def on_step(step: phone.Step) -> None:
        if text := PHONE_STEPS.get(step):
            loop.call_soon_threadsafe(story.saw, text, True)

    return await asyncio.to_thread(
        phone.place_call,
        at.host,
        at.port,
        "dialin",
        own_host=at.host,
        caller=CALLER,
        keys=f"{PIN}#",
        keys_after_s=KEYS_AFTER_S,
        listen_s=LISTEN_S,
        talk_tone_hz=TALK_HZ,
        record=record,
        on_step=on_step,
        hang_up=enough,
    )


async def watch(conference: Conference, registry: Registry, story: Story) -> None:
    """What the room and the operator see of it."""
    member = await seen_in_room(conference)
    story.saw("the PIN, keyed as tones, was accepted: somebody joins the room", member is not None)
    name = member.reading.name if member else ""
    story.saw(f"the room's list shows {name!r}", name == LABEL)
    label = await label_in_room(registry)
    story.saw(f"the API shows {label!r} in the room", label == LABEL)
    said, heard = await tones_of(conference, member) if member else (0.0, 0.0)
    story.saw(f"the room hears the caller's tone of {TALK_HZ:.0f} Hz", said > LOUD_ENOUGH)
    story.saw(f"the room sends its chime of {CHIME_HZ} Hz", heard > 0)
    await asyncio.sleep(SPOKEN_TO_S if member else 0)


async def seen_in_room(conference: Conference) -> Member | None:
    """The caller in the room's list, once they are there."""
    await came_true(conference, lambda: bool(conference.members(PIN)), JOINED_WITHIN_S)
    return next(iter(conference.members(PIN)), None)


async def label_in_room(registry: Registry) -> str | None:
    """The label under which the service says that a caller hears the room by now."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + JOINED_WITHIN_S
    while loop.time() < give_up_at:
        for call in registry.snapshots():
            if call.state is CallState.IN_ROOM:
                return call.label
        await asyncio.sleep(LOOK_EVERY_S)
    return None


async def tones_of(conference: Conference, member: Member) -> tuple[float, float]:
    """The loudest that a member says at TALK_HZ and is sent at CHIME_HZ within LISTEN_FOR_S."""
    said = heard = 0.0
    for _ in range(LISTEN_FOR_S):
        await asyncio.sleep(1.0)
        sounds = await conference.listen(member, (TALK_HZ, CHIME_HZ))
        said = max(said, sounds.said.tones[TALK_HZ])
        heard = max(heard, sounds.heard.tones[CHIME_HZ])
    return said, heard


async def came_true(conference: Conference, is_so: Callable[[], bool], within_s: float) -> bool:
    """Whether something about the room came true in time."""
    try:
        async with asyncio.timeout(within_s):
            await conference.until(lambda _: is_so())
    except TimeoutError:
        return False
    return True
