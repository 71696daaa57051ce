# SPDX-License-Identifier: GPL-3.0-or-later
"""Provisional responses that must not be lost: RSeq, RAck and PRACK (RFC 3262).

For a caller who requires it each provisional response above 100 is repeated until its PRACK comes,
one after the other. As the calling side we acknowledge each that is in order, whether we had
offered to or not; `RAck` says which. Which responses there are is left to `invite_server`, in which
dialog a PRACK goes and comes to `session`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from dialin.wire.agent_core import AgentCore, Received
from dialin.wire.flow import Flow
from dialin.wire.message import Message, Request, Response
from dialin.wire.screening import RELIABLE
from dialin.wire.transaction_key import TransactionKey

REQUIRED: Final = ("Require", RELIABLE)
MAX_RSEQ: Final = 2**31 - 1
FIRST_RSEQ_BITS: Final = 24
"""RFC 3262 §3: the first number is drawn from 1 to 2**31 - 1, so that the rest has room."""
MAX_WAITING: Final = 8
"""Responses that may wait for the one before; a further one takes the last one's place."""

_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_RACK: Final = re.compile(r"([0-9]{1,10})[ \t]+([0-9]{1,10})[ \t]+INVITE")


def requires_reliable(message: Message) -> bool:
    """Whether a request wants its provisional responses to be reliable, or a response is so."""
    return RELIABLE in [tag.lower() for tag in message.headers.values("Require")]


def rseq_of(response: Response) -> int | None:
    """The number of a reliable provisional response (§7.1); None for one that is none."""
    number = _NUMBER.fullmatch(response.headers.get("RSeq") or "")
    if response.status == 100 or number is None or not requires_reliable(response):
        return None
    return int(number[0]) if 0 < int(number[0]) <= MAX_RSEQ else None


def rack_for(rseq: int, response: Response) -> tuple[str, str]:
    """What a PRACK says of the response that it acknowledges (§7.2)."""
    return ("RAck", f"{rseq} {response.cseq}")


class ReliableOwner(Protocol):
    """Who answers an INVITE."""

    def all_acknowledged(self, now: float) -> None:
        """No provisional response waits for its PRACK any more."""

    def not_acknowledged(self, now: float) -> None:
        """64*T1 have passed without a PRACK."""


@dataclass(frozen=True, slots=True)
class _Provisional:
    """One response of ours."""

    status: int
    """101 to 199."""
    headers: tuple[tuple[str, str], ...]
    """What it says besides."""
    body: bytes
    """Its description, if any."""


class ReliableProvisionals:
    """The reliable provisional responses to one INVITE of a caller."""

    def __init__(
        self, core: AgentCore, owner: ReliableOwner, invite: Received, local_tag: str
    ) -> None:
        self._core = core
        self._owner = owner
        self._invite = invite
        self._local_tag = local_tag
        self._rseq = 0
        self._response: Response | None = None
        """The one that waits for its PRACK."""
        self._waiting: deque[_Provisional] = deque()
        """Those that come after it: never two at once before the first is acknowledged (§3)."""
        self._pause_s = 0.0
        self._gives_up_at = 0.0

    @property
    def withholds_answer(self) -> bool:
        """Whether a description waits for its PRACK: then no 2xx may be sent (§3)."""
        waits = self._response is not None and bool(self._response.body)
        return waits or any(one.body for one in self._waiting)

    def send(
        self, status: int, headers: Iterable[tuple[str, str]], body: bytes, now: float
    ) -> None:
        """Send one now, or after the one before."""
        provisional = _Provisional(status, tuple(headers), body)
        if self._response is None:
            self._send(provisional, now)
            return
        if len(self._waiting) == MAX_WAITING:
            self._waiting.pop()
        self._waiting.append(provisional)

    def _send(self, provisional: _Provisional, now: float) -> None:
        core = self._core
        if self._rseq == 0:
            self._rseq = int(core.token(FIRST_RSEQ_BITS), 16)
        self._rseq += 1
        self._response = core.respond(
            self._invite,
            provisional.status,
            now,
            to_tag=self._local_tag,
            headers=(REQUIRED, ("RSeq", str(self._rseq)), *provisional.headers),
            body=provisional.body,
        )
        self._pause_s = core.timers.t1_s
        self._gives_up_at = now + core.timers.patience_s
        core.alarms.set(self, now + self._pause_s)

    def alarm(self, now: float) -> None:
        """Still no PRACK: again, after twice as long each time and without the limit of T2 (§3)."""
        if self._response and now < self._gives_up_at:
            self._core.send_response(self._invite, self._response, now)
            self._pause_s *= 2
            self._core.alarms.set(self, min(now + self._pause_s, self._gives_up_at))
        else:
            self._owner.not_acknowledged(now)

    def is_acknowledged_by(self, prack: Request) -> bool:
        """Whether a PRACK means the response that waits for one (§3)."""
        rack = _RACK.fullmatch(prack.headers.get("RAck") or "")
        if rack is None or self._response is None:
            return False
        return (int(rack[1]), int(rack[2])) == (self._rseq, self._response.cseq.number)

    def acknowledged(self, now: float) -> None:
        """Its PRACK came: the next one may be sent."""
        self._response = None
        self._core.alarms.clear(self)
        if self._waiting:
            self._send(self._waiting.popleft(), now)
        else:
            self._owner.all_acknowledged(now)

    def stop(self) -> None:
        """The final response is sent: none is repeated, though a PRACK may be under way (§3)."""
        self._waiting.clear()
        self._core.alarms.clear(self)


class Repeater(Protocol):
    """Who can send a request of ours once more."""

    def ask_again(self, response: Response, flow: Flow, now: float) -> TransactionKey | None:
        """With the password that a response asks for."""


class PrackSender:
    """Who waits for what becomes of our PRACK: nothing follows but that it may be said again."""

    def __init__(self, session: Repeater) -> None:
        self._session = session

    def responded(self, key: TransactionKey, response: Response, flow: Flow, now: float) -> None:
        """It is answered, or asked for the password."""
        if response.status >= 300:
            self._session.ask_again(response, flow, now)

    def timed_out(self, key: TransactionKey, status: int, now: float) -> None:
        """It is not; the call goes on for as long as it may ring."""
