# SPDX-License-Identifier: GPL-3.0-or-later
"""Where commands find the settings."""

from __future__ import annotations

from pathlib import Path

import click

from dialin.settings import Loaded, load

DEFAULT_FILE = Path("/etc/dialin/dialin.toml")

config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Settings as TOML.  [default: {DEFAULT_FILE}, if it exists]",
)


def loaded_from(file: Path | None) -> Loaded:
    """The settings from a file, or from the usual one if there is none. Raises SettingsError."""
    return load(usual(file))


def usual(file: Path | None) -> Path | None:
    """The file that was named, else the usual one if it exists."""
    return file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
