# SPDX-License-Identifier: GPL-3.0-or-later
"""The caller of one call, as rooms know them: what lasts from one room to the next.

A value that `call`, `visit` and `presence` share; it does nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dialin.budgets import Guesser
from dialin.caller import Caller
from dialin.caller_leg import CallerLeg
from dialin.line import Line
from dialin.mute import MuteState
from dialin.registry import CallRecord
from dialin.sounds import PromptId


@dataclass(slots=True)
class Visitor:
    """One caller."""

    caller: Caller
    """Who it is."""
    leg: CallerLeg
    """Their signalling and audio."""
    line: Line
    """Their ear and keypad."""
    record: CallRecord
    """What others see of them."""
    guesser: Guesser
    """Who they are to those who count wrong PINs."""
    hides_digits: bool
    """Whether their name has no digits in it."""
    mute: MuteState = field(default_factory=MuteState)
    volume_db: int = 0
    """How much louder they want to hear the room."""
    has_heard: set[PromptId] = field(default_factory=set)
    """What was explained by voice, and from now on is told by a tone alone."""
    admitted_to: set[str] = field(default_factory=set)
    """Ids of meetings whose host has let them in."""
    agreed_to: set[str] = field(default_factory=set)
    """Ids of meetings in which they may be recorded."""
