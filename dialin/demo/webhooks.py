# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for bbb-webhooks: keeps hooks, and posts events to them with its form and checksum.

As the real one it posts each event by itself, so a later one may overtake, tries again after
refusals, and forgets a hook that nobody answers for (src/out/webhooks at a001f1d). It can be told
to fail, by name. Hooks that ask for raw messages are kept and get nothing. What is posted is made
by `hook_events`.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

import aiohttp
from yarl import URL

from dialin.demo.bbb_answers import SUCCESS, Element, answer, failed, word
from dialin.demo.hook_events import HookEvent, event_id
from dialin.wire.bbbhooks import hook_checksum
from dialin.wire.bbbxml import Checksum

RETRY_AFTER_S = (0.1, 0.5, 1, 2, 4, 8, 10, 30, 60, 60, 60, 60)
"""config/default.example.yml: about five minutes in all."""
PERMANENT_AGAIN_AFTER_S = 60.0
TIMEOUT_S = 5.0
LATE_S = 2.0
OVERTAKEN_WITHIN_S = 5.0
"""How long an event waits to be overtaken."""


class HookFault(StrEnum):
    """The ways in which posting can be told to fail."""

    NOT_SENT = "not-sent"
    DOUBLED = "doubled"
    WRONG_CHECKSUM = "wrong-checksum"
    LATE = "late"
    OUT_OF_ORDER = "out-of-order"
    """Each event waits until the one after it has been posted."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Who wants events."""

    id: str
    """A UUID."""
    callback_url: str
    """Where they are posted."""
    meeting_id: str | None
    """The only meeting that matters to it; None for all."""
    event_ids: tuple[str, ...] | None
    """The only events that matter to it; None for all."""
    is_permanent: bool
    """Whether it stays, whatever happens."""
    is_raw: bool
    """Whether it asked for messages as BBB's parts send them to each other."""

    def wants(self, event: HookEvent) -> bool:
        """Whether an event is for it."""
        meeting_id = event["data"]["attributes"]["meeting"]["external-meeting-id"]
        return (
            not self.is_raw
            and self.meeting_id in (None, meeting_id)
            and (self.event_ids is None or event_id(event) in self.event_ids)
        )


class Webhooks:
    """All hooks of one server, as an asynchronous context manager."""

    def __init__(
        self,
        secret: str,
        *,
        domain: str = "bbb.demo.test",
        algorithm: Checksum = "sha1",
        permanent_urls: Sequence[str] = (),
        retry_after_s: Sequence[float] = RETRY_AFTER_S,
    ) -> None:
        """`algorithm` is `hookChecksumAlgorithm`; `permanent_urls` are those of its settings."""
        self.fault: HookFault | None = None
        """How posting fails from now on; None for not at all."""
        self.late_s = LATE_S
        """How late events are under the late fault."""
        self.posted: Counter[str] = Counter()
        """Events that were posted and taken, by name; 401 counts as taken, as there."""
        self.refused: Counter[int] = Counter()
        """Posts that were not taken, by status; 0 where nobody answered."""
        self._secret, self._domain, self._algorithm = secret, domain, algorithm
        self._permanent_urls, self._retry_after_s = tuple(permanent_urls), tuple(retry_after_s)
        self._hooks: dict[str, Hook] = {}
        self._posts: set[asyncio.Task[None]] = set()
        self._held: dict[str, asyncio.Event] = {}
        self._session: aiohttp.ClientSession | None = None
        for url in self._permanent_urls:
            self._add(url, None, None, is_raw=False)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None  # what happens from here on is not posted
        for post in self._posts:
            post.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)
        if session:
            await session.close()

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """All that are registered, the oldest first."""
        return tuple(self._hooks.values())

    def forget(self) -> None:
        """Lose all hooks that are not permanent, as a server with an emptied Redis does."""
        self._hooks = {id: hook for id, hook in self._hooks.items() if hook.is_permanent}

    def emit(self, event: HookEvent) -> None:
        """Post an event to all who want it; returns at once."""
        if self.fault is HookFault.NOT_SENT or self._session is None:
            return
        body = urlencode(
            {
                "domain": self._domain,
                "event": f"[{json.dumps(event, separators=(',', ':'), ensure_ascii=False)}]",
                "timestamp": event["data"]["event"]["ts"],
            }
        ).encode()
        for hook in self.hooks:
            if hook.wants(event):
                for _ in range(2 if self.fault is HookFault.DOUBLED else 1):
                    self._begin(hook, event_id(event), body)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._posts:
            await asyncio.wait(self._posts)

    def _begin(self, hook: Hook, name: str, body: bytes) -> None:
        after: asyncio.Event | None = None
        if self.fault is HookFault.OUT_OF_ORDER and hook.id not in self._held:
            after = self._held[hook.id] = asyncio.Event()
        overtaken = None if after else self._held.pop(hook.id, None)
        deliver = self._deliver(hook, name, body, after, overtaken)
        post = asyncio.get_running_loop().create_task(deliver)
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def _deliver(
        self,
        hook: Hook,
        name: str,
        body: bytes,
        after: asyncio.Event | None,
        overtaken: asyncio.Event | None,
    ) -> None:
        """Post until it is taken, or nobody is to be expected any more.

        `after` is the event that goes first, `overtaken` the one that waits for this.
        """
        if self.fault is HookFault.LATE:
            await asyncio.sleep(self.late_s)
        if after:
            with suppress(TimeoutError):
                await asyncio.wait_for(after.wait(), OVERTAKEN_WITHIN_S)
        while not await self._try(hook, body):
            if not hook.is_permanent:
                self._hooks.pop(hook.id, None)
                return
            await asyncio.sleep(PERMANENT_AGAIN_AFTER_S)
        self.posted[name] += 1
        if overtaken:
            overtaken.set()

    async def _try(self, hook: Hook, body: bytes) -> bool:
        """Post as often as the settings say; whether it was taken."""
        for wait_s in (*self._retry_after_s, None):
            if await self._post(hook, body):
                return True
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        return False

    async def _post(self, hook: Hook, body: bytes) -> bool:
        """Post once; whether it was taken."""
        if self._session is None:
            return False
        url = hook.callback_url
        url += ("&" if urlsplit(url).query else "?") + f"checksum={self.checksum(url, body)}"
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
        try:
            async with self._session.post(
                URL(url, encoded=True), data=body, headers=headers
            ) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        is_taken = 200 <= status < 300 or status == 401
        if not is_taken:
            self.refused[status] += 1
        return is_taken

    def checksum(self, callback_url: str, body: bytes) -> str:
        """Over the URL as registered, the body as sent, and the secret."""
        secret = "wrong" if self.fault is HookFault.WRONG_CHECKSUM else self._secret
        return hook_checksum(callback_url, body, secret, self._algorithm)

    # The calls of the API

    def perform(self, call: str, query: Mapping[str, str]) -> bytes:
        """Answer hooks/create, hooks/list or hooks/destroy (src/out/webhooks/api)."""
        match call:
            case "hooks/create":
                return self._create(query)
            case "hooks/destroy":
                return self._destroy(query)
            case "hooks/list":
                return self._list(query.get("meetingID"))
            case _:
                return failed("unsupportedRequest", "This request is not supported.")

    def _create(self, query: Mapping[str, str]) -> bytes:
        url = query.get("callbackURL")
        if url is None:
            return failed("missingParamCallbackURL", "You must specify a callbackURL.")
        known = next((hook for hook in self.hooks if hook.callback_url == url), None)
        if known is not None:
            message = "There is already a hook for this callback URL."
            return answer(
                SUCCESS,
                ("hookID", known.id),
                ("messageKey", "duplicateWarning"),
                ("message", message),
            )
        wanted = query.get("eventID")
        hook = self._add(
            url,
            query.get("meetingID"),
            tuple(wanted.lower().split(",")) if wanted else None,
            is_raw=query.get("getRaw", "").lower() == "true",
        )
        return answer(
            SUCCESS,
            ("hookID", hook.id),
            ("permanentHook", word(hook.is_permanent)),
            ("rawData", word(hook.is_raw)),
        )

    def _add(
        self,
        url: str,
        meeting_id: str | None,
        event_ids: tuple[str, ...] | None,
        *,
        is_raw: bool,
    ) -> Hook:
        hook_id = str(uuid.uuid4())
        is_permanent = url in self._permanent_urls
        hook = Hook(hook_id, url, meeting_id, event_ids, is_permanent, is_raw)
        self._hooks[hook_id] = hook
        return hook

    def _destroy(self, query: Mapping[str, str]) -> bytes:
        hook_id = query.get("hookID")
        if hook_id is None:
            return failed("missingParamHookID", "You must specify a hookID.")
        hook = self._hooks.get(hook_id)
        if hook is None or hook.is_permanent:
            return failed("destroyMissingHook", "The hook was not found.")
        del self._hooks[hook_id]
        return answer(SUCCESS, ("removed", "true"))

    def _list(self, meeting_id: str | None) -> bytes:
        listed = [hook for hook in self.hooks if meeting_id in (None, hook.meeting_id)]
        if meeting_id is not None:
            listed += [hook for hook in self.hooks if hook.meeting_id is None]
        return answer(SUCCESS, ("hooks", [("hook", _described(hook)) for hook in listed]))


def _described(hook: Hook) -> list[Element]:
    elements: list[Element] = [("hookID", hook.id), ("callbackURL", hook.callback_url)]
    if hook.meeting_id is not None:
        elements.append(("meetingID", hook.meeting_id))
    if hook.event_ids is not None:
        elements.append(("eventID", ",".join(hook.event_ids)))
    elements += [("permanentHook", word(hook.is_permanent)), ("rawData", word(hook.is_raw))]
    return elements
