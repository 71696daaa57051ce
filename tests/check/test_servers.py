# SPDX-License-Identifier: GPL-3.0-or-later
"""BigBlueButton servers: API, clock and voice, each found wrong once; and a call that is placed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from dialin.bbb_api import BbbApi
from dialin.bbb_voice import LiveKitTarget, VoiceServer
from dialin.check import servers
from dialin.check.servers import ServerCheck, Trial
from dialin.check.steps import Result, Sheet
from dialin.demo.bbb import DemoBbb, Fault
from dialin.demo.conference import open_conference
from dialin.events import CONFERENCE_UNREACHABLE, CallError, Codec
from dialin.media.embedded import EmbeddedEngine
from dialin.sip import IncomingLeg, Listen, SipEndpoint, TlsTarget
from tests.check.parts import looked_at, step, ways_from
from tests.fakes.authority import Authority
from tests.fakes.sip_peers import UdpPeer
from tests.fakes.tls_peers import TlsServer, server

NOWHERE = Listen("UDP", "127.0.0.1", 9)
SECRET = "s3cret-canary"


@asynccontextmanager
async def voice(on_call: Callable[[IncomingLeg], None] | None = None) -> AsyncIterator[Listen]:
    """A FreeSWITCH that takes no calls, unless told otherwise, and answers OPTIONS."""
    async with await SipEndpoint.open(
        [Listen("UDP", "127.0.0.1", 0)],
        allow_source=lambda _host: True,
        on_call=on_call or (lambda leg: leg.reject(404)),
    ) as freeswitch:
        yield freeswitch.addresses[0]


async def checked(
    url: str,
    *,
    secret: str = SECRET,
    at: Listen = NOWHERE,
    host: str = "127.0.0.1",
    tls: TlsTarget | None = None,
    trial: Trial | None = None,
    ahead_s: float = 0.0,
    is_livekit: bool = False,
) -> Sheet:
    """All steps of a server; its LiveKit, if that is what carries audio, is at the same place."""
    livekit = LiveKitTarget(host, at.port, at.transport, (), tls=tls)
    freeswitch = VoiceServer(host, at.port, at.transport, (), tls=tls)
    elsewhere = VoiceServer("127.0.0.1", 9, "UDP", (), livekit=livekit, bridge="livekit")
    sheet = Sheet()
    async with aiohttp.ClientSession() as session, ways_from() as ways:
        check = ServerCheck(
            BbbApi(session, name="main", url=url, secret=secret, timeout_s=0.5),
            url,
            elsewhere if is_livekit else freeswitch,
            session=session,
            ways=ways,
            trial=trial,
            clock=lambda: time.time() - ahead_s,
        )
        await check.run(sheet)
    assert "canary" not in str(sheet.steps)
    return sheet


async def test_a_server_that_works_is_fine() -> None:
    async with DemoBbb(secret=SECRET) as bbb, voice() as at:
        sheet = await checked(bbb.url, at=at)
    assert looked_at(sheet) == ["API", "clock", "voice"]
    assert {one.result for one in sheet.steps} == {Result.OK}
    assert step(sheet, "API").cause == "The secret is right; 3 meetings, 2 running."
    assert step(sheet, "voice").cause.endswith("answers OPTIONS with 200.")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.HTTP_500, "internal error"),
        (Fault.HTML, "web page"),
        (Fault.SILENT, "in time"),
        (Fault.TRUNCATED, "broke off"),
        (Fault.REDIRECT, "redirects"),
        (Fault.DOCTYPE, "document type"),
    ],
)
async def test_an_api_that_fails_fails(fault: Fault, words: str) -> None:
    async with DemoBbb(secret=SECRET) as bbb:
        bbb.fault = fault
        found = step(await checked(bbb.url), "API")
    assert found.result is Result.FAIL
    assert words in found.cause
    assert found.remedy
    assert found.remedy not in found.cause


async def test_the_wrong_secret_fails() -> None:
    async with DemoBbb(secret=SECRET) as bbb:
        found = step(await checked(bbb.url, secret="wr0ng-canary"), "API")
    assert found.result is Result.FAIL
    assert "does not accept our checksum" in found.cause
    assert "bbb-conf --secret" in found.remedy


@pytest.mark.parametrize(
    ("ahead_s", "words"),
    [(90.0, "ahead of ours"), (-90.0, "behind ours"), (30.0, "differ by less")],
)
async def test_a_clock_that_is_wrong_is_doubtful(ahead_s: float, words: str) -> None:
    async with DemoBbb(secret=SECRET) as bbb:
        found = step(await checked(bbb.url, ahead_s=ahead_s), "clock")
    assert words in found.cause
    assert (found.result is Result.WARN) == (abs(ahead_s) > 60)


async def test_a_server_that_does_not_answer_has_no_clock() -> None:
    sheet = await checked("http://127.0.0.1:9/bigbluebutton/")
    assert step(sheet, "API").result is Result.FAIL
    assert step(sheet, "clock").result is Result.WARN


@pytest.mark.parametrize("date", ["", "soon"])
async def test_a_server_that_tells_no_time_has_no_clock(date: str) -> None:
    async def timeless(_: web.Request) -> web.Response:
        return web.Response(headers={"Date": date})

    app = web.Application()
    app.router.add_get("/{path:.*}", timeless)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port = runner.addresses[0][1]
        found = step(await checked(f"http://127.0.0.1:{port}/bigbluebutton/"), "clock")
    finally:
        await runner.cleanup()
    assert (found.result, "does not tell the time" in found.cause) == (Result.WARN, True)


async def test_where_livekit_carries_all_audio_it_is_asked_alone() -> None:
    async with DemoBbb(secret=SECRET) as bbb, voice() as at:
        found = step(await checked(bbb.url, at=at, is_livekit=True), "voice")
    assert found.result is Result.OK
    assert found.cause == f"livekit-sip at 127.0.0.1:{at.port} by UDP answers OPTIONS with 200."


async def test_a_voice_server_that_is_not_there_fails() -> None:
    async with DemoBbb(secret=SECRET) as bbb:
        with UdpPeer() as silent:
            at = Listen("UDP", "127.0.0.1", silent.port)
            found = step(await checked(bbb.url, at=at), "voice")
    assert found.result is Result.FAIL
    assert "no-answer" in found.cause
    assert "sofia status" in found.remedy


async def test_a_voice_server_whose_name_does_not_exist_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unknown(_name: str, _port: int) -> str:
        raise CallError(CONFERENCE_UNREACHABLE)

    monkeypatch.setattr(servers, "address_of", unknown)
    async with DemoBbb(secret=SECRET) as bbb:
        found = step(await checked(bbb.url, host="gone.example"), "voice")
    assert (found.result, "gone.example does not resolve" in found.cause) == (Result.FAIL, True)


async def test_a_voice_server_with_an_expired_certificate_fails(tmp_path: Path) -> None:
    authority = Authority.made(tmp_path / "ca")
    expired = authority.issue("old", starts_in=timedelta(days=-9), ends_in=timedelta(days=-1))
    tls = TlsTarget("sip.example.net", authority.file)
    async with DemoBbb(secret=SECRET) as bbb, TlsServer(server(expired)) as freeswitch:
        at = Listen("TLS", "127.0.0.1", freeswitch.port)
        found = step(await checked(bbb.url, at=at, tls=tls), "voice")
    assert (found.result, "has expired" in found.cause) == (Result.FAIL, True)


@asynccontextmanager
async def engine(first: int = 42000) -> AsyncIterator[EmbeddedEngine]:
    """A media plane of the check's own."""
    async with EmbeddedEngine(
        workers=1,
        port_range=(first, first + 99),
        quarantine_s=0.0,
        media_timeout_s=30,
        latch="sdp",
    ) as media:
        yield media


@pytest.mark.parametrize("room", ["demo", "123456789"])
async def test_a_trial_call_takes_a_seat_hears_and_leaves(room: str) -> None:
    async with (
        open_conference([Listen("UDP", "127.0.0.1", 0)]) as conference,
        DemoBbb(secret=SECRET) as bbb,
        engine() as media,
    ):
        at = conference.addresses[0]
        trial = Trial(room, media, Codec.PCMA)
        found = step(await checked(bbb.url, at=at, trial=trial), "trial call")
        assert (found.result, found.cause) == (Result.OK, "It let us in, and its audio comes.")
        async with asyncio.timeout(10):
            await conference.until(lambda it: not it.members())


async def test_a_trial_call_that_hears_nothing_is_doubtful(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def deaf(_media: object) -> bool:
        return False

    monkeypatch.setattr(servers, "_hears", deaf)
    async with (
        open_conference([Listen("UDP", "127.0.0.1", 0)]) as conference,
        DemoBbb(secret=SECRET) as bbb,
        engine() as media,
    ):
        trial = Trial("demo", media, Codec.PCMA)
        sheet = await checked(bbb.url, at=conference.addresses[0], trial=trial)
    found = step(sheet, "trial call")
    assert (found.result, "no audio came" in found.cause) == (Result.WARN, True)


async def test_waiting_for_audio_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "AUDIO_WITHIN_S", 0.05)
    async with engine() as media:
        leg = await media.open(host="127.0.0.1", allowed=["127.0.0.1"])
        assert not await servers._hears(leg)


async def test_a_trial_call_to_a_room_that_is_elsewhere_is_doubtful() -> None:
    async with DemoBbb(secret=SECRET) as bbb, voice() as at, engine() as media:
        trial = Trial("elsewhere", media, Codec.PCMA)
        found = step(await checked(bbb.url, at=at, trial=trial), "trial call")
    assert (found.result, "not on this server" in found.cause) == (Result.WARN, True)


@pytest.mark.parametrize(
    ("status", "cause", "remedy"),
    [
        (480, "does not take the call (480)", "dial-in profile"),
        (404, "knows no such conference (404)", "dialplan"),
        (488, "how we would send audio (488)", "voice_encryption"),
    ],
)
async def test_a_conference_that_refuses_the_trial_call_fails(
    status: int, cause: str, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        DemoBbb(secret=SECRET) as bbb,
        voice(lambda leg: leg.reject(status)) as at,
        engine() as media,
    ):
        trial = Trial("demo", media, Codec.PCMA)
        found = step(await checked(bbb.url, at=at, trial=trial), "trial call")
    assert found.result is Result.FAIL
    assert cause in found.cause
    assert remedy in found.remedy
    [told] = [vars(record) for record in caplog.records if "refuses a call" in record.message]
    assert (told["status"], told["cause"], told["remedy"]) == (status, found.cause, found.remedy)


async def test_a_conference_whose_answer_cannot_be_used_fails() -> None:
    async with asyncio.TaskGroup() as answers:

        def answer(leg: IncomingLeg) -> None:
            answers.create_task(leg.answer(b"v=0\r\n"))

        async with DemoBbb(secret=SECRET) as bbb, voice(answer) as at, engine() as media:
            trial = Trial("demo", media, Codec.PCMA)
            found = step(await checked(bbb.url, at=at, trial=trial), "trial call")
    assert (found.result, "conference-refused" in found.cause) == (Result.FAIL, True)


async def test_without_a_port_for_its_audio_a_trial_call_fails() -> None:
    async with (
        DemoBbb(secret=SECRET) as bbb,
        voice() as at,
        EmbeddedEngine(
            workers=1, port_range=(42000, 42001), quarantine_s=0, media_timeout_s=30, latch="sdp"
        ) as media,
    ):
        trial = Trial("demo", media, Codec.PCMA)
        found = step(await checked(bbb.url, at=at, trial=trial), "trial call")
    assert (found.result, "no free port" in found.cause) == (Result.FAIL, True)


async def test_no_trial_call_is_placed_where_the_rest_fails() -> None:
    async with DemoBbb(secret=SECRET) as bbb, engine() as media:
        with UdpPeer() as silent:
            at = Listen("UDP", "127.0.0.1", silent.port)
            sheet = await checked(bbb.url, at=at, trial=Trial("demo", media, Codec.PCMA))
    assert "trial call" not in looked_at(sheet)
