# SPDX-License-Identifier: GPL-3.0-or-later
"""What FreeSWITCH makes of a member's keys: the two bound sequences, or an old profile's controls.

The sequences are those of `config/freeswitch/00_dialin.xml`; how they are gathered follows
FreeSWITCH's digit machine (switch_ivr_async.c): what can begin no sequence is forgotten at once,
and so is the beginning of one after a pause. What mute does is left to `conference`.
"""

from __future__ import annotations

from enum import StrEnum

MUTE_KEYS = "*61"
UNMUTE_KEYS = "*60"
PAUSE_S = 1.5
"""mod_dptools.c, `digit_timeout`: after this a sequence begins anew."""


class Wish(StrEnum):
    """What a member's keys ask for."""

    MUTE = "mute"
    UNMUTE = "unmute"
    TOGGLE_MUTE = "toggle-mute"
    TOGGLE_DEAF = "toggle-deaf"
    """Deaf and mute."""
    VOLUME = "volume"
    """Louder or quieter, one way or the other."""


BOUND = {MUTE_KEYS: Wish.MUTE, UNMUTE_KEYS: Wish.UNMUTE}
CALLER_CONTROLS = {
    "0": Wish.TOGGLE_MUTE,
    "*": Wish.TOGGLE_DEAF,
    **dict.fromkeys("123456789", Wish.VOLUME),
}
"""BBB's conference profile before it had none (conference.conf.xml): each key acts at once."""


class BoundKeys:
    """The keys of one member, one after the other."""

    def __init__(self, bindings: dict[str, Wish]) -> None:
        """`bindings` is BOUND, CALLER_CONTROLS or empty."""
        self._bindings = bindings
        self._gathered = ""
        self._last_at = float("-inf")

    def press(self, key: str, now: float) -> Wish | None:
        """Take one key; gives what it completes."""
        if now - self._last_at > PAUSE_S:
            self._gathered = ""
        self._last_at = now
        self._gathered += key
        wish = self._bindings.get(self._gathered)
        is_beginning = any(keys.startswith(self._gathered) for keys in self._bindings)
        if wish is not None or not is_beginning:
            self._gathered = ""
        return wish
