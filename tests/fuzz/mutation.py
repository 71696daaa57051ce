# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutations of octets for fuzzing without a fuzzer: the same seed gives the same octets.

Made for text protocols: most mutations move, repeat or drop lines and delimiters, because octets
thrown in at random rarely get past the first check.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

TOKENS = (
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b"\r\n ",
    b"\r\n\t",
    b"\x00",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b'"',
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b":",
    b"=",
    b"@",
    b"?",
    b"%",
    b"%00",
    b"%0d%0a",
    b"[",
    b"]",
    b"[::1]",
    b" ",
    b"\t",
    b"/",
    b"*",
    b"-1",
    b"0",
    b"2147483648",
    b"99999999999999999999",
    b";tag=",
    b";branch=",
    b"Via: SIP/2.0/UDP h\r\n",
    b"Content-Length: 5\r\n",
    b"l: 0\r\n",
    b"SIP/2.0",
    b"ACK",
)


def mutations(seeds: Sequence[bytes], *, seed: int, count: int) -> Iterator[bytes]:
    """That many inputs, each made from one of the seeds by one to eight changes."""
    random = Random(seed)  # noqa: S311 - repeatable on purpose
    for _ in range(count):
        data = random.choice(seeds)
        for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
            data = _mutate(data, seeds, random)
        yield data


def _mutate(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    start, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
    end = min(end, start + random.choice((0, 1, 4, 40, 400)))
    lines = data.split(b"\r\n")
    line = random.randrange(len(lines))
    match random.randrange(8):
        case 0:
            return data[:start] + random.choice(TOKENS) + data[end:]
        case 1:
            return data[:start] + random.randbytes(end - start) + data[end:]
        case 2:
            return data[:start] + data[start:end] * random.choice((2, 3, 50)) + data[end:]
        case 3:
            return data[:end] if random.random() < 0.2 else data[:start] + data[end:]
        case 4:
            other = random.choice(seeds)
            return data[:start] + other[random.randint(0, len(other)) :]
        case 5:
            return b"\r\n".join([*lines[:line], *lines[line + 1 :]])
        case 6:
            return b"\r\n".join([*lines[:line], lines[line], *lines[line:]])
        case _:
            swapped = random.choice(lines)
            return b"\r\n".join([*lines[:line], swapped, *lines[line + 1 :]])
