# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages say that an operator has set, as one value; and the privacy statement from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dialin.web.language import Words
from dialin.web.numbers import DialNumber

UTC = ZoneInfo("UTC")


class TrunkEncryption(StrEnum):
    """What an operator can promise of the way to the provider: key of the sentence."""

    ALWAYS = "encrypted"
    WHERE_POSSIBLE = "may_be_encrypted"
    NEVER = "in_clear"


@dataclass(frozen=True, slots=True)
class PageFacts:
    """The service as its pages present it."""

    service: str = "Dial-in"
    """What it calls itself."""
    numbers: tuple[DialNumber, ...] = ()
    """In the order of the settings."""
    languages: tuple[str, ...] = ()
    """Of the service, best first."""
    label: str = "xxx-xxx-1234"
    """How a caller appears; an example."""
    hidden_label: str = "Phone caller 1"
    """How one without a number appears; an example."""
    hides_digits: bool = False
    """Whether nobody's digits are shown."""
    consent_days: int | None = None
    """How long it is kept what a caller said to being recorded; None: nobody is asked."""
    encryption: TrunkEncryption = TrunkEncryption.WHERE_POSSIBLE
    root: str = ""
    """What public addresses begin with, without a slash at the end; empty if nobody said."""
    embed_origins: tuple[str, ...] = ()
    """Sites that may frame a room page."""
    zone: ZoneInfo = UTC
    """In which hosts choose times."""
    imprint_url: str = ""
    privacy_url: str = ""

    @property
    def prefix(self) -> str:
        """What paths begin with where the pages stand below a path."""
        return urlsplit(self.root).path.rstrip("/")


def statement(words: Words, facts: PageFacts) -> Iterator[str]:
    """What happens to callers' data, a paragraph each."""
    yield words("statement.intro", service=facts.service)
    yield words("statement.number")
    if facts.hides_digits:
        yield words("statement.hidden", label=facts.hidden_label)
    else:
        yield words("statement.digits", label=facts.label)
        yield words("statement.withheld", label=facts.hidden_label)
        yield words("statement.hide_key")
    yield words("statement.pseudonym")
    yield words("statement.guess")
    yield words("statement.audio")
    if facts.consent_days:
        yield words("statement.consent", days=facts.consent_days)
    elif facts.consent_days == 0:
        yield words("statement.consent_unkept")
    for key in ("keys", facts.encryption.value, "web", "figures"):
        yield words(f"statement.{key}")
    if facts.privacy_url:
        yield words("statement.policy", url=facts.privacy_url)
