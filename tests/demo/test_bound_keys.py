# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that FreeSWITCH acts on: two sequences on a server of ours, single keys on an old one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dialin.demo.bound_keys import BOUND, CALLER_CONTROLS, PAUSE_S, BoundKeys, Wish

DIALPLAN = Path(__file__).parents[2] / "config" / "freeswitch" / "00_dialin.xml"


def wishes(keys: str, bindings: dict[str, Wish], *, apart_s: float = 0.2) -> list[Wish]:
    bound = BoundKeys(bindings)
    pressed = [bound.press(key, 100 + apart_s * at) for at, key in enumerate(keys)]
    return [wish for wish in pressed if wish is not None]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("*61", [Wish.MUTE]),
        ("*60", [Wish.UNMUTE]),
        ("*61*61*60", [Wish.MUTE, Wish.MUTE, Wish.UNMUTE]),
        ("0123456789#ABCD", []),
        ("*62*61", [Wish.MUTE]),
        ("5*61", [Wish.MUTE]),
        ("**61", []),  # as FreeSWITCH's digit machine has it: the second star ends the sequence
    ],
)
def test_two_sequences_act_and_nothing_else(keys: str, expected: list[Wish]) -> None:
    assert wishes(keys, BOUND) == expected


def test_a_sequence_with_a_pause_in_it_is_none() -> None:
    assert wishes("*61", BOUND, apart_s=PAUSE_S + 0.1) == []
    assert wishes("*61", BOUND, apart_s=PAUSE_S - 0.1) == [Wish.MUTE]


def test_an_old_server_acts_on_single_keys() -> None:
    assert wishes("0*17#", CALLER_CONTROLS) == [
        Wish.TOGGLE_MUTE,
        Wish.TOGGLE_DEAF,
        Wish.VOLUME,
        Wish.VOLUME,
    ]


def test_a_stock_new_server_acts_on_none() -> None:
    assert wishes("0*61*60#", {}) == []


def test_the_sequences_are_those_of_the_file_for_operators() -> None:
    bound = re.findall(r'data="dialin,([^,]+),[^,]*,dialin_(\w+)', DIALPLAN.read_text())
    assert bound == [(keys, wish.value) for keys, wish in BOUND.items()]
