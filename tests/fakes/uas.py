# SPDX-License-Identifier: GPL-3.0-or-later
"""A scripted user agent server on loopback: answers one caller as told, talks, keeps what comes.

Raw sockets and a dozen lines of SIP, on purpose: it shares nothing with `dialin`, and nothing with
the caller under test. It runs in a thread of its own until the `with` block is left.
"""

from __future__ import annotations

import re
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from threading import Event, Thread
from types import TracebackType

TICK_S = 0.02
"""One RTP packet each tick."""
CONTACT = "sip:room@127.0.0.1:{port};transport=udp"
"""Differs from what was called, as a conference server's does."""


@dataclass(frozen=True, slots=True)
class UasScript:
    """What the server does."""

    responses: tuple[int, ...] = (100, 200)
    """Status codes sent to the INVITE, in order; empty: nothing at all."""
    voice: bytes = b""
    """µ-law that is sent after the ACK, 160 octets a packet."""
    hangs_up_after_s: float | None = None
    """When to send BYE, after the ACK."""
    repeats_200: bool = False
    """Whether the 200 is sent again although it was acknowledged."""
    reinvites: bool = False
    """Whether a re-INVITE follows the ACK."""
    answers_bye: bool = True
    """Whether the caller's BYE is answered."""
    answer: tuple[str, ...] = ("m=audio {rtp} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=sendrecv")
    """The media lines of the SDP answer."""
    headers: tuple[str, ...] = ("Contact: <{contact}>",)
    """Headers of the responses beyond those that every response has."""
    before_voice: tuple[bytes, ...] = ()
    """Datagrams sent to the caller's RTP port before any voice."""


@dataclass(slots=True)
class Uas:
    """The running server. Enter it, call `port`, look at what came."""

    script: UasScript = field(default_factory=UasScript)
    requests: list[str] = field(default_factory=list)
    """Every request that came, verbatim."""
    responses: list[str] = field(default_factory=list)
    """Every response that came, verbatim."""
    heard: bytearray = field(default_factory=bytearray)
    """The payloads that the caller sent, one after the other."""
    port: int = 0
    """Where it takes SIP."""
    dialog_tag: str = "uas-tag"
    """The To tag of its dialog."""
    _sip: socket.socket = field(init=False)
    _rtp: socket.socket = field(init=False)
    _thread: Thread = field(init=False)
    _arrived: Event = field(default_factory=Event)
    _over: Event = field(default_factory=Event)
    _invite: str = ""
    _caller: tuple[str, int] = ("", 0)
    _media: tuple[str, int] = ("", 0)
    _acknowledged_at: float | None = None
    _sent: int = 0

    def __enter__(self) -> Uas:
        self._sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for bound in (self._sip, self._rtp):
            bound.bind(("127.0.0.1", 0))
        self.port = self._sip.getsockname()[1]
        self._thread = Thread(target=self._serve, name="uas")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(5)
        self._sip.close()
        self._rtp.close()

    def methods(self) -> list[str]:
        """The methods that came, in order."""
        return [request.split(" ", 1)[0] for request in self.requests]

    def request(self, method: str) -> str:
        """The first request of a method."""
        return next(request for request in self.requests if request.startswith(f"{method} "))

    def wait_for(self, method: str, timeout_s: float = 5.0) -> None:
        """Wait until a request of a method has come. Raises TimeoutError."""
        until = time.monotonic() + timeout_s
        while method not in self.methods():
            if not self._arrived.wait(until - time.monotonic()):
                raise TimeoutError(method)
            self._arrived.clear()

    def _serve(self) -> None:
        while not self._over.is_set():
            readable, _, _ = select.select(
                [self._sip, self._rtp], [], [], self._until_next_packet()
            )
            if self._sip in readable:
                data, source = self._sip.recvfrom(65535)
                self._take(data.decode(), source)
            if self._rtp in readable:
                self.heard += self._rtp.recv(2048)[12:]
            self._talk()

    def _until_next_packet(self) -> float:
        if self._acknowledged_at is None:
            return TICK_S
        return max(0.0, self._acknowledged_at + self._sent * TICK_S - time.monotonic())

    def _talk(self) -> None:
        """Send what is due of the voice, and BYE when it is time."""
        if self._acknowledged_at is None:
            return
        up_s = time.monotonic() - self._acknowledged_at
        while self._sent * TICK_S <= up_s:
            frame = self.script.voice[self._sent * 160 : (self._sent + 1) * 160]
            if frame:
                header = struct.pack("!BBHII", 0x80, 0, self._sent, self._sent * 160, 7)
                self._rtp.sendto(header + frame, self._media)
            self._sent += 1
        if self.script.hangs_up_after_s is not None and up_s >= self.script.hangs_up_after_s:
            self._acknowledged_at = None
            self._send(self._request("BYE", 1))

    def _take(self, text: str, source: tuple[str, int]) -> None:
        self._caller = source
        if text.startswith("SIP/2.0"):
            self.responses.append(text)
            return
        self.requests.append(text)
        self._arrived.set()
        match text.split(" ", 1)[0]:
            case "INVITE":
                self._invite = text
                port = re.search(r"m=audio (\d+)", text)
                self._media = (source[0], int(port[1]) if port else 0)
                for status in self.script.responses:
                    self._send(self._response(text, status))
            case "ACK" if self._acknowledged_at is None and 200 in self.script.responses:
                self._begin()
            case "BYE" if self.script.answers_bye:
                self._acknowledged_at = None
                self._send(self._response(text, 200))

    def _begin(self) -> None:
        self._acknowledged_at = time.monotonic()
        for datagram in self.script.before_voice:
            self._rtp.sendto(datagram, self._media)
        if self.script.repeats_200:
            self._send(self._response(self._invite, 200))
        if self.script.reinvites:
            self._send(self._request("INVITE", 1, self._sdp()))

    def _response(self, request: str, status: int) -> str:
        is_answer = request.startswith("INVITE") and status == 200
        echoed = re.findall(r"(?m)^(?:Via|From|Call-ID|CSeq): .*?(?=\r$)", request)
        to = re.findall(r"(?m)^To: .*?(?=\r$)", request)[0]
        tag = "" if status == 100 or "tag=" in to else f";tag={self.dialog_tag}"
        own = [self._filled(line) for line in self.script.headers]
        return _message(
            f"SIP/2.0 {status} Scripted",
            [*echoed, to + tag, *own],
            self._sdp() if is_answer else "",
        )

    def _request(self, method: str, number: int, body: str = "") -> str:
        """A request of ours within the dialog that the INVITE made."""
        caller = re.search(r"(?m)^From: (.*?)\r$", self._invite)
        called = re.search(r"(?m)^To: (.*?)\r$", self._invite)
        call_id = re.search(r"(?m)^Call-ID: .*?(?=\r$)", self._invite)
        if not (caller and called and call_id):
            raise AssertionError("the INVITE has no From, To or Call-ID")
        headers = [
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK-{method}",
            f"From: {called[1]};tag={self.dialog_tag}",
            f"To: {caller[1]}",
            call_id[0],
            f"CSeq: {number} {method}",
            "Max-Forwards: 70",
            self._filled("Contact: <{contact}>"),
        ]
        return _message(f"{method} sip:{self._caller[0]}:{self._caller[1]} SIP/2.0", headers, body)

    def _sdp(self) -> str:
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
        return "".join(f"{self._filled(line)}\r\n" for line in (*lines, *self.script.answer))

    def _filled(self, line: str) -> str:
        contact = CONTACT.format(port=self.port)
        return line.format(contact=contact, rtp=self._rtp.getsockname()[1])

    def _send(self, text: str) -> None:
        self._sip.sendto(text.encode(), self._caller)


def _message(first: str, headers: list[str], body: str) -> str:
    if body:
        headers = [*headers, "Content-Type: application/sdp"]
    lines = [first, *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines) + "\r\n\r\n" + body
