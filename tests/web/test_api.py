# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators' API: who gets in, and what they see."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.registry import Admit, CallState, HangUp, LowerHand, MoveTo, Mute, Order, Refuse, Unmute
from dialin.web.api import Scope, Token, Tokens
from tests.web import AUTHORISED, CALL, EVERYTHING, TOKEN, Calls, app_with
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
            "waiting_for": "",
            "room": "demo",
            "server": "main",
            "codec": "G722",
            "encrypted": False,
            "muted": False,
            "hand_raised": False,
            "language": None,
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


@pytest.mark.parametrize("header", ["Bearer ", f"Bearer {TOKEN}", "Bearer None", ""])
async def test_without_a_token_in_the_settings_there_is_no_api(visit: Visit, header: str) -> None:
    client = await visit(app_with(tokens=()))
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
    tokens = Tokens([EVERYTHING], per_minute=1)
    assert tokens.holder(f"Bearer {text}") is None
    assert tokens.holder(f"Bearer {TOKEN}") is EVERYTHING


class TestScopes:
    @pytest.mark.parametrize("scope", Scope)
    async def test_a_token_opens_what_its_scopes_say(self, visit: Visit, scope: Scope) -> None:
        client = await visit(app_with(tokens=(Token("one", TOKEN, frozenset({scope})),)))
        response = await client.get("/api/v1/calls", headers=AUTHORISED)
        assert response.status == (200 if scope is Scope.CALLS else 403)
        if response.status == 403:
            assert (await response.json())["detail"] == "The token lacks calls."

    async def test_each_of_several_tokens_counts(self, visit: Visit) -> None:
        tokens = (Token("one", "first-token-9Xq7"), Token("two", "second-token-9Xq7"))
        client = await visit(app_with(tokens=tokens))
        for token, status in (("first-token-9Xq7", 200), ("second-token-9Xq7", 200), ("x", 401)):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await client.get("/api/v1/calls", headers=headers)).status == status

    def test_a_token_shows_its_secret_to_nobody(self) -> None:
        assert TOKEN not in repr(EVERYTHING)


class TestLimits:
    async def test_who_asks_too_often_waits_and_others_do_not(self, visit: Visit) -> None:
        other = Token("other", "another-token-9Xq7")
        app = app_with(tokens=(EVERYTHING, other), per_minute=3)
        client = await visit(app)
        statuses = [
            (await client.get("/api/v1/calls", headers=AUTHORISED)).status for _ in range(4)
        ]
        assert statuses == [200, 200, 200, 429]
        response = await client.get("/api/v1/calls", headers=AUTHORISED)
        assert 1 <= int(response.headers["Retry-After"]) <= 20
        headers = {"Authorization": f"Bearer {other.secret}"}
        assert (await client.get("/api/v1/calls", headers=headers)).status == 200

    async def test_who_guesses_tokens_is_kept_away(self, visit: Visit) -> None:
        client = await visit(app_with())
        wrong = {"Authorization": "Bearer wrong"}
        statuses = [(await client.get("/api/v1/calls", headers=wrong)).status for _ in range(11)]
        assert statuses == [401] * 10 + [429]

    async def test_a_right_token_is_not_held_up_by_wrong_ones(self, visit: Visit) -> None:
        client = await visit(app_with())
        for _ in range(11):
            await client.get("/api/v1/calls", headers={"Authorization": "Bearer wrong"})
        assert (await client.get("/api/v1/calls", headers=AUTHORISED)).status == 200


class TestOrders:
    @pytest.mark.parametrize(
        ("body", "order"),
        [
            ({"order": "admit"}, Admit()),
            ({"order": "refuse"}, Refuse()),
            ({"order": "mute"}, Mute()),
            ({"order": "unmute"}, Unmute()),
            ({"order": "lower-hand"}, LowerHand()),
        ],
    )
    async def test_orders_reach_the_call(
        self, visit: Visit, body: dict[str, str], order: Order
    ) -> None:
        calls = Calls([CALL])
        client = await visit(app_with(calls=calls))
        response = await client.post("/api/v1/calls/c0ffee/orders", json=body, headers=AUTHORISED)
        assert response.status == 202
        assert calls.orders == [("c0ffee", order)]

    async def test_a_call_is_moved(self, visit: Visit) -> None:
        calls = Calls([CALL])
        client = await visit(app_with(calls=calls))
        path = "/api/v1/calls/c0ffee/move"
        response = await client.post(path, json={"meeting_id": "other"}, headers=AUTHORISED)
        assert response.status == 202
        assert calls.orders == [("c0ffee", MoveTo("other"))]
        response = await client.post(path, json={"meeting_id": ""}, headers=AUTHORISED)
        assert response.status == 422

    async def test_a_call_is_hung_up(self, visit: Visit) -> None:
        calls = Calls([CALL])
        client = await visit(app_with(calls=calls))
        assert (await client.delete("/api/v1/calls/c0ffee", headers=AUTHORISED)).status == 202
        assert calls.orders == [("c0ffee", HangUp())]

    async def test_one_call_is_shown(self, visit: Visit) -> None:
        client = await visit(app_with(calls=Calls([CALL])))
        response = await client.get("/api/v1/calls/c0ffee", headers=AUTHORISED)
        assert (await response.json())["label"] == "xxx-xxx-1234"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/v1/calls/gone"),
            ("DELETE", "/api/v1/calls/gone"),
            ("DELETE", "/api/v1/calls/a%00b"),
            ("GET", f"/api/v1/calls/{'x' * 256}"),
        ],
    )
    async def test_a_call_that_is_not_there_is_not_found(
        self, visit: Visit, method: str, path: str
    ) -> None:
        client = await visit(app_with(calls=Calls([CALL])))
        assert (await client.request(method, path, headers=AUTHORISED)).status == 404

    async def test_a_call_that_is_too_busy_takes_no_order(self, visit: Visit) -> None:
        client = await visit(app_with(calls=Calls([replace(CALL, id="busy")])))
        response = await client.delete("/api/v1/calls/busy", headers=AUTHORISED)
        assert response.status == 409

    @pytest.mark.parametrize(
        ("body", "status", "pointer"),
        [
            (b"{", 400, None),
            (b"[" * 20_000, 400, None),
            (b"\xff", 400, None),
            (b"[]", 422, ""),
            (b"{}", 422, "/order"),
            (b'{"order": "sing"}', 422, "/order"),
            (b'{"order": 1}', 422, "/order"),
            (b'{"order": "mute", "canary-of-the-client": 1}', 422, ""),
            (b'{"order": "move"}', 422, "/order"),
            (b'{"order": "mute", "meeting_id": "x"}', 422, ""),
        ],
    )
    async def test_a_body_that_does_not_fit_is_told_where_and_not_repeated(
        self, visit: Visit, body: bytes, status: int, pointer: str | None
    ) -> None:
        calls = Calls([CALL])
        client = await visit(app_with(calls=calls))
        response = await client.post(
            "/api/v1/calls/c0ffee/orders",
            data=body,
            headers={**AUTHORISED, "Content-Type": "application/json"},
        )
        assert response.status == status
        assert response.content_type == "application/problem+json"
        told = await response.json()
        assert [each["pointer"] for each in told.get("errors", [])] == (
            [] if pointer is None else [pointer]
        )
        assert "canary-of-the-client" not in str(told)
        assert "sing" not in str(told)
        assert calls.orders == []

    async def test_a_body_that_is_no_json_is_not_read(self, visit: Visit) -> None:
        client = await visit(app_with(calls=Calls([CALL])))
        response = await client.post(
            "/api/v1/calls/c0ffee/orders", data={"order": "mute"}, headers=AUTHORISED
        )
        assert response.status == 415

    async def test_a_body_that_is_too_large_is_not_read(self, visit: Visit) -> None:
        client = await visit(app_with(calls=Calls([CALL])))
        response = await client.post(
            "/api/v1/calls/c0ffee/orders",
            data=b'"' + b"x" * 70_000 + b'"',
            headers={**AUTHORISED, "Content-Type": "application/json"},
        )
        assert response.status == 413
