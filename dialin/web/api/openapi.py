# SPDX-License-Identifier: GPL-3.0-or-later
"""`/api/openapi.json`: the API described in OpenAPI 3.1, made of the operations themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import TypeAdapter

from dialin.web.api.operation import PARAMETER_LONGEST, Operation
from dialin.web.api.posts import SIGNATURE_HEADER, Posted, PostedEvent
from dialin.web.problem import CONTENT_TYPE

REF = "#/components/schemas/{model}"
ALWAYS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
WITH_BODY = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
POSTS = {
    PostedEvent.WAITING: "A caller waits: for the meeting, its host, or the conference.",
    PostedEvent.JOINED: "A caller is in the room.",
    PostedEvent.LEFT: "A caller is no longer in the room.",
    PostedEvent.HAND: "A caller has raised or lowered the hand.",
}
"""What subscribers are told, each with its summary."""
PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer (RFC 6901)."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def openapi(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The document, as JSON has it."""
    schemas: dict[str, Any] = {"Problem": PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = paths.setdefault(operation.path, _parameters(operation.path))
        path[operation.method.lower()] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dialin",
            "version": version,
            "summary": "The telephone door to BigBlueButton meetings.",
            "description": "Never a telephone number of a caller, whatever is asked.",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "webhooks": _webhooks(schemas),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def openapi_page(operations: Sequence[Operation], version: str) -> Handler:
    """Serves the document."""
    document = openapi(operations, version)

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(document)

    return answer


def _parameters(path: str) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", path)
    if not names:
        return {}
    schema = {"type": "string", "minLength": 1, "maxLength": PARAMETER_LONGEST}
    return {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": schema} for name in names
        ]
    }


def _described(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    refusals = [*ALWAYS, *operation.refuses]
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": f"Needs a token with the scope `{operation.scope}`.",
        "responses": {str(int(operation.status)): _answer(operation, schemas)},
    }
    if operation.takes is not None:
        refusals += WITH_BODY
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(operation.takes, schemas)}},
        }
    if "{" in operation.path:
        refusals.append(HTTPStatus.NOT_FOUND)
    described["responses"] |= _refusals(refusals)
    return described


def _webhooks(schemas: dict[str, Any]) -> dict[str, Any]:
    """What we post to subscribers ourselves, by its name."""
    body = {"application/json": {"schema": _schema(Posted, schemas, mode="serialization")}}
    signed = {
        "name": SIGNATURE_HEADER,
        "in": "header",
        "required": True,
        "description": "t=SECONDS,v1=HEX: HMAC-SHA256 of SECONDS, a full stop and the body.",
        "schema": {"type": "string", "pattern": "^t=[0-9]+,v1=[0-9a-f]{64}$"},
    }
    return {
        event.value: {
            "post": {
                "operationId": f"posted{event.value.title()}",
                "summary": summary,
                "security": [],
                "parameters": [signed],
                "requestBody": {"required": True, "content": body},
                "responses": {
                    "2XX": {"description": "It is taken; anything else is posted again."}
                },
            }
        }
        for event, summary in POSTS.items()
    }


def _answer(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": operation.status.phrase}
    if operation.gives is not None:
        schema = _schema(operation.gives, schemas, mode="serialization")
        answer["content"] = {"application/json": {"schema": schema}}
    if operation.status is HTTPStatus.CREATED:
        answer["headers"] = {"Location": {"schema": {"type": "string"}}}
    return answer


def _refusals(statuses: Iterable[HTTPStatus]) -> dict[str, Any]:
    content = {CONTENT_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}}
    return {
        str(int(status)): {"description": status.phrase, "content": content}
        for status in sorted(set(statuses))
    }


def _schema(kind: Any, schemas: dict[str, Any], mode: Any = "validation") -> dict[str, Any]:
    """The schema of a type; models that it needs are put with the others."""
    schema = TypeAdapter(kind).json_schema(ref_template=REF, mode=mode)
    schemas |= schema.pop("$defs", {})
    title = schema.get("title")
    if title is None or schema.get("type") != "object":
        return schema
    schemas[title] = schema
    return {"$ref": REF.format(model=title)}
