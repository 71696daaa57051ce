# SPDX-License-Identifier: GPL-3.0-or-later
"""A caller's day, from outside: the whole service between a phone and a conference that mixes.

BBB's stand-in lists its users, hears the keys that are sent to its FreeSWITCH, and posts webhooks.
What the caller hears is recognised frame by frame.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dialin.app import Pace
from dialin.demo.conference import Member
from dialin.demo.rooms import DemoRoom
from dialin.registry import Admit, CallSnapshot, CallState, LowerHand, MoveTo, WaitingFor
from dialin.sounds import PACKAGE
from dialin.static_rooms import StaticRooms
from dialin.store import FILE_NAME, opened_store
from tests.calls.scene import quantile, reason_of
from tests.peers.clips import Clips
from tests.peers.conference_process import ConferenceProcess
from tests.peers.phone import Phone
from tests.peers.process import free_port
from tests.world import Served, World, serving, whole_service

PIN = "123456789"
BREAKOUT_PIN = "1234567891"
LATER = "555666777"
LOBBY_PIN = "864209753"
ASKED = ("welcome", "enter-pin")
BRISK = Pace(poll_s=2, quarantine_s=0.5, conference_answers_within_s=1.5)
PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What a story can touch."""

    world: World
    clips: Clips
    told: list[str] = field(default_factory=list)
    """What the caller should have heard so far."""

    def phone(self, **details: Any) -> Phone:
        """A caller who has not called yet."""
        return Phone(self.world.sip_port("udp"), **details)

    async def hears(self, phone: Phone, *prompts: str) -> None:
        """Wait until these have come, after all that has come before, and nothing else."""
        self.told.extend(prompts)
        await phone.hears(self.clips, *self.told, within_s=PATIENCE_S)

    async def in_room(self, phone: Phone, pin: str = PIN) -> Member:
        """Call, and go into a room that was empty."""
        assert await phone.dial() == 200
        await self.hears(phone, *ASKED)
        await phone.key(f"{pin}#")
        await self.hears(phone, "joining", "alone")
        return await self.member(pin)

    async def member(self, pin: str = PIN) -> Member:
        """The one caller in a room's conference."""
        conference = self.world.conference
        async with asyncio.timeout(PATIENCE_S):
            await conference.until(lambda seen: len(seen.members(pin)) == 1)
        return conference.members(pin)[0]

    @property
    def call(self) -> CallSnapshot:
        """The one call that is up, as operators see it."""
        [call] = self.world.service.registry.snapshots()
        return call

    async def is_in(self, state: CallState, **fields: object) -> None:
        """Wait until the one call is in this state, and these of its fields are so."""
        await self.world.until(
            lambda: (
                self.call.state is state
                and all(getattr(self.call, name) == value for name, value in fields.items())
            ),
            PATIENCE_S,
        )

    async def ends(self, phone: Phone, reason: str) -> None:
        """Hang up; that is how the call has ended."""
        await phone.hang_up()
        await self.is_over(reason)

    async def is_over(self, reason: str) -> None:
        """Wait until the call is over, and compare how."""
        await self.world.until(lambda: not len(self.world.service.registry))
        assert [reason_of(end) for end in await self.world.ends()] == [reason]

    def bbb_lists_as_muted(self, pin: str = PIN) -> list[bool]:
        """Whether BBB's list of users has the callers of a room muted."""
        return [caller.muted for caller in self.world.conference.phone_callers(pin)]


@asynccontextmanager
async def stage(
    folder: Path, *, rooms: list[DemoRoom] | None = None, **sections: dict[str, Any]
) -> AsyncIterator[Stage]:
    """The stage while the block runs; webhooks come, rooms are polled every two seconds."""
    clips = Clips(folder / "clips")
    port = free_port()
    web = {"port": port, "base_url": f"http://127.0.0.1:{port}"}
    for name, section in {**clips.settings, "web": web}.items():
        sections[name] = {**section, **sections.get(name, {})}
    async with whole_service(rooms=rooms, dtmf="info", pace=BRISK, **sections) as world:
        await world.service.rooms.look_again()
        await world.until(lambda: bool(world.bbb.webhooks.hooks))
        yield Stage(world, clips)


# Keys, and a mute that is true


async def test_a_mute_by_key_is_true_in_bbbs_list_and_is_no_doing_of_a_host(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, on.phone() as phone:
        await on.in_room(phone)
        await phone.key("*6")
        await on.hears(phone, "muted-tone", "muted")
        await on.world.until(lambda: on.bbb_lists_as_muted() == [True])
        await on.is_in(CallState.IN_ROOM, muted=True)
        await phone.key("*6")
        await on.hears(phone, "unmuted-tone", "unmuted")
        await on.world.until(lambda: on.bbb_lists_as_muted() == [False])
        await phone.key("*6")
        await on.hears(phone, "muted-tone")
        await asyncio.sleep(3)  # for a webhook or a poll that might be taken for a host's doing
        await on.hears(phone)
        await on.ends(phone, "left_room")


async def test_a_host_mutes_and_the_caller_is_told_and_is_not_stuck(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, on.phone() as phone:
        member = await on.in_room(phone)
        on.world.conference.mute(member)
        await on.hears(phone, "muted-by-host")
        await on.is_in(CallState.IN_ROOM, muted=True)
        await phone.key("*6")
        await on.hears(phone, "unmuted-tone", "unmuted")
        await on.world.until(lambda: on.bbb_lists_as_muted() == [False])
        on.world.conference.mute(member)
        await on.hears(phone, "muted-by-host")
        on.world.conference.unmute(member)
        await on.hears(phone, "unmuted-by-host")
        await on.is_in(CallState.IN_ROOM, muted=False)
        await on.ends(phone, "left_room")


@pytest.mark.e2e
async def test_a_hand_is_shown_until_the_host_lowers_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, on.phone() as phone:
        await on.in_room(phone)
        await phone.key("*9")
        await on.hears(phone, "hand-up-tone", "hand-up")
        await on.is_in(CallState.IN_ROOM, hand_raised=True)
        on.world.service.registry.give(on.call.id, LowerHand())
        await on.hears(phone, "hand-lowered-by-host")
        await on.is_in(CallState.IN_ROOM, hand_raised=False)
        await on.ends(phone, "left_room")


@pytest.mark.e2e
async def test_help_heads_and_volume(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, on.phone() as phone:
        member = await on.in_room(phone)
        await phone.key("*1")
        await on.hears(phone, "help")
        await phone.key("*#")
        await on.hears(phone, "alone-here")
        await phone.key("*7")
        await on.hears(phone, "done-tone")
        await phone.key("*8")
        await on.hears(phone, "refused-tone")
        assert member.keys == 0  # nothing of all this has reached the conference
        await on.ends(phone, "left_room")


@pytest.mark.e2e
async def test_digits_are_hidden_in_the_room(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, on.phone() as phone:
        member = await on.in_room(phone)
        assert member.reading.name == "xxx-xxx-0594"
        await phone.key("*3")
        await on.hears(phone, "digits-hidden", "alone")
        await on.is_in(CallState.IN_ROOM, digits_hidden=True)
        assert (await on.member()).reading.name == "Phone caller 1"
        await on.ends(phone, "left_room")


@pytest.mark.e2e
async def test_digits_are_hidden_before_the_room(tmp_path: Path) -> None:
    async with stage(tmp_path, label={"ask_to_hide": True}) as on, on.phone() as phone:
        assert await phone.dial() == 200
        await on.hears(phone, "welcome", "ask-to-hide", "enter-pin")
        await phone.key("*3#")
        await on.hears(phone, "digits-hidden", "enter-pin")
        await phone.key(f"{PIN}#")
        await on.hears(phone, "joining", "alone")
        assert (await on.member()).reading.name == "Phone caller 1"
        await on.ends(phone, "left_room")


# Waiting


async def test_who_is_early_hears_music_and_goes_in_the_moment_the_room_opens(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, ivr={"remind_every_s": 5}) as on, on.phone() as phone:
        assert await phone.dial() == 200
        await on.hears(phone, *ASKED)
        await phone.key(f"{LATER}#")
        await on.hears(phone, "not-begun")
        await on.is_in(CallState.WAITING, waiting_for=WaitingFor.ROOM)
        await phone.rtp.until(lambda: on.clips.plays_music(phone.rtp.audio))
        await on.hears(phone, "still-waiting")
        await phone.key("*1")
        await on.hears(phone, "help")
        began_s = time.monotonic()
        on.world.bbb.open_room("later")
        await on.is_in(CallState.IN_ROOM)
        assert time.monotonic() - began_s < 2
        await on.hears(phone, "joining", "alone")
        await on.ends(phone, "left_room")


@pytest.mark.e2e
async def test_another_room_while_waiting_and_while_talking(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, on.phone() as phone:
        assert await phone.dial() == 200
        await on.hears(phone, *ASKED)
        await phone.key(f"{LATER}#")
        await on.hears(phone, "not-begun")
        await phone.key("*0")
        await on.hears(phone, "which-room")
        await phone.key(f"{PIN}#")
        await on.hears(phone, "joining", "alone")
        await on.member()
        await phone.key("*0")
        await on.hears(phone, "which-room")
        assert not on.world.conference.members(PIN)
        await phone.key("*")
        await on.hears(phone, "joining", "alone")
        await on.member()
        await phone.key("*0")
        await on.hears(phone, "which-room")
        await phone.key("1#")  # the first breakout room of this one
        await on.hears(phone, "joining", "alone")
        await on.member(BREAKOUT_PIN)
        await on.ends(phone, "left_room")


async def test_a_lobby(tmp_path: Path) -> None:
    async with opened_store(tmp_path / FILE_NAME, consent_days=0) as store:
        static = StaticRooms(store)
        await static.load()
        await static.create("demo", lobby=True, pin=LOBBY_PIN)
    kept: dict[str, dict[str, Any]] = {
        "service": {"state_directory": str(tmp_path)},
        "store": {"keep": True},
    }
    async with stage(tmp_path, rooms=None, **kept) as on, on.phone() as phone:
        assert await phone.dial() == 200
        await on.hears(phone, *ASKED)
        await phone.key(f"{LOBBY_PIN}#")
        await on.hears(phone, "waiting-for-host")
        await on.is_in(CallState.WAITING, waiting_for=WaitingFor.HOST)
        assert not on.world.conference.members()
        on.world.service.registry.give(on.call.id, Admit())
        await on.hears(phone, "joining", "alone")
        await on.ends(phone, "left_room")


# Out of the room, and on


async def test_a_host_removes_a_caller(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, on.phone() as phone:
        on.world.conference.kick(await on.in_room(phone))
        await on.hears(phone, "removed", "goodbye")
        await phone.is_hung_up_on()
        await on.is_over("removed_by_host")


async def test_a_breakout_room_ends_and_the_caller_is_in_the_main_room(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, on.phone() as phone:
        await on.in_room(phone, BREAKOUT_PIN)
        on.world.bbb.end_breakout("breakout")
        await on.hears(phone, "breakout-ended", "alone")
        await on.member()
        assert on.call.room == "demo"
        await on.ends(phone, "left_room")


@pytest.mark.e2e
async def test_an_operator_moves_a_caller(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, on.phone() as phone:
        await on.in_room(phone)
        on.world.service.registry.give(on.call.id, MoveTo("breakout"))
        await on.hears(phone, "moved", "alone")
        await on.member(BREAKOUT_PIN)
        await on.ends(phone, "left_room")


# Recording, languages


@pytest.mark.e2e
async def test_a_recorded_room_asks_first(tmp_path: Path) -> None:
    recorded = DemoRoom("demo", "Demo room", PIN, running=True, recording=True)
    privacy = {"require_consent": True}
    async with stage(tmp_path, rooms=[recorded], privacy=privacy) as on, on.phone() as phone:
        await on.in_room(phone)
        await on.hears(phone, "recorded", "ask-consent")
        await on.is_in(CallState.IN_ROOM, muted=True)
        await on.world.until(lambda: on.bbb_lists_as_muted() == [True])
        await phone.key("1")
        await on.hears(phone, "consent-given")
        await on.world.until(lambda: on.bbb_lists_as_muted() == [False])
        on.world.bbb.record("demo")
        await on.hears(phone, "recording-begun")
        await on.ends(phone, "left_room")


@pytest.mark.e2e
async def test_a_caller_chooses_a_language(tmp_path: Path) -> None:
    trunks = {
        "demo": {
            "allowed_sources": ["127.0.0.0/8"],
            "number_from": ["fixed"],
            "numbers": [{"e164": "+493023125100", "languages": ["en", "de"]}],
        }
    }
    german = (PACKAGE / "de" / "enter-pin.pcma").read_bytes()
    async with (
        whole_service(pace=BRISK, trunks=trunks, service={"languages": ["en", "de"]}) as world,
        Phone(world.sip_port("udp")) as phone,
    ):
        assert await phone.dial() == 200
        await phone.key("2")
        await phone.rtp.until(lambda: german in b"".join(phone.rtp.audio), within_s=30)
        assert world.service.registry.snapshots()[0].language == "de"
        await phone.hang_up()
        await world.until(lambda: not len(world.service.registry))


# The conference server is restarted


@pytest.mark.parametrize(
    "callers", [3, pytest.param(50, marks=[pytest.mark.e2e, pytest.mark.timeout(180)])]
)
@pytest.mark.parametrize("how", ["dies", pytest.param("is stopped", marks=pytest.mark.e2e)])
async def test_a_restart_of_the_conference_server(tmp_path: Path, callers: int, how: str) -> None:
    clips = Clips(tmp_path / "clips")
    async with (
        ConferenceProcess() as conference,
        serving(
            conference.address, members=conference.phone_callers, pace=BRISK, **clips.settings
        ) as served,
        AsyncExitStack() as up,
    ):
        await served.service.rooms.look_again()
        phones = [
            await up.enter_async_context(
                Phone(served.sip_port("udp"), number=f"+4915738620{caller:03}")
            )
            for caller in range(callers)
        ]
        async with asyncio.TaskGroup() as dialling:
            for phone in phones:
                dialling.create_task(keys_pin(phone))
        await are_all(served, CallState.IN_ROOM, 30)
        if how == "is stopped":
            await conference.order("shut-down")
        await conference.kill()
        await are_all(served, CallState.WAITING, 15)
        await conference.start()
        again_s = time.monotonic()
        await are_all(served, CallState.IN_ROOM, 10)
        print(f"{callers} are back after {time.monotonic() - again_s:.1f} s")  # noqa: T201 - asked for
        await conference.until(lambda seen: len(seen.members(PIN)) == callers)
        assert len({member["name"] for member in conference.members(PIN)}) == callers
        for phone in phones:
            heard = clips.heard(phone.rtp.audio)
            assert not {"enter-pin", "enter-pin…"} & set(heard), heard
            assert {"connection-lost", "connection-lost…"} & set(heard), heard
            await phone.hang_up()


async def keys_pin(phone: Phone) -> None:
    """Call by one tap."""
    assert await phone.dial() == 200
    await phone.key(f"{PIN}#")


async def are_all(served: Served, state: CallState, within_s: float) -> None:
    """Wait until all calls are in one state."""
    registry = served.service.registry
    await served.until(lambda: {call.state for call in registry.snapshots()} == {state}, within_s)


# How fast it is


@pytest.mark.parametrize(
    ("calls", "most_s"),
    [(6, 2.0), pytest.param(300, 1.0, marks=[pytest.mark.e2e, pytest.mark.timeout(900)])],
)
async def test_from_the_answer_to_a_voice_and_from_the_hash_key_to_the_room(
    tmp_path: Path, calls: int, most_s: float
) -> None:
    async with stage(tmp_path) as on:
        first_frames: list[float] = []
        joins: list[float] = []
        for _ in range(calls):
            async with on.phone() as phone:
                assert await phone.dial() == 200
                answered_s = time.time()
                await phone.rtp.until(lambda: bool(on.clips.heard(phone.rtp.audio)))
                first_frames.append(time.time() - answered_s)
                await phone.key(f"{PIN}#")
                hash_s = time.monotonic()
                while on.call.state is not CallState.IN_ROOM:  # noqa: ASYNC110 - the clock is read
                    await asyncio.sleep(0.002)
                joins.append(time.monotonic() - hash_s)
                await phone.hang_up()
                await on.world.until(lambda: not len(on.world.service.registry))
        assert quantile(first_frames, 0.5) <= 0.2
        assert quantile(joins, 0.99) <= most_s
