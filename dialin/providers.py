# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings of trunks to their registrations and ways out; a part of the composition.

Whom each trunk registers with and as whom is read from the settings here; what comes of it is told
to the trunks and to the SIP endpoint, so that the provider's calls are heard and its certificate is
expected. Registering itself is left to `registration`.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote
from uuid import UUID

from dialin.names import Names
from dialin.outside import DialFormat, Exit, Outside, outside_to
from dialin.own_phone import Line
from dialin.registration import Provider, Standing, TrunkRegistration
from dialin.settings import Settings
from dialin.settings.base import split_host_port
from dialin.settings.peers import TrunkSettings
from dialin.sip import Certificate, SipEndpoint, TlsTarget
from dialin.trunk import Trunks
from dialin.web.health import Dependency
from dialin.wire.digest import Algorithm
from dialin.wire.encryption import Encryption
from dialin.wire.flow import Flow
from dialin.wire.login import Login
from dialin.wire.registration import USER_CHARACTERS, Account
from dialin.wire.sdes import Suite
from dialin.wire.uri import bracketed

CONTACT_USER_CHARACTERS = 16
UUID_BYTES = 16
ANYWHERE = ("0.0.0.0/0", "::/0")


def contact_user(name: str, settings: Settings) -> str:
    """The user part of a trunk's Contact.

    The same after a restart, so that the provider finds what it knew; another for each bridge and
    trunk, so that none removes another's; and no number, so that nobody takes it for a called one.
    """
    here = "\n".join((socket.gethostname(), name, *map(str, settings.sip.listen)))
    return f"dialin-{hashlib.sha256(here.encode()).hexdigest()[:CONTACT_USER_CHARACTERS]}"


def make_account(trunk: TrunkSettings, contact: str) -> Account:
    """What the provider gave us."""
    return Account(
        domain=trunk.home_domain,
        username=trunk.username or "",
        login=Login(
            trunk.login,
            trunk.password.get_secret_value() if trunk.password else "",
            trunk.realm,
            tuple(Algorithm(name.upper()) for name in trunk.digest_algorithms),
        ),
        contact_user=contact,
        expires_s=trunk.expires_s,
        is_ours_alone=trunk.single_registration,
        pause_after_refusal_s=trunk.pause_after_refusal_s,
        instance=instance_of(contact) if trunk.outbound and trunk.transport != "udp" else "",
        routes=proxy_routes(trunk),
    )


def instance_of(contact: str) -> str:
    """The bridge's name for registrars (RFC 5626 §4.1): a UUID made of a trunk's Contact user, so
    that it stays the same and tells nothing."""
    name = hashlib.sha256(contact.encode()).digest()[:UUID_BYTES]
    return UUID(bytes=name, version=5).urn


def proxy_routes(trunk: TrunkSettings) -> tuple[str, ...]:
    """The Route of a proxy before the registrar, which our requests are sent to (§8.1.2)."""
    if trunk.outbound_proxy is None or trunk.outbound_proxy == trunk.registrar:
        return ()
    host, port = split_host_port(trunk.outbound_proxy)
    at = bracketed(host) if port is None else f"{bracketed(host)}:{port}"
    return (f"<sip:{at};transport={trunk.transport};lr>",)


def make_provider(name: str, trunk: TrunkSettings, contact: str) -> Provider:
    """Whom a trunk registers with, and how."""
    host, port = split_host_port(trunk.outbound_proxy or trunk.registrar or "")
    return Provider(
        trunk=name,
        account=make_account(trunk, contact),
        host=host,
        port=port,
        transport=trunk.transport.upper(),
        keepalive_s=trunk.keepalive_s,
        is_asked_for_life=trunk.keepalive == "options",
    )


def media_networks(trunk: TrunkSettings) -> Sequence[str]:
    """Where a trunk's audio may come from.

    A provider that we register with has proved who it is, so its word is taken for the address.
    """
    if trunk.mode == "register" and not trunk.media_networks:
        return ANYWHERE
    return [str(network) for network in trunk.media_networks or trunk.allowed_sources]


def tls_target(trunk: TrunkSettings) -> TlsTarget:
    """What a trunk's servers have to prove, and what we prove to them."""
    certificate = trunk.tls_client_certificate
    return TlsTarget(
        trunk.server_name,
        trunk.tls_ca_file,
        Certificate(certificate, trunk.tls_client_key) if certificate else None,
    )


def own_numbers(settings: Settings) -> tuple[str, ...]:
    """All numbers that ring here."""
    trunks = settings.trunks.values()
    return tuple(number.e164 for trunk in trunks for number in trunk.numbers)


def make_outside(
    settings: Settings,
    name: str,
    number: str | None,
    *,
    suites: tuple[Suite, ...],
) -> Outside:
    """The way out by a trunk, and back in by a number of ours: the trunk's first, unless told.

    Raises OperatorError where there is none.
    """
    trunk = settings.trunks[name]
    server = trunk.outbound_proxy or trunk.registrar
    host, port = split_host_port(server) if server else ("", None)
    account = make_account(trunk, contact_user(name, settings))
    advertised = settings.sip.advertised_address
    line = Line(
        caller=quote(trunk.username or "", safe=USER_CHARACTERS),
        domain=trunk.home_domain or host,
        login=account.login if trunk.password else None,
        tls=tls_target(trunk) if trunk.transport == "tls" else None,
        encryption=outgoing_encryption(trunk),
        routes=account.routes,
        suites=suites,
        media_networks=tuple(media_networks(trunk)),
        advertised_host=str(advertised) if advertised else None,
    )
    by = Exit(
        name,
        host,
        port,
        trunk.transport.upper(),
        line,
        account if trunk.mode == "register" else None,
        DialFormat(trunk.dial_format),
    )
    numbers = own_numbers(settings)
    first = next((one.e164 for one in trunk.numbers), "")
    return outside_to(number or first, by, numbers)


def outgoing_encryption(trunk: TrunkSettings) -> Encryption:
    """What our offers say of SRTP; a mere wish needs a way that hides the keys."""
    is_secret = trunk.transport == "tls" or trunk.allow_insecure_sdes
    is_idle_wish = trunk.media_encryption == "prefer" and not is_secret
    return Encryption.OFF if is_idle_wish else Encryption(trunk.media_encryption)


def registration_makers(
    settings: Settings, sip: SipEndpoint, trunks: Trunks
) -> Mapping[str, Callable[[], TrunkRegistration]]:
    """What makes the registration of each trunk that has one, by name."""
    names = Names()

    def make(name: str, trunk: TrunkSettings) -> TrunkRegistration:
        return TrunkRegistration(
            make_provider(name, trunk, contact_user(name, settings)),
            signalling=sip,
            names=names,
            admit=partial(_admit, name, tls_target(trunk), sip, trunks),
            token=lambda bits: secrets.token_hex(bits // 8),
        )

    return {
        name: partial(make, name, trunk)
        for name, trunk in settings.trunks.items()
        if trunk.mode == "register"
    }


def readiness_of(settings: Settings, standings: Mapping[str, Standing]) -> tuple[Dependency, ...]:
    """By which trunks callers can come in; a peer needs nothing for it."""
    return tuple(
        Dependency(f"trunks.{name}", ok=True)
        if (standing := standings.get(name)) is None
        else Dependency(
            f"trunks.{name}",
            ok=standing.is_registered,
            cause="" if standing.is_registered else standing.cause or "not-registered",
        )
        for name in settings.trunks
    )


def _admit(
    name: str, target: TlsTarget, sip: SipEndpoint, trunks: Trunks, flows: Sequence[Flow]
) -> None:
    """Hear a trunk's servers, and know what they have to prove. Raises OperatorError."""
    for flow in flows:
        if flow.transport == "TLS":
            sip.trust(flow.host, flow.port, target)
    trunks.learn(name, [flow.host for flow in flows], sip.now())
