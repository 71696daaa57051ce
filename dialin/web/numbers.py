# SPDX-License-Identifier: GPL-3.0-or-later
"""Telephone numbers and PINs as people read and dial them, and which number comes first.

Numbers here are ours, never a caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import phonenumbers
from phonenumbers import PhoneNumberFormat

from dialin.web.language import Reader

PAUSE = ","
"""What phones wait two seconds or so for. RFC 3966 knows no pause; phones do."""
GROUP = 3
"""Digits of a PIN that stand together."""


@dataclass(frozen=True, slots=True)
class DialNumber:
    """A number that leads to the service."""

    e164: str
    """+493012345678"""
    country: str = ""
    """Two letters; empty: what the number itself says."""
    label: str = ""
    """What the operator calls it, such as Berlin."""
    languages: tuple[str, ...] = ()
    """What callers of it are spoken to in."""
    toll_free: bool = False
    """Whether calling it costs nothing."""

    @property
    def region(self) -> str:
        """The country it is local in, two letters; empty for none, as with +800."""
        if self.country:
            return self.country
        region = phonenumbers.region_code_for_number(phonenumbers.parse(self.e164))
        return region if region and region.isalpha() else ""

    @property
    def international(self) -> str:
        """As the world reads it: +49 30 12345678."""
        return phonenumbers.format_number(
            phonenumbers.parse(self.e164), PhoneNumberFormat.INTERNATIONAL
        )

    @property
    def national(self) -> str:
        """As its own country reads it: 030 12345678."""
        return phonenumbers.format_number(phonenumbers.parse(self.e164), PhoneNumberFormat.NATIONAL)

    def tel(self, pin: str = "") -> str:
        """A link that dials it, and the PIN after a pause."""
        keys = f"{PAUSE}{PAUSE}{quote(pin)}%23" if pin else ""
        return f"tel:{self.e164}{keys}"


def create_parameters(pin: str, numbers: Sequence[DialNumber]) -> dict[str, str]:
    """What BBB's `create` call takes so that BBB itself shows a room's PIN and our first number.

    `pin` is the room's own; empty for none: BBB then draws one for the session.
    """
    wanted = {"voiceBridge": pin, "dialNumber": numbers[0].international if numbers else ""}
    return {name: value for name, value in wanted.items() if value}


@dataclass(frozen=True, slots=True)
class ShownNumber:
    """A number as one reader sees it."""

    number: DialNumber
    country: str
    """What the country is called in the reader's language; empty for none."""
    national: str
    """The national form if the reader is in that country, else empty."""

    @property
    def label(self) -> str:
        """What tells it from the others, empty if nothing does: `Germany, Berlin`."""
        return ", ".join(part for part in (self.country, self.number.label) if part)


def nearest_first(numbers: Iterable[DialNumber], reader: Reader) -> list[ShownNumber]:
    """The numbers in the order that serves the reader; docs/room-page.md has the rule."""
    ordered = sorted(numbers, key=lambda number: _distance(number, reader))
    return [_shown(number, reader) for number in ordered]


def _distance(number: DialNumber, reader: Reader) -> int:
    """How far off a number is; the least is nearest. Python's sort keeps the order of equals."""
    region, regions, words = number.region, reader.regions, reader.words
    if region in regions:
        return regions.index(region)
    if words.language in number.languages or (region and words.speaks_in(region)):
        return len(regions)
    return len(regions) + 1


def _shown(number: DialNumber, reader: Reader) -> ShownNumber:
    region = number.region
    return ShownNumber(
        number,
        country=reader.words.country(region) if region else "",
        national=number.national if region in reader.regions else "",
    )


def pin_groups(pin: str) -> Sequence[str]:
    """The digits in groups of three, the last of two to four, for reading only."""
    return tuple(_groups(pin))


def _groups(pin: str) -> Iterator[str]:
    while len(pin) > GROUP + 1:
        yield pin[:GROUP]
        pin = pin[GROUP:]
    if pin:
        yield pin
