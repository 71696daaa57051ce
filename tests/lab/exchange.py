# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider's exchange on loopback: calls come by the registered way, or from its own address.

What a registrar does is `tests.fakes.registrar`; here are the calls. Messages are written out as
text and nothing of the service builds them. How each provider writes its calls is `providers`.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import ssl
from dataclasses import dataclass, field
from itertools import repeat
from types import TracebackType
from typing import Self

from pylibsrtp import Policy, Session

from dialin.events import Codec
from dialin.media.playout import SILENCE
from dialin.wire.message import Request, Response
from dialin.wire.sdp import SessionDescription
from tests.fakes.registrar import Datagrams, Line, Registrar, Stream
from tests.peers.rtp import PATIENCE_S, RtpPeer
from tests.wire.peers import Caller, Lines

MASTER_BYTES = 30
"""Key and salt of AES_CM_128_HMAC_SHA1_80 (RFC 4568 §6.2.1)."""
SUITE = "AES_CM_128_HMAC_SHA1_80"
_CRYPTO = re.compile(rf"^a=crypto:1 {SUITE} inline:([A-Za-z0-9+/]+)", re.MULTILINE)


@dataclass
class Exchange(Registrar):
    """A provider's machine: customers register with it, and it calls by `line` or `connect`."""

    host: str = "127.0.0.1"
    """Where it connects from."""

    async def connect(
        self, transport: str, port: int, tls: ssl.SSLContext | None = None, name: str | None = None
    ) -> tuple[Line, str]:
        """A way to a service that has nobody registered; and what to write into Via for it."""
        loop = asyncio.get_running_loop()
        service, own = ("127.0.0.1", port), (self.host, 0)
        if transport == "UDP":
            udp, _ = await loop.create_datagram_endpoint(
                lambda: Datagrams(self), local_addr=own, remote_addr=service
            )
            line = Line(udp.sendto, udp.close)
            self._lines.add(line)
            bound = udp.get_extra_info("sockname")[1]
        else:
            tcp, protocol = await loop.create_connection(
                lambda: Stream(self),
                *service,
                local_addr=own,
                ssl=tls,
                server_hostname=name if tls else None,
            )
            line = protocol.line
            bound = tcp.get_extra_info("sockname")[1]
        return line, f"{self.host}:{bound}"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a call's session description asks for."""

    profile: str = "RTP/AVP"
    """RTP/SAVP for SRTP with its key in the description (RFC 4568)."""
    formats: str = "8 0 101"
    """Payload types, the best first."""
    attributes: tuple[str, ...] = ("rtpmap:101 telephone-event/8000", "fmtp:101 0-16")
    """What stands below the media line."""

    has_key: bool = False
    """Whether a key stands beside a profile that does not ask for it (RFC 8643 §3.1)."""

    @property
    def is_encrypted(self) -> bool:
        """Whether audio is SRTP."""
        return self.has_key or "SAVP" in self.profile


@dataclass
class Call:
    """One call of somebody behind the exchange. Used as an asynchronous context manager."""

    exchange: Exchange
    line: Line
    text: Caller
    offer: Offer = Offer()
    headers: Lines = ()
    rtp: RtpPeer = field(init=False)
    """The audio."""
    codec: Codec = field(init=False)
    """What the service chose."""

    def __post_init__(self) -> None:
        self.rtp = RtpPeer(self.exchange.host)
        self._key = secrets.token_bytes(MASTER_BYTES)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.rtp.close()

    def invite(self) -> None:
        """Send the INVITE, and go on."""
        self.line.send(self.text.invite(self._description(), lines=self.headers))

    async def dial(self) -> Response:
        """Call; returns the final response once it is acknowledged."""
        self.invite()
        response = await self._final()
        if response.status >= 300:
            self.line.send(self.text.ack_refusal(response))
            return response
        self.text.to_tag = response.to.tag
        self.line.send(self.text.ack())
        self._take_up(response.body)
        return response

    async def hang_up(self) -> None:
        """Send BYE; it is accepted."""
        self.line.send(self.text.request("BYE", cseq=2))
        assert (await self._final()).status == 200

    async def is_hung_up_on(self) -> None:
        """Wait until the service has said BYE."""
        await self.exchange.until(lambda: any(map(self._is_bye, self.exchange.others)))

    async def key(self, keys: str) -> None:
        """Press keys, and wait until the last is up."""
        self.rtp.press(keys)
        await self.rtp.pressed()

    def _is_bye(self, request: Request) -> bool:
        return (request.method, request.call_id) == ("BYE", self.text.call_id)

    async def _final(self) -> Response:
        async with asyncio.timeout(PATIENCE_S):
            while (response := await self.exchange.responses.get()).status < 200:
                pass
        return response

    def _description(self) -> bytes:
        lines = [*self.offer.attributes]
        if self.offer.is_encrypted:
            inline = base64.b64encode(self._key).decode()
            lines.append(f"crypto:1 {SUITE} inline:{inline}")
        return (
            f"v=0\r\no=- 1 1 IN IP4 {self.rtp.host}\r\ns=-\r\nc=IN IP4 {self.rtp.host}\r\n"
            f"t=0 0\r\nm=audio {self.rtp.port} {self.offer.profile} {self.offer.formats}\r\n"
            + "".join(f"a={line}\r\n" for line in lines)
        ).encode()

    def _take_up(self, body: bytes) -> None:
        """Talk to whom the answer names, in the way that it agrees to."""
        [audio] = SessionDescription.parse(body).media
        host = SessionDescription.parse(body).host_of(audio)
        assert host is not None
        assert audio.protocol == self.offer.profile
        if self.offer.is_encrypted:
            self._encrypt(body.decode())
        payload_type = int(audio.formats[0])
        self.codec = next(codec for codec in Codec if codec.payload_type == payload_type)
        self.rtp.send_to(host, audio.port, payload_type)
        self.rtp.say(repeat(SILENCE[self.codec]))  # a phone sends, whether or not somebody speaks

    def _encrypt(self, answer: str) -> None:
        found = _CRYPTO.search(answer)
        assert found, "the answer has no key"
        theirs = base64.b64decode(found[1] + "=" * (-len(found[1]) % 4))
        self.rtp.seal = Session(Policy(self._key, Policy.SSRC_ANY_OUTBOUND)).protect
        self.rtp.unseal = Session(Policy(theirs, Policy.SSRC_ANY_INBOUND)).unprotect
