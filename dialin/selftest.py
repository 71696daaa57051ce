# SPDX-License-Identifier: GPL-3.0-or-later
"""The service calls itself, again and again: so a monitor knows that callers reach a meeting now.

The call comes in by the real door as a trunk's would, keys the PIN of a test room, and has to be
seen in that room. It proves door, prompts, keys, directory and conference; and the provider's side
where it goes out by a trunk first. Calling is left to `own_phone`, figures to whoever keeps the
tally.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Protocol

from dialin.errors import DialinError, OperatorError
from dialin.media.engine import MediaEngine
from dialin.names import Names
from dialin.outside import Outside, listens_beside
from dialin.own_phone import PLAIN, OwnPhone, Talk, listens_for, opened_phone
from dialin.registry import CallSnapshot, CallState
from dialin.sip import LegGone, Listen, Refused
from dialin.wire.flow import Flow

log = logging.getLogger(__name__)

TRUNK = "self-test"
"""The trunk that the calls come by; no operator's can have this name."""
RINGS_S = 20.0
RINGS_OUTSIDE_S = 45.0
"""A call out and in again passes two networks."""
PROMPT_WITHIN_S = 5.0
IN_ROOM_WITHIN_S = 30.0
LOOK_EVERY_S = 0.1
"""How soon it is noticed that the caller is in the room."""


class Outcome(StrEnum):
    """What a self-test has found."""

    SUCCESS = "success"
    NOT_ANSWERED = "not-answered"
    REFUSED = "refused"
    NO_AUDIO = "no-audio"
    NOT_IN_ROOM = "not-in-room"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is called, and how often."""

    door: Flow | Outside
    """Where the service takes calls, or the way round by a provider."""
    number: str
    """What is dialled."""
    pin: str = field(repr=False)
    """The PIN of the test room."""
    every_s: float
    """From one call to the next."""


class Tally(Protocol):
    """Who keeps the figures."""

    def selftest_ended(self, outcome: str, seconds: float) -> None:
        """A self-test is over."""


class SelfTest:
    """Places the calls."""

    def __init__(
        self,
        phone: OwnPhone,
        plan: Plan,
        *,
        calls: Callable[[], Iterable[CallSnapshot]],
        tally: Tally,
    ) -> None:
        """`calls` shows the live calls of the service."""
        self._phone = phone
        self._names = Names()
        self._others: frozenset[str] = frozenset()
        """The calls that were there before."""
        self._plan = plan
        self._calls = calls
        self._tally = tally

    async def run(self) -> None:
        """Call until cancelled."""
        while True:
            await self.call()
            await asyncio.sleep(self._plan.every_s)

    async def call(self) -> Outcome:
        """Call once, and tell the tally."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        outcome = await self._outcome()
        self._tally.selftest_ended(outcome, loop.time() - began)
        if outcome is not Outcome.SUCCESS:
            log.warning("the self-test failed", extra={"outcome": str(outcome)})
        return outcome

    async def _outcome(self) -> Outcome:
        self._others = frozenset(call.id for call in self._calls())
        try:
            async with self._dialled() as talk:
                return await self._follow(talk)
        except Refused:
            return Outcome.REFUSED
        except LegGone:
            return Outcome.NOT_ANSWERED
        except DialinError as error:
            log.warning("the self-test cannot call", extra={"cause": str(error)})
            return Outcome.FAILED

    @asynccontextmanager
    async def _dialled(self) -> AsyncIterator[Talk]:
        plan, phone, line, rings_s = self._plan, self._phone, PLAIN, RINGS_S
        number = plan.number
        if isinstance(plan.door, Outside):
            flows = await plan.door.found(self._names)
            line, rings_s = plan.door.by.line, RINGS_OUTSIDE_S
            number = plan.door.dialled
        else:
            flows = (plan.door,)
        async with phone.calling_any(number, flows, line, answer_within_s=rings_s) as talk:
            yield talk

    async def _follow(self, talk: Talk) -> Outcome:
        """Listen, key the PIN, and look for the caller in the room."""
        if not await talk.hears(PROMPT_WITHIN_S):
            return Outcome.NO_AUDIO
        await talk.press(f"{self._plan.pin}#")
        try:
            async with asyncio.timeout(IN_ROOM_WITHIN_S):
                while not self._is_in_room():
                    if talk.ended.done():
                        return Outcome.NOT_IN_ROOM
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            return Outcome.NOT_IN_ROOM
        return Outcome.SUCCESS

    def _is_in_room(self) -> bool:
        return any(
            call.state is CallState.IN_ROOM and self._may_be_ours(call) for call in self._calls()
        )

    def _may_be_ours(self, call: CallSnapshot) -> bool:
        """By the test's own trunk it is; by the provider's, as good as anything can tell."""
        if isinstance(self._plan.door, Outside):
            return call.number_called == self._plan.number and call.id not in self._others
        return call.trunk == TRUNK


def own_address(listen: Sequence[Listen]) -> Listen:
    """Where the service can be called from this very machine. Raises OperatorError.

    TLS is left out: which name our certificate has is not ours to say.
    """
    for transport in ("UDP", "TCP"):
        for at in listen:
            if at.transport == transport:
                return Listen(transport, _reachable(at.host), at.port)
    raise OperatorError(
        "the self-test calls over udp or tcp, and the service takes neither.",
        'Add { transport = "udp", host = "127.0.0.1" } to sip.listen, or remove selftest.pin.',
    )


def _reachable(host: str) -> str:
    address = ip_address(host)
    if not address.is_unspecified:
        return host
    return "::1" if address.version == 6 else "127.0.0.1"


@asynccontextmanager
async def opened_selftest(
    plan: Plan,
    media: MediaEngine,
    *,
    calls: Callable[[], Iterable[CallSnapshot]],
    tally: Tally,
    service: Sequence[Listen] = (),
) -> AsyncIterator[SelfTest]:
    """A self-test with a phone of its own. `service` is where the service listens, as providers
    see a phone beside it. Raises OperatorError."""
    if isinstance(plan.door, Outside):
        listen = listens_beside(service, plan.door.by.transport)
    else:
        listen = listens_for(plan.door)
    async with opened_phone(listen, media) as phone:
        yield SelfTest(phone, plan, calls=calls, tally=tally)
