# SPDX-License-Identifier: GPL-3.0-or-later
"""What subscribers are told of calls: the body of a post, its signature, and its description.

Whoever knows a subscriber's secret can tell our posts from others' and old ones from new. When
something is posted, and what becomes of it, is left to `subscribers`.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum

from dialin.web.api.calls import CallShown
from dialin.web.api.operation import Shape

SIGNATURE_HEADER = "Dialin-Signature"


class PostedEvent(StrEnum):
    """What happens to a caller that others may want to know."""

    WAITING = "waiting"
    """The caller waits; `call.waiting_for` says for what."""
    JOINED = "joined"
    """The caller is in the room."""
    LEFT = "left"
    """The caller is no longer in the room; `call` is what it was there."""
    HAND = "hand"
    """The caller has raised the hand, or it has gone down: `call.hand_raised`."""


class Posted(Shape):
    """The body of a post."""

    event: PostedEvent
    id: str
    """Unique to what happened; the same each time it is posted again."""
    at: str
    """When it was noticed, RFC 3339."""
    meeting_id: str
    call: CallShown


def signature(secret: str, body: bytes, at: int) -> str:
    """The header's value for a body that is posted at a time, seconds since 1970."""
    signed = hmac.digest(secret.encode(), b"%d." % at + body, hashlib.sha256)
    return f"t={at},v1={signed.hex()}"
