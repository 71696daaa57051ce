# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings to the subscribers: who is told what happens to callers."""

from __future__ import annotations

from dialin.settings import Settings
from dialin.subscribers import Subscriber, Tally
from dialin.web.api import PostedEvent


def make_subscribers(settings: Settings, tally: Tally) -> list[Subscriber]:
    """All of them, with nothing due."""
    return [
        Subscriber(
            name,
            url=str(one.url),
            secret=one.secret.get_secret_value(),
            events=frozenset(map(PostedEvent, one.events)),
            meetings=frozenset(one.meetings),
            tally=tally,
        )
        for name, one in settings.subscribers.items()
    ]
