# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin call --trunk NAME`: out by a provider's trunk, back in by our number, told step by step.

What the caller hears tells how far the call came, and the service's own API how far it is inside,
where the service runs on this machine. What may be called is `outside`'s affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import aiohttp

from dialin.errors import PeerError
from dialin.media.engine import MediaRefused, NoMediaPort
from dialin.names import Names
from dialin.outside import Outside
from dialin.own_phone import MAX_TRIED, Line, OwnPhone, Talk, opened_phone, own_media
from dialin.registry import CallState
from dialin.sip import LegGone, Listen, Refused, RequestFailed
from dialin.wire.asking import Enquiry
from dialin.wire.bindings import service_routes
from dialin.wire.flow import Flow
from dialin.wire.message import Response
from dialin.wire.registration_cause import Cause
from dialin.wire.uri import SipUri, bracketed

ANSWER_WITHIN_S = 12.0
"""For the provider's server to say anything."""
RINGS_S = 45.0
"""A call out and in again passes two networks."""
PROMPT_WITHIN_S = 8.0
IN_ROOM_WITHIN_S = 30.0
LOOK_EVERY_S = 0.3
PAST_THE_PIN = frozenset({CallState.WAITING, CallState.JOINING, CallState.IN_ROOM})
"""Where a call stands whose PIN was right."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller does."""

    pin: str = field(repr=False)
    """The PIN of a room; empty to listen only."""
    listen_s: float
    """How long to stay after all is seen."""


class Calls(Protocol):
    """What the service tells of its calls."""

    async def states(self, number: str) -> Mapping[str, str] | None:
        """Where the calls to a number stand, by their ids; None if the service tells nothing."""


class ServiceCalls:
    """The service's API on this machine."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        """`session` bears the token; `base` is where the service's pages begin."""
        self._session = session
        self._url = f"{base}/api/v1/calls"

    async def states(self, number: str) -> Mapping[str, str] | None:
        """Where the calls to a number stand, by their ids; None if the service tells nothing."""
        try:
            async with self._session.get(self._url, allow_redirects=False) as answer:
                calls: Any = await answer.json() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        if not isinstance(calls, list):
            return None
        return {call["id"]: call["state"] for call in calls if call["number_called"] == number}


@asynccontextmanager
async def opened_calls(base: str, token: str) -> AsyncIterator[ServiceCalls]:
    """The API of the service whose pages begin at `base`."""
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {token}"},
        timeout=aiohttp.ClientTimeout(total=3.0),
    ) as session:
        yield ServiceCalls(session, base)


class TrunkCall:
    """One such call."""

    def __init__(
        self, phone: OwnPhone, outside: Outside, calls: Calls, on_step: Callable[[str], None]
    ) -> None:
        self._phone = phone
        self._outside = outside
        self._calls = calls
        self._on_step = on_step
        self._before: Mapping[str, str] = {}
        """The calls that are none of ours."""

    async def place(self, wish: Wish) -> bool:
        """Call, tell what happens, and hang up; returns whether all that was wished came true.

        Raises OperatorError.
        """
        outside, flows = self._outside, await self._outside.found(Names())
        try:
            reached = await self._reach_any(flows[:MAX_TRIED])
            if reached is None:
                return False
            flow, line = reached
            self._before = await self._calls.states(outside.number) or {}
            self._on_step("dialling")
            others = (other for other in flows if other != flow)
            async with self._phone.calling_any(
                outside.dialled, (flow, *others), line, answer_within_s=RINGS_S
            ) as talk:
                self._on_step("answered")
                return await self._follow(talk, wish)
        except Refused as refused:
            self._on_step(f"refused with {refused.status}")
        except (LegGone, PeerError, MediaRefused, NoMediaPort) as gone:
            self._on_step(f"no call: {gone}")
        return False

    async def _reach_any(self, flows: Sequence[Flow]) -> tuple[Flow, Line] | None:
        """The first server that is there, and how it is called; None if none is to be had."""
        for flow in flows:
            try:
                return flow, await self._reach(flow)
            except RequestFailed as failure:
                fault = self._phone.fault(flow)
                which = f" {flow}" if len(flows) > 1 else ""
                why = fault.sentence if fault else failure.cause
                self._on_step(f"not reached{which}: {why}")
                if not Cause(failure.cause).is_of_server:
                    return None
        return None

    async def _reach(self, flow: Flow) -> Line:
        """Tell whether the provider is there, and where we register, whether it knows us.

        By a REGISTER without a Contact, which changes nothing (RFC 3261 §10.2.3), and whose answer
        may say by which proxies calls shall come. Raises RequestFailed.
        """
        by = self._outside.by
        account = by.account
        host = bracketed(by.line.domain or flow.host)
        uri = account.domain_uri if account else f"sip:{host}"
        us = account.address_of_record if account else f"sip:dialin@{host}"
        enquiry = Enquiry(
            method="REGISTER" if account else "OPTIONS",
            uri=uri,
            from_uri=us,
            to_uri=us if account else uri,
            headers=by.line.route_headers,
            login=by.line.login,
            within_s=ANSWER_WITHIN_S,
        )
        replied = await self._phone.ask(enquiry, flow, by.line)
        self._on_step(f"reached {flow}")
        if account:
            is_there = account.contact_user in _users(replied.response)
            self._on_step("registered" if is_there else "not-registered")
        wanted = service_routes(replied.response)
        return replace(by.line, routes=tuple(dict.fromkeys((*by.line.routes, *wanted))))

    async def _follow(self, talk: Talk, wish: Wish) -> bool:
        was_heard = await talk.hears(PROMPT_WITHIN_S)
        self._on_step("prompt-heard" if was_heard else "nothing-heard")
        went_well = was_heard
        if was_heard and wish.pin:
            await talk.press(f"{wish.pin}#")
            self._on_step("keyed")
            went_well = await self._is_let_in(talk)
        with suppress(TimeoutError):
            async with asyncio.timeout(wish.listen_s):
                await asyncio.shield(talk.ended)
        self._on_step("peer-hung-up" if talk.ended.done() else "hung-up")
        return went_well

    async def _is_let_in(self, talk: Talk) -> bool:
        """Whether the call is seen in the room; where nobody tells, whether it is still up."""
        told: set[str] = set()
        with suppress(TimeoutError):
            async with asyncio.timeout(IN_ROOM_WITHIN_S):
                while not talk.ended.done():
                    states = await self._calls.states(self._outside.number)
                    if states is None:
                        self._on_step("not-seen: the service's API does not answer here")
                        return True
                    for step in self._steps(states):
                        if step not in told:
                            told.add(step)
                            self._on_step(step)
                    if "in-room" in told:
                        return True
                    await asyncio.sleep(LOOK_EVERY_S)
        self._on_step("not-in-room")
        return False

    def _steps(self, states: Mapping[str, str]) -> Sequence[str]:
        """What the calls that have come since we dialled show."""
        ours = {state for call, state in states.items() if call not in self._before}
        steps = ["pin-accepted"] if ours & PAST_THE_PIN else []
        return [*steps, "in-room"] if CallState.IN_ROOM in ours else steps


async def place(
    outside: Outside,
    wish: Wish,
    *,
    listen: Sequence[Listen],
    calls: Calls,
    on_step: Callable[[str], None],
) -> bool:
    """One call by a phone of its own. Raises OperatorError."""
    async with own_media() as media, opened_phone(listen, media) as phone:
        return await TrunkCall(phone, outside, calls, on_step).place(wish)


def _users(response: Response) -> set[str | None]:
    """The user parts of the contacts that a registrar lists. PEER-CONTROLLED: not for output."""
    try:
        uris = [contact.uri for contact in response.contacts]
    except PeerError:
        return set()
    return {uri.user for uri in uris if isinstance(uri, SipUri)}
