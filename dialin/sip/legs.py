# SPDX-License-Identifier: GPL-3.0-or-later
"""The two legs that a call is made of, as the story of a call sees them.

A leg turns the user agent's events into futures and callbacks, and wishes into its calls. What
goes over the wire, and when it is repeated, is left to `dialin.wire`; sockets to `endpoint`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from dialin.errors import DialinError
from dialin.wire.agent import UserAgent
from dialin.wire.agent_core import Output
from dialin.wire.agent_events import (
    Acknowledged,
    Answered,
    Ended,
    Event,
    IncomingCall,
    KeyPressed,
    KeyTaken,
    LegEnd,
    Progress,
    Reanswered,
    Reoffer,
)
from dialin.wire.flow import Flow
from dialin.wire.message import Request
from dialin.wire.reason import NORMAL_CLEARING, ByeReason
from dialin.wire.session_expires import Timekeeping


class LegGone(DialinError):
    """The leg ended while somebody waited for something from it."""

    def __init__(self, end: LegEnd) -> None:
        super().__init__(f"the leg ended by {end.by}: {end.cause}")
        self.end = end
        """How it ended."""


class Refused(DialinError):
    """The called side said no. Its reason phrase is its own and is not shown."""

    def __init__(self, status: int, retry_after_s: int | None = None) -> None:
        super().__init__(f"the call was refused with {status}")
        self.status = status
        """The final response, 300 to 699."""
        self.retry_after_s = retry_after_s
        """When the called side wants to be called again at the earliest; None if it does not say.
        PEER-CONTROLLED, up to years."""


class RequestFailed(DialinError):
    """A request outside any dialog has no answer that can be used. The text is the cause."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
        """Kebab-case: `no-answer`, `connection-failed`, or why a challenge was not met."""


class Wire(Protocol):
    """What a leg needs of the endpoint."""

    agent: UserAgent

    def now(self) -> float:
        """The time by which the agent is told to act."""

    def carry_out(self, outputs: Iterable[Output]) -> None:
        """Send what the agent wants sent, and tell legs what it tells."""


class _Leg:
    """What both kinds of leg share."""

    def __init__(self, wire: Wire, leg: str, flow: Flow, local_host: str) -> None:
        self.id = leg
        """Random, fit for logs."""
        self.flow = flow
        """The path to the peer that the leg began with."""
        self.local_host = local_host
        """Our address on that path, for the `c=` line of our SDP."""
        self.ended: asyncio.Future[LegEnd] = asyncio.get_running_loop().create_future()
        """Set once, when the leg is over. Never raises."""
        self.on_reoffer: Callable[[bytes | None], bytes | None] = self._repeat_local_sdp
        """Called with the SDP of a re-INVITE or UPDATE (None: the peer wants our offer); returns
        our SDP, or None to refuse with 488. The default leaves the session as it is."""
        self.on_reanswer: Callable[[bytes], None] = lambda _sdp: None
        """Called with the answer to an offer that `on_reoffer` gave."""
        self.on_info_digit: Callable[[str], None] = lambda _key: None
        """Called with each key that comes by INFO."""
        self._wire = wire
        self._local_sdp: bytes | None = None

    def _repeat_local_sdp(self, _offer: bytes | None) -> bytes | None:
        return self._local_sdp

    def take(self, event: Event) -> None:
        """What the agent tells about this leg."""
        match event:
            case Reoffer(offer=offer):
                self._reoffered(offer)
            case Reanswered(answer=answer):
                self.on_reanswer(answer)
            case KeyPressed(key=key):
                self.on_info_digit(key)
            case Ended(end=end):
                self.ended.set_result(end)

    def _reoffered(self, offer: bytes | None) -> None:
        answer = self.on_reoffer(offer)
        if answer is not None:
            self._local_sdp = answer
        wire = self._wire
        wire.carry_out(wire.agent.answer_reoffer(self.id, answer, wire.now()))

    def hang_up(self, reason: ByeReason = NORMAL_CLEARING) -> None:
        """End the leg whatever its state, and say why; does nothing when it is over."""
        wire = self._wire
        wire.carry_out(wire.agent.hang_up(self.id, wire.now(), reason))

    async def _either(self, wanted: asyncio.Future[bytes | None]) -> bytes | None:
        """What is wanted, or LegGone."""
        await asyncio.wait((wanted, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if wanted.done():
            return wanted.result()
        raise LegGone(self.ended.result())


class IncomingLeg(_Leg):
    """A call to us."""

    def __init__(self, wire: Wire, call: IncomingCall) -> None:
        super().__init__(wire, call.leg, call.flow, call.local.host)
        self.request: Request = call.request
        """The INVITE. PEER-CONTROLLED in every part."""
        self.offer = call.offer
        """The caller's SDP, out of a multipart body too; None when the caller wants our offer."""
        self.session_timers: bool | int = True
        """Whether the session is refreshed, or it ends (RFC 4028): as the caller asks, only where
        the caller requires it, or every so many seconds even if nobody asks."""
        self._acknowledged: asyncio.Future[bytes | None] = (
            asyncio.get_running_loop().create_future()
        )

    def take(self, event: Event) -> None:
        """What the agent tells about this leg."""
        if isinstance(event, Acknowledged):
            self._acknowledged.set_result(event.answer)
        else:
            super().take(event)

    def ring(self) -> None:
        """180: the caller hears ringing."""
        wire = self._wire
        wire.carry_out(wire.agent.provisional(self.id, 180, None, wire.now()))

    def progress(self, sdp: bytes) -> None:
        """183 with SDP: the caller hears our early media."""
        wire = self._wire
        self._local_sdp = sdp
        wire.carry_out(wire.agent.provisional(self.id, 183, sdp, wire.now()))

    async def answer(self, sdp: bytes, *, headers: Sequence[tuple[str, str]] = ()) -> bytes | None:
        """Send the 200 and repeat it until the ACK; returns the ACK's SDP where the offer is ours.

        Raises LegGone when the caller gave up, or no ACK came: then a BYE is on its way already.
        """
        wire = self._wire
        self._local_sdp = sdp
        timekeeping = Timekeeping.of(self.session_timers)
        wire.carry_out(
            wire.agent.accept(self.id, sdp, wire.now(), headers=headers, timekeeping=timekeeping)
        )
        return await self._either(self._acknowledged)

    def reject(
        self, status: int, *, retry_after_s: int | None = None, warning: str | None = None
    ) -> None:
        """Refuse the call. `warning` is our own text, never the peer's."""
        headers = []
        if retry_after_s is not None:
            headers.append(("Retry-After", str(retry_after_s)))
        if warning is not None:
            # RFC 3261 §20.43: 399 is a warning for people, and no code for machines.
            headers.append(("Warning", f'399 dialin "{warning}"'))
        wire = self._wire
        wire.carry_out(wire.agent.reject(self.id, status, wire.now(), headers=headers))


class OutgoingLeg(_Leg):
    """A call from us."""

    def __init__(self, wire: Wire, leg: str, flow: Flow, local_host: str, offer: bytes) -> None:
        super().__init__(wire, leg, flow, local_host)
        self.early: bytes | None = None
        """The SDP of the last provisional response that had one."""
        self._local_sdp = offer
        self._answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._keys: deque[asyncio.Future[int]] = deque()
        """Keys under way by INFO, oldest first."""
        self._is_early = asyncio.Event()

    def take(self, event: Event) -> None:
        """What the agent tells about this leg."""
        match event:
            case Progress(sdp=None):
                pass
            case Progress(sdp=sdp):
                self.early = sdp
                self._is_early.set()
            case Answered(answer=answer):
                self._answer.set_result(answer)
            case KeyTaken(status=status):
                taken = self._keys.popleft()
                if not taken.done():  # whoever waited may have given up
                    taken.set_result(status)
            case _:
                super().take(event)

    async def answered(self) -> bytes:
        """The called side's SDP, once it took the call; the ACK is on its way already.

        Raises Refused, or LegGone for every other end.
        """
        try:
            answer = await self._either(self._answer)
        except LegGone as gone:
            if gone.end.cause == "rejected" and gone.end.status is not None:
                raise Refused(gone.end.status, gone.end.retry_after_s) from None
            raise
        return answer or b""

    async def early_media(self) -> bytes:
        """The SDP of a provisional response, whenever there is news of one.

        Waits for ever where none comes: whoever waits does so beside `answered`.
        """
        await self._is_early.wait()
        self._is_early.clear()
        return self.early or b""

    async def send_info_digit(self, key: str) -> None:
        """Press a key by INFO, and return once the called side has taken it.

        One at a time, or keys may overtake each other. Raises Refused where it takes none, and
        LegGone.
        """
        if self.ended.done():
            raise LegGone(self.ended.result())
        wire = self._wire
        taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._keys.append(taken)
        wire.carry_out(wire.agent.send_key(self.id, key, wire.now()))
        await asyncio.wait((taken, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if not taken.done():
            raise LegGone(self.ended.result())
        if taken.result() // 100 != 2:
            raise Refused(taken.result())
