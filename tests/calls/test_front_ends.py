# SPDX-License-Identifier: GPL-3.0-or-later
"""Meetings that front ends and load balancers create as their manuals say, and calls to them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from dialin.demo.balancer import Balancer, DemoBalancer
from dialin.demo.bbb import DemoBbb
from dialin.links import LinkKey, Right
from dialin.registry import CallState
from dialin.wire.bbbxml import parse_answer
from tests.calls.scene import Scene, scene
from tests.calls.test_pin_stories import asked_for_pin
from tests.calls.test_static_pin_stories import SEMINAR, is_led_in, issue_pin, stage_with_store

DOCUMENTATION = Path(__file__).parents[2] / "docs"
MOODLE_MEETING = "6f1ed002ab5595859014ebf0951522d9-2-7[0]"
LINK_SECRET = "s3cret-of-the-links-Xq7Lw2Vb9Zr4"
MOODLE = "https://moodle.example.org"
E164, NUMBER = "+493012345678", "+49 30 12345678"


def scalelite_settings() -> dict[str, str]:
    """What the documentation sets in Scalelite's environment."""
    page = (DOCUMENTATION / "load-balancers.md").read_text()
    (block,) = re.findall(r"## Scalelite.*?```sh\n(.*?)```", page, re.DOTALL)
    return dict(line.split("=", 1) for line in block.splitlines())


def parameters_in(text: str) -> dict[str, str]:
    """Parameters as Scalelite reads them from its environment."""
    return dict(part.split("=", 1) for part in text.split(","))


async def create(api: DemoBalancer | DemoBbb, stage: Scene) -> str:
    """Have a front end create the seminar as the API says; gives the number that BBB shows."""
    room = json.loads(await stage.served.page(f"/api/v1/rooms/{SEMINAR}"))
    wanted = {"meetingID": SEMINAR, "name": "Seminar", **room["create_parameters"]}
    made = parse_answer(api.perform("create", wanted))
    return made.meetings[0].voice_bridge


async def test_bigbluebutton_shows_the_pin_that_stays_and_the_number(tmp_path: Path) -> None:
    numbers = {"demo": {"allowed_sources": ["127.0.0.0/8"], "numbers": [{"e164": E164}]}}
    async with stage_with_store(tmp_path, rooms=[], trunks=numbers) as stage:
        pin = await issue_pin(stage)
        assert await create(stage.served.bbb, stage) == pin
        assert stage.served.bbb.room(SEMINAR).dial_number == NUMBER


async def test_the_documented_welcome_text_tells_the_number_and_the_pin_that_stays(
    tmp_path: Path,
) -> None:
    page = (DOCUMENTATION / "bbb-server.md").read_text()
    (footer,) = re.findall(r"`defaultWelcomeMessageFooter=(.*?)`", page)
    numbers = {"demo": {"allowed_sources": ["127.0.0.0/8"], "numbers": [{"e164": E164}]}}
    async with stage_with_store(tmp_path, rooms=[], trunks=numbers) as stage:
        pin = await issue_pin(stage)
        front = DemoBbb(rooms=[], welcome_footer=footer)
        await create(front, stage)
        told = re.search(r"phone: (.*), PIN ([0-9]+#)$", front.room(SEMINAR).welcome)
        assert told
        assert told.groups() == (NUMBER, f"{pin}#")


@pytest.mark.parametrize(
    ("kind", "keeps"),
    [(Balancer.SCALELITE, False), (Balancer.SCALELITE, True), (Balancer.B3LB, False)],
)
async def test_the_pin_that_stays_leads_to_the_meeting_whatever_a_balancer_makes_of_it(
    tmp_path: Path, kind: Balancer, keeps: bool
) -> None:
    async with stage_with_store(tmp_path, rooms=[]) as stage:
        pin = await issue_pin(stage)
        bbb = stage.served.bbb
        balancer = DemoBalancer([bbb], kind=kind, uses_external_voice_bridge=keeps)
        shown = await create(balancer, stage)
        assert (shown == pin) is keeps
        bbb.open_room(SEMINAR)
        for keyed in {pin, shown}:
            async with stage.phone() as phone:
                await is_led_in(stage, phone, keyed)
                (call,) = stage.served.service.registry.snapshots()
                assert call.room == SEMINAR
                await phone.hang_up()
            await stage.is_in()


async def test_a_caller_waits_for_a_meeting_that_a_balancer_puts_on_another_server(
    tmp_path: Path,
) -> None:
    async with DemoBbb(rooms=[]) as other:
        twin = {"url": other.url, "secret": other.secret, "voice_host": "127.0.0.1"}
        async with stage_with_store(tmp_path, twin=twin, rooms=[]) as stage:
            pin = await issue_pin(stage)
            async with stage.phone() as phone:
                await asked_for_pin(stage, phone)
                await phone.key(f"{pin}#")
                await stage.is_in(CallState.WAITING)
                await create(DemoBalancer([other], kind=Balancer.B3LB), stage)
                other.open_room(SEMINAR)
                snapshots = stage.served.service.registry.snapshots
                await stage.served.until(lambda: snapshots()[0].server == "twin")
                await phone.hang_up()
            await stage.is_in()


def test_the_documented_settings_give_scalelites_meetings_number_and_pin() -> None:
    settings = scalelite_settings()
    assert settings["USE_EXTERNAL_VOICE_BRIDGE"] == "true"
    bbb = DemoBbb(rooms=[])
    balancer = DemoBalancer(
        [bbb],
        uses_external_voice_bridge=True,
        default_parameters=parameters_in(settings["DEFAULT_CREATE_PARAMS"]),
    )
    balancer.perform("create", {"meetingID": SEMINAR, "voiceBridge": "345345345"})
    assert (bbb.room(SEMINAR).voice_bridge, bbb.room(SEMINAR).dial_number) == ("345345345", NUMBER)
    made = parse_answer(balancer.perform("create", {"meetingID": "other"}))
    assert len(made.meetings[0].voice_bridge) == int(settings["VOICE_BRIDGE_LEN"])


async def test_moodles_voice_bridge_is_called(tmp_path: Path) -> None:
    async with scene(tmp_path, rooms=[]) as stage:
        bbb = stage.served.bbb
        wanted = {"meetingID": MOODLE_MEETING, "name": "Physics", "voiceBridge": str(70000 + 42)}
        bbb.perform("create", wanted)
        bbb.open_room(MOODLE_MEETING)
        async with stage.phone() as phone:
            await is_led_in(stage, phone, "70042")
            (call,) = stage.served.service.registry.snapshots()
            assert call.room == MOODLE_MEETING
            await phone.hang_up()
        await stage.is_over(left_room=1)


async def test_a_moodle_activity_has_a_pin_and_a_page_that_moodle_may_show(tmp_path: Path) -> None:
    state = {"state_directory": str(tmp_path / "state")}
    web = {"link_secret": LINK_SECRET, "embed_origins": [MOODLE]}
    async with scene(tmp_path, service=state, store={"keep": True}, web=web, rooms=[]) as stage:
        room = await stage.served.service.static.create(MOODLE_MEETING, name="Physics")
        link = LinkKey(LINK_SECRET).link(MOODLE_MEETING, Right.GUEST, int(time.time()) + 3600)
        assert "6f1ed002ab5595859014ebf0951522d9-2-7%5B0%5D" in link.path()
        url = URL(stage.served.http + link.path(), encoded=True)
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            page, headers = await answer.text(), answer.headers
        assert answer.status == 200
        assert room.pin in page
        assert f"frame-ancestors {MOODLE}" in headers["Content-Security-Policy"]
        bbb = stage.served.bbb
        bbb.perform("create", {"meetingID": MOODLE_MEETING, "voiceBridge": "70042"})
        bbb.open_room(MOODLE_MEETING)
        async with stage.phone() as phone:
            await is_led_in(stage, phone, room.pin)
            await phone.hang_up()
        await stage.is_over(left_room=1)


@pytest.mark.skipif(not shutil.which("php"), reason="needs php")
def test_the_recipe_for_moodle_makes_a_link_that_is_read() -> None:
    page = (DOCUMENTATION / "moodle.md").read_text()
    (recipe,) = re.findall(r"```php\n(.*?)```", page, re.DOTALL)
    given = (
        "function has_capability($what, $where) { return true; }\n"
        "$activity = (object) ['meetingid' => '6f1ed002ab5595859014ebf0951522d9', "
        "'course' => 2, 'id' => 7];\n"
        f"$groupid = 0; $context = null; $secret = '{LINK_SECRET}'; $base = 'https://d.example';\n"
    )
    made = subprocess.run(
        ["php", "-r", f"{given}{recipe}echo $url;"],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    ).stdout
    url = URL(made, encoded=True)
    assert url.raw_path == "/rooms/6f1ed002ab5595859014ebf0951522d9-2-7%5B0%5D"
    link = LinkKey(LINK_SECRET).read(MOODLE_MEETING, dict(url.query), time.time())
    assert link
    assert link.right is Right.HOST
