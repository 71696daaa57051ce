# SPDX-License-Identifier: GPL-3.0-or-later
"""What all sections of the settings stand on: their common rules, their types, their refusals.

A refused value never appears in an error: it may be a secret in the wrong place.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$", max_length=32)]
"""Name of a table; an environment variable can spell it, and `__` in it means a level."""
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
E164 = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{4,14}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]+$", max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]
Network = IPvAnyNetwork
Transport = Literal["udp", "tcp", "tls"]
Encryption = Literal["require", "prefer", "off"]

MAX_PORT = 65535
TLS_PORT = 5061
_HOST_PORT = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9.-]{1,253}))(?::(?P<port>[0-9]{1,5}))?"
)


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


def existing_file(file: Path | None) -> Path | None:
    """The file itself, if it exists; who may read it is known at the start only."""
    if file is not None and not os.path.isfile(file):
        raise refused("there is no such file.", "Correct the path.")
    return file


def with_tls_port(values: Any, *, transport: str, port: str) -> Any:
    """Settings whose port, where it is unset, is the one that TLS has (RFC 3261 §19.1.2)."""
    if not isinstance(values, Mapping) or values.get(transport) != "tls":
        return values
    return {port: TLS_PORT, **values}


def split_host_port(text: str) -> tuple[str, int | None]:
    """`host` or `host:port` in two parts; an IPv6 address loses the brackets that it must have.

    Without a port, DNS has the choice (RFC 3263 §4). Raises ValueError.
    """
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise ValueError("neither host nor host:port")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 0 < port <= MAX_PORT:
        raise ValueError("no such port")
    return str(ip_address(match["ipv6"])) if match["ipv6"] else match["name"], port


def _checked_host_port(text: str) -> str:
    try:
        split_host_port(text)
    except ValueError:
        raise refused(
            "this is neither a host nor host:port.",
            "Write sip.example.org, sip.example.org:5061, 192.0.2.7:5060 or [2001:db8::7]:5060.",
        ) from None
    return text


HostPort = Annotated[str, AfterValidator(_checked_host_port)]
