# SPDX-License-Identifier: GPL-3.0-or-later
"""Which language a reader wants, and the words of it.

The words stand in `texts`, one file a language; a language that has a file is spoken. What is said
where is left to the templates.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from importlib.resources import files

from babel import Locale
from babel.dates import format_timedelta
from babel.languages import get_official_languages
from markupsafe import Markup, escape

SPOKEN = ("en", "de")
"""Languages of the pages; the first is spoken to whoever wants another."""
LONGEST_HEADER = 400
"""Characters of Accept-Language that are read."""

_ACCEPTED = re.compile(
    r"([a-z]{2,3})(?:-[a-z]{4})?(?:-([a-z]{2}))?(?:-[a-z0-9]+)*"
    r"\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?))?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Words:
    """Everything the pages say in one language."""

    language: str
    """ISO 639-1."""
    texts: Mapping[str, str] = field(repr=False)
    """By section and key: `room.title`."""

    def __call__(self, key: str, **values: object) -> str:
        """A text with what is filled in."""
        return self.texts[key].format(**values)

    def html(self, key: str, **values: object) -> Markup:
        """The same for a page, where some of what is filled in is HTML."""
        return escape(self.texts[key]).format(**values)

    def country(self, code: str) -> str:
        """What a country is called."""
        return str(Locale(self.language).territories.get(code, code))

    def speaks_in(self, country: str) -> bool:
        """Whether the language is an official one of the country."""
        return self.language in get_official_languages(country)

    def ago(self, age_s: float) -> str:
        """How long something is past, to the minute."""
        past = timedelta(seconds=-max(60.0, age_s))
        return str(
            format_timedelta(past, granularity="minute", add_direction=True, locale=self.language)
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """What a browser says of whoever sits before it."""

    words: Words
    """In the language that they want."""
    regions: tuple[str, ...] = ()
    """Countries that their languages are set to, best first."""


@cache
def words_of(language: str) -> Words:
    """The words of a language that is spoken."""
    text = files("dialin.web").joinpath("texts", f"{language}.toml").read_text("utf-8")
    flat: dict[str, str] = {}
    for name, value in tomllib.loads(text).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": sentence for key, sentence in value.items()}
        else:
            flat[name] = value
    return Words(language, flat)


def reader(wanted: str, accepted: str, usual: Sequence[str] = ()) -> Reader:
    """Who reads, by `?lang=` and the Accept-Language header (RFC 9110 §12.5.4).

    Peer-controlled. Without a wish that can be fulfilled, the first of `usual` that is spoken.
    """
    accepts = _accepts(accepted)
    wishes = [wanted, *(language for language, _region in accepts), *usual]
    language = next((wish for wish in wishes if wish in SPOKEN), SPOKEN[0])
    regions = dict.fromkeys(region for _language, region in accepts if region)
    return Reader(words_of(language), tuple(regions))


def _accepts(header: str) -> list[tuple[str, str]]:
    """Languages with their regions, best first."""
    weighted = []
    for part in header[:LONGEST_HEADER].split(","):
        match = _ACCEPTED.fullmatch(part.strip())
        if match and (weight := float(match[3] or 1)) > 0:
            weighted.append((weight, match[1].lower(), (match[2] or "").upper()))
    weighted.sort(key=lambda item: -item[0])
    return [(language, region) for _weight, language, region in weighted]
