# SPDX-License-Identifier: GPL-3.0-or-later
"""Every page is escaped, framed by nobody uninvited, and loads nothing from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from aiohttp import web

from dialin.web.pages import STATIC
from dialin.web.problem import SECURITY_HEADERS
from tests.web.conftest import Visit
from tests.web.site import GUEST, HOST, HTML, World

MOODLE = "https://moodle.example.org"


async def fail(request: web.Request) -> web.Response:
    raise RuntimeError("987654321 was keyed")


def app(world: World) -> web.Application:
    made = world.app()
    made.router.add_get("/fails", fail)
    made.router.add_get("/rooms/{meeting_id}/fails", fail)
    return made


STATUSES = [
    ("GET", "/", 200),
    ("GET", GUEST.path(), 200),
    ("GET", HOST.path(), 200),
    ("GET", GUEST.path("sheet"), 200),
    ("GET", "/nowhere", 404),
    ("GET", "/rooms/demo", 404),
    ("POST", "/", 405),
    ("POST", "/rooms/demo", 405),
    ("GET", GUEST.path("invite.ics", start="never"), 400),
    ("POST", HOST.path("callers/c0ffee/mute"), 403),
    ("GET", "/fails", 500),
    ("GET", "/rooms/demo/fails", 500),
]


@pytest.mark.parametrize(("method", "path", "status"), STATUSES)
async def test_every_status_is_a_page_with_the_same_headers(
    visit: Visit, method: str, path: str, status: int
) -> None:
    client = await visit(app(World()))
    response = await client.request(method, path, headers=HTML)
    policy = response.headers["Content-Security-Policy"]

    assert response.status == status
    assert response.content_type == "text/html"
    assert policy.startswith("default-src 'none'; ")
    assert policy.endswith("frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert response.headers["X-Frame-Options"] == "DENY"
    for name, value in SECURITY_HEADERS.items():
        if name != "Content-Security-Policy":
            assert response.headers[name] == value
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    "path", ["/", GUEST.path(), HOST.path(), GUEST.path("sheet"), "/nowhere", "/fails"]
)
async def test_no_page_holds_a_script_or_style_or_loads_from_elsewhere(
    visit: Visit, path: str
) -> None:
    client = await visit(app(World()))
    html = await (await client.get(path, headers=HTML)).text()

    assert re.findall(r"<script[^>]*>", html) == ['<script src="/static/page.js" defer>']
    assert "<style" not in html
    assert not re.search(r"\s(on[a-z]+|style)=", html)
    assert not re.findall(r"(?:src|action)=\"(?!/)[^\"]*\"", html)
    assert '<meta name="format-detection" content="telephone=no">' in html


async def test_programs_get_problem_documents(visit: Visit) -> None:
    client = await visit(app(World()))
    for path, status in (("/rooms/demo", 404), ("/nowhere", 404), ("/fails", 500)):
        response = await client.get(path)
        assert response.status == status
        assert response.content_type == "application/problem+json"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_operators_paths_answer_programs_only(visit: Visit) -> None:
    client = await visit(World().app())

    assert (await client.get("/api/x", headers=HTML)).content_type == "application/problem+json"


async def test_an_error_is_told_in_the_readers_language_without_its_cause(visit: Visit) -> None:
    client = await visit(app(World()))
    german = {**HTML, "Accept-Language": "de"}
    response = await client.get("/fails", headers=german)
    html = await response.text()

    assert "Etwas ist schiefgegangen" in html
    assert '<html lang="de">' in html
    assert "987654321" not in html
    assert response.headers["Content-Language"] == "de"


async def test_a_405_tells_which_methods_there_are(visit: Visit) -> None:
    client = await visit(World().app())

    assert (await client.post("/", headers=HTML)).headers["Allow"] == "GET,HEAD"


async def test_only_sites_that_the_operator_names_frame_room_pages(visit: Visit) -> None:
    client = await visit(app(World().with_facts(embed_origins=(MOODLE,))))
    for path in (GUEST.path(), "/rooms/demo", "/rooms/demo/fails"):
        response = await client.get(path, headers=HTML)
        assert response.headers["Content-Security-Policy"].endswith(f"frame-ancestors {MOODLE}")
        assert "X-Frame-Options" not in response.headers
    public = await client.get("/", headers=HTML)
    assert public.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("name", STATIC)
async def test_static_files_are_ours_and_typed(visit: Visit, name: str) -> None:
    client = await visit(World().app())
    response = await client.get(f"/static/{name}")

    assert response.status == 200
    assert response.content_type == STATIC[name]
    assert "http" not in re.sub(r"http://www\.w3\.org/\S+", "", await response.text())


async def test_no_other_file_is_served(visit: Visit) -> None:
    client = await visit(World().app())
    for path in (
        "/static/",
        "/static/../app.py",
        "/static/%2e%2e%2fapp.py",
        "/templates/base.html",
    ):
        assert (await client.get(path)).status == 404


async def test_pages_below_a_path_link_below_it(visit: Visit) -> None:
    client = await visit(World().with_facts(root="https://example.org/phone").app())
    html = await (await client.get(HOST.path(), headers=HTML)).text()

    links = re.findall(r"(?:href|src|action)=\"([^\"]+)\"", html)
    inner = [link for link in links if link.startswith("/")]
    assert inner
    assert all(link.startswith("/phone/") for link in inner)


async def test_the_other_language_is_one_step_away_and_keeps_the_link(visit: Visit) -> None:
    client = await visit(World().app())
    html = await (await client.get(GUEST.path(lang="en"), headers=HTML)).text()
    (query,) = re.findall(r'hreflang="de" href="([^"]+)"', html)

    german = await client.get(f"/rooms/demo{query.replace('&amp;', '&')}", headers=HTML)
    assert german.status == 200
    assert '<html lang="de">' in await german.text()


async def test_each_page_links_imprint_and_privacy_where_there_are_some(visit: Visit) -> None:
    world = World().with_facts(
        imprint_url="https://example.org/imprint?a=1&b=2", privacy_url="https://example.org/p"
    )
    client = await visit(world.app())
    for path in ("/", GUEST.path(), "/nowhere"):
        html = await (await client.get(path, headers=HTML)).text()
        assert 'href="https://example.org/imprint?a=1&amp;b=2"' in html
        assert 'href="https://example.org/p"' in html


async def test_the_public_page_tells_numbers_how_and_what_becomes_of_data(visit: Visit) -> None:
    client = await visit(World().app())
    html = await (await client.get("/", headers={**HTML, "Accept-Language": "en-GB"})).text()

    assert html.index("+44 20 7946 0958") < html.index("+49 30 23125100")
    assert 'href="tel:+442079460958"' in html
    assert "free of charge" in html
    assert "Key in the PIN from your invitation, then #." in html
    assert "forgotten when it ends" in html


async def test_a_service_without_numbers_says_so(visit: Visit) -> None:
    client = await visit(World().with_facts(numbers=()).app())
    for path in ("/", GUEST.path(), GUEST.path("sheet")):
        html = await (await client.get(path, headers=HTML)).text()
        assert "No telephone number is set up yet." in html
    assert (await client.get(GUEST.path("qr.svg"))).status == 404


async def test_a_service_name_is_escaped(visit: Visit) -> None:
    client = await visit(replace(World()).with_facts(service="<b>&\"'").app())

    assert "<b>" not in (await (await client.get("/", headers=HTML)).text()).replace("<b>x", "")
