# SPDX-License-Identifier: GPL-3.0-or-later
"""A caller on a trunk: SIP written out as text over UDP, and an audio stream beside it.

Nothing of the service builds its messages, so it can say what no decent phone would. It repeats
nothing, as nothing is lost on loopback; what the service repeats it acknowledges again.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Sequence
from itertools import repeat
from types import TracebackType
from typing import Self

import pytest

from dialin.events import Codec
from dialin.media.playout import SILENCE
from dialin.wire.message import Request, Response, parse
from dialin.wire.sdp import SessionDescription
from tests.peers.clips import Clips
from tests.peers.rtp import PATIENCE_S, RtpPeer
from tests.wire.peers import Caller, Lines, answer_to

NUMBER = "+4915738620594"
TRUNK = "trunk.example.net"


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
        self._service = ("127.0.0.1", service_port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, 0))
        self.rtp = RtpPeer(host)
        """The audio."""
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Set when the service has hung up."""
        self.answers = 0
        """How often the call was answered: a 200 without an ACK comes again."""
        self.final: asyncio.Future[Response] = self._loop.create_future()
        """The final response to the INVITE."""
        self._hung_up: asyncio.Future[Response] = self._loop.create_future()
        self._acknowledges = acknowledges
        self._headers = headers
        self._session_name = session_name
        self._codecs = codecs
        own = f"{host}:{self._socket.getsockname()[1]}"
        self._text = Caller(
            sent_by=own,
            call_id=call_id or f"{secrets.token_hex(8)}@{host}",
            from_=f"{from_ or f'<sip:{number}@{TRUNK}>'};tag={secrets.token_hex(4)}",
            to=f"<sip:{called}@127.0.0.1>",
            uri=f"sip:{called}@127.0.0.1:{service_port}",
            contact=f"<sip:{contact_user or number}@{own}>",
        )
        self._loop.add_reader(self._socket, self._read)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self.rtp.close()

    @property
    def file_descriptors(self) -> int:
        """How many it holds."""
        return 3 if self._socket.fileno() >= 0 else 0

    # What it does

    def invite(self) -> None:
        """Send the INVITE, and go on."""
        self.send(self._text.invite(self._offer(), lines=self._headers))

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
        self.send(self._text.request("BYE", cseq=2))
        async with asyncio.timeout(PATIENCE_S):
            assert (await self._hung_up).status == 200

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

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(65535)
            except OSError:
                return
            message = parse(data)
            if isinstance(message, Response):
                self._answered(message)
            else:
                self._asked(message)

    def _answered(self, response: Response) -> None:
        if response.status < 200:
            return
        if response.cseq.method == "BYE":
            self._hung_up.set_result(response)
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
        self.rtp.send_to(host, audio.port, payload_type)
        codec = next(codec for codec in Codec if codec.payload_type == payload_type)
        self.rtp.say(repeat(SILENCE[codec]))  # a phone sends, whether or not somebody speaks

    def _asked(self, request: Request) -> None:
        self.send(answer_to(request, 200, tag=None))
        if request.method == "BYE" and not self.ended.done():
            self.ended.set_result(None)

    def send(self, data: bytes) -> None:
        """Send octets to the service."""
        self._socket.sendto(data, self._service)

    def _offer(self) -> bytes:
        payload_types = " ".join(str(codec.payload_type) for codec in self._codecs)
        return (
            f"v=0\r\no={self._session_name} 1 1 IN IP4 {self.rtp.host}\r\n"
            f"s={self._session_name}\r\nc=IN IP4 {self.rtp.host}\r\nt=0 0\r\n"
            f"m=audio {self.rtp.port} RTP/AVP {payload_types} 101\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
        ).encode()
