# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of one BigBlueButton server's HTTP API.

Signs each call, takes no more of an answer than it should, and turns whatever goes wrong into one
BbbUnavailable that says what it was and what an operator can do. The secret and the signed query
reach no log, no repr and no error: aiohttp's own errors hold the URL, so they never leave this
file, not even as the context of ours.

What the XML says is read by `wire.bbbxml`; when to ask is `rooms`' affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from yarl import URL

from dialin.errors import DialinError, OperatorError
from dialin.wire.bbbxml import (
    MAX_ANSWER_BYTES,
    Answer,
    Checksum,
    Hook,
    MalformedAnswer,
    Meeting,
    parse_answer,
    sign,
)

CHUNK_BYTES = 64 * 1024
PARSE_IN_THREAD_BYTES = 256 * 1024
"""A bigger answer takes tens of milliseconds to read, which callers on the loop would notice."""

TROUBLES: Mapping[str, tuple[str, str]] = {
    "timeout": (
        "it did not answer in time",
        "See whether the server is overloaded, or a firewall drops the connection.",
    ),
    "name-not-found": (
        "its host name does not resolve",
        "Check the host in the server's url, and this machine's DNS.",
    ),
    "connection-refused": (
        "nothing listens there",
        "Check host and port in the server's url, and whether nginx runs on the server.",
    ),
    "unreachable": (
        "no connection can be made to it",
        "Check routing and firewalls between this machine and the server.",
    ),
    "connection-lost": (
        "it closed the connection without an answer",
        "Look into the server's nginx log, and at any proxy on the way.",
    ),
    "tls-certificate": (
        "its certificate is not valid for this host",
        "Renew or complete the server's certificate chain; check this machine's clock, too.",
    ),
    "tls": (
        "no encrypted connection can be agreed on",
        "Check that the url's port speaks TLS 1.2 or later.",
    ),
    "bad-http": (
        "what it sends is not HTTP",
        "Check host and port in the server's url.",
    ),
    "truncated": (
        "its answer broke off",
        "Look into the log of the server's nginx, and of any proxy on the way.",
    ),
    "compressed": (
        "it sends compressed answers though none were asked for",
        "Switch compression off for the API path in the proxy before the server.",
    ),
    "too-large": (
        "its answer is larger than 4 MiB",
        "Give the url of one server or tenant instead of a whole cluster's.",
    ),
    "redirected": (
        "it redirects to another address",
        "Put the final address into the server's url, with https if it says so.",
    ),
    "http-forbidden": (
        "access is forbidden",
        "Allow this machine's address on the server, and switch off logins before the API path.",
    ),
    "http-not-found": (
        "the API is not at this address",
        "Write the url as `bbb-conf --secret` shows it.",
    ),
    "http-too-many": (
        "it refuses so many requests",
        "Lift the rate limit for this machine, or poll less often.",
    ),
    "http-server-error": (
        "it has an internal error, or its proxy finds no BigBlueButton behind it",
        "Run `bbb-conf --check` on the server; see whether bbb-web runs.",
    ),
    "http-status": (
        "it answers with an unexpected status",
        "Check the server's url, and any proxy on the way.",
    ),
    "empty-answer": (
        "its answer is empty",
        "See whether bbb-web runs on the server.",
    ),
    "html-page": (
        "it answers with a web page instead of the API",
        "Write the url as `bbb-conf --secret` shows it; a login page may stand before it.",
    ),
    "not-xml": (
        "its answer is not well-formed XML",
        "See what answers at the server's url; a meeting's name may hold a forbidden character.",
    ),
    "doctype": (
        "its answer holds a document type definition, which BigBlueButton never sends",
        "See what answers at the server's url; it may not be the server you trust.",
    ),
    "not-bbb": (
        "its answer is XML, but not BigBlueButton's",
        "Write the url as `bbb-conf --secret` shows it.",
    ),
    "checksum-error": (
        "it does not accept our checksum",
        "Compare the secret with `bbb-conf --secret`, and the checksum setting with the server's "
        "supportedChecksumAlgorithms (old servers know sha1 and sha256 only).",
    ),
    "meeting-not-found": (
        "it knows no such meeting",
        "Check the meeting id; the meeting may have ended.",
    ),
    "no-webhooks": (
        "it has no webhooks",
        "Install bbb-webhooks on the server, or set its webhooks = false; callers then do not "
        "hear that a host has muted them.",
    ),
    "refused": (
        "it refuses the call",
        "Look the message key up in BigBlueButton's API documentation.",
    ),
}
"""Each cause, kebab-case: what is wrong, as a clause, and what an operator can do about it."""

_BY_STATUS = {401: "http-forbidden", 403: "http-forbidden", 404: "http-not-found"}
_BY_STATUS |= {429: "http-too-many", 407: "http-forbidden", 410: "http-not-found"}

_BY_MESSAGE_KEY = {"checksumError": "checksum-error", "notFound": "meeting-not-found"}

_NO_WEBHOOKS = frozenset(
    {"http-not-found", "not-bbb", "html-page", "refused", "empty-answer", "redirected"}
)
"""How a server without bbb-webhooks answers, whose place bbb-web or nginx takes then."""

_BY_ERROR: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "name-not-found"),
    (aiohttp.ClientConnectorCertificateError, "tls-certificate"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ClientConnectorError, "unreachable"),
    (aiohttp.ClientResponseError, "bad-http"),
    (aiohttp.ClientPayloadError, "truncated"),
    (aiohttp.ClientError, "connection-lost"),
)
"""The first that fits counts, so the special ones stand before their base classes."""


class BbbUnavailable(DialinError):
    """A BBB server gave no usable answer."""

    def __init__(self, server: str, cause: str, detail: str = "") -> None:
        what, remedy = TROUBLES[cause]
        shown = f" ({detail})" if detail else ""
        super().__init__(f"BBB server {server}: {what}{shown}. {remedy}")
        self.server = server
        """The server's name in the settings."""
        self.cause = cause
        """One of the keys of TROUBLES."""
        self.detail = detail
        """An HTTP status or one of BBB's message keys; letters and digits only."""
        self.remedy = remedy
        """What to do about it, one sentence."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why there is no answer: a value, because a raised error would drag aiohttp's along."""

    cause: str
    detail: str = ""


Sign: TypeAlias = Callable[[str, str], str]


class BbbApi:
    """The API of one server."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        name: str,
        url: str,
        secret: str,
        checksum: Checksum = "sha256",
        timeout_s: float = 5.0,
    ) -> None:
        self._session = session
        self.name = name
        """The server's name in the settings."""
        self._base = api_address(url)
        self._sign = _signer(secret, checksum)
        self._sign_as_of_old = None if checksum == "sha1" else _signer(secret, "sha1")
        """bbb-webhooks before 3.0 knows nothing else."""
        self._timeout_s = timeout_s

    async def get_meetings(self) -> tuple[Meeting, ...]:
        """All meetings of the server. Raises BbbUnavailable."""
        return (await self._ask("getMeetings")).meetings

    async def get_meeting_info(self, meeting_id: str) -> Meeting:
        """One meeting. Raises BbbUnavailable, with cause meeting-not-found if there is none."""
        answer = await self._ask("getMeetingInfo", {"meetingID": meeting_id})
        if not answer.meetings:
            raise BbbUnavailable(self.name, "not-bbb")
        return answer.meetings[0]

    async def create_hook(self, callback_url: str, event_ids: Iterable[str]) -> str:
        """Let the server post these events there; gives the hook's id.

        One that stands already stays as it is, and its id is given. Raises BbbUnavailable.
        """
        events = ",".join(event_ids)
        query = {"callbackURL": callback_url, "eventID": events}
        answer = await self._ask_hooks("hooks/create", query)
        if not answer.hook_id:
            raise BbbUnavailable(self.name, "no-webhooks")
        return answer.hook_id

    async def hooks(self) -> tuple[Hook, ...]:
        """All hooks of the server, those of others as well. Raises BbbUnavailable."""
        return (await self._ask_hooks("hooks/list", {})).hooks

    async def destroy_hook(self, hook_id: str) -> None:
        """Let the server post there no longer. Raises BbbUnavailable, for a hook that is gone too.

        A hook that the server's own configuration makes permanent stays.
        """
        await self._ask_hooks("hooks/destroy", {"hookID": hook_id})

    async def _ask_hooks(self, call: str, parameters: Mapping[str, str]) -> Answer:
        """Ask bbb-webhooks, which stands behind the same address and may be older than BBB."""
        try:
            return await self._ask(call, parameters)
        except BbbUnavailable as trouble:
            if trouble.cause == "checksum-error" and self._sign_as_of_old:
                return await self._ask(call, parameters, self._sign_as_of_old)
            if trouble.cause in _NO_WEBHOOKS:
                raise BbbUnavailable(self.name, "no-webhooks", trouble.detail) from None
            raise

    async def _ask(
        self, call: str, parameters: Mapping[str, str] = {}, sign: Sign | None = None
    ) -> Answer:
        body = await self._fetch(call, urlencode(parameters, quote_via=quote), sign or self._sign)
        answer = body if isinstance(body, _Trouble) else await _read(body)
        if isinstance(answer, _Trouble):
            raise BbbUnavailable(self.name, answer.cause, answer.detail)
        if not answer.is_success:
            cause = _BY_MESSAGE_KEY.get(answer.message_key, "refused")
            raise BbbUnavailable(self.name, cause, _shown(answer.message_key))
        return answer

    async def _fetch(self, call: str, query: str, sign: Sign) -> bytes | _Trouble:
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.get(
                    URL(f"{self._base}/{call}?{_signed(call, query, sign)}", encoded=True),
                    allow_redirects=False,
                    auto_decompress=False,
                    headers={"Accept-Encoding": "identity"},
                    raise_for_status=False,
                    timeout=aiohttp.ClientTimeout(),
                ) as response,
            ):
                return _refusal(response) or await _body(response)
        except TimeoutError:
            return _Trouble("timeout")
        except aiohttp.ClientError as error:
            return _Trouble(_cause_of(error))


def _signed(call: str, query: str, sign: Sign) -> str:
    checksum = f"checksum={sign(call, query)}"
    return f"{query}&{checksum}" if query else checksum


def api_address(url: str) -> str:
    """The address that call names are appended to.

    Takes what operators have at hand: the URL of `bbb-conf --secret` (ends in `/bigbluebutton/`),
    a load balancer's (ends in `/bigbluebutton/api`), or the bare host. Raises OperatorError.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise OperatorError(
            "The url of a BBB server is not a web address.",
            "Write it as `bbb-conf --secret` shows it, https://HOST/bigbluebutton/.",
        )
    path = parts.path.rstrip("/").removesuffix("/api") or "/bigbluebutton"
    return f"{parts.scheme}://{parts.netloc}{path}/api"


def _signer(secret: str, checksum: Checksum) -> Sign:
    """Keeps the secret in a closure, where no repr and no dump of attributes finds it."""
    return lambda call, query: sign(call, query, secret, checksum)


def _refusal(response: aiohttp.ClientResponse) -> _Trouble | None:
    """What is wrong with an answer before its body is read."""
    status = response.status
    if status != 200:
        cause = _BY_STATUS.get(status) or {3: "redirected", 5: "http-server-error"}.get(
            status // 100, "http-status"
        )
        return _Trouble(cause, str(status))
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return _Trouble("compressed")
    if (response.content_length or 0) > MAX_ANSWER_BYTES:
        return _Trouble("too-large")
    return None


async def _body(response: aiohttp.ClientResponse) -> bytes | _Trouble:
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            return _Trouble("too-large")
    return bytes(body)


async def _read(body: bytes) -> Answer | _Trouble:
    try:
        if len(body) > PARSE_IN_THREAD_BYTES:
            return await asyncio.to_thread(parse_answer, body)
        return parse_answer(body)
    except MalformedAnswer as malformed:
        return _Trouble(malformed.cause)


def _cause_of(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, ConnectionRefusedError
    ):
        return "connection-refused"
    return next(cause for kind, cause in _BY_ERROR if isinstance(error, kind))


def _shown(message_key: str) -> str:
    """A message key fit for a log: the server wrote it, and it may not be a server of ours."""
    return message_key[:40] if message_key.isascii() and message_key.isalnum() else ""
