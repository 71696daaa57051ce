# SPDX-License-Identifier: GPL-3.0-or-later
"""Rooms by the API: PINs issued, shown, changed and taken back, over the real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from dialin.app.site import KnownRooms
from dialin.links import LinkKey, Right
from dialin.registry import CallState
from dialin.rooms import Room
from dialin.static_rooms import StaticRooms
from dialin.store import opened_store
from dialin.web.api import RoomsDesk, room_operations
from dialin.web.numbers import DialNumber
from tests.web import AUTHORISED, CALL, Calls, app_with
from tests.web.conftest import Client, Visit

SECRET = "s3cret-of-the-links-Xq7Lw2Vb9Zr4"
NOW = 1_800_000_000.0
NUMBERS = (
    DialNumber("+493012345678", "DE", "Berlin", ("de", "en"), toll_free=False),
    DialNumber("+80012345678", toll_free=True),
)


@dataclass
class Live:
    """Rooms that servers have."""

    rooms: list[Room]

    def by_meeting_id(self, meeting_id: str) -> Room | None:
        return next((room for room in self.rooms if room.meeting_id == meeting_id), None)


@dataclass
class Desk:
    """The API, and what stands behind it."""

    client: Client
    static: StaticRooms
    live: Live
    calls: Calls

    async def ask(self, method: str, path: str, json: Any = None) -> tuple[int, Any]:
        """Status and document."""
        response = await self.client.request(
            method, URL(f"/api/v1/rooms{path}", encoded=True), json=json, headers=AUTHORISED
        )
        is_json = "json" in response.content_type
        return response.status, await response.json() if is_json else None


@pytest.fixture
async def desk(visit: Visit, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    signs = getattr(request, "param", True)
    async with opened_store(tmp_path / "dialin.db", consent_days=1) as store:
        live, calls, static = Live([]), Calls(), StaticRooms(store)
        await static.load()
        rooms = RoomsDesk(
            finder=KnownRooms(live, static),  # type: ignore[arg-type]  # all that it asks of Rooms
            book=static,
            calls=calls,
            numbers=lambda: NUMBERS,
            key=LinkKey(SECRET) if signs else None,
            root="https://dialin.example.org",
            link_days=180,
            now=lambda: NOW,
        )
        client = await visit(app_with(operations=room_operations(rooms)))
        yield Desk(client, static, live, calls)


async def test_a_room_is_given_a_pin_and_shown_with_every_field(desk: Desk) -> None:
    status, made = await desk.ask("POST", "", {"meeting_id": "weekly", "name": "Weekly"})
    assert status == 201
    pin = made.pop("pin")
    assert pin.isdigit()
    assert len(pin) == 9
    links = made.pop("links")
    assert made == {
        "meeting_id": "weekly",
        "name": "Weekly",
        "pin_stays": True,
        "lobby": False,
        "numbers": [
            {
                "e164": "+493012345678",
                "country": "DE",
                "label": "Berlin",
                "language": "de",
                "languages": ["de", "en"],
                "toll_free": False,
            },
            {
                "e164": "+80012345678",
                "country": "",
                "label": "",
                "language": None,
                "languages": [],
                "toll_free": True,
            },
        ],
        "create_parameters": {"voiceBridge": pin, "dialNumber": "+49 30 12345678"},
        "state": "known",
        "callers": {"in_room": 0, "waiting": 0},
    }
    assert (await desk.ask("GET", "/weekly"))[1]["pin"] == pin
    assert set(links) == {"page", "invite_txt", "invite_ics", "qr_svg", "sheet"}
    for name, link in links.items():
        url = URL(link)
        assert url.host == "dialin.example.org"
        read = LinkKey(SECRET).read("weekly", dict(url.query), NOW + 179 * 86400)
        assert read is not None, name
        assert read.right is Right.GUEST


async def test_where_a_room_was_made_is_told(desk: Desk) -> None:
    response = await desk.client.post(
        "/api/v1/rooms", json={"meeting_id": "a/b c?"}, headers=AUTHORISED
    )
    location = response.headers["Location"]
    assert location == "/api/v1/rooms/a%2Fb%20c%3F"
    there = await desk.client.get(URL(location, encoded=True), headers=AUTHORISED)
    assert (await there.json())["meeting_id"] == "a/b c?"


async def test_a_meeting_that_runs_is_shown_with_its_own_number_and_its_callers(
    desk: Desk,
) -> None:
    desk.live.rooms = [Room("main", "demo", "Demo", "12345", running=True)]
    desk.calls.up = [CALL, replace(CALL, id="two", state=CallState.WAITING)]
    status, shown = await desk.ask("GET", "/demo")
    assert status == 200
    assert (shown["pin"], shown["pin_stays"], shown["state"]) == ("12345", False, "running")
    assert shown["create_parameters"] == {"dialNumber": "+49 30 12345678"}
    assert shown["callers"] == {"in_room": 1, "waiting": 1}


async def test_all_rooms_with_pins_are_listed(desk: Desk) -> None:
    for meeting_id in ("one", "two"):
        await desk.ask("POST", "", {"meeting_id": meeting_id})
    desk.live.rooms = [Room("main", "demo", "Demo", "12345", running=True)]
    _, listed = await desk.ask("GET", "")
    assert [room["meeting_id"] for room in listed] == ["one", "two"]


async def test_a_pin_is_changed_and_taken_back(desk: Desk) -> None:
    _, made = await desk.ask("POST", "", {"meeting_id": "weekly", "pin": "34567"})
    assert made["pin"] == "34567"
    status, rotated = await desk.ask("POST", "/weekly/pin")
    assert status == 200
    assert rotated["pin"] != "34567"
    assert desk.static.by_pin("34567") is None
    assert await desk.ask("DELETE", "/weekly") == (204, None)
    assert (await desk.ask("GET", "/weekly"))[0] == 404


async def test_only_what_is_named_changes(desk: Desk) -> None:
    _, made = await desk.ask("POST", "", {"meeting_id": "weekly", "name": "Weekly"})
    _, changed = await desk.ask("PATCH", "/weekly", {"lobby": True})
    assert changed == made | {"lobby": True}
    _, renamed = await desk.ask("PATCH", "/weekly", {"name": "Other"})
    assert renamed == changed | {"name": "Other"}


async def test_links_are_made_for_hosts_and_for_as_long_as_wanted(desk: Desk) -> None:
    await desk.ask("POST", "", {"meeting_id": "weekly"})
    status, links = await desk.ask("POST", "/weekly/links", {"right": "host", "days": 2.0})
    assert status == 200
    query = dict(URL(links["page"]).query)
    key = LinkKey(SECRET)
    read = key.read("weekly", query, NOW + 2 * 86400 - 1)
    assert read is not None
    assert read.right is Right.HOST
    assert key.read("weekly", query, NOW + 2 * 86400) is None


@pytest.mark.parametrize("desk", [False], indirect=True)
async def test_without_a_secret_there_are_no_links(desk: Desk) -> None:
    _, made = await desk.ask("POST", "", {"meeting_id": "weekly"})
    assert made["links"] is None
    status, told = await desk.ask("POST", "/weekly/links", {})
    assert status == 409
    assert "web.link_secret" in told["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nobody", None, 404),
        ("PATCH", "/nobody", {"lobby": True}, 404),
        ("DELETE", "/nobody", None, 404),
        ("POST", "/nobody/pin", None, 404),
        ("POST", "/nobody/links", {}, 404),
        ("POST", "", {"meeting_id": "weekly"}, 409),
        ("POST", "", {"meeting_id": "other", "pin": "34567"}, 409),
        ("POST", "", {"meeting_id": "other", "pin": "345678"}, 409),
        ("POST", "", {"meeting_id": "other", "pin": "99999"}, 422),
        ("POST", "", {"meeting_id": "other", "pin": "1234"}, 422),
        ("POST", "", {"meeting_id": "other", "pin": 34567}, 422),
        ("POST", "", {"meeting_id": "other", "pin": "\uff13\uff14\uff15\uff16\uff17"}, 422),
        ("POST", "", {"meeting_id": ""}, 422),
        ("POST", "", {"meeting_id": "a\nb"}, 422),
        ("POST", "", {"meeting_id": "a\u2028b"}, 422),
        ("POST", "", {"meeting_id": "x" * 256}, 422),
        ("POST", "", {"meeting_id": "other", "name": "a\x00b"}, 422),
        ("POST", "", {"name": "no id"}, 422),
        ("PATCH", "/weekly", {"meeting_id": "other"}, 422),
        ("POST", "/weekly/links", {"days": 0}, 422),
        ("POST", "/weekly/links", {"days": 2.5}, 422),
        ("POST", "/weekly/links", {"days": "2"}, 422),
        ("POST", "/a%C2%85b/pin", None, 404),
        ("POST", "/weekly/links", {"right": "form"}, 422),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    desk: Desk, method: str, path: str, body: Any, status: int
) -> None:
    await desk.ask("POST", "", {"meeting_id": "weekly", "pin": "34567"})
    before = desk.static.all()
    answered, told = await desk.ask(method, path, body)
    assert answered == status, told
    assert told["detail"]
    assert "34567" not in str(told)
    assert desk.static.all() == before


async def test_a_store_that_fails_is_told_and_nothing_is_promised(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dialin.static_rooms import StoreUnavailable

    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("disk-full")

    monkeypatch.setattr(desk.static._store, "add_room", fail)
    status, told = await desk.ask("POST", "", {"meeting_id": "weekly"})
    assert status == 503
    assert "stored" in told["detail"]
    assert desk.static.all() == ()
