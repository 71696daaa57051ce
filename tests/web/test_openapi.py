# SPDX-License-Identifier: GPL-3.0-or-later
"""The API's description of itself: valid, complete, and true of a service that runs."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from dialin.web.api import Operation, Scope
from dialin.web.api.openapi import openapi
from tests.web import AUTHORISED, app_with
from tests.web.conftest import Visit
from tests.world import World, whole_service

SECTIONS: dict[str, Any] = {
    "web": {"link_secret": "s3cret-of-the-links-Xq7Lw2Vb9Zr4", "requests_per_minute": 100_000}
}


@pytest.fixture
async def document() -> dict[str, Any]:
    async with whole_service(**SECTIONS) as world:
        return await described(world)


async def described(world: World) -> dict[str, Any]:
    """The document as the service gives it."""
    found: dict[str, Any] = json.loads(await world.page("/api/openapi.json"))
    return found


async def test_the_document_is_valid_and_needs_no_token(visit: Visit) -> None:
    client = await visit(app_with())
    response = await client.get("/api/openapi.json")
    assert response.status == 200
    OpenAPIV31SpecValidator(await response.json()).validate()


async def test_the_whole_document_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()
    operations = [
        operation
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids) >= 15
    for operation in operations:
        assert operation["summary"]
        assert {"401", "403", "429"} <= set(operation["responses"])


async def test_what_is_posted_to_subscribers_is_described(document: dict[str, Any]) -> None:
    assert set(document["webhooks"]) == {"waiting", "joined", "left", "hand"}
    for path in document["webhooks"].values():
        post = path["post"]
        assert post["summary"]
        assert post["parameters"][0]["name"] == "Dialin-Signature"
        schema = post["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Posted"}
    posted = document["components"]["schemas"]["Posted"]
    assert set(posted["required"]) == {"event", "id", "at", "meeting_id", "call"}
    assert posted["properties"]["call"] == {"$ref": "#/components/schemas/CallShown"}


async def test_what_the_service_answers_fits_its_document() -> None:
    async with whole_service(**SECTIONS) as world:
        document = await described(world)
        for path, methods in document["paths"].items():
            if "get" in methods and "{" not in path:
                body = await world.page(path)
                assert body.startswith((b"[", b"{")), path
        service = await world.page("/api/v1/service")
        assert b'"accepting":true' in service
        servers = await world.page("/api/v1/servers")
        assert b'"name":"demo"' in servers
        trunks = await world.page("/api/v1/trunks")
        assert b'"numbers":["+493023125100"]' in trunks


def test_an_operation_without_parameters_or_body_is_described_without_them() -> None:
    async def nothing(_: object) -> None: ...

    operation = Operation(
        "POST", "/api/v1/x", "x", "X.", Scope.ADMIN, nothing, status=HTTPStatus.ACCEPTED
    )
    described = openapi([operation], "1")["paths"]["/api/v1/x"]
    assert set(described) == {"post"}
    assert set(described["post"]["responses"]) == {"202", "401", "403", "429"}


async def test_without_tokens_there_is_no_document(visit: Visit) -> None:
    client = await visit(app_with(tokens=()))
    assert (await client.get("/api/openapi.json", headers=AUTHORISED)).status == 404
