# SPDX-License-Identifier: GPL-3.0-or-later
"""Others are told that callers wait, come and go; who does not listen delays no call."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from dialin.demo.rooms import DemoRoom
from tests.calls.scene import PIN, scene
from tests.calls.test_pin_stories import asked_for_pin
from tests.calls.test_privacy import CANARIES, dialling, found_in, needs_canary, plant
from tests.calls.test_static_pin_stories import SEMINAR, is_led_in, issue_pin, stage_with_store
from tests.subscribers import SECRET, Fault, open_taker


def told_at(url: str) -> dict[str, Any]:
    """Settings of a subscriber who wants everything."""
    events = ["waiting", "joined", "left", "hand"]
    return {"lms": {"url": url, "secret": SECRET, "events": events}}


@needs_canary
async def test_a_caller_waits_joins_raises_the_hand_and_leaves(tmp_path: Path) -> None:
    async with (
        open_taker() as taker,
        stage_with_store(tmp_path, subscribers=told_at(taker.url)) as stage,
    ):
        pin = await issue_pin(stage)
        async with dialling(stage, CANARIES[0]) as phone:
            await asked_for_pin(stage, phone)
            await phone.key(f"{pin}#")
            await taker.got(1)
            stage.served.bbb.add_room(DemoRoom(SEMINAR, "Seminar", "543216789"))
            stage.served.bbb.open_room(SEMINAR)
            await taker.got(2)
            await phone.key("*9")
            await taker.got(3)
            await phone.hang_up()
        told = await taker.got(4)
        assert [one["event"] for one in told] == ["waiting", "joined", "hand", "left"]
        assert {one["meeting_id"] for one in told} == {SEMINAR}
        assert [one["call"]["waiting_for"] for one in told] == ["room", "", "", ""]
        assert told[1]["call"]["label"] == CANARIES[0].label
        assert told[2]["call"]["hand_raised"] is True
        assert len({one["id"] for one in told}) == 4
        page = (await stage.served.page("/metrics")).decode()
    assert 'dialin_subscriber_posts_total{result="taken",subscriber="lms"} 4.0' in page
    posts = tmp_path / "posts"
    posts.mkdir()
    (posts / "bodies").write_bytes(b"\n".join([*taker.bodies, repr(taker.headers).encode()]))
    assert found_in(posts) == []
    plant(CANARIES[0].number, posts / "bodies")
    assert found_in(posts)


async def test_who_does_not_listen_delays_no_call(tmp_path: Path) -> None:
    async with open_taker() as taker:
        taker.faults = [Fault.HANG] * 100
        async with scene(tmp_path, subscribers=told_at(taker.url)) as stage:
            for _ in range(3):
                async with stage.phone() as phone:
                    await is_led_in(stage, phone, PIN)
                    await phone.hang_up()
                await stage.is_in()
            assert await stage.served.ends() == {"success/left-room": 3}
    assert taker.bodies == []


async def test_a_call_that_the_end_of_the_service_ends_is_told_to_have_left(
    tmp_path: Path,
) -> None:
    async with open_taker() as taker:
        async with (
            AsyncExitStack() as phones,
            scene(tmp_path, subscribers=told_at(taker.url)) as stage,
        ):
            phone = await phones.enter_async_context(stage.phone())
            await is_led_in(stage, phone, PIN)
            await taker.got(1)
        assert [one["event"] for one in taker.told] == ["joined", "left"]
