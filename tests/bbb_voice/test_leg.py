# SPDX-License-Identifier: GPL-3.0-or-later
"""A seat in a conference: how it is muted, by which keys, and what becomes of changes of mind."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from dialin.bbb_voice import ConferenceLeg, KeyMethod
from dialin.bbb_voice.leg import PRESS_WITHIN_S
from dialin.sip import LegEnd, LegGone, Refused
from tests.bbb_voice.parts import ANSWER, FakeOutgoing
from tests.fakes.call_parts import FakeMedia, FakeSeat

pytestmark = pytest.mark.looptime

BY_RFC4733 = 101


class Seat:
    """A seat with its parts at hand."""

    def __init__(self, keys: KeyMethod) -> None:
        self.media, self.caller = FakeMedia(), FakeMedia()
        self.sip = FakeOutgoing(ANSWER)
        self.leg = ConferenceLeg(
            cast(Any, self.media),
            self.sip.ended,
            cast(Any, self.sip),
            FakeSeat().audio,
            cast(Any, self.caller),
            keys,
        )

    @property
    def sequences(self) -> list[str]:
        """What was sent as telephone events."""
        return [keys for keys, _ in self.media.pressed]


async def test_without_keys_the_caller_is_muted_here_alone() -> None:
    seat = Seat(KeyMethod.OFF)
    assert not seat.leg.can_mute_in_bbb
    assert not await seat.leg.mute()
    assert not await seat.leg.unmute()
    assert seat.caller.mutes == [True, False]
    assert not await seat.leg.press("*61")
    assert not seat.media.mutes
    assert not seat.media.pressed + seat.sip.info


async def test_telephone_events_go_on_the_number_that_bbb_hears() -> None:
    seat = Seat(KeyMethod.RFC4733)
    assert seat.leg.can_mute_in_bbb
    assert await seat.leg.mute()
    assert await seat.leg.unmute()
    assert seat.media.pressed == [("*61", BY_RFC4733), ("*60", BY_RFC4733)]
    assert not seat.sip.info


async def test_by_info_no_telephone_event_goes() -> None:
    seat = Seat(KeyMethod.INFO)
    assert await seat.leg.mute()
    assert "".join(seat.sip.info) == "*61"
    assert not seat.media.pressed


async def test_the_conference_hears_silence_before_the_keys_are_sent() -> None:
    seat = Seat(KeyMethod.RFC4733)
    muting = asyncio.create_task(seat.leg.mute())
    await asyncio.sleep(0.05)
    assert seat.caller.mutes[-1]
    assert not seat.media.pressed
    assert await muting


async def test_of_several_wishes_at_once_the_last_one_counts() -> None:
    seat = Seat(KeyMethod.RFC4733)
    wishes = [seat.leg.mute(), seat.leg.unmute(), seat.leg.mute(), seat.leg.unmute()]
    assert await asyncio.gather(*wishes) == [True] * 4
    assert seat.sequences == ["*61", "*60"]
    assert not seat.caller.mutes[-1]


async def test_the_same_wish_again_is_sent_again_since_a_host_may_have_undone_it() -> None:
    seat = Seat(KeyMethod.RFC4733)
    await seat.leg.unmute()
    await seat.leg.unmute()
    assert seat.sequences == ["*60", "*60"]


async def test_who_gives_up_a_wish_leaves_the_next_one_its_turn() -> None:
    seat = Seat(KeyMethod.RFC4733)
    muting = asyncio.create_task(seat.leg.mute())
    await asyncio.sleep(0.05)
    muting.cancel()
    assert await seat.leg.unmute()
    assert seat.sequences == ["*60"]


async def test_a_seat_that_is_lost_takes_no_harm() -> None:
    seat = Seat(KeyMethod.RFC4733)
    seat.media.lost.set_result("media-timeout")
    assert not await seat.leg.mute()
    assert seat.caller.mutes == [True]
    seat.caller.lost.set_result("media-timeout")
    assert not await seat.leg.unmute()


@pytest.mark.parametrize("trouble", [Refused(415), LegGone(LegEnd("peer", None, "bye"))], ids=str)
async def test_a_conference_that_takes_no_info_leaves_bbb_untold(trouble: Exception) -> None:
    seat = Seat(KeyMethod.INFO)
    seat.sip.refuses_info = trouble
    assert not await seat.leg.mute()
    assert seat.caller.mutes[-1]


async def test_keys_that_nobody_takes_are_given_up() -> None:
    seat = Seat(KeyMethod.INFO)
    began = asyncio.get_running_loop().time()
    assert not await seat.leg.press("1" * 100)
    assert asyncio.get_running_loop().time() - began == pytest.approx(PRESS_WITHIN_S)
