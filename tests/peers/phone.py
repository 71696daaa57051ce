# SPDX-License-Identifier: GPL-3.0-or-later
"""A caller on a trunk: SIP written out as text, and an audio stream beside it.

By UDP and in the clear, unless the test is told in another cell (`tests.peers.cell`).

Nothing of the service builds its messages, so it can say what no decent phone would. It repeats
nothing, as nothing is lost on loopback; what the service repeats it acknowledges again.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections.abc import Sequence
from itertools import repeat
from types import TracebackType
from typing import Self

import pytest

from dialin.events import Codec
from dialin.media.playout import SILENCE
from dialin.wire.message import Request, Response, parse
from dialin.wire.sdp import SessionDescription
from tests.peers.cell import in_force
from tests.peers.clips import Clips
from tests.peers.rtp import PATIENCE_S, RtpPeer
from tests.peers.wire import Wire
from tests.wire.peers import Caller, Lines, answer_to

NUMBER = "+4915738620594"
TRUNK = "trunk.example.net"
SUITE = "AES_CM_128_HMAC_SHA1_80"
MASTER_BYTES = 30
"""Its key and salt (RFC 4568 §6.2.1)."""
CRYPTO = re.compile(rf"^a=crypto:1 {SUITE} inline:([A-Za-z0-9+/]+)", re.MULTILINE)


class Phone:
    """One call, from its INVITE to its BYE. Used as an asynchronous context manager."""

    def __init__(
        self,
        service_port: int,
        *,
        number: str = NUMBER,
        called: str = "dialin",
        from_: str | None = None,
        call_id: str | None = None,
        contact_user: str | None = None,
        headers: Lines = (),
        session_name: str = "-",
        codecs: Sequence[Codec] = (Codec.PCMA,),
        acknowledges: bool = True,
        host: str = "127.0.0.1",
    ) -> None:
        """`from_` is the whole header value less its tag; `session_name` is in o= and s= of SDP."""
        self._loop = asyncio.get_running_loop()
        self._cell = in_force()
        self._service = ("127.0.0.1", service_port)
        self._host = host
        self._wire: Wire | None = None
        self.rtp = RtpPeer(host)
        """The audio."""
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Set when the service has hung up."""
        self.answers = 0
        """How often the call was answered: a 200 without an ACK comes again."""
        self.final: asyncio.Future[Response] = self._loop.create_future()
        """The final response to the INVITE."""
        self._acknowledges = acknowledges
        self._headers = headers
        self._session_name = session_name
        self._codecs = codecs
        self._key = secrets.token_bytes(MASTER_BYTES)
        self._cseq = 1
        self._answered_to: dict[int, asyncio.Future[Response]] = {}
        kind = self._cell.transport
        self._contact = f"{contact_user or number}@{host}"
        self._text = Caller(
            transport=kind.upper(),
            call_id=call_id or f"{secrets.token_hex(8)}@{host}",
            from_=f"{from_ or f'<sip:{number}@{TRUNK}>'};tag={secrets.token_hex(4)}",
            to=f"<sip:{called}@127.0.0.1>",
            uri=f"sip:{called}@127.0.0.1:{service_port}{self._transport_parameter}",
        )

    @property
    def _transport_parameter(self) -> str:
        return f";transport={self._cell.transport}" if self._cell.is_stream else ""

    async def __aenter__(self) -> Self:
        self._wire = await Wire.to(self._service, self._host, self._cell, self._take)
        self._text.sent_by = f"{self._host}:{self._wire.port}"
        self._text.contact = f"<sip:{self._contact}:{self._wire.port}{self._transport_parameter}>"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._wire:
            self._wire.close()
        self.rtp.close()

    @property
    def file_descriptors(self) -> int:
        """How many it holds, and the service for its connection."""
        if self._wire is None or not self._wire.is_open:
            return 0
        return 4 if self._cell.is_stream else 3

    # What it does

    def invite(self) -> None:
        """Send the INVITE, and go on."""
        self.send(self._text.invite(self.describe(), lines=self._headers))

    async def dial(self) -> int:
        """Call; returns the final status once the call is up, or refused."""
        self.invite()
        async with asyncio.timeout(PATIENCE_S):
            return (await asyncio.shield(self.final)).status

    def cancel(self) -> None:
        """Send the CANCEL of the INVITE."""
        self.send(self._text.cancel())

    async def hang_up(self) -> None:
        """Send BYE, and wait for the answer."""
        assert (await self.ask("BYE")).status == 200

    async def ask(
        self, method: str, body: bytes = b"", lines: Lines = (), *, within_s: float = PATIENCE_S
    ) -> Response:
        """Send a request within the call; its final response, acknowledged where need be."""
        self._cseq += 1
        number, answered = self._cseq, self._loop.create_future()
        self._answered_to[number] = answered
        if method == "INVITE":
            self.send(self._text.invite(body, number, lines))
        else:
            self.send(self._text.request(method, number, lines, body))
        async with asyncio.timeout(within_s):
            response: Response = await answered
        if method == "INVITE":
            is_refusal = response.status >= 300
            refused = self._text.ack_refusal(response, number) if is_refusal else None
            self.send(refused or self._text.ack(number))
        return response

    async def key(self, keys: str) -> None:
        """Press keys, and wait until the last is up."""
        self.rtp.press(keys)
        await self.rtp.pressed()

    async def hears(self, clips: Clips, *prompts: str, within_s: float = PATIENCE_S) -> None:
        """Wait until these prompts, and no others, have been heard since the call began."""
        expected = list(prompts)
        try:
            await self.rtp.until(lambda: clips.heard(self.rtp.audio) == expected, within_s)
        except TimeoutError:
            pytest.fail(f"heard {clips.heard(self.rtp.audio)}, expected {expected}")

    async def is_hung_up_on(self, within_s: float = PATIENCE_S) -> None:
        """Wait until the service has hung up."""
        async with asyncio.timeout(within_s):
            await asyncio.shield(self.ended)

    # What comes

    def _take(self, data: bytes) -> None:
        message = parse(data)
        if isinstance(message, Response):
            self._answered(message)
        else:
            self._asked(message)

    def _answered(self, response: Response) -> None:
        if response.status < 200:
            return
        waiting = self._answered_to.get(response.cseq.number)
        if waiting is not None:
            if not waiting.done():
                waiting.set_result(response)
            return
        if response.cseq.method != "INVITE":
            return
        if response.status < 300:
            self.answers += 1
            self._text.to_tag = response.to.tag
        if self._acknowledges:
            is_refusal = response.status >= 300
            self.send(self._text.ack_refusal(response) if is_refusal else self._text.ack())
        if not self.final.done():
            self._take_up(response)
            self.final.set_result(response)

    def _take_up(self, response: Response) -> None:
        """Talk to whom the answer names."""
        if response.status >= 300:
            return
        answer = SessionDescription.parse(response.body)
        [audio] = answer.media
        host = answer.host_of(audio)
        assert host is not None
        payload_type = int(audio.formats[0])
        if self._cell.encrypted:
            self._encrypt(response.body.decode())
        self.rtp.send_to(host, audio.port, payload_type)
        codec = next(codec for codec in Codec if codec.payload_type == payload_type)
        self.rtp.say(repeat(SILENCE[codec]))  # a phone sends, whether or not somebody speaks

    def _encrypt(self, answer: str) -> None:
        found = CRYPTO.search(answer)
        assert found, "the answer has no key"
        theirs = base64.b64decode(found[1] + "=" * (-len(found[1]) % 4))
        self.rtp.encrypt(self._key, theirs)

    def _asked(self, request: Request) -> None:
        self.send(answer_to(request, 200, tag=None))
        if request.method == "BYE" and not self.ended.done():
            self.ended.set_result(None)

    def send(self, data: bytes) -> None:
        """Send octets to the service."""
        assert self._wire
        self._wire.send(data)

    def describe(self, direction: str = "", *, port: int | None = None, version: int = 1) -> bytes:
        """The phone's session description; `port` if its audio has moved."""
        payload_types = " ".join(str(codec.payload_type) for codec in self._codecs)
        profile = "RTP/SAVP" if self._cell.encrypted else "RTP/AVP"
        lines = ["rtpmap:101 telephone-event/8000"]
        if self._cell.encrypted:
            lines.append(f"crypto:1 {SUITE} inline:{base64.b64encode(self._key).decode()}")
        if direction:
            lines.append(direction)
        return (
            f"v=0\r\no={self._session_name} 1 {version} IN IP4 {self.rtp.host}\r\n"
            f"s={self._session_name}\r\nc=IN IP4 {self.rtp.host}\r\nt=0 0\r\n"
            f"m=audio {port or self.rtp.port} {profile} {payload_types} 101\r\n"
            + "".join(f"a={line}\r\n" for line in lines)
        ).encode()
