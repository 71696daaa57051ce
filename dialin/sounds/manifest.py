# SPDX-License-Identifier: GPL-3.0-or-later
"""What the manifest of a language says: the words of its prompts, and how their sound was made.

`scripts/render-prompts` writes manifests; a folder of an operator's recordings needs none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dialin.errors import OperatorError
from dialin.events import Codec

FILE = "manifest.toml"
NOBODY = "nobody yet"


@dataclass(frozen=True, slots=True)
class Entry:
    """One prompt of one language."""

    text: str
    """Its words; of a tone, its frequencies."""
    limit_s: float
    """The longest it may be."""
    text_sha256: str
    """Of the words it was made from."""
    clip_sha256: Mapping[Codec, str]
    """Of each file."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One language, or the tones."""

    voice: str
    """Who speaks: engine and voice."""
    entries: Mapping[str, Entry]
    """By the name of the prompt."""
    wer_percent: float | None
    """How many words of a hundred the recogniser got wrong; None if it has not listened."""
    listened_by: str
    """Who has listened to it."""


@cache
def read(folder: Path) -> Manifest:
    """The manifest of a folder; an empty one where there is none. Raises OperatorError."""
    try:
        written = tomllib.loads((folder / FILE).read_text("utf-8"))
        return _manifest(written)
    except FileNotFoundError:
        return Manifest("", MappingProxyType({}), None, NOBODY)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OperatorError(
            f"{folder / FILE} cannot be used: {type(error).__name__}.", "Install dialin anew."
        ) from None


def _manifest(written: Mapping[str, Any]) -> Manifest:
    heard = written.get("intelligibility", {})
    render = written["render"]
    return Manifest(
        voice=f"{render['engine']}, {render['voice']}",
        entries=MappingProxyType(
            {name: _entry(entry) for name, entry in written["prompts"].items()}
        ),
        wer_percent=heard.get("wer_percent"),
        listened_by=heard.get("listened_by", NOBODY),
    )


def _entry(written: Mapping[str, Any]) -> Entry:
    return Entry(
        text=written["text"],
        limit_s=written["limit_s"],
        text_sha256=written["text_sha256"],
        clip_sha256=MappingProxyType(
            {codec: written[f"{codec.lower()}_sha256"] for codec in Codec}
        ),
    )
