# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a room hears a caller, as the caller, hosts and BigBlueButton say it: a pure machine.

BBB tells of each mute, our own included, a moment later. So what was asked of BBB is remembered for
a while: what comes back is an echo, and everything else is a host's doing. Muting itself is left to
`bbb_voice` and `media`.
"""

from __future__ import annotations

from collections import deque

ECHO_WITHIN_S = 5.0
"""How long BBB's webhook may take to tell of what we asked for."""


class MuteState:
    """One caller's microphone."""

    def __init__(self) -> None:
        self.is_muted = False
        """Whether the room does not hear the caller, by whomever."""
        self.is_held_by_bbb = False
        """Whether BBB itself has the caller muted, so that opening our side is not enough."""
        self._echoes: deque[tuple[bool, float]] = deque()

    def sits_down(self) -> None:
        """The caller has a new seat: BBB opens every microphone, and its words are of this seat."""
        self.is_held_by_bbb = False
        self._echoes.clear()

    def turn(self, muted: bool, now: float, *, tells_bbb: bool) -> None:
        """We mute or unmute; `tells_bbb`: BBB is asked for it as well."""
        self.is_muted = muted
        if tells_bbb:
            self.is_held_by_bbb = muted
            self._echoes.append((muted, now + ECHO_WITHIN_S))

    def is_told(self, muted: bool, now: float) -> bool:
        """BBB says that the caller is muted or not; whether that is news."""
        while self._echoes and self._echoes[0][1] <= now:
            self._echoes.popleft()
        echoes = [echo for echo, _ in self._echoes]
        if muted in echoes:
            for _ in range(echoes.index(muted) + 1):
                self._echoes.popleft()
            return False
        self.is_held_by_bbb = muted
        is_news = muted is not self.is_muted
        self.is_muted = muted
        return is_news
