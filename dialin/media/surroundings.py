# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of a leg need of the worker that runs them. The worker itself is in `worker`."""

from __future__ import annotations

from typing import Protocol

from dialin.media.agenda import Action, Diary
from dialin.media.messages import Answer, Report
from dialin.media.sockets import Scratch


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

    def watch(self, fd: int, on_readable: Action) -> None:
        """Call `on_readable` with the time whenever the socket has something."""

    def unwatch(self, fd: int) -> None:
        """Do so no longer."""

    def tell(self, message: Answer | Report) -> None:
        """Say something to the service."""
