# SPDX-License-Identifier: GPL-3.0-or-later
"""What the check says of webhooks and of mute: nothing fails, and everything has its remedy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from dialin.bbb_api import BbbApi
from dialin.bbb_voice import KeyMethod, VoiceServer
from dialin.bbb_voice.servers import Bridge
from dialin.check.agreement import AgreementCheck, Callback
from dialin.check.steps import Result, Sheet, Step
from dialin.demo.bbb import DemoBbb
from dialin.web import Metrics
from dialin.web.app import serve
from dialin.web.hooks import HookReceiver
from dialin.wire.bbbhooks import EVENT_IDS
from tests.peers.process import free_port


@asynccontextmanager
async def public_pages(app: web.Application) -> AsyncIterator[str]:
    """The address of these pages."""
    async with serve(app, "127.0.0.1", 0) as addresses:
        yield f"http://127.0.0.1:{addresses[0][1]}/hooks/bbb/main"


def service() -> web.Application:
    app = web.Application()
    tally = Metrics(version="0", trunks=[])
    HookReceiver({}, learn=lambda event: None, tally=tally).add_to(app)
    return app


async def told(
    bbb: DemoBbb,
    url: str,
    *,
    is_wanted: bool = True,
    service_runs: bool = True,
    keys: KeyMethod = KeyMethod.OFF,
    bridge: Bridge = "auto",
) -> dict[str, Step]:
    sheet = Sheet()
    async with aiohttp.ClientSession() as session:
        api = BbbApi(session, name="main", url=bbb.url, secret=bbb.secret)
        await AgreementCheck(
            api,
            VoiceServer("192.0.2.1", 5060, "UDP", (), mute_keys=keys, bridge=bridge),
            Callback(is_wanted, url),
            session=session,
            service_runs=service_runs,
        ).run(sheet)
    for step in sheet.steps:
        assert step.result is Result.OK or step.remedy
    return {step.step.removeprefix("bbb_servers.main "): step for step in sheet.steps}


async def register(bbb: DemoBbb, url: str) -> None:
    async with aiohttp.ClientSession() as session:
        api = BbbApi(session, name="main", url=bbb.url, secret=bbb.secret)
        await api.create_hook(url, EVENT_IDS)


async def test_a_server_that_posts_to_the_running_service_is_well() -> None:
    async with DemoBbb() as bbb, public_pages(service()) as url:
        await register(bbb, url)
        steps = await told(bbb, url)
    assert steps["webhooks"].cause == f"The server posts to {url}."
    assert steps["callback"].cause == f"{url} leads to the service, seen from here."
    assert {steps[name].result for name in ("webhooks", "callback")} == {Result.OK}


async def test_a_server_that_does_not_post_though_the_service_runs() -> None:
    async with DemoBbb() as bbb, public_pages(service()) as url:
        step = (await told(bbb, url))["webhooks"]
        assert not bbb.webhooks.hooks
    assert step.result is Result.WARN
    assert "does not post" in step.cause


async def test_before_the_service_runs_nothing_is_registered_and_nothing_called() -> None:
    async with DemoBbb() as bbb:
        steps = await told(bbb, "http://127.0.0.1:1/hooks/bbb/main", service_runs=False)
    assert steps["webhooks"].result is Result.OK
    assert "callback" not in steps


@pytest.mark.parametrize(
    ("is_wanted", "url", "word"),
    [(False, "http://x/", "switched off"), (True, "", "does not know where to reach us")],
)
async def test_without_webhooks_it_is_said_what_callers_miss(
    is_wanted: bool, url: str, word: str
) -> None:
    async with DemoBbb() as bbb:
        steps = await told(bbb, url, is_wanted=is_wanted)
    assert steps["webhooks"].result is Result.WARN
    assert word in steps["webhooks"].cause
    assert "callers do not hear" in steps["webhooks"].cause
    assert "callback" not in steps


async def test_a_server_without_bbb_webhooks() -> None:
    async with DemoBbb(has_webhooks=False) as bbb:
        step = (await told(bbb, "http://127.0.0.1:1/", service_runs=False))["webhooks"]
    assert step.result is Result.WARN
    assert step.cause.startswith("BBB server main: it has no webhooks")
    assert step.cause.endswith("so callers do not hear that a host has muted them.")
    assert "bbb-webhooks" in step.remedy


async def test_an_address_that_leads_elsewhere() -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="Welcome")

    app = web.Application()
    app.router.add_route("*", "/hooks/bbb/main", page)
    async with DemoBbb() as bbb, public_pages(app) as url:
        step = (await told(bbb, url))["callback"]
    assert (step.result, step.cause) == (
        Result.WARN,
        f"What answers at {url} is not the service (200).",
    )


async def test_an_address_that_leads_nowhere() -> None:
    url = f"http://127.0.0.1:{free_port()}/hooks/bbb/main"
    async with DemoBbb() as bbb:
        step = (await told(bbb, url))["callback"]
    assert step.cause == f"Nobody answers at {url}, seen from here."


@pytest.mark.parametrize(
    ("how", "result", "word"),
    [
        ({}, Result.WARN, "by the bridge itself"),
        ({"keys": KeyMethod.RFC4733}, Result.OK, "telephone events"),
        ({"keys": KeyMethod.INFO}, Result.OK, "SIP INFO"),
        ({"bridge": "livekit", "keys": KeyMethod.INFO}, Result.OK, "LiveKit does not show it"),
    ],
)
async def test_how_callers_are_muted(how: dict[str, Any], result: Result, word: str) -> None:
    async with DemoBbb() as bbb:
        step = (await told(bbb, "", **how))["mute"]
    assert step.result is result
    assert word in step.cause
