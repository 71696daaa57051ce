# SPDX-License-Identifier: GPL-3.0-or-later
"""What all legs of a user agent share: the transaction layer, the tables, and what is to be sent.

Legs and sessions ask this object to respond, to request, to wake them later and to tell the layer
above; it collects the outputs until the agent hands them over. What to ask for is left to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Protocol

from dialin.wire.agent_events import Ended, Event, LegEnd, LocalAddress, Reply
from dialin.wire.alarms import Alarms
from dialin.wire.dialog import DialogId
from dialin.wire.flow import DEFAULT_PORTS, Flow
from dialin.wire.header import Params, Via
from dialin.wire.message import Message, Request, Response, response_to
from dialin.wire.reason import ByeReason
from dialin.wire.screening import ALLOW, SUPPORTED
from dialin.wire.timers import Timers
from dialin.wire.transaction import TransactionLayer
from dialin.wire.transaction_key import MAGIC_COOKIE, TransactionKey
from dialin.wire.transaction_state import Finished, Send, TimedOut
from dialin.wire.transaction_state import Output as TransactionOutput
from dialin.wire.uri import SipUri, parse_uri

Output = Send | Event | Reply

TAG_BITS = 64
BRANCH_BITS = 128
RETRY_WITHIN_S = 10
"""RFC 3261 §14.2: a peer that has to try again does so within 0 to 10 s, at random."""


class Requester(Protocol):
    """Who sent a request and waits for what becomes of it."""

    def responded(self, key: TransactionKey, response: Response, flow: Flow, now: float) -> None:
        """A response came."""

    def timed_out(self, key: TransactionKey, status: int, now: float) -> None:
        """None will come; `status` is what that amounts to (RFC 3261 §8.1.3.1)."""


class Cancellable(Protocol):
    """Who owes a final response to an INVITE."""

    local_tag: str

    def cancelled(self, reason: ByeReason | None, now: float) -> None:
        """The peer does not want the INVITE answered any more, and may have said why."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request that wants an answer."""

    key: TransactionKey
    """Its transaction."""
    request: Request
    """What came. PEER-CONTROLLED."""
    flow: Flow
    """The path that it came by."""
    local: LocalAddress
    """Where it reached us."""


class Leg(Protocol):
    """One side of a call, as the layer above names it."""

    def hang_up(self, reason: ByeReason, now: float) -> None:
        """End it, whatever its state, and say why."""

    def answer_reoffer(self, sdp: bytes | None, now: float) -> None:
        """Answer a re-INVITE or UPDATE."""


class InDialog(Protocol):
    """Who takes the requests of one dialog."""

    leg_id: str

    def requested(self, received: Received, now: float) -> None:
        """A request came."""

    def acked(self, ack: Request, now: float) -> None:
        """An ACK came to a 2xx."""


class AgentCore:
    """The shared part of one user agent."""

    def __init__(
        self,
        *,
        token: Callable[[int], str],
        user_agent: str,
        timers: Timers,
        may_send_to: Callable[[str], bool],
    ) -> None:
        self.token = token
        """n random bits as lower-case hexadecimal text."""
        self.user_agent = user_agent
        self.timers = timers
        self.transactions = TransactionLayer(timers)
        self.alarms = Alarms()
        self.legs: dict[str, Leg] = {}
        """The legs that have not ended."""
        self.calling: set[str] = set()
        """The Call-IDs of calls from us: none of them may come back as a call to us."""
        self.half_open: set[str] = set()
        """Calls to us that are not acknowledged yet."""
        self.dialogs: dict[DialogId, InDialog] = {}
        """Who takes the requests in which dialog."""
        self.requesters: dict[TransactionKey, Requester] = {}
        """Who waits for the responses of which client transaction."""
        self.cancellable: dict[TransactionKey, Cancellable] = {}
        """Who owes a final response to which INVITE."""
        self._may_send_to = may_send_to
        self._outputs: list[Output] = []

    def take_outputs(self) -> list[Output]:
        """All that is to be sent and told since the last time, in order."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def tell(self, event: Event | Reply) -> None:
        """Tell the layer above."""
        self._outputs.append(event)

    def end(self, leg_id: str, end: LegEnd) -> None:
        """Tell that a leg is over. It is forgotten at once; its dialog may live on for a while."""
        del self.legs[leg_id]
        self.half_open.discard(leg_id)
        self.tell(Ended(leg_id, end))

    def send(self, message: Message, flow: Flow) -> None:
        """Send outside any transaction: the ACK to a 2xx, and the repeats of a 2xx."""
        self._outputs.append(Send(message, flow))

    def perform(self, outputs: Iterable[TransactionOutput], now: float) -> None:
        """Do what the transaction layer wants done; what it delivers is for the agent."""
        for output in outputs:
            match output:
                case Send():
                    self._outputs.append(output)
                case TimedOut(key=key, status=status):
                    if requester := self.requesters.get(key):
                        requester.timed_out(key, status, now)
                case Finished(key=key):
                    self.requesters.pop(key, None)
                    self.cancellable.pop(key, None)

    def request(
        self,
        request: Request,
        flow: Flow,
        requester: Requester | None,
        now: float,
        *,
        timers: Timers | None = None,
    ) -> TransactionKey:
        """Send a request in a transaction of its own, by timers of its own if need be."""
        key, outputs = self.transactions.request(request, flow, now, timers=timers)
        if requester:
            self.requesters[key] = requester
        self.perform(outputs, now)
        return key

    def abandon(self, key: TransactionKey, now: float) -> None:
        """Wait no longer for what becomes of a request."""
        self.perform(self.transactions.abandon(key), now)

    def respond(
        self,
        received: Received,
        status: int,
        now: float,
        *,
        to_tag: str | None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """Answer a request; returns the response."""
        response = response_to(
            received.request,
            status,
            to_tag=to_tag,
            headers=(("Server", self.user_agent), *headers),
            body=body,
        )
        if status >= 200:
            self.cancellable.pop(received.key, None)
        self.send_response(received, response, now)
        return response

    def send_response(self, received: Received, response: Response, now: float) -> None:
        """Send a response that is made already, perhaps once more."""
        self.perform(self.transactions.respond(received.key, response, now), now)

    def via(self, local: LocalAddress) -> Via:
        """A topmost Via with a fresh branch; rport asks for the way back through a NAT."""
        branch = MAGIC_COOKIE + self.token(BRANCH_BITS)
        params = Params((("rport", None), ("branch", branch)))
        return Via(local.transport, local.told, local.port, params)

    def about_us(
        self, local: LocalAddress, *, is_sips: bool = False
    ) -> tuple[tuple[str, str], ...]:
        """What INVITE and its 2xx say of us: where we are reached and what we understand."""
        if is_sips:  # RFC 5630 §3.1.4: the scheme says TLS, so no transport does
            contact = f"<sips:dialin@{local.host_port}>"
        elif local.transport == "UDP":
            contact = f"<sip:dialin@{local.host_port}>"
        else:
            contact = f"<sip:dialin@{local.host_port};transport={local.transport.lower()}>"
        return (("Contact", contact), ALLOW, SUPPORTED)

    def retry_after(self) -> tuple[str, str]:
        """A moment of 0 to 10 s (RFC 3261 §14.2)."""
        return ("Retry-After", str(int(self.token(32), 16) % (RETRY_WITHIN_S + 1)))

    def way_to(self, next_hop: str, flow: Flow) -> Flow:
        """Where a request in a dialog goes: to the Contact or first Route, by our own lights.

        RFC 3263 would look a name up and take the transport from the URI. But the peer wrote the
        URI. A name must not make us ask a resolver, and an address must not make us send to a
        stranger, so anything but a literal address that we would also listen to means the flow
        that the dialog lives on. Its transport stays, or a Contact could take encryption away.
        """
        uri = parse_uri(next_hop)
        if not isinstance(uri, SipUri):
            return flow
        host = _literal(uri.host)
        if host is None or not self._may_reach(host, flow.host):
            return flow
        port = uri.port or DEFAULT_PORTS[flow.transport]
        if host == flow.host:
            # The same peer: by the connection, or the socket, that it speaks to us by.
            return replace(flow, port=port)
        return Flow(flow.transport, host, port)

    def _may_reach(self, host: str, peer: str) -> bool:
        is_same_family = (":" in host) == (":" in peer)
        return is_same_family and (host == peer or self._may_send_to(host))


def _literal(host: str) -> str | None:
    """An IP address in its usual spelling, None for a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        return None
