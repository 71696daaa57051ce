# SPDX-License-Identifier: GPL-3.0-or-later
"""One BBB server's API: what is asked, what is believed, and everything that can come back."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from dialin.bbb_api import (
    PARSE_IN_THREAD_BYTES,
    TROUBLES,
    BbbApi,
    BbbUnavailable,
    _cause_of,
    api_address,
)
from dialin.errors import OperatorError
from dialin.wire.bbbxml import CHECKSUMS, MAX_ANSWER_BYTES, Checksum, sign

SECRET = "hush" + "-canary-4711"
EMPTY = b"<response><returncode>SUCCESS</returncode><meetings/></response>"
ONE = (
    b"<response><returncode>SUCCESS</returncode><meetings><meeting><meetingID>m</meetingID>"
    b"<voiceBridge>01234</voiceBridge></meeting></meetings></response>"
)

Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server that answers each request with the same octets, whatever they are."""

    def __init__(self, respond: bytes | Respond) -> None:
        self._respond = respond
        self.requests: list[bytes] = []
        self.url = ""
        self.idle = asyncio.Event()
        self.idle.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.idle.clear()
        try:
            self.requests.append(await reader.read(65536))
            if isinstance(self._respond, bytes):
                writer.write(self._respond)
                await writer.drain()
            else:
                await self._respond(reader, writer)
        except ConnectionError:
            pass  # the client has seen enough
        finally:
            writer.close()
            self.idle.set()

    @property
    def line(self) -> str:
        return self.requests[-1].split(b"\r\n")[0].decode()


@asynccontextmanager
async def answering(respond: bytes | Respond) -> AsyncIterator[Server]:
    server = Server(respond)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/bigbluebutton/"
    async with listener:
        yield server
        await server.idle.wait()


@asynccontextmanager
async def api_at(
    url: str, *, checksum: Checksum = "sha256", timeout_s: float = 5.0
) -> AsyncIterator[BbbApi]:
    async with aiohttp.ClientSession() as session:
        yield BbbApi(
            session, name="one", url=url, secret=SECRET, checksum=checksum, timeout_s=timeout_s
        )


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def failure(url: str, *, timeout_s: float = 5.0) -> BbbUnavailable:
    async with api_at(url, timeout_s=timeout_s) as api:
        with pytest.raises(BbbUnavailable) as refused:
            await api.get_meetings()
    return refused.value


class TestAsking:
    @pytest.mark.parametrize("checksum", CHECKSUMS)
    async def test_get_meetings_is_signed(self, checksum: Checksum) -> None:
        async with answering(http(ONE)) as server, api_at(server.url, checksum=checksum) as api:
            (meeting,) = await api.get_meetings()
        expected = sign("getMeetings", "", SECRET, checksum)
        assert server.line == f"GET /bigbluebutton/api/getMeetings?checksum={expected} HTTP/1.1"
        assert meeting.voice_bridge == "01234"

    async def test_what_is_signed_is_what_is_sent(self) -> None:
        async with (
            answering(http(EMPTY.replace(b"<meetings/>", b"<meetingID>x</meetingID>"))) as (server),
            api_at(server.url) as api,
        ):
            await api.get_meeting_info("räum/1 &~+%")
        query = server.line.split("?")[1].split("&checksum=")[0]
        assert query == "meetingID=r%C3%A4um%2F1%20%26~%2B%25"
        checksum = sign("getMeetingInfo", query, SECRET, "sha256")
        assert f"&checksum={checksum} " in server.line

    async def test_no_compression_is_asked_for(self) -> None:
        async with answering(http(ONE)) as server, api_at(server.url) as api:
            await api.get_meetings()
        assert b"Accept-Encoding: identity\r\n" in server.requests[0]

    async def test_a_server_without_meetings_is_fine(self) -> None:
        async with answering(http(EMPTY)) as server, api_at(server.url) as api:
            assert await api.get_meetings() == ()

    async def test_a_meeting_that_is_not_there_is_named(self) -> None:
        body = b"<response><returncode>FAILED</returncode><messageKey>notFound</messageKey>"
        async with answering(http(body + b"</response>")) as server, api_at(server.url) as api:
            with pytest.raises(BbbUnavailable) as refused:
                await api.get_meeting_info("gone")
        assert refused.value.cause == "meeting-not-found"

    async def test_a_success_without_the_meeting_is_not_bbbs(self) -> None:
        async with answering(http(EMPTY)) as server, api_at(server.url) as api:
            with pytest.raises(BbbUnavailable) as refused:
                await api.get_meeting_info("m")
        assert refused.value.cause == "not-bbb"

    async def test_a_large_answer_is_read_beside_the_loop(self) -> None:
        entry = ONE[ONE.index(b"<meeting>") : ONE.index(b"</meetings>")]
        body = ONE.replace(entry, entry * (PARSE_IN_THREAD_BYTES // len(entry) + 1))
        async with answering(http(body)) as server, api_at(server.url) as api:
            assert len(await api.get_meetings()) > 2000


def xml_failure(key: str) -> bytes:
    inside = f"<returncode>FAILED</returncode><messageKey>{key}</messageKey>"
    return http(f"<response>{inside}</response>".encode())


class TestHooks:
    CALLBACK = "https://dialin.example.org/hooks/bbb/one?a=b&c"

    async def test_a_hook_is_created_signed_under_its_whole_name(self) -> None:
        body = b"<response><returncode>SUCCESS</returncode><hookID>7</hookID></response>"
        async with answering(http(body)) as server, api_at(server.url) as api:
            assert await api.create_hook(self.CALLBACK, ["user-left", "meeting-ended"]) == "7"
        path, _, query = server.line.split(" ")[1].partition("?")
        query, _, checksum = query.partition("&checksum=")
        assert path == "/bigbluebutton/api/hooks/create"
        assert query == (
            "callbackURL=https%3A%2F%2Fdialin.example.org%2Fhooks%2Fbbb%2Fone%3Fa%3Db%26c"
            "&eventID=user-left%2Cmeeting-ended"
        )
        assert checksum == sign("hooks/create", query, SECRET, "sha256")

    async def test_hooks_are_listed_and_destroyed(self) -> None:
        listed = (
            b"<response><returncode>SUCCESS</returncode><hooks><hook><hookID>7</hookID></hook>"
            b"</hooks><removed>true</removed></response>"
        )
        async with answering(http(listed)) as server, api_at(server.url) as api:
            assert [hook.hook_id for hook in await api.hooks()] == ["7"]
            assert "/hooks/list?checksum=" in server.line
            await api.destroy_hook("7")
            assert "/hooks/destroy?hookID=7&checksum=" in server.line

    async def test_an_old_bbb_webhooks_is_asked_again_by_sha1(self) -> None:
        async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            is_sha1 = len(server.line.split("checksum=")[1].split(" ")[0]) == 40
            body = b"<returncode>SUCCESS</returncode><hooks/>"
            refusal = b"<returncode>FAILED</returncode><messageKey>checksumError</messageKey>"
            told = body if is_sha1 else refusal
            writer.write(http(b"<response>" + told + b"</response>"))
            await writer.drain()

        async with answering(respond) as server, api_at(server.url) as api:
            assert await api.hooks() == ()
        assert len(server.requests) == 2

    @pytest.mark.parametrize(("checksum", "asked"), [("sha256", 2), ("sha1", 1)])
    async def test_whoever_refuses_sha1_too_has_another_secret(
        self, checksum: Checksum, asked: int
    ) -> None:
        body = b"<returncode>FAILED</returncode><messageKey>checksumError</messageKey>"
        async with (
            answering(http(b"<response>" + body + b"</response>")) as server,
            api_at(server.url, checksum=checksum) as api,
        ):
            with pytest.raises(BbbUnavailable) as refused:
                await api.hooks()
        assert refused.value.cause == "checksum-error"
        assert len(server.requests) == asked

    @pytest.mark.parametrize(
        "answer",
        [
            http(b"", status="404 Not Found"),
            http(b"<html></html>"),
            http(b"<response/>"),
            http(b"<response><returncode>FAILED</returncode></response>"),
            http(b"<response><returncode>SUCCESS</returncode></response>"),
        ],
    )
    async def test_a_server_without_webhooks_is_told_so(self, answer: bytes) -> None:
        async with answering(answer) as server, api_at(server.url) as api:
            with pytest.raises(BbbUnavailable) as refused:
                await api.create_hook(self.CALLBACK, [])
        assert refused.value.cause == "no-webhooks"
        assert "bbb-webhooks" in refused.value.remedy

    async def test_a_server_that_is_down_is_told_as_such(self) -> None:
        async with (
            answering(http(b"", status="502 Bad Gateway")) as server,
            api_at(server.url) as api,
        ):
            with pytest.raises(BbbUnavailable) as refused:
                await api.hooks()
        assert (refused.value.cause, refused.value.detail) == ("http-server-error", "502")


class TestBadAnswers:
    """Each has its own name and a sentence for the operator."""

    @pytest.mark.parametrize(
        ("octets", "cause", "detail"),
        [
            (http(b"", status="500 Internal Server Error"), "http-server-error", "500"),
            (http(b"<html>", status="502 Bad Gateway"), "http-server-error", "502"),
            (http(b"", status="404 Not Found"), "http-not-found", "404"),
            (http(b"", status="403 Forbidden"), "http-forbidden", "403"),
            (http(b"", status="401 Unauthorized"), "http-forbidden", "401"),
            (http(b"", status="429 Too Many Requests"), "http-too-many", "429"),
            (http(b"", status="204 No Content"), "http-status", "204"),
            (http(b"", "Location: /elsewhere", status="302 Found"), "redirected", "302"),
            (http(b"<!DOCTYPE html><html></html>"), "html-page", ""),
            (http(b""), "empty-answer", ""),
            (http(ONE[:-20]), "not-xml", ""),
            (http(b'{"returncode":"SUCCESS"}', "Content-Type: text/xml"), "not-xml", ""),
            (http(b"<rss/>"), "not-bbb", ""),
            (http(b"<!DOCTYPE r [<!ENTITY a 'b'>]>" + ONE), "doctype", ""),
            (http(gzip.compress(ONE), "Content-Encoding: gzip"), "compressed", ""),
            (http(ONE)[:-20], "truncated", ""),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", "bad-http", ""),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "bad-http", ""),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nxx", "bad-http", ""),
            (b"", "connection-lost", ""),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "too-large", ""),
            (xml_failure("checksumError"), "checksum-error", "checksumError"),
            (xml_failure("unsupportedRequest"), "refused", "unsupportedRequest"),
            (xml_failure("a&#10;b"), "refused", ""),
        ],
    )
    async def test_is_named(self, octets: bytes, cause: str, detail: str) -> None:
        async with answering(octets) as server:
            error = await failure(server.url)
        assert (error.cause, error.detail, error.server) == (cause, detail, "one")
        assert error.remedy in str(error)
        assert "one" in str(error)

    async def test_an_endless_answer_is_cut_at_its_limit(self) -> None:
        sent = 0

        async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n<response>")
            while True:
                writer.write(b" " * 65536)
                await writer.drain()
                sent += 65536

        async with answering(flood) as server:
            error = await failure(server.url)
        assert error.cause == "too-large"
        assert sent < MAX_ANSWER_BYTES + 16 * 1024 * 1024  # no more than the sockets can hold

    async def test_a_compressed_bomb_is_not_unpacked(self) -> None:
        bomb = gzip.compress(bytes(64 * 1024 * 1024))
        async with answering(http(bomb, "Content-Encoding: gzip")) as server:
            assert (await failure(server.url)).cause == "compressed"

    async def test_a_server_that_says_nothing_is_a_timeout(self) -> None:
        async with answering(silence) as server:
            assert (await failure(server.url, timeout_s=0.05)).cause == "timeout"

    async def test_a_server_that_drips_is_a_timeout_all_the_same(self) -> None:
        async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)

        async with answering(drip) as server:
            assert (await failure(server.url, timeout_s=0.1)).cause == "timeout"

    async def test_nobody_listening_is_a_refused_connection(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            error = await failure(f"http://127.0.0.1:{bound.getsockname()[1]}")
        assert error.cause == "connection-refused"

    async def test_a_server_without_tls_is_named(self) -> None:
        async with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
            error = await failure(server.url.replace("http:", "https:"))
        assert error.cause == "tls"

    @pytest.mark.parametrize(
        ("error", "cause"),
        [
            (
                aiohttp.ClientConnectorDNSError(Mock(ConnectionKey), OSError(-2, "unknown")),
                "name-not-found",
            ),
            (
                aiohttp.ClientConnectorCertificateError(
                    Mock(ConnectionKey), ssl.CertificateError("expired")
                ),
                "tls-certificate",
            ),
            (
                aiohttp.ClientConnectorSSLError(Mock(ConnectionKey), ssl.SSLError(1, "version")),
                "tls",
            ),
            (
                aiohttp.ClientConnectorError(Mock(ConnectionKey), OSError(113, "no route")),
                "unreachable",
            ),
            (aiohttp.ClientOSError(104, "reset"), "connection-lost"),
        ],
    )
    def test_network_errors_are_named(self, error: aiohttp.ClientError, cause: str) -> None:
        assert _cause_of(error) == cause

    def test_every_cause_has_a_remedy_that_is_a_sentence(self) -> None:
        for what, remedy in TROUBLES.values():
            assert what[0].islower()
            assert remedy[0].isupper()
            assert remedy.endswith(".")

    def test_the_remedy_for_certificates_thinks_of_the_clock(self) -> None:
        assert "clock" in TROUBLES["tls-certificate"][1]


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


class TestSecrets:
    """Neither the secret nor a signed query gets out, whatever goes wrong."""

    @pytest.mark.parametrize(
        "octets",
        [b"", b"nonsense\r\n", http(ONE)[:-20], http(b"", status="500 Oops"), http(b"<x")],
    )
    async def test_no_error_log_or_traceback_shows_them(
        self, octets: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        async with answering(octets) as server:
            error = await failure(server.url)
        checksum = sign("getMeetings", "", SECRET, "sha256")
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
        seen = "".join(trace.format()) + caplog.text + repr(error) + str(error)
        assert error.__context__ is None
        assert checksum not in seen
        assert "checksum=" not in seen
        assert SECRET not in seen

    async def test_no_attribute_holds_the_secret(self) -> None:
        async with api_at("http://127.0.0.1:9") as api:
            assert SECRET not in repr(vars(api))


class TestAddress:
    @pytest.mark.parametrize(
        ("url", "address"),
        [
            ("https://bbb.example/bigbluebutton/", "https://bbb.example/bigbluebutton/api"),
            ("https://bbb.example/bigbluebutton/api", "https://bbb.example/bigbluebutton/api"),
            ("https://bbb.example/bigbluebutton/api/", "https://bbb.example/bigbluebutton/api"),
            ("https://bbb.example", "https://bbb.example/bigbluebutton/api"),
            ("http://[::1]:8090/t/a", "http://[::1]:8090/t/a/api"),
        ],
    )
    def test_takes_what_operators_have_at_hand(self, url: str, address: str) -> None:
        assert api_address(url) == address

    @pytest.mark.parametrize(
        "url", ["bbb.example", "ftp://bbb.example/", "https:///x", "https://b/?a", "https://b/#a"]
    )
    def test_refuses_what_is_no_web_address(self, url: str) -> None:
        with pytest.raises(OperatorError, match="bbb-conf --secret"):
            api_address(url)
