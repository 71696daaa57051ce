# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer made of text, and an agent with its clock in hand: what the agent's tests talk to.

The peer's messages are written out and parsed, so that what reaches the agent is what a socket
would bring; nothing of the code under test builds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from dialin.wire.agent import UserAgent
from dialin.wire.agent_core import Output
from dialin.wire.agent_events import Event, LocalAddress, Replied, Reply, Unanswered
from dialin.wire.flow import Flow
from dialin.wire.invite_client import Invitation
from dialin.wire.message import Request, Response, parse
from dialin.wire.transaction import Send

TRUNK = Flow("UDP", "192.0.2.10", 5060)
LOCAL = LocalAddress("UDP", "198.51.100.1", 5060)
OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\n"
)
ANSWER = OFFER.replace(b"192.0.2.10", b"198.51.100.1")
NEW_OFFER = OFFER.replace(b"4000", b"4002")
SDP_TYPE = ("Content-Type", "application/sdp")
CALLED = Flow("UDP", "203.0.113.5", 5060)
CONTACT = ("Contact", "<sip:conference@203.0.113.5:5070>")

Lines = Sequence[tuple[str, str]]


def octets(start_line: str, lines: Lines, body: bytes = b"") -> bytes:
    """A message as it stands on the wire."""
    head = [start_line, *(f"{name}: {value}" for name, value in lines)]
    head.append(f"Content-Length: {len(body)}")
    text = "\r\n".join(head)
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


@dataclass
class Caller:
    """A phone on a trunk: one dialog towards us, seen from its side."""

    transport: str = "UDP"
    sent_by: str = "192.0.2.10:5060"
    call_id: str = "8f3a@192.0.2.10"
    from_: str = '"Ada" <sip:+493012345678@trunk.example.net>;tag=ft1'
    to: str = "<sip:+4930900@198.51.100.1>"
    uri: str = "sip:+4930900@198.51.100.1"
    contact: str = "<sip:+493012345678@192.0.2.10:5060>"
    to_tag: str | None = None
    branches: count[int] = field(default_factory=lambda: count(1))
    branch: str = ""

    def request(
        self,
        method: str,
        cseq: int = 1,
        lines: Lines = (),
        body: bytes = b"",
        *,
        branch: str | None = None,
        uri: str | None = None,
    ) -> bytes:
        """Any request; its branch is kept for CANCEL, ACK and repeats."""
        self.branch = branch or f"z9hG4bKpeer{next(self.branches)}"
        to = self.to if self.to_tag is None else f"{self.to};tag={self.to_tag}"
        head = [
            ("Via", f"SIP/2.0/{self.transport} {self.sent_by};branch={self.branch}"),
            ("Max-Forwards", "70"),
            ("From", self.from_),
            ("To", to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
        ]
        if body and not any(name == "Content-Type" for name, _ in lines):
            head.append(SDP_TYPE)
        return octets(f"{method} {uri or self.uri} SIP/2.0", [*head, *lines], body)

    def invite(
        self, body: bytes = OFFER, cseq: int = 1, lines: Lines = (), *, branch: str | None = None
    ) -> bytes:
        """An INVITE, or with a To tag a re-INVITE."""
        lines = [("Contact", self.contact), *lines]
        return self.request("INVITE", cseq, lines, body, branch=branch)

    def cancel(self, cseq: int = 1) -> bytes:
        """The CANCEL of the request before."""
        tag, self.to_tag = self.to_tag, None
        cancel = self.request("CANCEL", cseq, branch=self.branch)
        self.to_tag = tag
        return cancel

    def ack(self, cseq: int = 1, body: bytes = b"") -> bytes:
        """The ACK to a 2xx."""
        return self.request("ACK", cseq, body=body)

    def ack_refusal(self, response: Response, cseq: int = 1) -> bytes:
        """The ACK to a final response that is no 2xx: the INVITE's branch, the response's tag."""
        tag, self.to_tag = self.to_tag, response.to.tag
        ack = self.request("ACK", cseq, branch=self.branch)
        self.to_tag = tag
        return ack


def answer_to(
    request: Request,
    status: int,
    lines: Lines = (),
    body: bytes = b"",
    *,
    tag: str | None = "ct1",
) -> bytes:
    """A response of the called side, written out by RFC 3261 §8.2.6."""
    to = request.headers.all("To")[0]
    if tag is not None and ";tag=" not in to:
        to = f"{to};tag={tag}"
    head = [
        *(("Via", via) for via in request.headers.all("Via")),
        ("From", request.headers.all("From")[0]),
        ("To", to),
        ("Call-ID", request.call_id),
        ("CSeq", str(request.cseq)),
    ]
    if body:
        head.append(SDP_TYPE)
    return octets(f"SIP/2.0 {status} Whatever", [*head, *lines], body)


class Bench:
    """One agent, its clock, and all that came out of it."""

    def __init__(self, **kwargs: object) -> None:
        numbers = count(1)
        self.now = 0.0
        self.sent: list[tuple[float, Send]] = []
        self.events: list[Event] = []
        self.replies: list[Reply] = []
        self.agent = UserAgent(
            token=lambda bits: f"{next(numbers):0{bits // 4}x}",
            **kwargs,  # type: ignore[arg-type]  # each test names what it sets
        )

    def take(self, outputs: Sequence[Output]) -> list[Send]:
        """Keep outputs; returns what is to be sent."""
        sends = []
        for output in outputs:
            if isinstance(output, Send):
                sends.append(output)
            elif isinstance(output, Replied | Unanswered):
                self.replies.append(output)
            else:
                self.events.append(output)
        self.sent += [(self.now, send) for send in sends]
        return sends

    def receive(
        self, data: bytes, flow: Flow = TRUNK, local: LocalAddress = LOCAL
    ) -> list[Request | Response]:
        """Give the agent a message; returns what it sends."""
        outputs = self.agent.receive(parse(data), flow, local, self.now)
        return [send.message for send in self.take(outputs)]

    def response(self, data: bytes, flow: Flow = TRUNK) -> Response:
        """Give the agent a request that has exactly one response at once."""
        (message,) = self.receive(data, flow)
        assert isinstance(message, Response)
        return message

    def status(self, data: bytes, flow: Flow = TRUNK) -> int:
        """The status of that one response."""
        return self.response(data, flow).status

    def advance(self, to: float) -> list[tuple[float, Send]]:
        """Let time pass; returns when what was sent."""
        before = len(self.sent)
        while (deadline := self.agent.next_deadline()) is not None and deadline <= to:
            self.now = max(self.now, deadline)
            self.take(self.agent.fire(self.now))
        self.now = to
        return self.sent[before:]

    def told(self, kind: type[Event]) -> list[Event]:
        """All events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def last(self) -> Event:
        """The latest event."""
        return self.events[-1]

    @property
    def leg(self) -> str:
        """The leg of the latest event."""
        return self.events[-1].leg

    def ring_in(self, caller: Caller, body: bytes = OFFER, lines: Lines = ()) -> str:
        """A call comes in; returns its leg."""
        assert self.receive(caller.invite(body, lines=lines)) == []
        return self.leg

    def answer_in(self, caller: Caller, body: bytes = OFFER, lines: Lines = ()) -> str:
        """A call comes in and is answered, not acknowledged yet."""
        leg = self.ring_in(caller, body, lines)
        (ok,) = self.take(self.agent.accept(leg, ANSWER, self.now))
        caller.to_tag = ok.message.to.tag
        return leg

    def talk_in(self, caller: Caller) -> str:
        """A call comes in, is answered and acknowledged."""
        leg = self.answer_in(caller)
        assert self.receive(caller.ack()) == []
        return leg

    def call_out(self, flow: Flow = CALLED, **changes: object) -> tuple[str, Request]:
        """A call goes out; returns its leg and INVITE."""
        invitation = Invitation(
            **{  # type: ignore[arg-type]  # each test names what it changes
                "uri": "sip:12345@203.0.113.5",
                "from_display": "xxx-xxx-5678",
                "from_user": "712345678901234",
                "offer": ANSWER,
                **changes,
            }
        )
        local = LocalAddress(flow.transport, LOCAL.host, LOCAL.port)
        leg, outputs = self.agent.invite(invitation, flow, local, self.now)
        (invite,) = self.take(outputs)
        assert isinstance(invite.message, Request)
        return leg, invite.message

    def talk_out(self) -> tuple[str, Request, Request]:
        """A call goes out and is answered; returns its leg, INVITE and ACK."""
        leg, invite = self.call_out()
        (ack,) = self.receive(answer_to(invite, 200, [CONTACT], OFFER), CALLED)
        assert isinstance(ack, Request)
        return leg, invite, ack


def called_request(
    invite: Request,
    method: str,
    cseq: int = 1,
    lines: Lines = (),
    body: bytes = b"",
    *,
    tag: str = "ct1",
    branch: str = "z9hG4bKcalled1",
) -> bytes:
    """A request of the called side within the dialog that an INVITE of ours made."""
    head = [
        ("Via", f"SIP/2.0/UDP 203.0.113.5:5060;branch={branch}"),
        ("Max-Forwards", "70"),
        ("From", f"{invite.headers.all('To')[0]};tag={tag}"),
        ("To", invite.headers.all("From")[0]),
        ("Call-ID", invite.call_id),
        ("CSeq", f"{cseq} {method}"),
    ]
    if body and not any(name == "Content-Type" for name, _ in lines):
        head.append(SDP_TYPE)
    contact = invite.contacts[0].uri_text
    return octets(f"{method} {contact} SIP/2.0", [*head, *lines], body)
