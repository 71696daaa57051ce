# SPDX-License-Identifier: GPL-3.0-or-later
"""No message takes more than linear time: the patterns cannot backtrack twice over one octet.

Times are measured by bench/parse.py. Here the patterns are taken apart: a repetition of unknown
length inside another is exponential, unless the outer one is possessive and never comes back.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from dialin.wire import framing, head, header, message, params, uri
from dialin.wire.framing import StreamFramer
from dialin.wire.header import _delimiters
from dialin.wire.message import MalformedMessage, parse
from tests.wire.examples import GROWING, invite

_parser = importlib.import_module("re._parser")
_MANY = 2
"""A repetition of up to this number costs nothing to try again."""


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for module in (framing, head, header, message, params, uri):
        for name, value in vars(module).items():
            pattern = getattr(value, "__self__", value)
            if isinstance(pattern, re.Pattern):
                yield f"{module.__name__}.{name}", pattern
    yield "delimiters", _delimiters(",")


def repeats_within_repeats(node: Any, *, inside: bool = False) -> bool:
    """Whether a repetition that can be undone holds another one."""
    if isinstance(node, tuple) and node[0] in (_parser.MAX_REPEAT, _parser.MIN_REPEAT):
        _, most, body = node[1]
        is_long = most > _MANY
        return (inside and is_long) or repeats_within_repeats(body, inside=inside or is_long)
    if isinstance(node, tuple | list | _parser.SubPattern):
        return any(repeats_within_repeats(part, inside=inside) for part in node)
    return False


@pytest.mark.parametrize(
    "nested", [r"(?:a+)+", r"(?:a+b?)*", r"(a|b*)+c", r"(?:a{1,9}){3,}", r"(?:a+?)*"]
)
def test_the_check_finds_nested_repetition(nested: str) -> None:
    assert repeats_within_repeats(_parser.parse(nested))


@pytest.mark.parametrize("flat", [r"a+b*", r"(?:a++)*+", r"(?:[ab]|c)+", r"(?:a+)?b{1,5}"])
def test_the_check_lets_flat_and_possessive_repetition_pass(flat: str) -> None:
    assert not repeats_within_repeats(_parser.parse(flat))


@pytest.mark.parametrize(("name", "pattern"), list(patterns()))
def test_no_pattern_repeats_within_a_repetition(name: str, pattern: re.Pattern[Any]) -> None:
    assert not repeats_within_repeats(_parser.parse(pattern.pattern)), name


@pytest.mark.parametrize("kind", GROWING)
def test_the_largest_message_of_each_kind_comes_to_an_end(kind: str) -> None:
    # In quadratic time this would run into the test's time-out.
    for size in (15_000, 60_000):
        line = b"\r\n" + GROWING[kind](size) + b"\r\nTo:"
        with suppress(MalformedMessage):
            parse(invite().replace(b"\r\nTo:", line))


def test_a_stream_that_comes_octet_by_octet_is_searched_once() -> None:
    framer = StreamFramer()
    searched: list[int] = []

    class Watched(bytearray):
        def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
            searched.append(len(self) - start)
            return super().find(sub, start)

    framer._buffer = Watched()
    data = invite()
    for at in range(len(data)):
        framer.feed(data[at : at + 1])
    assert max(searched) <= len(b"\r\n\r\n")
