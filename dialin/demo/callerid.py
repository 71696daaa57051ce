# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a caller seems to be: the identity that FreeSWITCH takes from an INVITE, and BBB from that.

Both are as careless here as they are there, so that a test sees at once when the bridge lets
something of its caller through. Nothing but the demo conference may believe what this says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote

from dialin.errors import PeerError
from dialin.wire.header import Address
from dialin.wire.message import Request
from dialin.wire.uri import SipUri, TelUri

IDENTITY_HEADERS = ("Remote-Party-ID", "P-Asserted-Identity", "P-Preferred-Identity")
"""Each one present beats From and those before it (sofia.c)."""
REJECTED = re.compile(r"0000000000|anonymous|unknown|private|restricted|withheld", re.IGNORECASE)
"""default/bbb_conference.xml since bigbluebutton#22847."""


@dataclass(frozen=True, slots=True)
class CallerId:
    """Caller-ID name and number of a channel. PEER-CONTROLLED."""

    name: str = field(repr=False)
    """As FreeSWITCH tells BBB, percent-decoded."""
    number: str = field(repr=False)
    """As FreeSWITCH tells BBB, a leading plus included."""
    is_private: bool = False
    """The caller asked for privacy; the identity is told all the same."""

    @classmethod
    def of(cls, invite: Request) -> CallerId:
        """What FreeSWITCH makes of an INVITE whose From has been read already."""
        name = invite.from_.display
        number = _user_of(invite.from_)
        for header in IDENTITY_HEADERS:
            asserted = _first_address(invite.headers.values(header))
            if asserted is not None:
                number = _user_of(asserted) or number
                name = asserted.display or name
        return cls(
            name=unquote(name or number or "unknown"),
            number=number,
            is_private=_asks_for_privacy(invite),
        )

    @property
    def is_rejected(self) -> bool:
        """Whether BBB's dialplan refuses it: CALL_REJECTED, which is 603 on the wire."""
        words = (self.name, self.number)
        return (
            self.is_private
            or not self.number
            or any(REJECTED.fullmatch(word) is not None for word in words)
        )


def _first_address(values: Sequence[str]) -> Address | None:
    try:
        return Address.parse(values[0]) if values else None
    except PeerError:
        return None


def _user_of(address: Address) -> str:
    """The user part, as written, or the number of a tel URI."""
    try:
        uri = address.uri
    except PeerError:
        return ""
    if isinstance(uri, SipUri):
        return uri.user or ""
    return uri.number if isinstance(uri, TelUri) else ""


def _asks_for_privacy(invite: Request) -> bool:
    privacy = (invite.headers.get("Privacy") or "none").lower()
    remote_party = (invite.headers.get("Remote-Party-ID") or "").lower()
    return privacy != "none" or "privacy=full" in remote_party


class Kind(StrEnum):
    """What BBB takes a voice member for."""

    PHONE = "phone"
    WEB_USER = "web-user"
    LISTEN_ONLY = "listen-only"
    INVISIBLE = "invisible"


@dataclass(frozen=True, slots=True)
class Reading:
    """What BBB reads out of a caller-ID name (ESLEventListener.java)."""

    kind: Kind
    """How BBB will treat the member."""
    user_id: str
    """The web user that the member is taken for; "" for none."""
    name: str = field(repr=False)
    """The name that BBB shows."""


_INVISIBLE = re.compile(r"(GLOBAL_AUDIO)_(.*)", re.DOTALL)
_LISTEN_ONLY = re.compile(r"(.*)_(\d+)-bbbID-LISTENONLY-(.*)", re.DOTALL)
_WEB_USER = re.compile(r"(.*?)(?:_\d+)?-bbbID-(.*)", re.DOTALL)


def reading_of(name: str) -> Reading:
    """How BBB reads a caller-ID name. Anything but PHONE is a caller who got past the masking."""
    if _INVISIBLE.fullmatch(name):
        return Reading(Kind.INVISIBLE, "", name)
    if match := _LISTEN_ONLY.fullmatch(name):
        return Reading(Kind.LISTEN_ONLY, match[1], match[3])
    if match := _WEB_USER.fullmatch(name):
        return Reading(Kind.WEB_USER, match[1], match[2])
    return Reading(Kind.PHONE, "", name)
