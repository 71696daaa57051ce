# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider that takes calls from its customer and brings them back in: registrar and exchange.

An INVITE has to prove the account (407). It is then a call of its own to whoever is registered,
with the caller's session description, so that audio flows between the two ends. ACKs are not
passed on: each side is acknowledged as soon as it answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dialin.wire.digest import MalformedChallenge, parse_challenges, parse_credentials, verify
from dialin.wire.message import Request, Response, parse
from dialin.wire.uri import SipUri, parse_uri
from tests.fakes.registrar import PASSWORD, REALM, USER, Line, Registrar
from tests.wire.peers import Caller, answer_to, called_request

NUMBER = "+493012345678"
NONCE = "of-the-exchange"
CHALLENGE = f'Digest realm="{REALM}", nonce="{NONCE}", algorithm=SHA-256, qop="auth"'


@dataclass
class Through:
    """One call through the exchange."""

    invite: Request
    """The customer's."""
    phone: Line
    """The way to the customer's phone."""
    service: Line
    """The way to whoever is registered."""
    text: Caller
    """The exchange towards the latter."""
    is_over: bool = False
    """Whether somebody hung up."""


@dataclass
class Carrier(Registrar):
    """The provider. `async with` runs it."""

    transport: str = "UDP"
    """How its customer speaks to it."""
    called: list[str] = field(default_factory=list)
    """The numbers that were dialled with the right password."""
    challenged: int = 0
    """INVITEs without it."""
    invites: list[Request] = field(default_factory=list)
    """All INVITEs."""
    through: Through | None = None
    """The latest call."""

    def received(self, data: bytes, line: Line) -> None:
        """One message."""
        message = parse(data)
        if isinstance(message, Response) and message.cseq.method == "INVITE" and self.through:
            self._answered(message, self.through)
            self._changed.set()
        else:
            super().received(data, line)

    def _other(self, request: Request, line: Line) -> None:
        if request.method == "INVITE":
            self._invited(request, line)
        elif request.method == "BYE" and self.through:
            line.send(answer_to(request, 200))
            self._left(request, self.through)
        else:
            super()._other(request, line)

    def _invited(self, invite: Request, line: Line) -> None:
        self.invites.append(invite)
        if not self._proves(invite):
            self.challenged += 1
            line.send(answer_to(invite, 407, [("Proxy-Authenticate", CHALLENGE)]))
            return
        uri = parse_uri(invite.uri)
        number = uri.user_text if isinstance(uri, SipUri) else ""
        self.called.append(number or "")
        if number != NUMBER or not self.contacts:
            line.send(answer_to(invite, 404))
            return
        at = f"127.0.0.1:{self.port}"
        text = Caller(
            transport=self.transport,
            sent_by=at,
            call_id=f"in-{invite.call_id}",
            from_=f"<sip:{USER}@{REALM}>;tag=in1",
            to=f"<sip:{NUMBER}@{REALM}>",
            uri=self.contacts[0],
            contact=f"<sip:exchange@{at};transport={self.transport.lower()}>",
        )
        line.send(answer_to(invite, 100, tag=None))
        self.through = Through(invite, line, self.line(), text)
        self.through.service.send(text.invite(invite.body))

    def _proves(self, invite: Request) -> bool:
        value = invite.headers.get("Proxy-Authorization")
        if value is None:
            return False
        try:
            credentials = parse_credentials(value)
        except MalformedChallenge:
            return False
        (challenge,) = parse_challenges([CHALLENGE])
        return verify(credentials, challenge, username=USER, password=PASSWORD, method="INVITE")

    def _answered(self, response: Response, call: Through) -> None:
        contact = ("Contact", f"<sip:exchange@127.0.0.1:{self.port}>")
        if 200 <= response.status < 300:
            call.text.to_tag = response.to.tag
            call.service.send(call.text.ack())
        elif response.status >= 300:
            call.service.send(call.text.ack_refusal(response))
        if response.status > 100:
            call.phone.send(answer_to(call.invite, response.status, [contact], response.body))

    def _left(self, bye: Request, call: Through) -> None:
        if call.is_over:
            return
        call.is_over = True
        if bye.call_id == call.invite.call_id:
            call.service.send(call.text.request("BYE", 2))
        else:
            call.phone.send(called_request(call.invite, "BYE"))
