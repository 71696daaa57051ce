# SPDX-License-Identifier: GPL-3.0-or-later
"""The SIP endpoint: its sockets, its one timer, and the agent between them.

Octets from allowed sources become messages for the agent; what the agent wants sent goes out by
the flow's socket; what it tells goes to the legs. Nothing is logged but the kind of a message and
the other end, at DEBUG; what is hostile or boring is counted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count
from types import TracebackType

from dialin.errors import OperatorError
from dialin.sip.addresses import Listen, Routes, family_of, is_literal
from dialin.sip.counters import SipCounters
from dialin.sip.faults import Fault
from dialin.sip.legs import IncomingLeg, OutgoingLeg, RequestFailed
from dialin.sip.tcp import PING, Connections
from dialin.sip.tls import OwnCertificates, TlsTarget
from dialin.sip.udp import UdpSocket
from dialin.wire.agent import UserAgent
from dialin.wire.agent_core import Output
from dialin.wire.agent_events import (
    Ended,
    Event,
    IncomingCall,
    LegEnd,
    LocalAddress,
    Replied,
    Reply,
    Unanswered,
)
from dialin.wire.asking import Enquiry
from dialin.wire.flow import DEFAULT_PORTS, Flow
from dialin.wire.invite_client import Invitation
from dialin.wire.login import Login
from dialin.wire.message import MalformedMessage, Message, Request, Response, parse
from dialin.wire.timers import Timers
from dialin.wire.transaction import Send

log = logging.getLogger(__name__)

CLOSE_WITHIN_S = 2.0
"""How long the far ends may take to answer our BYEs when we close."""
EMPTY = b"\r\n\0"
"""What datagrams hold that only keep a NAT binding open."""


class SipEndpoint:
    """One SIP user agent on some addresses of this machine."""

    def __init__(
        self,
        agent: UserAgent,
        *,
        allow_source: Callable[[str], bool],
        on_call: Callable[[IncomingLeg], None],
        advertise: Callable[[str], str | None] = lambda _host: None,
    ) -> None:
        """For `open`, which listens too."""
        self.agent = agent
        """The user agent; for the legs."""
        self.hears = allow_source
        """Whether a source may speak to us; for the sockets."""
        self.counters = SipCounters()
        """What has been counted since the endpoint opened."""
        self._on_call = on_call
        self._advertise = advertise
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._legs: dict[str, IncomingLeg | OutgoingLeg] = {}
        self._enquiries: dict[str, asyncio.Future[Replied]] = {}
        self._numbers = count(1)
        """Of sockets and connections: a flow bears the number of the one it came by."""
        self._udp: dict[int, UdpSocket] = {}
        self._tcp = Connections(self, self.counters, self._numbers)
        self._routes = Routes()
        self._seen_as: dict[tuple[str, str], tuple[str, int]] = {}
        """Where far ends see us, by transport and their addresses."""
        self._is_closed = False
        self._all_quiet: asyncio.Future[None] | None = None

    @classmethod
    async def open(
        cls,
        listen: Sequence[Listen],
        *,
        allow_source: Callable[[str], bool],
        on_call: Callable[[IncomingLeg], None],
        user_agent: str = "dialin",
        timers: Timers | None = None,
        answer_options: bool = True,
        advertise: Callable[[str], str | None] = lambda _host: None,
    ) -> SipEndpoint:
        """Listen on these addresses. Raises OperatorError when one cannot be had.

        `allow_source` sees the IP address of every datagram and connection: of others nothing is
        read, and their addresses in a Contact or Record-Route are not followed. `on_call` is given
        each new call and must not wait: it rejects it, or starts a task that answers it.
        `advertise` says which address of ours a far end is told, where a NAT hides the true one.
        """
        agent = UserAgent(
            token=lambda bits: secrets.token_hex(bits // 8),
            user_agent=user_agent,
            timers=timers,
            may_send_to=allow_source,
        )
        agent.takes_calls = answer_options
        endpoint = cls(agent, allow_source=allow_source, on_call=on_call, advertise=advertise)
        try:
            for address in listen:
                await endpoint._listen(address)
        except OperatorError:
            await endpoint.close()
            raise
        return endpoint

    async def _listen(self, listen: Listen) -> None:
        if listen.transport == "UDP":
            number = next(self._numbers)
            self._udp[number] = UdpSocket(
                listen, number, hears=self.hears, receive=self.receive, counters=self.counters
            )
        else:
            await self._tcp.listen(listen)

    async def __aenter__(self) -> SipEndpoint:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up all legs, wait a moment for the answers, close the sockets."""
        if self._is_closed:
            return
        self._all_quiet = self._loop.create_future()
        for leg in list(self._legs.values()):
            leg.hang_up()
        self._settle()
        await asyncio.wait((self._all_quiet,), timeout=CLOSE_WITHIN_S)
        self._is_closed = True
        for enquiry in self._enquiries.values():
            enquiry.set_exception(RequestFailed("connection-failed"))
        if self._timer:
            self._timer.cancel()
        for socket in self._udp.values():
            socket.close()
        await self._tcp.close()

    @property
    def addresses(self) -> tuple[Listen, ...]:
        """Where we listen, with the ports that the kernel chose."""
        return (*(socket.address for socket in self._udp.values()), *self._tcp.addresses)

    @property
    def legs(self) -> int:
        """Legs that are not over, or whose BYE is not answered yet."""
        return 0 if self._is_closed else self.agent.legs

    @property
    def transactions(self) -> int:
        """Transactions, those included that only wait for repeats."""
        return 0 if self._is_closed else self.agent.transactions

    # Calls from us

    async def invite(
        self,
        uri: str,
        flow: Flow,
        *,
        from_display: str,
        from_user: str,
        offer: bytes,
        headers: Sequence[tuple[str, str]] = (),
        answer_within_s: float = 60.0,
        credentials: Login | None = None,
        from_domain: str | None = None,
    ) -> OutgoingLeg:
        """Send an INVITE to `flow`, a literal address that `allow_source` admits; returns at once.

        `credentials` answer challenges of that very server; `from_domain` is the domain of
        `from_user`, if not our address. Raises OperatorError when there is no way there.
        """
        local = self.local_address(self._checked(flow))
        invitation = Invitation(
            uri,
            from_display,
            from_user,
            offer,
            tuple(headers),
            answer_within_s,
            credentials,
            from_domain,
        )
        leg_id, outputs = self.agent.invite(invitation, flow, local, self.now())
        leg = OutgoingLeg(self, leg_id, flow, local.host, offer)
        if self._is_closed:
            leg.take(Ended(leg_id, LegEnd("lost", None, "transport-lost")))
        else:
            self._legs[leg_id] = leg
            self.carry_out(outputs)
        return leg

    # Requests outside any dialog

    async def request(
        self,
        method: str,
        uri: str,
        flow: Flow,
        *,
        headers: Sequence[tuple[str, str]] = (),
        credentials: Login | None = None,
        within_s: float = 32.0,
    ) -> Response:
        """Ask a server something, such as OPTIONS; returns its final response.

        `credentials` answer a challenge of that very server. Raises RequestFailed when there is no
        answer, or a challenge that is not to be met, and OperatorError when there is no way.
        """
        local = self.local_address(self._checked(flow))
        enquiry = Enquiry(
            method,
            uri,
            from_uri=f"sip:dialin@{local.host_port}",
            to_uri=uri,
            headers=tuple(headers),
            login=credentials,
            within_s=within_s,
        )
        return (await self.ask(enquiry, flow)).response

    async def ask(self, enquiry: Enquiry, flow: Flow) -> Replied:
        """The same for a request that is made already; tells where the answer came from as well."""
        local = self.local_address(self._checked(flow))
        if self._is_closed:
            raise RequestFailed("connection-failed")
        enquiry_id, outputs = self.agent.ask(enquiry, flow, local, self.now())
        waiting: asyncio.Future[Replied] = self._loop.create_future()
        self._enquiries[enquiry_id] = waiting
        self.carry_out(outputs)
        try:
            return await waiting
        finally:
            del self._enquiries[enquiry_id]

    def _replied(self, reply: Reply) -> None:
        waiting = self._enquiries.get(reply.enquiry)
        if waiting is None or waiting.done():
            return  # who asked has gone
        if isinstance(reply, Unanswered):
            waiting.set_exception(RequestFailed(reply.cause))
        else:
            waiting.set_result(reply)

    # TLS

    @property
    def certificates(self) -> OwnCertificates:
        """What we prove ourselves with by TLS."""
        return self._tcp.certificates

    def trust(self, host: str, port: int, target: TlsTarget) -> None:
        """What a server at this address or network has to prove before we write anything to it.

        Port 0 means any. Nothing is ever sent by TLS to where nothing is trusted. Raises
        OperatorError where a file cannot be used.
        """
        self._tcp.trusted.trust(host, port, target)

    def fault(self, flow: Flow) -> Fault | None:
        """Why the last connection to this far end did not come to stand; None if it did."""
        return self._tcp.faults.last(flow)

    # Ways that stay open

    async def ping(self, flow: Flow, within_s: float) -> bool:
        """Whether the far end of a stream connection answers an empty line (RFC 5626 §4.4.1).

        Not all do that stand by it; one that has done so once will do so again.
        """
        connection = self._tcp.find(flow)
        if connection is None:
            return False
        try:
            async with asyncio.timeout(within_s):
                return await connection.ping()
        except TimeoutError:
            return False

    def poke(self, flow: Flow) -> None:
        """Send an empty datagram, which keeps a NAT binding open and is not answered."""
        self._send_octets(PING, flow)

    def lost(self, flow: Flow) -> asyncio.Future[None]:
        """Done when the flow's stream connection is no more; not to be cancelled."""
        connection = self._tcp.find(flow)
        if connection is not None:
            return connection.gone
        gone: asyncio.Future[None] = self._loop.create_future()
        gone.set_result(None)
        return gone

    def drop(self, flow: Flow) -> None:
        """Close the flow's stream connection: what is sent there next opens another."""
        if connection := self._tcp.find(flow):
            connection.break_off()

    def local_host_for(self, flow: Flow) -> str:
        """Our address on the way to this flow. Raises OperatorError when there is no way."""
        return self.local_address(flow).host

    def _checked(self, flow: Flow) -> Flow:
        """The flow, if we may send to it and would hear the answer."""
        if not is_literal(flow.host):
            raise ValueError("a flow leads to a literal address: names are resolved by its maker")
        if not self.hears(flow.host):
            raise ValueError("the answer would not be heard: allow_source refuses the address")
        return flow

    def local_address(self, flow: Flow) -> LocalAddress:
        """Where this flow's far end reaches us. Raises OperatorError when there is no way.

        Without a certificate of our own we do not listen for TLS: then it is by our connection.
        """
        if flow.transport == "TLS" and not self._listens_for(flow):
            host, port = self._tcp.own_end(flow, self._routes.own_host(flow.host))
            local = LocalAddress("TLS", host, port)
        else:
            local = self._routes.reached_at(self._listening_for(flow), flow)
        return replace(local, public=self._advertise(flow.host), seen_as=self._seen(flow, local))

    def _seen(self, flow: Flow, local: LocalAddress) -> tuple[str, int] | None:
        """Where the far end sees us. A stream's port is the connection's: a new one would have to
        come to the port that we listen on."""
        seen = self._seen_as.get((flow.transport, flow.host))
        return (seen[0], local.port) if seen and flow.is_reliable else seen

    def learn(self, flow: Flow, seen_as: tuple[str, int]) -> None:
        """A server that is believed has told where it sees us: our Contacts towards it say so.

        What the operator advertises comes before it.
        """
        if family_of(seen_as[0]) == family_of(flow.host):
            self._seen_as[flow.transport, flow.host] = seen_as

    def _listens_for(self, flow: Flow) -> bool:
        family = family_of(flow.host)
        return any(
            at.transport == flow.transport and family_of(at.host) == family for at in self.addresses
        )

    def _listening_for(self, flow: Flow) -> Listen:
        if socket := self._udp.get(flow.connection):
            return socket.address
        return self._routes.choose(self.addresses, flow)

    # What comes

    def receive(self, data: bytes, flow: Flow) -> None:
        """One datagram, or one message out of a stream."""
        try:
            message = parse(data)
        except MalformedMessage as error:
            if data.strip(EMPTY):
                self.receive_malformed(error, flow)
            else:
                self.counters.keep_alives += 1
            return
        self.counters.received(message)
        _log("received", message, flow)
        try:
            local = self.local_address(flow)
        except OperatorError:
            self.counters.unsent += 1  # the way back is gone
            return
        self.carry_out(self.agent.receive(message, flow, local, self.now()))

    def receive_malformed(self, error: MalformedMessage, flow: Flow) -> None:
        """Octets that are no message."""
        self.counters.malformed += 1
        self.carry_out(self.agent.receive_malformed(error, flow))

    def connection_failed(self, flow: Flow) -> None:
        """A stream connection is gone, or could not be made."""
        self.carry_out(self.agent.transport_failed(flow, self.now()))

    # What goes

    def now(self) -> float:
        """The loop's monotonic time."""
        return self._loop.time()

    def carry_out(self, outputs: Iterable[Output]) -> None:
        """Send what the agent wants sent, tell the legs what it tells, and wind the clock."""
        if self._is_closed:
            return
        for output in outputs:
            if isinstance(output, Send):
                self._send(output)
            elif isinstance(output, Replied | Unanswered):
                self._replied(output)
            else:
                self._tell(output)
        self._settle()

    def _send(self, send: Send) -> None:
        _log("sent", send.message, send.flow)
        self._send_octets(bytes(send.message), self._way_of(send))

    def _way_of(self, send: Send) -> Flow:
        """The flow itself; for a response whose connection is gone, where its Via says.

        RFC 3261 §18.2.2: the address that the request came from, and the port of the Via.
        """
        message, flow = send.message, send.flow
        if isinstance(message, Request) or not flow.connection or not flow.is_reliable:
            return flow
        if self._tcp.find(flow):
            return flow
        return replace(flow, port=message.via.port or DEFAULT_PORTS[flow.transport])

    def _send_octets(self, data: bytes, flow: Flow) -> None:
        if flow.is_reliable:
            self._tcp.send(data, flow)
            return
        try:
            address = self._listening_for(flow)
        except OperatorError:
            self.counters.unsent += 1
            return
        next(socket for socket in self._udp.values() if socket.address == address).send(data, flow)

    def _tell(self, event: Event) -> None:
        try:
            if isinstance(event, IncomingCall):
                leg = self._legs[event.leg] = IncomingLeg(self, event)
                self._on_call(leg)
            else:
                self._legs[event.leg].take(event)
        except Exception:  # one call that fails must not end the others
            log.exception("a call failed")
            self.carry_out(self.agent.reject(event.leg, 500, self.now()))
            self.carry_out(self.agent.hang_up(event.leg, self.now()))
        if isinstance(event, Ended):
            del self._legs[event.leg]

    def _settle(self) -> None:
        """After anything happened: wind the clock, and see whether all is quiet."""
        self.counters.strays = self.agent.strays
        self._wind()
        if self._all_quiet and not self._all_quiet.done() and not self.agent.legs:
            self._all_quiet.set_result(None)

    def _wind(self) -> None:
        """Keep the one timer at the agent's deadline, or before it."""
        deadline = self.agent.next_deadline()
        if self._timer and deadline is not None and self._timer.when() <= deadline:
            return  # it wakes early, finds nothing to do, and is wound again
        if self._timer:
            self._timer.cancel()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self.carry_out(self.agent.fire(self.now()))


def _log(what: str, message: Message, flow: Flow) -> None:
    """The kind of a message and the other end: never a header or URI, as those hold numbers."""
    if log.isEnabledFor(logging.DEBUG):
        kind = message.method if isinstance(message, Request) else str(message.status)
        log.debug("%s %s: %s", what, kind, flow)
