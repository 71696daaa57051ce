# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo shows: rooms and PINs that do not clash, and a text that is so."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from dialin.demo import run
from dialin.demo.bbb import DemoBbb
from dialin.demo.showcase import (
    LOBBY,
    LOBBY_PIN,
    RECORDED_PIN,
    WEEKLY,
    WEEKLY_PIN,
    issue_pins,
    rooms_to_show,
    welcome,
)
from dialin.links import LinkKey, Right
from dialin.sip import Listen
from dialin.static_rooms import StaticRooms
from dialin.store import FILE_NAME, opened_store

SECRET = "secret-of-the-links"


def text() -> str:
    return welcome("127.0.0.1:5060", "127.0.0.1:8080", "token-of-mine", SECRET)


def test_the_text_names_every_pin() -> None:
    named = set(re.findall(r"([0-9]{5,11})#", text()))
    static = {WEEKLY_PIN, LOBBY_PIN}
    of_rooms = {room.voice_bridge for room in rooms_to_show() if room.meeting_id != LOBBY}
    assert named == of_rooms | static
    assert RECORDED_PIN in named


def test_the_link_lets_the_host_of_the_lobby_in() -> None:
    found = re.search(r"be its host +(\S+)", text())
    assert found is not None
    url = urlsplit(found[1])
    assert url.path == f"/rooms/{LOBBY}"
    link = LinkKey(SECRET).read(LOBBY, dict(parse_qsl(url.query)), now=0)
    assert link is not None
    assert link.right is Right.HOST


async def test_the_pins_are_in_the_store_before_the_service_starts(tmp_path: Path) -> None:
    await issue_pins(tmp_path)
    async with opened_store(tmp_path / FILE_NAME, consent_days=0) as store:
        static = StaticRooms(store)
        await static.load()
        found = {room.meeting_id: (room.pin, room.lobby) for room in static.all()}
    assert found == {WEEKLY: (WEEKLY_PIN, False), LOBBY: (LOBBY_PIN, True)}


@pytest.mark.parametrize(
    ("http", "base_url"),
    [("127.0.0.1:8080", "http://127.0.0.1:8080/"), ("127.0.0.1:0", "None")],
)
async def test_webhooks_come_where_the_port_is_known(http: str, base_url: str) -> None:
    async with DemoBbb() as bbb:
        web = run.public_address(http)
        voice = Listen("UDP", "127.0.0.1", 5080)
        settings = run.demo_settings("127.0.0.1:0", http, "token-of-mine", bbb, voice, web=web)
    assert str(settings.web.base_url) == base_url
    assert settings.bbb_servers["demo"].mute_keys == "rfc4733"
