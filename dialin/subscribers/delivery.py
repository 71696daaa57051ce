# SPDX-License-Identifier: GPL-3.0-or-later
"""Posts to one subscriber: in order, signed, again and again until each is taken.

Whatever the subscriber does (hang, redirect, answer without end) costs it its turn only. Its
address may hold a secret, so no error of the HTTP client is logged or passed on.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

import aiohttp

from dialin.subscribers.happenings import Happening
from dialin.web.api.calls import CallShown
from dialin.web.api.operation import written
from dialin.web.api.posts import SIGNATURE_HEADER, Posted, PostedEvent, signature

log = logging.getLogger(__name__)

KEPT = 1000
"""Events that wait for one subscriber; for one more, the oldest is dropped."""
KEPT_FOR_S = 24 * 3600.0
ANSWER_WITHIN_S = 5.0
ANSWER_BYTES = 1024
"""As much is read of an answer, for the connection's sake; nothing in it matters."""
FIRST_AGAIN_AFTER_S = 1.0
LAST_AGAIN_AFTER_S = 300.0
ID_BYTES = 16

TAKEN, DROPPED = "taken", "dropped"
CAUSES = {
    "timeout": "it does not answer in time",
    "unreachable": "no connection to it can be made, or it breaks off",
    "redirected": "it redirects, and posts follow no redirect: correct its url",
    "refused": "it answers with an error of ours: see whether url and secret are right",
    "failed": "it answers with an error of its own: see its log",
}
"""What may be wrong, and what the log says of it."""


class Tally(Protocol):
    """Who counts posts."""

    def subscriber_posted(self, subscriber: str, result: str) -> None:
        """An event was taken, not taken, or dropped; `result` is one of `RESULTS`."""


RESULTS = (TAKEN, DROPPED, *CAUSES)
"""How a post may end."""


@dataclass(frozen=True, slots=True)
class _Due:
    """An event on its way."""

    body: bytes
    since_s: float
    """By the loop's clock."""


@dataclass(slots=True)
class Subscriber:
    """Somebody who wants to be told."""

    name: str
    """The name in the settings."""
    url: str = field(repr=False)
    secret: str = field(repr=False)
    events: frozenset[PostedEvent]
    tally: Tally = field(repr=False)
    meetings: frozenset[str] = frozenset()
    """Meeting ids that matter to it; empty for all."""
    now: Callable[[], float] = field(default=time.time, repr=False)
    _due: deque[_Due] = field(default_factory=deque, repr=False)
    _more: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _cause: str = field(default="", repr=False)

    @property
    def waiting(self) -> int:
        """How many events are not taken yet."""
        return len(self._due)

    def tell(self, happening: Happening) -> None:
        """Put something that has happened at the end of the queue, if it is wanted. At once."""
        if happening.event not in self.events:
            return
        if self.meetings and happening.meeting_id not in self.meetings:
            return
        if len(self._due) >= KEPT:
            self._drop()
        self._due.append(_Due(body_of(happening), _loop_time_s()))
        self._more.set()

    def inherit(self, other: Subscriber) -> None:
        """Take over what is due to another, whose place this one takes."""
        self._due.extend(other._due)

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Post what is due until cancelled."""
        again_after_s = FIRST_AGAIN_AFTER_S
        while True:
            while not self._due:
                self._more.clear()
                await self._more.wait()
            if await self._post_first(session):
                again_after_s = FIRST_AGAIN_AFTER_S
            else:
                await asyncio.sleep(again_after_s)
                again_after_s = min(again_after_s * 2, LAST_AGAIN_AFTER_S)

    async def flush(self, session: aiohttp.ClientSession) -> None:
        """Post what is due, as long as it is taken."""
        while self._due and await self._post_first(session):
            pass

    async def _post_first(self, session: aiohttp.ClientSession) -> bool:
        """Whether the oldest event is done with: taken, or too old."""
        first = self._due[0]
        if _loop_time_s() - first.since_s > KEPT_FOR_S:
            self._drop()
            return True
        result = await self._post(session, first.body)
        self.tally.subscriber_posted(self.name, result)
        self._note("" if result == TAKEN else result)
        if result != TAKEN:
            return False
        if self._due and self._due[0] is first:  # else it was dropped while it was under way
            self._due.popleft()
        return True

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> str:
        """Post once; gives what came of it."""
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: signature(self.secret, body, int(self.now())),
        }
        try:
            async with session.post(
                self.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                with suppress(aiohttp.ClientError, TimeoutError):
                    await response.content.read(ANSWER_BYTES)
                return _result(response.status)
        except TimeoutError:
            return "timeout"
        except (aiohttp.ClientError, OSError, ValueError):
            return "unreachable"

    def _drop(self) -> None:
        self._due.popleft()
        self.tally.subscriber_posted(self.name, DROPPED)

    def _note(self, cause: str) -> None:
        """Log that posts are not taken, or are taken again."""
        if cause == self._cause:
            return
        if cause:
            log.warning(
                "Subscriber %s is not told what happens: %s. Up to %d events are kept for it.",
                *(self.name, CAUSES[cause], KEPT),
            )
        else:
            log.info("subscriber %s takes what it is told", self.name)
        self._cause = cause


def body_of(happening: Happening) -> bytes:
    """What is posted of something that has happened."""
    return (
        Posted(
            event=happening.event,
            id=secrets.token_urlsafe(ID_BYTES),
            at=written(datetime.now(UTC)),
            meeting_id=happening.meeting_id,
            call=CallShown.of(happening.call),
        )
        .model_dump_json()
        .encode()
    )


def _loop_time_s() -> float:
    return asyncio.get_running_loop().time()


def _result(status: int) -> str:
    """What a status means for a post."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return TAKEN
    if status < HTTPStatus.BAD_REQUEST:
        return "redirected"
    return "refused" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
