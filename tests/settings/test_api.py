# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told what happens: posts neither cross the internet in the clear nor can be forged."""

from __future__ import annotations

import pytest

from tests.settings import TOKEN, complaint, settings

URL = "https://lms.example.org/dialin"


def changes(**values: object) -> dict[str, object]:
    """A subscriber, with changes."""
    return {"subscribers.lms": {"url": URL, "secret": TOKEN, **values}}


def test_by_default_nobody_is_told() -> None:
    assert settings().subscribers == {}


def test_a_subscriber_is_told_of_all_meetings_who_waits_comes_and_goes() -> None:
    told = settings(changes()).subscribers["lms"]
    assert (told.events, told.meetings) == (("waiting", "joined", "left"), ())
    assert TOKEN not in repr(told)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:3000/", "http://localhost/", "http://[::1]/", "http://10.1.2.3/posts", URL],
)
def test_ways_that_others_cannot_read_are_taken(url: str) -> None:
    assert not complaint(changes(url=url))


@pytest.mark.parametrize(
    "values",
    [
        {"url": "http://lms.example.org/"},
        {"url": "http://8.8.8.8/"},
        {"url": "http://[2001:4860:4860::8888]/"},
        {"url": "ftp://lms.example.org/"},
        {"secret": "short"},
        {"events": []},
        {"events": ["rang"]},
        {"meetings": [""]},
        {"retries": 3},
    ],
)
def test_what_could_do_harm_is_refused(values: dict[str, object]) -> None:
    assert complaint(changes(**values)).startswith("subscribers.lms")
