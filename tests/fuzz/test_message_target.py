# SPDX-License-Identifier: GPL-3.0-or-later
"""The message target over mutated seeds: our own always, the torture messages where they are."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.fuzz import message_target
from tests.fuzz.mutation import mutations
from tests.wire.examples import INVITE_LINES, SDP, invite, message

TORTURE = Path(__file__).resolve().parents[3] / "shared" / "data" / "sip-torture"

COUNT = 1000
"""Inputs for each seed number: together a few seconds, for each test run."""

OWN_SEEDS = (
    invite(),
    invite(without="From", add=('From: "<sip:b@x>;tag=2" <sip:a@x>;tag=1;verstat=x',)),
    invite(without="Contact", add=('m: "A, A" <sip:a@[::1]:5060>;q=1, B <tel:+4930;ext=1>',)),
    message(
        "SIP/2.0 407 Proxy Authentication Required",
        "v: SIP/2.0/UDP [2001:db8::1]:5060;received=2001:db8::2;rport=5060;branch=z9hG4bK1",
        "f: sip:a@x;tag=1",
        "t: <sip:b@x>;tag=2",
        "i: 1@x",
        "CSeq: 2 INVITE",
        'Proxy-Authenticate: Digest realm="a, b", nonce="c", qop="auth,auth-int"',
    ),
    message("BYE sip:a@x SIP/2.0", *INVITE_LINES[1:8], "CSeq: 2 BYE") + invite(),
    b"\r\n\r\n" + message("ACK tel:+4930 SIP/2.0", *INVITE_LINES[1:8], "CSeq: 1 ACK", body=SDP),
)


def seeds() -> list[bytes]:
    return [*OWN_SEEDS, *(path.read_bytes() for path in sorted(TORTURE.glob("rfc*/*.dat")))]


@pytest.mark.parametrize("seed", seeds(), ids=itertools.count())
def test_the_invariant_holds_for_the_seeds_themselves(seed: bytes) -> None:
    message_target.check(seed)


@pytest.mark.parametrize("number", range(10))
def test_the_invariant_holds_for_mutated_seeds(number: int) -> None:
    for data in mutations(seeds(), seed=number, count=COUNT):
        message_target.check(data)


@pytest.mark.parametrize("seed", OWN_SEEDS, ids=itertools.count())
def test_the_invariant_holds_for_every_shorter_message(seed: bytes) -> None:
    for end in range(len(seed)):
        message_target.as_datagram(seed[:end])


def test_mutations_are_repeatable_and_change_something() -> None:
    first, again = (list(mutations(OWN_SEEDS, seed=1, count=50)) for _ in range(2))
    assert first == again
    assert first != list(mutations(OWN_SEEDS, seed=2, count=50))
    assert len(set(first) - set(OWN_SEEDS)) > 40


def test_the_target_notices_a_parser_that_raises_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(data: bytes) -> None:
        raise IndexError

    monkeypatch.setattr(message_target, "parse", broken)
    with pytest.raises(IndexError):
        message_target.check(b"x")
