# SPDX-License-Identifier: GPL-3.0-or-later
"""The roots of every error `dialin` raises, and whose fault each kind is.

    DialinError
    ├── PeerError        what somebody on the wire sent cannot be used
    ├── OperatorError    a setting, a file or the machine is wrong; carries the remedy
    └── events.CallError a call cannot go on; carries the EndReason

Each parser raises one documented subclass of PeerError, defined beside the parser.
"""

from __future__ import annotations


class DialinError(Exception):
    """Anything `dialin` raises on purpose."""


class PeerError(DialinError, ValueError):
    """What a peer sent cannot be used. The text never repeats more than a few octets of it."""


class OperatorError(DialinError):
    """Something only the operator can mend: says what is wrong and what to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}" if remedy else cause)
        self.cause = cause
        """What is wrong, one sentence."""
        self.remedy = remedy
        """What to do about it, one sentence."""
