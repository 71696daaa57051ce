# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether callers and BigBlueButton's list of users agree: its webhooks, and the keys of mute.

Calls work without either, so nothing here fails. No webhook is registered or removed: that is the
running service's affair.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

from dialin.bbb_api import BbbApi, BbbUnavailable
from dialin.bbb_voice import KeyMethod, VoiceServer
from dialin.check.steps import Finding, Sheet, ok, warn

ANSWER_WITHIN_S = 5.0
NOT_A_POST = 405
"""What our receiver answers to a GET, and hardly anybody else at that path."""
UNTOLD = "so callers do not hear that a host has muted them"
KEYS = {KeyMethod.RFC4733: "telephone events", KeyMethod.INFO: "SIP INFO"}


@dataclass(frozen=True, slots=True)
class Callback:
    """How a server's webhooks would reach us."""

    is_wanted: bool
    """Whether `webhooks` is set."""
    url: str
    """Where the server posts; empty without `web.base_url`."""


class AgreementCheck:
    """The steps for one server."""

    def __init__(
        self,
        api: BbbApi,
        voice: VoiceServer,
        callback: Callback,
        *,
        session: aiohttp.ClientSession,
        service_runs: bool,
    ) -> None:
        self._name = f"bbb_servers.{api.name}"
        self._api = api
        self._voice = voice
        self._callback = callback
        self._session = session
        self._service_runs = service_runs

    async def run(self, sheet: Sheet) -> None:
        """Take all steps that make sense."""
        is_asked = self._callback.is_wanted and self._callback.url
        await sheet.take(f"{self._name} webhooks", self._posts())
        if is_asked and self._service_runs:
            await sheet.take(f"{self._name} callback", self._leads_here())
        sheet.look(f"{self._name} mute", self._mutes)

    async def _posts(self) -> Finding:
        """Whether bbb-webhooks is there, and has our hook while the service runs."""
        if not self._callback.is_wanted:
            return warn(f"They are switched off, {UNTOLD}.", "Set webhooks = true.")
        if not self._callback.url:
            return warn(
                f"The server does not know where to reach us, {UNTOLD}.",
                "Set web.base_url to the address that the server reaches this machine's public "
                "pages at.",
            )
        try:
            hooks = await self._api.hooks()
        except BbbUnavailable as trouble:
            what = str(trouble).removesuffix(f" {trouble.remedy}").removesuffix(".")
            return warn(f"{what}, {UNTOLD}.", trouble.remedy)
        if any(hook.callback_url == self._callback.url for hook in hooks):
            return ok(f"The server posts to {self._callback.url}.")
        if self._service_runs:
            return warn(
                f"The service runs, and the server does not post to {self._callback.url}, "
                f"{UNTOLD}.",
                "See the service's log; after a change of web.base_url it has to be restarted.",
            )
        return ok("The server has webhooks; the service registers when it starts.")

    async def _leads_here(self) -> Finding:
        """Whether the address is the running service's, as seen from this machine."""
        url = self._callback.url
        remedy = (
            "Correct web.base_url, or the proxy before this machine; it has to pass POST /hooks/."
        )
        try:
            async with (
                asyncio.timeout(ANSWER_WITHIN_S),
                self._session.get(url, allow_redirects=False) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            return warn(f"Nobody answers at {url}, seen from here.", remedy)
        if status != NOT_A_POST:
            return warn(f"What answers at {url} is not the service ({status}).", remedy)
        return ok(f"{url} leads to the service, seen from here.")

    def _mutes(self) -> Finding:
        keys = self._voice.mute_keys
        if self._voice.bridge == "livekit":
            return ok("Callers are muted by the bridge itself; LiveKit does not show it.")
        if keys is KeyMethod.OFF:
            return warn(
                "Callers are muted by the bridge itself, and BigBlueButton's list of users does "
                "not show it.",
                "Copy config/freeswitch/00_dialin.xml to the server as its README says, and set "
                'mute_keys = "rfc4733".',
            )
        return ok(f"FreeSWITCH mutes callers by the keys bound there, sent by {KEYS[keys]}.")
