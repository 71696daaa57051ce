# SPDX-License-Identifier: GPL-3.0-or-later
"""The room page: what guests and hosts see, and what hosts may ask for."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession, FormData
from icalendar import Calendar
from lxml import html as lxml_html

from dialin.links import Right
from dialin.registry import (
    Admit,
    CallSnapshot,
    HangUp,
    LowerHand,
    Mute,
    Order,
    Refuse,
    Unmute,
)
from dialin.web.app import serve
from dialin.web.room_view import RoomFacts
from tests.web.conftest import Client, Visit
from tests.web.site import (
    CALL,
    EXPIRES,
    GUEST,
    HOST,
    HTML,
    KEY,
    PIN,
    RAISED,
    WAITING,
    Calls,
    Rooms,
    World,
    link,
)

HOSTILE = "</title><script>alert(1)</script>\u202e{{ 7*7 }}" + "W" * 5000


async def page(client: Client, path: str, **headers: str) -> lxml_html.HtmlElement:
    """A page that was read as browsers read it."""
    response = await client.get(path, headers={**HTML, **headers})
    assert response.status == 200
    return lxml_html.document_fromstring(await response.text())


def text_of(element: lxml_html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


async def test_a_guest_sees_number_pin_and_how_many_call_but_nobody(visit: Visit) -> None:
    client = await visit(World(calls=Calls([CALL, WAITING])).app())
    shown = await page(client, GUEST.path())

    assert shown.get_element_by_id("number").get("href") == "tel:+493023125100"
    assert shown.get_element_by_id("pin").text_content().strip() == PIN
    assert text_of(shown.get_element_by_id("count")) == "1 in the meeting, 1 waiting"
    assert "xxx-xxx-1234" not in shown.get_element_by_id("callers").text_content()
    assert not shown.xpath("//form[@method='post']")
    assert KEY.form_token(HOST) not in lxml_html.tostring(shown).decode()


async def test_one_tap_dials_number_and_pin_and_the_code_has_the_same(visit: Visit) -> None:
    client = await visit(World().app())
    shown = await page(client, GUEST.path())
    (tap,) = shown.xpath("//a[contains(@href, ',,')]")
    (code,) = shown.xpath("//figure/img")

    assert tap.get("href") == f"tel:+493023125100,,{PIN}%23"
    assert (await client.get(code.get("src"))).status == 200


async def test_copying_the_pin_gives_digits(visit: Visit) -> None:
    client = await visit(World().app())
    pin = (await page(client, GUEST.path())).get_element_by_id("pin")

    assert [part.text for part in pin.xpath("span/span")] == ["987", "654", "321"]
    assert not re.search(r"\s", pin.text_content().strip())


async def test_a_host_sees_each_caller_by_the_label_of_the_meeting(visit: Visit) -> None:
    calls = [CALL, RAISED, WAITING, replace(CALL, id="else", room="other", label="xxx-xxx-0000")]
    client = await visit(World(calls=Calls(calls)).app())
    shown = (await page(client, HOST.path())).get_element_by_id("callers")
    rows = [text_of(row) for row in shown.xpath(".//li")]

    assert [heading.text for heading in shown.xpath(".//h3")] == ["Waiting", "In the meeting"]
    assert rows[0].startswith("Phone caller 1 waits for you Let in")
    assert rows[1].startswith("xxx-xxx-1234 can be heard Mute")
    assert rows[2].startswith("xxx-xxx-5678 muted hand raised Unmute")
    assert len(rows) == 3


async def test_of_a_thousand_callers_a_hundred_are_shown_and_the_rest_is_a_number(
    visit: Visit,
) -> None:
    calls = [replace(WAITING, id=f"f{place}") for place in range(1000)]
    client = await visit(World(calls=Calls(calls)).app())
    shown = await page(client, HOST.path())
    rows = shown.get_element_by_id("callers").xpath(".//li")

    assert text_of(shown.get_element_by_id("count")) == "0 in the meeting, 1000 waiting"
    assert len(rows) == 101
    assert text_of(rows[-1]) == "and 900 more"


async def test_a_host_with_nobody_calling_is_told_so(visit: Visit) -> None:
    client = await visit(World().app())
    shown = await page(client, HOST.path())

    assert "Nobody has called yet." in shown.get_element_by_id("callers").text_content()


async def test_what_is_handed_on_from_a_hosts_page_is_for_guests(visit: Visit) -> None:
    world = World(calls=Calls([CALL])).with_facts(root="https://dialin.example.org")
    client = await visit(world.app())
    shown = await page(client, HOST.path())
    links = [*shown.xpath("//section//a/@href"), *shown.xpath("//img/@src")]
    calendar = await (await client.get(HOST.path("invite.ics"))).read()
    unfolded = calendar.replace(b"\r\n ", b"").decode()

    assert not [
        link
        for link in links
        if "right=host" in link and "callers" not in link and not link.startswith("/rooms/demo?")
    ]
    assert "right=guest" in unfolded
    assert "right=host" not in unfolded
    assert HOST.signature not in unfolded
    assert HOST.signature not in await (await client.get(HOST.path("invite.txt"))).text()
    (hidden,) = shown.xpath("//form[contains(@class, 'calendar')]/input[@name='signature']")
    assert hidden.get("value") == GUEST.signature


@pytest.mark.parametrize(
    ("call", "action", "order"),
    [
        (CALL, "mute", Mute()),
        (RAISED, "unmute", Unmute()),
        (RAISED, "lower-hand", LowerHand()),
        (CALL, "end", HangUp()),
        (WAITING, "admit", Admit()),
        (WAITING, "refuse", Refuse()),
    ],
)
async def test_each_button_of_a_host_gives_its_order(
    visit: Visit, call: CallSnapshot, action: str, order: Order
) -> None:
    calls = Calls([call])
    calls.obey = lambda _id, _order: calls.become(*calls.up)
    client = await visit(World(calls=calls).app())
    shown = await page(client, HOST.path(lang="de"))
    (form,) = shown.xpath(f"//form[contains(@action, '/{action}?')]")
    (token,) = form.xpath("input/@value")
    done = await client.post(
        form.get("action"), data={"token": token}, headers=HTML, allow_redirects=False
    )

    assert [given for _id, given in calls.given] == [order]
    assert done.status == 303
    assert done.headers["Location"] == f"{HOST.path(lang='de')}#callers-title"


async def give(client: Client, path: str, token: str, **headers: str) -> tuple[int, str]:
    done = await client.post(
        path, data={"token": token}, headers={**HTML, **headers}, allow_redirects=False
    )
    return done.status, done.headers.get("Location", "")


MUTE = HOST.path("callers/c0ffee/mute")


async def test_a_guest_gives_no_orders_and_learns_nothing(visit: Visit) -> None:
    world = World(calls=Calls([CALL]))
    client = await visit(world.app())
    path = GUEST.path("callers/c0ffee/mute")

    assert (await give(client, path, KEY.form_token(GUEST)))[0] == 404
    assert (await give(client, path, KEY.form_token(HOST)))[0] == 404
    assert not world.calls.given


@pytest.mark.parametrize(
    "token",
    [
        "",
        "0" * 64,
        KEY.form_token(link(Right.HOST, expires=EXPIRES + 1)),
        KEY.form_token(link(Right.HOST, "other")),
        HOST.signature,
    ],
)
async def test_a_form_from_elsewhere_gives_no_order(visit: Visit, token: str) -> None:
    world = World(calls=Calls([CALL]))
    client = await visit(world.app())

    assert (await give(client, MUTE, token))[0] == 403
    assert not world.calls.given


async def test_a_request_that_another_site_made_gives_no_order(visit: Visit) -> None:
    world = World(calls=Calls([CALL]))
    client = await visit(world.app())
    token = KEY.form_token(HOST)

    for site in ("cross-site", "same-site"):
        assert (await give(client, MUTE, token, **{"Sec-Fetch-Site": site}))[0] == 403
    assert not world.calls.given
    assert (await give(client, MUTE, token, **{"Sec-Fetch-Site": "same-origin"}))[0] == 303


async def test_a_token_that_is_a_file_gives_no_order(visit: Visit) -> None:
    world = World(calls=Calls([CALL]))
    client = await visit(world.app())
    form = FormData()
    form.add_field("token", KEY.form_token(HOST), filename="token")

    assert (await client.post(MUTE, data=form)).status == 403
    assert not world.calls.given


@pytest.mark.parametrize(
    ("call_id", "action"),
    [
        ("c0ffee", "unmute"),
        ("c0ffee", "admit"),
        ("c0ffee", "explode"),
        ("gone", "mute"),
        ("else", "mute"),
    ],
)
async def test_an_order_that_makes_no_sense_is_not_given_and_that_is_said(
    visit: Visit, call_id: str, action: str
) -> None:
    world = World(calls=Calls([CALL, replace(CALL, id="else", room="other")]))
    client = await visit(world.app())
    path = HOST.path(f"callers/{call_id}/{action}")
    status, back = await give(client, path, KEY.form_token(HOST))

    assert (status, back) == (303, f"{HOST.path(gone='1')}#callers-title")
    assert not world.calls.given
    shown = await page(client, back.partition("#")[0])
    assert "This call has just ended." in shown.text_content()


async def test_a_call_that_takes_no_more_orders_is_told_as_gone(visit: Visit) -> None:
    world = World(calls=Calls([CALL]))
    client = await visit(world.app())
    world.calls.is_busy = True

    assert "gone=1" in (await give(client, MUTE, KEY.form_token(HOST)))[1]


async def test_a_page_waits_a_moment_for_its_order_and_no_longer(visit: Visit) -> None:
    world = World(calls=Calls([CALL]))
    client = await visit(world.app())

    assert (await give(client, MUTE, KEY.form_token(HOST)))[0] == 303


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (RoomFacts("demo", "R", PIN, pin_stays=True, running=True), "This PIN stays the same."),
        (RoomFacts("demo", "R", PIN, running=True), "for this session of the meeting only"),
        (RoomFacts("demo", "R"), "This room has no PIN at the moment."),
        (RoomFacts("demo", "R", PIN, running=True), "The meeting is running."),
        (RoomFacts("demo", "R", PIN), "The meeting has not begun."),
        (RoomFacts("demo", "R", PIN), "You can call early"),
        (RoomFacts("demo", "R", PIN, lobby=True), "until a host lets them in"),
        (None, "This room has no PIN at the moment."),
    ],
)
async def test_the_page_tells_how_the_room_stands(
    visit: Visit, room: RoomFacts | None, said: str
) -> None:
    rooms = Rooms({"demo": room} if room else {})
    client = await visit(World(rooms=rooms).app())
    shown = await page(client, GUEST.path())

    assert said in text_of(shown)
    assert bool(shown.xpath("//figure/img")) == bool(room and room.pin)


@pytest.mark.parametrize("path", [HOST.path(), GUEST.path("sheet")])
async def test_a_hostile_name_is_text(visit: Visit, path: str) -> None:
    rooms = Rooms({"demo": RoomFacts("demo", HOSTILE, PIN)})
    client = await visit(World(rooms=rooms).app())
    shown = await page(client, path)
    (heading,) = shown.xpath("//h1/bdi")

    assert len(shown.xpath("//script")) == 1
    assert heading.text.startswith("</title><script>alert(1)</script>{{ 7*7 }}WW")
    assert len(heading.text) == 120
    assert "\u202e" not in shown.text_content()
    assert "W…" in shown.xpath("//title")[0].text


async def test_a_hostile_meeting_id_is_a_room_like_any_other(visit: Visit) -> None:
    meeting_id = '"><script>alert(1)</script>/../?a=b&c#\u202e%00'
    rooms = Rooms({meeting_id: RoomFacts(meeting_id, "Round", PIN)})
    client = await visit(World(rooms=rooms, calls=Calls([replace(CALL, room=meeting_id)])).app())
    shown = await page(client, link(Right.HOST, meeting_id).path())

    assert len(shown.xpath("//script")) == 1
    assert shown.get_element_by_id("pin").text_content().strip() == PIN
    for address in [*shown.xpath("//section//a/@href"), *shown.xpath("//img/@src")]:
        if address.startswith("/rooms/"):
            assert (await client.get(address)).status == 200


async def test_the_page_speaks_german(visit: Visit) -> None:
    client = await visit(World(calls=Calls([WAITING])).app())
    shown = await page(client, HOST.path(), **{"Accept-Language": "de-DE,de;q=0.9"})

    assert shown.get("lang") == "de"
    assert "Telefonisch teilnehmen" in text_of(shown)
    assert "wartet auf Sie" in text_of(shown.get_element_by_id("callers"))
    assert "(030 23125100)" in text_of(shown)


async def test_the_text_has_the_readers_language(visit: Visit) -> None:
    client = await visit(World().app())
    response = await client.get(GUEST.path("invite.txt", lang="de"))

    assert response.content_type == "text/plain"
    assert response.headers["Content-Language"] == "de"
    assert (await response.text()).endswith(f"tel:+493023125100,,{PIN}%23\n")


async def test_the_calendar_entry_is_at_the_time_that_was_chosen(visit: Visit) -> None:
    client = await visit(World().app())
    path = GUEST.path("invite.ics", start="2026-12-01T10:00", minutes="90")
    response = await client.get(path)
    event: Any = Calendar.from_ical(await response.read()).walk("VEVENT")[0]

    assert response.content_type == "text/calendar"
    assert "attachment" in response.headers["Content-Disposition"]
    length = event["DTEND"].dt - event["DTSTART"].dt
    assert length.total_seconds() == 90 * 60


@pytest.mark.parametrize("bad", [{"start": "never"}, {"minutes": "0"}, {"minutes": "x"}])
async def test_a_time_that_is_none_is_a_bad_request(visit: Visit, bad: dict[str, str]) -> None:
    client = await visit(World().app())

    assert (await client.get(GUEST.path("invite.ics", **bad))).status == 400


async def test_the_sheet_has_number_pin_and_keys(visit: Visit) -> None:
    client = await visit(World().app())
    shown = await page(client, GUEST.path("sheet"))

    assert "+49 30 23125100" in text_of(shown)
    assert PIN in text_of(shown)
    assert len(shown.xpath("//dl[@class='keys']/div")) == 8


@pytest.mark.parametrize(
    ("hides", "said", "unsaid"),
    [(False, "xxx-xxx-1234: the last four", "No digit"), (True, "No digit", "xxx-xxx-1234:")],
)
async def test_the_page_tells_what_is_shown_of_callers(
    visit: Visit, *, hides: bool, said: str, unsaid: str
) -> None:
    client = await visit(World().with_facts(hides_digits=hides).app())
    shown = text_of(await page(client, GUEST.path()))
    public = text_of(await page(client, "/"))

    assert said in shown
    assert unsaid not in shown
    assert said.partition(":")[0] in public


async def test_no_pin_and_no_link_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    app = World(calls=Calls([CALL])).app()
    async with serve(app, "127.0.0.1", 0) as ((host, port),), ClientSession() as session:
        for path in (HOST.path(), GUEST.path("invite.txt"), HOST.path().replace("host", "guest")):
            async with session.get(f"http://{host}:{port}{path}") as response:
                await response.read()

    assert caplog.records
    assert PIN not in caplog.text
    assert HOST.signature not in caplog.text
