# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of everything that can be said or played to a caller.

What each says is in the manifests, which file it is in the package above.
"""

from __future__ import annotations

from enum import StrEnum


class PromptId(StrEnum):
    """What can be said to a caller; the value names the file. The words are in the manifests."""

    WELCOME = "welcome"
    ENTER_PIN = "enter-pin"
    NOT_FOUND = "not-found"
    TRY_AGAIN = "try-again"
    NO_DIGITS = "no-digits"
    AMBIGUOUS = "ambiguous"
    TOO_MANY_TRIES = "too-many-tries"
    NOT_BEGUN = "not-begun"
    STILL_WAITING = "still-waiting"
    WAITED_TOO_LONG = "waited-too-long"
    JOINING = "joining"
    ALONE = "alone"
    UNREACHABLE = "unreachable"
    SERVICE_BUSY = "service-busy"
    MEETING_ENDED = "meeting-ended"
    GOODBYE = "goodbye"

    # Each in the language it offers, in the place it is offered: the fifth language, five.
    LANGUAGE_1 = "language-1"
    LANGUAGE_2 = "language-2"
    LANGUAGE_3 = "language-3"
    LANGUAGE_4 = "language-4"
    LANGUAGE_5 = "language-5"

    # Keys in the room.
    HELP = "help"
    MUTED = "muted"
    UNMUTED = "unmuted"
    MUTED_BY_HOST = "muted-by-host"
    UNMUTED_BY_HOST = "unmuted-by-host"
    HAND_UP = "hand-up"
    HAND_DOWN = "hand-down"
    HAND_LOWERED_BY_HOST = "hand-lowered-by-host"
    DIGITS_HIDDEN = "digits-hidden"
    ASK_TO_HIDE = "ask-to-hide"
    WHICH_ROOM = "which-room"
    NOT_POSSIBLE = "not-possible"

    # Waiting, leaving and coming back.
    WAITING_FOR_HOST = "waiting-for-host"
    REFUSED_BY_HOST = "refused-by-host"
    REMOVED = "removed"
    CONNECTING = "connecting"
    CONNECTION_LOST = "connection-lost"
    RECONNECTED = "reconnected"
    BREAKOUT_ENDED = "breakout-ended"
    MOVED = "moved"
    SERVICE_RESTARTS = "service-restarts"

    # Recording.
    RECORDED = "recorded"
    ASK_CONSENT = "ask-consent"
    CONSENT_GIVEN = "consent-given"
    RECORDING_BEGUN = "recording-begun"

    # How many are here: HERE_BEFORE, a number, HERE_AFTER; for one, ALONE_HERE.
    ALONE_HERE = "alone-here"
    HERE_BEFORE = "here-before"
    HERE_AFTER = "here-after"
    NUMBER_2 = "number-2"
    NUMBER_3 = "number-3"
    NUMBER_4 = "number-4"
    NUMBER_5 = "number-5"
    NUMBER_6 = "number-6"
    NUMBER_7 = "number-7"
    NUMBER_8 = "number-8"
    NUMBER_9 = "number-9"
    NUMBER_10 = "number-10"
    NUMBER_11 = "number-11"
    NUMBER_12 = "number-12"
    NUMBER_13 = "number-13"
    NUMBER_14 = "number-14"
    NUMBER_15 = "number-15"
    NUMBER_16 = "number-16"
    NUMBER_17 = "number-17"
    NUMBER_18 = "number-18"
    NUMBER_19 = "number-19"
    NUMBER_20 = "number-20"
    MORE_THAN_20 = "more-than-20"

    # What is not speech.
    BEEP = "beep"
    MUSIC = "music"
    MUTED_TONE = "muted-tone"
    UNMUTED_TONE = "unmuted-tone"
    HAND_UP_TONE = "hand-up-tone"
    HAND_DOWN_TONE = "hand-down-tone"
    DONE_TONE = "done-tone"
    REFUSED_TONE = "refused-tone"


TONES = (
    PromptId.BEEP,
    PromptId.MUSIC,
    PromptId.MUTED_TONE,
    PromptId.UNMUTED_TONE,
    PromptId.HAND_UP_TONE,
    PromptId.HAND_DOWN_TONE,
    PromptId.DONE_TONE,
    PromptId.REFUSED_TONE,
)
"""What is the same in every language."""
SPOKEN = tuple(prompt for prompt in PromptId if prompt not in TONES)
"""The prompts that a language folder holds."""
LANGUAGE_CHOICES = tuple(PromptId(f"language-{place}") for place in range(1, 6))
"""How a language is offered in the first place, the second, …: "For English, press one."."""
MOST_COUNTED = 20
"""The highest number that can be said."""


def how_many(people: int) -> tuple[PromptId, ...]:
    """What tells a caller how many people are in the room, themselves among them."""
    if people < 2:
        return (PromptId.ALONE_HERE,)
    number = PromptId(f"number-{people}") if people <= MOST_COUNTED else PromptId.MORE_THAN_20
    return PromptId.HERE_BEFORE, number, PromptId.HERE_AFTER
