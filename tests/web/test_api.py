# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators' API: who gets in, and what they see."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.registry import CallState
from dialin.web.api import is_authorised
from tests.web import AUTHORISED, CALL, TOKEN, Calls, app_with
from tests.web.conftest import Visit


async def test_a_call_is_shown_with_every_field_of_the_contract(visit: Visit) -> None:
    client = await visit(app_with(calls=Calls([CALL])))
    response = await client.get("/api/v1/calls", headers=AUTHORISED)

    assert response.status == 200
    assert await response.json() == [
        {
            "id": "c0ffee",
            "trunk": "lab",
            "number_called": "+493012345678",
            "label": "xxx-xxx-1234",
            "state": "in_room",
            "room": "demo",
            "server": "main",
            "codec": "G722",
            "encrypted": False,
            "muted": False,
            "started_at": "2026-11-26T06:44:01.500+00:00",
            "duration_s": 12.5,
            "packets_lost": 3,
            "jitter_ms": 1.5,
        }
    ]


async def test_calls_are_shown_in_their_order_and_none_is_an_empty_list(visit: Visit) -> None:
    calls = Calls()
    client = await visit(app_with(calls=calls))

    assert await (await client.get("/api/v1/calls", headers=AUTHORISED)).json() == []
    calls.up = [CALL, replace(CALL, id="second", state=CallState.PIN, room=None)]
    shown = await (await client.get("/api/v1/calls", headers=AUTHORISED)).json()
    assert [(call["id"], call["state"], call["room"]) for call in shown] == [
        ("c0ffee", "in_room", "demo"),
        ("second", "pin", None),
    ]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer grün",
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/calls", "/api/v2/anything", "/api/"])
async def test_without_the_token_nothing_below_api_is_told(
    visit: Visit, path: str, header: str | None
) -> None:
    client = await visit(app_with(calls=Calls([CALL])))
    response = await client.get(path, headers={"Authorization": header} if header else {})

    assert response.status == 401
    assert "c0ffee" not in await response.text()


async def test_the_token_in_the_query_does_not_count(visit: Visit) -> None:
    client = await visit(app_with())

    assert (await client.get(f"/api/v1/calls?access_token={TOKEN}")).status == 401


async def test_the_scheme_is_read_in_any_case(visit: Visit) -> None:
    client = await visit(app_with())
    response = await client.get("/api/v1/calls", headers={"Authorization": f"bEARER  {TOKEN} "})

    assert response.status == 200


async def test_an_unknown_path_is_404_with_the_token(visit: Visit) -> None:
    client = await visit(app_with())

    assert (await client.get("/api/v2/anything", headers=AUTHORISED)).status == 404


@pytest.mark.parametrize("token", [None, ""])
@pytest.mark.parametrize("header", ["Bearer ", f"Bearer {TOKEN}", "Bearer None", ""])
async def test_without_a_token_in_the_settings_there_is_no_api(
    visit: Visit, token: str | None, header: str
) -> None:
    client = await visit(app_with(token=token))
    response = await client.get("/api/v1/calls", headers={"Authorization": header})

    assert response.status == 404
    assert (await client.get("/healthz")).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_the_list_of_calls_is_only_read(visit: Visit, method: str) -> None:
    client = await visit(app_with())
    response = await client.request(method, "/api/v1/calls", headers=AUTHORISED)

    assert response.status == 405
    assert response.headers["Allow"] == "GET,HEAD"


@given(st.text())
def test_no_other_text_is_the_token(text: str) -> None:
    assert not is_authorised(f"Bearer {text}", TOKEN)
    assert is_authorised(f"Bearer {TOKEN}", TOKEN)
