# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVoIP 1.6.8 as a caller that registers with nobody, never blocks for ever, ends its threads.

What pyVoIP is here for stays its own: how it writes INVITE, ACK and BYE, how it reads answers and
SDP, how it packs, paces and reads RTP. What it cannot do stays so too: PCMU only (it sends A-law as
µ-law), no telephone-events, IPv4 and UDP only, no authentication, no CANCEL, nothing sent again;
compact, folded or lower-case header names are not read. After 21 minutes its RTP sequence numbers
overflow.

Its classes are replaced where they wait without end, print, warn or leave threads behind; each
place says which. When to call and what to say is left to the package's `place_call`.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
import uuid
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

from dialin.errors import OperatorError
from dialin.phone.heard import TimeLine
from dialin.phone.pyvoip import (
    CallState,
    PayloadType,
    RTPClient,
    RTPMessage,
    SIPClient,
    SIPMessage,
    SIPMessageType,
    SIPStatus,
    VoIPCall,
    VoIPPhone,
)

POLL_S = 0.05
"""How long a thread waits before it looks whether it is to end."""
JOIN_S = 2.0
"""How long to wait for a thread that has been told to end."""
RTP_HEADER_BYTES = 12
PORT_TRIES = 100


@dataclass(frozen=True, slots=True)
class Answered:
    """The call is up."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The call was refused for good."""

    status: int
    """The final status, 300 to 699."""


@dataclass(frozen=True, slots=True)
class PeerHungUp:
    """A BYE came."""


@dataclass(frozen=True, slots=True)
class ByeAnswered:
    """Our BYE was answered."""


News = Answered | Refused | PeerHungUp | ByeAnswered


class Phone(VoIPPhone):
    """One phone for one call: sockets of its own, the number it calls from, the bridge it calls."""

    def __init__(self, bridge: tuple[str, int], caller: str, own_host: str) -> None:
        """Bind the sockets. Raises OperatorError if `own_host` is not ours."""
        super().__init__(*bridge, caller, "", myIP=own_host)
        self.heard = TimeLine()
        self.news: SimpleQueue[News] = SimpleQueue()
        self.answered_at = 0.0
        self._media: _Media | None = None
        try:
            self._rtp, self._rtcp = _bind_pair(own_host)
        except OSError as error:
            raise OperatorError(
                f"The phone cannot use the address {own_host}: {error.strerror}.",
                "Give it an IPv4 address of this machine.",
            ) from None
        self.sip = _Signalling(
            *bridge, caller, "", phone=self, myIP=own_host, callCallback=self.callback
        )
        self.start()

    def call(self, number: str) -> Call:
        """Send the INVITE; what becomes of it is told by `news`."""
        port = self._rtp.getsockname()[1]
        # PCMU alone: pyVoIP would offer telephone-events, which it can receive and never send.
        offer = {port: {0: PayloadType.PCMU}}
        with self.sip.recvLock:  # an answer must not overtake the entry in `calls`
            try:
                request, call_id, session = self.sip.invite(number, offer, self.sendmode)
            except OSError as error:
                raise OperatorError(
                    f"The phone cannot reach {self.server}: {error.strerror}.",
                    "Give it the IPv4 address at which the bridge listens for UDP.",
                ) from None
            call = Call(
                self,
                CallState.DIALING,
                request,
                session,
                self.myIP,
                ms=offer,
                sendmode=self.sendmode,
            )
            self.calls[call_id] = call
        self.assignedPorts.append(port)  # VoIPCall.__del__ takes it out again
        return call

    def next_news(self, timeout_s: float) -> News | None:
        """What happens next, or None when nothing does in time."""
        try:
            return self.news.get(timeout=max(timeout_s, 0))
        except Empty:
            return None

    def media(self, codecs: dict[int, PayloadType], host: str, port: int) -> RTPClient:
        """The one RTP stream of the call, on the port that the offer named."""
        self.answered_at = time.monotonic()
        self._media = _Media(self, self._rtp, codecs, host, port)
        return self._media

    def stop(self, failed: bool = False) -> None:
        """Hang up if need be, end the threads, close the sockets."""
        super().stop(failed)
        if self._media:  # an answer that pyVoIP gave up half-way leaves it running
            self._media.stop()
        self._rtp.close()
        self._rtcp.close()


class Call(VoIPCall):
    """A call that tells its phone what happens."""

    phone: Phone

    def create_rtp_clients(
        self,
        codecs: dict[int, PayloadType],
        ip: str,
        port: int,
        request: SIPMessage,
        baseport: int,
    ) -> None:
        """pyVoIP binds one port once for each `c=` line; the last one is the media's own."""
        connection = request.body["c"][-1]["address"]
        self.RTPClients.append(self.phone.media(codecs, connection, baseport))

    def answered(self, request: SIPMessage) -> None:
        is_first = self.state == CallState.DIALING  # the 200 comes again until its ACK arrives
        super().answered(request)
        if is_first:
            self.phone.news.put(Answered())

    def hang_up(self) -> bool:
        """Send BYE, unless one has come; whether it was we who hung up."""
        with self.phone.sip.recvLock:  # no BYE is taken in meanwhile
            is_ours = self.state == CallState.ANSWERED
            if is_ours:
                self.hangup()
        return is_ours

    def bye(self) -> None:
        super().bye()
        self.phone.news.put(PeerHungUp())


class _Signalling(SIPClient):
    """pyVoIP's SIP client on a port of its own choice, read by one thread that ends."""

    phone: Phone

    def start(self) -> None:
        # pyVoIP sends REGISTER here and gives up when it is refused: a bridge registers no one.
        self.s = self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.bind((self.myIP, 0))
        self.myPort = self.s.getsockname()[1]
        self.NSD = True
        self._reader = Thread(target=self.recv_loop, name="phone SIP", daemon=True)
        self._reader.start()

    def stop(self) -> None:
        self.NSD = False
        self._reader.join(JOIN_S)
        self.s.close()

    def recv_loop(self) -> None:
        # pyVoIP holds the lock nearly always here, and polls.
        while self.NSD:
            readable, _, _ = select.select([self.s], [], [], POLL_S)
            if readable:
                with self.recvLock:
                    self.recv()

    def gen_call_id(self) -> str:
        # pyVoIP counts from 1, so that a port used again would bring a Call-ID again.
        return f"{uuid.uuid4().hex}@{self.myIP}"

    def gen_ack(self, request: SIPMessage) -> str:
        # pyVoIP invents a To tag; the ACK must bear the dialog's (RFC 3261 §12.2.1.1, §17.1.1.3)
        # and, after a 200, go to the Contact (§13.2.2.4).
        first, *rest = super().gen_ack(request).split("\r\n")
        target = request.headers["Contact"].strip("<>") if request.status == SIPStatus.OK else ""
        to = f"To: {request.headers['To']['raw']};tag={request.headers['To']['tag']}"
        rest = [to if line.startswith("To: ") else line for line in rest]
        return "\r\n".join([f"ACK {target} SIP/2.0" if target else first, *rest])

    def invite(
        self, number: str, ms: dict[int, dict[int, PayloadType]], sendtype: str
    ) -> tuple[SIPMessage, str, int]:
        # pyVoIP waits here for 100 or 180 without end, and takes all else for a challenge.
        call_id, session = self.gen_call_id(), self.sessID.next()
        text = self.gen_invite(number, str(session), ms, sendtype, self.gen_branch(), call_id)
        self.out.sendto(text.encode(), (self.server, self.port))
        return SIPMessage(text.encode()), call_id, session

    def parse_message(self, message: SIPMessage) -> None:
        if message.type != SIPMessageType.RESPONSE:
            super().parse_message(message)
            return
        # pyVoIP prints each status it does not know, and knows three that are final.
        status, method = int(message.status), message.headers["CSeq"]["method"]
        if method == "BYE" and status >= 200:
            self.phone.news.put(ByeAnswered())
        elif method == "INVITE" and message.status == SIPStatus.OK:
            self.callCallback(message)
        elif method == "INVITE" and status >= 300:
            self.out.sendto(self.gen_ack(message).encode(), (self.server, self.port))
            self.phone.news.put(Refused(status))


class _Media(RTPClient):
    """pyVoIP's RTP on a socket that is bound already; the phone's time line takes what comes."""

    def __init__(
        self,
        phone: Phone,
        bound: socket.socket,
        codecs: dict[int, PayloadType],
        host: str,
        port: int,
    ) -> None:
        own_host, own_port = bound.getsockname()
        super().__init__(codecs, own_host, own_port, host, port, "sendrecv")
        self._phone = phone
        self.sin, self.sout = bound, _Outlet(bound)
        self._threads = [
            Thread(target=run, name="phone RTP", daemon=True) for run in (self.recv, self.trans)
        ]

    def start(self) -> None:
        """Begin once; pyVoIP starts every stream again when a re-INVITE comes."""
        if not any(thread.ident for thread in self._threads):
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """End both threads before the socket is closed: pyVoIP closes it under them and warns."""
        self.NSD = False
        for thread in self._threads:
            thread.join(JOIN_S)

    def parse_packet(self, packet: bytes) -> None:
        if len(packet) >= RTP_HEADER_BYTES:  # on less, pyVoIP's receiver ends with a traceback
            super().parse_packet(packet)

    def parse_pcmu(self, packet: RTPMessage) -> None:
        # pyVoIP would keep 8 of the 14 bits, and lose the time of what comes late.
        at_s = time.monotonic() - self._phone.answered_at
        self._phone.heard.add(packet.SSRC, packet.timestamp, packet.payload, at_s)


class _Outlet:
    """Where RTP leaves. A packet that cannot leave is lost like any other; pyVoIP would warn."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound

    def sendto(self, packet: bytes, address: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(packet, address)


def _bind_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """RTP on an even port, RTCP on the next (RFC 3550 §11): nobody else gets our RTCP."""
    for _ in range(PORT_TRIES):
        with contextlib.ExitStack() as unless_kept:
            rtp = unless_kept.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            rtcp = unless_kept.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            rtp.bind((host, 0))
            port = rtp.getsockname()[1]
            if port % 2 == 0 and _is_free(rtcp, host, port + 1):
                rtp.setblocking(False)
                unless_kept.pop_all()
                return rtp, rtcp
    raise OSError(errno.EADDRINUSE, "no pair of free ports")


def _is_free(unbound: socket.socket, host: str, port: int) -> bool:
    """Bind to a port if nobody has it."""
    try:
        unbound.bind((host, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
