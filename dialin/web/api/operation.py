# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing that can be asked of the API, from the request to the answer.

An operation says what it takes and gives as pydantic models; what does not fit is refused here with
a problem document (RFC 9457) that names the field and never repeats what stood there. What is done
is left to `calls`, `rooms` and `state`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from aiohttp import hdrs, web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from dialin.errors import DialinError
from dialin.web.api.tokens import HOLDER, Scope
from dialin.web.problem import problem

ERRORS_TOLD = 20
PARAMETER_LONGEST = 255
"""Characters; BBB's meeting ids are no longer."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Shape(BaseModel):
    """What all bodies share: nothing that is not named, and nothing taken for something else."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def _whole(value: object) -> object:
    """JSON has one kind of number: 2.0 is as whole as 2 (RFC 8259 §6, JSON Schema's integer)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Behind `int` and its limits: takes a whole number however it is written."""


MeetingId = Annotated[
    str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")
]
"""The front end's id of a meeting."""


class Refusal(DialinError):
    """What was asked cannot be done."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        """Cause and remedy, one or two sentences; nothing that the client sent."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has been checked."""

    path: Mapping[str, str]
    """The parameters in the path. Client-controlled."""
    body: Any = None
    """An instance of the operation's `takes`; None where it takes nothing."""


@dataclass(frozen=True, slots=True)
class Given:
    """An answer with a header or another status than usual."""

    value: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path."""

    method: str
    path: str
    """As aiohttp and OpenAPI both write it: `/api/v1/calls/{id}`."""
    id: str
    """Unique, for clients that are made from the document."""
    summary: str
    scope: Scope
    perform: Callable[[Asked], Awaitable[Any]]
    """Gives what `gives` says, or `Given`. Raises Refusal."""
    takes: type[Shape] | None = None
    gives: Any = None
    """A type that pydantic knows; None for an answer without a body."""
    status: HTTPStatus = HTTPStatus.OK
    refuses: tuple[HTTPStatus, ...] = ()
    """Refusals of its own, beside those that every operation has."""


def add_operations(app: web.Application, operations: Iterable[Operation]) -> None:
    """Serve the operations."""
    for operation in operations:
        handler = _handler(operation)
        if operation.method == "GET":
            app.router.add_get(operation.path, handler)  # and HEAD
        else:
            app.router.add_route(operation.method, operation.path, handler)


def _handler(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    gives: TypeAdapter[Any] | None = TypeAdapter(operation.gives) if operation.gives else None

    async def handle(request: web.Request) -> web.StreamResponse:
        if operation.scope not in request[HOLDER].scopes:
            return problem(HTTPStatus.FORBIDDEN, detail=f"The token lacks {operation.scope}.")
        try:
            asked = Asked(_parameters(request), await _body(request, operation.takes))
            answer = await operation.perform(asked)
        except ValidationError as error:
            return problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                detail="The body does not fit; errors names the places.",
                errors=list(_places(error)),
            )
        except Refusal as refusal:
            return problem(refusal.status, detail=refusal.detail)
        given = answer if isinstance(answer, Given) else Given(answer)
        if gives is None:
            return web.Response(status=operation.status, headers=given.headers)
        return web.Response(
            status=operation.status,
            body=gives.dump_json(given.value),
            content_type="application/json",
            headers=given.headers,
        )

    return handle


def _parameters(request: web.Request) -> Mapping[str, str]:
    """What stands in the path; what cannot be the name of anything is found nowhere."""
    for text in request.match_info.values():
        if len(text) > PARAMETER_LONGEST or _UNPRINTABLE.search(text):
            raise web.HTTPNotFound
    return dict(request.match_info)


async def _body(request: web.Request, takes: type[Shape] | None) -> Shape | None:
    """The body as the operation takes it. Raises Refusal or ValidationError."""
    if takes is None:
        return None
    if request.content_type != "application/json":
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Send the body with {hdrs.CONTENT_TYPE}: application/json.",
        )
    try:
        return takes.model_validate_json(await request.read())
    except ValidationError as error:
        if any(one["type"] == "json_invalid" for one in error.errors(include_input=False)):
            raise Refusal(HTTPStatus.BAD_REQUEST, "The body is not JSON.") from None
        raise


def _places(error: ValidationError) -> Iterable[dict[str, str]]:
    """Where a body does not fit, as JSON pointers (RFC 6901), and why. Names of the client's own
    making are left out."""
    for one in error.errors(include_input=False, include_url=False)[:ERRORS_TOLD]:
        parts = one["loc"][:-1] if one["type"] == "extra_forbidden" else one["loc"]
        yield {"pointer": "".join(f"/{part}" for part in parts), "detail": one["msg"]}


def written(at: datetime) -> str:
    """A time as the API writes it (RFC 3339)."""
    return at.isoformat(timespec="milliseconds")
