# SPDX-License-Identifier: GPL-3.0-or-later
"""One provider trunk: whom it may come from, which number was called, and who calls.

Trust follows the source. What is read here from a request is worth something only because the
request came from one of the trunk's networks; on any other it is text written by a stranger, so
`sip` asks `Trunks.allows` before it parses anything.

A trunk that registers comes from where its registrar is, which `Trunks.learn` is told; registering
itself is left to `registration`. What the caller's number looks like to others is `caller`'s
affair.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import unquote

import phonenumbers

from dialin.caller import Caller, dialled, readings, says_withheld
from dialin.errors import OperatorError, PeerError
from dialin.events import UNKNOWN_NUMBER, CallError
from dialin.wire.encryption import Encryption
from dialin.wire.header import Address
from dialin.wire.message import Request
from dialin.wire.uri import OtherUri, SipUri, TelUri, Uri, parse_uri

log = logging.getLogger(__name__)

REQUEST_URI = "request-uri"
FIXED = "fixed"
NUMBER_FROM = (REQUEST_URI, "To", "P-Called-Party-ID")
"""Where the number that was called is looked for, in this order, unless the settings say else."""
CALLER_FROM = ("P-Asserted-Identity", "Remote-Party-ID", "From")
"""Where the caller's number is looked for (RFC 3325 §9.1; RFC 3261 §20.20)."""

LEARNT_S = 86400.0
"""How long an address is heard that a registrar had: calls that are up live on there."""

_PRIVATE = frozenset({"id", "user", "header", "full"})
"""RFC 3323 §4.2 and RFC 3325 §9.3 privacy values that withhold who calls, and one that was never
standardised but is sent."""
_URI_PRIVATE = frozenset({"full", "uri"})
"""The `privacy` parameter of Remote-Party-ID (draft-ietf-sip-privacy-04 §5.1) and of Diversion
(RFC 5806 §4): `name` hides the display name only, which is never used."""
_CLIR_CODE = re.compile(r"[*#]31[*#]|\*67")
"""Codes that callers dial to withhold their number, left over in it: 3GPP TS 22.030 §6.5.3.4 and
the fixed networks of Germany and North America."""


@dataclass(frozen=True, slots=True)
class TrunkNumber:
    """One of our own telephone numbers."""

    e164: str
    """International form, `+4930…`."""
    languages: tuple[str, ...] = ()
    """What callers of this number may hear, the first unless they choose; empty for the service's
    first language."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """Who called which number."""

    caller: Caller
    """Who calls, perhaps withheld."""
    number_called: str
    """Our own number in E.164; empty where the trunk has no numbers and none can be read."""
    languages: tuple[str, ...]
    """The languages of that number, if it has some of its own: the first unless the caller chooses
    another."""

    @property
    def language(self) -> str | None:
        """What the caller hears first, if the number says so."""
        return self.languages[0] if self.languages else None


class Trunk:
    """One provider, or one telephone system, that sends calls."""

    def __init__(
        self,
        name: str,
        *,
        networks: Sequence[str],
        numbers: Sequence[TrunkNumber] = (),
        number_from: Sequence[str] = NUMBER_FROM,
        caller_from: Sequence[str] = CALLER_FROM,
        region: str | None = None,
        media_networks: Sequence[str] = (),
        encryption: Encryption = Encryption.OFF,
        contact_user: str = "",
        session_timers: bool | int = True,
    ) -> None:
        """Raises OperatorError where a setting makes no sense.

        `number_from` and `caller_from` are header names; `number_from` also knows `request-uri`,
        and `fixed` for a trunk whose requests do not say which number was called. A header that
        holds no address may hold the bare number. Without `numbers`, every number is answered.
        """
        self.name = name
        """The trunk's name in the settings."""
        self.networks = tuple(_network(name, text) for text in networks)
        """Where its requests come from; none for a trunk that comes from where its registrar is."""
        self.contact_user = contact_user
        """The user part that its provider calls us by; empty where it does not register."""
        self.media_networks = tuple(str(_network(name, text)) for text in media_networks)
        """Where its audio may come from; empty for the signalling address alone."""
        self.encryption = encryption
        """Whether its audio is SRTP."""
        self.session_timers = session_timers
        """As `IncomingLeg.session_timers`."""
        self._numbers = tuple(numbers)
        self._spelt = _spellings(name, numbers, region)
        self._number_from = tuple(number_from)
        self._caller_from = tuple(caller_from)
        self._region = _region(name, region)
        self._had_a_call = False
        if FIXED in number_from and not numbers:
            raise OperatorError(
                f"Trunk {name} takes its number as fixed, but has none.",
                "Add the number to the trunk's numbers.",
            )

    def from_source(self, ip: str) -> bool:
        """Whether an address lies in the trunk's networks."""
        address = _address(ip)
        return address is not None and any(address in network for network in self.networks)

    def identify(self, request: Request) -> Dialled:
        """Read who called which number from an INVITE of this trunk.

        Raises CallError with UNKNOWN_NUMBER when the trunk has a list of numbers and none of them
        was called: answer 404.
        """
        number, number_at = self._called(request)
        caller, caller_at = self._calling(request)
        if not self._had_a_call:
            # "Registered" is not "working": this line shows which headers a provider really fills.
            self._had_a_call = True
            log.info(
                "trunk %s: first call, number called from %s, caller from %s (%s)",
                self.name,
                number_at,
                caller_at,
                caller,
            )
        return Dialled(caller, number.e164, number.languages)

    def _called(self, request: Request) -> tuple[TrunkNumber, str]:
        for source in self._number_from:
            if source == FIXED:
                return self._numbers[0], source
            for text in _user_parts(request, source):
                if own := self._spelt.get(dialled(text)):
                    return own, source
        if self._numbers:
            raise CallError(UNKNOWN_NUMBER)
        for source in self._number_from:
            for text in _user_parts(request, source):
                for e164 in readings(text, self._region):
                    return TrunkNumber(e164), source
        return TrunkNumber(""), "nowhere"

    def _calling(self, request: Request) -> tuple[Caller, str]:
        """The first usable number in the configured order; privacy wins over any of them."""
        if wish := _wish_for_privacy(request):
            return Caller.withheld(), wish
        for name in self._caller_from:
            for address in _addresses(request, name):
                if _is_anonymous(address) or _is_private(address):
                    return Caller.withheld(), name
                caller = Caller.parse(_user_part(address), region=self._region)
                if not caller.is_withheld:
                    return caller, name
        return Caller.withheld(), "nowhere"


class Trunks:
    """All trunks, by the networks they come from."""

    def __init__(self, trunks: Sequence[Trunk]) -> None:
        """Raises OperatorError when one network belongs to two trunks."""
        self._learnt: dict[str, dict[str, float]] = {}
        """Registrars' addresses; for each the trunks that register there, and until when."""
        self.change(trunks)

    def change(self, trunks: Sequence[Trunk]) -> None:
        """Other trunks from the next packet on; the addresses of those that stay are known still.

        Raises OperatorError as at the start, and changes nothing then.
        """
        tables: defaultdict[tuple[int, int], dict[int, Trunk]] = defaultdict(dict)
        for trunk in trunks:
            for network in trunk.networks:
                table = tables[network.version, int(network.netmask)]
                other = table.setdefault(int(network.network_address), trunk)
                if other is not trunk:
                    raise OperatorError(
                        f"Trunks {other.name} and {trunk.name} both come from {network}.",
                        "Put the numbers of both into one trunk, or narrow the networks.",
                    )
        self._by_name = {trunk.name: trunk for trunk in trunks}
        for registered in self._learnt.values():
            for gone in registered.keys() - self._by_name.keys():
                del registered[gone]
        # Longest prefix first: a provider's one address inside somebody else's network wins.
        self._tables = sorted(tables.items(), key=lambda item: item[0], reverse=True)

    def learn(self, name: str, addresses: Iterable[str], now: float) -> None:
        """A trunk's registrar is at these addresses now; former ones are heard for a day more."""
        for trunks in self._learnt.values():
            for trunk in [trunk for trunk, until in trunks.items() if until <= now]:
                del trunks[trunk]
        self._learnt = {address: trunks for address, trunks in self._learnt.items() if trunks}
        for address in addresses:
            self._learnt.setdefault(address, {})[name] = now + LEARNT_S

    def allows(self, ip: str) -> bool:
        """Whether anything from this address is read; asked for each packet, before parsing."""
        return bool(self._learnt.get(ip)) or self.trunk_for(ip) is not None

    def trunk_for(self, ip: str, user: str = "") -> Trunk | None:
        """The trunk that comes from this address.

        Of several that register at one place it is the one whose Contact was called: `user` is the
        user part of the Request-URI. Where a trunk has networks, they alone say what it is.
        """
        registered = [self._by_name[name] for name in self._learnt.get(ip, ())]
        fitting = [trunk for trunk in registered if not trunk.networks]
        called = [trunk for trunk in fitting if trunk.contact_user == user]
        if fitting:
            return (called or fitting)[0]
        address = _address(ip)
        if address is None:
            return None
        version, value = address.version, int(address)
        for (table_version, mask), table in self._tables:
            if table_version == version and (trunk := table.get(value & mask)):
                return trunk
        return None


def called_user(request: Request) -> str:
    """The user part of the Request-URI. PEER-CONTROLLED."""
    return _user_of(request.uri)


def _address(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as a socket names it; a dual-stack socket writes IPv4 as `::ffff:192.0.2.1`."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _network(trunk: str, text: str) -> IPv4Network | IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise OperatorError(
            f"Trunk {trunk}: {text!r} is not a network.",
            "Write an address such as 192.0.2.7, or a network such as 192.0.2.0/24 whose host "
            "part is zero.",
        ) from None


def _region(trunk: str, region: str | None) -> str | None:
    if region is None or region in phonenumbers.SUPPORTED_REGIONS:
        return region
    raise OperatorError(
        f"Trunk {trunk}: {region!r} is not a country.",
        "Write its ISO 3166 code in capitals, such as DE.",
    )


def _spellings(
    trunk: str, numbers: Sequence[TrunkNumber], region: str | None
) -> dict[str, TrunkNumber]:
    """Every way in which providers write numbers of ours: `+49…`, `49…`, `0049…`, `0…`.

    One text can mean two numbers: the international reading comes first, then the national one of
    the trunk's country, then that of another.
    """
    national: dict[str, TrunkNumber] = {}
    at_home: dict[str, TrunkNumber] = {}
    international: dict[str, TrunkNumber] = {}
    for own in numbers:
        parsed = _international(trunk, own.e164)
        form = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
        is_home = phonenumbers.region_code_for_number(parsed) == region
        (at_home if is_home else national)[re.sub(r"[^0-9]", "", form)] = own
        for prefix in ("+", "", "00"):
            international[prefix + own.e164[1:]] = own
    return national | at_home | international


def _international(trunk: str, e164: str) -> phonenumbers.PhoneNumber:
    try:
        return phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        raise OperatorError(
            f"Trunk {trunk}: {e164!r} is not an international number.",
            "Write it with + and country code, such as +493012345678.",
        ) from None


def _addresses(request: Request, name: str) -> Iterator[Address]:
    """The addresses in a header that can be read. PEER-CONTROLLED."""
    for value in request.headers.values(name):
        try:
            yield Address.parse(value)
        except PeerError:
            continue


def _user_parts(request: Request, source: str) -> Iterator[str]:
    if source == REQUEST_URI:
        yield _user_of(request.uri)
        return
    for value in request.headers.values(source):
        try:
            yield _user_part(Address.parse(value))
        except PeerError:  # a header of the provider's own, with a number and no scheme in it
            yield value.partition(";")[0].strip(" <>").partition("@")[0]


def _user_part(address: Address) -> str:
    return _user_of(address.uri_text)


def _user_of(uri_text: str) -> str:
    """The user part of a SIP URI as written, or the number of a tel URI; else nothing."""
    match _uri(uri_text):
        case SipUri(user=str(user)):
            return user
        case TelUri(number=number):
            return number
        case _:
            return ""


def _uri(text: str) -> Uri:
    try:
        return parse_uri(text)
    except PeerError:
        return OtherUri("none", "")


def _wish_for_privacy(request: Request) -> str:
    """The header in which a caller asks not to be shown, or nothing."""
    asked = {word for value in request.headers.all("Privacy") for word in _words(value)}
    if not _PRIVATE.isdisjoint(asked):
        return "Privacy"
    if any(map(_is_private, _addresses(request, "Remote-Party-ID"))):
        return "Remote-Party-ID"
    return "From" if any(map(_is_anonymous, _addresses(request, "From"))) else ""


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _is_private(address: Address) -> bool:
    """Whether an address comes with the wish not to be shown; only some headers have it."""
    return not _URI_PRIVATE.isdisjoint(_words(address.params.get("privacy") or ""))


def _is_anonymous(address: Address) -> bool:
    """RFC 3323 §4.1.1.3 and the forms that are sent in its place."""
    uri = _uri(address.uri_text)
    host = uri.host.lower() if isinstance(uri, SipUri) else ""
    user = unquote(_user_part(address))
    return (
        says_withheld(address.display)
        or says_withheld(user)
        or host == "anonymous.invalid"
        or _CLIR_CODE.match(user) is not None
    )
