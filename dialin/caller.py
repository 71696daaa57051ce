# SPDX-License-Identifier: GPL-3.0-or-later
"""The caller's number, and all that is ever shown of it.

The clear number goes into a `Caller` and does not come out again: what comes out are the last
digits that may be shown, and a pseudonym. `RoomLabels` makes of them the name that others in a
room see, out of an alphabet of its own: nothing a caller wrote can be in it, so nothing BBB reads
an identity out of can be in it either.

Which header the number is taken from is `trunk`'s affair. That only these labels reach BBB is seen
to by `bbb_voice`.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from itertools import chain, count
from typing import NoReturn, SupportsIndex
from urllib.parse import unquote

import phonenumbers

from dialin.errors import OperatorError

MAX_DIGITS = 15
"""The longest international number (ITU-T E.164 §6.1)."""
SHOWN_DIGITS = 4
HIDDEN_DIGITS = 5
"""At least so many digits of a number stay hidden, or the rest could be guessed."""
SHORTEST_NATIONAL_NUMBER = 8
"""Digits that do not begin with an international prefix are taken for a subscriber's number from
this length on: fewer are as likely the extension of a house, of which less may be shown."""

PSEUDONYM_DIGITS = 15
"""As long as a phone number may be, so that nothing on the way cuts it; some 50 bits."""
SHORTEST_KEY_BYTES = 16

_SEPARATORS = str.maketrans("", "", " -.()")
"""RFC 3966 §5.1.1 visual separators, and the blank."""
_DIALLED = re.compile(r"(?:tel:)?(\+?[0-9]{1,32})", re.IGNORECASE)
"""ASCII digits only: `\\d` and str.isdigit know the digits of other scripts, too."""
_WITHHELD_WORDS = frozenset(
    {"anonymous", "restricted", "unavailable", "unknown", "private", "withheld"}
)


def says_withheld(text: str) -> bool:
    """Whether a name or user part holds one of the words that stand for a withheld number."""
    return not _WITHHELD_WORDS.isdisjoint(re.findall(r"[a-z]+", text.lower()))


def readings(text: str, region: str | None) -> tuple[str, ...]:
    """The E.164 numbers that a user part may mean, the likeliest first.

    Reads `+49…`, `0049…`, `49…` and, where the region is known, national numbers, each with or
    without separators, percent-encoding and `;phone-context` (RFC 3966 §5.1.5: a context says where
    a local number is valid, not which digits to put before it). Empty for anything else.
    """
    number = dialled(text)
    if number.startswith("+"):
        return _valid((number, None))
    if number.startswith("00"):  # dialled for "+" in most of the world
        return _valid((f"+{number[2:]}", None))
    if len(number) < SHORTEST_NATIONAL_NUMBER:
        return ()
    if number.startswith("0"):
        return _valid((number, region))
    return _valid((f"+{number}", None), (number, region))


def dialled(text: str) -> str:
    """The digits of a user part, behind a `+` if there is one; empty for what is no number."""
    user = text.strip().partition(";")[0]
    match = _DIALLED.fullmatch(unquote(user).translate(_SEPARATORS))
    return match[1] if match else ""


def _valid(*spellings: tuple[str, str | None]) -> tuple[str, ...]:
    found = []
    for spelling, region in spellings:
        try:
            number = phonenumbers.parse(spelling, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            found.append(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return tuple(found)


class Caller:
    """Who calls. The number is in here and nowhere else; two callers are equal if they are one.

    How many digits are shown depends on the length of the number in its international form, country
    code included, without `+`, `00` or a national `0`. So a number gets one and the same label
    however a trunk happens to write it, and no prefix that everybody knows makes a number look
    longer than it is. What has no international form, such as an extension, counts as received.
    """

    __slots__ = ("_digest", "_digits_shown", "_is_withheld")

    def __init__(self, digits: str) -> None:
        """Use `parse` or `withheld`; digits are those of the number, or none."""
        self._is_withheld = not digits
        self._digits_shown = _last_shown(digits)
        # A caller without a number gets an identity of its own, or one ban would hit them all.
        self._digest = _digester(digits or secrets.token_hex(16))

    @classmethod
    def parse(cls, text: str, *, region: str | None) -> Caller:
        """Read the user part of a SIP URI, or the number of a tel URI. PEER-CONTROLLED.

        Total: what is no number, or says that it is withheld, gives a withheld caller.
        """
        found = readings(text, region)
        digits = found[0][1:] if found else dialled(text).lstrip("+0")
        return cls(digits if len(digits) <= MAX_DIGITS else "")

    @classmethod
    def withheld(cls) -> Caller:
        """A caller whose number is not known."""
        return cls("")

    @property
    def is_withheld(self) -> bool:
        """Whether there is no number."""
        return self._is_withheld

    @property
    def digits_shown(self) -> str:
        """The last digits that others may see: four at most, none of a short or withheld number."""
        return self._digits_shown

    @property
    def masked(self) -> str:
        """A form fit for logs."""
        if self._is_withheld:
            return "withheld"
        return f"xxx-xxx-{self._digits_shown or 'xxxx'}"

    def pseudonym(self, key: bytes, meeting_id: str) -> str:
        """What BBB gets for a number: digits that name this caller in this meeting only.

        BBB bans callers by their number and refuses callers without one. The key must live in
        memory only: with it, ten thousand million numbers are tried in minutes.
        """
        if len(key) < SHORTEST_KEY_BYTES:
            raise ValueError("a pseudonym's key has 16 octets or more")
        smallest = 10 ** (PSEUDONYM_DIGITS - 1)
        return str(smallest + self._digest(key, meeting_id) % (9 * smallest))

    def guess_identity(self, key: bytes) -> str | None:
        """What wrong PINs are counted by: 64 bits that name this caller under this key; None if
        the number is withheld.

        The key must live in memory only, and not for long.
        """
        if self._is_withheld:
            return None
        if len(key) < SHORTEST_KEY_BYTES:
            raise ValueError("an identity's key has 16 octets or more")
        return format(self._digest(key, "") % 2**64, "016x")

    def __repr__(self) -> str:
        return f"Caller({self.masked})"

    def __str__(self) -> str:
        return self.masked

    def __format__(self, spec: str) -> str:
        return format(self.masked, spec)

    def __copy__(self) -> Caller:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Caller:
        return self  # as dataclasses.asdict asks of everything it holds

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Caller is not to be stored")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Caller is not to be stored")


def _last_shown(digits: str) -> str:
    shown = min(SHOWN_DIGITS, max(0, len(digits) - HIDDEN_DIGITS))
    return digits[len(digits) - shown :]


def _digester(identity: str) -> Callable[[bytes, str], int]:
    """Keeps the number in a closure, where no repr, no dump of slots and no debugger's list of
    locals finds it."""

    def digest(key: bytes, meeting_id: str) -> int:
        text = f"{meeting_id}\0{identity}".encode(errors="surrogateescape")
        return int.from_bytes(hmac.digest(key, text, "sha256"))

    return digest


LABEL_CHARS = r"[A-Za-z0-9 ().-]"
MAX_LABEL_CHARS = 32
_MARKS = ("bbbid", "globalaudio", "listenonly")
"""What BBB reads an identity out of (ESLEventListener.java), by its letters alone."""
_ORDINAL_CHARS = len(" (9999)")


class RoomLabels:
    """The names under which callers appear, each of them once in a room."""

    def __init__(
        self, *, number: str = "xxx-xxx-{digits}", withheld: str = "Phone caller {n}"
    ) -> None:
        """Templates are the operator's. Raises OperatorError where BBB could misread a label."""
        self._taken: defaultdict[Hashable, set[str]] = defaultdict(set)
        self.change(number=number, withheld=withheld)

    def change(self, *, number: str, withheld: str) -> None:
        """Other templates for those who come from now on. Raises OperatorError as at the start."""
        checked = (
            _checked(number, "{digits}", SHOWN_DIGITS + _ORDINAL_CHARS),
            _checked(withheld, "{n}", _ORDINAL_CHARS),
        )
        self._number, self._withheld = checked

    def claim(self, room_key: Hashable, caller: Caller, *, hide_digits: bool = False) -> str:
        """A name that nobody else in the room has, until it is released."""
        digits = "" if hide_digits else caller.digits_shown
        taken = self._taken[room_key]
        label = next(label for label in self._candidates(digits) if label not in taken)
        taken.add(label)
        return label

    def preview(self, caller: Caller, *, hide_digits: bool = False) -> str:
        """What the caller may appear as, for those who decide whether to let them in.

        Nobody has claimed it: several who wait can have the same, and those without digits do.
        """
        digits = "" if hide_digits else caller.digits_shown
        if digits:
            return next(self._candidates(digits))
        return self._withheld.replace("{n}", "").strip()

    def release(self, room_key: Hashable, label: str) -> None:
        """Give a claimed name back, once."""
        self._taken[room_key].discard(label)
        if not self._taken[room_key]:
            del self._taken[room_key]

    def _candidates(self, digits: str) -> Iterator[str]:
        if not digits:
            return (self._withheld.replace("{n}", str(ordinal)) for ordinal in count(1))
        first = self._number.replace("{digits}", digits)
        return chain([first], (f"{first} ({ordinal})" for ordinal in count(2)))


def _checked(template: str, placeholder: str, widest_insert: int) -> str:
    """A template whose every label is safe: BBB's dialplan refuses `anonymous` and the like, and
    `0000000000`, but nothing that holds both a letter and a digit."""
    fixed = template.replace(placeholder, "", 1)
    letters = re.sub(r"[^a-z]", "", fixed.lower())
    if (
        template.count(placeholder) != 1
        or not re.fullmatch(f"{LABEL_CHARS}+", fixed)
        or len(fixed) + widest_insert > MAX_LABEL_CHARS
        or not letters
        or any(mark in letters for mark in _MARKS)
        or template != template.strip()
    ):
        raise OperatorError(
            f"The label {template!r} cannot be shown in a room.",
            f"Write {placeholder} once, some ASCII letters, and of other characters only digits, "
            f"blanks and ( ) . -; {MAX_LABEL_CHARS - widest_insert} characters at most beside it.",
        )
    return template
