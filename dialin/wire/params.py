# SPDX-License-Identifier: GPL-3.0-or-later
"""The `;name=value` parameters that follow header values and URIs, and the grammar's small words.

`Params.parse` and `str` speak the header form (RFC 3261 §25.1 generic-param, quoted strings
included); the URI form has another alphabet and is read and written by `uri`. Names compare
without case (§7.3.1). What a parameter means is left to those who ask for it by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dialin.errors import PeerError

TOKENCHAR = r"[A-Za-z0-9\-.!%*_+`'~]"
"""What an RFC 3261 §25.1 token is made of."""

QUOTED = r'"(?:[^"\\]++|\\.)*+"'
"""RFC 3261 §25.1 quoted-string; possessive, so that an unclosed one fails in linear time."""

MAX_PARAMS = 32
"""Parameters of one value: mobile networks write 15, and each costs time."""

# A token or a host by the grammar. Peers also write "/", "@" or base64's "=" into tags and
# branches; each octet that cannot end the value is taken as it stands, and written back bare.
_BARE = r"[!#-+\--:=?-\[\]-~]+"
_PARAM = re.compile(
    rf"[ \t]*;[ \t]*({TOKENCHAR}+)[ \t]*(?:=[ \t]*({_BARE}|{QUOTED}))?[ \t]*", re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_is_bare = re.compile(_BARE).fullmatch


class MalformedHeader(PeerError):
    """A header value does not follow its grammar. The text never repeats the value."""


def quote(text: str) -> str:
    """Write text as a quoted-string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def rewritten(text: str, values: Mapping[str, str]) -> str:
    """`;a=b;c` as it came but for some parameters: in their place where they are, else at the end.

    `values` has names in lower case, and values that need no quotes. Raises MalformedHeader.
    """
    pieces: list[str] = []
    left = dict(values)
    at = 0
    while at < len(text):
        match = _PARAM.match(text, at)
        if match is None:
            raise MalformedHeader("malformed parameter")
        value = left.pop(match[1].lower(), None)
        pieces.append(match[0] if value is None else f";{match[1]}={value}")
        at = match.end()
    return "".join((*pieces, *(f";{name}={value}" for name, value in left.items())))


def unquote(quoted: str) -> str:
    """Read a quoted-string, its quotes included."""
    inner = quoted[1:-1]
    return _ESCAPED.sub(r"\1", inner) if "\\" in inner else inner


@dataclass(frozen=True, slots=True)
class Params:
    """An ordered, frozen collection of parameters. PEER-CONTROLLED wherever it was parsed."""

    items: tuple[tuple[str, str | None], ...] = ()
    """(name, value) as they came; the value without quotes, None for a parameter without one."""

    @classmethod
    def parse(cls, text: str) -> Params:
        """Read `;a=b;c` to its end. Raises MalformedHeader."""
        items: list[tuple[str, str | None]] = []
        at = 0
        while at < len(text):
            match = _PARAM.match(text, at)
            if match is None:
                raise MalformedHeader("malformed parameter")
            name, value = match.groups()
            if value is not None and value[0] == '"':
                value = unquote(value)
            items.append((name, value))
            at = match.end()
            if len(items) > MAX_PARAMS:
                raise MalformedHeader("too many parameters")
        # RFC 3261 §7.3.1: a name stands once. Two tags or branches would be two dialogs to choose
        # from, and the next reader may choose the other.
        if len(items) > 1 and len({name.lower() for name, _ in items}) < len(items):
            raise MalformedHeader("repeated parameter")
        return cls(tuple(items))

    def get(self, name: str) -> str | None:
        """The value of the first parameter of that name; None if absent or without a value."""
        wanted = name.lower()
        for held, value in self.items:
            if held.lower() == wanted:
                return value
        return None

    def has(self, name: str) -> bool:
        """Whether the parameter is there, with or without a value."""
        wanted = name.lower()
        return any(held.lower() == wanted for held, _ in self.items)

    def with_(self, name: str, value: str | None = None) -> Params:
        """Set a parameter: in its place where it is, at the end where it is not."""
        if not self.has(name):
            return Params((*self.items, (name, value)))
        wanted = name.lower()
        return Params(tuple((n, value if n.lower() == wanted else v) for n, v in self.items))

    def without(self, name: str) -> Params:
        """The same parameters less that one."""
        wanted = name.lower()
        return Params(tuple(item for item in self.items if item[0].lower() != wanted))

    def __str__(self) -> str:
        return "".join(
            f";{name}" if value is None else f";{name}={value if _is_bare(value) else quote(value)}"
            for name, value in self.items
        )

    def __repr__(self) -> str:
        return f"Params({', '.join(name for name, _ in self.items)})"  # values may hold numbers

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


NO_PARAMS = Params()
