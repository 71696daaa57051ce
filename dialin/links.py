# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed links to room pages: whoever has one may see the page, or act on it, until it expires.

A link is made by whoever knows the secret: the command line, the API, and front ends by themselves
(docs/room-page.md has the recipe). Its signature is the HMAC-SHA256 (RFC 2104) of three lines:
right, expiry and meeting id. What a page shows, and who is let in how often, is left to `web`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, urlencode

LONGEST_MEETING_ID = 255
"""Characters; BBB takes no more (bigbluebutton-web, MeetingIdConstraint)."""
DAY_S = 86400
FORM = "form"
"""First line of what forms are signed with; no right has this name."""

_EXPIRES = re.compile(r"[1-9][0-9]{0,10}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


class Right(StrEnum):
    """What a link lets one do."""

    GUEST = "guest"
    """See numbers and PIN."""
    HOST = "host"
    """See who calls as well, let them in, mute them, send them away."""


@dataclass(frozen=True, slots=True)
class RoomLink:
    """What somebody may do on the page of one room, and until when."""

    meeting_id: str
    """The front end's id of the meeting. Whoever made the link wrote it."""
    right: Right
    expires: int
    """Seconds since 1970, UTC."""
    signature: str = field(repr=False)
    """64 hexadecimal digits."""

    def query(self, **more: str) -> str:
        """The query that proves it."""
        proof = {
            "right": self.right.value,
            "expires": str(self.expires),
            "signature": self.signature,
        }
        return urlencode({**proof, **more})

    def path(self, page: str = "", **more: str) -> str:
        """Path and query of the room's page, or of one below it such as `invite.ics`."""
        below = f"/{page}" if page else ""
        return f"/rooms/{quote(self.meeting_id, safe='')}{below}?{self.query(**more)}"


class LinkKey:
    """Makes links and reads them."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def link(self, meeting_id: str, right: Right, expires: int) -> RoomLink:
        """A link that works until `expires`, seconds since 1970.

        Raises ValueError if no meeting can have the id, or nobody could read the expiry.
        """
        if not 0 < len(meeting_id) <= LONGEST_MEETING_ID:
            raise ValueError("no meeting id")
        if not _EXPIRES.fullmatch(str(expires)):
            raise ValueError("no time that a link can expire at")
        return RoomLink(meeting_id, right, expires, self._sign(right, expires, meeting_id))

    def lasting(self, meeting_id: str, right: Right, days: int, now: float) -> RoomLink:
        """A link that works for so many days from `now`. Raises ValueError as `link` does."""
        return self.link(meeting_id, right, int(now) + days * DAY_S)

    def read(self, meeting_id: str, query: Mapping[str, str], now: float) -> RoomLink | None:
        """The link that somebody came with, or None if it proves nothing at `now`.

        Peer-controlled. Takes as long whatever is wrong with it: the signature is always computed,
        and compared in constant time.
        """
        right = _right(query.get("right", ""))
        expires, signature = query.get("expires", ""), query.get("signature", "")
        expected = self._sign(right or FORM, expires[:16], meeting_id[:LONGEST_MEETING_ID])
        is_signed = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
        is_well_formed = (
            right is not None
            and _EXPIRES.fullmatch(expires) is not None
            and _SIGNATURE.fullmatch(signature) is not None
            and 0 < len(meeting_id) <= LONGEST_MEETING_ID
        )
        if right is None or not (is_signed and is_well_formed) or int(expires) <= now:
            return None
        return RoomLink(meeting_id, right, int(expires), signature)

    def guest(self, link: RoomLink) -> RoomLink:
        """The same room, as guests may see it and for as long: fit for handing on."""
        return self.link(link.meeting_id, Right.GUEST, link.expires)

    def form_token(self, link: RoomLink) -> str:
        """What a form on the link's page has to bring: bound to the room, right and expiry."""
        return self._sign(FORM, link.expires, f"{link.right}\n{link.meeting_id}")

    def is_form_token(self, link: RoomLink, token: str) -> bool:
        """Whether a form came from the link's page. Peer-controlled."""
        return hmac.compare_digest(self.form_token(link).encode(), token.encode("utf-8", "replace"))

    def _sign(self, first: str, expires: int | str, last: str) -> str:
        text = f"{first}\n{expires}\n{last}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()


def _right(text: str) -> Right | None:
    return next((right for right in Right if right.value == text), None)
