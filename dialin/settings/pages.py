# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe the settings: example file, reference page, schema, and those in force.

All of it is made from the models, so that no page can be out of date. Secrets are never shown.
"""

from __future__ import annotations

import json
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, HttpUrl, IPvAnyAddress, IPvAnyNetwork, SecretStr
from pydantic.fields import FieldInfo

from dialin.settings.model import Settings
from dialin.settings.problems import SettingPath, section_of
from dialin.settings.sources import Loaded

EXAMPLE_NAME = "example"
"""Name of the trunk and of the server in the example."""
SHOWN = frozenset({f"trunks.{EXAMPLE_NAME}.allowed_sources"})
"""Settings that are in force in the example although they have a default."""
COLUMNS = 100
HIDDEN = "**********"

EXAMPLE_HEAD = """\
# Settings of dialin. What is commented out is the default or an example.
# An environment variable comes before this file: DIALIN_WEB__PORT=8081 is port in [web].
# A file in $CREDENTIALS_DIRECTORY comes before both: web__token, bbb_servers__example__secret.
# Made by `dialin config example`; every setting is explained in docs/configuration.md as well.
"""

REFERENCE_HEAD = """\
# Settings

<!-- Made by `dialin config reference`. Change dialin/settings instead. -->

Settings come from three places; a later one wins over an earlier one.

1. A TOML file, named with `--config FILE` (default `/etc/dialin/dialin.toml`, if it exists).
2. Environment variables: `DIALIN_`, then the path with `__` between its levels, in capitals.
   `DIALIN_BBB_SERVERS__MAIN__URL` is `url` in `[bbb_servers.main]`. Lists are written with commas
   or as JSON.
3. Files in the folder `$CREDENTIALS_DIRECTORY`, named by the path in small letters:
   `bbb_servers__main__secret`. systemd's `LoadCredential=` sets the folder; for Docker secrets let
   the variable be `/run/secrets`.

Unknown names are errors in all three places. `dialin config check` tells everything that is wrong
at once, `dialin config show --origin` what is in force and where it came from. Secrets are never
shown.
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the TOML file."""

    path: str
    """Its dotted name."""
    section: type[BaseModel]
    """What stands in it."""
    is_list: bool
    """Whether there can be several, in double brackets."""
    has_default: bool
    """Whether it stands as a list of tables in the line of its setting."""
    is_optional: bool
    """Whether there need be none of it, whatever its name."""

    @property
    def header(self) -> str:
        """The line that begins it."""
        return f"[[{self.path}]]" if self.is_list else f"[{self.path}]"

    @property
    def meaning(self) -> str:
        """What it is for, as one paragraph."""
        return " ".join((self.section.__doc__ or "").split())


def tables(name: str, section: type[BaseModel] = Settings, above: str = "") -> Iterator[Table]:
    """All tables, outer before inner; `name` stands for those that operators name."""
    for key, field in section.model_fields.items():
        inner = section_of(field)
        if inner:
            kind = get_origin(field.annotation)
            path = f"{above}{key}.{name}" if kind is dict else f"{above}{key}"
            is_optional = kind is dict and not field.is_required()
            yield Table(path, inner, kind is tuple, bool(field.default), is_optional)
            yield from tables(name, inner, f"{path}.")


def example() -> str:
    """A TOML file with every setting in it, explained; it is valid as it stands."""
    lines = [EXAMPLE_HEAD]
    for table in tables(EXAMPLE_NAME):
        if not (table.is_list and table.has_default):
            lines += comment(table.meaning)
            lines.append(f"# {table.header}" if table.is_optional else table.header)
            for key, field in table.section.model_fields.items():
                if not section_of(field) or field.default:
                    is_shown = field.is_required() or f"{table.path}.{key}" in SHOWN
                    lines += entry(key, field, is_shown=is_shown and not table.is_optional)
            lines.append("")
    return "\n".join(lines)


def entry(key: str, field: FieldInfo, *, is_shown: bool) -> Iterator[str]:
    """A setting of the example file: what it means, and its default or an example."""
    yield from comment(f"{field.description or ''}{limits(field, ' ({})')}")
    if is_shown:
        yield f"{key} = {toml(field.examples[0] if field.examples else '')}"
    elif field.examples and (field.is_required() or field.default in (None, (), "")):
        yield f"# {key} = {toml(field.examples[0])}"
    else:
        yield f"# {key} = {toml(field.default)}"


def comment(text: str) -> list[str]:
    """A text as comment lines."""
    return textwrap.wrap(
        text, COLUMNS, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def reference() -> str:
    """The page that operators look settings up in."""
    lines = [REFERENCE_HEAD]
    for table in tables("NAME"):
        lines += [f"## `{table.header}`", "", table.meaning, ""]
        lines += ["| Setting | Kind | Default | Meaning |", "|---|---|---|---|"]
        lines += (row(key, field) for key, field in table.section.model_fields.items())
        lines.append("")
    return "\n".join(lines)


def row(key: str, field: FieldInfo) -> str:
    """A setting of the reference page."""
    kind = f"{kind_of(field.annotation)}{limits(field, ', {}')}"
    if field.is_required():
        default = "**required**"
    elif field.default in (None, ()):
        default = "unset"
    else:
        default = f"`{toml(field.default)}`"
    return f"| `{key}` | {kind} | {default} | {field.description} |"


def limits(field: FieldInfo, form: str) -> str:
    """The bounds of a number in a form, empty for everything else."""
    low = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    high = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    return "" if low is None or high is None else form.format(f"{low} to {high}")


KINDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
    Path: "path",
    SecretStr: "secret text",
    HttpUrl: "URL",
    IPvAnyAddress: "IP address",
    IPvAnyNetwork: "network",
}


def kind_of(annotation: Any) -> str:
    """What kind of value a setting takes, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in KINDS:
        return KINDS[annotation]
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is Annotated:
        return kind_of(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(kind_of(part) for part in arguments if part is not types.NoneType)
    if origin is tuple:
        return f"list: {kind_of(arguments[0])}"
    if issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    return "table"


def schema() -> str:
    """The JSON schema of the TOML file, for editors."""
    return json.dumps(Settings.model_json_schema(), indent=2)


def in_force(loaded: Loaded, *, with_origin: bool) -> str:
    """All settings as TOML with dotted names, each with its origin if wanted."""
    return "\n".join(
        f"{line}  # {loaded.origin(path)}" if with_origin else line
        for path, line in assignments(loaded.settings)
    )


def assignments(value: Any, path: SettingPath = ()) -> Iterator[tuple[SettingPath, str]]:
    """Each plain setting below a value."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from assignments(inner, (*path, key))
    else:
        name = ".".join(str(part) for part in path)
        yield path, f"# {name} is unset" if value is None else f"{name} = {toml(value)}"


def toml(value: Any) -> str:
    """A value as TOML, secrets hidden."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return f"{value:g}"
        case SecretStr():
            return toml(HIDDEN)
        case list() | tuple():
            return f"[{', '.join(toml(item) for item in value)}]"
        case BaseModel():
            fields = {name: getattr(value, name) for name in type(value).model_fields}
            pairs = (f"{key} = {toml(item)}" for key, item in fields.items() if item is not None)
            return f"{{ {', '.join(pairs)} }}"
        case _:
            # JSON's strings are TOML's as well, but for DEL.
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
