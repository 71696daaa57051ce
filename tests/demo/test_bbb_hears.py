# SPDX-License-Identifier: GPL-3.0-or-later
"""The BBB stand-in beside the conference stand-in: what a caller's keys do is told to who asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from dialin.bbb_api import BbbApi
from dialin.demo.bbb import DemoBbb
from dialin.demo.conference import Conference
from dialin.demo.rooms import DemoRoom
from dialin.demo.webhooks import HookFault
from dialin.wire.bbbxml import parse_answer, sign
from tests.demo.callers import LABEL, ROOM, WAIT_S, Caller
from tests.demo.hook_catcher import HookCatcher
from tests.fakes.tone_phone import TonePhone


@dataclass(frozen=True, slots=True)
class Side:
    """A BBB server with the conference, and who wants to know."""

    bbb: DemoBbb
    catcher: HookCatcher


@asynccontextmanager
async def bbb_of(conference: Conference) -> AsyncIterator[Side]:
    rooms = [DemoRoom("weekly", "Weekly", ROOM, running=True)]
    async with (
        DemoBbb(rooms=rooms, members=conference.phone_callers) as bbb,
        HookCatcher() as catcher,
        asyncio.timeout(3 * WAIT_S),
    ):
        conference.tell(bbb.voice_changed)
        bbb.hang_up = conference.end
        bbb.webhooks.perform("hooks/create", {"callbackURL": catcher.url})
        yield Side(bbb, catcher)


async def test_mute_by_keys_is_posted_and_the_user_is_that_of_the_list(
    conference: Conference, caller: Caller
) -> None:
    async with bbb_of(conference) as side, TonePhone(450) as ann, TonePhone(700) as bob:
        leg, _ = await caller.join(bob)
        await caller.join(ann)
        leg.hang_up()  # so that the place in the list is not the member's number
        await conference.until(lambda seen: len(seen.members()) == 1)
        ann.press("*61")
        posts = await side.catcher.got(4)
        async with aiohttp.ClientSession() as session:
            api = BbbApi(session, name="demo", url=side.bbb.url, secret=side.bbb.secret)
            (listed,) = (one for one in (await api.get_meetings())[0].attendees if one.is_phone)
    (muted,) = (post.event for post in posts if post.id == "user-audio-muted")
    user = muted["data"]["attributes"]["user"]
    assert (listed.user_id, listed.full_name) == (user["internal-user-id"], LABEL)
    assert user == {"internal-user-id": "v_2", "external-user-id": "", "muted": True}


async def test_a_meetings_end_hangs_up_on_its_callers(
    conference: Conference, caller: Caller
) -> None:
    async with bbb_of(conference) as side, TonePhone(450) as ann:
        leg, _ = await caller.join(ann)
        side.bbb.end_room("weekly")
        assert (await leg.ended).by == "peer"
        ids = {post.id for post in await side.catcher.got(3)}
    assert {"user-audio-voice-enabled", "meeting-ended", "user-left"} <= ids


async def test_nothing_is_posted_where_that_is_wanted(
    conference: Conference, caller: Caller
) -> None:
    async with bbb_of(conference) as side, TonePhone(450) as ann:
        side.bbb.webhooks.fault = HookFault.NOT_SENT
        await caller.join(ann)
        await conference.until(lambda seen: bool(seen.members()))
        await side.bbb.webhooks.settled()
        assert side.catcher.posts == []


async def hooks_over_http(bbb: DemoBbb, call: str, query: str) -> str:
    signed = sign(call, query, bbb.secret, "sha256")
    url = f"{bbb.url}api/{call}?{query}{'&' if query else ''}checksum={signed}"
    async with aiohttp.ClientSession() as session, session.get(URL(url, encoded=True)) as response:
        return (await response.read()).decode()


async def test_hooks_are_registered_by_the_api() -> None:
    async with DemoBbb() as bbb:
        made = await hooks_over_http(bbb, "hooks/create", "callbackURL=http%3A%2F%2Fa%2F")
        assert "<permanentHook>false</permanentHook>" in made
        assert bbb.webhooks.hooks[0].callback_url == "http://a/"
        assert "http://a/" in await hooks_over_http(bbb, "hooks/list", "")
        assert bbb.calls == {"hooks/create": 1, "hooks/list": 1}


async def test_a_server_without_bbb_webhooks_says_so() -> None:
    async with DemoBbb(has_webhooks=False) as bbb:
        answer = await hooks_over_http(bbb, "hooks/create", "callbackURL=http%3A%2F%2Fa%2F")
    assert parse_answer(answer.encode()).message_key == "unsupportedRequest"
