# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of each provider: a TOML file a provider, laid under what an operator writes.

A preset is data with a source and a date, and says honestly how far it was tried. Its `[trunk]`
table holds settings by their names in `[trunks.NAME]`; whether they make sense there is for
`settings` to judge, and how presets look on a page is the business of `page`.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, get_args

from dialin.errors import OperatorError

Tested = Literal["never", "lab", "live"]
"""`lab`: `tests/lab` plays the provider. `live`: somebody placed a call through it."""
Basis = Literal["documented", "third-party", "general"]
"""Where the facts were read: with the provider, in other people's configurations, in standards."""

SUFFIX = ".toml"


@dataclass(frozen=True, slots=True)
class Source:
    """A page that operators can read themselves."""

    document: str
    """Its name."""
    address: str
    """Where it is published."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of one provider."""

    name: str
    """What operators write: the file's name without its suffix."""
    title: str
    """What the provider calls itself."""
    source: Source
    """The provider's own page."""
    date: datetime.date
    """When the facts were gathered."""
    basis: Basis
    """Where they come from."""
    tested: Tested
    """How far the preset was tried."""
    tested_on: datetime.date | None
    """Since when it counts as tried so; None if never."""
    unsupported: str
    """Why no call can work yet; empty if one should."""
    needs: Mapping[str, str]
    """Settings that only the operator knows, and where the provider tells them."""
    hints: tuple[str, ...]
    """What to do at the provider's side, and what to know."""
    unsure: tuple[str, ...]
    """What nobody has confirmed."""
    trunk: Mapping[str, Any]
    """Settings of the trunk, unless the operator says else."""


@cache
def names() -> tuple[str, ...]:
    """All presets, in alphabetical order."""
    found = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX)))


@cache
def load(name: str) -> Preset:
    """The preset of a name. Raises OperatorError, which names those that exist."""
    if name not in names():
        raise OperatorError("there is no such preset.", f"Choose one of {', '.join(names())}.")
    return parse(name, files(__name__).joinpath(name + SUFFIX).read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Preset:
    """Read a preset's file. Raises KeyError, TypeError or ValueError where it is malformed."""
    values = tomllib.loads(text)
    return Preset(
        name=name,
        source=Source(**values.pop("source")),
        date=values.pop("date"),
        basis=_one_of(Basis, values.pop("basis")),
        tested=_one_of(Tested, values.pop("tested")),
        tested_on=values.pop("tested_on", None),
        unsupported=values.pop("unsupported", ""),
        needs=MappingProxyType(values.pop("needs", {})),
        hints=tuple(values.pop("hints", ())),
        unsure=tuple(values.pop("unsure")),
        trunk=MappingProxyType(
            {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in values.pop("trunk").items()
            }
        ),
        **values,  # the title; anything else is one too many
    )


def _one_of(words: Any, text: str) -> Any:
    """A word out of those that a type allows."""
    if text not in get_args(words):
        raise ValueError(f"{text!r} is none of {', '.join(get_args(words))}")
    return text
