# SPDX-License-Identifier: GPL-3.0-or-later
"""Staying registered for one BBB server's webhooks, from the start of the service to its end.

bbb-webhooks forgets a hook that nobody has answered for five minutes, and all of them when its
database is lost. So it is asked again every few minutes, and at once where a meeting has begun
that no webhook told of. What is posted then is the affair of `web.hooks`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from dialin.bbb_api import BbbUnavailable
from dialin.wire.bbbhooks import EVENT_IDS
from dialin.wire.bbbxml import Hook

log = logging.getLogger(__name__)

RENEW_S = 180.0
"""How often the server is asked whether it still has our hook."""
RETRY_S = 30.0
"""How soon it is asked again where it could not take one."""
MISSED_GAP_S = 10.0
"""At least so long between two questions, however much is missed."""
LEAVE_WITHIN_S = 3.0
"""How long the end of the service waits for a server to forget the hook."""

OFF = "off"
"""Why there are no webhooks: nobody wants any."""
PENDING = "pending"
"""Why there are none: the server is yet to be asked."""


class HooksApi(Protocol):
    """What is needed of a BBB server's API."""

    name: str
    """The server's name in the settings."""

    async def create_hook(self, callback_url: str, event_ids: Iterable[str]) -> str:
        """Register, or find what is registered already; gives its id. Raises BbbUnavailable."""

    async def hooks(self) -> tuple[Hook, ...]:
        """All hooks of the server. Raises BbbUnavailable."""

    async def destroy_hook(self, hook_id: str) -> None:
        """Undo a registration. Raises BbbUnavailable."""


class Ear(Protocol):
    """Who knows whether webhooks come."""

    def set_registered(self, server: str, is_registered: bool) -> None:
        """Whether the server says that it will call us back."""

    def is_heard(self, server: str) -> bool:
        """Whether it will, and has."""

    async def missed(self, server: str) -> None:
        """Wait until something has happened that no webhook told of."""


@dataclass(frozen=True, slots=True)
class HookStanding:
    """How one server's webhooks do."""

    server: str
    """The server's name in the settings."""
    is_registered: bool
    """Whether the server says that it will call us back."""
    is_heard: bool
    """Whether it has."""
    cause: str
    """Why it is not registered, kebab-case; empty if it is."""


class HookRegistrar:
    """Keeps one server's hook."""

    def __init__(self, api: HooksApi, callback_url: str, ear: Ear) -> None:
        """`callback_url` is where the server reaches us, as it will sign it."""
        self._api = api
        self._callback_url = callback_url
        self._ear = ear
        self._hook_id = ""
        self._cause = PENDING

    @property
    def standing(self) -> HookStanding:
        """How the server's webhooks do."""
        name = self._api.name
        return HookStanding(name, not self._cause, self._ear.is_heard(name), self._cause)

    async def run(self) -> None:
        """Register, and stay so until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(MISSED_GAP_S)
            with suppress(TimeoutError):
                async with asyncio.timeout((RETRY_S if self._cause else RENEW_S) - MISSED_GAP_S):
                    await self._ear.missed(self._api.name)

    async def close(self) -> None:
        """Take the hook back, if the server answers soon; else it forgets it by itself."""
        if self._hook_id:
            with suppress(BbbUnavailable, TimeoutError):
                async with asyncio.timeout(LEAVE_WITHIN_S):
                    await self._api.destroy_hook(self._hook_id)
        self._ear.set_registered(self._api.name, False)

    async def _look(self) -> None:
        """See to it that the hook stands; said in the log when that changes."""
        try:
            if self._cause:
                await self._drop_others()
            hook_id = await self._api.create_hook(self._callback_url, EVENT_IDS)
        except BbbUnavailable as trouble:
            if trouble.cause != self._cause:
                log.warning("%s Until then it tells nothing by webhooks.", trouble)
            self._cause = trouble.cause
        else:
            if self._cause or hook_id != self._hook_id:
                log.info("BBB server %s tells by webhooks what happens", self._api.name)
            self._hook_id, self._cause = hook_id, ""
        self._ear.set_registered(self._api.name, not self._cause)

    async def _drop_others(self) -> None:
        """Remove hooks that lead here and tell another selection: one that stands is never changed.

        Raises BbbUnavailable where the server cannot be asked at all.
        """
        for hook in await self._api.hooks():
            is_ours = hook.callback_url == self._callback_url
            is_fit = hook.event_ids == frozenset(EVENT_IDS) and not hook.meeting_id
            if is_ours and (hook.is_raw or not is_fit):
                with suppress(BbbUnavailable):  # one that is permanent tells more than we want
                    await self._api.destroy_hook(hook.hook_id)
