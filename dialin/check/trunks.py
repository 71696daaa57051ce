# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether each trunk can work: its provider's name, connection, certificate, login, addresses.

The login is tried with a REGISTER that has no Contact: it asks which contacts the registrar has
and changes none of them (RFC 3261 §10.2.3), so the service that may run beside keeps its
registration. It is challenged like any other, which tries the password for good.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TypeAlias

from dialin.check.local import EXPIRES_SOON_S, counted, listed
from dialin.check.steps import Finding, Result, Sheet, fail, ok, warn
from dialin.check.ways import Ways
from dialin.errors import DialinError, PeerError
from dialin.names import NameNotFound, Names
from dialin.sip import RequestFailed, TlsTarget
from dialin.sip.addresses import Routes
from dialin.sip.faults import fault_of
from dialin.sip.tls import client_context
from dialin.wire.agent_events import Replied
from dialin.wire.asking import Enquiry
from dialin.wire.flow import Flow
from dialin.wire.login import CHALLENGES, Login
from dialin.wire.registration import CAUSES_OF_REFUSALS, Account
from dialin.wire.registration_cause import Cause
from dialin.wire.return_path import seen_as
from dialin.wire.uri import SipUri
from dialin.wire.x509 import MalformedCertificate, not_after

Network: TypeAlias = IPv4Network | IPv6Network

CONNECT_WITHIN_S = 10.0
ANSWER_WITHIN_S = 12.0
WIDEST = {4: 16, 6: 32}
"""Prefixes of networks that may well be one provider's; a shorter one holds many strangers."""
MAX_TRIED = 3
"""Servers of one trunk that are tried one after the other: a step has its time."""


@dataclass(frozen=True, slots=True)
class Line:
    """One trunk, as far as it can be checked."""

    name: str
    """Its name in the settings."""
    server: tuple[str, int | None] | None
    """Whom we send to: host, and port if DNS is not to say; None if we only wait for calls."""
    transport: str
    """UDP, TCP or TLS."""
    tls: TlsTarget
    """What a server has to prove, for TLS."""
    networks: tuple[Network, ...]
    """Where calls may come from; empty for the addresses of the registrar."""
    account: Account | None
    """How we log in; None if we do not."""
    advertised: str | None
    """The address that we say we have."""


class _Unable(DialinError):
    """A server cannot do its work; another one may."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.cause)
        self.finding = finding
        """What is wrong with this one."""


class TrunkCheck:
    """The steps for one trunk."""

    def __init__(
        self,
        line: Line,
        *,
        ways: Ways,
        names: Names,
        service_runs: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._line = line
        self._name = f"trunks.{line.name}"
        self._ways = ways
        self._names = names
        self._service_runs = service_runs
        self._clock = clock
        self._flows: tuple[Flow, ...] = ()
        self._seen_as = ""

    async def run(self, sheet: Sheet) -> None:
        """Take all steps that make sense."""
        line = self._line
        if line.server and await sheet.take(f"{self._name} name", self._resolves(*line.server)):
            is_there = line.transport == "UDP" or await sheet.take(
                f"{self._name} connection", self._by_turns(self._connects)
            )
            if is_there and line.account:
                logs_in = partial(self._logs_in, line.account)
                await sheet.take(f"{self._name} registration", self._by_turns(logs_in))
        await sheet.take(f"{self._name} allowed_sources", self._sources_make_sense())
        await sheet.take(f"{self._name} NAT", self._address_is_true())

    async def _resolves(self, host: str, port: int | None) -> Finding:
        try:
            found = await self._names.find(host, port, self._line.transport)
        except NameNotFound:
            return fail(f"{host} has no server for {self._line.transport}.", _remedy_of_name(host))
        self._flows = found.flows
        for flow in found.flows:
            self._ways.expect(flow, self._line.tls)
        return ok(f"{host}: {listed(found.flows)}.")

    async def _by_turns(self, work: Callable[[Flow], Awaitable[Finding]]) -> Finding:
        """What the first server that can do its work shows (RFC 3263 §4.3), as the service would
        go on to it; those before it are told of."""
        unable: list[Finding] = []
        for flow in self._flows[:MAX_TRIED]:
            try:
                finding = await work(flow)
            except _Unable as one:
                unable.append(one.finding)
                continue
            self._flows = (flow, *(other for other in self._flows if other != flow))
            break
        else:
            finding = unable.pop()
        if not unable:
            return finding
        causes = " ".join(one.cause for one in (*unable, finding))
        result = Result.FAIL if finding.result is Result.FAIL else Result.WARN
        return Finding(result, causes, unable[0].remedy)

    async def _connects(self, flow: Flow) -> Finding:
        """By a connection of its own, to see the certificate; nothing is said over it."""
        tls = self._line.tls
        context = client_context(tls) if flow.transport == "TLS" else None
        name = tls.server_name if context else None
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                _, writer = await asyncio.open_connection(
                    flow.host, flow.port, ssl=context, server_hostname=name
                )
        except OSError as error:  # ssl.SSLError and TimeoutError are, too
            fault = fault_of(error, server_name=tls.server_name)
            raise _Unable(fail(f"{flow}: {fault.sentence}", fault.remedy)) from error
        try:
            if context is None:
                return ok(f"{flow} takes connections. Nothing is encrypted.")
            return self._judged(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _judged(self, certificate: bytes) -> Finding:
        """What is to be said of a certificate whose chain and name OpenSSL found right."""
        name = self._line.tls.server_name
        try:
            ends_at = not_after(certificate)
        except MalformedCertificate:
            return warn(f"The certificate for {name} is right; its end is not known.", "")
        until = datetime.fromtimestamp(ends_at, UTC).date()
        if ends_at - self._clock() < EXPIRES_SOON_S:
            return warn(
                f"The certificate for {name} is right, and ends on {until}.",
                "Ask whoever runs the server to renew it in time.",
            )
        return ok(f"The certificate is for {name}, by a trusted authority, until {until}.")

    async def _logs_in(self, account: Account, flow: Flow) -> Finding:
        try:
            first = await self._ask(account, flow, None)
            is_asked = first.response.status in CHALLENGES
            replied = await self._ask(account, flow, account.login) if is_asked else first
        except RequestFailed as failure:
            cause = Cause(failure.cause)
            finding = fail(f"Cannot log in at {flow}: {cause}.", cause.remedy)
            if fault := self._ways.sip.fault(flow):
                finding = fail(f"{flow}: {fault.sentence}", fault.remedy)
            if cause.is_of_server:
                raise _Unable(finding) from failure
            return finding
        seen = seen_as(replied.response)
        self._seen_as = seen[0] if seen else ""
        status = replied.response.status
        if status // 100 != 2:
            cause = CAUSES_OF_REFUSALS.get(status, Cause.REFUSED)
            finding = fail(f"The registrar at {flow} refuses with {status}: {cause}.", cause.remedy)
            if cause.is_of_server:
                raise _Unable(finding)
            return finding
        if not is_asked:
            return warn(
                "The registrar answers without asking for the password, so it was not tried.",
                "Ask the provider whether it knows us by our address.",
            )
        return self._taken(account, replied)

    async def _ask(self, account: Account, flow: Flow, login: Login | None) -> Replied:
        """Ask for the contacts, with no Contact of ours in it: nothing is changed (§10.2.3)."""
        enquiry = Enquiry(
            method="REGISTER",
            uri=account.domain_uri,
            from_uri=account.address_of_record,
            to_uri=account.address_of_record,
            headers=account.route_headers,
            login=login,
            within_s=ANSWER_WITHIN_S,
        )
        return await self._ways.sip.ask(enquiry, flow)

    def _taken(self, account: Account, replied: Replied) -> Finding:
        """The password is right; who is registered?"""
        users = _contact_users(replied)
        is_ours_there = account.contact_user in users
        told = f"The password is right; {counted(len(users), 'contact')} registered."
        if self._service_runs and not is_ours_there:
            return warn(
                f"{told} The service runs, and its own is not among them.",
                "See the service's log; some registrars tell nobody what they know.",
            )
        if account.is_ours_alone and len(users) > is_ours_there:
            return warn(
                f"{told} The account can be registered once only, and something else is.",
                "Stop the other one; the service removes what is not its own.",
            )
        return ok(told)

    async def _sources_make_sense(self) -> Finding:
        networks = self._line.networks
        deaf = [flow.host for flow in self._flows if networks and not _holds(networks, flow.host)]
        if deaf and self._line.account:
            return warn(
                f"Calls from {listed(deaf)} would be dropped unread, and the registrar is there.",
                "Add the network to allowed_sources, or remove the setting.",
            )
        wide = [network for network in networks if network.prefixlen < WIDEST[network.version]]
        if wide:
            return warn(
                f"{listed(wide)} holds more than one provider.",
                "Name the provider's own networks; whoever is in one of them can place calls.",
            )
        if not networks:
            return ok("Those of the registrar.")
        return ok(f"{counted(len(networks), 'network')}.")

    async def _address_is_true(self) -> Finding:
        """Whether the address that we write into SIP and SDP is one that we are reached at."""
        far = self._flows[0].host if self._flows else _first_host(self._line.networks)
        if far is None:
            return ok("Not known before a call.")
        own = Routes().own_host(far)
        said = self._line.advertised or own
        if self._seen_as and self._seen_as != said:
            told = f"we say {said}" if self._line.advertised else f"we are at {own}"
            follows = "" if self._line.advertised else " Contacts follow it, audio does not."
            return warn(
                f"The provider sees us at {self._seen_as}, and {told}.{follows}",
                f"Set sip.advertised_address to {self._seen_as}, and forward the ports of SIP and "
                "RTP to this machine.",
            )
        if said == own and ip_address(own).is_private and ip_address(far).is_global:
            return warn(
                f"We say that we are at {own}, which nobody on the internet can reach.",
                "Set sip.advertised_address to the address that the router has, and forward the "
                "ports of SIP and RTP to this machine.",
            )
        if said != own:
            return ok(
                f"We are at {own} and say {said}: the router has to forward the ports of SIP and "
                "RTP. Whether it does shows in a call only."
            )
        return ok(f"We are at {own}, and say so.")


def _remedy_of_name(host: str) -> str:
    """What to do where a name leads nowhere."""
    return f"{Cause.NAME_NOT_FOUND.remedy} `dig {host} NAPTR` and `dig {host} SRV` show more."


def _contact_users(replied: Replied) -> tuple[str | None, ...]:
    """The user parts of the contacts that a registrar lists. PEER-CONTROLLED: not for output."""
    try:
        uris = [contact.uri for contact in replied.response.contacts]
    except PeerError:
        return ()
    return tuple(uri.user if isinstance(uri, SipUri) else None for uri in uris)


def _holds(networks: Sequence[Network], host: str) -> bool:
    return any(ip_address(host) in network for network in networks)


def _first_host(networks: Sequence[Network]) -> str | None:
    """An address out of the trunk's networks, to ask the routing table about."""
    return str(next(iter(networks[0]))) if networks else None
