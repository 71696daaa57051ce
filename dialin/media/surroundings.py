# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of a leg need of the worker that runs them. The worker itself is in `worker`."""

from __future__ import annotations

from typing import Protocol

from dialin.media.agenda import Diary
from dialin.media.messages import Answer, Report
from dialin.media.sockets import Scratch


class Watcher(Protocol):
    """What reads one socket."""

    owner: int
    """The number of the leg it belongs to, or 0 for the worker."""

    def on_readable(self, now: float) -> None:
        """Read, but never wait."""


class Surroundings(Protocol):
    """A worker, as one of its legs sees it."""

    @property
    def leg(self) -> int:
        """The leg's number."""

    def diary(self) -> Diary:
        """A new one, for what the leg has to do later."""

    @property
    def scratch(self) -> Scratch:
        """The one buffer that all packets pass through."""

    def watch(self, fd: int, watcher: Watcher) -> None:
        """Let `watcher` read whenever the socket has something."""

    def unwatch(self, fd: int) -> None:
        """Do so no longer."""

    def tell(self, message: Answer | Report) -> None:
        """Say something to the service."""
