# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of what callers meet: PINs, names, what they hear, and what is shown of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from dialin.settings.base import Section, refused

LABEL_MAX_CHARACTERS = 32
LABEL_ALPHABET = re.compile(r"[A-Za-z0-9 ().-]*")
LONGEST_ORDINAL = " (9999)"
"""What a label may grow by when callers of one room would share it."""


class PinSettings(Section):
    """How a PIN is keyed, and how often a wrong one. BBB itself takes 5 to 11 digits."""

    min_digits: int = Field(default=5, ge=1, le=11, description="Digits of the shortest PIN.")
    max_digits: int = Field(
        default=11, ge=1, le=11, description="Digits of the longest PIN: it needs no `#`."
    )
    tries: int = Field(default=3, ge=1, le=5, description="Wrong PINs a call may have.")
    pause_s: float = Field(
        default=4.0, ge=1, le=20, description="A pause this long after the last digit ends a PIN."
    )
    think_s: float = Field(
        default=10.0,
        ge=10,
        le=120,
        description="How long to wait for the first digit, and for the next while the PIN is too "
        "short. Accessible services allow ten seconds at least.",
    )
    wrong_per_caller_per_hour: int = Field(
        default=10,
        ge=3,
        le=1000,
        description="Wrong PINs of one caller in an hour. Then the caller is locked out for 15 "
        "minutes, the next time for twice as long, up to a day.",
    )
    wrong_withheld_per_hour: int = Field(
        default=30,
        ge=3,
        le=10000,
        description="Wrong PINs in an hour of all callers of a trunk who withhold their numbers.",
    )
    slow_mode_above_per_hour: int = Field(
        default=120,
        ge=10,
        le=100000,
        description="Wrong PINs in an hour of all callers, beyond which guesses are slowed down. "
        "Who got into a room during the last 24 hours is not slowed down.",
    )
    slow_mode_release_per_hour: int = Field(
        default=600,
        ge=60,
        le=36000,
        description="Guesses that are let through in an hour while they are slowed down. This "
        "bounds what guessing can reach, see docs/operating.md.",
    )
    max_risk: float = Field(
        default=0.01,
        gt=0,
        le=1,
        description="Highest chance that somebody who guesses for 24 hours gets into a room. The "
        "service does not start where it is higher.",
    )
    accept_risk: bool = Field(
        default=False, description="`true` starts the service nevertheless, with a warning."
    )

    @model_validator(mode="after")
    def _lengths_are_in_order(self) -> Self:
        if self.min_digits > self.max_digits:
            raise refused(
                "the shortest PIN is longer than the longest.",
                "Make min_digits at most max_digits.",
                setting="min_digits",
            )
        return self


class LabelSettings(Section):
    """The name a caller has in the meeting."""

    template: str = Field(
        default="xxx-xxx-{digits}",
        description="Name of a caller whose number is known: `{digits}` stands for the last four "
        "digits. Letters, digits, space and `().-` only.",
    )
    hidden: str = Field(
        default="Phone caller {n}",
        description="Name of a caller without a number, or who hides it; `{n}` goes up in "
        "each room.",
    )
    ask_to_hide: bool = Field(
        default=False,
        description="`true`: callers are told before the PIN that `*3` hides their digits. The key "
        "works in either case.",
    )

    @field_validator("template")
    @classmethod
    def _template_is_safe(cls, template: str) -> str:
        return checked_label(template, "{digits}", "1234")

    @field_validator("hidden")
    @classmethod
    def _hidden_is_safe(cls, hidden: str) -> str:
        return checked_label(hidden, "{n}", "")


class IvrSettings(Section):
    """What callers hear, and how long they wait."""

    prompt_folder: Path | None = Field(
        default=None,
        description="Folder with prompts of your own, as `dialin prompts import` makes it. What is "
        "missing there is taken from the built-in set.",
        examples=["/etc/dialin/sounds"],
    )
    wait_for_room_s: float = Field(
        default=1800,
        ge=0,
        le=86400,
        description="How long a caller may wait for a meeting that has not begun, or for its host.",
    )
    wait_for_directory_s: float = Field(
        default=30,
        ge=0,
        le=600,
        description="How long a caller with a PIN is kept while BBB does not answer.",
    )
    wait_for_conference_s: float = Field(
        default=300,
        ge=0,
        le=3600,
        description="How long a caller is kept while a voice server does not answer. Whoever was "
        "in a meeting is back in it without a PIN.",
    )
    remind_every_s: float = Field(
        default=45,
        ge=5,
        le=600,
        description="From one announcement to a waiting caller to the next.",
    )
    music: bool = Field(
        default=True, description="Whether waiting callers hear music between announcements."
    )

    @field_validator("prompt_folder")
    @classmethod
    def _folder_exists(cls, folder: Path | None) -> Path | None:
        if folder is not None and not folder.is_dir():
            raise refused(
                "the folder does not exist or cannot be read.",
                "Create it, or remove the setting to use the built-in prompts.",
            )
        return folder


class PrivacySettings(Section):
    """What is shown of callers. Numbers are neither stored nor logged, whatever is set here."""

    hide_digits: bool = Field(
        default=False,
        description="`true` hides the last four digits too: every caller has the hidden label.",
    )
    require_consent: bool = Field(
        default=False,
        description="`true`: in a meeting that is recorded, a caller's microphone stays shut until "
        "they press `1`; `2` leaves.",
    )


def checked_label(template: str, placeholder: str, insert: str) -> str:
    """The template itself, if labels made from it are fit for BBB; `caller` has the last word."""
    fixed = template.replace(placeholder, "", 1)
    if fixed == template or not LABEL_ALPHABET.fullmatch(fixed):
        raise refused(
            f"a label has {placeholder} once, and else letters, digits, space and ().- only.",
            "BBB reads meaning into other characters: leave them out.",
        )
    if not re.search(r"[A-Za-z]", fixed) or template != template.strip():
        raise refused(
            "a label has a letter in it, and no space at its ends.",
            "BBB turns away callers whose name is a bare number.",
        )
    if len(fixed + insert + LONGEST_ORDINAL) > LABEL_MAX_CHARACTERS:
        raise refused(
            f"labels could be longer than {LABEL_MAX_CHARACTERS} characters.", "Shorten it."
        )
    return template
