# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the settings: a TOML file, over it the environment, over that a folder of secret files.

    file         [web]                                what the operator wrote
                 port = 8080
    environment  DIALIN_WEB__PORT=8080                `__` is a level; lists as JSON or with commas
    secrets      $CREDENTIALS_DIRECTORY/web__token    systemd's LoadCredential=, Docker's secrets

A trunk's preset lies beneath all of them. Every value keeps its origin. What is right and wrong is
the business of `model`, how it is told that of `problems`.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from dialin import presets
from dialin.settings.model import Settings
from dialin.settings.problems import (
    Problem,
    SettingPath,
    SettingsError,
    explain,
    locate,
    origin_of,
)

PREFIX = "DIALIN_"
DELIMITER = "__"
SECRETS_VARIABLE = "CREDENTIALS_DIRECTORY"


@dataclass(frozen=True, slots=True)
class Layer:
    """Values that one source gives."""

    origin: str
    """The source, as people call it."""
    values: dict[str, Any]
    """Nested as in the TOML file."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings that can be used, and what is known about them."""

    settings: Settings
    """The settings."""
    origins: Mapping[SettingPath, str]
    """Where each value that was set came from."""
    warnings: tuple[str, ...]
    """What should be mended although the service can start."""

    def origin(self, path: SettingPath) -> str:
        """Where the value at a path came from."""
        return origin_of(path, self.origins) or "default"


def load(file: Path | None) -> Loaded:
    """Read and check everything. Raises SettingsError."""
    merged: dict[str, Any] = {}
    origins: dict[SettingPath, str] = {}
    for layer in (*read_file(file), *read_environment(), *read_secrets()):
        merge(merged, layer.values)
        origins.update((path, layer.origin) for path in paths_in(layer.values))
    for path, origin in preset_origins(merged):
        origins.setdefault(path, origin)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(*explain(error, origins)) from None
    return Loaded(settings, origins, (*warn_of_open_file(file, origins), *warn_of_odd_secrets()))


def read_file(file: Path | None) -> Iterator[Layer]:
    """The TOML file, if there is one."""
    if file is None:
        return
    try:
        yield Layer(f"file {file}", tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(
            Problem(
                str(file),
                "",
                f"cannot be read: {error.strerror}.",
                "Name another with --config, or begin with `dialin config example`.",
            )
        ) from error
    except ValueError as error:  # TOMLDecodeError tells the place, not the value; so do codecs
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
        raise SettingsError(
            Problem(str(file), "", f"is not TOML: {reason}.", "Mend the line.")
        ) from None


def read_environment() -> Iterator[Layer]:
    """Each variable that is meant for us, unknown ones too, so that a slip is told."""
    for variable, text in sorted(os.environ.items()):
        if variable.upper().startswith(PREFIX):
            name = variable[len(PREFIX) :]
            yield Layer(f"environment variable {variable}", values_of(name, text))


def read_secrets() -> Iterator[Layer]:
    """Each secret file whose name begins with a section's."""
    for file in secret_files():
        if is_for_us(file):
            try:
                text = file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                raise SettingsError(
                    Problem(str(file), "", "cannot be read as text.", "Write it anew in UTF-8.")
                ) from None
            yield Layer(f"secret file {file}", values_of(file.name, text))


def secret_files() -> list[Path]:
    """The files in the secrets folder, whoever they are for."""
    folder = os.environ.get(SECRETS_VARIABLE)
    if folder is None:
        return []
    try:
        return sorted(file for file in Path(folder).iterdir() if file.is_file())
    except OSError as error:
        raise SettingsError(
            Problem(
                f"${SECRETS_VARIABLE}",
                "",
                f"the folder cannot be read: {error.strerror}.",
                "Correct or unset the variable.",
            )
        ) from error


def is_for_us(file: Path) -> bool:
    """Whether a secret file's name begins with a section's; others may be for other programs."""
    return file.name.lower().split(DELIMITER)[0] in Settings.model_fields


class _Schema(Settings, BaseSettings):
    """The models, in the guise that pydantic-settings wants to look names up in."""

    model_config = SettingsConfigDict(env_nested_delimiter=DELIMITER)


class _OneText(EnvSettingsSource):
    """Nested values from one flat name and its text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(_Schema)
        self.env_vars = {name.lower(): text}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """JSON, or a list written with commas; what is neither is left for the models to refuse."""
        try:
            return json.loads(value)
        except ValueError:
            return [part.strip() for part in value.split(",")]


def values_of(name: str, text: str) -> dict[str, Any]:
    """`WEB__PORT`, `8080` -> {"web": {"port": "8080"}}; an unknown name stays as it is."""
    return _OneText(name, text)() or {name.lower(): text}


def merge(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Lay values over others; tables join, everything else is replaced."""
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            merge(below[key], value)
        else:
            below[key] = value


def paths_in(values: Mapping[str, Any], above: SettingPath = ()) -> Iterator[SettingPath]:
    """The path of each value; a list is one value, an empty table none."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from paths_in(value, (*above, key))
        else:
            yield (*above, key)


def preset_origins(values: Mapping[str, Any]) -> Iterator[tuple[SettingPath, str]]:
    """The settings that trunks' presets know; those models lay the values beneath the others."""
    trunks = values.get("trunks")
    for name, trunk in trunks.items() if isinstance(trunks, dict) else ():
        preset = trunk.get("preset") if isinstance(trunk, dict) else None
        if preset in presets.names():
            for key in presets.load(preset).trunk:
                yield ("trunks", name, key), f"preset {preset}"


def warn_of_open_file(file: Path | None, origins: Mapping[SettingPath, str]) -> Iterator[str]:
    """A file that holds secrets should not be for everybody's eyes."""
    if file is None or not file.stat().st_mode & stat.S_IROTH:
        return
    for path, origin in origins.items():
        place = locate(path)
        if origin == f"file {file}" and place.is_secret:
            yield (
                f"{place.dotted} stands in {file}, which everybody on this machine can read. "
                f"Say `chmod o= {file}`, or move it to a secret file."
            )


def warn_of_odd_secrets() -> Iterator[str]:
    """Secret files that are not ours, in case they were meant to be."""
    for file in secret_files():
        if not is_for_us(file):
            yield f"secret file {file} begins with no section's name and is not used."
