# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Contacts a registrar keeps for an account, and which of them are ours (RFC 3261 §10).

A Contact may name the bridge and its way (RFC 5626 §4.2), so that a registrar which knows that puts
a new connection in the place of the one that broke. And by which proxies it wants our requests.

Ours are known by their user part, since a device on the way may have changed the address. What
the registrar lists is PEER-CONTROLLED; it goes back to that registrar only, to be removed there.
When to ask for what is left to `registration`.
"""

from __future__ import annotations

import re
from typing import Final

from dialin.errors import PeerError
from dialin.wire.agent_events import LocalAddress
from dialin.wire.header import Address
from dialin.wire.message import Response
from dialin.wire.uri import SipUri

MAX_DROPPED: Final = 16
"""Contacts that one REGISTER removes."""
MAX_ROUTES: Final = 8
"""Proxies between us and a provider."""
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


class Bindings:
    """The Contacts of one account, as we see them."""

    def __init__(self, user: str, instance: str = "") -> None:
        """`user` is the user part of our Contacts, and of nobody else's; `instance` a URN that is
        ours alone, empty for none."""
        self.instance = instance
        """What our Contacts name the bridge."""
        self.strangers = 0
        """How many Contacts the last answer listed that are not ours."""
        self._user = user
        self._here = ""
        self._others: list[str] = []
        self._leftovers: list[str] = []
        self._to_drop: list[str] = []

    def contacts(self, local: LocalAddress, expires_s: int) -> tuple[str, ...]:
        """The Contact values of the next REGISTER: ours, and those to be removed (§10.2.2)."""
        self._here = f"sip:{self._user}@{local.host_port}"
        if local.transport != "UDP":
            self._here += f";transport={local.transport.lower()}"
        dropped, self._to_drop = self._to_drop, []
        named = f';+sip.instance="<{self.instance}>";reg-id=1' if self.instance else ""
        return (
            f"<{self._here}>{named};expires={expires_s}",
            *(f"<{uri}>;expires=0" for uri in dropped[:MAX_DROPPED]),
        )

    def granted_s(self, response: Response, asked_s: int) -> int:
        """For how long a 2xx to our REGISTER keeps our Contact (§10.2.4).

        A registrar that lists no Contact of ours has rewritten it, or lists none: then the shortest
        time that is told counts.
        """
        listed = response.contacts
        ours = [contact for contact in listed if _user_of(contact) == self._user]
        here = [contact for contact in ours if _is_same(contact.uri_text, self._here)]
        self._leftovers = [contact.uri_text for contact in ours if here and contact not in here]
        self._others = [contact.uri_text for contact in listed if ours and contact not in ours]
        self.strangers = len(self._others)
        default_s = seconds(response.headers.get("Expires"), asked_s)
        told = [
            seconds(contact.params.get("expires"), default_s) for contact in here or ours or listed
        ]
        return min(told, default=default_s)

    def drop(self, *, also_others: bool) -> bool:
        """Let the next REGISTER remove our Contacts at former addresses, and perhaps those of
        others; whether there are any."""
        self._to_drop = [*self._leftovers, *(self._others if also_others else ())]
        return bool(self._to_drop)


def _user_of(contact: Address) -> str | None:
    try:
        uri = contact.uri
    except PeerError:
        return None
    return uri.user if isinstance(uri, SipUri) else None


def _is_same(uri: str, here: str) -> bool:
    """Whether two of our own Contacts name one address; parameters may have come or gone."""
    return uri.partition(";")[0].lower() == here.partition(";")[0].lower()


def seconds(text: str | None, default_s: int) -> int:
    """A delta-seconds (§25.1), a comment behind it left out; what cannot be read was not said."""
    match = _SECONDS.match(text or "")
    return int(match[0]) if match else default_s


def service_routes(response: Response) -> tuple[str, ...]:
    """By which proxies a registrar wants our requests to come (RFC 3608 §5), verbatim.

    PEER-CONTROLLED: they are written into requests to that very provider, and lead nowhere else.
    """
    values = response.headers.values("Service-Route")
    return values if len(values) <= MAX_ROUTES and all(map(_is_loose_route, values)) else ()


def _is_loose_route(value: str) -> bool:
    try:
        uri = Address.parse(value).uri
    except PeerError:
        return False
    return isinstance(uri, SipUri) and uri.params.has("lr")
