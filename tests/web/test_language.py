# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages speak the reader's language, and each language says everything."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.web.language import SPOKEN, reader, words_of


def fields(text: str) -> set[str]:
    return {name for _text, name, _spec, _kind in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", SPOKEN)
def test_each_language_says_the_same_things_with_the_same_gaps(language: str) -> None:
    english, other = words_of("en").texts, words_of(language).texts

    assert set(other) == set(english)
    for key, text in other.items():
        assert fields(text) == fields(english[key]), key
        assert text.strip() == text, key
        assert text, key


@pytest.mark.parametrize("language", SPOKEN)
def test_every_text_is_used(language: str) -> None:
    """A key that nothing names is left over."""
    from importlib.resources import files

    package = files("dialin.web")
    sources = [item.read_text() for item in package.joinpath("templates").iterdir()]
    sources += [item.read_text() for item in package.iterdir() if item.name.endswith(".py")]
    said = "\n".join(sources)
    for key in words_of(language).texts:
        section, _, name = key.rpartition(".")
        assert (
            key in said
            or re.search(rf"[\"'(]{re.escape(name)}[\"')]", said)
            or any(f'"{key[: cut.end()]}" ~' in said for cut in re.finditer("[._]", key))
            or section in ("error",)
        ), key


@pytest.mark.parametrize(
    ("wanted", "accepted", "language", "regions"),
    [
        ("", "", "en", ()),
        ("de", "", "de", ()),
        ("de", "en-GB,en;q=0.9", "de", ("GB",)),
        ("fr", "de", "de", ()),
        ("", "de-AT, de;q=0.9, en;q=0.8", "de", ("AT",)),
        ("", "en;q=0.5, de-CH;q=0.9", "de", ("CH",)),
        ("", "fr-CA, de;q=0.1", "de", ("CA",)),
        ("", "zh-Hant-TW, ja", "en", ("TW",)),
        ("", "de;q=0, en", "en", ()),
        ("", "DE-at", "de", ("AT",)),
        ("", "*", "en", ()),
        ("", "de-DE-x-goog, en-US", "de", ("DE", "US")),
        ("<script>", ";;;q=,=", "en", ()),
        ("", "de;q=\u0660.\u0665", "en", ()),
    ],
)
def test_the_reader_is_spoken_to_as_the_browser_wants(
    wanted: str, accepted: str, language: str, regions: tuple[str, ...]
) -> None:
    who = reader(wanted, accepted)

    assert (who.words.language, who.regions) == (language, regions)


def test_without_a_wish_the_services_own_language_is_spoken() -> None:
    assert reader("", "fr", ("it", "de", "en")).words.language == "de"
    assert reader("", "fr", ("it",)).words.language == "en"


@given(st.text(), st.text())
def test_no_header_is_too_odd(wanted: str, accepted: str) -> None:
    who = reader(wanted, accepted)

    assert who.words.language in SPOKEN
    assert all(re.fullmatch("[A-Z]{2}", region) for region in who.regions)


@pytest.mark.parametrize(
    ("age_s", "english", "german"),
    [
        (0, "1 minute ago", "vor 1 Minute"),
        (181, "3 minutes ago", "vor 3 Minuten"),
        (7300, "2 hours ago", "vor 2 Stunden"),
    ],
)
def test_how_long_ago_in_words(age_s: float, english: str, german: str) -> None:
    assert words_of("en").ago(age_s) == english
    assert words_of("de").ago(age_s) == german


def test_countries_have_names_and_unknown_ones_their_code() -> None:
    assert words_of("de").country("AT") == "Österreich"
    assert words_of("en").country("XQ") == "XQ"
    assert words_of("de").speaks_in("CH")
    assert not words_of("de").speaks_in("FR")


def test_what_is_filled_into_html_is_escaped() -> None:
    words = words_of("en")

    assert "&lt;b&gt;" in words.html("statement.withheld", label="<b>")
