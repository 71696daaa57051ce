# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell operators what is wrong with their settings: which one, where it came from, what to do.

Turns pydantic's errors into sentences. A value is never repeated: it may be a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dialin.errors import OperatorError
from dialin.settings.model import Settings

SettingPath = tuple[str | int, ...]
"""Where a value stands: ("trunks", "easybell", "numbers", 0, "e164")."""

NOT_LIKELY = 0.75
"""How similar a name must be to be suggested (difflib's ratio)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the settings."""

    setting: str
    """Dotted name, as the reference page spells it."""
    origin: str
    """Where the value came from; empty if there is none."""
    cause: str
    """What is wrong, without the value."""
    remedy: str
    """What to do."""

    def __str__(self) -> str:
        source = f" ({self.origin})" if self.origin else ""
        return f"{self.setting}{source}: {self.cause} {self.remedy}"


class SettingsError(OperatorError):
    """The settings cannot be used; tells all that is wrong with them."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems), "")
        self.problems = problems
        """Each problem by itself."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path followed through the models."""

    path: SettingPath
    """The part of the path that means something to an operator."""
    field: FieldInfo | None
    """The setting at its end, if there is one."""
    section: type[BaseModel]
    """The section the path ends in."""

    @property
    def dotted(self) -> str:
        """The path as the reference page spells it."""
        return ".".join(str(part) for part in self.path)

    @property
    def meaning(self) -> str:
        """What stands there, in a sentence."""
        return (self.field and self.field.description) or (self.section.__doc__ or "")

    @property
    def is_secret(self) -> bool:
        """Whether the value must not be shown."""
        return self.field is not None and SecretStr in parts_of(self.field.annotation)


def explain(error: ValidationError, origins: Mapping[SettingPath, str]) -> Iterator[Problem]:
    """One problem for each setting that pydantic refuses."""
    found: dict[SettingPath, Problem] = {}
    for details in error.errors(include_url=False, include_input=False):
        place, problem = translate(details, origins)
        found.setdefault(place.path, problem)
    for path, problem in found.items():
        # A list whose only item is wrong is also reported as empty: the item is news enough.
        if not any(other != path and other[: len(path)] == path for other in found):
            yield problem


def translate(details: ErrorDetails, origins: Mapping[SettingPath, str]) -> tuple[Place, Problem]:
    """What one of pydantic's errors means to an operator."""
    context = details.get("ctx", {})
    relative = context.get("setting", "")
    place = locate((*details["loc"], *(relative.split(".") if relative else ())))
    means = f"It means: {place.meaning}"
    match details["type"]:
        case "refused":
            cause, remedy = context["cause"], context["remedy"]
        case "missing":
            cause, remedy = "is not set.", means
        case "extra_forbidden":
            cause, remedy = "there is no such setting.", suggestion(place)
        case _:
            cause, remedy = f"{details['msg']}.", means
    return place, Problem(place.dotted, origin_of(place.path, origins), cause, remedy)


def origin_of(path: SettingPath, origins: Mapping[SettingPath, str]) -> str:
    """Where the value at a path came from, or the nearest value around it; empty for none."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return ""


def locate(location: Sequence[str | int]) -> Place:
    """Follow a location of pydantic's as far as an operator's settings go."""
    path: list[str | int] = []
    field: FieldInfo | None = None
    section: type[BaseModel] = Settings
    expects_name = False
    for part in location:
        if isinstance(part, int) or expects_name:
            path.append(part)
            expects_name = False
        elif part in section.model_fields and (field is None or section_of(field)):
            path.append(part)
            field = section.model_fields[part]
            section = section_of(field) or section
            expects_name = get_origin(field.annotation) is dict
        elif field is None or section_of(field):
            return Place((*path, part), None, section)
    return Place(tuple(path), field, section)


def section_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """The section that a setting holds, alone, in a list or in a table; None for plain values."""
    parts = parts_of(field.annotation) if field else ()
    return next(
        (part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None
    )


def parts_of(annotation: Any) -> Iterable[Any]:
    """A type and all types it is made of."""
    yield annotation
    for argument in get_args(annotation):
        yield from parts_of(argument)


def suggestion(place: Place) -> str:
    """What an operator may have meant by a name that does not exist."""
    known = list(names_in(place.section))
    likely = difflib.get_close_matches(str(place.path[-1]), known, 1, NOT_LIKELY)
    parent = "".join(f"{part}." for part in place.path[:-1])
    if likely:
        return f"Did you mean {parent}{likely[0]}?"
    return f"Remove it. Here could stand: {', '.join(place.section.model_fields)}."


def names_in(section: type[BaseModel]) -> Iterator[str]:
    """Names that may stand in a section, those one level down with a dot."""
    for name, field in section.model_fields.items():
        yield name
        inner = section_of(field)
        if inner and get_origin(field.annotation) is None:
            yield from (f"{name}.{inner_name}" for inner_name in inner.model_fields)
