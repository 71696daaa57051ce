# SPDX-License-Identifier: GPL-3.0-or-later
"""Mute, removal, shutdown and moved audio at the conference stand-in, as a caller meets them."""

from __future__ import annotations

import asyncio

import pytest

from dialin.demo.conference import (
    NORMAL_CLEARING,
    SYSTEM_SHUTDOWN,
    Conference,
    Member,
    open_conference,
)
from dialin.demo.voice import Change
from dialin.events import Codec
from dialin.sip import Refused
from dialin.wire import sdp
from dialin.wire.encryption import Encryption
from dialin.wire.sdp import LocalMedia, SessionDescription
from tests.demo.callers import LOOPBACK, OTHER_ROOM, ROOM, WAIT_S, Caller, calling
from tests.fakes.tone_phone import SrtpPhone, TonePhone

ANN_HZ, BOB_HZ = 450, 700


async def is_muted(conference: Conference, muted: bool) -> None:
    async with asyncio.timeout(WAIT_S):
        await conference.until(lambda seen: seen.members(ROOM)[0].muted is muted)


class TestMute:
    async def test_the_bound_keys_take_a_voice_out_of_the_mix_and_bring_it_back(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(ANN_HZ) as ann, TonePhone(BOB_HZ) as bob, asyncio.timeout(3 * WAIT_S):
            await caller.join(ann)
            await caller.join(bob)
            assert await bob.tones_heard((ANN_HZ,)) == {ANN_HZ}
            ann.press("*61")
            await is_muted(conference, True)
            assert await bob.tones_heard((ANN_HZ,)) == set()
            assert await ann.tones_heard((BOB_HZ,)) == {BOB_HZ}
            assert [one.muted for one in conference.phone_callers(ROOM)] == [True, False]
            ann.press("*61")
            ann.press("0")
            await conference.until(lambda seen: seen.members()[0].keys == 7)
            assert conference.members()[0].muted
            ann.press("*60")
            await is_muted(conference, False)
            assert await bob.tones_heard((ANN_HZ,)) == {ANN_HZ}

    async def test_keys_by_info_do_the_same(self, conference: Conference, caller: Caller) -> None:
        async with TonePhone(ANN_HZ) as ann:
            await caller.join(ann)
            await conference.until(lambda seen: bool(seen.members()))
            (leg,) = conference._legs.values()
            for key in "*61":
                leg.on_info_digit(key)
            assert conference.members()[0].muted

    async def test_what_a_muted_member_says_is_listened_to(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(ANN_HZ) as ann, asyncio.timeout(WAIT_S):
            await caller.join(ann)
            await conference.until(lambda seen: bool(seen.members()))
            (member,) = conference.members()
            conference.mute(member)
            while not (await conference.listen(member, (ANN_HZ,))).said.has(ANN_HZ):
                pass

    async def test_every_change_is_told(self, conference: Conference, caller: Caller) -> None:
        told: list[tuple[str, Change]] = []

        def note(member: Member, change: Change) -> None:
            told.append((member.room, change))

        conference.listeners.append(note)
        async with TonePhone(ANN_HZ) as ann:
            leg, _ = await caller.join(ann, OTHER_ROOM)
            await conference.until(lambda seen: bool(seen.members()))
            (member,) = conference.members()
            conference.mute(member)
            conference.mute(member)  # FreeSWITCH tells it again
            conference.unmute(member)
            leg.hang_up()
            async with asyncio.timeout(WAIT_S):
                await conference.until(lambda seen: not seen.members())
            conference.mute(member)  # who has left takes no harm
            conference.kick(member)
        changes = [Change.JOINED, Change.MUTED, Change.MUTED, Change.UNMUTED, Change.LEFT]
        assert told == [(OTHER_ROOM, change) for change in changes]

    async def test_a_mixer_that_is_gone_does_no_harm(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(ANN_HZ) as ann:
            await caller.join(ann)
            await conference.until(lambda seen: bool(seen.members()))
            (member,) = conference.members()
            await conference._mixer.close()
            conference.mute(member)

    async def test_on_a_stock_new_server_no_key_acts(self) -> None:
        async with (
            open_conference(LOOPBACK, binds_keys=False) as conference,
            calling(conference) as caller,
            TonePhone(ANN_HZ) as ann,
            asyncio.timeout(WAIT_S),
        ):
            await caller.join(ann)
            ann.press("*610")
            await conference.until(lambda seen: any(one.keys == 4 for one in seen.members()))
            assert not conference.members()[0].muted

    async def test_on_an_old_server_single_keys_act(self) -> None:
        async with (
            open_conference(LOOPBACK, caller_controls=True) as conference,
            calling(conference) as caller,
            TonePhone(ANN_HZ) as ann,
            TonePhone(BOB_HZ) as bob,
            asyncio.timeout(3 * WAIT_S),
        ):
            await caller.join(ann)
            await caller.join(bob)
            ann.press("0")
            await is_muted(conference, True)
            ann.press("0")
            await is_muted(conference, False)
            ann.press("*")
            await conference.until(lambda seen: seen.members()[0].deaf)
            assert await ann.tones_heard((BOB_HZ,)) == set()
            ann.press("61")
            await conference.until(lambda seen: seen.members()[0].volume_keys == 2)


class TestReasons:
    async def test_who_is_kicked_is_told_that_it_was_meant(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(ANN_HZ) as ann:
            leg, _ = await caller.join(ann)
            await conference.until(lambda seen: bool(seen.members()))
            conference.kick(conference.members()[0])
            end = await asyncio.wait_for(leg.ended, WAIT_S)
            assert end.reason == NORMAL_CLEARING

    async def test_a_shutdown_says_so_and_takes_no_new_calls(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(ANN_HZ) as ann:
            leg, _ = await caller.join(ann)
            await conference.until(lambda seen: bool(seen.members()))
            conference.shut_down()
            end = await asyncio.wait_for(leg.ended, WAIT_S)
            assert end.reason == SYSTEM_SHUTDOWN
            assert end.reason is not None
            assert end.reason.is_shutdown
            again, _ = await caller.invite(ann)
            with pytest.raises(Refused) as refused:
                await again.answered()
            assert refused.value.status == 503


class TestMovedAudio:
    async def test_a_reinvite_with_another_port_is_followed(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(ANN_HZ) as ann, TonePhone(ANN_HZ) as moved, TonePhone(BOB_HZ) as bob:
            _, remote = await caller.join(ann)
            await caller.join(bob)
            leg = next(iter(conference._legs.values()))
            again = sdp.offer(LocalMedia(moved.host, moved.port, 1, 2), [Codec.PCMU])
            answer = leg.on_reoffer(bytes(again))
            assert answer is not None
            assert SessionDescription.parse(answer).media[0].port == remote.rtp_port
            moved.talk_to(remote.host, remote.rtp_port)
            async with asyncio.timeout(WAIT_S):
                assert await moved.tones_heard((BOB_HZ,)) == {BOB_HZ}

    async def test_an_offer_that_cannot_be_taken_changes_nothing(
        self, conference: Conference, caller: Caller
    ) -> None:
        async with TonePhone(ANN_HZ) as ann:
            await caller.join(ann)
            await conference.until(lambda seen: bool(seen.members()))
            (leg,) = conference._legs.values()
            assert leg.on_reoffer(b"v=1") is None
            ours = leg.on_reoffer(None)
            assert ours is not None
            leg.on_reanswer(b"nonsense")
            leg.on_reanswer(bytes(sdp.offer(LocalMedia(ann.host, ann.port, 1, 3), [Codec.PCMU])))
            async with asyncio.timeout(WAIT_S):
                await ann.hear()


async def test_srtp_is_taken_where_it_is_switched_on() -> None:
    async with (
        open_conference(LOOPBACK, encryption=Encryption.PREFER) as conference,
        calling(conference) as caller,
        SrtpPhone(ANN_HZ) as ann,
        TonePhone(BOB_HZ) as bob,
        asyncio.timeout(3 * WAIT_S),
    ):
        _, remote = await caller.join(ann, encryption=Encryption.REQUIRE)
        assert remote.srtp is not None
        await caller.join(bob)
        assert await bob.tones_heard((ANN_HZ, BOB_HZ)) == {ANN_HZ}
        assert await ann.tones_heard((ANN_HZ, BOB_HZ)) == {BOB_HZ}
