# SPDX-License-Identifier: GPL-3.0-or-later
"""What all sections of the settings stand on: their common rules, their types, their refusals.

A refused value never appears in an error: it may be a secret in the wrong place.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, StringConstraints
from pydantic_core import PydanticCustomError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$", max_length=32)]
"""Name of a table; an environment variable can spell it, and `__` in it means a level."""
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
E164 = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{4,14}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]+$", max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]
Network = IPvAnyNetwork


class Section(BaseModel):
    """What all sections share: unknown keys are errors and nothing changes after the start."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )


def refused(cause: str, remedy: str, *, setting: str = "") -> PydanticCustomError:
    """An error that carries its remedy, and the setting's name relative to where it is raised."""
    return PydanticCustomError(
        "refused", "{cause}", {"cause": cause, "remedy": remedy, "setting": setting}
    )
