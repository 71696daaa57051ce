# SPDX-License-Identifier: GPL-3.0-or-later
"""The way that a registered trunk's calls come by: kept open, and found out when it is dead.

On a stream, empty lines (RFC 5626 §4.4.1); not all servers answer those, so one that does not is
asked OPTIONS instead, and one that answers neither is not held dead for it. Over UDP, OPTIONS, or
empty datagrams where the provider minds being asked. What follows from a dead way is left to
`trunk`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol

from dialin.errors import OperatorError
from dialin.sip import Fault, RequestFailed
from dialin.wire.agent_events import LocalAddress, Replied
from dialin.wire.asking import Enquiry
from dialin.wire.flow import Flow

ANSWER_WITHIN_S: Final = 10.0
"""RFC 5626 §4.4.1: how long an empty line may wait for its answer; OPTIONS likewise."""


class Signalling(Protocol):
    """What is needed of the SIP endpoint."""

    def now(self) -> float:
        """The time, monotonic."""

    def local_address(self, flow: Flow) -> LocalAddress:
        """Where a far end reaches us. Raises OperatorError."""

    def learn(self, flow: Flow, seen_as: tuple[str, int]) -> None:
        """A server has told at which address and port it sees us."""

    async def ask(self, enquiry: Enquiry, flow: Flow) -> Replied:
        """The answer to a request. Raises RequestFailed and OperatorError."""

    async def ping(self, flow: Flow, within_s: float) -> bool:
        """Whether an empty line on a stream is answered."""

    def poke(self, flow: Flow) -> None:
        """Send something empty that is not answered."""

    def lost(self, flow: Flow) -> asyncio.Future[None]:
        """Done when a stream is no more."""

    def drop(self, flow: Flow) -> None:
        """Close a stream."""

    def fault(self, flow: Flow) -> Fault | None:
        """Why the last stream to a server did not come to stand; None if it did."""


class Sign(Enum):
    """What a server answers, and so can be held to."""

    UNKNOWN = auto()
    PONG = auto()
    OPTIONS = auto()
    NONE = auto()


class Way:
    """One way to one server."""

    def __init__(
        self,
        flow: Flow,
        signalling: Signalling,
        *,
        options: Callable[[float], Enquiry],
        sign: Sign,
        on_lost: Callable[[], None],
    ) -> None:
        """`options(within_s)` makes a question that any server answers somehow."""
        self.flow = flow
        """The path, the number of its connection included."""
        self._signalling = signalling
        self._options = options
        self._sign = sign
        self._on_lost = on_lost
        self._lost = signalling.lost(flow) if flow.is_reliable else None
        if self._lost:
            self._lost.add_done_callback(self._tell)

    @property
    def is_lost(self) -> bool:
        """Whether its connection is gone."""
        return self._lost is not None and self._lost.done()

    def _tell(self, _gone: asyncio.Future[None]) -> None:
        self._on_lost()

    def leave(self) -> None:
        """It is of no interest any more. Its connection stays: calls may live on it."""
        if self._lost:
            self._lost.remove_done_callback(self._tell)

    def close(self) -> None:
        """It is dead: what is sent there next takes another connection."""
        self.leave()
        if self.flow.is_reliable:
            self._signalling.drop(self.flow)

    async def is_alive(self) -> bool:
        """Send a sign of life, and see whether one comes back if the server is known for that."""
        match self._sign:
            case Sign.UNKNOWN:
                self._sign = await self._find_out()
                return not self.is_lost
            case Sign.PONG:
                return await self._signalling.ping(self.flow, ANSWER_WITHIN_S)
            case Sign.OPTIONS:
                return await self._answers_options()
        self._signalling.poke(self.flow)
        return True

    async def _find_out(self) -> Sign:
        """What this server answers."""
        if self.flow.is_reliable and await self._signalling.ping(self.flow, ANSWER_WITHIN_S):
            return Sign.PONG
        return Sign.OPTIONS if await self._answers_options() else Sign.NONE

    async def _answers_options(self) -> bool:
        return await answers(self._signalling, self._options(ANSWER_WITHIN_S), self.flow)


async def answers(signalling: Signalling, enquiry: Enquiry, flow: Flow) -> bool:
    """Whether a server says anything at all: a refusal is a sign of life too."""
    try:
        await signalling.ask(enquiry, flow)
    except (RequestFailed, OperatorError):  # or there is no way from here to there
        return False
    return True
