# SPDX-License-Identifier: GPL-3.0-or-later
"""The task that keeps one trunk registered.

It looks the provider's servers up, sends the REGISTERs that `dialin.wire.registration` makes, goes
on to the next server when one fails, and notices when the way that calls come by is gone. While no
server answers it looks for a sign of life every few seconds, which is no REGISTER: so a provider
that is back knows us within seconds, however long the pause between attempts has become. Calls
that are up are no business of this task: they live on in their dialogs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import Final, Protocol

from dialin.errors import OperatorError
from dialin.names import Found, NameNotFound
from dialin.registration.servers import Servers
from dialin.registration.way import Sign, Signalling, Way, answers
from dialin.sip import Fault, RequestFailed
from dialin.wire.agent_events import LocalAddress, Replied
from dialin.wire.asking import Enquiry
from dialin.wire.flow import Flow
from dialin.wire.registration import LONGEST_PAUSE_S, Account, Registration
from dialin.wire.registration_cause import Cause
from dialin.wire.return_path import seen_as

log = logging.getLogger(__name__)

LOOK_FOR_SIGNS_EVERY_S: Final = 2.0
"""While a provider does not answer."""
LOOK_FOR_SIGNS_SELDOM_S: Final = 30.0
"""When it has not for so long that a few seconds do not matter any more."""
SOON_S: Final = 300.0
"""How long that is."""
MAX_LOOKED_AT: Final = 4
"""Servers that are looked at for signs of life."""
KEEPALIVE_SPREAD: Final = 0.2
"""Signs of life are earlier than `keepalive_s` by up to this part of it (RFC 5626 §4.4.1)."""
ANSWER_SIGN_WITHIN_S: Final = 2.0
MOVES_EVERY_S: Final = 30.0
"""We are not seen elsewhere more often."""
CLOCK_TICK_S: Final = 1e-5
"""The loop wakes up to a tick of its clock early."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Whom to register with, and how."""

    trunk: str
    """The trunk's name in the settings."""
    account: Account
    """What the provider gave us."""
    host: str
    """The registrar, or the proxy before it: a name or an address."""
    port: int | None
    """Its port; None where DNS says."""
    transport: str
    """UDP, TCP or TLS."""
    keepalive_s: float = 20.0
    """Pause between two signs of life."""
    is_asked_for_life: bool = True
    """Whether, over UDP, OPTIONS is sent; else empty datagrams."""
    longest_pause_s: float = LONGEST_PAUSE_S
    """The longest pause between two attempts."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a trunk stands with its provider."""

    is_registered: bool = False
    """Whether the provider knows us."""
    seconds_left: float = 0.0
    """For how long it does, unless renewed; 0 if it does not."""
    cause: str = ""
    """Why the last attempt failed, kebab-case; empty if it did not."""
    remedy: str = ""
    """What the operator can do about it."""
    reached_at: str = ""
    """The address of ours that the provider was told last; empty before the first time."""


class Finder(Protocol):
    """What is needed of `dialin.names`."""

    async def find(self, host: str, port: int | None, transport: str) -> Found:
        """The servers of a name. Raises NameNotFound."""


class TrunkRegistration:
    """One trunk and its provider."""

    def __init__(
        self,
        provider: Provider,
        *,
        signalling: Signalling,
        names: Finder,
        admit: Callable[[Sequence[Flow]], None],
        token: Callable[[int], str],
        jitter: Callable[[], float] | None = None,
    ) -> None:
        """`admit` is given the provider's servers before anything is sent there, so that what comes
        from them is heard. It may raise OperatorError."""
        self.trunk = provider.trunk
        """The trunk's name in the settings."""
        self._provider = provider
        self._signalling = signalling
        self._names = names
        self._admit = admit
        self._jitter = jitter or SystemRandom().random
        now = signalling.now()
        self._machine = Registration(
            provider.account,
            token=token,
            jitter=self._jitter,
            now=now,
            longest_pause_s=provider.longest_pause_s,
        )
        self._servers = Servers()
        self._look_at = now
        self._way: Way | None = None
        self._keep_alive_at = now
        self._signs_at = now
        self._absent_since: float | None = None
        self._fault: Fault | None = None
        """Why no connection came to stand, the last time that none did."""
        self._reached_at = ""
        self._moved_at = float("-inf")
        """When the provider last saw us elsewhere than before."""
        self._told: object = None
        self._wake = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def standing(self) -> Standing:
        """How it is now."""
        machine, now = self._machine, self._signalling.now()
        is_registered = machine.is_registered(now)
        fault = self._fault if machine.cause is Cause.CONNECTION_FAILED else None
        return Standing(
            is_registered=is_registered,
            seconds_left=(machine.registered_until or now) - now if is_registered else 0.0,
            cause=fault.cause if fault else str(machine.cause or ""),
            remedy=str(fault) if fault else machine.remedy,
            reached_at=self._reached_at,
        )

    async def run(self) -> None:
        """Keep the trunk registered until `leave` has taken that back, or until cancelled."""
        try:
            while not self._machine.is_over:
                await self._rest()
                await self._step()
                self._tell()
        finally:
            self._over.set()
            if self._way:
                self._way.leave()
        log.info("registration over", extra={"trunk": self.trunk})

    async def leave(self) -> None:
        """Take the registration back; returns when that is done, or given up."""
        self._machine.leave(self._signalling.now())
        self._wake.set()
        await self._over.wait()

    # What is due when

    async def _rest(self) -> None:
        """Until something is due, or has happened."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._due_at()):
                await self._wake.wait()
        self._wake.clear()

    def _due_at(self) -> float:
        dues = [self._look_at, self._machine.due_at]
        if self._way:
            dues.append(self._keep_alive_at)
        if self._is_looking_for_signs:
            dues.append(self._signs_at)
        return min(dues)

    @property
    def _is_looking_for_signs(self) -> bool:
        return self._absent_since is not None and bool(self._servers.flows)

    async def _step(self) -> None:
        """Do the first thing that is due."""
        machine, now = self._machine, self._signalling.now() + CLOCK_TICK_S
        if machine.is_over:
            return
        if self._way and self._way.is_lost:
            self._lose(Cause.CONNECTION_LOST)
        if now >= self._look_at:
            await self._look_up()
        elif (flow := self._servers.current) and now >= machine.due_at:
            await self._register(flow)
        elif self._way and now >= self._keep_alive_at:
            await self._keep_alive(self._way)
        elif self._is_looking_for_signs and now >= self._signs_at:
            await self._look_for_signs()

    # What is done

    async def _look_up(self) -> None:
        provider, machine = self._provider, self._machine
        try:
            found = await self._names.find(provider.host, provider.port, provider.transport)
        except NameNotFound:
            machine.failed(Cause.NAME_NOT_FOUND, self._signalling.now())
            self._look_at = machine.due_at
            return
        try:
            self._admit(found.flows)
        except OperatorError as error:
            log.warning("trunk at odds", extra={"trunk": self.trunk, "cause": error.cause})
            machine.failed(Cause.AT_ODDS, self._signalling.now())
            self._look_at = machine.due_at
            return
        self._look_at = found.expires_at
        if self._servers.update(found.flows):
            machine.moved(self._signalling.now())

    async def _register(self, flow: Flow) -> None:
        machine, signalling, others = self._machine, self._signalling, self._servers.has_others
        try:
            local = signalling.local_address(flow)
            self._reached_at = local.host_port
            reply = await signalling.ask(machine.register(flow, local, signalling.now()), flow)
        except OperatorError:
            self._failed(Cause.NO_ROUTE, others=others)
        except RequestFailed as failure:
            self._fault = signalling.fault(flow)
            self._failed(Cause(failure.cause), others=others)
        else:
            has_moved = self._learns_address(flow, local, reply)
            now = signalling.now()
            if machine.answered(reply.response, reply.flow, now, others=others):
                self._servers.move_on()
            elif machine.cause is None and machine.is_registered(now):
                self._servers.keep()
                self._take(reply.flow if flow.includes(reply.flow) else flow)
                if has_moved:  # calls would not find us
                    machine.moved(now)
        self._note_absence()

    def _learns_address(self, flow: Flow, local: LocalAddress, reply: Replied) -> bool:
        """Whether the server sees us elsewhere than our Contact says (RFC 3581 §4)."""
        signalling, address = self._signalling, seen_as(reply.response)
        if address is None or not flow.includes(reply.flow):
            return False
        if signalling.now() - self._moved_at < MOVES_EVERY_S:
            return False  # a NAT that never rests is not run after
        signalling.learn(flow, address)
        has_moved = signalling.local_address(flow).host_port != local.host_port
        if has_moved:
            self._moved_at = signalling.now()
        return has_moved

    def _failed(self, cause: Cause, *, others: bool) -> None:
        self._machine.failed(cause, self._signalling.now(), others=others)
        self._servers.move_on()

    def _note_absence(self) -> None:
        """Begin or end to look for signs of life."""
        cause, now = self._machine.cause, self._signalling.now()
        if not (cause and cause.is_absence):
            self._absent_since = None
        elif self._absent_since is None:
            self._absent_since = now
            self._signs_at = now + LOOK_FOR_SIGNS_EVERY_S

    def _take(self, flow: Flow) -> None:
        """Calls come by this flow from now on."""
        if self._way and self._way.flow == flow:
            self._keep_alive_later()
            return
        if self._way:
            self._way.leave()
        self._keep_alive_at = self._signalling.now()  # at once: what does this server answer?
        is_asked = flow.is_reliable or self._provider.is_asked_for_life
        self._way = Way(
            flow,
            self._signalling,
            options=self._options,
            sign=Sign.UNKNOWN if is_asked else Sign.NONE,
            on_lost=self._wake.set,
        )

    async def _keep_alive(self, way: Way) -> None:
        if await way.is_alive():
            self._keep_alive_later()
        elif not way.is_lost:
            way.close()
            self._servers.move_on()
            self._lose(Cause.NO_ANSWER)

    def _keep_alive_later(self) -> None:
        share = 1 - KEEPALIVE_SPREAD * self._jitter()
        pause_s = min(self._provider.keepalive_s, self._machine.flow_timer_s or LONGEST_PAUSE_S)
        self._keep_alive_at = self._signalling.now() + share * pause_s

    def _lose(self, cause: Cause) -> None:
        """Calls cannot come by the way any more."""
        self._way = None
        self._machine.lost(cause, self._signalling.now())

    async def _look_for_signs(self) -> None:
        """Ask all servers whether they are there; the first that says anything has its turn."""
        flows = self._servers.flows[:MAX_LOOKED_AT]
        options = self._options(ANSWER_SIGN_WITHIN_S)
        signs = await asyncio.gather(*(answers(self._signalling, options, flow) for flow in flows))
        now = self._signalling.now()
        is_soon = self._absent_since is not None and now - self._absent_since < SOON_S
        self._signs_at = now + (LOOK_FOR_SIGNS_EVERY_S if is_soon else LOOK_FOR_SIGNS_SELDOM_S)
        for flow, has_sign in zip(flows, signs, strict=True):
            if has_sign:
                self._servers.choose(flow)
                self._machine.seen(now)
                return

    def _options(self, within_s: float) -> Enquiry:
        account = self._provider.account
        return Enquiry(
            method="OPTIONS",
            uri=account.domain_uri,
            from_uri=account.address_of_record,
            to_uri=account.domain_uri,
            headers=account.route_headers,
            within_s=within_s,
        )

    # What is told

    def _tell(self) -> None:
        """A line in the log when the standing has changed, and only then."""
        machine, standing = self._machine, self.standing
        news = replace(standing, seconds_left=0.0), machine.status, machine.strangers
        if news == self._told or not (standing.is_registered or standing.cause):
            return
        self._told = news
        about: dict[str, object] = {"trunk": self.trunk}
        if standing.cause:
            about |= {
                "cause": standing.cause,
                "status": machine.status,
                "remedy": standing.remedy,
            }
            told = "not renewed" if standing.is_registered else "not registered"
            log.warning(told, extra=about)
        else:
            about |= {
                "server": str(self._way.flow) if self._way else "",
                "reached_at": standing.reached_at,
                "others": machine.strangers,
            }
            log.info("registered", extra=about)
